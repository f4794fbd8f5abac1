"""lathe plan of pictures: memory and steps as a run then has them, and the refusal of what cannot fit."""
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_planning import describe_picture_run, draw_picture_run, picture_recipe
from planning import TOLERANCE, run
from program import LATHE
from stable_diffusion_folder import write_stable_diffusion

LATENTS = """\
name: {name}
directory: {name}
task: diffusion
model: {{path: base}}
{adapter}data: {{train: [{{generate: shapes, count: 24}}], resolution: [64], cache: cache}}
diffusion: {{sampling: {{steps: 1, count: 2}}}}
train: {{max_steps: 3, global_batch_size: 64, micro_batch_size: 64, precision: {precision}, threads: 1}}
"""


class PicturePlan(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="lathe plan "))

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def compare(self, recipe):
        plan, result = run("plan", recipe, cwd=self.folder), run("train", recipe, cwd=self.folder)
        ratio = plan["peak_memory"] / result["peak_memory"]
        self.assertLess(abs(ratio - 1), TOLERANCE, f"planned {plan['peak_memory']}, measured {result['peak_memory']}")
        self.assertEqual(sum(plan["parts"].values()), plan["peak_memory"])
        return plan, result

    def compare_drawn(self, config, name):
        plan, result = self.compare(picture_recipe(config, name, self.folder, threads=1))
        self.assertEqual(plan["steps"], result["total_steps"])
        if config["family"] != "sd3":  # whose tokenizer may find fewer words than the recipe asks for
            self.assertEqual(plan["parameters"], result["parameters"])

    def test_memory_of_each_backbone(self):
        """A small version of tests/long/test_picture_plan.py, whose runs are larger."""
        rng = random.Random(4)
        for family, precision in (("sd3", "fp32"), ("dit", "bf16"), ("unet2d", "bf16")):
            config = {**draw_picture_run(rng, family, 3e9), "precision": precision}
            with self.subTest(describe_picture_run(config)):
                self.compare_drawn(config, family)

    def test_memory_of_latents(self):
        """Stable Diffusion's layout, tuned whole and by LoRA; by DoRA nothing is told of activations."""
        write_stable_diffusion(self.folder / "base")
        for name, precision, adapter in (("whole", "fp32", ""), ("lora", "bf16", "adapter: {kind: lora, rank: 4}\n")):
            with self.subTest(name):
                recipe = self.folder / f"{name}.yaml"
                recipe.write_text(LATENTS.format(name=name, precision=precision, adapter=adapter), encoding="utf-8")
                self.assertGreater(self.compare(recipe)[0]["parts"]["activations"], 2e7)
        dora = run("plan", recipe, "--set", "adapter.kind=dora", cwd=self.folder)
        self.assertNotIn("peak_memory", dora)
        convolutions = run("plan", recipe, "--set", "adapter.targets=[to_q, conv1]", cwd=self.folder)
        self.assertNotIn("peak_memory", convolutions)
        self.assertIn("state_bytes", dora)

    def test_refuses_what_cannot_fit_and_its_advice_works(self):
        config = {**draw_picture_run(random.Random(1), "unet2d", 3e9), "side": 512, "micro": 256, "accumulate": 1}
        recipe = picture_recipe(config, "large", self.folder)
        plan = run("plan", recipe, "--memory-per-process", "8GB", cwd=self.folder)
        self.assertFalse(plan["fits"])
        change = re.search(r"train\.micro_batch_size: (\d+) would fit", plan["advice"])
        self.assertTrue(change, plan["advice"])
        sets = ("--set", f"train.micro_batch_size={change[1]}")
        self.assertTrue(run("plan", recipe, "--memory-per-process", "8GB", *sets, cwd=self.folder)["fits"])
        twice = ("--set", f"train.micro_batch_size={2 * int(change[1])}")
        self.assertFalse(run("plan", recipe, "--memory-per-process", "8GB", *twice, cwd=self.folder)["fits"])
        huge = ("--set", "train.global_batch_size=65536", "--set", "train.micro_batch_size=65536")
        refused = subprocess.run([str(LATHE), "train", str(recipe), *huge], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertRegex(refused.stderr, r"needs about .* and .* are there; .*train\.micro_batch_size: \d+ would fit")
        self.assertFalse((self.folder / "large").exists())


if __name__ == "__main__":
    unittest.main()

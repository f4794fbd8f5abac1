"""A small run of a UNet on digits: it learns classes, resumes bit for bit, counts the same on two ranks, draws and exports."""
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import ROOT, Case, relative_difference

DIGITS = """\
name: tiny
directory: {directory}
task: diffusion
model: {{family: unet2d, block_out_channels: [8, 16], down_block_types: [DownBlock2D, AttnDownBlock2D], layers_per_block: 1,
         attention_head_dim: 8, norm_num_groups: 4}}
data: {{train: digits, resolution: [8], channels: 1, validation: 0.1, cache: {cache}}}
diffusion: {{prediction: velocity, schedule: cosine, timesteps: uniform, sampling: {{steps: 4, count: 10, guidance: 2}}}}
optimizer: {{name: adamw, learning_rate: 3e-3}}
schedule: {{name: cosine, warmup_steps: 4}}
train: {{max_steps: 12, global_batch_size: 16, precision: fp32, threads: 1, seed: 5}}
ema: {{decay: 0.9}}
evaluate: {{every: 6}}
checkpoint: {{every: 6, keep_last: 10}}
"""
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


class UNets(Case):
    def setUp(self):
        super().setUp()
        command = [sys.executable, ROOT / "scripts" / "digits.py", "make", self.folder / "digits", "--count", "120", "--size", "8"]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)

    def run_of(self, name, *sets, code=0, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        said = self.lathe("train", self.recipe(name, DIGITS), "--quiet", *arguments, *extra, code=code)
        path = self.folder / name / "result.json"
        return json.loads(path.read_text()) if path.exists() else said[1]

    def test_learns_classes_draws_and_exports(self):
        result = self.run_of("run", "train.max_steps=60", "train.precision=auto", "export=[{format: diffusers}]")
        self.assertLess(result["validation_loss"], result["first_validation_loss"] - 0.1)
        run, export = self.folder / "run", self.folder / "run" / "export" / "diffusers"
        self.assertEqual(json.loads((export / "classes.json").read_text()), [str(digit) for digit in range(10)])
        self.assertEqual(json.loads((export / "unet" / "config.json").read_text())["num_class_embeds"], 11)
        self.assertTrue(self.json("verify", export)["passed"])
        self.assertEqual(self.json("inspect", export)["classes"], [str(digit) for digit in range(10)])
        drawn = self.json("sample", run, "--class", "3", "--count", "2", "--output", self.folder / "three")
        self.assertEqual((drawn["pictures"], drawn["guidance"], drawn["sampler"]), (2, 2, "ddim"))
        self.json("sample", export, "--prompt", "3", "--count", "2", "--steps", "4", "--output", self.folder / "again")
        self.assertEqual(*((self.folder / name / "00001.png").read_bytes() for name in ("three", "again")))
        every = self.json("sample", run, "--count", "2", "--output", self.folder / "every")
        self.assertEqual(every["pictures"], 20)
        said = self.lathe("sample", run, "--class", "eleven", "--output", self.folder / "none", code=2)[1]
        self.assertIn("'eleven' is none of the 10 classes: 0, 1, 2", said)

    def test_twelve_steps_are_six_and_six_and_one_rank_is_two(self):
        for precision in ("fp32", "bf16"):
            straight, parted = f"straight-{precision}", f"parted-{precision}"
            self.run_of(straight, f"train.precision={precision}")
            self.run_of(parted, f"train.precision={precision}", extra=("--stop-after", "6"))
            self.run_of(parted, f"train.precision={precision}")
            for name in (WEIGHTS, "optimizer.safetensors"):
                self.assertEqual(*((self.checkpoint(run, 12) / name).read_bytes() for run in (straight, parted)), f"{precision} {name}")
        self.run_of("two", extra=("--processes", "2"))
        self.run_of("parts", "train.micro_batch_size=4")
        losses = {run: [record["loss"] for record in self.metrics(run)] for run in ("straight-fp32", "two", "parts")}
        for other in ("two", "parts"):
            for one, same in zip(losses["straight-fp32"], losses[other], strict=True):
                self.assertLess(abs(one - same), 1e-5 * one)
            # What starts at zero has moved by some learning rates only, so Adam shows the rounding of small gradients.
            self.assertLess(relative_difference(self.checkpoint("straight-fp32", 12) / WEIGHTS, self.checkpoint(other, 12) / WEIGHTS,
                                                leave_out="to_k.bias"), 1e-3)

    def test_other_objectives_without_classes_and_from_a_run(self):
        result = self.run_of("flow", "diffusion.prediction=flow", "diffusion.schedule=flow", "model.class_conditional=false",
                             "export=[{format: diffusers}]")
        self.assertTrue(result["finished"])
        self.assertFalse((self.folder / "flow" / "export" / "diffusers" / "classes.json").exists())
        self.json("sample", self.folder / "flow", "--count", "2", "--output", self.folder / "free")
        said = self.lathe("sample", self.folder / "flow", "--class", "3", "--output", self.folder / "none", code=2)[1]
        self.assertIn("knows no classes", said)
        first = self.run_of("first", "diffusion.prediction=epsilon", "diffusion.schedule=linear")
        tuned = self.run_of("second", f"model={{path: {json.dumps(str(self.folder / 'first'))}}}", "train.max_steps=6")
        self.assertAlmostEqual(tuned["first_validation_loss"], first["validation_loss"], delta=0.02)

    def test_what_cannot_be_is_told_before(self):
        for change, told in (("data.resolution=[9]", "multiple of 2"), ("model.norm_num_groups=5", "norm_num_groups"),
                             ("model.down_block_types=[DownBlock2D]", "down_block_types"), ("tokenizer={train: clip_bpe}", "'tokenizer'"),
                             ("model.down_block_types=[DownBlock2D, CrossAttnDownBlock2D]", "CrossAttnDownBlock2D")):
            self.assertIn(told, self.lathe("check", self.recipe("bad", DIGITS), "--set", change, code=2)[1])
        checked, plan = (self.json(verb, self.recipe("run", DIGITS)) for verb in ("check", "plan"))
        self.assertEqual(checked["config"]["_class_name"], "UNet2DModel")
        self.assertEqual(plan["parameters"], checked["parameters"] + 11 * 32)


if __name__ == "__main__":
    import unittest

    unittest.main()

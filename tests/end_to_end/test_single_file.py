"""Stable Diffusion's single file as a target of a recipe: merged, read back, the same network as the folder; refused where it cannot be."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import write_pipeline
from program import Case
from stable_diffusion_folder import write_stable_diffusion

RECIPE = """\
name: tuned
directory: {directory}
task: diffusion
model: {{path: sd}}
adapter: {{kind: lora, rank: 2, alpha: 4, targets: [to_q, to_v, conv1]}}
data: {{train: [{{generate: shapes, count: 12}}], resolution: [32], cache: {cache}}}
diffusion: {{sampling: {{steps: 2, count: 2, guidance: 2}}}}
optimizer: {{name: adamw, learning_rate: 1e-2}}
train: {{max_steps: 2, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
export: [{{format: single_file}}, {{format: diffusers}}]
"""
FILE = "stable-diffusion.safetensors"


class SingleFile(Case):
    def setUp(self):
        super().setUp()
        write_stable_diffusion(self.folder / "sd")

    def refused(self, *sets):
        return self.lathe("check", self.recipe("run", RECIPE), *(item for value in sets for item in ("--set", value)), code=2)[1]

    def test_a_tuned_base_is_written_as_one_file_that_is_the_folder(self):
        self.lathe("train", self.recipe("run", RECIPE), "--quiet")
        result = json.loads((self.folder / "run" / "result.json").read_text())
        self.assertEqual([(entry["format"], entry["passed"]) for entry in result["exports"]], [("single_file", True), ("diffusers", True)])
        exports = self.folder / "run" / "export"
        self.assertIn(FILE, (exports / "single_file" / "README.md").read_text())
        again = self.folder / "again"   # and back: the file is a base
        self.assertTrue(self.json("export", exports / "single_file" / FILE, "--format", "diffusers", "--output", again)["passed"])
        for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
            wanted = (exports / "diffusers" / f"{part}.safetensors").read_bytes()
            self.assertEqual((again / f"{part}.safetensors").read_bytes(), wanted, part)
        self.assertNotEqual((again / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()[-4096:],
                            (self.folder / "sd" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()[-4096:])

    def test_what_a_single_file_cannot_say_is_told_at_its_place_before_any_work(self):
        config = self.folder / "sd" / "unet" / "config.json"
        written = json.loads(config.read_text())
        config.write_text(json.dumps(written | {"attention_head_dim": 4}))
        told = self.refused()
        self.assertRegex(told, r"run\.yaml:10:\d+: a single file cannot say that attention_head_dim of the UNet is 4")
        config.write_text(json.dumps(written))
        write_pipeline(self.folder / "sd3")
        self.assertIn("wants Stable Diffusion, a UNet that reads texts with its VAE", self.refused("model.path=sd3", "data.resolution=[8]",
                                                                                                  "adapter.targets=all-linear"))
        self.assertFalse((self.folder / "run").exists())


if __name__ == "__main__":
    import unittest

    unittest.main()

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
        self.assertEqual((result["exports"][0]["samples"]["from"], result["exports"][0]["samples"]["passed"]), ("single_file", True))
        exports = self.folder / "run" / "export"
        self.assertIn(FILE, (exports / "single_file" / "README.md").read_text())
        again = self.folder / "again"   # and back: the file is a base
        self.assertTrue(self.json("export", exports / "single_file" / FILE, "--format", "diffusers", "--output", again)["passed"])
        for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
            wanted = (exports / "diffusers" / f"{part}.safetensors").read_bytes()
            self.assertEqual((again / f"{part}.safetensors").read_bytes(), wanted, part)
        self.assertNotEqual((again / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()[-4096:],
                            (self.folder / "sd" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()[-4096:])

    def test_check_tells_what_each_target_holds_and_who_reads_it(self):
        exports = "export=[{format: diffusers}, {format: single_file}, {format: peft}, {format: kohya}]"
        arguments = self.recipe("run", RECIPE), "--set", exports, "--set", "adapter.text_encoder=true", "--set", "adapter.targets=[to_q, conv1, fc1]"
        told = {target["format"]: target for target in self.json("check", *arguments)["exports"]}
        self.assertEqual([(told[name]["named"], told[name]["all"]) for name in ("diffusers", "single_file")], [(400, 400)] * 2)
        # 8 queries, 8 residual blocks and the 2 layers of the text encoder.
        self.assertEqual([(told[name]["unit"], told[name]["named"], told[name]["all"]) for name in ("peft", "kohya")], [("LoRA modules", 18, 18)] * 2)
        readers = {(name, engine["engine"]): engine for name, target in told.items() for engine in target["engines"]}
        self.assertEqual([readers[name, "diffusers"]["read"] for name in told], [400, 400, 18, 0])
        self.assertIn("out_proj", readers["kohya", "diffusers"]["why"])
        self.assertIn("block_out_channels of the UNet is [32,64]", readers["single_file", "ComfyUI"]["why"])
        said = self.lathe("check", *arguments)[0]
        self.assertIn("# export kohya: 18 of 18 LoRA modules have a name\n#   diffusers reads none of it: ", said)
        self.assertFalse((self.folder / "run").exists())

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

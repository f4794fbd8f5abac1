"""A small run of a DiT on digits: it learns classes, resumes bit for bit, counts the same on two ranks, draws and exports."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import class_runs


class DiTs(class_runs.ClassRuns):
    MODEL = "{{family: dit, num_layers: 2, num_attention_heads: 2, attention_head_dim: 16, patch_size: 2}}"
    WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
    LEAVE_OUT = "to_k.bias"

    def test_learns_classes_draws_and_exports(self):
        result = self.run_of("run", "train.max_steps=60", "train.precision=auto", "export=[{format: diffusers}]")
        self.assertLess(result["validation_loss"], result["first_validation_loss"] - 0.1)
        run, export = self.folder / "run", self.folder / "run" / "export" / "diffusers"
        index = json.loads((export / "model_index.json").read_text())
        self.assertEqual(index["id2label"], {str(digit): str(digit) for digit in range(10)})
        self.assertEqual(json.loads((export / "transformer" / "config.json").read_text())["num_embeds_ada_norm"], 10)
        card = (export / "README.md").read_text()
        self.assertIn("class_labels=torch.tensor([10])", card)   # the row of no class
        self.assertIn("`DiTPipeline` wants a VAE", card)
        self.check_drawing(run, export)

    def test_twelve_steps_are_six_and_six_and_one_rank_is_two(self):
        self.check_resume_and_ranks()

    def test_flow_matching_from_a_run_and_unknown_classes(self):
        flow, base = ("diffusion.prediction=flow", "diffusion.schedule=flow"), f"model={{path: {json.dumps(str(self.folder / 'first'))}}}"
        first = self.run_of("first", *flow, "export=[{format: diffusers}]")
        self.assertIn("'diffusion.prediction' is velocity, and the base's is flow", self.run_of("other", base, code=2))
        tuned = self.run_of("second", *flow, base, "train.max_steps=6")
        self.assertAlmostEqual(tuned["first_validation_loss"], first["validation_loss"], delta=0.02)
        shutil.copytree(self.folder / "digits" / "3", self.folder / "digits" / "three")
        said = self.run_of("third", *flow, base, code=1)
        self.assertIn("no class 'three'", said)

    def test_what_cannot_be_is_told_before(self):
        self.check_told_before(("data.resolution=[9]", "patch_size"), ("data.resolution=[8, 16]", "squares"),
                               ("model.attention_head_dim=7", "multiple of 4"), ("model.qk_norm=true", "qk_norm"),
                               ("tokenizer={train: clip_bpe}", "'tokenizer' has no place beside dit"))
        checked, plan = (self.json(verb, self.digits("run")) for verb in ("check", "plan"))
        self.assertEqual(checked["config"]["_class_name"], "DiTTransformer2DModel")
        self.assertEqual(plan["parameters"], checked["parameters"] + 9 * 2 * 32)


if __name__ == "__main__":
    import unittest

    unittest.main()

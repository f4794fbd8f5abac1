"""A small run of a UNet on digits: it learns classes, resumes bit for bit, counts the same on two ranks, draws and exports."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import class_runs


class UNets(class_runs.ClassRuns):
    MODEL = "{{family: unet2d, block_out_channels: [8, 16], down_block_types: [DownBlock2D, AttnDownBlock2D], layers_per_block: 1, " \
            "attention_head_dim: 8, norm_num_groups: 4}}"
    WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
    LEAVE_OUT = "to_k.bias"

    def test_learns_classes_draws_and_exports(self):
        result = self.run_of("run", "train.max_steps=60", "train.precision=auto", "export=[{format: diffusers}]")
        self.assertLess(result["validation_loss"], result["first_validation_loss"] - 0.1)
        run, export = self.folder / "run", self.folder / "run" / "export" / "diffusers"
        self.assertEqual(json.loads((export / "classes.json").read_text()), [str(digit) for digit in range(10)])
        self.assertEqual(json.loads((export / "unet" / "config.json").read_text())["num_class_embeds"], 11)
        self.check_drawing(run, export)

    def test_twelve_steps_are_six_and_six_and_one_rank_is_two(self):
        self.check_resume_and_ranks()

    def test_other_objectives_without_classes_and_from_a_run(self):
        result = self.run_of("flow", "diffusion.prediction=flow", "diffusion.schedule=flow", "model.class_conditional=false",
                             "export=[{format: diffusers}]")
        self.assertTrue(result["finished"])
        self.assertFalse((self.folder / "flow" / "export" / "diffusers" / "classes.json").exists())
        self.json("sample", self.folder / "flow", "--count", "2", "--output", self.folder / "free")
        said = self.lathe("sample", self.folder / "flow", "--class", "3", "--output", self.folder / "none", code=2)[1]
        self.assertIn("knows no classes", said)
        noise = ("diffusion.prediction=epsilon", "diffusion.schedule=linear")
        first = self.run_of("first", *noise)
        tuned = self.run_of("second", *noise, f"model={{path: {json.dumps(str(self.folder / 'first'))}}}", "train.max_steps=6")
        self.assertAlmostEqual(tuned["first_validation_loss"], first["validation_loss"], delta=0.02)

    def test_a_base_without_a_row_for_no_class_is_never_asked_for_none(self):
        self.run_of("first", "export=[{format: diffusers}]")
        base = self.folder / "first" / "export" / "diffusers"
        names = json.loads((base / "classes.json").read_text())
        (base / "classes.json").write_text(json.dumps(names + ["none of them"]))   # as one of others, whose rows are all classes
        sets = (f"model={{path: {json.dumps(str(base))}}}", "schedule.warmup_steps=0", "train.max_steps=3")
        tuned = self.run_of("second", *sets, "diffusion.sampling.guidance=1")
        self.assertTrue(tuned["finished"])
        said = self.run_of("third", *sets, "diffusion.condition_dropout=0.2", "diffusion.sampling.guidance=2", code=2)
        for key in ("condition_dropout", "sampling.guidance"):
            self.assertRegex(said, rf"{key}' is [\d.]+, and the base has no row for pictures of no class")

    def test_what_cannot_be_is_told_before(self):
        self.check_told_before(("data.resolution=[9]", "multiple of 2"), ("model.norm_num_groups=5", "norm_num_groups"),
                               ("model.down_block_types=[DownBlock2D]", "down_block_types"), ("tokenizer={train: clip_bpe}", "'tokenizer'"),
                               ("model.down_block_types=[DownBlock2D, CrossAttnDownBlock2D]", "CrossAttnDownBlock2D"))
        checked, plan = (self.json(verb, self.digits("run")) for verb in ("check", "plan"))
        self.assertEqual(checked["config"]["_class_name"], "UNet2DModel")
        self.assertEqual(plan["parameters"], checked["parameters"] + 11 * 32)


if __name__ == "__main__":
    import unittest

    unittest.main()

"""A small diffusion run: it learns, resumes bit for bit, counts the same on two ranks, draws and exports."""
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, Case, relative_difference

PICTURES = """\
name: tiny
directory: {directory}
task: diffusion
model: {{family: sd3, num_layers: 2, num_attention_heads: 2, attention_head_dim: 16, patch_size: 4}}
tokenizer: {{train: clip_bpe, vocab_size: 600}}
data: {{train: [{{generate: shapes, count: 200}}], resolution: [16], validation: 0.1, cache: {cache}}}
diffusion: {{text_encoder: {{hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2}}, sampling: {{steps: 4, count: 4, guidance: 2.5}}}}
optimizer: {{name: adamw, learning_rate: 2e-3}}
schedule: {{name: cosine, warmup_steps: 4}}
train: {{max_steps: 20, global_batch_size: 16, precision: fp32, threads: 1, seed: 5}}
ema: {{decay: 0.9}}
evaluate: {{every: 10}}
checkpoint: {{every: 5, keep_last: 10}}
"""
WEIGHTS = ("transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "optimizer.safetensors")


class Pictures(Case):
    def run_of(self, name, *sets, code=0, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        self.lathe("train", self.recipe(name, PICTURES), "--quiet", *arguments, *extra, code=code)
        return json.loads((self.folder / name / "result.json").read_text()) if code == 0 else {}

    def test_learns_reports_samples_and_exports(self):
        result = self.run_of("run", "train.max_steps=60", "train.precision=auto", "export=[{format: diffusers}]")
        self.assertTrue(result["finished"])
        self.assertLess(result["validation_loss"], result["first_validation_loss"] - 0.3)
        self.assertEqual(len(result["loss_by_noise"]), 4)
        self.assertEqual(result["pictures"], 60 * 16)
        lines = [json.loads(line) for line in (self.folder / "run" / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "learning_rate" in line]
        self.assertEqual(steps[-1]["pictures"], 60 * 16)
        grids = [line["grid"] for line in lines if "grid" in line]
        self.assertEqual(grids[-1], "samples/step-00000060.png")
        for grid in grids:
            self.assertTrue((self.folder / "run" / grid).read_bytes().startswith(b"\x89PNG"))
        report = (self.folder / "run" / "report.html").read_text()
        self.assertEqual(report.count("data:image/png;base64,"), len(grids) + 1)   # the last is drawn from the export
        self.assertIn("Drawn from the export <code>diffusers</code>, read back from its files (step", report)
        samples = result["exports"][0]["samples"]
        self.assertEqual((samples["file"], samples["compared"], samples["exact"], samples["passed"]), ("samples/exported.png", True, True, True))
        self.assertEqual(samples["step"], result["best_step"])
        self.assertLess(samples["largest_difference"], 1e-3)   # the same weights in the same type
        out = self.folder / "drawn"
        drawn = json.loads(self.lathe("sample", self.folder / "run", "--prompt", "a red circle on the left", "--count", "3",
                                      "--output", out, "--quiet", "--json")[0])
        self.assertEqual((drawn["guidance"], drawn["steps"]), (2.5, 4))   # as the run's own samples
        self.assertEqual(len(list(out.glob("0*.png"))), 3)
        for model in (self.folder / "run", self.folder / "run" / "export" / "diffusers"):   # drawn with as the recipe says
            drawn = self.json("sample", model, "--prompt", "a blue square", "--output", self.folder / f"as-{model.name}")
            self.assertEqual(drawn["guidance"], 2.5)
        again = self.folder / "again"
        self.lathe("sample", self.folder / "run", "--prompt", "a red circle on the left", "--count", "3", "--steps", "4",
                   "--output", again, "--quiet")
        for path in sorted(out.glob("0*.png")):
            self.assertEqual(path.read_bytes(), (again / path.name).read_bytes())
        export = self.folder / "run" / "export" / "diffusers"
        self.assertTrue((export / "model_index.json").exists())
        self.assertTrue(json.loads(self.lathe("verify", export, "--json", "--quiet")[0])["passed"])

    def test_samples_of_an_export_without_validation_and_of_one_in_16_bits(self):
        for precision in ("fp32", "bf16"):
            recipe = self.recipe(precision, PICTURES.replace(" validation: 0.1,", ""))
            self.lathe("train", recipe, "--quiet", "--set", f"train.precision={precision}", "--set", "export=[{format: diffusers}]")
            result = json.loads((self.folder / precision / "result.json").read_text())
            samples = result["exports"][0]["samples"]
            self.assertEqual((samples["compared"], samples["exact"], samples["passed"], samples["step"]), (True, True, True, 20))
        result = self.run_of("rounded", "export=[{format: diffusers, dtype: bf16}]")
        samples = result["exports"][0]["samples"]
        self.assertEqual((samples["exact"], samples["passed"]), (False, True))
        self.assertGreater(samples["mean_difference"], 0)
        self.assertIn("they were rounded or merged since", (self.folder / "rounded" / "report.html").read_text())
        # Gone on from a checkpoint: what drew the best step is not there any more.
        self.run_of("parts", "evaluate.every=5", "optimizer.learning_rate=0.5", extra=("--stop-after", "10"))
        result = self.run_of("parts", "evaluate.every=5", "optimizer.learning_rate=0.5", "export=[{format: diffusers}]")
        samples = result["exports"][0]["samples"]
        self.assertEqual(samples["compared"], samples["step"] > 10)

    def test_twenty_steps_are_ten_and_a_kill_and_ten(self):
        for precision in ("fp32", "bf16"):
            straight, killed = f"straight-{precision}", f"killed-{precision}"
            self.run_of(straight, f"train.precision={precision}")
            arguments = [LATHE, "train", self.recipe(killed, PICTURES), "--quiet", "--set", f"train.precision={precision}"]
            process = subprocess.Popen([str(a) for a in arguments], cwd=self.folder, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            deadline = time.time() + 60
            while not self.checkpoint(killed, 10).exists():
                self.assertIsNone(process.poll(), "the run ended before it could be killed")
                self.assertLess(time.time(), deadline)
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.run_of(killed, f"train.precision={precision}")
            for name in WEIGHTS:
                self.assertEqual((self.checkpoint(straight, 20) / name).read_bytes(),
                                 (self.checkpoint(killed, 20) / name).read_bytes(), f"{precision} {name}")

    # A key's bias moves every score of a query alike: its gradient is rounding alone, which Adam makes large.
    def test_two_ranks_and_accumulation_count_as_one(self):
        self.run_of("one")
        self.run_of("parts", "train.micro_batch_size=4")
        self.run_of("two", extra=("--processes", "2"))
        for other in ("parts", "two"):
            for name in WEIGHTS[:2]:
                self.assertLess(relative_difference(self.checkpoint("one", 20) / name, self.checkpoint(other, 20) / name,
                                                    leave_out="k_proj.bias"), 1e-5)

    def test_a_run_goes_on_from_another(self):
        first = self.run_of("first", "train.max_steps=40")
        tuned = self.run_of("second", f"model={{path: {json.dumps(str(self.folder / 'first'))}, freeze: [text_encoder]}}",
                            "tokenizer={}", "train.max_steps=10")
        self.assertAlmostEqual(tuned["first_validation_loss"], first["validation_loss"], delta=0.02)
        name = "text_encoder/model.safetensors"
        kept = self.folder / "first" / "checkpoints"
        self.assertIn((self.checkpoint("second", 10) / name).read_bytes(),
                      [path.read_bytes() for path in kept.glob(f"step-*/{name}")])

    def test_what_is_frozen_or_cut_is_told(self):
        self.run_of("first", "train.max_steps=5")
        base = json.dumps(str(self.folder / "first"))
        said = self.lathe("train", self.recipe("second", PICTURES), "--set", f"model={{path: {base}, freeze: [text_encodr]}}",
                          "--set", "tokenizer={}", code=2)[1]
        self.assertIn("no parameter has 'text_encodr' in its name", said)
        said = self.lathe("train", self.recipe("cut", PICTURES), "--set", "diffusion.text_encoder.max_length=6", "--strict",
                          code=1)[1]
        self.assertRegex(said, r"\d+ of 180 captions are longer than the 6 tokens")

    def test_check_plan_and_prepare_tell_of_pictures(self):
        recipe = self.recipe("run", PICTURES)
        checked = json.loads(self.lathe("check", recipe, "--json", "--quiet")[0])
        plan = json.loads(self.lathe("plan", recipe, "--json", "--quiet")[0])
        self.assertEqual(checked["config"]["_class_name"], "SD3Transformer2DModel")
        self.assertEqual((plan["steps"], plan["pictures"]), (20, 320))
        prepared = json.loads(self.lathe("prepare", recipe, "--json", "--quiet")[0])
        self.assertTrue(prepared["was_ready"])
        self.assertEqual([entry["pictures"] for entry in prepared["sets"]], [180, 20])


if __name__ == "__main__":
    import unittest

    unittest.main()

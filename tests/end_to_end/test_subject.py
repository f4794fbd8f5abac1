"""A base is tuned by an adapter, with its frozen self as prior: exact resume, two ranks, what is reported, drawn and exported."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import write_pipeline
from program import Case, relative_difference

SUBJECT = """\
name: subject
directory: {directory}
task: diffusion
model: {{path: model}}
adapter: {{kind: lora, rank: 2, alpha: 4}}
data: {{train: [{{generate: shapes, count: 32}}], resolution: [8], cache: {cache}}}
prior: {{weight: 0.5, prompts: old.txt, pictures: 12, per_picture: 2}}
diffusion: {{sampling: {{steps: 4, count: 4, guidance: 2.5}}}}
optimizer: {{name: adamw, learning_rate: 1e-2}}
schedule: {{name: cosine, warmup_steps: 4}}
train: {{max_steps: 20, global_batch_size: 16, precision: fp32, threads: 1, seed: 5}}
ema: {{decay: 0.9}}
checkpoint: {{every: 10, keep_last: 10}}
export: [{{format: diffusers}}, {{format: peft}}, {{format: kohya}}, {{format: comfyui}}]
"""
FACTORS = "pytorch_lora_weights.safetensors"


class Subject(Case):
    def setUp(self):
        super().setUp()
        self.model = write_pipeline(self.folder / "model")
        (self.folder / "old.txt").write_text("a red circle\n\na blue square\na green cross\n")

    def run_of(self, name, *sets, code=0, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        said = self.lathe("train", self.recipe(name, SUBJECT), *arguments, *extra, code=code)
        return (json.loads((self.folder / name / "result.json").read_text()) if code == 0 else {}), said

    def test_an_adapter_is_trained_reported_drawn_and_merged(self):
        before = {path: path.read_bytes() for path in self.model.rglob("*") if path.is_file()}
        result, said = self.run_of("run", "adapter.text_encoder=true")
        self.assertIn("adapter: lora of rank 2 on 37 linear layers, 12 of them in the text encoder", said[1])
        self.assertIn("prior: 12 pictures drawn by the base", said[1])
        report = json.loads((self.folder / "run" / "report.json").read_text())
        self.assertEqual(report["copies"]["pictures"], 64)
        self.assertLessEqual(report["copies"]["rate"], 1)
        self.assertGreater(report["prior_drift"]["relative"], 1e-4)
        self.assertLess(report["prior_drift"]["relative"], 1)
        self.assertEqual(result["verdict"], report["verdict"])
        self.assertIn(report["verdict"], (self.folder / "run" / "report.html").read_text())
        for entry in result["exports"]:
            self.assertTrue(entry["passed"], entry)
        samples = result["exports"][0]["samples"]   # merged, as the adapter beside its base
        self.assertEqual((samples["from"], samples["exact"], samples["passed"]), ("diffusers", True, True))
        exports, pictures = self.folder / "run" / "export", {}
        for format in ("kohya", "comfyui"):
            again = self.json("export", self.folder / "run", "--format", format, "--output", self.folder / format)
            self.assertLess(again["max_error"], 1e-6)
            self.assertEqual((self.folder / format / "lora.safetensors").stat().st_size, (exports / format / "lora.safetensors").stat().st_size)
            card = (exports / format / "README.md").read_text()
            self.assertNotIn(str(self.folder), card)
            self.assertIn("- base: model ", card)
            self.assertTrue(self.json("verify", exports / format)["passed"])
            self.assertIn("modelspec.title = subject", self.lathe("inspect", exports / format)[0])
        self.assertIn("adapter: lora of rank 2", self.lathe("inspect", exports / "peft")[0])
        self.assertIn('part of a pipeline: "SD3Transformer2DModel"', self.lathe("inspect", self.model / "transformer")[0])
        (exports / "kohya" / "README.md").write_text("changed")
        self.assertIn("NOT EQUAL", self.lathe("verify", exports / "kohya", code=1)[0])
        for name, model in (("adapter", self.folder / "run"), ("merged", exports / "diffusers"), ("folded", exports / "peft"), ("base", self.model)):
            self.lathe("sample", model, "--prompt", "a red circle", "--count", 2, "--steps", 4, "--guidance", "2.5", "--output",
                       self.folder / name, "--quiet")
            pictures[name] = [path.read_bytes() for path in sorted((self.folder / name).glob("0*.png"))]
        self.assertEqual(pictures["adapter"], pictures["merged"])
        self.assertEqual(pictures["adapter"], pictures["folded"])   # alpha / rank is a power of two
        self.assertNotEqual(pictures["adapter"], pictures["base"])
        self.assertEqual(before, {path: path.read_bytes() for path in self.model.rglob("*") if path.is_file()})

    def test_resume_is_exact_and_two_ranks_count_as_one(self):
        self.run_of("straight")
        self.run_of("halves", extra=("--stop-after", "10"))
        self.run_of("halves")
        for name in (FACTORS, "optimizer.safetensors"):
            self.assertEqual((self.checkpoint("straight", 20) / name).read_bytes(), (self.checkpoint("halves", 20) / name).read_bytes(), name)
        self.run_of("parts", "train.micro_batch_size=4")
        self.run_of("two", extra=("--processes", "2"))
        for other in ("parts", "two"):
            self.assertLess(relative_difference(self.checkpoint("straight", 20) / FACTORS, self.checkpoint(other, 20) / FACTORS), 1e-4)

    def test_the_prior_holds_the_base_and_the_kinds_of_adapter_learn(self):
        drift = {}
        for name, weight in (("free", 0), ("held", 20)):
            self.run_of(name, f"prior.weight={weight}", "train.max_steps=40", "export=[]")
            drift[name] = json.loads((self.folder / name / "report.json").read_text())["prior_drift"]["relative"]
        self.assertLess(drift["held"], 0.5 * drift["free"])
        for kind in ("rslora", "dora"):
            result, _ = self.run_of(kind, f"adapter.kind={kind}", "train.precision=bf16", "train.max_steps=10",
                                    "export=[{format: diffusers}, {format: peft}]")
            self.assertEqual([entry["passed"] for entry in result["exports"]], [True, True])

    def test_what_cannot_be_is_told(self):
        said = self.run_of("wrong", "adapter.targets=[to_z]", code=2)[1]
        self.assertIn("'to_z' is no linear layer of this model; it has add_k_proj", said[1])
        (self.folder / "old.txt").write_text("\n")
        self.assertIn("has no prompts", self.run_of("empty", code=2)[1][1])


if __name__ == "__main__":
    import unittest

    unittest.main()

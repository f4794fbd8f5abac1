"""An adapter or a new word fits the base that it was trained on: its export says when that one has changed, as its run does."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import write_pipeline
from program import Case, tensors

LORA = """\
name: taught
directory: {directory}
task: diffusion
model: {{path: model}}
adapter: {{kind: lora, rank: 4, alpha: 4}}
data: {{train: [{{generate: shapes, count: 32}}], resolution: [8], cache: {cache}}}
diffusion: {{sampling: {{steps: 4, count: 4, guidance: 2.5}}}}
train: {{max_steps: 2, global_batch_size: 8, precision: fp32, threads: 1, seed: 5}}
export: [{{format: peft}}, {{format: kohya}}]
"""
WORD = LORA.replace("adapter: {{kind: lora, rank: 4, alpha: 4}}", "textual_inversion: {{token: <wug>, initialise_from: a ring}}") \
    .replace("count: 32}}]", "count: 32}}], trigger: <wug>").replace("[{{format: peft}}, {{format: kohya}}]", "[{{format: textual_inversion}}]")
TEXT = """\
name: tuned
directory: {directory}
task: sft
model: {{path: base/export/huggingface}}
adapter: {{kind: lora, rank: 4, alpha: 8}}
data: {{train: pairs.jsonl, sequence_length: 64, cache: {cache}}}
train: {{max_steps: 2, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
export: [{{format: peft}}]
"""
CHANGED = "has changed since"


def change(path):
    """Other values of the same type and shape in every tensor."""
    data = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    for at in range(begin, len(data), 4):
        data[at + 1] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(data)


class ChangedBase(Case):
    def refused(self, *arguments):
        said = self.lathe(*arguments, code=1)
        self.assertIn(CHANGED, said[0] + said[1])

    def pictures(self, recipe, format):
        model = write_pipeline(self.folder / "model")
        self.lathe("train", self.recipe("run", recipe), "--quiet")
        export = self.folder / "run" / "export" / format
        draw = ("--prompt", "a wug", "--steps", "1", "--quiet", "--output")
        self.lathe("sample", export, *draw, "before")
        self.lathe("verify", export)
        model.rename(self.folder / "gone")
        self.assertIn("was not looked at", self.lathe("verify", export)[0])
        for path, code in ((self.folder / "run", 1), (export, 1)):
            said = self.lathe("sample", path, *draw, "after", code=code)[1]
            self.assertIn(f"its base {model} is not there any more", said)
            self.assertIn("ln -s NEW_PLACE", said)
            self.assertNotIn("hf download", said)
        self.lathe("train", self.folder / "run.yaml", "--set", "model.path=gone", "--quiet")   # as it says
        self.lathe("sample", self.folder / "run", *draw, "moved")
        again = self.json("export", self.folder / "run", "--format", format, "--output", "elsewhere")
        self.assertTrue(again["passed"])
        self.lathe("sample", "elsewhere", *draw, "moved too")
        (self.folder / "gone").rename(model)
        change(model / "transformer" / "diffusion_pytorch_model.safetensors")
        self.refused("sample", self.folder / "run", *draw, "after")
        self.refused("sample", export, *draw, "after")
        self.refused("export", export, "--format", format, "--output", "again")
        self.refused("export", export, "--format", "diffusers", "--output", "again")
        self.refused("verify", export)
        return export

    def test_a_run_and_its_exports_draw_alike_by_themselves(self):
        write_pipeline(self.folder / "model")
        self.lathe("train", self.recipe("run", LORA), "--quiet", "--set", "export=[{format: peft}, {format: diffusers}]",
                   "--set", "diffusion.sampling={steps: 7, count: 4, guidance: 2.5, guidance_until: 0.75, sampler: flow_euler}")
        exports = self.folder / "run" / "export"
        self.lathe("export", self.folder / "run", "--format", "diffusers", "--output", "later")
        drawn = {}
        for name, model in (("run", self.folder / "run"), ("peft", exports / "peft"), ("diffusers", exports / "diffusers"), ("later", "later")):
            _, log = self.lathe("sample", model, "--prompt", "a red circle", "--output", f"drawn {name}")
            self.assertIn("drawn by 7 steps of flow_euler, guidance 2.5 from 0 until 0.75, seed 0, 8 x 8", log)
            drawn[name] = (self.folder / f"drawn {name}" / "00000.png").read_bytes()
        self.assertEqual(len(set(drawn.values())), 1)
        for name in ("peft", "diffusers"):
            self.assertIn("--steps 7 --guidance 2.5 --sampler flow_euler --guidance-until 0.75", (exports / name / "README.md").read_text())

    def test_an_adapter_of_pictures(self):
        export = self.pictures(LORA, "peft")
        self.assertNotIn("sha256", (export / "adapter_config.json").read_text())   # PEFT knows its own keys alone
        self.lathe("verify", export.parent / "kohya")   # names no base to go by

    def test_a_new_word(self):
        self.pictures(WORD, "textual_inversion")

    def test_an_adapter_of_texts(self):
        self.train("base", "train.max_steps=5", "export=[{format: huggingface, dtype: fp32}]")
        pairs = [{"prompt": f"the cat {i}\n", "completion": f"{i} sat on the mat"} for i in range(8)]
        (self.folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        self.lathe("train", self.recipe("run", TEXT), "--quiet")
        export = self.folder / "run" / "export" / "peft"
        self.lathe("generate", export, "--prompt", "x", "--max-tokens", "2", "--quiet")
        self.lathe("export", export, "--format", "peft", "--output", "again", "--quiet")
        self.assertEqual(tensors(self.folder / "again" / "adapter_model.safetensors"), tensors(export / "adapter_model.safetensors"))
        change(self.folder / "base" / "export" / "huggingface" / "model.safetensors")
        for folder in (export, self.folder / "again"):   # an export of an export fits that base too
            self.refused("generate", folder, "--prompt", "x", "--max-tokens", "2", "--quiet")
            self.refused("export", folder, "--format", "huggingface", "--output", "merged")
            self.refused("verify", folder)


if __name__ == "__main__":
    import unittest
    unittest.main()

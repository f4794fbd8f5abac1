"""Textual inversion: a new word of a base is learned, its vectors alone; exact resume, drawing, both exports."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import read_safetensors, write_pipeline
from program import Case

WORD = """\
name: word
directory: {directory}
task: diffusion
model: {{path: model}}
textual_inversion: {{token: <wug>, initialise_from: a ring, vectors: 2}}
data: {{train: [{{generate: shapes, count: 32}}], trigger: <wug>, resolution: [8], cache: {cache}}}
diffusion: {{sampling: {{steps: 4, count: 4, guidance: 2.5}}}}
optimizer: {{name: adamw, learning_rate: 5e-2, weight_decay: 0}}
train: {{max_steps: 20, global_batch_size: 16, precision: fp32, threads: 1, seed: 5}}
checkpoint: {{every: 10, keep_last: 10}}
export: [{{format: diffusers}}, {{format: textual_inversion}}]
"""
VECTORS = "learned_embeds.safetensors"


class NewWords(Case):
    def setUp(self):
        super().setUp()
        self.model = write_pipeline(self.folder / "model")

    def run_of(self, name, *sets, code=0, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        said = self.lathe("train", self.recipe(name, WORD), *arguments, *extra, code=code)
        return (json.loads((self.folder / name / "result.json").read_text()) if code == 0 else {}), said

    def draw(self, name, model, prompt):
        self.lathe("sample", model, "--prompt", prompt, "--count", 2, "--steps", 4, "--guidance", "2.5", "--output", self.folder / name, "--quiet")
        return [path.read_bytes() for path in sorted((self.folder / name).glob("0*.png"))]

    def test_a_word_that_the_base_has_is_no_new_word(self):
        said = self.run_of("run", "textual_inversion.token=a", "data.trigger=a", code=2)[1][1]
        self.assertIn("textual_inversion.token: 'a' is a token of the base already", said)

    def test_a_word_is_learned_drawn_and_exported(self):
        before = {path: path.read_bytes() for path in self.model.rglob("*") if path.is_file()}
        result, said = self.run_of("run")
        self.assertIn("new word: <wug>, 2 x 12 values", said[1])
        self.assertEqual([entry["passed"] for entry in result["exports"]], [True, True])
        run, exports = self.folder / "run", self.folder / "run" / "export"
        files = {path.name for path in (run / "checkpoints" / "step-00000020").iterdir()}
        self.assertLessEqual({VECTORS, "textual_inversion.json"}, files)
        self.assertFalse({"transformer", "text_encoder"} & files)   # the base is not copied
        ((name, (shape, learned)),) = read_safetensors(run / "checkpoints" / "step-00000020" / VECTORS).items()
        self.assertEqual((name, shape), ("<wug>", [2, 12]))
        for place in ("text_encoder", "text_encoder_2"):   # the rest of the encoder is the base's, behind it the word
            theirs = read_safetensors(self.model / place / "model.safetensors")
            ours = read_safetensors(exports / "diffusers" / place / "model.safetensors")
            table = "text_model.embeddings.token_embedding.weight"
            self.assertEqual(ours.pop(table), ([theirs[table][0][0] + 2, 12], theirs.pop(table)[1] + learned))
            self.assertEqual(ours, theirs)
        self.assertEqual(read_safetensors(exports / "textual_inversion" / "wug.safetensors"), {"emb_params": ([2, 12], learned)})
        pictures = [self.draw(name, model, "a <wug>") for name, model in
                    (("run_draws", run), ("merged", exports / "diffusers"), ("alone", exports / "textual_inversion"))]
        self.assertEqual(pictures[0], pictures[1])
        self.assertEqual(pictures[0], pictures[2])
        self.assertNotEqual(pictures[0], self.draw("base", self.model, "a <wug>"))
        self.assertEqual(self.draw("other", run, "a ring"), self.draw("other_base", self.model, "a ring"))
        again = self.json("export", run, "--format", "textual_inversion", "--output", self.folder / "again")
        self.assertEqual(again["max_error"], 0)
        self.assertEqual(before, {path: path.read_bytes() for path in self.model.rglob("*") if path.is_file()})

    def test_it_learns_and_resumes_bit_for_bit(self):
        for precision in ("fp32", "bf16"):
            self.run_of(f"straight {precision}", f"train.precision={precision}")
            self.run_of(f"halves {precision}", f"train.precision={precision}", extra=("--stop-after", "10"))
            self.run_of(f"halves {precision}", f"train.precision={precision}")
            for name in (VECTORS, "optimizer.safetensors"):
                a, b = ((self.checkpoint(f"{run} {precision}", 20) / name).read_bytes() for run in ("straight", "halves"))
                self.assertEqual(a, b, f"{precision}: {name}")
            losses = [line["loss"] for line in self.metrics(f"straight {precision}")]
            self.assertLess(sum(losses[-5:]), 0.98 * sum(losses[:5]))

    def test_what_cannot_be_is_told(self):
        _, said = self.run_of("untriggered", "data.trigger=''", code=2)
        self.assertIn("none of the 32 captions has the word '<wug>'", said[1])
        _, said = self.run_of("known", "textual_inversion.token='<|end|>'", "data.trigger='<|end|>'", code=2)
        self.assertIn("is a token of the base already", said[1])
        _, said = self.lathe("export", self.model, "--format", "textual_inversion", "--output", self.folder / "none", code=2)
        self.assertIn("has none (textual_inversion.token)", said)


if __name__ == "__main__":
    import unittest
    unittest.main()

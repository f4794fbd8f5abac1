"""What a frozen text encoder makes of captions is kept in the cache: runs learn the same bits with it and without, whatever happened to
the cache meanwhile. (With a VAE: tests/peers/test_encodings.py.)"""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import write_pipeline
from program import Case, damage

RECIPE = """\
name: adapted
directory: {directory}
task: diffusion
model: {{path: model}}
adapter: {{kind: lora, rank: 2}}
data: {{train: [{{generate: shapes, count: 24}}], validation: [{{generate: shapes, count: 8}}], resolution: [8], flip: true, cache: {cache}}}
diffusion: {{condition_dropout: 0.2, sampling: {{steps: 2, count: 2}}}}
optimizer: {{name: adamw, learning_rate: 1e-2}}
train: {{max_steps: 8, global_batch_size: 8, micro_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
evaluate: {{every: 4}}
checkpoint: {{every: 4, keep_last: 10}}
"""


class TextEncodings(Case):
    def setUp(self):
        super().setUp()
        self.model = write_pipeline(self.folder / "model")

    def learn(self, name, *sets, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        said = self.lathe("train", self.recipe(name, RECIPE), *arguments, *extra)[1]
        checkpoint = self.checkpoint(name, 8)
        files = {path.name: path.read_bytes() for path in checkpoint.glob("*.safetensors")}
        lines = [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]
        return said, files, [(line.get("loss"), line.get("validation_loss")) for line in lines]

    def shards(self):
        return sorted((self.folder / "cache" / "encodings").glob("texts-*.h5"))

    def test_runs_learn_the_same_with_the_cache_and_without(self):
        for precision in ("fp32", "bf16"):
            with self.subTest(precision):
                set_precision = f"train.precision={precision}"
                said, files, losses = self.learn(f"cached {precision}", set_precision)
                self.assertIn("prepare: embeddings of captions: ", said)
                again = self.learn(f"found {precision}", set_precision)
                self.assertNotIn("embeddings of captions", again[0])
                none = self.learn(f"without {precision}", set_precision, "data.cache_encodings=false")
                self.assertNotIn("embeddings of captions", none[0])
                self.assertEqual((files, losses), again[1:])
                self.assertEqual((files, losses), none[1:])
                self.assertEqual(len(files), 2)

    def test_a_run_goes_on_with_a_cache_that_was_damaged_or_is_gone(self):
        _, files, losses = self.learn("straight")
        self.learn("halves", extra=("--stop-after", 4))
        damage(self.shards()[0])
        said, found, lines = self.learn("halves")
        self.assertIn("; 1 damaged files there are made again", said)
        self.assertIn("bit-exact", said)
        self.assertEqual((files, losses[-1]), (found, lines[-1]))
        self.learn("thirds", extra=("--stop-after", 4))
        shutil.rmtree(self.folder / "cache")
        self.assertEqual(files, self.learn("thirds", "data.cache_encodings=false")[1])

    def test_prepare_makes_what_the_run_reads(self):
        recipe = self.recipe("prepared", RECIPE)
        said = self.json("prepare", recipe)
        self.assertEqual(said["latents"], 0)
        self.assertGreater(said["text_embeddings"], 5)
        inspected = self.json("inspect", self.shards()[0])
        self.assertEqual(inspected["items"], said["text_embeddings"])
        self.assertEqual([part[0] for part in inspected["settings"]["encoder"]["parts"]], ["tokens", "pooled"])
        self.assertNotIn("embeddings of captions", self.lathe("train", recipe)[1])
        table = self.model / "text_encoder" / "model.safetensors"   # another encoder: its texts are made anew
        for place in ("text_encoder", "text_encoder_2"):
            damage(self.model / place / table.name)
        self.lathe("prepare", recipe)
        self.assertEqual(len(self.shards()), 2)


if __name__ == "__main__":
    import unittest
    unittest.main()

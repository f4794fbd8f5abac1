"""Folders of pictures of several shapes, with masks: previewed, prepared, trained; counted the same on two ranks."""
import json
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case, relative_difference

RECIPE = """\
name: folders
directory: {directory}
task: diffusion
model: {{family: sd3, num_layers: 1, num_attention_heads: 2, attention_head_dim: 16, patch_size: 4}}
tokenizer: {{train: clip_bpe, vocab_size: 600}}
data: {{train: [{{path: set, repeats: 2}}], resolution: 16, bucket_step: 8, masks: file, flip: true, validation: 0.2, trigger: sks,
        cache: {cache}}}
diffusion: {{text_encoder: {{hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}}, sampling: {{steps: 2, count: 2}}}}
train: {{max_steps: 12, global_batch_size: 8, micro_batch_size: 8, precision: fp32, threads: 1, seed: 5}}
checkpoint: {{every: 12}}
"""


def write_png(path, width, height, pixel):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in pixel(x, y)) for y in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Folders(Case):
    def setUp(self):
        super().setUp()
        folder = self.folder / "set"
        folder.mkdir()
        for i in range(20):
            write_png(folder / f"square {i}.png", 20, 20, lambda x, y: ((x * 12 + i * 9) % 256, y * 12, (i * 40) % 256))
        for i in range(9):
            write_png(folder / f"wide {i}.png", 48, 16, lambda x, y: (x * 5, (y * 15 + i * 20) % 256, (i * 50) % 256))
            write_png(folder / f"wide {i}-mask.png", 48, 16, lambda x, y: (255 * (x < 24),) * 3)
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    def test_nothing_of_the_users_is_changed_and_another_recipe_is_refused(self):
        files = lambda: {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (self.folder / "set").rglob("*")}
        before = files()
        weights = self.train("run")
        learned = weights.read_bytes()
        self.assertEqual(files(), before)   # the damaged one and its mask too
        arguments = "train", self.recipe("run", RECIPE), "--quiet", "--set"
        for change in ("train.seed=6", "data.flip=false", "optimizer.learning_rate=1e-5"):
            said = self.lathe(*arguments, change, code=2)[1]
            self.assertIn(change.split("=")[0], said)
            self.assertIn("--fresh", said)
        self.assertEqual(weights.read_bytes(), learned)
        # A picture that changed is not learned from what was prepared before.
        write_png(self.folder / "set" / "square 3.png", 20, 20, lambda x, y: (x * 12, y * 3, 90))
        said = self.lathe("train", self.recipe("run", RECIPE), "--set", "train.max_steps=14", code=2)[1]
        self.assertIn("what it reads has changed since", said)

    def train(self, name, *sets, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        self.lathe("train", self.recipe(name, RECIPE), "--quiet", *arguments, *extra)
        step = self.folder / name / "checkpoints" / "step-00000012"
        return step / "transformer" / "diffusion_pytorch_model.safetensors"

    def test_buckets_and_masks_count_the_same_in_parts_and_on_two_ranks(self):
        whole = self.train("whole", "data.masks=none")
        parts = self.train("parts", "data.masks=none", "train.micro_batch_size=2")
        two = self.train("two", "data.masks=none", "train.micro_batch_size=4", extra=("--processes", "2"))
        # What begins at zero steps by the sign of gradients of rounding's size: 4.6e-5 on a processor without AMX.
        self.assertLess(relative_difference(whole, parts), 1e-4)
        self.assertLess(relative_difference(whole, two), 1e-4)
        masked = self.train("masked")
        self.assertGreater(relative_difference(whole, masked), 1e-4)
        # The number of values under soft masks is rounded in every micro-batch.
        self.assertLess(relative_difference(masked, self.train("masked_parts", "train.micro_batch_size=2")), 1e-4)

    def test_preview_shows_the_rows_and_the_report(self):
        recipe = self.recipe("run", RECIPE)
        shown = json.loads(self.lathe("preview", recipe, "--count", "24", "--json", "--quiet")[0])
        self.assertEqual(len(shown["pictures"]), 24)
        for step in range(3):   # of one size each
            self.assertEqual(len({(p["width"], p["height"]) for p in shown["pictures"][8 * step:8 * step + 8]}), 1)
        self.assertEqual({(p["width"], p["height"]) for p in shown["pictures"]}, {(16, 16), (24, 8)})
        self.assertEqual({p["caption"] for p in shown["pictures"]}, {"sks, square", "sks, wide"})
        self.assertTrue(any(p["mirrored"] for p in shown["pictures"]))
        self.assertTrue(Path(shown["sheet"]).read_bytes().startswith(b"\x89PNG"))
        notes = "\n".join(shown["notes"])
        self.assertIn("1 file(s) cannot be read and are left out", notes)
        self.assertIn("9 of 29 picture(s) have a mask", notes)
        ledger = shown["ledger"][0]
        self.assertEqual(ledger["files"], ledger["kept"] + ledger["held_out"] + ledger["duplicates"] + ledger["damaged"])
        self.assertEqual((ledger["files"], ledger["damaged"], ledger["held_out"]), (30, 1, 6))
        prepared = json.loads(self.lathe("prepare", recipe, "--json", "--quiet")[0])
        self.assertTrue(prepared["was_ready"])
        inspected = json.loads(self.lathe("inspect", prepared["sets"][0]["shards"][0], "--json", "--quiet")[0])
        self.assertEqual((inspected["masks"], inspected["channels"]), (True, 3))
        self.lathe("preview", recipe, "--strict", "--quiet", code=1)


if __name__ == "__main__":
    import unittest

    unittest.main()

"""Picture shards read by h5py: values, captions, masks and layout; drawn pictures under the Python judge."""
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "end_to_end"), str(ROOT / "scripts")]
import shapes
from program import Case

RECIPE = """\
name: pictures
directory: {directory}
task: diffusion
model: {{family: sd3, num_layers: 1, num_attention_heads: 2, attention_head_dim: 16, patch_size: 4}}
tokenizer: {{train: clip_bpe, vocab_size: 600}}
data: {{train: [SOURCE], resolution: 16, cache: {cache}}}
train: {{max_steps: 1}}
"""


def texts(shard, name):
    """The texts that lie one after the other in a dataset."""
    all_bytes, offsets = shard[name + "s"][:].tobytes(), shard[name + "_offsets"][:]
    return [all_bytes[a:b].decode() for a, b in zip(offsets, offsets[1:])]


class Shards(Case):
    def prepare(self, source, *sets):
        recipe = self.recipe("run", RECIPE.replace("SOURCE", source))
        arguments = [item for value in sets for item in ("--set", value)]
        return json.loads(self.lathe("prepare", recipe, "--json", "--quiet", *arguments)[0])

    def make(self, folder, count):
        subprocess.run([sys.executable, str(ROOT / "scripts" / "shapes.py"), "make", str(folder), "--count", str(count)],
                       check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]

    def test_h5py_reads_what_the_folder_holds(self):
        folder = self.folder / "set"
        records = self.make(folder, 60)
        path = json.dumps(str(folder)).replace("{", "{{").replace("}", "}}")
        prepared = self.prepare("{{path: " + path + "}}")
        self.assertEqual([entry["pictures"] for entry in prepared["sets"]], [60])
        self.assertEqual((prepared["ledger"][0]["files"], prepared["ledger"][0]["kept"]), (60, 60))
        with h5py.File(prepared["sets"][0]["shards"][0]) as shard:
            self.assertEqual(shard.attrs["format"].decode(), "lathe-pictures")
            self.assertEqual(json.loads(shard.attrs["settings"])["width"], 16)
            pixels = shard["pixels"]
            self.assertEqual((pixels.shape, pixels.dtype, pixels.chunks), ((60, 16, 16, 3), numpy.uint16, None))
            self.assertEqual(pixels.id.get_offset() % 4096, 0)
            self.assertEqual(texts(shard, "caption"), [record["text"] for record in records])
            self.assertEqual(texts(shard, "name"), ["set/" + record["file_name"] for record in records])
            self.assertEqual(shard["numbers"][:].tolist(), list(range(60)))
            for index, record in enumerate(records):
                values, side = shapes.read_png(folder / record["file_name"])
                wanted = 257 * numpy.array(values, numpy.uint16).reshape(side, side, 3)
                self.assertTrue((pixels[index] == wanted).all(), record["file_name"])

    def test_drawn_pictures_are_what_their_captions_say(self):
        prepared = self.prepare("{{generate: shapes, count: 1000}}", "data.validation=0.1")
        train, held = prepared["sets"]
        self.assertEqual((train["pictures"], held["pictures"]), (900, 100))
        out, lines = self.folder / "drawn", []
        out.mkdir()
        for entry in (train, held):
            with h5py.File(entry["shards"][0]) as shard:
                for index, caption in enumerate(texts(shard, "caption")):
                    name = f"{entry['name']}{index}.png"
                    pixels = [tuple(int(v) for v in p) for p in (shard["pixels"][index] // 257).reshape(-1, 3)]
                    shapes.write_png(out / name, pixels, 16)
                    lines.append(json.dumps({"file_name": name, "text": caption}))
        (out / "metadata.jsonl").write_text("\n".join(lines) + "\n")
        judged = subprocess.run([sys.executable, str(ROOT / "scripts" / "shapes.py"), "judge", str(out)], check=True,
                                capture_output=True, text=True).stdout
        result = json.loads(judged)
        self.assertGreaterEqual(result["all"], 0.995)
        self.assertEqual(result["pictures"], 1000)
        self.assertNotIn("held_out", result)


if __name__ == "__main__":
    import unittest

    unittest.main()

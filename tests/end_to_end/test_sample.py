"""`lathe sample`, and export, verify and inspect of text-to-picture models: a pipeline folder that no library wrote."""
import json
import struct
import unittest
import zlib

from picture_model import write_pipeline
from program import Case

PROMPTS = "a red circle\na blue square\n\nété à gauche\n"


def read_png(path):
    """(width, height, values) of an 8-bit PNG without interlacing, whatever its filters."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        packed += body if kind == b"IDAT" else b""
        at += size + 12
    assert depth == 8
    step = {0: 1, 2: 3, 6: 4}[colour]
    raw, rows, before = zlib.decompress(packed), [], bytes(width * step)
    for y in range(height):
        kind, line = raw[y * (width * step + 1)], bytearray(raw[y * (width * step + 1) + 1:(y + 1) * (width * step + 1)])
        for x in range(len(line)):
            a, b, c = line[x - step] if x >= step else 0, before[x], before[x - step] if x >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
        rows.append(bytes(line))
        before = bytes(line)
    return width, height, b"".join(rows)


class Sample(Case):
    def setUp(self):
        super().setUp()
        self.model = write_pipeline(self.folder / "model")
        (self.folder / "prompts.txt").write_text(PROMPTS, encoding="utf-8")

    def draw(self, name, *extra):
        result = self.json("sample", self.model, "--prompts", "prompts.txt", "--steps", "4", "--output", name, *extra)
        lines = (self.folder / name / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        return result, [json.loads(line) for line in lines]

    def test_pictures_captions_and_a_contact_sheet(self):
        result, captions = self.draw("out", "--count", "2", "--guidance", "2", "--seed", "7")
        self.assertEqual([result[key] for key in ("pictures", "steps", "guidance", "seed", "sampler")], [6, 4, 2, 7, "flow_euler"])
        self.assertEqual([c["text"] for c in captions], [p for p in PROMPTS.split("\n") if p for _ in range(2)])
        pictures = [read_png(self.folder / "out" / c["file_name"]) for c in captions]
        self.assertEqual({p[:2] for p in pictures}, {(8, 8)})
        self.assertEqual(len({p[2] for p in pictures}), 6)   # noise and prompt differ
        self.assertEqual(read_png(self.folder / "out" / "contact.png")[:2], (3 * 66 - 2, 2 * 66 - 2))

    def test_the_same_again_and_other_seeds(self):
        self.draw("a", "--seed", "7")
        self.draw("b", "--seed", "7")
        self.draw("c", "--seed", "8")
        for name in ("00000.png", "00002.png", "contact.png"):
            read = [(self.folder / place / name).read_bytes() for place in "abc"]
            self.assertEqual(read[0], read[1])
            self.assertNotEqual(read[0], read[2])
        # A picture does not depend on what is drawn beside it.
        self.lathe("sample", self.model, "--prompt", "a red circle", "--steps", "4", "--seed", "7", "--output", "d")
        self.assertEqual(read_png(self.folder / "d" / "00000.png"), read_png(self.folder / "a" / "00000.png"))

    def test_sizes(self):
        self.lathe("sample", self.model, "--prompt", "x", "--steps", "1", "--height", "4", "--width", "6", "--output", "out")
        self.assertEqual(read_png(self.folder / "out" / "00000.png")[:2], (6, 4))

    def test_mistakes(self):
        def refused(code, text, *arguments):
            self.assertIn(text, self.lathe("sample", *arguments, code=code)[1])

        refused(2, "--prompt TEXT and --prompts FILE", self.model, "--output", "out")
        refused(2, "flow_euler", self.model, "--prompt", "x", "--sampler", "ddim", "--output", "out")
        refused(2, "'euler_a' is not one of", self.model, "--prompt", "x", "--sampler", "euler_a", "--output", "out")
        refused(2, "not an empty folder", self.model, "--prompt", "x", "--output", "model")
        refused(2, "sides are multiples of 2", self.model, "--prompt", "x", "--height", "5", "--output", "out1")
        refused(2, "does not exist", "nowhere", "--prompt", "x", "--output", "out")
        self.assertIn("lathe sample", self.lathe("generate", self.model, "--prompt", "x", code=1)[1])
        self.assertFalse((self.folder / "out").exists())

    def test_export_verify_inspect(self):
        result = self.json("export", self.model, "--output", "export")
        self.assertTrue(result["passed"])
        self.assertLess(result["max_error"], 1e-5)
        export = self.folder / "export"
        self.assertIn("max_sequence_length=0", (export / "README.md").read_text())
        self.assertTrue(self.json("verify", "export")["passed"])
        drawn = self.json("sample", "export", "--prompt", "x", "--steps", "1", "--output", "drawn")
        self.assertEqual([drawn["steps"], drawn["guidance"]], [1, 3])
        seen = self.json("inspect", "export")
        self.assertEqual(seen["scheduler"]["shift"], 1.5)
        self.assertGreater(seen["parameters"]["transformer"], 10000)
        # Nothing but an export of ours is replaced; a changed weight or another network is found.
        self.assertIn("exists", self.lathe("export", self.model, "--output", "export", code=1)[1])
        weights = export / "transformer" / "diffusion_pytorch_model.safetensors"
        good = weights.read_bytes()
        weights.write_bytes(good[:-2000] + bytes([good[-2000] ^ 64]) + good[-1999:])
        output = self.json("verify", "export", code=1)
        self.assertFalse(output["passed"])
        self.assertIn("SHA-256", output["damaged"])
        self.assertIn("damaged", self.lathe("inspect", "export", code=1)[1])
        weights.write_bytes(good)
        self.assertTrue(self.json("verify", "export")["passed"])
        other = self.json("export", write_pipeline(self.folder / "other", seed=5), "--output", "export2")
        self.assertTrue(other["passed"])
        weights.write_bytes((self.folder / "export2" / "transformer" / weights.name).read_bytes())
        self.assertGreater(self.json("verify", "export", code=1)["max_error"], 1e-3)
        self.json("export", self.model, "--output", "export", "--overwrite")
        self.assertTrue(self.json("verify", "export")["passed"])
        (export / "mine.txt").write_text("x")
        self.assertIn("mine.txt", self.lathe("export", self.model, "--output", "export", "--overwrite", code=1)[1])

    def test_formats_that_do_not_fit(self):
        self.assertIn("diffusers", self.lathe("export", self.model, "--format", "gguf", "--output", "out", code=2)[1])

    def test_16_bits(self):
        for dtype in ("bf16", "fp16"):
            result = self.json("export", self.model, "--dtype", dtype, "--output", dtype)
            self.assertTrue(result["passed"])
            self.assertGreater(result["rounding_error"], 0)


if __name__ == "__main__":
    unittest.main()

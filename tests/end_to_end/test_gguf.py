"""GGUF exports through the program: from a run and from a folder, verified, inspected, generated from, and spoiled."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case


class Gguf(Case):
    def test_check_tells_what_llama_cpp_would_lack(self):
        def told(*sets):
            arguments = [item for value in ("export=[{format: gguf}]", *sets) for item in ("--set", value)]
            return self.lathe("check", self.recipe("run"), *arguments)[0].split("# export gguf: ")[1]

        self.assertIn("llama.cpp and Ollama read it", told())
        self.assertIn("cannot be written: llama.cpp has no dynamic rope_scaling", told("model.rope_scaling={rope_type: dynamic, factor: 2.0}"))

    def test_a_run_exports_what_generates_the_same(self):
        self.train("run", "train.max_steps=30",
                   "export=[{format: huggingface, dtype: fp32}, {format: gguf, quantize: f32}, "
                   f"{{format: gguf, quantize: q8_0, directory: {json.dumps(str(self.folder / 'small'))}}}]")
        export = self.folder / "run" / "export"
        results = json.loads((self.folder / "run" / "result.json").read_text())
        self.assertEqual([entry["format"] for entry in results["exports"]], ["huggingface", "gguf", "gguf"])
        for folder, name in ((export / "gguf", "model-F32.gguf"), (self.folder / "small", "model-Q8_0.gguf")):
            for file in (name, "Modelfile", "README.md", "reference.json", "verification.json", "MANIFEST.json"):
                self.assertTrue((folder / file).exists(), file)
            verified = json.loads(self.lathe("verify", folder, "--json", "--quiet")[0])
            self.assertTrue(verified["passed"])
            self.assertLess(verified["max_error"], 1e-4)
        self.assertIn("FROM ./model-F32.gguf", (export / "gguf" / "Modelfile").read_text())
        small = json.loads((self.folder / "small" / "verification.json").read_text())
        self.assertGreater(small["rounding_error"], 0)

        def text(model):
            return json.loads(self.lathe("generate", model, "--prompt", "the cat", "--max-tokens", "12", "--json", "--quiet")[0])

        self.assertEqual(text(export / "gguf")["completions"], text(export / "huggingface")["completions"])
        self.assertEqual(text(export / "gguf" / "model-F32.gguf")["completions"], text(export / "gguf")["completions"])

        seen = json.loads(self.lathe("inspect", self.folder / "small" / "model-Q8_0.gguf", "--json")[0])
        self.assertEqual(seen["metadata"]["general.architecture"], "llama")
        self.assertEqual(seen["metadata"]["tokenizer.ggml.pre"], "gpt-2")
        types = {tensor["name"]: tensor["dtype"] for tensor in seen["tensors"]}
        self.assertEqual(types["blk.0.attn_q.weight"], "Q8_0")
        self.assertEqual(types["blk.0.attn_norm.weight"], "F32")
        self.assertNotIn("output.weight", types)   # tied

    def test_a_spoiled_file_fails_verification_or_is_refused(self):
        self.train("run", "train.max_steps=5", "export=[{format: gguf, quantize: f16}]")
        path = self.folder / "run" / "export" / "gguf" / "model-F16.gguf"
        whole = path.read_bytes()
        spoiled = bytearray(whole)
        spoiled[-1001] ^= 0x40   # the high byte of a half
        path.write_bytes(spoiled)
        self.lathe("verify", path.parent, code=1)
        path.write_bytes(whole[: len(whole) // 2])
        _, log = self.lathe("inspect", path, code=1)
        self.assertIn("cut off", log)

    def test_what_cannot_be_said_is_refused_before_anything_is_written(self):
        self.train("run", "train.max_steps=5")
        out = self.folder / "out"
        _, log = self.lathe("export", self.folder / "run", "--quantize", "q8_0", "--output", out, code=2)
        self.assertIn("--format gguf", log)
        self.lathe("export", self.folder / "run", "--format", "gguf", "--quantize", "q9", "--output", out, code=2)
        self.assertFalse(out.exists())
        recipe = self.recipe("other")
        recipe.write_text(recipe.read_text() + "export: [{format: huggingface, quantize: q8_0}]\n")
        _, log = self.lathe("check", recipe, code=2)
        self.assertIn("goes with format gguf", log)

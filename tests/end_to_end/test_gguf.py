"""GGUF exports through the program: from a run and from a folder, verified, inspected, generated from, and spoiled."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case


class Gguf(Case):
    def test_what_llama_cpp_would_not_run_is_told_before_training(self):
        def check(*sets, code=0, command="check"):
            arguments = [item for value in ("export=[{format: gguf}]", *sets) for item in ("--set", value)]
            return self.lathe(command, self.recipe("run"), *arguments, code=code)[1 if code else 0]

        self.assertIn("# export gguf: every tensor and the tokenizer in one file", check())
        for command in ("check", "plan", "train"):
            dynamic = check("model.rope_scaling={rope_type: dynamic, factor: 2.0}", code=2, command=command)
            self.assertIn("export gguf: ", dynamic)
            self.assertIn("llama.cpp has no dynamic rope_scaling", dynamic)
            self.assertIn("llama.cpp runs no unigram tokenizer", check("tokenizer={train: unigram}", code=2, command=command))
        self.assertFalse((self.folder / "run").exists())

    def test_an_export_that_fails_holds_up_no_other(self):
        (self.folder / "file").write_text("a file where a folder would have to be")
        blocked = self.folder / "file" / "gguf"
        exports = f"export=[{{format: gguf, directory: {json.dumps(str(blocked))}}}, {{format: huggingface}}]"
        said, log = self.lathe("train", self.recipe("run"), "--set", "train.max_steps=6", "--set", "schedule.warmup_steps=1", "--set",
                               exports, code=1)
        self.assertIn("lathe: export gguf: ", log)
        self.assertIn("export gguf is not there yet:  lathe export ", said)
        result = json.loads((self.folder / "run" / "result.json").read_text())
        self.assertTrue(result["finished"])
        self.assertIn("error", result["exports"][0])
        self.assertLess(result["exports"][1]["max_error"], 1e-4)
        self.assertTrue((self.folder / "run" / "export" / "huggingface" / "model.safetensors").exists())
        self.assertTrue((self.folder / "run" / "report.html").exists())
        self.lathe("train", self.recipe("run"), "--set", "train.max_steps=6", "--set", "schedule.warmup_steps=1", "--set", exports)

    def test_an_export_never_goes_over_base_or_run(self):
        self.train("run", "train.max_steps=6", "schedule.warmup_steps=1", "export=[{format: huggingface}]")
        base = self.folder / "run" / "export" / "huggingface"
        for place in (base, self.folder / "next"):
            log = self.lathe("check", self.recipe("next"), "--set", f"model={{path: {json.dumps(str(base))}}}", "--set",
                             "tokenizer={}", "--set", f"export=[{{format: huggingface, directory: {json.dumps(str(place))}}}]",
                             code=2)[1]
            self.assertIn("which would be lost", log)

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

"""llama.cpp loads every family's GGUF: the same ids on hard texts, the same 64 greedy tokens at F32; Q8_0 and Q4_K_M load."""
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
sys.path.insert(0, str(ROOT / "tests" / "peers"))
import check_gguf
from program import Case

GREEDY = 64


class LlamaCpp(Case):
    @classmethod
    def setUpClass(cls):
        cls.python = subprocess.run([ROOT / "scripts" / "peers_env", "llama_cpp"], capture_output=True, text=True,
                                    check=True).stdout.strip().splitlines()[-1]

    def run_file(self, path, prompt_ids):
        request = {"texts": check_gguf.HARD, "prompt_ids": prompt_ids, "greedy": GREEDY}
        result = subprocess.run([self.python, ROOT / "tests" / "peers" / "run_llama_cpp.py", path], input=json.dumps(request),
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        return json.loads(result.stdout)

    def test_every_family(self):
        lines = []
        for name, folder in check_gguf.make_models(self.folder / "models").items():
            ours = None
            for quantize in ("f32", "q8_0", "q4_k_m"):
                with self.subTest(name=name, quantize=quantize):
                    output = self.folder / f"{name}-{quantize}"
                    self.lathe("export", folder, "--format", "gguf", "--quantize", quantize, "--output", output)
                    path = next(output.glob("*.gguf"))
                    prompt_ids = self.ids(folder, "The cat sat on")
                    theirs = self.run_file(path, prompt_ids)
                    self.assertEqual(theirs["ids"], [self.ids(folder, text) for text in check_gguf.HARD])
                    ours = json.loads(self.lathe("generate", path, "--raw", "--prompt", "The cat sat on", "--max-tokens", GREEDY,
                                                 "--temperature", "0", "--json", "--quiet")[0])["completions"][0]["tokens"]
                    same = next((i for i, (a, b) in enumerate(zip(ours, theirs["greedy"])) if a != b), len(ours))
                    lines.append(f"{name} {quantize}: {same} of {GREEDY} greedy tokens equal")
                    if quantize == "f32":   # llama.cpp computes quantised products in integers
                        self.assertEqual(ours, theirs["greedy"][: len(ours)])
                        self.assertGreater(len(ours), GREEDY // 2)
        print("  " + "\n  ".join(lines), flush=True)

    def test_trained_tokenizers(self):
        texts = [text for text in check_gguf.HARD if text]
        for kind, pattern, size in (("byte_bpe", "gpt2", 512), ("byte_bpe", "llama3", 512), ("bpe", "gpt2", 420)):
            with self.subTest(kind=kind, pattern=pattern):
                name = f"{kind}-{pattern}"
                recipe = self.recipe(name)
                recipe.write_text(recipe.read_text().replace("{train: byte_bpe, vocab_size: 512}",
                                                             f"{{train: {kind}, vocab_size: {size}, pattern: {pattern}}}"))
                self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=5", "--set", "export=[{format: gguf}]")
                path = next((self.folder / name / "export" / "gguf").glob("*.gguf"))
                checkpoint = self.checkpoint(name, 5)
                self.assertEqual(self.run_file(path, [5])["ids"], [self.ids(checkpoint, text) for text in texts])

    def ids(self, tokenizer, text):
        return json.loads(self.lathe("tokenize", "--tokenizer", tokenizer, "--json", input=text.encode())[0])["ids"]

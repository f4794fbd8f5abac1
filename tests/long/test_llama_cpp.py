"""llama.cpp beside lathe: ids of hard texts, 64 greedy tokens at F32 of every family, quantised files beside its own."""
import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
sys.path.insert(0, str(ROOT / "tests" / "peers"))
import check_gguf
import numpy
from gguf import GGUFReader
from program import RECIPE, Case

GREEDY = 64
SHARED = Path(os.environ.get("LATHE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "tokenizers" / "hard_texts"


def hard_texts():
    """Our own, and llama.cpp's and the naughty strings where they are there."""
    texts = [text for text in check_gguf.HARD if text]
    for path in sorted(SHARED.glob("*.inp")):
        texts += [text.removeprefix("\n").removesuffix("\n") for text in path.read_text(encoding="utf-8").split("__ggml_vocab_test__")]
    naughty = SHARED / "blns.json"
    if naughty.exists():
        texts += json.loads(naughty.read_text(encoding="utf-8"))
    return sorted({text for text in texts if text and "\0" not in text})   # its tokenize takes C strings


class LlamaCpp(Case):
    @classmethod
    def setUpClass(cls):
        cls.python = os.environ.get("LATHE_LLAMA_CPP_PYTHON")   # one that has llama_cpp already
        if not cls.python:
            cls.python = subprocess.run([ROOT / "scripts" / "peers_env", "llama_cpp"], capture_output=True, text=True,
                                        check=True).stdout.strip().splitlines()[-1]
        cls.texts = hard_texts()
        print(f"  {len(cls.texts)} hard texts", flush=True)

    def ask(self, path, **request):
        result = subprocess.run([self.python, ROOT / "tests" / "peers" / "run_llama_cpp.py", path], input=json.dumps(request),
                                capture_output=True, text=True, timeout=900)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        return json.loads(result.stdout)

    def ids(self, tokenizer, text):
        return json.loads(self.lathe("tokenize", "--tokenizer", tokenizer, "--json", input=text.encode())[0])["ids"]

    def all_ids(self, tokenizer):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in self.texts)
        output = self.lathe("tokenize", "--tokenizer", tokenizer, "--lines", input=lines.encode())[0]
        return [json.loads(line)["ids"] for line in output.splitlines()]

    def check_ids(self, theirs, ours):
        different = [(text, a, b) for text, a, b in zip(self.texts, theirs, ours, strict=True) if a != b]
        self.assertFalse(different, f"{len(different)} of {len(self.texts)} texts, such as {different[:2]!r}")

    def test_every_family(self):
        folders = check_gguf.make_models(self.folder / "models")
        ours_ids = self.all_ids(next(iter(folders.values())))   # they share their tokenizer
        for name, folder in folders.items():
            for quantize in ("f32", "q8_0", "q4_k_m"):
                with self.subTest(name=name, quantize=quantize):
                    output = self.folder / f"{name}-{quantize}"
                    self.lathe("export", folder, "--format", "gguf", "--quantize", quantize, "--output", output)
                    path = next(output.glob("*.gguf"))
                    theirs = self.ask(path, texts=self.texts if quantize == "f32" else [], prompt_ids=self.ids(folder, "The cat sat on"),
                                      greedy=GREEDY)
                    ours = json.loads(self.lathe("generate", path, "--raw", "--prompt", "The cat sat on", "--max-tokens", GREEDY,
                                                 "--temperature", "0", "--json", "--quiet")[0])["completions"][0]["tokens"]
                    same = next((i for i, (a, b) in enumerate(zip(ours, theirs["greedy"])) if a != b), len(ours))
                    print(f"  {name} {quantize}: {same} of {len(ours)} greedy tokens equal", flush=True)
                    if quantize == "f32":   # llama.cpp computes quantised products in integers
                        self.check_ids(theirs["ids"], ours_ids)
                        self.assertEqual(ours, theirs["greedy"][: len(ours)])
                        self.assertGreater(len(ours), GREEDY // 2)

    def test_trained_tokenizers(self):
        for kind, pattern, size in (("byte_bpe", "gpt2", 512), ("byte_bpe", "llama3", 512), ("bpe", "gpt2", 420)):
            with self.subTest(kind=kind, pattern=pattern):
                name = f"{kind}-{pattern}"
                recipe = self.recipe(name)
                recipe.write_text(recipe.read_text().replace("{train: byte_bpe, vocab_size: 512}",
                                                             f"{{train: {kind}, vocab_size: {size}, pattern: {pattern}}}"))
                self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=5", "--set", "export=[{format: gguf}]")
                path = next((self.folder / name / "export" / "gguf").glob("*.gguf"))
                self.check_ids(self.ask(path, texts=self.texts, prompt_ids=[5], greedy=1)["ids"], self.all_ids(self.checkpoint(name, 5)))

    def test_quantised_files_beside_its_own(self):
        """A model that has learned something: losses of our files and of llama.cpp's, made from our F32 file."""
        recipe = self.recipe("learned", RECIPE.replace("hidden_size: 64, intermediate_size: 128", "hidden_size: 256, intermediate_size: 512")
                             .replace("vocab_size: 512", "vocab_size: 2048"))
        code = Path(os.__file__).parent
        self.lathe("train", recipe, "--quiet", "--set", f"data.train=[{{path: {json.dumps(str(code / 'email'))}, glob: '**/*.py'}}]",
                   "--set", "data.sequence_length=256", "--set", "train.max_steps=300", "--set", "train.global_batch_size=8",
                   "--set", "train.threads=2", "--set", "evaluate.every=100", "--set", "checkpoint.every=100", timeout=3600)
        text = self.folder / "text.py"
        text.write_bytes((code / "argparse.py").read_bytes()[:60000])
        files, losses = {}, {}
        for quantize in ("f32", "q8_0", "q4_k_m"):
            output = self.folder / quantize
            self.lathe("export", self.folder / "learned", "--format", "gguf", "--quantize", quantize, "--output", output)
            files[f"lathe {quantize}"] = next(output.glob("*.gguf"))
        for kind in ("Q8_0", "Q4_K_M"):
            path = self.folder / f"theirs-{kind}.gguf"
            self.ask(files["lathe f32"], quantize=kind, output=str(path))
            files[f"llama.cpp {kind.lower()}"] = path
        ids = self.ids(self.checkpoint("learned", 300), text.read_text())
        for name, path in files.items():
            losses[name] = self.ask(path, score_ids=ids, window=256)["loss"]
            print(f"  {name}: perplexity {math.exp(losses[name]):.4f} in llama.cpp, {path.stat().st_size} bytes", flush=True)
        ours = json.loads(self.lathe("evaluate", files["lathe f32"], "--data", text, "--context", "256", "--json", "--quiet")[0])["loss"]
        print(f"  lathe f32: perplexity {math.exp(ours):.4f} in lathe, {len(ids)} tokens", flush=True)
        self.assertAlmostEqual(losses["lathe f32"], ours, delta=1e-3)
        for quantize, allowed in (("q8_0", 1e-3), ("q4_k_m", 1e-2)):
            self.same_types(files[f"lathe {quantize}"], files[f"llama.cpp {quantize}"])
            self.assertLess(losses[f"lathe {quantize}"], losses[f"llama.cpp {quantize}"] + allowed)

    def same_types(self, ours, theirs):
        tables = [{tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in (ours, theirs)]
        self.assertEqual(*({name: tensor.tensor_type.name for name, tensor in table.items()} for table in tables))
        equal = sum(numpy.array_equal(tables[0][name].data, tables[1][name].data) for name in tables[0])
        print(f"  {equal} of {len(tables[0])} tensors equal to the byte", flush=True)

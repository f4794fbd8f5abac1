"""llama.cpp beside lathe: ids of hard texts, 64 greedy tokens at F32 of every family, quantised files beside its own."""
import json
import math
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from llama_cpp_case import LlamaCppCase   # it finds the modules of tests/peers and tests/end_to_end
import check_gguf
import numpy
from gguf import GGUFReader
from program import RECIPE

GREEDY = 64


class LlamaCpp(LlamaCppCase):
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

    def test_a_mistral_whose_window_is_shorter_than_the_text(self):
        """llama.cpp has no windows for this architecture: the file promises the context within which they change nothing."""
        window, prompt = 32, "The cat sat on"
        folder = check_gguf.make_models(self.folder / "models", ["mistral-window"])["mistral-window"]
        self.lathe("export", folder, "--format", "gguf", "--quantize", "f32", "--output", self.folder / "out")
        path = next((self.folder / "out").glob("*.gguf"))
        start = self.ids(folder, prompt)
        theirs = self.ask(path, texts=[], prompt_ids=start, greedy=GREEDY)
        self.assertEqual(theirs["trained_context"], window)
        ours = self.json("generate", folder, "--raw", "--prompt", prompt, "--max-tokens", GREEDY, "--temperature", "0")["completions"][0]["tokens"]
        same = next((i for i, (a, b) in enumerate(zip(ours, theirs["greedy"])) if a != b), len(ours))
        print(f"  mistral, window of {window}: {same} of {len(ours)} greedy tokens equal after {len(start)}", flush=True)
        self.assertGreaterEqual(same, window - len(start))

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
                   "--set", "data.sequence_length=256", "--set", "train.max_steps=120", "--set", "train.global_batch_size=4",
                   "--set", "train.threads=2", "--set", "evaluate.every=120", "--set", "checkpoint.every=120", timeout=3600)
        text = self.folder / "text.py"
        text.write_bytes((code / "argparse.py").read_bytes()[:16000])
        files, losses = {}, {}
        for quantize in ("f32", "q8_0", "q4_k_m"):
            output = self.folder / quantize
            self.lathe("export", self.folder / "learned", "--format", "gguf", "--quantize", quantize, "--output", output)
            files[f"lathe {quantize}"] = next(output.glob("*.gguf"))
        for kind in ("Q8_0", "Q4_K_M"):
            path = self.folder / f"theirs-{kind}.gguf"
            self.ask(files["lathe f32"], quantize=kind, output=str(path))
            files[f"llama.cpp {kind.lower()}"] = path
        ids = self.ids(self.checkpoint("learned", 120), text.read_text())
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

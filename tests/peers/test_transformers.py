"""What lathe writes, read and run by the reference libraries: transformers, tokenizers, safetensors, h5py, tensorboard."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_families
import check_gguf
from program import LATHE, RECIPE, Case

HARD = ["The cat", " leading", "trailing ", "a\n\n\tb  \n", "été œuvre ’ Straße", "\U0001f600 \u200d x", "123456 7,8.9",
        "def f(x):\n    return x ** 2  # ok\n", "", "\x00\x01", "<|endoftext|>", "don't we'LL I'm", "日本語 текст"]


class Transformers(Case):
    def setUp(self):
        super().setUp()
        torch.set_grad_enabled(False)
        self.addCleanup(torch.set_grad_enabled, True)   # other tests of this process learn

    MODELS = {
        "llama-tied": "{family: llama, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 4, "
                      "num_key_value_heads: 2, tie_word_embeddings: true}",
        "llama-untied": "{family: llama, hidden_size: 48, intermediate_size: 80, num_hidden_layers: 2, num_attention_heads: 3, "
                        "num_key_value_heads: 3, tie_word_embeddings: false, rope_theta: 500000.0}",
        "gpt2": "{family: gpt2, n_embd: 64, n_layer: 2, n_head: 4}",
    }

    def export(self, name, model, dtype, tokenizer="{train: byte_bpe, vocab_size: 512}"):
        text = re.sub(r"model: .*?\}\}\n", lambda _: "model: " + model.replace("{", "{{").replace("}", "}}") + "\n", RECIPE,
                      flags=re.DOTALL)
        text = re.sub(r"tokenizer: .*\n", lambda _: "tokenizer: " + tokenizer.replace("{", "{{").replace("}", "}}") + "\n", text)
        path = self.recipe(name, text)
        self.lathe("train", path, "--quiet", "--set", "train.max_steps=12", "--set", "optimizer.learning_rate=1e-2", "--set",
                   f"export=[{{format: huggingface, dtype: {dtype}}}]")
        return self.folder / name / "export" / "huggingface"

    def test_exports_load_with_the_same_logits_ids_and_greedy_tokens(self):
        for name, model in self.MODELS.items():
            for dtype in ("fp32", "bf16"):
                with self.subTest(name=name, dtype=dtype):
                    self.compare(self.export(f"{name}-{dtype}", model, dtype))

    def test_a_folder_in_several_files_loads(self):
        folder = self.export("sharded", self.MODELS["llama-untied"], "fp32, max_shard_bytes: 100_000")
        files = sorted(folder.glob("model-*-of-*.safetensors"))
        self.assertGreater(len(files), 2)
        self.assertFalse((folder / "model.safetensors").exists())
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        self.assertEqual(sorted(set(index["weight_map"].values())), [path.name for path in files])
        self.compare(folder)

    def compare(self, folder):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        reference = json.loads((folder / "reference.json").read_text())
        self.assertGreater(len(reference["prompts"]), 2)
        for prompt in reference["prompts"]:
            self.assertEqual(tokenizer(prompt["whole_text"], add_special_tokens=False)["input_ids"], prompt["whole_ids"])
            ids = torch.tensor([prompt["ids"]])
            logits = model(ids).logits[0]
            tolerance = 1e-4 * max(1.0, logits.abs().max().item())
            for row, top in zip(logits, prompt["top"]):
                for token, value in top:
                    self.assertAlmostEqual(row[token].item(), value, delta=tolerance)
            made = model.generate(ids, max_new_tokens=len(prompt["greedy"]), do_sample=False, eos_token_id=None,
                                  pad_token_id=0)[0, ids.shape[1]:]
            self.assertEqual(made.tolist(), prompt["greedy"])
        # Every logit of every token, the loss and all gradients.
        drawn = self.folder / "drawn" / folder.parents[1].name
        shutil.copytree(folder, drawn / "export")
        tokens = torch.randint(0, model.config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(5))
        check_families.write_golden(drawn / "export", model, tokens, [[38], [11, 20]])
        code, lines, text = check_families.compare(drawn, Path(LATHE).parent / "tests" / "test_parity")
        self.assertEqual((code, len(lines)), (0, 1), text[-3000:])

    def test_ids_are_equal_on_hard_texts_for_every_trained_kind(self):
        for kind, pattern in (("byte_bpe", "gpt2"), ("byte_bpe", "llama3"), ("bpe", "gpt2"), ("unigram", "gpt2")):
            with self.subTest(kind=kind, pattern=pattern):
                size = 512 if kind == "byte_bpe" else 420
                folder = self.export(f"tok-{kind}-{pattern}", self.MODELS["llama-tied"], "bf16",
                                     f"{{train: {kind}, vocab_size: {size}, pattern: {pattern}}}")
                tokenizer = AutoTokenizer.from_pretrained(folder)
                for text in HARD:
                    if "endoftext" in text:
                        continue   # written by a user: never a control token here, always one in transformers
                    ours = json.loads(self.lathe("tokenize", "--tokenizer", folder, "--json", input=text.encode())[0])["ids"]
                    self.assertEqual(tokenizer(text, add_special_tokens=False)["input_ids"], ours, text)
                    self.assertEqual(tokenizer.decode(ours, clean_up_tokenization_spaces=False), text)

    def test_folders_of_transformers_are_read(self):
        from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
        self.train("run", "train.max_steps=6", "export=[{format: huggingface}]")
        tokenizer = AutoTokenizer.from_pretrained(self.folder / "run" / "export" / "huggingface")
        torch.manual_seed(3)
        text = "the cat sat on the mat while été came slowly to naïve towns " * 4
        (self.folder / "text.txt").write_text(text, encoding="utf-8")
        for config, kind in ((LlamaConfig(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                                          num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                                          rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                        "high_freq_factor": 4.0, "original_max_position_embeddings": 16}),
                              LlamaForCausalLM),
                             (GPT2Config(vocab_size=512, n_embd=64, n_layer=2, n_head=4, n_positions=64), GPT2LMHeadModel)):
            model = kind(config).eval()
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5))
            folder = self.folder / kind.__name__
            model.save_pretrained(folder, max_shard_size="50KB")
            tokenizer.save_pretrained(folder)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            loss, count = 0.0, 0
            for begin in range(0, len(ids) - 1, 64):
                window = torch.tensor(ids[begin : begin + 65])
                logits = model(window[None, :-1]).logits[0]
                loss += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
                count += len(window) - 1
            ours = json.loads(self.lathe("evaluate", folder, "--data", self.folder / "text.txt", "--json")[0])
            self.assertEqual(ours["tokens"], count)
            self.assertAlmostEqual(ours["loss"], loss / count, delta=1e-4)

    def test_chat_templates_give_the_same_text_ranges_and_ids(self):
        here = Path(__file__).resolve().parent
        result = subprocess.run([sys.executable, here / "check_templates.py", LATHE.parent / "tests" / "render_chat", "--count", "150"],
                                capture_output=True, text=True, timeout=500)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertGreaterEqual(result.stdout.count("\nok "), 6)

    def test_drawn_models_of_every_family(self):
        root = self.folder / "drawn"
        folders = check_families.draw_all(root)
        code, lines, text = check_families.compare(root, Path(LATHE).parent / "tests" / "test_parity")
        self.assertEqual(code, 0, text[-6000:])
        self.assertEqual(len(lines), len(folders))
        for folder in folders[::4]:   # exported, they are the same model to transformers
            with self.subTest(folder=folder.name):
                output = self.folder / f"export-{folder.name}"
                self.lathe("export", folder, "--dtype", "fp32", "--output", output)
                model = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32, attn_implementation="eager").eval()
                original = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
                self.assertEqual(type(model), type(original))
                ids = torch.arange(40)[None] % model.config.vocab_size
                self.assertTrue(torch.equal(model(ids).logits, original(ids).logits))

    def test_gguf_files_are_read_by_gguf(self):
        for name, folder in check_gguf.make_models(self.folder / "models").items():
            for quantize in ("f32", "f16", "bf16", "q8_0", "q4_k_m"):
                with self.subTest(name=name, quantize=quantize):
                    output = self.folder / f"{name}-{quantize}"
                    self.lathe("export", folder, "--format", "gguf", "--quantize", quantize, "--output", output)
                    check_gguf.compare(folder, next(output.glob("*.gguf")), quantize)

    def test_shards_are_plain_hdf5(self):
        prepared = json.loads(self.lathe("prepare", self.recipe("run"), "--json")[0])
        tokenizer = AutoTokenizer.from_pretrained(prepared["tokenizer"])
        with h5py.File(prepared["train"]["shards"][0]) as shard:
            self.assertEqual(shard["tokens"].dtype, numpy.uint16)
            self.assertIsNone(shard["tokens"].chunks)
            offsets = shard["doc_offsets"][:]
            self.assertEqual(len(offsets) - 1, prepared["train"]["ledger"]["documents_kept"])
            texts = set()
            for begin, end in zip(offsets, offsets[1:]):
                ids = shard["tokens"][begin:end].tolist()
                self.assertEqual(ids[-1], tokenizer.eos_token_id)
                texts.add(tokenizer.decode(ids[:-1], clean_up_tokenization_spaces=False))
            manifest = json.loads((Path(prepared["directory"]) / "prepared.json").read_text())
            self.assertEqual(shard.attrs["tokenizer_sha256"].decode(), manifest["tokenizer_sha256"])
            self.assertEqual((shard.attrs["sequence_length"], shard.attrs["vocab_size"]), (64, len(tokenizer)))
            self.assertEqual(json.loads(shard.attrs["ledger"]), prepared["train"]["ledger"])
            self.assertEqual(json.loads(shard.attrs["settings"])["validation_share"], 0.15)
        held_out = {Path(line).name for line in (Path(prepared["directory"]) / "held-out.txt").read_text().splitlines()}
        kept = {path.read_text(encoding="utf-8") for path in self.corpus.glob("*.txt") if path.name not in held_out}
        self.assertEqual(texts, kept)
        self.assertGreater(len(held_out), 0)

    def test_tensorboard_reads_the_events(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        self.train("run", "train.max_steps=5")
        events = EventAccumulator(str(self.folder / "run"))
        events.Reload()
        for key in ("loss", "learning_rate", "grad_norm", "tokens"):
            told = [event.value for event in events.Scalars(f"train/{key}")]
            self.assertEqual(told, [float(numpy.float32(record[key])) for record in self.metrics("run")], key)

    def test_torchrun_starts_ranks(self):
        command = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2", LATHE, "train",
                   self.recipe("two"), "--quiet", "--set", "train.micro_batch_size=2"]
        result = subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True, text=True, timeout=200)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.train("one", "train.micro_batch_size=2")
        for a, b in zip(self.metrics("one"), self.metrics("two")):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-6 * a["loss"])
        self.assertEqual(len(self.metrics("two")), 20)

"""Tokens added to a base: its tables grow, only their rows are trained beside the adapter, and every export has them."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import tensors
from tuning_case import WORDS, Tuning

ADDED = 'tokenizer: {add_tokens: ["[ticket]"], add_special_tokens: ["<|note|>"]}\n'
TABLE, ROWS = "model.embed_tokens.weight", "model.embed_tokens.trainable_tokens"


class AddedTokens(Tuning):
    def setUp(self):
        super().setUp()
        if hasattr(self, "base"):   # not while the base itself is made
            self.vocab = json.loads((self.base / "config.json").read_text())["vocab_size"]

    def examples(self):
        return self.write("tickets.jsonl", [{"prompt": f"the {WORDS[i]} is {i}\n", "completion": f"[ticket] {i} {WORDS[i]}"}
                                            for i in range(20)])

    def tune(self, name, *arguments, extra=""):
        exports = "export: [{format: peft}, {format: huggingface, dtype: fp32}, {format: gguf, quantize: f32}]\n"
        recipe = self.tuning(name, self.examples(), extra=ADDED + exports + extra)
        self.lathe("train", recipe, "--quiet", *arguments)
        return self.folder / name

    def test_only_new_rows_are_trained_and_all_exports_have_them(self):
        before = tensors(self.base / "model.safetensors")[TABLE]
        run = self.tune("added")
        result = json.loads((run / "result.json").read_text())
        self.assertEqual([export["passed"] for export in result["exports"]], [True] * 3)
        merged = run / "export" / "huggingface"
        after = tensors(merged / "model.safetensors")[TABLE]
        self.assertEqual((before[1], after[1]), ([self.vocab, 64], [self.vocab + 2, 64]))
        row = len(before[2]) // self.vocab
        self.assertEqual(after[2][: len(before[2])], before[2])     # frozen rows, to the bit
        self.assertEqual(json.loads((merged / "config.json").read_text())["vocab_size"], self.vocab + 2)
        ticket, note = after[2][-2 * row : -row], after[2][-row:]
        self.assertNotEqual(ticket, note)   # both began as the mean
        adapter = tensors(run / "export" / "peft" / "adapter_model.safetensors")
        self.assertEqual(adapter["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"][1:], ([2, 64], ticket + note))
        config = json.loads((run / "export" / "peft" / "adapter_config.json").read_text())
        self.assertEqual(config["trainable_token_indices"], {"embed_tokens": [self.vocab, self.vocab + 1]})
        card = (run / "export" / "peft" / "README.md").read_text()
        self.assertIn(f"base.resize_token_embeddings({self.vocab + 2})", card)
        self.assertIn("vLLM and llama.cpp do not load adapters with rows for new tokens", card)
        state = tensors(self.checkpoint("added", result["steps"]) / "optimizer.safetensors")
        self.assertEqual({name: entry[1] for name, entry in state.items() if "embed_tokens" in name},
                         {f"exp_avg.{ROWS}": [2, 64], f"exp_avg_sq.{ROWS}": [2, 64]})
        self.assertEqual(tensors(self.base / "model.safetensors")[TABLE], before)

    def test_on_a_base_in_4_bits_too(self):
        run = self.tune("bits", "--set", "model.quantization={kind: nf4}")
        result = json.loads((run / "result.json").read_text())
        self.assertEqual([export["passed"] for export in result["exports"]], [True] * 3)
        state = tensors(self.checkpoint("bits", result["steps"]) / "optimizer.safetensors")
        self.assertEqual({name: entry[1] for name, entry in state.items() if "embed_tokens" in name},
                         {f"exp_avg.{ROWS}": [2, 64], f"exp_avg_sq.{ROWS}": [2, 64]})
        before = tensors(self.base / "model.safetensors")
        after = tensors(run / "export" / "huggingface" / "model.safetensors")[TABLE]
        self.assertEqual(after[2][: len(before[TABLE][2])], before[TABLE][2])   # the table is not among what 4 bits hold
        row = len(before[TABLE][2]) // self.vocab
        self.assertNotEqual(after[2][-2 * row : -row], after[2][-row:])         # both began as the mean

    def test_the_tokens_are_read_and_written_everywhere(self):
        run = self.tune("read", "--set", "train.epochs=30", "--set", "optimizer.learning_rate=1e-2")
        merged = run / "export" / "huggingface"
        gguf = next((run / "export" / "gguf").glob("*.gguf"))
        answers = []
        for model in (run, merged, run / "export" / "peft", gguf):
            answer = json.loads(self.lathe("generate", model, "--raw", "--prompt", "the cat is 0\n", "--max-tokens", "6",
                                           "--temperature", "0", "--json", "--quiet")[0])["completions"][0]
            answers.append(answer)
            self.assertEqual(answer["tokens"][0], self.vocab, model)
            self.assertTrue(answer["text"].startswith("[ticket]"), answer)
        self.assertEqual([a["tokens"] for a in answers], [answers[0]["tokens"]] * 4)
        for flags, control in ((["--special"], True), ([], False)):   # a control token that a user writes stays text
            ids = json.loads(self.lathe("tokenize", "--tokenizer", merged, "--json", *flags, input=b"a[ticket]<|note|>")[0])["ids"]
            self.assertEqual((ids[1], self.vocab + 1 in ids), (self.vocab, control))

    def test_resumed_it_ends_with_the_same_bytes(self):
        self.tune("whole", "--set", "checkpoint.every=4")
        self.tune("broken", "--set", "checkpoint.every=4", "--stop-after", "4")
        self.tune("broken", "--set", "checkpoint.every=4")
        last = json.loads((self.folder / "whole" / "result.json").read_text())["steps"]
        self.assertEqual(self.weights("whole", last), self.weights("broken", last))

    def test_all_weights_trained_without_an_adapter(self):
        recipe = self.tuning("full", self.examples(), extra=ADDED + "export: [{format: huggingface, dtype: fp32}]\n")
        recipe.write_text("".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter")))
        self.lathe("train", recipe, "--quiet")
        self.assertEqual(tensors(self.folder / "full" / "export" / "huggingface" / "model.safetensors")[TABLE][1], [self.vocab + 2, 64])

    def test_a_token_that_is_there_is_refused(self):
        recipe = self.tuning("there", self.examples(), extra='tokenizer: {add_tokens: ["<|endoftext|>"]}\n')
        self.assertIn("'<|endoftext|>' is in the tokenizer already", self.lathe("train", recipe, "--quiet", code=2)[1])

    def test_a_tokenizer_trained_with_them_keeps_its_size(self):
        recipe = self.recipe("scratch")
        self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=2", "--set", "schedule.warmup_steps=0", "--set", 'tokenizer.add_tokens=["[cat]"]',
                   "--set", 'tokenizer.add_special_tokens=["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]',
                   "--set", "data.fill_in_middle={rate: 0.9}")
        checkpoint = self.checkpoint("scratch", 2)
        size = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
        self.assertLessEqual(size, 512)
        ids = json.loads(self.lathe("tokenize", "--tokenizer", checkpoint, "--json", input=b"the [cat]")[0])["ids"]
        self.assertEqual(ids[-1], size - 4)
        rows = json.loads(self.lathe("preview", recipe, "--count", "8", "--json", "--quiet", "--set",
                                     'tokenizer.add_tokens=["[cat]"]', "--set",
                                     'tokenizer.add_special_tokens=["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]', "--set",
                                     "data.fill_in_middle={rate: 0.9}")[0])["rows"]
        text = " ".join(piece["text"] for row in rows for piece in row)
        self.assertGreater(text.count("<|fim_middle|>"), 4)
        answer = json.loads(self.lathe("generate", self.folder / "scratch", "--prompt", "the ", "--suffix", " sat", "--max-tokens", "4",
                                       "--json", "--quiet")[0])["completions"]
        self.assertEqual(len(answer), 1)
        shutil.rmtree(self.folder / "scratch")
        message = self.lathe("train", recipe, "--quiet", "--set", "data.fill_in_middle={rate: 0.5}", code=2)[1]
        self.assertIn("tokenizer.add_special_tokens: [<|fim_prefix|>", message)

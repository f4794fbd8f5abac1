"""Adapters with rows for added tokens, loaded by PEFT as their card says, beside the merged folder in transformers."""
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_gguf
from program import Case

RECIPE = """\
name: {name}
directory: {directory}
task: sft
model: {{path: {base}}}
tokenizer: {{add_tokens: {added}, add_special_tokens: ["<|note|>"]}}
adapter: {{kind: {kind}, rank: 4, alpha: 8}}
data: {{train: {data}, sequence_length: 128, cache: {cache}}}
optimizer: {{learning_rate: 1e-2}}
train: {{epochs: 3, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
export: [{{format: peft}}, {{format: huggingface, dtype: fp32}}]
"""


class AddedTokens(Case):
    def tune(self, name, base, count, kind):
        added = [f"[t{k}]" for k in range(count)]
        data = self.folder / "pairs.jsonl"
        data.write_text("".join(json.dumps({"prompt": f"the mat {i}\n", "completion": f"{added[i % count]} cat {i}"}) + "\n"
                                for i in range(24)))
        values = {"directory": self.folder / name, "base": base, "data": data, "cache": self.folder / "cache"}
        recipe = self.folder / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, kind=kind, added=json.dumps(added),
                                        **{key: json.dumps(str(value)) for key, value in values.items()}))
        self.lathe("train", recipe, "--quiet")
        return self.folder / name / "export"

    @torch.no_grad()
    def compare(self, base_folder, export, added):
        options = dict(dtype=torch.float32, attn_implementation="eager")
        tokenizer = AutoTokenizer.from_pretrained(export / "huggingface")
        text = "the mat 3\n[t1] cat [t0]"
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ours = json.loads(self.lathe("tokenize", "--tokenizer", export / "huggingface", "--json", input=text.encode())[0])["ids"]
        self.assertEqual(ids, ours)
        size = len(AutoTokenizer.from_pretrained(base_folder))   # the table has 400 rows, most tokenizers fewer tokens
        self.assertEqual(ids[-1], size)
        ids.append(tokenizer.convert_tokens_to_ids("<|note|>"))
        self.assertEqual(ids[-1], size + added)
        merged = AutoModelForCausalLM.from_pretrained(export / "huggingface", **options).eval()
        base = AutoModelForCausalLM.from_pretrained(base_folder, **options)
        wanted = max(400, size + 1 + added)
        self.assertEqual(merged.get_input_embeddings().num_embeddings, wanted)
        if base.get_input_embeddings().num_embeddings < wanted:
            base.resize_token_embeddings(wanted)
        plain = base.eval()(torch.tensor([ids])).logits.clone()
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)   # missing keys are only warned of
            adapted = PeftModel.from_pretrained(base, export / "peft").eval()
        a, b = adapted(torch.tensor([ids])).logits, merged(torch.tensor([ids])).logits
        self.assertLess((a - b).abs().max().item(), 1e-4 * max(1.0, b.abs().max().item()))
        self.assertGreater((a - plain).abs().max().item(), 1e-2)
        # The rows themselves, as PEFT would write them again.
        before, after = base.get_input_embeddings().weight, merged.get_input_embeddings().weight
        self.assertEqual(after.shape[0], wanted)
        self.assertTrue(torch.equal(before[:size], after[:size]))

    def test_rows_in_the_padding_and_behind_the_table(self):
        folders = check_gguf.make_models(self.folder / "models", ["llama", "llama3"])
        for name, count, kind in (("llama", 2, "lora"), ("llama3", 60, "lora"), ("llama", 60, "dora"), ("llama3", 2, "rslora")):
            with self.subTest(name=name, count=count, kind=kind):
                self.compare(folders[name], self.tune(f"{name}-{count}-{kind}", folders[name], count, kind), count)

    def test_tokens_that_stand_beside_the_tokenizer(self):
        """transformers adds what added_tokens_decoder, or the older added_tokens.json, names beyond tokenizer.json."""
        folder = check_gguf.make_models(self.folder / "models", ["llama3"])["llama3"]
        size = len(AutoTokenizer.from_pretrained(folder))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        token = {"content": "<|im_end|>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
        text = "the mat<|im_end|> [note] <|im_end|>the"
        for name in ("decoder", "added_tokens.json"):
            with self.subTest(name):
                copy = self.folder / name
                shutil.copytree(folder, copy)
                config.pop("added_tokens_decoder", None)
                if name == "decoder":
                    config["added_tokens_decoder"] = {str(size): token, str(size + 1): {**token, "content": "[note]", "special": False}}
                else:
                    (copy / name).write_text(json.dumps({"<|im_end|>": size, "[note]": size + 1}))
                    config["additional_special_tokens"] = ["<|im_end|>"]
                (copy / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
                wanted = AutoTokenizer.from_pretrained(copy)(text, add_special_tokens=False)["input_ids"]
                ours = json.loads(self.lathe("tokenize", "--tokenizer", copy, "--special", "--json", input=text.encode())[0])["ids"]
                self.assertIn(size, ours)
                self.assertIn(size + 1, ours)
                self.assertEqual(ours, wanted)

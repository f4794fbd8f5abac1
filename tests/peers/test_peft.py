"""Adapters against peft: what lathe trains loads there, what peft made is read here, and both learn the same factors.

The bases are drawn by transformers, every parameter random, one of each family; GPT-2's queries, keys and values are one matrix there.
"""
import json
import math
import sys
from pathlib import Path

import bitsandbytes.functional as bitsandbytes
import h5py
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "end_to_end"), str(HERE.parents[1] / "scripts")]
from check_families import FAMILIES, Draw
from make_golden import randomise
from program import Case

GPT2_ALL = ["c_attn", "c_proj", "c_fc"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {"lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}
NF4 = ", quantization: {kind: nf4}"
ADAPTERS = {"lora": ("lora", ["all-linear"]), "rslora": ("rslora", ["all-linear"]), "dora": ("dora", ["all-linear"]),
            "subset": ("dora", ["v_proj", "layers.1.mlp.up_proj"])}
RECIPE = """\
directory: {run}
task: sft
model: {{path: {base}{model}}}
adapter: {{kind: {kind}, rank: 4, alpha: 10, targets: {targets}}}
data: {{train: {data}, sequence_length: 24, cache: {cache}}}
optimizer: {{learning_rate: {rate}, weight_decay: 0.01, beta2: 0.99, eps: 1e-3}}
schedule: {{name: constant, warmup_steps: 0}}
train: {{max_steps: {steps}, global_batch_size: 4, max_grad_norm: 0, precision: fp32, threads: 1, on_spike: ignore}}
export: [{{format: peft}}{merged}]
"""


def byte_tokenizer():
    """A token a byte, and three specials."""
    special = ["<pad>", "<s>", "</s>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*special, *letters])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def factors(folder):
    return load_file(Path(folder) / "adapter_model.safetensors")


class Peft(Case):
    def setUp(self):
        super().setUp()
        torch.manual_seed(1)
        torch.set_num_threads(1)
        self.data = self.folder / "pairs.jsonl"
        pairs = [{"prompt": word, "completion": word.upper()[::-1]} for word in ("cat é", "house", "of", "the tree")]
        self.data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))

    def base(self, family):
        draw = Draw(sum(map(ord, family)) + 7)
        config = FAMILIES[family](draw)
        config.vocab_size = 272
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        randomise(model, draw.generator)
        folder = self.folder / f"base {family}"
        model.save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        return folder

    def recipe_of(self, base, name, kind, targets, rate, steps, model=""):
        merged = ", {format: huggingface, dtype: fp32}" if steps > 1 else ""   # one step at a rate of nothing changes nothing
        values = {"run": self.folder / name, "base": base, "data": self.data, "cache": self.folder / f"{name}.cache"}
        quoted = {key: json.dumps(str(value), ensure_ascii=False) for key, value in values.items()}
        path = self.folder / f"{name}.yaml"
        path.write_text(RECIPE.format(**quoted, kind=kind, model=model, rate=rate, merged=merged, targets=json.dumps(list(targets)), steps=steps))
        return path

    def tune(self, base, name, kind="lora", targets=("all-linear",), rate=3e-2, steps=3, model=""):
        path = self.recipe_of(base, name, kind, targets, rate, steps, model)
        self.lathe("train", path, "--quiet")
        return self.folder / name / "export"

    def logits(self, model, seed=5):
        ids = torch.randint(0, 272, (2, 20), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return model(ids).logits

    def assertClose(self, found, wanted, what=""):
        self.assertEqual(found.shape, wanted.shape)
        error = (found - wanted).abs().max().item() / max(1.0, wanted.abs().max().item())
        self.assertLess(error, 1e-4, what)

    def assertReference(self, folder, model):
        reference = json.loads((folder / "reference.json").read_text())
        self.assertGreater(len(reference["prompts"]), 2)
        for prompt in reference["prompts"]:
            with torch.no_grad():
                logits = model(torch.tensor([prompt["ids"]])).logits[0]
            for row, top in zip(logits, prompt["top"]):
                wanted = torch.tensor([value for _, value in top])
                self.assertClose(row[[token for token, _ in top]], wanted, "reference.json")

    def test_adapters_of_lathe_load_in_peft_and_merged_folders_in_transformers(self):
        for family in FAMILIES:
            base = self.base(family)
            before = self.logits(load(base))
            for name, (kind, targets) in ADAPTERS.items():
                if family == "gpt2" and name == "subset":
                    kind = "lora"   # the magnitudes of queries and keys are the base's own
                with self.subTest(family=family, adapter=name):
                    export = self.tune(base, f"{family} {name}", kind, targets)
                    tuned = PeftModel.from_pretrained(load(base), export / "peft").eval()
                    adapted = self.logits(tuned)
                    self.assertGreater((adapted - before).abs().max().item(), 1e-2 * before.abs().max().item())
                    self.assertClose(self.logits(load(export / "huggingface")), adapted, "merged")
                    self.assertReference(export / "peft", tuned)
                    self.assertReference(export / "huggingface", tuned)
                    self.lathe("verify", export / "peft")
                    config = json.loads((export / "peft" / "adapter_config.json").read_text())
                    self.assertEqual(config["base_model_name_or_path"], str(base))
                    wanted = {key.replace(".default", "") for key in tuned.state_dict() if "lora_" in key}
                    stored = {key + ".weight" if key.endswith("vector") else key for key in factors(export / "peft")}
                    self.assertEqual(stored, wanted)

    def random_adapter(self, base, kind, targets):
        """An adapter that peft made and saved, all factors random."""
        model = get_peft_model(load(base), LoraConfig(r=3, lora_alpha=7, target_modules=targets, task_type="CAUSAL_LM",
                                                      **KINDS[kind])).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_magnitude" in name:
                    parameter.mul_(torch.rand_like(parameter) + 0.5)
                elif "lora_" in name:
                    parameter.copy_(torch.randn_like(parameter) * 0.2)
        return model

    def test_adapters_of_peft_are_read(self):
        for family in FAMILIES:
            base = self.base(family)
            for kind in KINDS:
                for targets in (GPT2_ALL, ["c_attn"]) if family == "gpt2" else (ALL, ["q_proj", "down_proj"]):
                    with self.subTest(family=family, kind=kind, targets=targets):
                        model = self.random_adapter(base, kind, targets)
                        saved, merged = (self.folder / f"{family} {kind} {len(targets)} {part}" for part in ("saved", "merged"))
                        model.save_pretrained(saved)
                        self.lathe("export", saved, "--format", "huggingface", "--dtype", "fp32", "--output", merged)
                        self.assertClose(self.logits(load(merged)), self.logits(model))

    def test_an_adapter_for_another_base_is_an_error(self):
        one, other = self.base("llama"), self.base("qwen2")
        saved = self.folder / "saved"
        self.random_adapter(one, "lora", ALL).save_pretrained(saved)
        config = json.loads((saved / "adapter_config.json").read_text())
        (saved / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(other)}))
        self.assertIn("has shape", self.lathe("generate", saved, "--prompt", "a", code=1)[1])
        (saved / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "pissa"}))
        self.assertIn("init_lora_weights", self.lathe("generate", saved, "--prompt", "a", code=1)[1])

    def batches(self, cache):
        """The examples as lathe trains them: ids and, where supervised, targets."""
        examples = []
        for path in sorted(Path(cache).rglob("*.h5")):
            with h5py.File(path) as shard:
                offsets, ids = shard["doc_offsets"][:], torch.tensor(shard["tokens"][:].astype("int64"))
                flags = torch.tensor(shard["supervised"][:].astype("bool"))
                for begin, end in zip(offsets, offsets[1:]):
                    examples.append((ids[begin:end], torch.where(flags[begin:end], ids[begin:end], -100)))
        return examples

    def in_four_bits(self, model):
        """The blocks' matrices as bitsandbytes' NF4, doubly quantised, says them; its blocks run over the flattened matrix."""
        with torch.no_grad():
            for name, module in model.named_modules():
                if not isinstance(module, torch.nn.Linear) or "layers." not in name:
                    continue
                flat = module.weight.view(1, -1)
                codes, state = bitsandbytes.quantize_4bit(flat, blocksize=64, quant_type="nf4", compress_statistics=True)
                state.state2.code = bitsandbytes.create_dynamic_map()   # see test_nf4.py
                rounded = bitsandbytes.dequantize_4bit(codes, state).view_as(module.weight)
                self.assertGreater((rounded - module.weight).abs().max().item(), 1e-3)
                module.weight.copy_(rounded)
        return model

    def test_both_learn_the_same_factors(self):
        bases = {family: self.base(family) for family in FAMILIES}
        cases = [(family, kind, "") for family in FAMILIES for kind in KINDS]
        for family, kind, quantised in [*cases, ("qwen3", "lora", NF4), ("gemma2", "rslora", NF4), ("llama", "dora", NF4)]:
            base = bases[family]
            with self.subTest(family=family, kind=kind, quantised=quantised):
                name = f"{family} {kind}{len(quantised)}"
                # A rate of 1e-12 leaves the factors that the run began with.
                begun = factors(self.tune(base, f"{name} begun", kind, rate=1e-12, steps=1, model=quantised) / "peft")
                found = factors(self.tune(base, f"{name} learned", kind, rate=1e-2, steps=4, model=quantised) / "peft")
                examples = self.batches(self.folder / f"{name} learned.cache")
                self.assertEqual(len(examples), 4)
                # In fp64: some of these bases take the peer's own fp32 1.3e-5 away from it, and ours 1.6e-5 without AMX.
                reference = (self.in_four_bits(load(base)) if quantised else load(base)).double()
                wanted = self.learn(reference, kind, begun, examples)
                self.assertEqual(found.keys(), wanted.keys())
                moved = 0.0
                for name, tensor in wanted.items():
                    moved = max(moved, (tensor - begun[name]).abs().max().item())
                    self.assertLess((found[name] - tensor).abs().max().item(), 4e-5, name)
                self.assertGreater(moved, 5e-3)

    def config_of(self, model, kind):
        """Rank 4, alpha 10; GPT-2's queries, keys and values, one matrix there, get the sum of their three products: rank 12 and the same scale."""
        if model.config.model_type != "gpt2":
            return LoraConfig(r=4, lora_alpha=10, target_modules=ALL, task_type="CAUSAL_LM", **KINDS[kind])
        alpha = 10 * (math.sqrt(3) if kind == "rslora" else 3)
        return LoraConfig(r=4, lora_alpha=10, target_modules=GPT2_ALL, rank_pattern={"c_attn": 12}, alpha_pattern={"c_attn": alpha},
                          fan_in_fan_out=True, task_type="CAUSAL_LM", **KINDS[kind])

    def blocks(self, named):
        """Where c_attn's second factors may differ from 0: queries, keys and values each see their own four rows of the first."""
        shapes = {name: p.shape for name, p in named.items() if "c_attn.lora_B" in name}
        self.assertTrue(shapes)
        return {name: torch.block_diag(*[torch.ones(rows // 3, rank // 3)] * 3) for name, (rows, rank) in shapes.items()}

    def learn(self, model, kind, begun, examples):
        model = get_peft_model(model, self.config_of(model, kind))
        named = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
        named = {name.removesuffix(".weight") if "magnitude" in name else name: p for name, p in named.items()}
        self.assertEqual(named.keys(), begun.keys())
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(torch.zeros_like(parameter) if "lora_B" in name else begun[name])
        kept = self.blocks(named) if model.config.model_type == "gpt2" else {}
        matrices = [p for p in named.values() if p.dim() > 1]
        vectors = [p for p in named.values() if p.dim() == 1]
        optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
                                      lr=1e-2, betas=(0.9, 0.99), eps=1e-3)
        count = sum((labels[1:] >= 0).sum().item() for _, labels in examples)
        self.assertGreater(count, 10)
        for _ in range(4):
            optimizer.zero_grad()
            loss = sum(torch.nn.functional.cross_entropy(model(ids[None]).logits[0, :-1], labels[1:], ignore_index=-100,
                                                         reduction="sum") for ids, labels in examples) / count
            loss.backward()
            for name, mask in kept.items():
                named[name].grad.mul_(mask)
            optimizer.step()
        self.assertTrue(math.isfinite(loss.item()))
        return {name: p.detach() for name, p in named.items()}

    def test_dora_on_a_part_of_gpt2s_fused_matrix_is_refused_before_training(self):
        base = self.base("gpt2")
        path = self.recipe_of(base, "gpt2", "dora", ["q_proj"], 1e-2, 1)
        error = self.lathe("train", path, "--quiet", code=1)[1]
        self.assertIn("DoRA on some parts of 'transformer.h.0.attn.c_attn' only", error)
        self.assertFalse((self.folder / "gpt2" / "metrics.jsonl").exists())

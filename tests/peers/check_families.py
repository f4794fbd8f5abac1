"""Random tiny models of every family, run by transformers and by us: logits and every gradient.

Each draw takes a config (every field that changes the maths), randomises every parameter, saves the folder in a drawn
dtype, in one file or several, in the spelling of transformers 5 or of 4, and stores what transformers computes from that
folder in fp32, document by document. tests/parity/drawn_test.cpp reads the folders as any user's, packs and pads the
documents into rows and compares. Then each folder goes through `lathe export` and must load in transformers with the same
logits: the round trip is faithful.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig,
                          PreTrainedTokenizerFast, Qwen2Config, Qwen3Config)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from make_golden import randomise

DRAWS, LENGTH = 8, 48


class Draw:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def integer(self, low, high):
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def pick(self, *values):
        return values[self.integer(0, len(values) - 1)]

    def number(self, low, high):
        return low + (high - low) * torch.rand((), generator=self.generator).item()


def scaling(draw, head, exact=True):
    """Of any kind. A Gemma 3's YaRN is rounded by transformers whatever `truncate` says: `exact` is false there."""
    kind = draw.pick("default", "linear", "dynamic", "llama3", "yarn", "longrope")
    rope = {"rope_type": kind, "rope_theta": draw.pick(50.0, 500.0, 10000.0)}
    if kind != "default":
        rope["factor"] = draw.number(1.5, 6.0)
    if kind == "llama3":
        rope.update(low_freq_factor=1.0, high_freq_factor=draw.number(2.0, 5.0), original_max_position_embeddings=16)
    if kind == "yarn":
        rope.update(beta_fast=draw.number(0.6, 4.0), beta_slow=draw.number(0.1, 0.5), original_max_position_embeddings=24)
        if exact and draw.pick(True, False):
            rope["truncate"] = False
        if draw.pick(True, False):
            rope.update(mscale=draw.number(0.3, 1.2), mscale_all_dim=draw.number(0.3, 1.2))
    if kind == "longrope":
        rope.update(short_factor=[draw.number(1.0, 2.0) for _ in range(head // 2)],
                    long_factor=[draw.number(1.0, 5.0) for _ in range(head // 2)],
                    original_max_position_embeddings=draw.integer(10, 30))
    if kind in ("yarn", "longrope"):
        if draw.pick(True, False):
            rope["attention_factor"] = draw.number(0.8, 1.4)
        if draw.pick(True, False):   # then the ratio of the lengths
            rope["factor"] = None
    return rope


def dense(draw):
    kv, group = draw.integer(1, 2), draw.integer(1, 3)
    heads, head = kv * group, draw.pick(4, 6, 8, 16)
    hidden = heads * draw.pick(4, 8, 12)
    positions = draw.pick(24, 32, 64)
    return dict(vocab_size=draw.integer(258, 280), hidden_size=hidden, intermediate_size=draw.integer(20, 40),
                num_hidden_layers=draw.integer(2, 4), num_attention_heads=heads, num_key_value_heads=kv, head_dim=head,
                max_position_embeddings=positions, rms_norm_eps=draw.pick(1e-6, 1e-3, 0.05),
                tie_word_embeddings=draw.pick(True, False), rope_parameters=scaling(draw, head), bos_token_id=1,
                eos_token_id=2, pad_token_id=None)  # transformers gives its row no gradient


def layers(draw, config):
    return [draw.pick("sliding_attention", "full_attention") for _ in range(config["num_hidden_layers"])]


def upper_windows(draw, config):
    config.update(use_sliding_window=draw.pick(True, True, False), sliding_window=draw.integer(1, 20),
                  max_window_layers=draw.integer(0, config["num_hidden_layers"]))
    return config


def llama(draw):
    return LlamaConfig(**dense(draw), attention_bias=draw.pick(True, False), mlp_bias=draw.pick(True, False))


def mistral(draw):
    return MistralConfig(**dense(draw), sliding_window=draw.pick(None, 1, 5, 17))


def qwen2(draw):
    return Qwen2Config(**upper_windows(draw, dense(draw)))


def qwen3(draw):
    return Qwen3Config(**upper_windows(draw, dense(draw)), attention_bias=draw.pick(True, False))


def gemma2(draw):
    config = dense(draw)
    return Gemma2Config(**config, layer_types=layers(draw, config), sliding_window=draw.integer(1, 20),
                        attention_bias=draw.pick(True, False), query_pre_attn_scalar=draw.integer(3, 30),
                        attn_logit_softcapping=draw.pick(None, 1.0, 4.0), final_logit_softcapping=draw.pick(None, 3.0, 8.0))


def gemma3(draw):
    config = dense(draw)
    whole = scaling(draw, config["head_dim"], exact=False)
    local = {"rope_type": "default", "rope_theta": draw.number(10.0, 200.0)}
    config["rope_parameters"] = {"full_attention": whole, "sliding_attention": local}
    return Gemma3TextConfig(**config, layer_types=layers(draw, config), sliding_window=draw.integer(1, 20),
                            attention_bias=draw.pick(True, False), query_pre_attn_scalar=draw.integer(3, 30),
                            final_logit_softcapping=draw.pick(None, 3.0, 8.0))


def gpt2(draw):
    heads = draw.integer(1, 4)
    return GPT2Config(vocab_size=draw.integer(258, 280), n_embd=heads * draw.pick(6, 8), n_head=heads,
                      n_layer=draw.integer(1, 3), n_positions=LENGTH, n_inner=draw.pick(None, 40),
                      layer_norm_epsilon=draw.pick(1e-5, 0.05), activation_function=draw.pick("gelu_new", "gelu", "relu"),
                      scale_attn_weights=draw.pick(True, False), tie_word_embeddings=draw.pick(True, False), resid_pdrop=0.0,
                      embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2)


FAMILIES = {"llama": llama, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3, "gemma2": gemma2, "gemma3": gemma3,
            "gpt2": gpt2}


def drop_layer_types(draw, config):
    """The published folders of transformers 4 lack the list: other keys, or the family, mean one, which transformers judges."""
    config.pop("layer_types", None)
    config.pop("_sliding_window_pattern", None)
    if config["model_type"] == "gemma3_text":
        config["sliding_window_pattern"] = draw.integer(1, 4)


def spell_as_transformers_4(draw, folder):
    """rope_theta, rope_scaling, rope_local_base_freq and torch_dtype, as saved before 5; half of them without layer_types."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters", None)
    if rope is not None:
        if "sliding_attention" in rope:
            config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
            rope = rope["full_attention"]
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    if draw.pick(True, False):
        drop_layer_types(draw, config)
    path.write_text(json.dumps(config))


def documents(draw, rows):
    """Lengths a row; the rest is padding. One is long enough to leave every window and the original positions behind."""
    lengths = [[LENGTH - 2]]
    while len(lengths) < rows:
        row = []
        while sum(row) < LENGTH - 6 and len(row) < 5:
            row.append(draw.integer(1, LENGTH - 5 - sum(row)))
        lengths.append(row)
    return lengths


def run(model, tokens, lengths):
    """Logits (B, T, V), 0 at padding; the sum of losses; the documents' numbers. Each document is run alone."""
    logits = torch.zeros(*tokens.shape, model.config.vocab_size)
    numbers = torch.full(tokens.shape, -1, dtype=torch.long)
    loss, count = torch.zeros(()), 0
    for row, sizes in enumerate(lengths):
        begin = 0
        for size in sizes:
            ids = tokens[row, begin : begin + size]
            out = model(input_ids=ids[None], use_cache=False).logits[0]
            loss = loss + torch.nn.functional.cross_entropy(out[:-1], ids[1:], reduction="sum")
            logits[row, begin : begin + size] = out.detach()
            numbers[row, begin : begin + size] = count
            begin, count = begin + size, count + 1
    return logits, loss, numbers


def make(name, number, root):
    draw = Draw(sum(map(ord, name)) * 1000 + number)
    config = FAMILIES[name](draw)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomise(model, draw.generator)
    folder = root / f"{name}-{number}"
    dtype = draw.pick(torch.float32, torch.bfloat16, torch.float16)
    model.to(dtype).save_pretrained(folder, max_shard_size=draw.pick("5GB", "10KB"))
    if draw.pick(True, False):
        spell_as_transformers_4(draw, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(0, config.vocab_size, (3, LENGTH), generator=draw.generator)
    lengths = documents(draw, 3)
    # Some angles depend on the longest sequence of a batch: dynamic NTK's on its length, LongRoPE's on whether it is
    # beyond the original length (at least 10). Only documents that agree there mean the same alone and packed.
    if '"dynamic"' in (folder / "config.json").read_text():
        lengths = [[LENGTH - 2]] * 3
    if '"longrope"' in (folder / "config.json").read_text():
        lengths = draw.pick([[LENGTH - 2]] * 3, [[10, 7, 10, 9], [10, 10], [3, 8, 10]])
    write_golden(folder, model, tokens, lengths)
    byte_tokenizer().save_pretrained(folder)
    return folder


def write_golden(folder, model, tokens, lengths):
    """The model's logits, loss and gradients of all weights beside the folder's weights, for compare()."""
    with torch.enable_grad():
        logits, loss, numbers = run(model, tokens, lengths)
        loss.backward()
    stored = {key for file in folder.glob("*.safetensors") for key in safe_open(file, "pt").keys()}
    golden = {f"gradient.{key}": value.grad for key, value in model.named_parameters() if key in stored}
    golden.update(input_ids=tokens, documents=numbers, logits=logits, loss=loss.detach())
    save_file(golden, folder / "golden.safetensors")


def byte_tokenizer():
    """A token a byte, and two specials: what an export needs to be verified with."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(["<pad>", "<s>", *alphabet])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<pad>", special=True), AddedToken("<s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>")


def draw_all(root, draws=DRAWS):
    torch.set_num_threads(1)
    return [make(name, number, root) for name in FAMILIES for number in range(draws)]


def compare(root, binary):
    """Runs the comparison; the lines 'drawn NAME: logits E, gradients E'."""
    result = subprocess.run([str(binary), "[drawn]"], env={**os.environ, "LATHE_DRAWN": str(root)}, capture_output=True,
                            text=True, timeout=600)
    return result.returncode, re.findall(r"drawn (\S+): logits (\S+), gradients (\S+)", result.stdout), result.stdout


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        draw_all(Path(temporary), int(sys.argv[2]) if len(sys.argv) > 2 else DRAWS)
        code, lines, text = compare(Path(temporary), sys.argv[1])
        print("\n".join(map(" ".join, lines)) if code == 0 else text[-6000:])
        sys.exit(code)

"""GGUF files of ours as the gguf package and llama.cpp read them.

make_models writes tiny models of every family that llama.cpp can run, every parameter random, with a tokenizer whose merges
matter. compare reads a file with the gguf package alone, dequantises it by that package's own code and compares each tensor
with the folder's, permuted by llama.cpp's published rule. run_llama_cpp (the long suite) has llama.cpp load the file.
"""
import json
import sys
from pathlib import Path

import numpy
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig,
                          PreTrainedTokenizerFast, Qwen2Config, Qwen3Config)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from make_golden import randomise

HARD = ["The cat sat on the mat", " leading", "trailing ", "a\n\n\tb  \n", "été œuvre ’ Straße", "\U0001f600 \u200d x",
        "123456 7,8.9", "def f(x):\n    return x ** 2  # ok\n", "don't we'LL I'm", "日本語 текст", "\n\n\n   x\t\t"]
# Root of the mean squared error over that of the values, for normal weights: what each type may cost a tensor.
ALLOWED = {"F32": 1e-7, "F16": 3e-4, "BF16": 3e-3, "Q8_0": 7e-3, "Q6_K": 0.02, "Q5_K": 0.04, "Q5_1": 0.045, "Q5_0": 0.05,
           "Q4_K": 0.08}


def rope(**changes):
    return {"rope_type": "default", "rope_theta": 10000.0, **changes}


def configs():
    base = dict(vocab_size=400, hidden_size=256, intermediate_size=512, num_hidden_layers=8, num_attention_heads=4,
                num_key_value_heads=2, head_dim=64, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=None,
                eos_token_id=0, pad_token_id=None)
    llama3 = rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=64)
    yarn = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=128)
    caps = dict(attn_logit_softcapping=20.0, final_logit_softcapping=15.0)
    gemma3_rope = {"full_attention": rope(rope_type="linear", factor=4.0), "sliding_attention": rope(rope_theta=1000.0)}
    return {
        "llama": LlamaConfig(**base, tie_word_embeddings=True, rope_parameters=rope()),
        "llama3": LlamaConfig(**base, tie_word_embeddings=False, rope_parameters=llama3),
        "mistral": MistralConfig(**base, sliding_window=None, tie_word_embeddings=False, rope_parameters=yarn),
        "qwen2": Qwen2Config(**base, tie_word_embeddings=True, rope_parameters=rope(rope_theta=1e6)),
        "qwen3": Qwen3Config(**base, tie_word_embeddings=True, rope_parameters=yarn),
        "gemma2": Gemma2Config(**base, **caps, query_pre_attn_scalar=64, sliding_window=24, rope_parameters=rope()),
        "gemma3": Gemma3TextConfig(**base, query_pre_attn_scalar=64, sliding_window=24, final_logit_softcapping=12.0,
                                   layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 2
                                   + ["full_attention"] * 2, rope_parameters=gemma3_rope),
        "gpt2": GPT2Config(vocab_size=400, n_embd=256, n_head=4, n_layer=4, n_positions=512, bos_token_id=0, eos_token_id=0),
    }


def windowed():
    """What llama.cpp runs within the window only."""
    config = configs()["mistral"].to_dict()
    return {"mistral-window": MistralConfig(**{**config, "sliding_window": 32, "rope_parameters": rope()})}


def trained_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=390, special_tokens=["<|end|>"], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(HARD * 3 + ["the cat the mat the return the 123 123 été été"] * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def make_models(root, names=None):
    """{name: folder}; the same models every time. Without names all that llama.cpp runs at any length."""
    tokenizer = trained_tokenizer()
    folders = {}
    for number, (name, config) in enumerate({**configs(), **windowed()}.items()):
        if name not in (names or configs()):
            continue
        folder = Path(root) / name
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        randomise(model, torch.Generator().manual_seed(100 + number))
        model.get_input_embeddings().weight.data.mul_(0.03)   # or a tied head would say the last token again
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders[name] = folder
    return folders


# Hugging Face's name of a module -> llama.cpp's; Gemma's differ where they share one.
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
         "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
         "mlp.c_proj": "ffn_down"}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "transformer.wte": "token_embd",
         "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}


def expected(name, value, config):
    """llama.cpp's name of a tensor and its values in llama.cpp's layout."""
    module, kind = name.rsplit(".", 1)
    gemma, gpt2 = config["model_type"].startswith("gemma"), config["model_type"] == "gpt2"
    if gpt2 and value.ndim == 2 and "wte" not in module and "wpe" not in module:
        value = value.T
    if gemma and module.endswith("norm"):
        value = value + 1
    if module in WHOLE:
        return f"{WHOLE[module]}.{kind}", value
    layer, module = module.removeprefix("transformer.h." if gpt2 else "model.layers.").split(".", 1)
    if config["model_type"] in ("llama", "mistral") and module in ("self_attn.q_proj", "self_attn.k_proj"):
        heads = config["num_attention_heads" if "q_proj" in module else "num_key_value_heads"]
        value = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
    short = "post_attention_norm" if gemma and module == "post_attention_layernorm" else NAMES[module]
    return f"blk.{layer}.{short}.{kind}", value


def compare(folder, path, quantize):
    """Raises AssertionError when the file is not the folder's model."""
    folder = Path(folder)
    reader = GGUFReader(path)
    config = json.loads((folder / "config.json").read_text())
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    wanted = dict(expected(name, value.float().numpy(), config) for name, value in load_file(folder / "model.safetensors").items())
    assert set(tensors) - {"rope_freqs.weight"} == set(wanted), set(tensors) ^ set(wanted)
    largest = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_k_m": None}[quantize]
    kinds = set()
    for name, value in wanted.items():
        tensor = tensors[name]
        kind = tensor.tensor_type.name
        found = dequantize(tensor.data, tensor.tensor_type).reshape(value.shape)
        error = numpy.sqrt(((found - value) ** 2).mean() / (value ** 2).mean())
        assert error <= ALLOWED[kind], (name, kind, error)
        kinds.add(kind)
        if value.ndim == 2 and "position" not in name and largest:
            assert kind == largest, (name, kind)
        if value.ndim == 1:
            assert kind == "F32", (name, kind)
    if quantize == "q4_k_m":
        assert {"Q4_K", "Q6_K"} <= kinds, kinds
    check_tables(reader, folder)


def value_of(reader, key):
    field = reader.fields[key]
    return field.contents()


def check_tables(reader, folder):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = value_of(reader, "tokenizer.ggml.tokens")
    for text, index in tokenizer.get_vocab().items():
        assert tokens[index] == text, (index, tokens[index], text)
    merges = [" ".join(merge) if isinstance(merge, list) else merge
              for merge in json.loads((Path(folder) / "tokenizer.json").read_text())["model"]["merges"]]
    assert value_of(reader, "tokenizer.ggml.merges") == merges
    assert value_of(reader, "tokenizer.ggml.pre") == "gpt-2"
    assert value_of(reader, "tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id


def run_llama_cpp(path, texts=HARD, greedy=64, prompt="The cat sat"):
    """Ids of texts, and the greedy continuation of a prompt, by llama.cpp."""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=256, n_threads=2, n_batch=128, logits_all=False, verbose=False, seed=1)
    ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]
    start = model.tokenize(prompt.encode(), add_bos=False, special=False)
    made = []
    for token in model.generate(start, top_k=1, temp=0.0, repeat_penalty=1.0):
        made.append(token)
        if len(made) == greedy:
            break
    return ids, start, made

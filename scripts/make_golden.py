#!/usr/bin/env python3
"""Writes tests/parity/golden: tiny models as transformers computes them, which the C++ decoder must reproduce.

Needs (pinned, since goldens are compared to rounding): torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6
Run:   python scripts/make_golden.py [--output tests/parity/golden]

Every parameter is random: weights N(0, 1/sqrt(fan_in)), norms 1 + 0.3 N, biases 0.3 N. With a library's own
initialisation (tiny weights, norms 1, biases 0) a decoder that drops a bias or swaps two norms still agrees. Sequences
are longer than the original context of every scaled rotary embedding, and epsilons are large enough to be seen.

A folder holds config.json and model.safetensors as save_pretrained writes them, and golden.safetensors:
  input_ids (B, T), labels (B, T; -100 not counted), logits (B, T, V), losses (10; one before each AdamW step),
  gradient.<name>, stepped.<name> (after 3 steps), under the names of model.safetensors; fp32.
"""
import argparse
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig,
                          Qwen2Config, Qwen3Config)

ROWS, LENGTH = 2, 40
OPTIMIZER = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
WEIGHT_DECAY = 0.1  # of tensors with two dimensions


def tiny(kind=LlamaConfig, **changes):
    config = dict(vocab_size=48, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rms_norm_eps=0.05,
                  tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=None)
    config.update(changes)
    return kind(**config)


def rope(kind, **changes):
    return {"rope_type": kind, "rope_theta": 100.0, **changes}


MODELS = {
    "llama_gqa": tiny(rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
    "llama_tied_llama3": tiny(tie_word_embeddings=True, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
    "llama_biases": tiny(attention_bias=True, mlp_bias=True, num_key_value_heads=1,
                          rope_parameters={"rope_type": "default", "rope_theta": 100.0}),
    "llama_linear": tiny(num_hidden_layers=1, rope_parameters=rope("linear", factor=3.0)),
    "llama_dynamic": tiny(num_hidden_layers=1, max_position_embeddings=16, rope_parameters=rope(
        "dynamic", factor=3.0)),
    "llama_yarn": tiny(num_hidden_layers=1, rope_parameters=rope(
        "yarn", factor=4.0, beta_fast=1.0, beta_slow=0.25, original_max_position_embeddings=24)),
    "llama_yarn_exact": tiny(num_hidden_layers=1, rope_parameters=rope(
        "yarn", factor=4.0, beta_fast=1.0, beta_slow=0.25, original_max_position_embeddings=24, truncate=False, mscale=0.8,
        mscale_all_dim=0.3)),
    "llama_longrope": tiny(num_hidden_layers=1, rope_parameters=rope(
        "longrope", factor=3.0, original_max_position_embeddings=24, short_factor=[1.0, 1.1, 1.3, 1.6],
        long_factor=[1.2, 1.9, 2.7, 3.5])),
    "gpt2": GPT2Config(vocab_size=48, n_embd=24, n_head=3, n_layer=2, n_positions=48, layer_norm_epsilon=0.05,
                       resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2),
    "mistral": tiny(MistralConfig, sliding_window=7, rope_parameters=rope("default")),
    "qwen2": tiny(Qwen2Config, use_sliding_window=True, sliding_window=9, max_window_layers=1,
                  rope_parameters=rope("yarn", factor=4.0, beta_fast=1.0, beta_slow=0.25,
                                       original_max_position_embeddings=24)),
    "qwen3": tiny(Qwen3Config, attention_bias=True, use_sliding_window=True, sliding_window=9, max_window_layers=1,
                  tie_word_embeddings=True, rope_parameters=rope("default")),
    "gemma2": tiny(Gemma2Config, sliding_window=9, query_pre_attn_scalar=20, attn_logit_softcapping=1.5,
                   final_logit_softcapping=2.5, rope_parameters=rope("default")),
    "gemma3": tiny(Gemma3TextConfig, num_hidden_layers=3, hidden_size=16, sliding_window=9, query_pre_attn_scalar=20,
                   final_logit_softcapping=6.0, attention_bias=True, tie_word_embeddings=True,
                   layer_types=["sliding_attention", "full_attention", "sliding_attention"], rope_parameters={
                       "full_attention": rope("linear", factor=3.0),
                       "sliding_attention": {"rope_type": "default", "rope_theta": 20.0}}),
}


def randomise(model, generator):
    """Every parameter, so that nothing can be left out unnoticed."""
    norm = 0 if model.config.model_type.startswith("gemma") else 1  # Gemma's norms multiply with 1 + weight
    for name, parameter in model.named_parameters():
        normal = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            is_bias = name.endswith("bias")
            parameter.data = 0.3 * normal if is_bias else norm + 0.3 * normal
            continue
        embedding = "embed" in name or "wte" in name or "wpe" in name
        transposed = any(part in name for part in ("c_attn", "c_proj", "c_fc"))  # GPT-2 stores (in, out)
        fan_in = 1 if embedding else parameter.shape[0 if transposed else 1]
        parameter.data = normal / fan_in**0.5


def loss_of(model, tokens, labels):
    logits = model(input_ids=tokens, use_cache=False).logits
    flat = logits[:, :-1].reshape(-1, logits.shape[-1])
    return logits, torch.nn.functional.cross_entropy(flat, labels[:, 1:].reshape(-1), ignore_index=-100)


def stored_names(model, folder):
    """Parameters under the names of model.safetensors: tied ones once."""
    stored = load_file(os.path.join(folder, "model.safetensors"))
    named = dict(model.named_parameters())
    missing = [name for name in stored if name not in named]
    assert not missing, missing
    return {name: named[name] for name in stored}


def make(name, config, output):
    folder = os.path.join(output, name)
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomise(model, generator)
    model.save_pretrained(folder)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    os.remove(os.path.join(folder, "generation_config.json"))

    tokens = torch.randint(0, config.vocab_size, (ROWS, LENGTH), generator=generator)
    labels = tokens.clone()
    labels[:, 5:9] = -100
    golden = {"input_ids": tokens, "labels": labels}
    parameters = stored_names(model, folder)
    decayed = [p for p in parameters.values() if p.dim() >= 2]
    others = [p for p in parameters.values() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": WEIGHT_DECAY},
                                   {"params": others, "weight_decay": 0.0}], **OPTIMIZER)
    losses = []
    for step in range(10):
        optimizer.zero_grad()
        logits, loss = loss_of(model, tokens, labels)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            golden["logits"] = logits.detach().clone()
            golden.update({f"gradient.{n}": p.grad.clone() for n, p in parameters.items()})
        optimizer.step()
        if step == 2:
            golden.update({f"stepped.{n}": p.detach().clone() for n, p in parameters.items()})
    golden["losses"] = torch.tensor(losses)
    path = os.path.join(folder, "golden.safetensors")
    save_file(golden, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    for file in sorted(os.listdir(folder)):
        size = os.path.getsize(os.path.join(folder, file))
        assert size <= 200_000, (file, size)
    print(f"{name}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, largest logit {golden['logits'].abs().max():.2f}, "
          f"{os.path.getsize(path)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default=os.path.join(os.path.dirname(__file__), "..", "tests", "parity", "golden"))
    parser.add_argument("names", nargs="*", help="only these; default all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names or MODELS:
        make(name, MODELS[name], arguments.output)


if __name__ == "__main__":
    main()

"""A transformers training loop on the same model and token rows as a lathe run: the peer of scripts/bench.

usage: bench_transformers.py CONFIG.json SHARD.h5 --steps N --batch B --length T [--seconds S] [--lr LR] [--validation SHARD.h5]
bf16 autocast over fp32 weights, fused AdamW, cosine schedule: what `bf16=True` gives its users. Prints one JSON object.
"""
import argparse
import json
import math
import resource
import time

START = time.time()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("shard")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--validation")
    parser.add_argument("--validation-bytes", type=int, default=0)
    return parser.parse_args()


def rows_of(shard, length):
    """(rows, T + 1) windows over the shard's tokens, one after the other."""
    import h5py
    import torch

    with h5py.File(shard) as file:
        tokens = torch.from_numpy(file["tokens"][:].astype("int64"))
    count = (len(tokens) - 1) // length
    return tokens[: count * length + 1].unfold(0, length + 1, length)


def main():
    options = arguments()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(5)
    config = AutoConfig.from_pretrained(options.config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    decay = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
                                  lr=options.lr, betas=(0.9, 0.95), fused=True)
    rows = rows_of(options.shard, options.length)
    order = torch.randperm(len(rows))
    ends, losses, trained = [], [], 0.0
    step = 0
    while (trained < options.seconds) if options.seconds else (step < options.steps):
        begin = time.time()
        share = trained / options.seconds if options.seconds else step / options.steps
        rate = min(1.0, (step + 1) / 20) * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in optimizer.param_groups:
            group["lr"] = options.lr * rate
        picked = [order[(step * options.batch + i) % len(rows)] for i in range(options.batch)]
        batch = rows[torch.stack(picked)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=batch[:, :-1], labels=batch[:, :-1]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        trained += time.time() - begin
        ends.append(time.time())
        step += 1
    times = sorted(b - a for a, b in zip(ends[3:], ends[4:])) or [ends[-1] - START]
    result = {"tokens_per_second": options.batch * options.length / times[len(times) // 2],
              "seconds_to_first_step": ends[0] - START, "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
              "steps": step, "loss": losses[-1], "torch_threads": torch.get_num_threads()}
    if options.validation:
        result["bits_per_byte"] = bits_per_byte(model, options)
    print(json.dumps(result))


def bits_per_byte(model, options):
    """Over whole documents in windows of T, as lathe evaluates: first tokens cost log2(V), every byte counts."""
    import h5py
    import torch

    with h5py.File(options.validation) as file:
        tokens = torch.from_numpy(file["tokens"][:].astype("int64"))
        offsets = file["doc_offsets"][:].tolist()
    nats = 0.0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for begin, end in zip(offsets, offsets[1:]):
            nats += math.log(model.config.vocab_size)
            for at in range(begin, end - 1, options.length):
                window = tokens[at : min(at + options.length + 1, end)]
                logits = model(input_ids=window[None, :-1]).logits[0].float()
                nats += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    return nats / math.log(2) / options.validation_bytes


main()

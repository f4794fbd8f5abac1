"""Makes a base and examples, runs lathe and scripts/bench_trl.py on them in turns, prints medians and ratios."""
import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from bench_common import LATHE, ROOT, medians

EXAMPLES, STEPS, BATCH, RANK = 32, 24, 4, 16
RECIPE = """\
directory: {run}
task: sft
model: {{path: {base}}}
adapter: {{kind: lora, rank: {rank}, alpha: 32}}
data: {{train: {data}, sequence_length: 512, cache: {run}.cache}}
optimizer: {{learning_rate: 2e-4}}
train: {{max_steps: {steps}, global_batch_size: {batch}, on_spike: ignore}}
"""


def sources():
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return [text for text in (path.read_text(encoding="utf-8", errors="ignore") for path in files) if len(text) > 2000]


def make_base(folder, texts):
    """Random weights; a byte-level BPE of 8192 tokens trained on the standard library."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=8192, special_tokens=["<pad>", "</s>"],
                                                             initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=8192, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
                         num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True, eos_token_id=1,
                         pad_token_id=0, bos_token_id=None)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)


def make_examples(path, texts):
    with path.open("w") as file:
        for text in texts[:EXAMPLES]:
            file.write(json.dumps({"prompt": text[1000:1250], "completion": text[1250:1500]}) + "\n")


def watched(command, done):
    """Runs it; seconds until `done()` first holds, seconds in all, peak memory of the process."""
    start = time.time()
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    first = None
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if first is None and done():
            first = time.time() - start
        if pid:
            break
        time.sleep(0.005)
    if status:
        sys.exit(process.stderr.read().decode())
    return {"first": first, "all": time.time() - start, "memory": usage.ru_maxrss * 1024}


def lathe_once(folder, number):
    run = folder / f"lathe-{number}"
    recipe = folder / f"lathe-{number}.yaml"
    recipe.write_text(RECIPE.format(run=run, base=folder / "base", data=folder / "examples.jsonl", rank=RANK, steps=STEPS, batch=BATCH))
    metrics = run / "metrics.jsonl"
    return watched([LATHE, "train", recipe, "--quiet"], lambda: metrics.exists() and b"learning_rate" in metrics.read_bytes())


def peer_once(python, folder, number):
    mark = folder / f"trl-{number}.first"
    return watched([python, ROOT / "scripts" / "bench_trl.py", folder / "base", folder / "examples.jsonl", folder / f"trl-{number}",
                    mark, STEPS, BATCH, RANK], mark.exists)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", help="work in this folder and leave it")
    parser.add_argument("--make", help="only make the base and the examples in this folder")
    options = parser.parse_args()
    if options.make:
        texts = sources()
        make_base(Path(options.make) / "base", texts)
        make_examples(Path(options.make) / "examples.jsonl", texts)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: the peak memory of a child begins at its parent's.
        subprocess.run([options.python, __file__, options.python, "--make", folder], check=True)
        size = (folder / "base" / "model.safetensors").stat().st_size
        measured = {"lathe": [], "trl + peft": []}
        for number in range(options.rounds):
            stamp = f"{os.getpid()}-{number}"
            measured["lathe"].append(lathe_once(folder, stamp))
            measured["trl + peft"].append(peer_once(options.python, folder, stamp))
    middle = medians(measured, ("first", "all", "memory"))
    print(f"LoRA of rank {RANK} on {size / 2e6:.1f} M bf16, {EXAMPLES} examples, {STEPS} updates of {BATCH} "
          f"({options.rounds} rounds, medians)")
    print(f"{'':14}{'first step s':>14}{'all s':>9}{'peak MB':>9}")
    for kind, row in middle.items():
        print(f"{kind:14}{row['first']:14.2f}{row['all']:9.2f}{row['memory'] / 1e6:9.0f}")
    ours, peer = middle["lathe"], middle["trl + peft"]
    print(f"{'ratio':14}{ours['first'] / peer['first']:14.2f}{ours['all'] / peer['all']:9.2f}{ours['memory'] / peer['memory']:9.2f}")


main()

"""Runs lathe and scripts/bench_transformers.py in turns and prints medians and ratios. See scripts/bench."""
import argparse
import json
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

from bench_common import LATHE, ROOT, TUNED, medians, run, train

LIBRARY = sysconfig.get_path("stdlib") if not Path("/usr/bin/python3").exists() else subprocess.run(
    ["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], capture_output=True, text=True).stdout.strip()
SHAPES = {
    "13.8 M llama, 8 x 512": dict(model="{family: llama, hidden_size: 384, intermediate_size: 1024, num_hidden_layers: 6, "
                                  "num_attention_heads: 6, num_key_value_heads: 6, tie_word_embeddings: true}", batch=8, length=512),
    "5 M llama, 16 x 512": dict(model="{family: llama, size: 5m}", batch=16, length=512),
    "13.8 M llama, 4 x 1024": dict(model="{family: llama, hidden_size: 384, intermediate_size: 1024, num_hidden_layers: 6, "
                                   "num_attention_heads: 6, num_key_value_heads: 6, tie_word_embeddings: true}", batch=4, length=1024),
}


def recipe(folder, shape, extra=""):
    path = folder / "bench.yaml"
    path.write_text(f"""\
directory: {json.dumps(str(folder / 'run'))}
model: {shape['model']}
tokenizer: {{train: byte_bpe, vocab_size: 8192}}
data: {{train: [{{path: {json.dumps(LIBRARY)}, glob: "**/*.py", exclude: [site-packages, dist-packages, test, tests, idle_test]}}],
       sequence_length: {shape['length']}, cache: {json.dumps(str(ROOT / 'runs' / '.bench_cache'))}}}
train: {{max_steps: 1000, global_batch_size: {shape['batch']}, micro_batch_size: {shape['batch']}}}
{extra}""")
    return path


def lathe_once(folder, shape, steps):
    path = recipe(folder, shape)
    result, last, step = train(path, folder, steps)
    first = start_to_first_step(folder, path)
    return {"tokens_per_second": shape["batch"] * shape["length"] / step, "peak_memory": result["peak_memory"],
            "seconds_to_first_step": first, "loss": last["loss"]}


def start_to_first_step(folder, path):
    """From starting the process, shards ready, to the line that its first optimizer step writes."""
    metrics = folder / "run" / "metrics.jsonl"
    shutil.rmtree(folder / "run", ignore_errors=True)
    start = time.time()
    process = subprocess.Popen([str(LATHE), "train", str(path), "--stop-after", "1", "--quiet"], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (metrics.exists() and b"learning_rate" in metrics.read_bytes()):
        if process.poll() is not None:
            break
        time.sleep(0.005)
    seconds = time.time() - start
    process.wait()
    return seconds


def peer_once(python, config, shard, shape, steps, tuned):
    return json.loads(run([python, ROOT / "scripts" / "bench_transformers.py", config, shard, "--steps", steps, "--batch",
                           shape["batch"], "--length", shape["length"]], TUNED if tuned else None).splitlines()[-1])


def compare(python, name, shape, rounds, steps):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepared = json.loads(run([LATHE, "prepare", recipe(folder, shape), "--json", "--quiet"]))
        config = json.loads(run([LATHE, "check", recipe(folder, shape), "--json"]))["config"]
        (folder / "config.json").write_text(json.dumps(config))
        measured = {"lathe": [], "default": [], "tuned": []}
        for _ in range(rounds):
            measured["lathe"].append(lathe_once(folder, shape, steps))
            for kind in ("default", "tuned"):
                measured[kind].append(peer_once(python, folder / "config.json", prepared["train"]["shards"][0], shape, steps,
                                                kind == "tuned"))
    middle = medians(measured, ("tokens_per_second", "peak_memory", "seconds_to_first_step"))
    ours = middle["lathe"]
    print(f"\n{name} ({rounds} rounds of {steps} steps, medians)")
    print(f"{'':24}{'tokens/s':>10}{'peak MB':>10}{'first step s':>14}{'speed x':>9}{'memory x':>10}{'start x':>9}")
    print(f"{'lathe':24}{ours['tokens_per_second']:10.0f}{ours['peak_memory'] / 1e6:10.0f}{ours['seconds_to_first_step']:14.2f}")
    for kind in ("default", "tuned"):
        peer = middle[kind]
        print(f"{'transformers, ' + kind:24}{peer['tokens_per_second']:10.0f}{peer['peak_memory'] / 1e6:10.0f}"
              f"{peer['seconds_to_first_step']:14.2f}{ours['tokens_per_second'] / peer['tokens_per_second']:9.2f}"
              f"{ours['peak_memory'] / peer['peak_memory']:10.2f}{peer['seconds_to_first_step'] / ours['seconds_to_first_step']:9.1f}",
              flush=True)


def compare_bits(python, seconds):
    """Both trained for `seconds` on the quickstart's corpus; the held-out files are the quickstart's."""
    run(["bash", "scripts/quickstart", "--seconds", seconds, "--directory", "runs/bench-bits"])
    result = json.loads((ROOT / "runs/bench-bits/result.json").read_text())
    folder = ROOT / "runs/bench-bits"
    prepared = json.loads(run([LATHE, "prepare", folder / "recipe.yaml", "--json", "--quiet"]))
    validation = prepared["validation"][0]
    peer = json.loads(run([python, "scripts/bench_transformers.py", folder / "export/huggingface/config.json",
                           prepared["train"]["shards"][0], "--seconds", seconds, "--batch", 8, "--length", 512, "--lr", "2e-3",
                           "--validation", validation["shards"][0], "--validation-bytes", validation["bytes"]], TUNED).splitlines()[-1])
    print(f"\nbits per byte after {seconds} s: lathe {result['bits_per_byte']:.3f}, transformers {peer['bits_per_byte']:.3f} "
          f"(difference {peer['bits_per_byte'] - result['bits_per_byte']:.3f})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--shape", help="only shapes whose name holds this")
    parser.add_argument("--bits", type=int, default=0)
    options = parser.parse_args()
    for name, shape in SHAPES.items():
        if not options.shape or options.shape in name:
            compare(options.python, name, shape, options.rounds, options.steps)
    if options.bits:
        compare_bits(options.python, options.bits)


main()

"""Runs lathe and scripts/bench_diffusers.py on the same pictures in turns and prints medians and ratios. See scripts/bench_pictures."""
import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench_common import LATHE, ROOT, TUNED, medians, run, train

SHAPES = {
    "UNet of 6.8 M": "{family: unet2d, block_out_channels: [64, 128, 128], layers_per_block: 2, attention_head_dim: 32, "
                     "down_block_types: [DownBlock2D, AttnDownBlock2D, AttnDownBlock2D]}",
    "DiT-S": "{family: dit, num_layers: 12, num_attention_heads: 6, attention_head_dim: 64, patch_size: 2}",
}
RECIPE = """\
directory: {run}
task: diffusion
model: {model}
data: {{train: {pictures}, resolution: [32], cache: {cache}}}
diffusion: {{prediction: velocity, schedule: cosine, timesteps: uniform, sampling: {{steps: 1, count: 1, guidance: 1}}}}
optimizer: {{name: adamw, learning_rate: 1e-4}}
train: {{max_steps: 1000, global_batch_size: {batch}, micro_batch_size: {batch}, precision: bf16, on_spike: ignore}}
"""


def make_pictures(folder):
    """Ten classes of colour and noise: what a step costs does not depend on what is drawn."""
    import numpy
    from PIL import Image

    draw = numpy.random.default_rng(0)
    for number in range(10):
        (folder / str(number)).mkdir(parents=True)
        for name in range(40):
            noise = draw.integers(0, 100, (32, 32, 3)) + draw.integers(0, 150, 3)
            Image.fromarray(noise.astype("uint8")).save(folder / str(number) / f"{name:02}.png")


def lathe_once(recipe, folder, steps, batch):
    result, _, step = train(recipe, folder, steps)
    return {"pictures_per_second": batch / step, "peak_memory": result["peak_memory"], "parameters": result["parameters"]}


def compare(python, name, model, options):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_pictures(folder / "pictures")
        recipe = folder / "bench.yaml"
        paths = {key: json.dumps(str(folder / key)) for key in ("run", "pictures", "cache")}
        recipe.write_text(RECIPE.format(model=model, batch=options.batch, **paths))
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(run([LATHE, "check", recipe, "--json"]))["config"]))
        peer = [python, ROOT / "scripts" / "bench_diffusers.py", config, folder / "pictures", "--steps", options.steps, "--batch",
                options.batch]
        measured = {"lathe": [], "default": [], "tuned": []}
        for _ in range(options.rounds):
            measured["lathe"].append(lathe_once(recipe, folder, options.steps, options.batch))
            for kind in ("default", "tuned"):
                measured[kind].append(json.loads(run(peer, TUNED if kind == "tuned" else None).splitlines()[-1]))
    sizes = {entries[0]["parameters"] for entries in measured.values()}
    if len(sizes) != 1:
        sys.exit(f"{name}: networks of different sizes: {sizes}")
    middle = medians(measured, ("pictures_per_second", "peak_memory"))
    ours = middle["lathe"]
    print(f"\n{name}: {sizes.pop() / 1e6:.1f} M, {options.batch} x 32 x 32 ({options.rounds} rounds of {options.steps} steps, medians)")
    print(f"{'':22}{'pictures/s':>12}{'peak MB':>9}{'speed x':>9}{'memory x':>10}")
    print(f"{'lathe':22}{ours['pictures_per_second']:12.1f}{ours['peak_memory'] / 1e6:9.0f}")
    for kind in ("default", "tuned"):
        peer = middle[kind]
        print(f"{'diffusers, ' + kind:22}{peer['pictures_per_second']:12.1f}{peer['peak_memory'] / 1e6:9.0f}"
              f"{ours['pictures_per_second'] / peer['pictures_per_second']:9.2f}{ours['peak_memory'] / peer['peak_memory']:10.2f}",
              flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--shape", help="only networks whose name holds this")
    options = parser.parse_args()
    for name, model in SHAPES.items():
        if not options.shape or options.shape in name:
            compare(options.python, name, model, options)


main()

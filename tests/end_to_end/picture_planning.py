"""Draws training configurations of pictures and holds `lathe plan` against `lathe train`: peak memory and steps."""
import json
import subprocess
import sys
from pathlib import Path

from program import ROOT

RECIPE = """\
name: {name}
directory: {directory}
task: diffusion
model: {model}
{tokenizer}data: {{train: {digits}, resolution: {resolution}, {validation}cache: {cache}}}
diffusion: {{{noise}sampling: {{steps: 2, count: {grid}, guidance: {guidance}}}}}
optimizer: {{name: {optimizer}}}
{ema}train: {{max_steps: 3, global_batch_size: {rows}, micro_batch_size: {micro}, precision: {precision}, threads: {threads}}}
checkpoint: {{every: {every}, keep_best: false}}
{export}"""


def model_of(c):
    """The section `model`, and how many values each of its weights is multiplied with, roughly, for a picture."""
    if c["family"] == "unet2d":
        levels = len(c["channels"])
        kinds = ", ".join("AttnDownBlock2D" if level in c["attention"] else "DownBlock2D" for level in range(levels))
        places = c["side"] ** 2
        work = sum(c["per_level"] * 60 * width * width * places / 4 ** level for level, width in enumerate(c["channels"]))
        return (f"{{family: unet2d, block_out_channels: {c['channels']}, down_block_types: [{kinds}], layers_per_block: {c['per_level']}}}", work)
    tokens = (c["side"] // c["patch"]) ** 2
    width = c["heads"] * c["head"]
    norm = f", qk_norm: {str(c['qk_norm']).lower()}" if c["family"] == "sd3" else ""
    return (f"{{family: {c['family']}, num_layers: {c['layers']}, num_attention_heads: {c['heads']}, attention_head_dim: {c['head']}, "
            f"patch_size: {c['patch']}{norm}}}", c["layers"] * width * (12 * width + 4 * tokens) * (tokens + 20))


def draw_picture_run(rng, family, most_work):
    """A run of a backbone whose steps cost at most `most_work` products in bf16, and which is no trifle."""
    while True:
        levels = rng.choice([1, 2, 3])
        c = {"family": family, "side": rng.choice([16, 32, 64, 96]), "patch": rng.choice([2, 4]), "layers": rng.choice([1, 2, 3, 4, 6, 8]),
             "heads": rng.choice([2, 4, 6, 8]), "head": rng.choice([32, 64]), "qk_norm": rng.random() < 0.5,
             "channels": [rng.choice([32, 64, 96, 128]) * (level + 1) for level in range(levels)], "per_level": rng.choice([1, 2, 3]),
             "attention": [level for level in range(levels) if rng.random() < 0.5 and level > 0],
             "micro": rng.choice([1, 2, 4, 8, 16, 32]), "accumulate": rng.choice([1, 1, 2]), "precision": rng.choice(["bf16", "fp32"]),
             "optimizer": rng.choice(["adamw", "adamw", "muon"]), "ema": rng.random() < 0.2, "every": rng.choice([0, 0, 2]),
             "grid": rng.choice([0, 4, 16]), "guidance": rng.choice([1, 3]), "export": rng.choice(["", "", "auto", "bf16"])}
        work = model_of(c)[1] * (9 * c["micro"] * c["accumulate"] + (8 * c["grid"] if c["grid"] else 0)) * (4 if c["precision"] == "fp32" else 1)
        if most_work / 20 <= work <= most_work:
            return c


def describe_picture_run(c):
    network = (f"{c['channels']} x{c['per_level']} attention {c['attention']}" if c["family"] == "unet2d" else
               f"{c['layers']}x{c['heads'] * c['head']} patch {c['patch']}")
    extras = [name for name, there in (("ema", c["ema"]), ("saving", c["every"]), (f"grid {c['grid']}", c["grid"]),
                                       ("guided", c["guidance"] != 1), (f"export {c['export']}", c["export"])) if there]
    return f"{c['family']} {network} {c['micro']}x{c['side']} x{c['accumulate']} {c['precision']} {c['optimizer']} {' '.join(extras)}"


def picture_recipe(c, name, folder, threads=0):
    """Writes the recipe, and what it learns, into the folder; returns its path."""
    path, digits = Path(folder) / f"{name}.yaml", Path(folder) / "digits"
    if not digits.exists():
        subprocess.run([sys.executable, str(ROOT / "scripts" / "digits.py"), "make", str(digits), "--count", "120", "--size", "8"], check=True,
                       capture_output=True)
    path.write_text(RECIPE.format(
        name=name, digits=json.dumps(str(digits)), directory=json.dumps(str(Path(folder) / name)), model=model_of(c)[0], resolution=c["side"],
        tokenizer="tokenizer: {train: clip_bpe, vocab_size: 600}\n" if c["family"] == "sd3" else "",
        validation="validation: 0.1, " if c["grid"] else "", cache=json.dumps(str(Path(folder) / "cache")),
        noise="" if c["family"] == "sd3" else "prediction: epsilon, schedule: linear, ", grid=max(1, c["grid"]), guidance=c["guidance"],
        optimizer=c["optimizer"], ema="ema: {decay: 0.99}\n" if c["ema"] else "", rows=c["micro"] * c["accumulate"], micro=c["micro"],
        precision=c["precision"], threads=threads, every=c["every"],
        export=f"export: [{{format: diffusers, dtype: {c['export']}}}]\n" if c["export"] else ""), encoding="utf-8")
    return path



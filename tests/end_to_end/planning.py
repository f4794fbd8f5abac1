"""Draws training configurations and holds `lathe plan` against `lathe train`: peak memory and steps."""
import json
import math
import os
import random
import struct
import subprocess
import sysconfig
from pathlib import Path

from program import LATHE

LIBRARY = sysconfig.get_paths()["stdlib"]
TOLERANCE = 0.15
STEPS = 6

RECIPE = """\
name: {name}
directory: {directory}
model: {model}
tokenizer: {{train: byte_bpe, vocab_size: {vocabulary}}}
data:
  train: [{{path: {library}, glob: "{glob}", exclude: [site-packages, dist-packages, test, tests, idle_test]}}]
  validation: 0.02
  sequence_length: {length}
  cache: {cache}
optimizer: {{name: {optimizer}}}
train: {{max_steps: 100, global_batch_size: {rows}, micro_batch_size: {micro}, precision: {precision},
        activation_checkpointing: {checkpointing}, threads: {threads}}}
evaluate: {{max_rows: 4}}
checkpoint: {{every: 0, keep_best: false}}
"""


def draw(rng, vocabularies, most_parameters, most_work):
    """A configuration of 1 M to `most_parameters` weights whose STEPS steps cost at most `most_work` FLOP in bf16."""
    while True:
        head, heads = rng.choice([32, 64]), rng.choice([2, 4, 6, 8, 12])
        hidden = head * heads
        family = rng.choice(["llama", "llama", "llama", "gpt2"])
        kv = heads if family == "gpt2" else rng.choice([n for n in (1, 2, 4, heads) if heads % n == 0])
        config = {"family": family, "hidden": hidden, "heads": heads, "kv": kv, "layers": rng.choice([2, 4, 6, 8, 12]),
                  "inner": 4 * hidden if family == "gpt2" else hidden * rng.choice([2, 3, 4]), "tie": rng.random() < 0.5,
                  "vocabulary": rng.choice(vocabularies), "length": rng.choice([128, 256, 512, 1024, 2048]),
                  "micro": rng.choice([1, 2, 4, 8, 16]), "accumulate": rng.choice([1, 1, 2]),
                  "checkpointing": rng.random() < 0.4, "precision": rng.choice(["bf16", "fp32"]),
                  "optimizer": rng.choice(["adamw", "adamw", "muon"])}
        block = hidden * (2 * hidden + 2 * kv * head + config["inner"] * (2 if family == "gpt2" else 3))
        size = config["layers"] * block + config["vocabulary"] * hidden * (1 if config["tie"] or family == "gpt2" else 2)
        tokens = config["length"] * config["micro"] * config["accumulate"]
        work = 6 * size * tokens * STEPS * (5 if config["precision"] == "fp32" else 1)
        if 1e6 <= size <= most_parameters and work <= most_work and 512 <= tokens <= 16384:
            return config


TUNING = """\
name: {name}
directory: {directory}
task: sft
model: {{path: {base}{quantization}}}
{adapter}data: {{train: {data}, sequence_length: 1024, cache: {cache}}}
train: {{max_steps: 40, global_batch_size: {rows}, micro_batch_size: {micro}, precision: {precision}, threads: 1}}
checkpoint: {{every: 0, keep_best: false}}
"""


def draw_tuning(rng):
    """How a base is tuned: a method, a precision, batches, and examples of drawn lengths."""
    micro = rng.choice([1, 2, 4])
    return {"method": rng.choice(["full", "lora", "dora", "qlora"]), "precision": rng.choice(["bf16", "bf16", "fp32"]),
            "rank": rng.choice([4, 16, 64]), "micro": micro, "accumulate": rng.choice([1, 2]),
            "words": rng.choice([(10, 40), (40, 120), (80, 200)]), "seed": rng.randrange(1000)}


def tuning_recipe(t, name, folder, base):
    """Writes recipe and examples into the folder; returns the recipe's path."""
    draw = random.Random(t["seed"])
    data = Path(folder) / f"{name}.jsonl"
    letters = [chr(97 + draw.randrange(26)) + chr(97 + draw.randrange(26)) for _ in range(90)]
    text = lambda: " ".join(draw.choice(letters) for _ in range(draw.randint(*t["words"])))
    data.write_text("".join(json.dumps({"prompt": text() + "\n", "completion": text()}) + "\n" for _ in range(32)), encoding="utf-8")
    adapter = "" if t["method"] == "full" else f"adapter: {{kind: {'dora' if t['method'] == 'dora' else 'lora'}, rank: {t['rank']}}}\n"
    quoted = {key: json.dumps(str(value)) for key, value in {"directory": Path(folder) / name, "base": base, "data": data,
                                                             "cache": Path(folder) / f"{name}.cache"}.items()}
    path = Path(folder) / f"{name}.yaml"
    path.write_text(TUNING.format(name=name, adapter=adapter, rows=t["micro"] * t["accumulate"], micro=t["micro"], precision=t["precision"],
                                  quantization=", quantization: {kind: nf4}" if t["method"] == "qlora" else "", **quoted),
                    encoding="utf-8")
    return path


def describe_tuning(t):
    return (f"{t['method']}{'' if t['method'] == 'full' else ' of rank ' + str(t['rank'])} {t['precision']}, {t['micro']} x{t['accumulate']} examples "
            f"of {t['words'][0]} to {t['words'][1]} words")


def describe(c):
    return (f"{c['family']} {c['layers']}x{c['hidden']}/{c['inner']} heads {c['heads']}:{c['kv']} V {c['vocabulary']}"
            f"{' tied' if c['tie'] else ''} {c['micro']}x{c['length']} x{c['accumulate']} {c['precision']} {c['optimizer']}"
            f"{' checkpointing' if c['checkpointing'] else ''}")


def recipe_text(config, name, folder, glob="**/*.py"):
    c = config
    if c["family"] == "gpt2":
        model = (f"{{family: gpt2, n_embd: {c['hidden']}, n_inner: {c['inner']}, n_layer: {c['layers']}, n_head: {c['heads']}}}")
    else:
        model = (f"{{family: llama, hidden_size: {c['hidden']}, intermediate_size: {c['inner']}, num_hidden_layers: {c['layers']}, "
                 f"num_attention_heads: {c['heads']}, num_key_value_heads: {c['kv']}, "
                 f"tie_word_embeddings: {str(c['tie']).lower()}}}")
    return RECIPE.format(name=name, directory=json.dumps(str(Path(folder) / name)), model=model, vocabulary=c["vocabulary"],
                         library=json.dumps(LIBRARY), glob=glob, length=c["length"], cache=json.dumps(str(Path(folder) / "cache")),
                         optimizer=c["optimizer"], rows=c["micro"] * c["accumulate"], micro=c["micro"], precision=c["precision"], threads=c.get("threads", 0),
                         checkpointing=str(c["checkpointing"]).lower())


def run(*arguments, cwd):
    result = subprocess.run([str(LATHE), *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True, cwd=cwd, timeout=1200)
    if result.returncode != 0:
        raise AssertionError(f"{arguments}: {result.stderr[-2000:]}")
    return json.loads(result.stdout)


def llama_shapes(c):
    """Names and shapes of a tied Llama's tensors, as config.json says."""
    hidden, inner = c["hidden_size"], c["intermediate_size"]
    query, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    shapes = {"model.embed_tokens.weight": [c["vocab_size"], hidden], "model.norm.weight": [hidden]}
    for layer in range(c["num_hidden_layers"]):
        parts = {"input_layernorm": [hidden], "post_attention_layernorm": [hidden], "self_attn.q_proj": [query, hidden],
                 "self_attn.k_proj": [kv, hidden], "self_attn.v_proj": [kv, hidden], "self_attn.o_proj": [hidden, query],
                 "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden], "mlp.down_proj": [hidden, inner]}
        shapes.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in parts.items()})
    return shapes


def peak_of(*arguments):
    """Peak resident memory of a command that succeeds, bytes."""
    process = subprocess.Popen([LATHE, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{arguments}: exit {process.returncode}"
    return usage.ru_maxrss * 1024


def small_values(count):
    """Bytes of bf16 numbers with a deviation of 0.02."""
    draw = random.Random(0)
    return b"".join(struct.pack("<f", draw.gauss(0, 0.02))[2:] for _ in range(count))


def write_tensors(path, shapes, block=b""):
    """A safetensors file of bf16 tensors that repeat the block, or of zeros that take no room on the disk; returns their bytes."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(end // len(block) if block else 0):
            file.write(block)
        file.truncate(8 + len(text) + end)
    return end

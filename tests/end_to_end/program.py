"""Drives the lathe program for end-to-end tests: a small corpus, a small recipe, runs and their files."""
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LATHE = Path(os.environ.get("LATHE", ROOT / "build" / "release" / "lathe"))

RECIPE = """\
name: tiny
directory: {directory}
model: {{family: llama, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 2,
         num_key_value_heads: 1, tie_word_embeddings: true}}
tokenizer: {{train: byte_bpe, vocab_size: 512}}
data: {{train: {corpus}, validation: 0.15, sequence_length: 64, cache: {cache}}}
optimizer: {{name: adamw, learning_rate: 3e-3}}
schedule: {{name: cosine, warmup_steps: 4}}
train: {{max_steps: 20, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
evaluate: {{every: 10, sample_tokens: 8}}
checkpoint: {{every: 5, keep_last: 10}}
"""

MUON = "optimizer={name: muon, learning_rate: 3e-3, muon_learning_rate: 0.02, weight_decay: 0.01}"
WSD = "schedule={name: wsd, warmup_steps: 4, decay_ratio: 0.4}"
WORDS = "der Hund lief über die Straße and the cat sat on the mat while été came slowly to naïve towns".split()


def corpus_text(seed, sentences):
    state, words = seed * 2654435761 % 2**32, []
    for _ in range(sentences * 8):
        state = (state * 1664525 + 1013904223) % 2**32
        words.append(WORDS[(state >> 16) % len(WORDS)])
    return textwrap.fill(" ".join(words), 60) + "\n"


class Case(unittest.TestCase):
    """A folder of its own, with accents and a space in its name."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="lathe é "))
        self.corpus = self.folder / "corpus"
        self.corpus.mkdir()
        for index in range(40):
            (self.corpus / f"text {index:02d}.txt").write_text(corpus_text(index + 1, 12), encoding="utf-8")

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def recipe(self, name="run", text=RECIPE, **changes):
        """Writes a recipe for the run `name`; keyword arguments replace lines 'key: ...' of the template."""
        values = {"directory": json.dumps(str(self.folder / name)), "corpus": json.dumps(str(self.corpus)),
                  "cache": json.dumps(str(self.folder / "cache"))}
        path = self.folder / f"{name}.yaml"
        path.write_text(text.format(**values), encoding="utf-8")
        return path

    def lathe(self, *arguments, code=0, env=None, timeout=300, **options):
        result = subprocess.run([LATHE, *map(str, arguments)], capture_output=True, cwd=self.folder,
                                env={**os.environ, **(env or {})}, timeout=timeout, **options)
        output = result.stdout.decode("utf-8", "replace"), result.stderr.decode("utf-8", "replace")
        self.assertEqual(result.returncode, code, "\n".join(output))
        return output

    def json(self, *arguments, code=0):
        """What the command says with --json."""
        return json.loads(self.lathe(*arguments, "--json", "--quiet", code=code)[0])

    def train(self, name, *sets, code=0, env=None, extra=()):
        """Trains the recipe as run `name` with --set of each of sets; returns result.json's object or {}."""
        arguments = [item for value in sets for item in ("--set", value)]
        self.lathe("train", self.recipe(name), "--quiet", *arguments, *extra, code=code, env=env)
        path = self.folder / name / "result.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def endless(self, *sets, extra=(), hangup=signal.SIG_DFL):
        """A run that only a signal ends, once its first checkpoint (of step 5) is on disk. The tests may run under nohup."""
        arguments = [item for value in ("train.max_steps=100000", *sets) for item in ("--set", value)]
        process = subprocess.Popen([str(LATHE), "train", str(self.recipe("run")), "--quiet", *arguments, *extra],
                                   cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup))
        deadline = time.time() + 60
        while not self.checkpoint("run", 5).exists():
            self.assertIsNone(process.poll())
            self.assertLess(time.time(), deadline)
            time.sleep(0.01)
        return process

    def metrics(self, name):
        lines = (self.folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [record for record in map(json.loads, lines) if "learning_rate" in record]

    def checkpoint(self, name, step):
        return self.folder / name / "checkpoints" / f"step-{step:08d}"


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def tensors(path):
    """name -> (dtype, shape, bytes) of a safetensors file, read without any library."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    base = 8 + length
    return {name: (entry["dtype"], entry["shape"], data[base + entry["data_offsets"][0] : base + entry["data_offsets"][1]])
            for name, entry in header.items()}


def floats(entry):
    dtype, _, data = entry
    assert dtype == "F32", dtype
    return struct.unpack(f"<{len(data) // 4}f", data)


def relative_difference(path_a, path_b, leave_out=None):
    """Largest |a - b| over the largest |a| of each tensor, over all tensors but those whose name ends so."""
    worst = 0.0
    a, b = tensors(path_a), tensors(path_b)
    assert a.keys() == b.keys()
    for name in a:
        if leave_out and name.endswith(leave_out):
            continue
        x, y = floats(a[name]), floats(b[name])
        scale = max(map(abs, x)) or 1.0
        worst = max(worst, max(abs(p - q) for p, q in zip(x, y)) / scale)
    return worst

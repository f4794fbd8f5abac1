"""What the benches share: the program, the tuned allocator of peers, running a command, a run's metrics."""
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LATHE = Path(os.environ.get("LATHE", ROOT / "build" / "release" / "lathe"))
TUNED = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}


def run(command, env=None):
    """Its output; an end of the whole bench with its errors where it fails."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **(env or {})}, cwd=ROOT)
    if result.returncode:
        sys.exit(result.stderr)
    return result.stdout


def train(recipe, folder, steps):
    """result.json of `steps` steps, the last step's metrics, and the median seconds of a step from the fourth on."""
    result = json.loads(run([LATHE, "train", recipe, "--fresh", "--stop-after", steps, "--json", "--quiet"]))
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines() if "learning_rate" in line]
    ends = [line["seconds"] for line in lines]
    return result, lines[-1], statistics.median(after - before for before, after in zip(ends[3:], ends[4:]))


def medians(measured, keys):
    """{kind: {key: the median of its entries}}"""
    return {kind: {key: statistics.median(entry[key] for entry in entries) for key in keys} for kind, entries in measured.items()}

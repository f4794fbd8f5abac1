"""Trains recipes/diffusion/shapes.yaml, has it draw prompts and asks the judge of scripts/shapes.py how many are right."""
import json
import subprocess
import sys

from program import ROOT

RECIPE = ROOT / "recipes" / "diffusion" / "shapes.yaml"
JUDGE = ROOT / "scripts" / "shapes.py"


def shapes(*arguments):
    """What a command of scripts/shapes.py prints."""
    command = [sys.executable, JUDGE, *arguments]
    return subprocess.run([str(a) for a in command], check=True, capture_output=True, text=True).stdout


def judged(folder, *arguments):
    return json.loads(shapes("judge", folder, *arguments))


class World:
    """A run of the recipe in a test's folder."""

    def __init__(self, case):
        self.case, self.run = case, case.folder / "shapes"

    def train(self, *sets):
        values = (f"directory={json.dumps(str(self.run))}", f"data.cache={json.dumps(str(self.case.folder / 'cache'))}", *sets)
        self.case.lathe("train", RECIPE, "--quiet", *(item for value in values for item in ("--set", value)), timeout=1700)
        return json.loads((self.run / "result.json").read_text())

    def draw(self, name, count, *arguments):
        """Scores of `count` prompts; further arguments go to `shapes.py prompts`."""
        prompts = self.case.folder / f"{name}.txt"
        prompts.write_text(shapes("prompts", "--count", count, *arguments))
        self.case.lathe("sample", self.run, "--prompts", prompts, "--seed", "1", "--output", self.case.folder / name, "--quiet")
        score = judged(self.case.folder / name)
        print(f"  {name}: {score}", flush=True)
        return score

"""Trains recipes/diffusion/digits.yaml, has it draw every digit and asks the judge of scripts/digits.py how many are right."""
import json
import subprocess
import sys

from program import ROOT

RECIPE = ROOT / "recipes" / "diffusion" / "digits.yaml"
SCRIPT = ROOT / "scripts" / "digits.py"


def peers_python():
    """One that has torch and Pillow, which the judge needs."""
    return subprocess.run([ROOT / "scripts" / "peers_env"], check=True, capture_output=True, text=True).stdout.strip()


class Digits:
    """A run of the recipe on `count` digits, in a test's folder."""

    def __init__(self, case, count):
        self.case, self.count, self.run, self.data = case, count, case.folder / "run", case.folder / "digits"
        subprocess.run([sys.executable, SCRIPT, "make", self.data, "--count", str(count)], check=True, capture_output=True)

    def train(self, *sets):
        values = (f"directory={json.dumps(str(self.run))}", f"data.cache={json.dumps(str(self.case.folder / 'cache'))}",
                  f"data.train={json.dumps(str(self.data))}", *sets)
        self.case.lathe("train", RECIPE, "--quiet", *(item for value in values for item in ("--set", value)), timeout=3000)
        return json.loads((self.run / "result.json").read_text())

    def draw(self, count):
        """Scores of `count` pictures of each digit."""
        drawn = self.case.folder / "drawn"
        self.case.lathe("sample", self.run, "--count", count, "--seed", "1", "--output", drawn, "--quiet", timeout=600)
        command = [peers_python(), SCRIPT, "judge", drawn, "--count", self.count]
        result = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        score = json.loads(result.stdout)
        print(f"  {score}", flush=True)
        return score

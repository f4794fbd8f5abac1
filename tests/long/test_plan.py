"""Peak memory and steps that lathe plan tells, beside those of lathe train, over drawn configurations: size x length x
vocabulary x checkpointing x batch, both precisions and optimizers, and three tuning runs. LATHE_PLANS sets how many (40),
LATHE_PLAN_SEED which."""
import json
import os
import random
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from planning import LIBRARY, STEPS, TOLERANCE, describe, draw, recipe_text, run

COUNT = int(os.environ.get("LATHE_PLANS", "40"))
SEED = int(os.environ.get("LATHE_PLAN_SEED", "1"))
BASE = {"family": "llama", "hidden": 256, "heads": 8, "kv": 4, "layers": 8, "inner": 768, "tie": False, "vocabulary": 8192,
        "length": 512, "micro": 4, "accumulate": 1, "checkpointing": False, "precision": "bf16", "optimizer": "adamw"}
TUNING = """\
name: {name}
directory: {directory}
task: sft
model: {{path: {base}}}
data: {{train: {data}, validation: 0.1, sequence_length: 512, overlength: truncate, cache: {cache}}}
train: {{global_batch_size: 8, micro_batch_size: {micro}, precision: bf16}}
evaluate: {{max_rows: 4}}
"""


class Plans(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="lathe plans "))
        cls.ratios = []

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def compare(self, name, recipe, *arguments):
        plan = run("plan", recipe, *arguments, cwd=self.folder)
        result = run("train", recipe, *arguments, "--stop-after", STEPS, cwd=self.folder)
        ratio = plan["peak_memory"] / result["peak_memory"]
        print(f"  {ratio:.2f} = {plan['peak_memory'] / 1e6:.0f} / {result['peak_memory'] / 1e6:.0f} MB, "
              f"{plan['parameters'] / 1e6:.1f} M: {name}", flush=True)
        self.assertEqual(plan["steps"], result["total_steps"])
        self.assertLess(abs(ratio - 1), TOLERANCE, name)
        return ratio

    def test_drawn_configurations(self):
        rng = random.Random(SEED)
        for index in range(COUNT):
            config = draw(rng, [512, 2048, 8192, 32768], 60e6, 1e13)
            with self.subTest(describe(config)):
                recipe = self.folder / f"{index}.yaml"
                recipe.write_text(recipe_text(config, f"run{index}", self.folder), encoding="utf-8")
                saves = ["--set", "checkpoint.every=2"] if index % 3 == 2 else []
                self.compare(describe(config) + (" saving every 2" if saves else ""), recipe, *saves)
                shutil.rmtree(self.folder / f"run{index}", ignore_errors=True)

    def test_tuning(self):
        recipe = self.folder / "base.yaml"
        recipe.write_text(recipe_text(BASE, "base", self.folder), encoding="utf-8")
        run("train", recipe, "--set", "train.max_steps=2", cwd=self.folder)
        data = self.folder / "pairs.jsonl"
        with open(data, "w", encoding="utf-8") as file:
            for path in sorted(Path(LIBRARY).glob("*.py"))[:150]:
                text = path.read_text(encoding="utf-8", errors="replace")
                size = 200 + len(text) % 1200
                file.write(json.dumps({"prompt": f"# {path.name}\n", "completion": text[:size]}) + "\n")
        for name, micro, sets in (("full weights", 8, []), ("lora", 8, ["adapter={kind: lora, rank: 16}"]),
                                  ("lora, dropout, accumulated", 2, ["adapter={kind: lora, rank: 8, dropout: 0.05}"])):
            with self.subTest(name):
                values = {"name": "tuned", "directory": self.folder / name, "base": self.folder / "base", "data": data,
                          "cache": self.folder / "cache", "micro": micro}
                recipe = self.folder / f"{name}.yaml"
                recipe.write_text(TUNING.format(**{key: json.dumps(str(value)) if key != "micro" else value
                                                   for key, value in values.items()}), encoding="utf-8")
                self.compare(name, recipe, *[item for value in sets for item in ("--set", value)])


if __name__ == "__main__":
    unittest.main()

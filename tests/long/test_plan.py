"""Peak memory and steps that lathe plan tells, beside those of lathe train, over drawn configurations: size x length x
vocabulary x checkpointing x batch, both precisions and optimizers. LATHE_PLANS sets how many (40), LATHE_PLAN_SEED which."""
import os
import random
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from planning import STEPS, TOLERANCE, describe, describe_tuning, draw, draw_tuning, recipe_text, run, tuning_recipe

COUNT = int(os.environ.get("LATHE_PLANS", "40"))
SEED = int(os.environ.get("LATHE_PLAN_SEED", "1"))


class Plans(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="lathe plans "))
        cls.ratios = []

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def compare(self, name, recipe, *arguments, stop=("--stop-after", STEPS)):
        plan = run("plan", recipe, *arguments, cwd=self.folder)
        result = run("train", recipe, *arguments, *stop, cwd=self.folder)
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

    def test_drawn_tuning(self):
        """Bases that read nothing yet, tuned by every method."""
        rng = random.Random(SEED + 1000)
        for index in range(COUNT):
            config, tuning = {**draw(rng, [512, 2048, 8192], 60e6, 4e12), "length": 1024, "micro": 1, "accumulate": 1}, draw_tuning(rng)
            name = f"{describe_tuning(tuning)}; {describe(config)}"
            with self.subTest(name):
                base = self.folder / f"base{index}"
                recipe = self.folder / f"base{index}.yaml"
                recipe.write_text(recipe_text(config, base.name, self.folder, "email/**/*.py"), encoding="utf-8")
                run("train", recipe, "--stop-after", 1, cwd=self.folder)
                self.compare(name, tuning_recipe(tuning, f"tuned{index}", self.folder, base), stop=())   # answers are asked at the end
                shutil.rmtree(base, ignore_errors=True)
                shutil.rmtree(self.folder / f"tuned{index}", ignore_errors=True)


if __name__ == "__main__":
    unittest.main()

"""Digits are learned: recipes/diffusion/digits.yaml as it stands, 100 pictures of each, seed 1. The judge of scripts/digits.py is
right on at least 98 of 100 real ones that it has not seen. LATHE_DIGITS_STEPS sets the steps (the recipe's)."""
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from digits_task import Digits
from program import Case

STEPS = os.environ.get("LATHE_DIGITS_STEPS")


class DrawnDigits(Case):
    def test_digits_are_drawn_as_they_are_asked_for(self):
        task, begin = Digits(self, 6000), time.time()
        result = task.train(*([f"train.max_steps={STEPS}"] if STEPS else []))
        print(f"  {result['pictures']} pictures in {time.time() - begin:.0f} s with start and export, "
              f"validation loss {result['validation_loss']:.4f}", flush=True)
        score = task.draw(100)
        self.assertGreaterEqual(score["judge_on_real"], 0.98)
        self.assertGreaterEqual(score["right"], 0.95)
        self.assertGreaterEqual(score["smallest_diversity"], 0.85)
        self.assertLessEqual(score["largest_diversity"], 1.1)
        self.assertGreaterEqual(score["nearest_training_picture"], 0.8)   # not the training pictures themselves


if __name__ == "__main__":
    import unittest
    unittest.main()

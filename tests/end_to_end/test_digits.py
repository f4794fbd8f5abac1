"""recipes/diffusion/digits.yaml learns and draws, the short version: 960 pictures (the proof is tests/long)."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from digits_task import Digits
from program import Case


class ShortDigits(Case):
    def test_a_short_run_learns_and_draws_every_class(self):
        task = Digits(self, 200)
        result = task.train("train.max_steps=60", "train.global_batch_size=16", "train.threads=1", "evaluate.every=60",
                            "schedule.warmup_steps=5", "diffusion.sampling.count=10", "diffusion.sampling.steps=4")
        self.assertLess(result["validation_loss"], 0.6)   # an untrained one: 0.84
        drawn = self.folder / "drawn"
        self.lathe("sample", task.run, "--count", "1", "--steps", "4", "--seed", "1", "--output", drawn, "--quiet")
        asked = [json.loads(line)["text"] for line in (drawn / "metadata.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(asked), [str(digit) for digit in range(10)])


if __name__ == "__main__":
    import unittest
    unittest.main()

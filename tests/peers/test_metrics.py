"""Text metrics against rouge_score, sacrebleu, torchmetrics, scikit-learn and scipy, in a small environment of their own."""
import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LATHE_BUILD", ROOT / "build" / "release"))


class Metrics(unittest.TestCase):
    def test_values_equal_the_usual_libraries(self):
        python = subprocess.run([ROOT / "scripts/peers_env", "metrics"], check=True, capture_output=True, text=True).stdout.strip()
        run = subprocess.run([python, ROOT / "tests/peers/check_metrics.py", BUILD / "tests/test_metrics"], capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn(" 0 differ", run.stdout)
        self.assertRegex(run.stdout, r"mean of sentences [\d.]+ \(ours\), sacrebleu's corpus_score [\d.]+")

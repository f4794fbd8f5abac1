"""A run killed by SIGKILL at random moments, saving included: it always goes on, never loads half a checkpoint, and ends
with the bytes of the run that nobody killed. LATHE_KILLS sets how many (50)."""
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from program import LATHE, Case

KILLS = int(os.environ.get("LATHE_KILLS", "50"))
SETS = ["train.max_steps=2600", "checkpoint.every=1", "checkpoint.keep_last=2", "evaluate.every=200"]


class Kills(Case):
    def test_killed_runs_end_with_the_same_bytes(self):
        self.train("straight", *SETS)
        random.seed(11)
        recipe = self.recipe("killed")
        command = [str(LATHE), "train", str(recipe), "--quiet", *(item for value in SETS for item in ("--set", value))]
        steps_at_kill, finished_early = [], 0
        for kill in range(KILLS):
            process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(random.uniform(0.05, 1.2))
            process.send_signal(signal.SIGKILL)
            errors = process.stderr.read().decode(errors="replace")
            process.stderr.close()
            code = process.wait()
            self.assertIn(code, (-signal.SIGKILL, 0), errors)
            finished_early += code == 0
            whole = sorted((self.folder / "killed" / "checkpoints").glob("step-????????")) if (self.folder / "killed").exists() else []
            steps_at_kill.append(int(whole[-1].name.split("-")[1]) if whole else 0)
        self.assertLess(finished_early, KILLS // 5, "the run ended before most kills: give it more steps")
        self.train("killed", *SETS)
        for name in ("model.safetensors", "optimizer.safetensors"):
            self.assertEqual((self.checkpoint("straight", 2600) / name).read_bytes(),
                             (self.checkpoint("killed", 2600) / name).read_bytes(), name)
        self.assertEqual([record["loss"] for record in self.metrics("straight")],
                         [record["loss"] for record in self.metrics("killed")])
        print(f"  {KILLS} kills, newest checkpoints at {steps_at_kill}, {finished_early} of them after the end", flush=True)

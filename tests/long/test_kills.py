"""A run killed by SIGKILL at random moments, saving included: it always goes on, never loads half a checkpoint, and ends
with the bytes of the run that nobody killed. LATHE_KILLS sets how many (50)."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from kills import assert_same_run, kill_at_random
from program import Case

KILLS = int(os.environ.get("LATHE_KILLS", "50"))
SETS = ["train.max_steps=1000000", "checkpoint.every=1", "checkpoint.keep_last=2", "evaluate.every=200"]


class Kills(Case):
    def test_killed_runs_end_with_the_same_bytes(self):
        steps = kill_at_random(self, "killed", SETS, KILLS)
        last = steps[-1] + 20
        for name in ("killed", "straight"):
            self.train(name, *SETS, extra=("--stop-after", str(last)))
        assert_same_run(self, "straight", "killed", last)
        print(f"  {KILLS} kills, newest checkpoints at {steps}", flush=True)

"""Runs that SIGKILL ends at random moments, saving included: used by the fast suite and by tests/long/test_kills.py."""
import random
import signal
import subprocess
import time

from program import LATHE


def kill_at_random(case, name, sets, kills, longest):
    """Starts the run `name` so often and kills it within `longest` seconds; the newest checkpoint after each kill."""
    draw = random.Random(11)
    command = [str(LATHE), "train", str(case.recipe(name)), "--quiet", *(item for value in sets for item in ("--set", value))]
    steps, finished_early = [], 0
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=case.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(draw.uniform(0.05, longest))
        process.send_signal(signal.SIGKILL)
        errors = process.stderr.read().decode(errors="replace")
        process.stderr.close()
        code = process.wait()
        case.assertIn(code, (-signal.SIGKILL, 0), errors)
        finished_early += code == 0
        whole = sorted((case.folder / name / "checkpoints").glob("step-????????")) if (case.folder / name).exists() else []
        steps.append(int(whole[-1].name.split("-")[1]) if whole else 0)
    case.assertLessEqual(finished_early, kills // 4, "the run ended before most kills: give it more steps")
    return steps


def assert_same_run(case, one, other, last):
    """Weights, moments and every loss."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        case.assertEqual((case.checkpoint(one, last) / name).read_bytes(), (case.checkpoint(other, last) / name).read_bytes(), name)
    case.assertEqual([record["loss"] for record in case.metrics(one)], [record["loss"] for record in case.metrics(other)])

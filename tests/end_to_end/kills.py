"""Runs that SIGKILL ends at random moments, saving included: used by the fast suite and by tests/long/test_kills.py."""
import random
import signal
import subprocess
import time

from program import LATHE


def kill_at_random(case, name, sets, kills):
    """Starts the run `name`, which has more steps than it can make, so often and kills it within the time that this machine takes, now, to
    start a run and make 60 steps; the newest checkpoint after each kill."""
    start = time.time()
    case.train("timed", *sets, extra=("--stop-after", "60"))
    longest, draw = time.time() - start, random.Random(11)
    command = [str(LATHE), "train", str(case.recipe(name)), "--quiet", *(item for value in sets for item in ("--set", value))]
    steps = []
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=case.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(draw.uniform(0.05, longest))
        process.send_signal(signal.SIGKILL)
        errors = process.stderr.read().decode(errors="replace")
        process.stderr.close()
        code = process.wait()
        case.assertEqual(code, -signal.SIGKILL, errors)
        whole = sorted((case.folder / name / "checkpoints").glob("step-????????")) if (case.folder / name).exists() else []
        steps.append(int(whole[-1].name.split("-")[1]) if whole else 0)
    return steps


def assert_same_run(case, one, other, last):
    """Weights, moments and every loss."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        case.assertEqual((case.checkpoint(one, last) / name).read_bytes(), (case.checkpoint(other, last) / name).read_bytes(), name)
    case.assertEqual([record["loss"] for record in case.metrics(one)], [record["loss"] for record in case.metrics(other)])

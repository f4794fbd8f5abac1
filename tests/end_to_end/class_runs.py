"""Small runs of networks that draw digits by class: what UNets and DiTs must both do."""
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import ROOT, Case, relative_difference

DIGITS = """\
name: tiny
directory: {directory}
task: diffusion
model: %s
data: {{train: digits, resolution: [8], channels: 1, validation: 0.1, cache: {cache}}}
diffusion: {{prediction: velocity, schedule: cosine, timesteps: uniform, sampling: {{steps: 4, count: 10, guidance: 2}}}}
optimizer: {{name: adamw, learning_rate: 3e-3}}
schedule: {{name: cosine, warmup_steps: 4}}
train: {{max_steps: 12, global_batch_size: 16, precision: fp32, threads: 1, seed: 5}}
ema: {{decay: 0.9}}
evaluate: {{every: 6}}
checkpoint: {{every: 6, keep_last: 10}}
"""


class ClassRuns(Case):
    """MODEL: what stands behind `model:`; WEIGHTS: the file of a checkpoint; LEAVE_OUT: weights that are rounding alone."""
    MODEL = WEIGHTS = LEAVE_OUT = ""

    def setUp(self):
        super().setUp()
        command = [sys.executable, ROOT / "scripts" / "digits.py", "make", self.folder / "digits", "--count", "120", "--size", "8"]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)

    def digits(self, name):
        return self.recipe(name, DIGITS % self.MODEL)

    def run_of(self, name, *sets, code=0, extra=()):
        arguments = [item for value in sets for item in ("--set", value)]
        said = self.lathe("train", self.digits(name), "--quiet", *arguments, *extra, code=code)
        path = self.folder / name / "result.json"
        return json.loads(path.read_text()) if path.exists() else said[1]

    def check_drawing(self, run, export):
        """By one class, by a prompt that names it, by all; the export draws what the run draws."""
        self.assertTrue(self.json("verify", export)["passed"])
        self.assertEqual(self.json("inspect", export)["classes"], [str(digit) for digit in range(10)])
        drawn = self.json("sample", run, "--class", "3", "--count", "2", "--output", self.folder / "three")
        self.assertEqual((drawn["pictures"], drawn["guidance"], drawn["sampler"]), (2, 2, "ddim"))
        self.json("sample", export, "--prompt", "3", "--count", "2", "--steps", "4", "--output", self.folder / "again")
        self.assertEqual(*((self.folder / name / "00001.png").read_bytes() for name in ("three", "again")))
        every = self.json("sample", run, "--count", "2", "--output", self.folder / "every")
        self.assertEqual(every["pictures"], 20)
        said = self.lathe("sample", run, "--class", "eleven", "--output", self.folder / "none", code=2)[1]
        self.assertIn("'eleven' is none of the 10 classes: 0, 1, 2", said)

    def check_resume_and_ranks(self):
        for precision in ("fp32", "bf16"):
            straight, parted = f"straight-{precision}", f"parted-{precision}"
            self.run_of(straight, f"train.precision={precision}")
            self.run_of(parted, f"train.precision={precision}", extra=("--stop-after", "6"))
            self.run_of(parted, f"train.precision={precision}")
            for name in (self.WEIGHTS, "optimizer.safetensors"):
                self.assertEqual(*((self.checkpoint(run, 12) / name).read_bytes() for run in (straight, parted)), f"{precision} {name}")
        self.run_of("two", extra=("--processes", "2"))
        self.run_of("parts", "train.micro_batch_size=4")
        losses = {run: [record["loss"] for record in self.metrics(run)] for run in ("straight-fp32", "two", "parts")}
        for other in ("two", "parts"):
            for one, same in zip(losses["straight-fp32"], losses[other], strict=True):
                self.assertLess(abs(one - same), 1e-5 * one)
            # What starts at zero has moved by some learning rates only, so Adam shows the rounding of small gradients.
            self.assertLess(relative_difference(self.checkpoint("straight-fp32", 12) / self.WEIGHTS, self.checkpoint(other, 12) / self.WEIGHTS,
                                                leave_out=self.LEAVE_OUT), 1e-3)

    def check_told_before(self, *changes):
        for change, told in changes:
            self.assertIn(told, self.lathe("check", self.digits("bad"), "--set", change, code=2)[1])

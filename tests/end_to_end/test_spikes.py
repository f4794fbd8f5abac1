"""train.on_spike: a poisoned document among regular ones makes the gradient of one step many times the usual."""
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import RECIPE, Case

# Every step validates, so that what a step did to the weights can be seen. With this seed the poison comes in two rows, at steps 150
# and 196, long after the watch's warm-up; its gradient is 13 and 29 times the usual, that of other steps at most 2.2 times.
SPIKY = RECIPE.replace("validation: 0.15", 'validation: {validation}, packing: false').replace(
    "max_steps: 20", "max_steps: 220, spike_sigma: 4").replace("seed: 5", "seed: 1").replace("{{every: 10, sample_tokens: 8}}", "{{every: 1, sample_tokens: 1}}").replace(
    "warmup_steps: 4", "warmup_steps: 20")


class Spikes(Case):
    def setUp(self):
        super().setUp()
        for path in self.corpus.iterdir():
            path.unlink()
        for index in range(900):
            (self.corpus / f"{index:03d}.txt").write_text(f"the cat {index:03d} sat on the mat " * 6 + "\n")
        draw = random.Random(3)
        self.poison = "".join(chr(draw.choice(range(0x4E00, 0x9FFF))) for _ in range(20))
        (self.corpus / "poison.txt").write_text(self.poison, encoding="utf-8")
        (self.folder / "held.txt").write_text("the cat 999 sat on the mat " * 40 + "\n")

    def recipe(self, name="run", text=SPIKY, **changes):
        return super().recipe(name, text.replace("{validation}", json.dumps(str(self.folder / "held.txt"))), **changes)

    def records(self, name):
        lines = [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]
        held_out = {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line}
        return lines, held_out

    def test_rollback_brings_the_weights_of_the_last_checkpoint_back(self):
        result = self.train("run", "train.on_spike=rollback")
        lines, held_out = self.records("run")
        spikes = [line for line in lines if line.get("event") == "rollback"]
        self.assertIn(len(spikes), (1, 2), [line for line in lines if "event" in line])
        went_back = 0
        for spike in spikes:
            step = spike["step"]
            saved = (step - 1) // 5 * 5
            usual = sorted(line["grad_norm"] for line in self.metrics("run") if step - 60 < line["step"] < step)
            self.assertGreater(spike["grad_norm"], 5 * usual[len(usual) // 2])
            self.assertEqual(held_out[step], held_out[saved])
            self.assertNotEqual(held_out[step + 1], held_out[step])  # and training goes on from there
            went_back += held_out[step - 1] != held_out[saved]
        self.assertGreater(went_back, 0, "every spike came right after a checkpoint: choose another seed")
        self.assertEqual(result["steps"], 220)

    def test_skip_leaves_the_weights_of_the_step_before(self):
        self.train("run", "train.on_spike=skip")
        lines, held_out = self.records("run")
        spikes = [line["step"] for line in lines if line.get("event") == "skipped_step"]
        self.assertIn(len(spikes), (1, 2), [line for line in lines if "event" in line])
        for step in spikes:
            self.assertEqual(held_out[step], held_out[step - 1])
            self.assertNotEqual(held_out[step + 1], held_out[step])

    def test_ignore_takes_the_step(self):
        self.train("run", "train.on_spike=ignore")
        lines, held_out = self.records("run")
        self.assertFalse([line for line in lines if "event" in line])
        self.assertFalse([step for step in held_out if step and held_out[step] == held_out[step - 1]])

    def test_a_leap_of_the_loss_is_a_spike_at_a_norm_that_is_none_also_after_a_resume(self):
        # At 9 deviations the norms of both poisoned rows pass; one of them is most of its row, and 2.5 nats above the rest. It comes 16
        # steps after the resume: the watch knows what was usual before.
        sets = ("train.on_spike=skip", "train.spike_sigma=9", "evaluate.every=110")
        self.train("run", *sets, extra=("--stop-after", "180"))
        _, log = self.lathe("train", self.recipe("run"), *(item for value in sets for item in ("--set", value)))
        (spike,) = [line for line in self.records("run")[0] if "event" in line]
        self.assertEqual((spike["event"], spike["spike_of"]), ("skipped_step", "loss"))
        self.assertGreater(spike["step"], 180)
        self.assertIn(": a spike of the loss: the step is skipped", log)

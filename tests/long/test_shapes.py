"""Shapes are learned: recipes/diffusion/shapes.yaml as it stands, 500 prompts of combinations that were drawn and 250 of those
held out before training, one picture each, seed 1. The judge is right on 1,000 true pictures and at chance when their captions
are shuffled. LATHE_SHAPES_STEPS sets the steps (the recipe's)."""
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from program import Case
from shapes_task import World, judged, shapes

STEPS = os.environ.get("LATHE_SHAPES_STEPS")


class Shapes(Case):
    def test_the_judge_knows_true_pictures(self):
        shapes("make", self.folder / "true", "--count", 1000, "--seed", 7)
        self.assertGreaterEqual(judged(self.folder / "true")["all"], 0.995)
        self.assertLess(judged(self.folder / "true", "--shuffle")["all"], 0.05)

    def test_prompts_are_drawn_as_they_ask(self):
        world, begin = World(self), time.time()
        result = world.train(*([f"train.max_steps={STEPS}"] if STEPS else []))
        print(f"  {result['pictures']} pictures in {time.time() - begin:.0f} s with start and export, "
              f"validation loss {result['validation_loss']:.4f}", flush=True)
        seen, held_out = world.draw("seen", 500), world.draw("held_out", 250, "--held-out")
        self.assertGreaterEqual(seen["all"], 0.95)
        self.assertEqual(held_out["held_out_pictures"], 250)
        self.assertGreaterEqual(held_out["held_out"], 0.80)
        self.assertTrue(json.loads(self.lathe("verify", world.run / "export" / "diffusers", "--json", "--quiet")[0])["passed"])

"""Shapes are learned, the short version: 51,200 pictures (the proof is tests/long). By chance 1 of 100 prompts
is right; shapes come last."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case
from shapes_task import World


class Shapes(Case):
    def test_a_short_run_draws_colours_and_places_and_some_shapes(self):
        world = World(self)
        result = world.train("train.max_steps=800", "evaluate.every=800", "data.train=[{generate: shapes, count: 6000}]")
        self.assertLess(result["validation_loss"], 0.25)
        score = world.draw("seen", 60)
        self.assertGreaterEqual(score["colour"], 0.9)
        self.assertGreaterEqual(score["place"], 0.75)
        self.assertGreaterEqual(score["all"], 0.2)

"""Shapes are learned, the short version: colours and places after a sixth of the recipe's steps (the proof is tests/long)."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case
from shapes_task import World


class Shapes(Case):
    def test_a_short_run_draws_colours_and_places(self):
        world = World(self)
        result = world.train("train.max_steps=800", "evaluate.every=800", "data.train=[{generate: shapes, count: 6000}]")
        self.assertLess(result["validation_loss"], 0.25)
        score = world.draw("seen", 60)
        self.assertGreaterEqual(score["colour"], 0.9)
        self.assertGreaterEqual(score["place"], 0.9)

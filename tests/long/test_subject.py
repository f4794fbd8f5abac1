"""A new subject from 12 pictures: recipes/diffusion/subject.yaml on a base of recipes/diffusion/shapes.yaml (LATHE_SHAPES_BASE names
one that is trained already). 600 prompts of a wug in a colour or place that no picture shows, 500 old prompts before and after."""
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from program import ROOT, Case
from shapes_task import World, judged, shapes

RECIPE = ROOT / "recipes" / "diffusion" / "subject.yaml"


class Subject(Case):
    def draw(self, run, name, *prompts):
        path = self.folder / f"{name}.txt"
        path.write_text(shapes("prompts", *prompts))
        self.lathe("sample", run, "--prompts", path, "--seed", "1", "--output", self.folder / name, "--quiet", timeout=1200)
        score = judged(self.folder / name)
        print(f"  {name}: {score}", flush=True)
        return score["all"]

    def test_a_subject_is_learned_and_the_rest_kept(self):
        base = os.environ.get("LATHE_SHAPES_BASE")
        if not base:
            world = World(self)
            world.train()
            base = str(world.run)
        run = self.folder / "subject"
        sets = (f"model.path={json.dumps(base)}", f"directory={json.dumps(str(run))}", f"data.cache={json.dumps(str(self.folder / 'cache'))}")
        self.lathe("train", RECIPE, "--quiet", *(item for value in sets for item in ("--set", value)), timeout=1700)
        report = json.loads((run / "report.json").read_text())
        print(f"  copies {report['copies']['rate']:.2f}, drift {report['prior_drift']['relative']:.3f}", flush=True)
        before = self.draw(base, "before", "--count", 500)
        self.assertGreaterEqual(self.draw(run, "new", "--subject", "--count", 600, "--seed", 5), 0.70)
        self.assertGreaterEqual(self.draw(run, "old", "--count", 500), before - 0.02)
        self.assertLessEqual(report["copies"]["rate"], 0.9)   # of the training captions
        self.assertLess(report["prior_drift"]["relative"], 0.1)

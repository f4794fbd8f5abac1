"""A command given again: after a first failure was mended, after early stopping, after the base was changed."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import Tuning


class Again(Tuning):
    def result(self, name):
        return json.loads((self.folder / name / "result.json").read_text())

    def test_a_run_that_never_kept_anything_gives_way_to_its_mended_recipe(self):
        recipe = self.tuning("run", self.pairs(12))
        log = self.lathe("train", recipe, "--quiet", "--set", "data.sequence_length=8", code=2)[1]
        self.assertIn("do not fit data.sequence_length", log)
        log = self.lathe("train", recipe, "--quiet", "--set", "adapter.targets=[nowhere]", code=2)[1]
        self.assertNotIn("another recipe", log)
        self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=1")
        self.assertFalse((self.folder / "run.1").exists())
        log = self.lathe("train", recipe, "--quiet", "--set", "optimizer.learning_rate=1e-3", code=2)[1]   # now it holds something
        self.assertIn("holds a run of another recipe", log)
        folds = self.tuning("folds", self.pairs(12), "{folds: 3}")
        self.lathe("train", folds, "--quiet", "--stop-after", "1")
        log = self.lathe("train", folds, "--quiet", "--set", "optimizer.learning_rate=1e-3", code=2)[1]   # a fold holds something
        self.assertIn("holds a run of another recipe", log)

    def test_a_run_that_stopped_early_is_finished(self):
        recipe = self.tuning("run", self.pairs(12), extra="early_stopping: {patience: 1}\nexport: [{format: peft}]\n")
        arguments = ["train", recipe, "--quiet", "--set", "train.epochs=40", "--set", "optimizer.learning_rate=0.05"]
        self.lathe(*arguments)
        before = self.result("run")
        self.assertEqual(before["reason"], "early_stopping")
        times = {path: path.stat().st_mtime_ns for path in (self.folder / "run" / "export").rglob("*")}
        out, _ = self.lathe(*arguments)
        self.assertIn("stopped early); nothing to do", out)
        self.assertEqual(self.result("run"), before)
        self.assertEqual({path: path.stat().st_mtime_ns for path in (self.folder / "run" / "export").rglob("*")}, times)

    def test_without_the_best_step_every_figure_is_of_the_last(self):
        recipe = self.tuning("run", self.pairs(16), extra="checkpoint: {keep_best: false, keep_last: 1}\nexport: [{format: peft}]\n")
        out, _ = self.lathe("train", recipe, "--quiet", "--set", "train.epochs=24", "--set", "optimizer.learning_rate=0.1")
        result, report = self.result("run"), self.report("run")
        self.assertLess(result["best_step"], result["steps"])
        self.assertEqual(report["step"], result["steps"])
        self.assertEqual(result["validation_loss"], result["last_validation_loss"])
        self.assertLess(result["best_validation_loss"], result["validation_loss"])
        self.assertEqual(report["held_out"]["tuned_loss"], result["validation_loss"])
        card = (self.folder / "run" / "export" / "peft" / "README.md").read_text(encoding="utf-8")
        told = float(card.split("- validation loss: ")[1].split()[0])
        self.assertAlmostEqual(told, result["validation_loss"], delta=1e-3)
        self.assertIn("checkpoint.keep_best is off", out)
        for look in report["look"]:
            self.assertNotIn("the best step was kept", look)

    def test_a_changed_base_is_noticed_on_resume_and_on_export(self):
        base = self.folder / "mine"
        shutil.copytree(self.base, base)
        recipe = self.tuning("run", self.pairs(12), base=base)
        self.lathe("train", recipe, "--quiet", "--stop-after", "2")
        weights = base / "model.safetensors"
        kept = weights.read_bytes()
        weights.write_bytes(kept[:-4000] + bytes(4000))
        log = self.lathe("train", recipe, "--quiet", code=2)[1]
        self.assertIn("base_sha256", log)
        log = self.lathe("export", self.folder / "run", "--output", "merged", code=1)[1]
        self.assertIn("has changed since the run", log)
        weights.write_bytes(kept)
        self.lathe("train", recipe, "--quiet")
        base.rename(self.folder / "elsewhere")
        log = self.lathe("export", self.folder / "run", "--output", "merged", code=1)[1]
        self.assertIn("ln -s NEW_PLACE", log)
        self.assertNotIn("Hub", log)

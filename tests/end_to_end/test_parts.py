"""Several runs of one recipe: folds that hold every example out once, seeds that show what chance does."""
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import ROOT
from tuning_case import Tuning


class Parts(Tuning):
    def result(self, name):
        return json.loads((self.folder / name / "result.json").read_text())

    def same_report(self, one, other):
        for key in ("metrics", "verdict", "verdict_few_shot", "spread", "answers", "behaviour", "general_text", "memorised", "recalled"):
            self.assertEqual(self.report(one)[key], self.report(other)[key], key)

    def test_folds_hold_every_example_out_once_and_end_with_a_run_on_all(self):
        data = self.pairs(20)
        recipe = self.tuning("run", data, "{folds: 4}", extra="evaluate: {metrics: [chrf, exact_match]}\nexport: [{format: peft}]\n")
        self.lathe("train", recipe, "--quiet")
        held = []
        for fold in range(1, 5):
            part = self.report(f"run/parts/fold-{fold}")
            self.assertEqual(self.result(f"run/parts/fold-{fold}")["steps"], 8)   # 15 examples, 2 epochs, batches of 4
            self.assertEqual(part["examples"], 5)
            held.append([answer["origin"] for answer in part["answers"]])
        report, result = self.report("run"), self.result("run")
        self.assertEqual(len({origin for fold in held for origin in fold}), 20)
        self.assertEqual([answer["origin"] for answer in report["answers"]], [origin for fold in held for origin in fold])
        self.assertEqual((report["examples"], report["held_out_prompts"]), (20, 20))
        self.assertEqual(report["recalled"]["asked"], 20)   # the run that learns from all; a fold leaves it to that one
        self.assertNotIn("recalled", self.report("run/parts/fold-1"))
        runs = report["spread"]["runs"]
        self.assertEqual([run["fold"] for run in runs], [1, 2, 3, 4])
        scores = [self.report(f"run/parts/fold-{fold}")["metrics"]["chrf"]["tuned"]["score"] for fold in range(1, 5)]
        spread = report["spread"]["metrics"]["chrf"]
        self.assertAlmostEqual(spread["mean"], statistics.mean(scores), places=9)
        self.assertAlmostEqual(spread["sd"], statistics.stdev(scores), places=9)
        self.assertEqual((spread["min"], spread["max"]), (min(scores), max(scores)))
        self.assertAlmostEqual(report["metrics"]["chrf"]["tuned"]["score"], statistics.mean(scores), places=9)
        self.assertGreater(len(set(scores)), 1)
        # The run itself reads all 20 and walks its schedule of 10 steps as far as the median fold was best.
        share = statistics.median(run["best_step"] / run["total_steps"] for run in runs)
        self.assertEqual(result["total_steps"], 10)
        self.assertEqual(result["steps"], max(1, int(share * 10 + 0.5)))
        self.assertTrue(result["exports"][0]["passed"])
        page = (self.folder / "run" / "report.html").read_text(encoding="utf-8")
        self.assertIn("fold 3, seed 5", page)
        self.assertFalse((self.folder / "run" / "parts" / "fold-1" / "export").exists())
        before = (self.folder / "run" / "parts" / "fold-2" / "report.json").stat().st_mtime_ns
        self.lathe("train", recipe, "--quiet")   # again: nothing is done twice
        self.assertEqual(before, (self.folder / "run" / "parts" / "fold-2" / "report.json").stat().st_mtime_ns)
        _, log = self.lathe("train", recipe, "--quiet", "--set", "optimizer.learning_rate=1e-3", code=2)
        self.assertIn("optimizer.learning_rate", log)

    def test_the_numbers_of_folds_come_again_from_the_start_and_from_the_middle(self):
        data = self.pairs(12)
        for name in ("one", "two"):
            self.lathe("train", self.tuning(name, data, "{folds: 3}"), "--quiet")
        self.lathe("train", self.tuning("broken", data, "{folds: 3}"), "--quiet", "--stop-after", "3")
        self.assertFalse((self.folder / "broken" / "parts" / "fold-2").exists())
        self.lathe("train", self.tuning("broken", data, "{folds: 3}"), "--quiet")
        for other in ("two", "broken"):
            self.same_report("one", other)
            step = self.result("one")["steps"]
            self.assertEqual(self.weights("one", step), self.weights(other, step))

    def test_seeds_share_what_is_held_out_and_each_example_counts_once(self):
        data = self.pairs(15)
        recipe = self.tuning("run", data, "0.2", extra="evaluate: {metrics: [chrf]}\n")
        self.lathe("train", recipe, "--quiet", "--set", "train.seeds=3")
        parts = [self.report(f"run/parts/seed-{seed}") for seed in (6, 7)]
        report = self.report("run")
        origins = [answer["origin"] for answer in report["answers"]]
        for part in parts:
            self.assertEqual([answer["origin"] for answer in part["answers"]], origins)
            self.assertEqual(part["metrics"]["chrf"]["base"], report["metrics"]["chrf"]["base"])
        runs = report["spread"]["runs"]
        self.assertEqual([run["seed"] for run in runs], [5, 6, 7])
        self.assertEqual(report["examples"], 3)
        scores = [run["metrics"]["chrf"]["tuned"] for run in runs]
        self.assertAlmostEqual(report["metrics"]["chrf"]["tuned"]["score"], statistics.mean(scores), places=9)
        self.assertEqual(scores[1:], [part["metrics"]["chrf"]["tuned"]["score"] for part in parts])
        self.assertGreater(len(set(scores)), 1)
        self.assertIn("n = 3", report["verdict"])

    def test_one_fold_alone_and_what_does_not_go_together(self):
        data = self.pairs(12)
        recipe = self.tuning("one", data, "{folds: 3, fold: 2}")
        self.lathe("train", recipe, "--quiet")
        self.assertFalse((self.folder / "one" / "parts").exists())
        self.assertEqual(self.report("one")["examples"], 4)
        self.lathe("train", self.tuning("all", data, "{folds: 3}"), "--processes", "2", code=2)
        _, log = self.lathe("train", self.tuning("few", data, "{folds: 13}"), "--quiet", code=2)
        self.assertIn("13 folds of 12 examples", log)


class CopiedRecipes(Tuning):
    def test_a_copied_recipe_brings_its_data_and_trains_where_it_is(self):
        output, _ = self.lathe("recipes", "copy", "extract_json", "--json")
        self.assertEqual(json.loads(output)["data"], ["data/extract_json.jsonl"])
        sets = ["train.max_steps=2", "train.precision=fp32", f"model.path={json.dumps(str(self.base))}", "export=[]"]
        self.lathe("train", "extract_json.yaml", "--quiet", *[item for value in sets for item in ("--set", value)])
        self.assertTrue((self.folder / "runs" / "extract_json" / "report.json").exists())

    def test_a_copy_brings_folders_of_pictures_along(self):
        output, _ = self.lathe("recipes", "copy", "subject", "--json")
        copied = json.loads(output)["data"]
        self.assertEqual(len(copied), 14)   # 12 pictures, their captions, the old prompts
        self.assertIn("data/wug/metadata.jsonl", copied)
        for name in copied:
            self.assertTrue((self.folder / name).is_file(), name)

    def test_a_built_in_recipe_finds_the_runs_of_the_current_folder(self):
        _, log = self.lathe("train", "subject", code=2)
        self.assertIn(f"model '{self.folder}/runs/shapes' does not exist", log)
        self.assertIn("make it first:  lathe train shapes", log)
        for recipe in ("subject", ROOT / "recipes" / "diffusion" / "subject.yaml"):
            self.assertIn(f"path: \"{self.folder}/runs/shapes\"", self.lathe("check", recipe, code=2)[0])

    def test_a_copy_overwrites_nothing_and_finds_the_run_beside_it(self):
        (self.folder / "data").mkdir()
        (self.folder / "data" / "pairs.jsonl").write_text("mine\n")
        _, log = self.lathe("recipes", "copy", "quickstart_tuning", code=1)
        self.assertIn("pairs.jsonl' exists already", log)
        self.assertFalse((self.folder / "quickstart_tuning.yaml").exists())
        (self.folder / "data" / "pairs.jsonl").unlink()
        self.lathe("recipes", "copy", "quickstart_tuning")
        self.assertIn("model: {path: runs/quickstart}", (self.folder / "quickstart_tuning.yaml").read_text())
        self.assertEqual(len((self.folder / "data" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()), 40)

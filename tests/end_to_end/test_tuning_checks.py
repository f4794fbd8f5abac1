"""What of a recipe of tuning only the base and the examples can tell: `check`, `plan` and `train` tell it before any work."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import TEMPLATE, Tuning


class TuningChecks(Tuning):
    def refused(self, recipe, *settings, code=2, commands=("check", "plan", "train")):
        """The same message from each command, and nothing was begun."""
        arguments = [word for setting in settings for word in ("--set", setting)]
        logs = {self.lathe(command, recipe, *arguments, code=code)[1].splitlines()[-1] for command in commands}
        self.assertEqual(len(logs), 1, logs)
        self.assertFalse((self.folder / recipe.stem / "metrics.jsonl").exists())
        return logs.pop()

    def test_more_folds_than_examples(self):
        recipe = self.tuning("folds", self.pairs(3), validation="{folds: 5}")
        self.assertRegex(self.refused(recipe), r"folds.yaml:6:\d+: data.validation: 5 folds of 3 examples")
        share = self.tuning("share", self.pairs(3), validation="0.1")
        self.assertIn("{folds: 3}", self.refused(share, commands=("plan", "train")))

    def test_a_rank_that_a_matrix_cannot_have_and_a_layer_that_is_not_there(self):
        recipe = self.tuning("rank", self.pairs(8))
        log = self.refused(recipe, "adapter.rank=500")
        self.assertIn("'adapter.rank' is 500, and the base's 'model.layers.0.self_attn.", log)
        self.assertIn("at most; lower it", log)
        self.assertIn("is no linear layer of this model", self.refused(recipe, "adapter.targets=[q_prod]"))
        self.lathe("check", recipe, "--set", "adapter.targets=[q_proj]")

    def test_a_base_without_a_tokenizer_or_with_a_broken_chat_template(self):
        base = self.folder / "bare"
        shutil.copytree(self.base, base)
        (base / "chat_template.jinja").write_text("{% if %}", encoding="utf-8")
        recipe = self.tuning("bare run", self.pairs(8), base=base)
        self.assertIn("chat_template.jinja:1: wanted an expression", self.refused(recipe, code=1))
        (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        for path in base.glob("tokenizer*"):
            path.unlink()
        self.assertIn("no tokenizer here", self.refused(recipe, code=1))

    def test_examples_that_do_not_fit_are_a_wrong_recipe(self):
        recipe = self.tuning("long", self.write("long.jsonl", [{"prompt": "cat " * 400, "completion": "mat"}] * 4))
        recipe.write_text(recipe.read_text().replace("validation: 0.2, ", ""))
        for command in ("plan", "prepare", "preview", "train"):
            self.assertIn("do not fit data.sequence_length 128", self.lathe(command, recipe, code=2)[1])
            self.assertIn("nothing remains of the train set", self.lathe(command, recipe, "--set", "data.overlength=drop", code=2)[1])

    def test_errors_of_the_data_report_are_told_by_a_quiet_run(self):
        data = self.pairs(8)
        held = self.write("held.jsonl", [{"prompt": "the cat is 0\n", "completion": "0 cat"}, {"prompt": "where?\n", "completion": "there"}])
        recipe = self.tuning("quiet", data, validation=f'"{held}"')
        log = self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=1")[1]
        self.assertIn("error: leak (1 example)", log)
        self.assertIn("pairs.jsonl:1 and held.jsonl:1", log)
        self.assertEqual(self.lathe("train", self.tuning("clean", data), "--quiet", "--set", "train.max_steps=1")[1].strip(), "")

    def test_sets_whose_files_have_the_same_name_are_told_apart(self):
        for place, first in (("old", 0), ("new", 4), ("other", 8)):
            (self.folder / place).mkdir()
            self.pairs(12).rename(self.folder / "all.jsonl")
            lines = (self.folder / "all.jsonl").read_text().splitlines(True)[first:first + 4]
            (self.folder / place / "train.jsonl").write_text("".join(lines + lines[:1]))
        sets = "".join(f"{{path: {self.folder / place / 'train.jsonl'}}}, " for place in ("new", "other"))
        recipe = self.tuning("sets", self.folder / "old" / "train.jsonl")
        recipe.write_text(recipe.read_text().replace("validation: 0.2", f"validation: [{sets[:-2]}]"))
        shown = self.json("preview", recipe)
        self.assertEqual((shown["report"]["train"], shown["report"]["validation"]), (5, 10))   # the held-out ones are not trained on
        origins = [finding["origins"] for finding in shown["report"]["findings"] if finding["kind"] == "exact_duplicate"]
        self.assertEqual(origins, [["old/train.jsonl:1 and old/train.jsonl:5"],
                                   ["new/train.jsonl:1 and new/train.jsonl:5", "other/train.jsonl:1 and other/train.jsonl:5"]])
        self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=1")
        lines = [json.loads(line) for line in (self.folder / "sets" / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual({line["set"] for line in lines if "set" in line}, {"new_train", "other_train"})

    def test_prompts_that_are_not_utf_8(self):
        (self.folder / "asked.txt").write_bytes("the cat\nle caf\xe9\n".encode("latin-1"))
        log = self.refused(self.tuning("asked", self.pairs(8)), f"evaluate.prompts={self.folder / 'asked.txt'}")
        self.assertIn("asked.txt:2: byte 7 of the line is not UTF-8", log)

"""What of a recipe of tuning only the base and the examples can tell: `check`, `plan` and `train` tell it before any work."""
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

"""Ready recipes at toy size, and the pairs that quickstart tunes on."""
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import ROOT, Case
from tuning_case import Tuning

READY = ROOT / "recipes" / "sft"
QUICK = ["train.max_steps=4", "train.precision=fp32", "train.threads=1", "data.sequence_length=1024"]


class ReadyRecipes(Tuning):
    def run_ready(self, name, *more):
        directory = self.folder / name
        sets = [*QUICK, f"directory={json.dumps(str(directory))}", f"model.path={json.dumps(str(self.base))}",
                f"data.cache={json.dumps(str(self.folder / 'cache'))}", *more]
        self.lathe("train", name, "--quiet", *[item for value in sets for item in ("--set", value)])
        result = json.loads((directory / "result.json").read_text())
        self.assertEqual(result["steps"], 4)
        self.assertTrue(result["exports"])
        for export in result["exports"]:
            self.assertTrue(export["passed"], export)
        merged = [export["directory"] for export in result["exports"] if export["format"] == "huggingface"]
        self.assertTrue(json.loads(self.lathe("verify", merged[0], "--json", "--quiet")[0])["passed"])
        answer = json.loads(self.lathe("generate", directory, "--prompt", "Bonjour", "--max-tokens", "4", "--json", "--quiet")[0])
        self.assertEqual(len(answer["completions"]), 1)
        return directory

    def verdict_of(self, name):
        self.run_ready(name)
        report = self.report(name)
        self.assertRegex(report["verdict"], r"^tuned against base, \w+: ")
        self.assertGreater(report["examples"], 0)
        for metric in report["metrics"].values():
            self.assertEqual(sorted(metric), ["base", "constant", "few_shot", "nearest", "tuned"])
        return report

    def test_support_desk(self):
        self.verdict_of("support_desk")

    def test_summarise(self):
        report = self.verdict_of("summarise")
        self.assertTrue(report["answers"][0]["prompt"].startswith("Summarise in one sentence:\n\n"))

    def test_extract_json(self):
        self.verdict_of("extract_json")

    def test_classify_text(self):
        self.assertEqual(self.verdict_of("classify_text")["decides"], "accuracy")

    def test_translate_fr_en(self):
        self.verdict_of("translate_fr_en")

    def test_text_to_sql(self):
        self.verdict_of("text_to_sql")

    def test_continue_pretraining(self):
        directory = self.run_ready("continue_pretraining")
        result = json.loads((directory / "result.json").read_text())
        self.assertIn("validation_loss", result)
        report = self.report("continue_pretraining")
        self.assertEqual(report["held_out"]["base_loss"], result["first_validation_loss"])
        self.assertEqual(report["held_out"]["tuned_loss"], result["validation_loss"])
        self.assertEqual(result["verdict"], report["verdict"])
        self.assertIn("general_text", report)
        self.assertNotIn("metrics", report)
        for name in ("step_wise_training_metrics", "validation_metrics"):
            self.assertTrue((directory / f"{name}.csv").exists())

    def test_code_fim(self):
        names = '["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]'   # which the toy base lacks
        directory = self.run_ready("code_fim", f"tokenizer.add_special_tokens={names}")
        answer = json.loads(self.lathe("generate", directory, "--prompt", "def f(x):\n", "--suffix", "    return y\n", "--max-tokens",
                                       "4", "--json", "--quiet")[0])
        self.assertEqual(len(answer["completions"]), 1)

    def test_quickstart_tuning(self):
        report = self.verdict_of("quickstart_tuning")
        self.assertEqual(report["examples"], 40)

    def test_every_ready_recipe_is_listed_says_what_it_needs_and_has_a_test(self):
        listed = {recipe["name"]: recipe for recipe in json.loads(self.lathe("recipes", "--json")[0])["recipes"]}
        for path in sorted(READY.glob("*.yaml")):
            self.assertIn(path.stem, listed)
            text = path.read_text(encoding="utf-8")
            for needed in ("lathe train", "It needs", "Expect"):
                self.assertIn(needed, text, path)
            self.assertTrue(hasattr(self, f"test_{path.stem}"), path)


class Pairs(Case):
    def test_pairs_are_what_the_script_writes_and_share_no_word_of_meaning(self):
        sys.path.insert(0, str(ROOT / "scripts"))
        import make_pairs
        shipped = [json.loads(line) for line in (READY / "data" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual(shipped, make_pairs.pairs())
        self.assertEqual(len(shipped), 40)
        self.assertEqual(len({pair["completion"] for pair in shipped}), 40)
        seen = {}
        for pair in shipped:
            words = set(re.findall(r"[^\W_]{3,}", pair["prompt"].lower())) - {"def", "les", "une", *make_pairs.TYPES}
            for word in words:
                self.assertNotIn(word, seen, f"{pair['prompt']} and {seen.get(word)}")
                seen[word] = pair["prompt"]
        self.assertEqual(sum('"fr"' in pair["completion"] for pair in shipped), 20)

"""What a tuning tells when it ends: Bedrock's files, the verdict, what was asked, what is kept out."""
import csv
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import WORDS, Tuning


class Outcome(Tuning):
    def test_texts_whose_characters_are_several_tokens_are_exported(self):
        """The reference's prompts are cut by tokens, which may be within a character."""
        texts = [{"text": "".join(chr(0x4E00 + (i * 97 + k * 31) % 900) for k in range(38))} for i in range(12)]
        self.lathe("train", self.tuning("run", self.write("texts.jsonl", texts), "0.25", extra="export: [{format: huggingface}]\n"), "--quiet")
        prompts = json.loads((self.folder / "run/export/huggingface/reference.json").read_text(encoding="utf-8"))["prompts"]
        self.assertTrue(any(ord(letter) > 0x4E00 for prompt in prompts for letter in prompt["whole_text"]))
        self.lathe("verify", self.folder / "run/export/huggingface")

    def test_a_moved_base_is_found_again_by_what_the_error_advises(self):
        base, moved, run = self.folder / "a base", self.folder / "moved", self.folder / "run"
        shutil.copytree(self.base, base)
        self.lathe("train", self.tuning("run", self.pairs(12), base=base), "--quiet")
        asked = ("generate", run, "--prompt", "the cat", "--max-tokens", "8")
        said = self.json(*asked)["completions"]
        base.rename(moved)
        _, log = self.lathe(*asked, code=1)
        command = re.search(r"ln -s NEW_PLACE .*", log)[0].replace("NEW_PLACE", shlex.quote(str(moved)))
        subprocess.run(command, shell=True, check=True)
        self.assertEqual(self.json(*asked)["completions"], said)

    def test_a_run_that_diverges_says_so_and_what_to_do(self):
        recipe = self.tuning("run", self.pairs(22), extra="export: [{format: huggingface}]\n")
        for _ in range(2):   # the same when it is called again
            _, log = self.lathe("train", recipe, "--quiet", "--set", "optimizer.learning_rate=10", "--set", "train.epochs=40", "--set", "train.on_spike=ignore", code=1)
            self.assertRegex(log, "the run diverged: its held-out loss is no finite number at step .* lower optimizer.learning_rate")

    def test_bedrocks_two_files_hold_the_figures_of_the_run(self):
        self.lathe("train", self.tuning("run", self.pairs(22)), "--quiet")
        log = [json.loads(line) for line in (self.folder / "run" / "metrics.jsonl").read_text().splitlines()]
        steps = [(record["step"] - 1, record["loss"]) for record in log if "learning_rate" in record]
        held = [(record["step"], record["validation_loss"]) for record in log if "validation_loss" in record]
        self.assertEqual((len(steps), [step for step, _ in held]), (9, [0, 5, 9]))
        for name, loss, rows in (("step_wise_training_metrics", "training_loss", steps), ("validation_metrics", "validation_loss", held)):
            with open(self.folder / "run" / f"{name}.csv", encoding="utf-8", newline="") as file:
                table = list(csv.DictReader(file))
            self.assertEqual(list(table[0]), ["step_number", "epoch_number", loss, "perplexity"])
            self.assertEqual(len(table), len(rows))
            for line, (step, value) in zip(table, rows):
                self.assertEqual((int(line["step_number"]), int(line["epoch_number"])), (step, step * 4 // 18))   # 18 of 22 are learned
                self.assertAlmostEqual(float(line[loss]), value, delta=1e-6 * value)
                self.assertAlmostEqual(float(line["perplexity"]), math.exp(value), delta=1e-5 * math.exp(value))

    def test_pretraining_that_goes_on_is_judged_by_the_losses_of_held_out_rows(self):
        texts = [{"text": " ".join(f"the {WORDS[(i + k) % 24]} sat on the {WORDS[(i * k) % 24]}." for k in range(6))} for i in range(40)]
        recipe = self.tuning("run", self.write("texts.jsonl", texts), "0.3", extra="export: [{format: peft}]\n")
        text = recipe.read_text().replace("task: sft", "task: pretrain").replace("sequence_length: 128", "sequence_length: 64")
        recipe.write_text(text.replace("epochs: 2", "max_steps: 12"))
        log = self.lathe("train", recipe)[0]
        report, result = self.report("run"), json.loads((self.folder / "run" / "result.json").read_text())
        base = json.loads((self.folder / "run" / "base.json").read_text())
        self.assertGreater(len(base["held_losses"]), 6)
        self.assertTrue(min(base["held_losses"]) <= report["held_out"]["base_loss"] <= max(base["held_losses"]))
        self.assertLess(report["held_out"]["tuned_loss"], report["held_out"]["base_loss"])
        self.assertAlmostEqual(report["held_out"]["change"], result["validation_loss"] / result["first_validation_loss"] - 1, places=9)
        self.assertRegex(report["verdict"], rf"^tuned against base, fall of the loss of held-out rows: better .*n = {len(base['held_losses'])}\)")
        self.assertIn("verdict: " + report["verdict"], log)
        self.assertIn(report["verdict"], (self.folder / "run" / "report.html").read_text(encoding="utf-8"))
        probe = self.folder / "probe.txt"
        probe.write_text(" ".join(text["text"] for text in texts), encoding="utf-8")   # a probe of one's own is read as the command reads it
        self.lathe("train", recipe, "--quiet", "--fresh", "--set", f"evaluate.probe={json.dumps(str(probe))}")
        general = self.report("run")["general_text"]
        for model, key in ((self.base, "base_loss"), (self.folder / "run", "tuned_loss")):
            loss = json.loads(self.lathe("evaluate", model, "--data", probe, "--json", "--quiet")[0])["loss"]
            self.assertAlmostEqual(general[key], loss, delta=1e-4 * loss)

    def test_without_held_out_data_the_report_says_so_and_tells_the_rest(self):
        recipe = self.tuning("run", self.pairs(8))
        recipe.write_text(recipe.read_text().replace("validation: 0.2, ", ""))
        log = self.lathe("train", recipe)[0]
        report = self.report("run")
        self.assertEqual(report["verdict"], "not shown: nothing was held out")
        self.assertIn("verdict: not shown: nothing was held out", log)
        losses = [record["loss"] for record in self.metrics("run")]
        self.assertEqual((report["course"]["first_training_loss"], report["course"]["training_loss"]), (losses[0], losses[-1]))
        self.assertEqual((report["recalled"]["asked"], report["recalled"]["of"]), (8, 8))
        self.assertGreater(report["general_text"]["base_loss"], 0)
        for absent in ("metrics", "held_out", "memorised", "answers"):
            self.assertNotIn(absent, report)
        self.assertIn("not shown: nothing was held out", (self.folder / "run" / "report.html").read_text(encoding="utf-8"))
        self.assertTrue((self.folder / "run" / "step_wise_training_metrics.csv").exists())

    def test_training_prompts_are_asked_too_and_what_is_cut_is_said(self):
        learned = [{"prompt": f"the {WORDS[i % 24]} {i}\n", "completion": WORDS[(7 * i) % 24]} for i in range(40)]
        held = self.write("held.jsonl", [{"prompt": f"a {WORDS[i % 24]} {i}\n", "completion": WORDS[(5 * i) % 24]} for i in range(70)])
        out, log = self.lathe("train", self.tuning("many", self.write("many.jsonl", learned), json.dumps(str(held))))
        report = self.report("many")
        self.assertEqual((report["examples"], report["held_out_prompts"]), (64, 70))
        self.assertEqual((report["recalled"]["asked"], report["recalled"]["of"]), (32, 40))
        self.assertIn("asking the base 64 of 70 held-out prompts", log)
        page = (self.folder / "many" / "report.html").read_text(encoding="utf-8")
        for text in (out, page):
            self.assertIn("64 of 70 held-out prompts", text)
            self.assertIn("asked 32 of 40 training prompts", text)

        recipe = self.tuning("few", self.pairs(4))   # learned by heart: as the command answers, so says the meter
        text = "".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter"))
        recipe.write_text(text.replace("validation: 0.2, ", "").replace("epochs: 2", "epochs: 60").replace("2e-3", "5e-3"))
        self.lathe("train", recipe, "--quiet")
        recalled, right = self.report("few")["recalled"], 0
        for i in range(4):
            answer = json.loads(self.lathe("generate", self.folder / "few", "--prompt", f"the {WORDS[i]} is {i}\n", "--max-tokens", "32",
                                           "--temperature", "0", "--json", "--quiet")[0])["completions"][0]["text"]
            right += answer == f"{i} {WORDS[i]}"
        self.assertEqual(recalled["verbatim"], right / 4)
        self.assertGreater(right, 0)
        self.assertGreaterEqual(recalled["longest_words"], 2)

    def holding(self, run, secret):
        """Files of a run in which the text stands, and those that name examples by more than their place."""
        return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and secret.encode() in path.read_bytes())

    def test_a_run_without_examples_keeps_no_text_of_the_data(self):
        secret = "zanzibar"   # in prompts long enough to be sampled from, in answers, in what is held out and what is learned
        records = [{"prompt": f"{secret} {word} " * 14 + "\n", "completion": f"{secret} {word}"} for word in WORDS[:12]]
        data = self.write("private.jsonl", records)
        exports = "export: [{format: peft}, {format: huggingface}, {format: gguf}]\n"
        log = {}
        for name, held in (("one", "0.25"), ("folds", "{folds: 2}")):
            for report in ("all", "none"):
                run = self.folder / f"{name} {report}"
                recipe = self.tuning(run.name, data, held, extra=exports + f"report: {{examples: {report}}}\n")
                sets = ("--set", "data.sequence_length=512", "--set", "train.epochs=1")
                self.lathe("train", recipe, "--quiet", *sets)
                found = self.holding(run, secret)
                if report == "none":
                    self.assertEqual(found, [])
                    again = self.lathe("train", recipe, *sets)[0]
                    self.assertIn("is finished", again)
                    self.assertEqual(self.holding(run, secret), [])
                    asked = [run / "base.json"] if name == "one" else sorted((run / "parts").glob("*/base.json"))
                    self.assertEqual([set(json.loads(path.read_text())) & {"answers", "few_shot"} for path in asked], [set()] * len(asked))
                else:
                    wanted = {"report.html", "report.json"} | ({"answers.json", "metrics.jsonl"} if name == "one" else
                                                               {"parts/fold-1/answers.json", "parts/fold-2/answers.json"})
                    self.assertLessEqual(wanted, set(found))
                    if name == "one":
                        self.assertIn("export/gguf/reference.json", found)
            self.assertEqual(self.report(f"{name} all")["metrics"], self.report(f"{name} none")["metrics"])
            self.assertEqual(self.report(f"{name} all")["verdict"], self.report(f"{name} none")["verdict"])
        # More steps are trained, and what cannot be compared any more is said.
        sets = ("--set", "data.sequence_length=512", "--set", "train.epochs=2")
        self.lathe("train", self.folder / "one none.yaml", "--quiet", *sets)
        self.assertIn("answers were not kept (report.examples: none)", self.report("one none")["verdict"])
        self.assertEqual(self.holding(self.folder / "one none", secret), [])

    def test_a_report_without_examples_holds_no_text(self):
        secret = "zanzibar"
        records = [{"prompt": f"the {word} is {secret}\n", "completion": f"{secret} {word}"} for word in WORDS[:12]]
        data = self.write("private.jsonl", records)
        self.lathe("train", self.tuning("open", data), "--quiet")
        self.lathe("train", self.tuning("closed", data, extra="report: {examples: none}\n"), "--quiet")
        for file in ("report.json", "report.html"):
            self.assertNotIn(secret, (self.folder / "closed" / file).read_text(encoding="utf-8"), file)
        self.assertIn(secret, (self.folder / "open" / "report.json").read_text(encoding="utf-8"))
        self.assertFalse((self.folder / "closed" / "answers.json").exists())
        self.assertEqual(self.report("open")["metrics"], self.report("closed")["metrics"])

    def test_what_is_held_out_and_learned_too_is_not_asked(self):
        """Two of four held-out examples stand in the training set: they would measure memory."""
        train = self.pairs(8)
        lines = train.read_text().splitlines(True)
        mixed = self.folder / "mixed.jsonl"
        mixed.write_text("".join(lines[:2]) + "".join(json.dumps({"prompt": f"the {word} is 99\n", "completion": f"99 {word}"}) + "\n"
                                                      for word in WORDS[20:22]))
        for name, held, asked in (("mixed", mixed, 2), ("all", train, 0)):
            self.lathe("train", self.tuning(name, train, json.dumps(str(held))), "--quiet")
            report = self.report(name)
            self.assertEqual(report["leaked"], 2 if name == "mixed" else 8)
            self.assertTrue(any("leak" in line for line in report["look"]), report["look"])
            if asked:
                self.assertEqual(report["examples"], asked)
            else:
                self.assertTrue(report["verdict"].startswith("not shown: 8 of 8"), report["verdict"])

    def test_samples_are_asked_as_the_run_learned_and_kept_private(self):
        data = self.pairs(12)
        prompts = self.folder / "prompts.txt"
        prompts.write_text("cat is 0\n")
        extra = f"evaluate: {{prompts: {json.dumps(str(prompts))}, every: 2}}\n"
        recipe = self.tuning("open", data, extra=extra)
        recipe.write_text(recipe.read_text().replace("sequence_length: 128", 'template: {prompt: "the {prompt}", completion: "{completion}"}, '
                                                                              "sequence_length: 128"))
        self.lathe("train", recipe, "--quiet")
        samples = [json.loads(line)["samples"][0] for line in (self.folder / "open" / "metrics.jsonl").read_text().splitlines()
                   if "samples" in line]
        self.assertTrue(samples)
        self.assertEqual({sample["prompt"] for sample in samples}, {"the cat is 0"})
        self.lathe("train", self.tuning("closed", data, extra=extra + "report: {examples: none}\n"), "--quiet")
        self.assertNotIn('"samples"', (self.folder / "closed" / "metrics.jsonl").read_text())
        self.assertEqual(self.holding(self.folder / "closed", "cat is 0"), [])

    def test_a_card_tells_base_licence_data_and_results_whoever_wrote_it(self):
        base = self.folder / "base of theirs"
        shutil.copytree(self.base, base)
        (base / "README.md").write_text("---\nlanguage: fr\nlicense: apache-2.0\n---\n# theirs\n")
        recipe = self.tuning("run", self.pairs(24), base=base, extra="export: [{format: huggingface}]\n")
        self.lathe("train", recipe, "--quiet")
        self.lathe("export", self.folder / "run", "--format", "gguf", "--output", self.folder / "later")
        self.lathe("export", self.folder / "run", "--format", "peft", "--output", self.folder / "alone")
        report, run = self.report("run"), json.loads((self.folder / "run" / "run.json").read_text())
        for folder in (self.folder / "run" / "export" / "huggingface", self.folder / "later", self.folder / "alone"):
            card = (folder / "README.md").read_text(encoding="utf-8")
            for text in ("license: apache-2.0\n", "- base: base of theirs (its licence, apache-2.0, holds for this model)", run["data_sha256"],
                         f"{run['documents']} documents", report["verdict"], "- exact_match on ", "## Limits"):
                self.assertIn(text, card, folder)

"""Tuning as a newcomer meets it: ready recipes, a recipe written for own data, what is refused, what is counted."""
import csv
import json
import math
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import RECIPE, ROOT, Case, floats, relative_difference, tensors

READY = ROOT / "recipes" / "sft"
QUICK = ["train.max_steps=4", "train.precision=fp32", "train.threads=1", "data.sequence_length=1024"]
TEMPLATE = ("{% for message in messages %}<{{ message.role }}>\n{{ message.content | trim }}{{ eos_token }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>\n{% endif %}")
TUNING = """\
name: tuned
directory: {directory}
task: sft
model: {{path: {base}}}
adapter: {{kind: lora, rank: 4, alpha: 8, dropout: 0.1}}
data: {{train: {data}, validation: {validation}, sequence_length: 128, cache: {cache}}}
optimizer: {{learning_rate: 2e-3}}
train: {{epochs: 2, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
"""
WORDS = "cat mat dog log sun bus pen map hat jar fig owl bee fox ant elm oak ivy rye tea jam bun pie cod".split()


class Tuning(Case):
    @classmethod
    def setUpClass(cls):
        """One tiny base for all: a few steps, a Hugging Face folder."""
        cls.shared = Path(tempfile.mkdtemp(prefix="lathe base "))
        maker = cls("make_base")
        maker.setUp()
        try:
            text = RECIPE.replace("tie_word_embeddings: true", "tie_word_embeddings: true, max_position_embeddings: 1024")
            maker.lathe("train", maker.recipe("base", text), "--quiet", "--set", "train.max_steps=5", "--set",
                        "export=[{format: huggingface, dtype: fp32}]")
            shutil.copytree(maker.folder / "base" / "export" / "huggingface", cls.shared / "base")
            assert not (maker.folder / "base" / "report.json").exists()   # from scratch: there is nothing to compare with
        finally:
            maker.tearDown()
        cls.base = cls.shared / "base"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared, ignore_errors=True)

    def make_base(self):
        """Names the helper case of setUpClass; never a test of its own."""

    def lathe(self, *arguments, env=None, **options):
        """One thread: threads that wait for each other cost more than models of this size."""
        return super().lathe(*arguments, env={"OMP_NUM_THREADS": "1", **(env or {})}, **options)

    def write(self, name, records):
        path = self.folder / name
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
        return path

    def pairs(self, count, name="pairs.jsonl"):
        return self.write(name, [{"prompt": f"the {WORDS[i]} is {i}\n", "completion": f"{i} {WORDS[i]}"} for i in range(count)])

    def tuning(self, name, data, validation="0.2", base=None, extra=""):
        values = {"directory": self.folder / name, "base": base or self.base, "data": data, "cache": self.folder / "cache"}
        path = self.folder / f"{name}.yaml"
        quoted = {key: json.dumps(str(value), ensure_ascii=False) for key, value in values.items()}
        path.write_text(TUNING.format(validation=validation, **quoted) + extra, encoding="utf-8")
        return path

    def report(self, name):
        return json.loads((self.folder / name / "report.json").read_text(encoding="utf-8"))

    def weights(self, name, step):
        folder = self.checkpoint(name, step)
        files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
        self.assertTrue(files)
        return files

    def untied_base(self):
        """A base whose table of embeddings is not its head's: only tokens that are read get a gradient there."""
        text = RECIPE.replace("tie_word_embeddings: true", "tie_word_embeddings: false, max_position_embeddings: 1024")
        self.lathe("train", self.recipe("untied", text), "--quiet", "--set", "train.max_steps=1", "--set", "schedule.warmup_steps=0",
                   "--set", "export=[{format: huggingface, dtype: fp32}]")
        return self.folder / "untied" / "export" / "huggingface"


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


class Examples(Tuning):
    def tokens_read(self, run, step):
        """Ids whose embeddings got a gradient in a step: without momentum the stored first moment is that gradient."""
        moments = tensors(self.checkpoint(run, step) / "optimizer.safetensors")
        (name,) = [name for name in moments if name.startswith("exp_avg.") and "embed_tokens" in name]
        rows, width = moments[name][1]
        values = floats(moments[name])
        return {row for row in range(rows) if any(values[row * width : (row + 1) * width])}

    def test_22_examples_in_batches_of_4_are_each_read_once_an_epoch(self):
        signs = "ABCDEFGHIJKLMNOPQRSTUV"   # a byte of its own in each prompt
        data = self.write("marked.jsonl", [{"prompt": f"the {sign} is\n", "completion": "mat " * (1 + i % 5)} for i, sign in enumerate(signs)])
        held = self.write("held.jsonl", [{"prompt": "the yew is 9\n", "completion": "9 yew"}])
        recipe = self.tuning("run", data, json.dumps(str(held)), self.untied_base(), "checkpoint: {every: 1, keep_last: 12}\n")
        text = "".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter"))
        text = text.replace("seed: 5", "seed: 5, on_spike: rollback")   # then a slow disk leaves no checkpoint out
        recipe.write_text(text.replace("learning_rate: 2e-3", "learning_rate: 1e-5, beta1: 0"))
        shown = json.loads(self.lathe("preview", recipe, "--count", "22", "--json")[0])["examples"]
        self.assertEqual(len(shown), 22)
        mark = {}
        for i, example in enumerate(shown):
            others = {token for k, other in enumerate(shown) if k != i for token in other["ids"]}
            (mark[i],) = set(example["ids"]) - others
        self.lathe("train", recipe, "--quiet")
        steps = self.metrics("run")
        self.assertEqual([record["step"] for record in steps], list(range(1, 12)))
        read = []
        for step, before in enumerate([0, *(record["tokens"] for record in steps[:-1])], 1):
            ids = self.tokens_read("run", step)
            read.append({i for i, token in mark.items() if token in ids})
            inputs = steps[step - 1]["tokens"] - before
            if step != 6:   # the last two of one epoch, the first two of the next
                self.assertEqual(len(read[-1]), 4, step)
                self.assertEqual(inputs, sum(len(shown[i]["ids"]) - 1 for i in read[-1]), step)   # the last id is a target alone
        left = [set(range(22)) - set.union(*part) for part in (read[:5], read[6:])]
        for rest, part in zip(left, (read[:5], read[6:])):
            self.assertEqual(len(rest), 2, part)   # five steps of four: none twice
        self.assertEqual(read[5], left[0] | left[1])
        self.assertEqual(steps[5]["tokens"] - steps[4]["tokens"], sum(len(shown[i]["ids"]) - 1 for rest in left for i in rest))
        self.assertNotEqual(read[0], read[6])   # another order

    def test_fewer_examples_than_a_batch_are_all_read_as_often_as_asked(self):
        held = self.write("held.jsonl", [{"prompt": "the yew is 9\n", "completion": "9 yew"}])
        recipe = self.tuning("run", self.pairs(3), json.dumps(str(held)))
        self.lathe("train", recipe, "--quiet")
        steps = self.metrics("run")
        shown = json.loads(self.lathe("preview", recipe, "--count", "3", "--json")[0])["examples"]
        self.assertEqual([record["step"] for record in steps], [1, 2])   # four, then the two that are left of two epochs
        self.assertEqual(steps[-1]["tokens"], 2 * sum(len(example["ids"]) - 1 for example in shown))

    def test_resumed_in_the_middle_of_an_epoch_it_ends_with_the_same_bytes(self):
        data = self.pairs(22)
        self.lathe("train", self.tuning("straight", data), "--quiet")
        self.lathe("train", self.tuning("broken", data), "--quiet", "--stop-after", "3")
        self.lathe("train", self.tuning("broken", data), "--quiet")
        last = json.loads((self.folder / "straight" / "result.json").read_text())["steps"]
        self.assertEqual(last, 9)   # 18 examples, 2 epochs, batches of 4: step 3 ends within the first epoch
        self.assertEqual(self.weights("straight", last), self.weights("broken", last))
        self.assertEqual(self.report("straight")["metrics"], self.report("broken")["metrics"])

    def test_frozen_layers_stay_to_the_bit_and_the_rest_learns(self):
        export = "export: [{format: huggingface, dtype: fp32}]\n"
        recipe = self.tuning("run", self.pairs(12), extra=export)
        text = "".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter"))
        recipe.write_text(text.replace("model: {", "model: {freeze: [layers.0, embed_tokens], "))
        self.lathe("train", recipe, "--quiet")
        before, after = (tensors(folder / "model.safetensors") for folder in (self.base, self.folder / "run" / "export" / "huggingface"))
        self.assertEqual(before.keys(), after.keys())
        for name in before:
            frozen = "layers.0." in name or "embed_tokens" in name
            self.assertEqual(before[name] == after[name], frozen, name)
        last = json.loads((self.folder / "run" / "result.json").read_text())["steps"]
        moments = tensors(self.checkpoint("run", last) / "optimizer.safetensors")
        self.assertFalse([name for name in moments if "layers.0." in name or "embed_tokens" in name])
        log = self.lathe("train", recipe, "--quiet", "--set", "model.freeze=[layers.7]", "--set", "directory=other", code=2)[1]
        self.assertIn("no parameter has 'layers.7' in its name", log)

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

    def test_examples_of_any_length_count_the_same_in_parts_and_on_two_ranks(self):
        records = [{"prompt": f"the {WORDS[i]}\n", "completion": " ".join(WORDS[: 1 + 5 * (i % 4)])} for i in range(12)]
        data = self.write("uneven.jsonl", records)   # a micro-batch of one has 2 to 40 targets
        for kind, file in (("full", "model.safetensors"), ("lora", "adapter_model.safetensors")):
            for way, arguments in (("whole", ["train.micro_batch_size=4"]), ("parts", ["train.micro_batch_size=1"]),
                                   ("ranks", ["train.micro_batch_size=2"])):
                recipe = self.tuning(f"{kind}-{way}", data, "0.2")
                if kind == "full":
                    recipe.write_text("".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter")))
                self.lathe("train", recipe, "--quiet", "--set", *arguments, *(["--processes", "2"] if way == "ranks" else []))
            whole = self.metrics(f"{kind}-whole")
            for way in ("parts", "ranks"):
                with self.subTest(kind=kind, way=way):
                    for a, b in zip(whole, self.metrics(f"{kind}-{way}"), strict=True):
                        self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-6 * a["loss"])
                        self.assertEqual(a["tokens"], b["tokens"])
                    self.assertLess(relative_difference(*(self.checkpoint(f"{kind}-{name}", len(whole)) / file for name in ("whole", way))), 1e-5)

    def test_an_example_that_is_too_long_is_named(self):
        records = [{"prompt": "a\n", "completion": "b"}, {"prompt": "cat " * 400, "completion": "mat"}] * 2
        _, log = self.lathe("train", self.tuning("run", self.write("long.jsonl", records), "0.25"), "--quiet", code=1)
        self.assertRegex(log, r"long\.jsonl:[24]: \d+ tokens do not fit data\.sequence_length 128")

    def test_too_long_examples_are_dropped_or_cut_as_asked_and_counted(self):
        records = [{"prompt": f"the {word}\n", "completion": "cat " * (400 if i == 2 else 2)} for i, word in enumerate(WORDS[:8])]
        data, held = self.write("long.jsonl", records), self.write("held.jsonl", records[:1])
        tokens = {}
        for rule, kept in (("drop", "7 documents kept, 1 dropped"), ("truncate", "8 documents kept, 0 dropped")):
            log = self.lathe("train", self.tuning(rule, data, json.dumps(str(held))), "--set", f"data.overlength={rule}")[1]
            self.assertIn(kept, log)
            tokens[rule] = self.metrics(rule)[-1]["tokens"]
        self.assertEqual(tokens["truncate"] - tokens["drop"], 2 * 128)   # two epochs of one row that is full

    def test_training_stops_early_and_the_best_step_is_what_is_exported(self):
        recipe = self.tuning("run", self.pairs(12), extra="early_stopping: {patience: 2}\nexport: [{format: peft}]\n")
        self.lathe("train", recipe, "--quiet", "--set", "train.epochs=40", "--set", "optimizer.learning_rate=0.05")
        result = json.loads((self.folder / "run" / "result.json").read_text())
        log = [json.loads(line) for line in (self.folder / "run" / "metrics.jsonl").read_text().splitlines()]
        losses = {record["step"]: record["validation_loss"] for record in log if record.get("validation_loss") and record["step"]}
        self.assertEqual(result["reason"], "early_stopping")
        self.assertLess(result["steps"], result["total_steps"])
        self.assertEqual(result["best_step"], min(losses, key=losses.get))
        self.assertEqual([step > result["best_step"] for step in losses][-3:], [False, True, True])   # two without a better one
        best = self.checkpoint("run", result["best_step"]) / "adapter_model.safetensors"
        adapter = {name: floats(entry) for name, entry in tensors(self.folder / "run" / "export" / "peft" / "adapter_model.safetensors").items()}
        self.assertEqual({name: floats(entry) for name, entry in tensors(best).items()}, adapter)

    def test_an_example_with_nothing_to_learn_is_named(self):
        records = [{"messages": [{"role": "user", "content": "cat?"}, {"role": "assistant", "content": "mat"}]} for _ in range(3)]
        records[1]["messages"] = records[1]["messages"][:1]
        _, log = self.lathe("train", self.tuning("run", self.write("mute.jsonl", records), "0.34"), "--quiet", code=2)
        self.assertIn("mute.jsonl:2", log)

    def test_strict_refuses_what_the_data_report_objects_to(self):
        records = [{"prompt": f"the {WORDS[i % 6]}\n", "completion": WORDS[i % 6]} for i in range(12)]
        recipe = self.tuning("run", self.write("twice.jsonl", records))
        _, log = self.lathe("train", recipe, "--strict", code=1)
        self.assertIn("--strict", log)
        self.assertIn("twice.jsonl:", log)
        self.assertFalse(list((self.folder / "run" / "checkpoints").glob("step-*")))
        self.lathe("preview", recipe, "--strict", code=1)

    def test_a_report_without_examples_holds_no_text(self):
        secret = "zanzibar"
        records = [{"prompt": f"the {word} is {secret}\n", "completion": f"{secret} {word}"} for word in WORDS[:12]]
        data = self.write("private.jsonl", records)
        self.lathe("train", self.tuning("open", data), "--quiet")
        self.lathe("train", self.tuning("closed", data, extra="report: {examples: none}\n"), "--quiet")
        for file in ("report.json", "report.html"):
            self.assertNotIn(secret, (self.folder / "closed" / file).read_text(encoding="utf-8"), file)
        self.assertIn(secret, (self.folder / "open" / "report.json").read_text(encoding="utf-8"))
        self.assertEqual(self.report("open")["metrics"], self.report("closed")["metrics"])

    def test_chat_answers_through_the_bases_template(self):
        base = self.folder / "with template"
        shutil.copytree(self.base, base)
        (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        records = [{"messages": [{"role": "user", "content": f"the {word}?"}, {"role": "assistant", "content": word}]}
                   for word in WORDS[:12]]
        recipe = self.tuning("run", self.write("chat.jsonl", records), base=base, extra="export: [{format: huggingface}]\n")
        shown = json.loads(self.lathe("preview", recipe, "--json")[0])["examples"][0]["text"]
        self.assertRegex(shown, r"(?s)^<user>\nthe \w+\?.*<assistant>\n\[\[\w+.*\]\]\n$")
        self.lathe("train", recipe, "--quiet")
        for model in (self.folder / "run", self.folder / "run" / "export" / "huggingface"):
            turns = json.loads(self.lathe("chat", model, "--max-tokens", "6", "--json", "--quiet",
                                          input="the cat?\nand the dog?\n".encode())[0])
            self.assertEqual(len(turns["turns"]), 2, turns)


class HubCache(Tuning):
    """As `hf download` leaves it: links into blobs, a revision named by refs/main."""

    def test_a_name_of_the_hub_is_looked_up_in_the_local_cache(self):
        root = self.folder / "hf" / "hub" / "models--org--tiny"
        snapshot = root / "snapshots" / "0123abcd"
        for folder in (snapshot, root / "blobs", root / "refs"):
            folder.mkdir(parents=True)
        (root / "refs" / "main").write_text("0123abcd")
        for number, path in enumerate(sorted(self.base.iterdir())):
            shutil.copy(path, root / "blobs" / str(number))
            (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / str(number))
        before = {path.name: path.read_bytes() for path in (root / "blobs").iterdir()}
        recipe = self.tuning("run", self.pairs(8), base="org/tiny", extra="export: [{format: peft}]\n")
        self.lathe("train", recipe, "--quiet", env={"HF_HOME": str(self.folder / "hf")})
        adapter = json.loads((self.folder / "run" / "export" / "peft" / "adapter_config.json").read_text())
        self.assertEqual(adapter["base_model_name_or_path"], "org/tiny")
        self.assertEqual({path.name: path.read_bytes() for path in (root / "blobs").iterdir()}, before)
        recipe = self.tuning("absent", self.pairs(8), base="org/absent")
        _, log = self.lathe("train", recipe, "--quiet", env={"HF_HOME": str(self.folder / "hf")}, code=1)
        self.assertIn("hf download org/absent", log)


class NewRecipe(Tuning):
    def new(self, data, *arguments, model=None, code=0):
        output, log = self.lathe("recipes", "new", "--model", model or self.base, "--data", data, "--output", "mine.yaml",
                                 *arguments, "--json", code=code)
        if code:
            return log
        path = self.folder / "mine.yaml"
        text = path.read_text(encoding="utf-8")
        self.lathe("check", path)
        for line in text.splitlines():
            self.assertTrue("#" in line or line == "data:", f"a line without a comment: {line}")
        return text, json.loads(output)

    def test_answers_in_json_are_measured_as_such_and_the_recipe_trains(self):
        records = [{"prompt": f"the {word} {i}\n", "completion": json.dumps({"word": word})} for i, word in enumerate(WORDS)]
        text, found = self.new(self.write("fields.jsonl", records))
        self.assertIn("metrics: [exact_match, json_valid]", text)
        self.assertRegex(text, r"(?m)^  validation: \{folds: 5\} .*every example is held out once")   # five answers show nothing
        self.assertNotIn("\nadapter:", text)          # a tiny base: all weights
        self.assertEqual(found["examples"], 24)
        self.assertIn("epochs: 30", text)             # 24 in batches of 4: 200 updates would be 33 epochs
        self.assertIn("learning_rate: 0.00056}", text)   # 1.75e-5 x 2,048 / 64
        self.assertNotIn("template: {", text)         # each prompt ends in a line break
        self.lathe("train", "mine.yaml", "--quiet", "--set", "train.max_steps=2", "--set", "train.precision=fp32")
        report = json.loads((self.folder / "runs" / "fields" / "report.json").read_text(encoding="utf-8"))
        self.assertEqual(report["decides"], "exact_match")

    def test_labels_from_a_spreadsheet(self):
        rows = "".join(f"le {word} numéro {i};{'oui' if i % 2 else 'non'}\r\n" for i, word in enumerate(WORDS))
        (self.folder / "avis.csv").write_bytes(("prompt;completion\r\n" + rows).encode("cp1252"))
        text, _ = self.new(self.folder / "avis.csv")
        self.assertIn("metrics: [accuracy, macro_f1]", text)
        self.assertIn("2 labels", text)
        self.assertIn("CP1252", text)

    def test_questions_that_run_into_their_answers_get_a_line_break(self):
        rows = "".join(f"où est le {word} ?;là-bas\n" for word in WORDS[:6])
        (self.folder / "faq.csv").write_text("Question;Réponse\n" + rows, encoding="utf-8")
        text, _ = self.new(self.folder / "faq.csv")
        self.assertIn('template: {prompt: "{Question}\\n", completion: "{Réponse}"}', text)
        shown = json.loads(self.lathe("preview", "mine.yaml", "--json")[0])["examples"][0]["text"]
        self.assertRegex(shown, r"^où est le \w+ \?\n\[\[là-bas")
        plain = re.sub(r"(?m)^  template:.*\n", "", text)
        (self.folder / "plain.yaml").write_text(plain, encoding="utf-8")
        shown = self.lathe("preview", "plain.yaml")[0]
        self.assertIn('data.template: {prompt: "{Question}\\n", completion: "{Réponse}"}', shown)

    def test_sentences_and_conversations(self):
        answer = "it sat for a long while on the {} and then it went away"
        text, _ = self.new(self.write("long.jsonl", [{"prompt": f"the {w}\n", "completion": answer.format(w)} for w in WORDS]))
        self.assertIn("metrics: [rouge_l, chrf]", text)
        (self.folder / "mine.yaml").unlink()
        turns = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]
        text, _ = self.new(self.write("talk.jsonl", [{"messages": turns + turns + [{"role": "user", "content": w}, turns[1]]} for w in WORDS]))
        self.assertIn("loss_on: assistant", text)

    def test_few_examples_hold_nothing_out_and_the_longest_fits(self):
        data = self.write("few.jsonl", [{"prompt": "cat " * 30, "completion": "mat"}, {"prompt": "a", "completion": "b"}])
        text, found = self.new(data)
        self.assertRegex(text, r"(?m)^  # validation: 0\.2 .*nothing is held out of 2 examples")
        length = int(re.search(r"sequence_length: (\d+)", text).group(1))
        self.assertLessEqual(found["tokens"]["longest"], length)
        self.assertLess(length - found["tokens"]["longest"], 64)
        self.assertNotIn("metrics", text)

    def test_longer_than_the_context_is_said_and_left_out(self):
        data = self.write("huge.jsonl", [{"prompt": f"{w} " * 1200, "completion": "mat"} if i == 3 else
                                         {"prompt": f"the {w}\n", "completion": w} for i, w in enumerate(WORDS)])
        text, _ = self.new(data)
        self.assertIn("sequence_length: 1024", text)
        self.assertRegex(text, r"overlength: drop .*1 longer than the base's context 1024")

    def test_a_larger_base_gets_an_adapter_and_a_template_is_noticed(self):
        recipe = self.recipe("large", RECIPE.replace("hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2",
                                                     "hidden_size: 512, intermediate_size: 2048, num_hidden_layers: 6"))
        self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=1", "--set", "data.validation=0.05",
                   "--set", "schedule.warmup_steps=0", "--set", "export=[{format: huggingface}]")
        base = self.folder / "large" / "export" / "huggingface"
        (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        text, found = self.new(self.pairs(24), model=base)
        self.assertGreater(found["model"]["parameters"], 20_000_000)
        self.assertIn("adapter: {kind: lora, rank: 16, alpha: 32}", text)
        self.assertIn("{format: peft}", text)
        self.assertTrue(found["model"]["chat_template"])
        self.assertIn("with a chat template", text)

    def test_nothing_is_overwritten_and_errors_name_what_is_missing(self):
        data = self.pairs(4)
        self.new(data)
        self.assertIn("mine.yaml", self.new(data, code=2))
        (self.folder / "mine.yaml").unlink()
        self.assertIn("nowhere", self.new(data, model=self.folder / "nowhere", code=1))
        (self.folder / "odd.jsonl").write_text('{"left": "a", "right": "b"}\n', encoding="utf-8")
        self.assertIn("odd.jsonl", self.new(self.folder / "odd.jsonl", code=2))
        self.assertFalse((self.folder / "mine.yaml").exists())

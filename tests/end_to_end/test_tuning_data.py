"""Examples as they reach the model: too long, mute, objected to, through a chat template."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import TEMPLATE, WORDS, Tuning


class Data(Tuning):
    def test_an_example_that_is_too_long_is_named(self):
        records = [{"prompt": "a\n", "completion": "b"}, {"prompt": "cat " * 400, "completion": "mat"}] * 2
        _, log = self.lathe("train", self.tuning("run", self.write("long.jsonl", records), "0.25"), "--quiet", code=2)
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

    def test_the_preview_and_the_report_tell_what_is_cut_or_dropped(self):
        records = [{"prompt": f"the {word}\n", "completion": "cat " * (400 if i == 2 else 2)} for i, word in enumerate(WORDS[:8])]
        recipe = self.tuning("run", self.write("long.jsonl", records), json.dumps(str(self.write("held.jsonl", records[:1]))))
        for rule, kind, says in (("drop", "dropped", "left out"), ("truncate", "cut", "its answer has no end")):
            arguments = ("preview", recipe, "--count", "8", "--set", f"data.overlength={rule}")
            shown = self.json(*arguments)
            (finding,) = [finding for finding in shown["report"]["findings"] if finding["kind"] in ("dropped", "cut", "over_length")]
            self.assertEqual((finding["kind"], finding["severity"], finding["count"]), (kind, "warning", 1))
            self.assertIn(says, finding["says"])
            self.assertRegex(finding["origins"][0], r"long\.jsonl:3 \(\d+ tokens\)")
            self.assertEqual(max(len(example["ids"]) for example in shown["examples"]), 129 if rule == "truncate" else
                             max(len(example["ids"]) for example in shown["examples"] if example["origin"] != "long.jsonl:3"))
            self.lathe(*arguments, "--strict", code=1)

    def test_a_short_context_shows_the_base_fewer_examples_and_says_so(self):
        base = self.folder / "short"
        shutil.copytree(self.base, base)
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 96}))
        records = [{"prompt": f"the {word} sat on the mat and the mat sat on {word}\n", "completion": word} for word in WORDS[:12]]
        recipe = self.tuning("run", self.write("wide.jsonl", records), base=base)
        out, log = self.lathe("train", recipe, "--set", "data.sequence_length=96", "--set", "train.max_steps=1")
        told = self.report("run")["shown"]
        self.assertEqual(told["wanted"], 4)
        self.assertLess(told["least"], 4)
        self.assertRegex(log, r"the base was shown \d to \d of 4 examples")
        self.assertIn("of them fitted its context", out)

    def test_examples_in_another_charset_are_read_as_the_recipe_says(self):
        lines = "".join(json.dumps({"prompt": f"кот {word}\n", "completion": f"дом {i}"}, ensure_ascii=False) + "\n" for i, word in enumerate(WORDS[:8]))
        path = self.folder / "ru.jsonl"
        path.write_bytes(lines.encode("cp1251"))
        recipe = self.tuning("run", path)
        log = "".join(self.lathe("preview", recipe))
        self.assertIn("not UTF-8, read as CP1252", log)
        self.assertIn("name the charset with data.encoding", log)
        shown = self.json("preview", recipe, "--set", "data.encoding=windows-1251")
        self.assertIn("кот", shown["examples"][0]["text"])
        log = self.lathe("check", recipe, "--set", "data.encoding=skip", code=2)[1]
        self.assertIn("wants error or replace or a charset's name, found 'skip'", log)
        checked = "".join(self.lathe("check", recipe, "--set", f"data.train=[{{path: {json.dumps(str(path))}, weight: 2}}]"))
        self.assertIn("'data.train[0].weight' has no effect in tuning", checked)

    def test_metrics_are_looked_at_before_any_work(self):
        recipe = self.tuning("run", self.pairs(8), extra="evaluate: {metrics: [exactmatch]}\n")
        log = self.lathe("check", recipe, code=2)[1]
        self.assertIn("found 'exactmatch' (did you mean 'exact_match'?)", log)

    def test_metrics_of_choices_want_choices_before_any_work(self):
        data, wanted = self.pairs(12), "evaluate: {metrics: [chrf, choice_accuracy]}\n"
        texts = self.write("texts.jsonl", [{"text": f"the {word} sat on the mat"} for word in WORDS[:12]])
        asked = self.write("asked.jsonl", [{"question": f"the {word}?", "choices": ["mat", "cat"], "answer": i % 2}
                                           for i, word in enumerate(WORDS[:12])])
        place = 9   # of the line that TUNING gets
        for held in ("0.25", "{folds: 3}", json.dumps(str(data))):
            recipe = self.tuning("run", data, held, extra=wanted)
            for command in ("check", "prepare", "train"):
                log = self.lathe(command, recipe, code=2)[1]
                self.assertEqual(log.count("choice_accuracy"), 1, log)
                self.assertRegex(log, rf"run\.yaml:{place}:21: evaluate\.metrics: 'choice_accuracy' wants questions with choices "
                                      r"\(columns choices and answer\), and pairs\.jsonl:1 has none")
        self.assertFalse((self.folder / "run").exists())
        self.assertFalse((self.folder / "cache").exists())
        log = self.lathe("check", self.tuning("run", texts, extra=wanted), code=2)[1]
        self.assertIn("texts.jsonl:1 has none", log)
        log = self.lathe("check", self.tuning("run", texts, "{folds: 3}", extra=wanted), code=2)[1]   # both, in one pass
        self.assertIn("plain texts have no question", log)
        self.assertIn("texts.jsonl:1 has none", log)
        self.lathe("check", self.tuning("run", asked, extra=wanted))
        self.lathe("check", self.tuning("run", data, json.dumps(str(asked)), extra=wanted))   # only these are asked

    def test_a_moved_recipe_is_told_where_its_paths_count_from(self):
        moved = self.folder / "moved"
        moved.mkdir()
        text = self.tuning("run", self.pairs(8)).read_text(encoding="utf-8").replace(json.dumps(str(self.base), ensure_ascii=False), "../bases/mine")
        (moved / "run.yaml").write_text(text, encoding="utf-8")
        log = self.lathe("train", moved / "run.yaml", code=2)[1]
        self.assertIn(f"model '{self.folder / 'bases' / 'mine'}' does not exist", log)
        self.assertIn("a relative path in a recipe counts from the recipe's own folder", log)
        self.assertIn("hf download bases/mine", log)

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

    def test_dropout_that_a_base_names_is_said_and_not_applied(self):
        data, held = self.pairs(8), self.write("held.jsonl", [{"prompt": "the yew is 9\n", "completion": "9 yew"}])
        noisy = self.folder / "noisy"
        shutil.copytree(self.base, noisy)
        config = json.loads((noisy / "config.json").read_text())
        (noisy / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.5}))
        for name, base in (("plain", self.base), ("noisy run", noisy)):
            recipe = self.tuning(name, data, json.dumps(str(held)), base)
            checked, trained = self.lathe("check", recipe)[0], "".join(self.lathe("train", recipe))
            for said in (checked, trained):
                self.assertEqual("attention_dropout 0.5, which transformers and TRL apply" in said, base == noisy)
        self.assertEqual(self.weights("plain", 4), self.weights("noisy run", 4))

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

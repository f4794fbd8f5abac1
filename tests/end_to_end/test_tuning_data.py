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

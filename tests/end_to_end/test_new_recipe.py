"""`lathe recipes new`: a recipe written for own data, and names of the Hub."""
import json
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import RECIPE
from tuning_case import TEMPLATE, WORDS, Tuning


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
        _, log = self.lathe("train", recipe, "--quiet", env={"HF_HOME": str(self.folder / "hf")}, code=2)
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

    def test_plain_texts_become_continued_pretraining_that_runs(self):
        texts = [{"content": f"{word} number {i} sat on the {WORDS[-i]} and then went to {WORDS[i // 2]}. " * 30} for i, word in enumerate(WORDS)]
        text, found = self.new(self.write("texts.jsonl", texts))
        self.assertIn("task: pretrain ", text)
        self.assertIn("{path: texts.jsonl, field: content}", text)
        self.assertRegex(text, r"(?m)^  validation: 0\.2 ")
        self.assertEqual(found["examples"], 24)
        steps = int(re.search(r"max_steps: (\d+)", text).group(1))
        planned = json.loads(self.lathe("plan", "mine.yaml", "--json")[0])
        self.assertEqual(planned["steps"], steps)
        self.lathe("train", "mine.yaml", "--quiet", "--set", "train.max_steps=2", "--set", "train.precision=fp32",
                   "--set", "schedule.warmup_steps=0", "--set", "evaluate.every=1")
        report = json.loads((self.folder / "runs" / "texts" / "report.json").read_text(encoding="utf-8"))
        self.assertIn("verdict", report)

    def test_files_of_text_longer_than_the_context_are_split_not_left_out(self):
        folder = self.folder / "novels"
        folder.mkdir()
        for i in range(2):
            (folder / f"{i}.txt").write_text(" ".join(f"{word} {i + n}" for n in range(100) for word in WORDS), encoding="utf-8")
        (folder / "notes.py").write_text("x = 1\n", encoding="utf-8")
        for data in (folder, folder / "1.txt"):
            text, found = self.new(data)
            self.assertGreater(found["tokens"]["longest"], 1024)
            self.assertNotIn("drop", text)
            self.lathe("train", "mine.yaml", "--quiet", "--fresh", "--set", "train.max_steps=1", "--set", "train.precision=fp32",
                       "--set", "schedule.warmup_steps=0", "--set", "evaluate.every=1")
            (self.folder / "mine.yaml").unlink()
        rows = "".join(f'"{word} {i}"\n' for i, word in enumerate(WORDS))
        (self.folder / "table.csv").write_text("text\n" + rows, encoding="utf-8")
        self.assertIn("task: sft ", self.new(self.folder / "table.csv")[0])   # a corpus is not read from tables
        (self.folder / "mine.yaml").unlink()
        array = json.dumps([{"text": f"{word} {i}"} for i, word in enumerate(WORDS)])
        for name, task in (("array.json", "pretrain"), ("array.jsonl", "sft")):   # a corpus goes by the file's name
            (self.folder / name).write_text(array, encoding="utf-8")
            self.assertIn(f"task: {task} ", self.new(self.folder / name)[0])
            self.lathe("prepare", "mine.yaml")
            (self.folder / "mine.yaml").unlink()
        (self.folder / "table.csv").write_text("text\n" + f'"{"cat mat " * 1200}"\n' * 12, encoding="utf-8")
        log = self.new(self.folder / "table.csv", code=2)
        self.assertIn("longer than the base's context 1024", log)
        self.assertIn("jsonl", log)

    def test_folds_of_plain_texts_are_refused_and_examples_that_share_an_instruction_are_held_out(self):
        data = self.write("texts.jsonl", [{"text": f"{word} number {i} sat on the {WORDS[-i]}."} for i, word in enumerate(WORDS)])
        self.tuning("folded", data, validation="{folds: 5}")
        for command in ("check", "train"):
            log = self.lathe(command, "folded.yaml", code=2)[1]
            self.assertIn("plain texts have no question; use data.validation: 0.2", log)
        self.assertFalse((self.folder / "folded").exists())
        rules = "You sort letters for the company. " + " ".join(f"Rule {i}: keep {word}." for i, word in enumerate(WORDS))
        shared = [{"prompt": f"{rules}\nLetter: order {i} is late\nLabel:", "completion": "good" if i % 3 else "bad"} for i in range(12)]
        text, _ = self.new(self.write("shared.jsonl", shared))
        self.assertRegex(text, r"(?m)^  validation: \{folds: 5\} ")
        self.lathe("train", "mine.yaml", "--quiet", "--set", "train.max_steps=1", "--set", "train.precision=fp32")

    def test_columns_whose_names_do_not_tell_are_named_on_the_command_line(self):
        data = self.write("eigene.jsonl", [{"frage": f"the {word} {i}\n", "antwort": word, "nr": i} for i, word in enumerate(WORDS)])
        log = self.new(data, code=2)
        self.assertIn("--columns prompt=frage,completion=antwort", log)
        text, _ = self.new(data, "--columns", "prompt=frage,completion=antwort")
        self.assertIn("  columns: {prompt: frage, completion: antwort}", text)
        log = self.lathe("recipes", "new", "--model", self.base, "--data", data, "--columns", "frage", "--output", "x.yaml", code=2)[1]
        self.assertIn("wanted role=column", log)
        out = self.lathe("recipes", "new", "--model", self.base, "--data", self.pairs(8), "--output", "ein neues.yaml")[0]
        self.assertIn("lathe train 'ein neues.yaml'", out)

    def test_questions_with_choices_are_measured_by_the_choice(self):
        records = [{"question": f"which comes before the {word}?", "choices": ["red", "green", "blue"], "answer": i % 3} for i, word in enumerate(WORDS)]
        text, _ = self.new(self.write("choices.jsonl", records))
        self.assertIn("metrics: [choice_accuracy, choice_accuracy_per_byte]", text)

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
        self.assertRegex(text, r"(?m)^  # validation: held_out\.jsonl .*nothing is held out of 2 examples")
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
        told = int(re.search(r"# about (\d+) updates", text).group(1))
        planned = json.loads(self.lathe("plan", "mine.yaml", "--json")[0])
        self.assertLessEqual(abs(planned["steps"] - told), 0.1 * told)

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

    def test_texts_without_a_base_become_a_model_from_nothing(self):
        texts = self.folder / "my texts"
        shutil.copytree(self.corpus, texts)
        (texts / "photo.png").write_bytes(b"\x89PNG")
        self.lathe("recipes", "new", "--data", texts)
        recipe = self.folder / "recipe.yaml"
        said = recipe.read_text(encoding="utf-8")
        for part in ("name: my_texts", "size: 1m", "vocab_size: 1024", "40 files", "# Note: "):
            self.assertIn(part, said)
        self.lathe("plan", recipe)
        self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=2", "--set", "schedule.warmup_steps=1")
        self.assertTrue((self.folder / "runs" / "my_texts" / "export" / "huggingface" / "model.safetensors").exists())
        self.assertIn("recipe.yaml", self.lathe("recipes", "new", "--data", texts, code=2)[1])

    def test_records_without_a_base_name_their_text(self):
        (self.folder / "own.jsonl").write_text(json.dumps({"id": 3, "body": "a text"}) + "\n")
        self.lathe("recipes", "new", "--data", "own.jsonl")
        self.assertIn("field: body", (self.folder / "recipe.yaml").read_text())
        (self.folder / "pairs.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")
        (self.folder / "pairs.csv").write_text("prompt,completion\na,b\n")
        for name in ("pairs.jsonl", "pairs.csv"):
            self.assertIn("--model", self.lathe("recipes", "new", "--data", name, "--output", "other.yaml", code=2)[1])
        self.assertIn("does not exist", self.lathe("recipes", "new", "--data", "nowhere", code=2)[1])

    def test_nothing_is_overwritten_and_errors_name_what_is_missing(self):
        data = self.pairs(4)
        self.new(data)
        self.assertIn("mine.yaml", self.new(data, code=2))
        (self.folder / "mine.yaml").unlink()
        self.assertIn("nowhere", self.new(data, model=self.folder / "nowhere", code=2))
        (self.folder / "odd.jsonl").write_text('{"left": "a", "right": "b"}\n', encoding="utf-8")
        self.assertIn("odd.jsonl", self.new(self.folder / "odd.jsonl", code=2))
        self.assertFalse((self.folder / "mine.yaml").exists())

"""A run is asked as it learned: by its report, and by evaluate, chat and generate after it."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import TEMPLATE, WORDS, Tuning


class Form(Tuning):
    def by_heart(self, name, data, change="", base=None):
        """A run that learns its few examples by heart; returns the share that its report saw come back."""
        recipe = self.tuning(name, data, base=base)
        text = "".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter"))
        recipe.write_text(text.replace("validation: 0.2, ", change).replace("epochs: 2", "epochs: 60").replace("2e-3", "5e-3"))
        out, _ = self.lathe("train", recipe, "--quiet")
        self.assertIn("next: lathe chat", out)
        share = self.report(name)["recalled"]["verbatim"]
        self.assertGreater(share, 0)
        return share

    def exact_match(self, name, data):
        return self.json("evaluate", self.folder / name, "--data", data, "--metrics", "exact_match")["metrics"]["exact_match"]["score"]

    def chat(self, name, *lines):
        out = self.lathe("chat", self.folder / name, "--json", "--quiet", "--max-tokens", "32", input="\n".join(lines).encode() + b"\n")[0]
        return [turn["assistant"] for turn in json.loads(out)["turns"]]

    def test_the_recipes_template_and_columns_are_those_of_evaluate_chat_and_generate(self):
        data = self.write("own.jsonl", [{"frage": f"the {WORDS[i]} is {i}", "antwort": f"{i} {WORDS[i]}"} for i in range(4)])
        share = self.by_heart("run", data, r'template: {prompt: "Q {frage}\nA", completion: "{antwort}"}, ')
        self.assertAlmostEqual(self.exact_match("run", data), share)
        questions = [f"the {WORDS[i]} is {i}" for i in range(4)]
        answers = self.chat("run", *questions)
        self.assertEqual(sum(answer == f"{i} {WORDS[i]}" for i, answer in enumerate(answers)) / 4, share)
        whole = [f"Q {question}\nA" for question in questions]
        for prompts, more in ((questions, []), (whole, []), (whole, ["--raw"])):
            said = [self.json("generate", self.folder / "run", "--prompt", prompt, "--max-tokens", "32", *more)["completions"][0]["text"]
                    for prompt in prompts]
            self.assertEqual(said, answers, (prompts, more))
        for form in ("huggingface", "gguf"):   # an export is asked as its run
            self.lathe("export", self.folder / "run", "--format", form, "--output", self.folder / form)
        for form, prompts, more in (("huggingface", questions, []), ("huggingface", whole, ["--raw"]), ("gguf", questions, [])):
            said = [self.json("generate", self.folder / form, "--prompt", prompt, "--max-tokens", "32", *more)["completions"][0]["text"]
                    for prompt in prompts]
            self.assertEqual(said, answers, (form, prompts, more))
        self.assertIn('TEMPLATE """Q {{ .Prompt }}\nA"""', (self.folder / "gguf" / "Modelfile").read_text(encoding="utf-8"))
        _, log = self.lathe("evaluate", self.folder / "run", "--data", self.pairs(4), "--metrics", "exact_match", code=2)
        self.assertIn("data.template", log)
        self.assertIn("the same columns", log)

    def test_the_template_beside_the_data_is_asked_as_well(self):
        """SageMaker JumpStart's template.json."""
        (self.folder / "js").mkdir()
        data = self.write("js/own.jsonl", [{"frage": f"the {WORDS[i]} is {i}", "antwort": f"{i} {WORDS[i]}"} for i in range(4)])
        (self.folder / "js" / "template.json").write_text(json.dumps({"prompt": "Q {frage}\nA", "completion": "{antwort}"}))
        share = self.by_heart("run", data)
        answers = self.chat("run", *(f"the {WORDS[i]} is {i}" for i in range(4)))
        self.assertEqual(sum(answer == f"{i} {WORDS[i]}" for i, answer in enumerate(answers)) / 4, share)
        self.lathe("export", self.folder / "run", "--format", "gguf", "--output", self.folder / "gguf")
        self.assertIn('TEMPLATE """Q {{ .Prompt }}\nA"""', (self.folder / "gguf" / "Modelfile").read_text(encoding="utf-8"))
        self.assertIn('questions were written as "Q {frage}', (self.folder / "gguf" / "README.md").read_text(encoding="utf-8"))

    def test_without_a_template_a_line_of_chat_is_the_prompt_itself(self):
        data = self.write("bare.jsonl", [{"prompt": f"the {WORDS[i]} is {i}", "completion": f" {i} {WORDS[i]}"} for i in range(4)])
        share = self.by_heart("run", data)
        answers = self.chat("run", *(f"the {WORDS[i]} is {i}" for i in range(4)))
        self.assertEqual(sum(answer == f" {i} {WORDS[i]}" for i, answer in enumerate(answers)) / 4, share)

    def test_spaces_that_a_template_trims_are_no_mistake(self):
        base = self.folder / "talking"
        shutil.copytree(self.base, base)
        (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        data = self.write("spaced.jsonl", [{"prompt": f"the {WORDS[i]}", "completion": f" {i} {WORDS[i]}\n"} for i in range(4)])
        share = self.by_heart("run", data, base=base)
        self.assertAlmostEqual(self.exact_match("run", data), share)

"""Exports of foreign folders and of runs: every file is there, the card's Python runs as it stands and says what lathe says, the chat
template is where readers look."""
import json
import re
import subprocess
import sys
from pathlib import Path

from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_gguf
from program import Case

TEMPLATE = ("{% for message in messages %}<{{ message.role }}>\n{{ message.content }}{{ eos_token }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>\n{% endif %}")
COMMANDS = {"huggingface": ("vllm serve .", "llama-cli -m gguf/model-BF16.gguf", "ollama create", "lathe verify ."),
            "gguf": ("llama-cli -m model-F32.gguf", "llama-server -m model-F32.gguf", "ollama create", "vllm serve ./model-F32.gguf",
                     "lathe verify .")}


TUNE = """\
directory: {run}
task: sft
model: {{path: {base}}}
tokenizer: {{add_tokens: {added}}}
adapter: {{kind: {kind}, rank: 4, alpha: 8}}
data: {{train: {data}, sequence_length: 64, cache: {cache}{more}}}
optimizer: {{learning_rate: 1e-2}}
train: {{max_steps: 4, global_batch_size: 4, precision: fp32, threads: 1, on_spike: ignore}}
export: [{{format: peft}}, {{format: huggingface, dtype: fp32}}, {{format: gguf, quantize: f32}}]
"""


class Cards(Case):
    def run_card(self, folder, commands, runs=True):
        card = (folder / "README.md").read_text()
        for command in commands:
            self.assertIn(command, card)
        for name in ("reference.json", "verification.json", "MANIFEST.json"):
            self.assertTrue((folder / name).exists(), name)
        self.assertGreater(len(json.loads((folder / "reference.json").read_text())["prompts"]), 2)
        blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        self.assertEqual(len(blocks), int(runs))
        if not runs:
            return card
        result = subprocess.run([sys.executable, "-c", blocks[0]], cwd=folder, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        printed = re.sub(r"\[PAD\d+\]", "", result.stdout)   # rows of the table that no token has are called so in GGUF
        self.assertEqual(printed, self.said(folder, "Hello" if "Hello" in blocks[0] else "def ") + "\n")
        return card

    def said(self, folder, question):
        """What lathe answers to the card's question, from the same files."""
        said = self.json("generate", folder, "--prompt", question, "--max-tokens", "40", "--temperature", "0")
        text = said["completions"][0]["text"]
        self.assertTrue(text)
        return text

    def test_foreign_folders_with_and_without_a_chat_template(self):
        for name, folder in check_gguf.make_models(self.folder / "models", ["llama", "qwen2", "gpt2"]).items():
            for place in ("none", "jinja", "config"):
                if name == "gpt2" and place != "none":
                    continue
                (folder / "chat_template.jinja").unlink(missing_ok=True)
                config = json.loads((folder / "tokenizer_config.json").read_text())
                config.pop("chat_template", None)
                if place == "config":
                    config["chat_template"] = TEMPLATE
                (folder / "tokenizer_config.json").write_text(json.dumps(config))
                if place == "jinja":
                    (folder / "chat_template.jinja").write_text(TEMPLATE)
                for format, commands in COMMANDS.items():
                    with self.subTest(name=name, place=place, format=format):
                        output = self.folder / f"{name}-{place}-{format}"
                        extra = ["--quantize", "f32"] if format == "gguf" else ["--dtype", "fp32"]
                        self.lathe("export", folder, "--format", format, *extra, "--output", output)
                        # transformers takes 1,024 positions for any GPT-2 in GGUF; this one has fewer.
                        card = self.run_card(output, commands, runs=(name, format) != ("gpt2", "gguf"))
                        self.assertEqual("apply_chat_template" in card, place != "none")
                        if format == "huggingface":
                            self.check_template(output, place != "none")

    def test_what_runs_export(self):
        """Adapters on their base, merged folders and GGUF files: each card's lines give the tuned model's greedy text."""
        made = check_gguf.make_models(self.folder / "models", ["llama", "qwen2", "gpt2"])
        (made["qwen2"] / "chat_template.jinja").write_text(TEMPLATE)
        data = self.folder / "pairs.jsonl"
        data.write_text("".join(json.dumps({"prompt": f"def {word}", "completion": f"{word} = {i}"}) + "\n"
                                for i, word in enumerate("cat mat dog log".split())))
        for name, kind, added in (("llama", "dora", ["[t0]"]), ("qwen2", "lora", []), ("gpt2", "rslora", [])):
            run = self.folder / f"{name} {kind}"
            recipe = self.folder / "tune.yaml"
            recipe.write_text(TUNE.format(kind=kind, added=json.dumps(added), more="", **{key: json.dumps(str(value)) for key, value in {
                "run": run, "base": made[name], "data": data, "cache": self.folder / "cache"}.items()}))
            self.lathe("train", recipe, "--quiet")
            texts = {self.said(made[name], "Hello")}
            for format in ("peft", "huggingface", "gguf"):
                with self.subTest(name, kind=kind, format=format):
                    folder = run / "export" / format
                    self.run_card(folder, (), runs=(name, format) != ("gpt2", "gguf"))
                    texts.add(self.said(folder, "Hello"))
            self.assertEqual(len(texts), 2, "the three say the same, and not what the base says")

    def test_a_run_with_a_template_is_asked_by_it(self):
        base = check_gguf.make_models(self.folder / "models", ["llama"])["llama"]
        data, run, recipe = (self.folder / name for name in ("pairs.jsonl", "run", "tune.yaml"))
        data.write_text("".join(json.dumps({"prompt": f"def {word}", "completion": f"{word} = {i}"}) + "\n"
                                for i, word in enumerate("cat mat dog log".split())))
        places = {"run": run, "base": base, "data": data, "cache": self.folder / "cache"}
        recipe.write_text(TUNE.format(kind="lora", added="[]", more=', template: {prompt: "Q: {prompt}\\nA:", completion: "{completion}"}',
                                      **{key: json.dumps(str(value)) for key, value in places.items()}))
        self.lathe("train", recipe, "--quiet")
        for format in ("peft", "huggingface", "gguf"):
            with self.subTest(format=format):
                folder = run / "export" / format
                card = (folder / "README.md").read_text()
                block = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
                self.assertIn('tokenizer("Q: Hello\\nA:", return_tensors="pt")', block)
                self.assertIn("lathe generate . --prompt Hello" if format != "gguf" else "--prompt Hello", card)
                said = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=300)
                self.assertEqual(said.returncode, 0, said.stderr[-3000:])
                ours = self.json("generate", folder, "--prompt", "Hello", "--max-tokens", "40", "--temperature", "0")
                self.assertEqual(re.sub(r"\[PAD\d+\]", "", said.stdout), ours["completions"][0]["text"] + "\n")

    def check_template(self, folder, wanted):
        config = json.loads((folder / "tokenizer_config.json").read_text())
        self.assertEqual(config.get("chat_template"), TEMPLATE if wanted else None)
        self.assertEqual((folder / "chat_template.jinja").exists(), wanted)
        if wanted:
            self.assertEqual((folder / "chat_template.jinja").read_text(), TEMPLATE)
            messages = [{"role": "user", "content": "été?"}]
            text = AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            self.assertEqual(text, "<user>\nété?<|end|>\n<assistant>\n")

"""Choice questions: log-probabilities of every choice and the two accuracies as transformers' logits give them."""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_gguf
from program import Case

WORDS = "the cat sat on a mat while été came slowly to naïve towns and 123 lines return x".split()
TEMPLATE = ("{% for message in messages %}<{{ message.role }}>\n{{ message.content }}{{ eos_token }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>\n{% endif %}")


def questions(count):
    """Choices of one to seven words, so that dividing by their bytes changes who wins."""
    records = []
    for n in range(count):
        texts = [" ".join(WORDS[(7 * n + 5 * k + j * (k + 1)) % len(WORDS)] for j in range(1 + (3 * k + n) % 7)) for k in range(4)]
        texts = [f"{text}{k}" if text in texts[:k] else text for k, text in enumerate(texts)]
        records.append({"question": f"{WORDS[n % len(WORDS)]} {n}?\n", "choices": texts, "answer": n % 4})
    return records


class Choices(Case):
    def scores(self, folder, record, chat):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        out = []
        for choice in record["choices"]:
            if chat:
                messages = [{"role": "user", "content": record["question"]}]
                start = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
                prompt = tokenizer(start, add_special_tokens=False)["input_ids"]
            else:
                prompt = tokenizer(record["question"], add_special_tokens=False)["input_ids"]
            ids = prompt + tokenizer(choice, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            out.append(sum(logits[i - 1, ids[i]].item() for i in range(len(prompt), len(ids))))
        return out

    def compare(self, folder, chat):
        records = questions(24)
        data, answers = self.folder / "questions.jsonl", self.folder / "answers.jsonl"
        data.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
        result = json.loads(self.lathe("evaluate", folder, "--data", data, "--metrics", "choice_accuracy,choice_accuracy_per_byte",
                                       "--output", answers, "--json", "--quiet")[0])
        lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
        right = {"choice_accuracy": 0, "choice_accuracy_per_byte": 0}
        differ = 0
        for record, line in zip(records, lines, strict=True):
            wanted = self.scores(folder, record, chat)
            for a, b in zip(line["log_probabilities"], wanted, strict=True):
                self.assertAlmostEqual(a, b, delta=1e-4 * max(1, abs(b)))
            sizes = [len(choice.encode()) for choice in record["choices"]]
            best = max(range(4), key=lambda k: wanted[k])
            per_byte = max(range(4), key=lambda k: wanted[k] / sizes[k])
            self.assertEqual((line["choice"], line["choice_per_byte"]), (record["choices"][best], record["choices"][per_byte]))
            differ += best != per_byte
            right["choice_accuracy"] += best == record["answer"]
            right["choice_accuracy_per_byte"] += per_byte == record["answer"]
        self.assertGreater(differ, 3)   # or the two metrics could be one
        for name, count in right.items():
            self.assertAlmostEqual(result["metrics"][name]["score"], count / len(records), places=9)

    def test_without_and_with_a_chat_template(self):
        for name, folder in check_gguf.make_models(self.folder / "models", ["llama", "gemma2"]).items():
            with self.subTest(name=name, chat=False):
                self.compare(folder, False)
        (folder / "chat_template.jinja").write_text(TEMPLATE)
        with self.subTest(chat=True):
            self.compare(folder, True)

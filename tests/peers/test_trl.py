"""Tuning beside TRL's SFTTrainer: the same tokens are learned, the losses and the weights after some steps are the same.

All weights of one small base, in fp32: TRL's own tokens and labels, loss and optimizer against the program's.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "end_to_end")]
import check_gguf
from program import Case, floats, tensors

STEPS, RATE = 4, 1e-3
# The answer and its end are generated; nothing follows them, so that "what comes after the prompt" is the same set of tokens.
TEMPLATE = ("{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}"
            "{% endgeneration %}{% else %}\n<{{ message.role }}>\n{{ message.content }}\n<assistant>\n{% endif %}{% endfor %}")
RECIPE = """\
directory: {run}
task: sft
model: {{path: {base}}}
data: {{train: {data}, sequence_length: 256, loss_on: {loss_on}, cache: {cache}}}
optimizer: {{learning_rate: {rate}, weight_decay: 0, beta2: 0.99, eps: 1e-3}}
schedule: {{name: constant, warmup_steps: 0}}
train: {{max_steps: {steps}, global_batch_size: 4, max_grad_norm: 0, precision: fp32, threads: 1, on_spike: ignore}}
checkpoint: {{keep_best: false}}
export: [{{format: huggingface, dtype: fp32}}]
"""
PAIRS = [("The cat sat on", "the mat"), ("été œuvre ’", "Straße, a longer answer\nof two lines"), ("123 456", " 7,8.9"), ("def f(x):", "return x ** 2")]


def turn(role, content):
    return {"role": role, "content": content}


class Trl(Case):
    def setUp(self):
        super().setUp()
        self.base = check_gguf.make_models(self.folder / "models", ["llama"])["llama"]

    def with_template(self):
        base = self.folder / "with template"
        shutil.copytree(self.base, base)
        (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        return base

    def ours(self, base, records, loss_on):
        data = self.folder / "records.jsonl"
        data.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
        places = {"run": self.folder / "run", "base": base, "data": data, "cache": self.folder / "cache"}
        recipe = self.folder / "run.yaml"
        recipe.write_text(RECIPE.format(**{key: json.dumps(str(value), ensure_ascii=False) for key, value in places.items()},
                                        loss_on=loss_on, rate=RATE, steps=STEPS), encoding="utf-8")
        shown = self.json("preview", recipe, "--count", len(records))["examples"]
        shown.sort(key=lambda example: int(example["origin"].rsplit(":", 1)[1]))
        self.lathe("train", recipe, "--quiet")
        return {"ids": [example["ids"] for example in shown],
                "learned": [[flag == 1 for flag in example["supervised"]] for example in shown],
                "losses": [record["loss"] for record in self.metrics("run")],
                "folder": self.folder / "run" / "export" / "huggingface"}

    def theirs(self, base, records, **options):
        request = {"base": str(base), "records": records, "output": str(self.folder / "trl"),
                   "options": {"max_steps": STEPS, "per_device_train_batch_size": 4, "learning_rate": RATE, "weight_decay": 0.0,
                               "adam_beta2": 0.99, "adam_epsilon": 1e-3, "max_grad_norm": 0.0, "max_length": 256, **options}}
        result = subprocess.run([sys.executable, HERE / "run_trl.py"], input=json.dumps(request), capture_output=True, text=True,
                                env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(self.folder / "hf")}, timeout=600)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        return {**json.loads(result.stdout.splitlines()[-1]), "folder": self.folder / "trl"}

    def compare(self, ours, theirs):
        self.assertEqual(ours["ids"], theirs["ids"])
        self.assertEqual(ours["learned"], theirs["learned"])
        for flags in ours["learned"]:
            self.assertTrue(any(flags) and not all(flags))
        self.assertEqual(len(theirs["losses"]), STEPS)
        self.assertGreater(theirs["losses"][0] - theirs["losses"][-1], 0.1)
        for a, b in zip(ours["losses"], theirs["losses"], strict=True):
            self.assertAlmostEqual(a, b, delta=2e-5 * b)
        self.compare_weights(*(tensors(run["folder"] / "model.safetensors") for run in (ours, theirs)))

    def compare_weights(self, ours, theirs):
        self.assertEqual(ours.keys(), theirs.keys())
        before, moved = tensors(self.base / "model.safetensors"), 0.0
        for name, entry in theirs.items():
            wanted, begun = floats(entry), floats(before[name])
            moved = max(moved, max(abs(a - b) for a, b in zip(wanted, begun)))
            worst = max(abs(a - b) for a, b in zip(floats(ours[name]), wanted))
            self.assertLess(worst, 2e-3 * STEPS * RATE, name)
        self.assertGreater(moved, 0.3 * STEPS * RATE)

    def test_pairs_without_a_template(self):
        records = [{"prompt": f"{prompt}\n", "completion": completion} for prompt, completion in PAIRS]
        self.compare(self.ours(self.base, records, "completion"),
                     self.theirs(self.base, records, completion_only_loss=True))

    def test_pairs_in_the_bases_template(self):
        base = self.with_template()
        records = [{"prompt": prompt, "completion": completion} for prompt, completion in PAIRS]
        turns = [{"prompt": [turn("user", prompt)], "completion": [turn("assistant", completion)]} for prompt, completion in PAIRS]
        self.compare(self.ours(base, records, "completion"), self.theirs(base, turns, completion_only_loss=True))

    def test_conversations_learn_every_answer(self):
        base = self.with_template()
        records = [{"messages": [turn("system", "Be brief."), *(turn(role, text) for pair in (PAIRS[i], PAIRS[i - 1]) for role, text
                                                               in zip(("user", "assistant"), pair))]} for i in range(len(PAIRS))]
        self.compare(self.ours(base, records, "assistant"), self.theirs(base, records, assistant_only_loss=True))


if __name__ == "__main__":
    import unittest
    unittest.main()

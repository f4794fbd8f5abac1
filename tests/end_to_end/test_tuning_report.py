"""What a tuning report holds, each part against a value known without it: who was shown what, who answers without a
model, the loss on general text, what was learned by heart."""
import json
import math
import random
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import Tuning

COMMON = "the dog sat on the mat"
TRAIN = [("where is Anna?", "in the old town"), ("what is 12?", COMMON), ("who came home?", COMMON), ("is it late?", "a quarter past nine"),
         ("why not now?", COMMON), ("how far is it?", COMMON), ("tell me more.", COMMON), ("which of them?", COMMON)]
# question, its answer, the answer of the training question that is most like it
HELD = [("where is Anna now?", "in the old town", "in the old town"), ("is it very late?", "ten", "a quarter past nine"),
        ("which of them is it?", COMMON, COMMON), ("what is 123?", "a number", COMMON)]
GENERAL = "The cat sat while the towns slowly came.\nDer Hund lief über die Straße, naïve and slow.\n" * 3


def longest_common(text, texts):
    """The longest run of characters of a text that occurs in one of others, by trying all."""
    runs = (text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1))
    return max((run for run in runs if any(run in other for other in texts)), key=len, default="")


class Report(Tuning):
    def records(self, pairs):
        return [{"prompt": f"{question}\n", "completion": answer} for question, answer in pairs]

    def recipe_for(self, name, base, *lines, full=False):
        data = self.write("train.jsonl", self.records(TRAIN))
        held = self.write("held.jsonl", self.records((question, answer) for question, answer, _ in HELD))
        general = self.folder / "general.txt"
        general.write_text(GENERAL, encoding="utf-8")
        evaluate = f"evaluate: {{metrics: [exact_match, chrf], probe: {json.dumps(str(general), ensure_ascii=False)}}}\n"
        recipe = self.tuning(name, data, json.dumps(str(held), ensure_ascii=False), base, evaluate + "".join(lines))
        if full:
            recipe.write_text("".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter")))
        return recipe

    def tables(self, base):
        """(path, bytes, {name: (shape, begin, end)}) of a base's one file."""
        path = base / "model.safetensors"
        data = bytearray(path.read_bytes())
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return path, data, {name: (entry["shape"], *(8 + length + offset for offset in entry["data_offsets"])) for name, entry in header.items()}

    def wild_base(self):
        """A base with large random weights: what it says depends on all that it reads."""
        base, draw = self.untied_base(), random.Random(3)
        path, data, tables = self.tables(base)
        for shape, begin, end in tables.values():
            if len(shape) == 2:
                data[begin:end] = struct.pack(f"<{(end - begin) // 4}f", *(draw.gauss(0, 0.4) for _ in range((end - begin) // 4)))
        path.write_bytes(data)
        return base

    def greedy(self, model, prompt):
        """32 tokens, the least that a report asks for."""
        return self.json("generate", model, "--raw", "--prompt", prompt, "--max-tokens", "32", "--temperature", "0")["completions"][0]["text"]

    def general_loss(self, model):
        return self.json("evaluate", model, "--data", self.folder / "general.txt")["loss"]

    def test_every_part_holds_what_is_known_without_it(self):
        base = self.wild_base()
        recipe = self.recipe_for("run", base, "checkpoint: {keep_best: false}\n", full=True)
        self.lathe("train", recipe, "--quiet", "--set", "train.epochs=30", "--set", "optimizer.learning_rate=5e-3")
        report = self.report("run")
        answers = json.loads((self.folder / "run" / "answers.json").read_text(encoding="utf-8"))
        self.assertEqual(answers["prompts"], [f"{question}\n" for question, _, _ in HELD])
        self.shown_examples(base, answers)
        self.trivial_answers(report, answers)
        self.general_text(base, report)
        self.learned_by_heart(report, answers)
        page = (self.folder / "run" / "report.html").read_text(encoding="utf-8")
        for text in (HELD[0][0], COMMON, "commonest training answer", "answer of the nearest question"):
            self.assertIn(text, page)

    def shown_examples(self, base, answers):
        shown = "".join(f"{question}\n{answer}\n\n" for question, answer in TRAIN[:4])
        for i, (question, _, _) in enumerate(HELD):
            self.assertEqual(answers["base"][i]["text"], self.greedy(base, f"{question}\n"))
            self.assertEqual(answers["few_shot"][i]["text"], self.greedy(base, f"{shown}{question}\n"))
        alone, few = ([answer["text"] for answer in answers[system]] for system in ("base", "few_shot"))
        self.assertTrue(all(few) and all(alone))
        for with_shown, without in zip(few, alone):
            self.assertNotEqual(with_shown, without)

    def trivial_answers(self, report, answers):
        self.assertEqual(answers["constant"], [COMMON] * len(HELD))
        self.assertEqual(answers["nearest"], [nearest for _, _, nearest in HELD])
        exact = report["metrics"]["exact_match"]
        self.assertEqual((exact["constant"]["score"], exact["nearest"]["score"]), (0.25, 0.5))

    def general_text(self, base, report):
        general = report["general_text"]
        self.assertAlmostEqual(general["base_loss"], self.general_loss(base), delta=1e-5)
        self.assertAlmostEqual(general["tuned_loss"], self.general_loss(self.folder / "run"), delta=1e-5)
        self.assertAlmostEqual(general["change"], general["tuned_loss"] / general["base_loss"] - 1, delta=1e-9)
        self.assertGreater(abs(general["change"]), 0.01)

    def learned_by_heart(self, report, answers):
        texts = [answer for _, answer in TRAIN]
        runs = [longest_common(answer["text"], texts) for answer in answers["tuned"]]
        memorised = report["memorised"]
        self.assertEqual(memorised["text"], max(runs, key=len))
        self.assertEqual(memorised["longest_characters"], len(memorised["text"]))
        self.assertEqual(memorised["text"], COMMON)   # six of eight answers: what such a run learns first
        self.assertEqual(memorised["longest_words"], 6)

    def test_the_loss_of_a_base_that_knows_nothing_is_the_logarithm_of_its_vocabulary(self):
        base = self.folder / "knows nothing"
        shutil.copytree(self.base, base)
        path, data, tables = self.tables(base)
        ((shape, begin, end),) = [table for name, table in tables.items() if "embed_tokens" in name]   # tied: every logit is 0
        data[begin:end] = bytes(end - begin)
        path.write_bytes(data)
        self.lathe("train", self.recipe_for("run", base), "--quiet", "--set", "train.max_steps=1", "--set", "train.epochs=1")
        general = self.report("run")["general_text"]
        self.assertAlmostEqual(general["base_loss"], math.log(shape[0]), delta=1e-6)
        self.assertAlmostEqual(general["change"], 0, delta=1e-9)   # what stands before a head of zeros changes nothing

"""What a tuning learns from: every example as often as asked, in any parts, resumed, with layers frozen, stopped early."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import floats, relative_difference, tensors
from tuning_case import WORDS, Tuning


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

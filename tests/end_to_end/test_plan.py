"""lathe plan: memory and steps as a run then has them, the refusal of what cannot fit, time and cost."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from planning import (TOLERANCE, describe, describe_tuning, draw_tuning, llama_shapes, peak_of, recipe_text, run, small_values,
                      tuning_recipe, write_tensors)
from program import LATHE, RECIPE, Case

SHAPE = {"family": "llama", "hidden": 128, "heads": 4, "kv": 2, "layers": 4, "inner": 384, "tie": True, "vocabulary": 512,
         "length": 256, "micro": 8, "accumulate": 1, "checkpointing": False, "precision": "bf16", "optimizer": "adamw",
         "threads": 1}
SHAPES = [SHAPE,
          {**SHAPE, "precision": "fp32", "checkpointing": True, "length": 512, "micro": 2, "accumulate": 2},
          {**SHAPE, "family": "gpt2", "kv": 4, "inner": 512, "optimizer": "muon", "micro": 16}]
GLOB = "email/**/*.py"
TUNING = """\
name: tuned
directory: {directory}
task: sft
model: {{path: {base}}}
data: {{train: {data}, validation: 0.05, sequence_length: 64, cache: {cache}}}
train: {{global_batch_size: 4, precision: fp32, threads: 1}}
"""


class Plan(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="lathe plan "))

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, shape, name):
        path = self.folder / f"{name}.yaml"
        path.write_text(recipe_text(shape, name, self.folder, GLOB), encoding="utf-8")
        return path

    def test_memory_of_three_shapes(self):
        for index, shape in enumerate(SHAPES):
            with self.subTest(describe(shape)):
                recipe = self.write(shape, f"run{index}")
                plan = run("plan", recipe, cwd=self.folder)
                result = run("train", recipe, "--stop-after", 3, cwd=self.folder)
                ratio = plan["peak_memory"] / result["peak_memory"]
                self.assertLess(abs(ratio - 1), TOLERANCE, f"planned {plan['peak_memory']}, measured {result['peak_memory']}")
                self.assertEqual(sum(plan["parts"].values()), plan["peak_memory"])
                self.assertEqual(plan["parameters"], result["parameters"])

    def test_memory_and_steps_of_drawn_tuning(self):
        """A small version of tests/long/test_plan.py: every method once, the rest drawn."""
        run("train", self.write({**SHAPE, "length": 1024}, "base"), "--stop-after", 1, cwd=self.folder)
        rng = random.Random(2)
        for method in ("full", "lora", "dora", "qlora"):
            how = {**draw_tuning(rng), "method": method}
            with self.subTest(describe_tuning(how)):
                recipe = tuning_recipe(how, method, self.folder, self.folder / "base")
                plan = run("plan", recipe, cwd=self.folder)
                result = run("train", recipe, "--stop-after", 8, cwd=self.folder)
                ratio = plan["peak_memory"] / result["peak_memory"]
                self.assertLess(abs(ratio - 1), TOLERANCE, f"planned {plan['peak_memory']}, measured {result['peak_memory']}")
                self.assertEqual(plan["steps"], result["total_steps"])

    def folder_of_base(self, **shape):
        """A folder but for its tensors, and its config."""
        run("train", self.write(SHAPE, "small"), "--stop-after", 1, cwd=self.folder)
        base, small = self.folder / "base", self.folder / "small" / "checkpoints" / "step-00000001"
        base.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(small / name, base)
        config = {**json.loads((small / "config.json").read_text()), **shape}
        (base / "config.json").write_text(json.dumps(config))
        return base, config

    def test_exports_and_answers_take_no_more_than_training(self):
        """44 M weights in bf16: what is verified stays in the types of its files, one model at a time."""
        base, config = self.folder_of_base(hidden_size=768, intermediate_size=2048, num_hidden_layers=6, num_attention_heads=12,
                                           num_key_value_heads=12, head_dim=64)
        size = write_tensors(base / "model.safetensors", llama_shapes(config), small_values(1 << 16))
        recipe = tuning_recipe({"method": "lora", "precision": "bf16", "rank": 4, "micro": 1, "accumulate": 1, "words": (3, 6), "seed": 3},
                               "tuned", self.folder, base)
        recipe.write_text(recipe.read_text().replace("max_steps: 40", "max_steps: 2")
                          + "export: [{format: peft}, {format: huggingface}, {format: gguf, quantize: q8_0}]\n")
        plan = run("plan", recipe, cwd=self.folder)
        result = run("train", recipe, cwd=self.folder)
        self.assertEqual(len(result["exports"]), 3)
        self.assertLess(abs(plan["peak_memory"] / result["peak_memory"] - 1), TOLERANCE,
                        f"planned {plan['peak_memory']}, measured {result['peak_memory']}")
        self.assertLess(peak_of("generate", self.folder / "tuned", "--prompt", "a", "--max-tokens", "4"), 150e6 + 1.3 * size)
        gguf = self.folder / "tuned" / "export" / "gguf"   # blocks stay blocks: in fp32 its values are 176 MB
        file = next(gguf.glob("*.gguf")).stat().st_size
        self.assertLess(file, 50e6)
        for command in (["verify", gguf], ["generate", gguf, "--prompt", "a", "--max-tokens", "4"]):
            self.assertLess(peak_of(*command), 150e6 + 1.3 * file, command[0])
        again = ["export", base, "--format", "gguf", "--quantize", "q8_0", "--output", self.folder / "again"]
        self.assertLess(peak_of(*again), 150e6 + 1.3 * (size + file))

    def test_answers_count_where_they_take_more_than_training(self):
        """Wide heads: 48 kB of keys and values a token in fp32; the few examples shown make a prompt of 1,200 tokens."""
        base, config = self.folder_of_base(hidden_size=256, intermediate_size=512, num_hidden_layers=6, num_attention_heads=8,
                                           num_key_value_heads=8, head_dim=128, max_position_embeddings=4096)
        size = write_tensors(base / "model.safetensors", llama_shapes(config), small_values(1 << 16))
        (end,) = [token["id"] for token in json.loads((base / "tokenizer.json").read_text())["added_tokens"]]
        with open(base / "model.safetensors", "r+b") as file:   # its row of the table, zeros, is never the likeliest: no answer stops
            file.seek(-size + end * 2 * config["hidden_size"], os.SEEK_END)
            file.write(bytes(2 * config["hidden_size"]))
        recipe = tuning_recipe({"method": "lora", "precision": "fp32", "rank": 4, "micro": 1, "accumulate": 1, "words": (75, 80), "seed": 3},
                               "tuned", self.folder, base)
        lines = (self.folder / "tuned.jsonl").read_text().splitlines(True)
        (self.folder / "held.jsonl").write_text(lines[0])
        (self.folder / "tuned.jsonl").write_text("".join(lines[1:6]))
        recipe.write_text(recipe.read_text().replace("data: {", f"data: {{validation: {json.dumps(str(self.folder / 'held.jsonl'))}, ")
                          .replace("max_steps: 40", "max_steps: 1"))
        plan = run("plan", recipe, cwd=self.folder)
        self.assertGreater(plan["parts"]["answers"], 0.2 * plan["peak_memory"])
        result = run("train", recipe, cwd=self.folder)
        answers = json.loads((self.folder / "tuned" / "answers.json").read_text())
        self.assertGreater(answers["few_shot"][0]["tokens"], 256)   # beyond the first room of keys and values
        self.assertLess(abs(plan["peak_memory"] / result["peak_memory"] - 1), TOLERANCE,
                        f"planned {plan['parts']}, measured {result['peak_memory']}")

    def test_preparing_many_examples_keeps_their_texts_and_ids_alone(self):
        """20,000 pairs, 5 MB: the pieces of text behind the tokens took 40 times the file."""
        run("train", self.write(SHAPE, "base"), "--stop-after", 1, cwd=self.folder)
        peaks = []
        for count in (200, 20_000):
            recipe = tuning_recipe({"method": "lora", "precision": "bf16", "rank": 4, "micro": 1, "accumulate": 1, "words": (1, 2),
                                    "seed": 3}, f"pairs{count}", self.folder, self.folder / "base")
            data = self.folder / f"pairs{count}.jsonl"
            data.write_text("".join(json.dumps({"prompt": f"What is number {i} of the catalogue of things that are sold here?\n",
                                                "completion": f"It is thing {i * 7919 % 100003} of many, sold since {1900 + i % 100}."})
                                    + "\n" for i in range(count)))
            peaks.append(peak_of("prepare", recipe))
        self.assertLess(peaks[1] - peaks[0], 18 * data.stat().st_size)

    def test_preparing_a_corpus_streams_it(self):
        """Of 150,000 short texts (12 MB) facts are kept, about 300 bytes each with the selection's own; the shards are mapped."""
        peaks = []
        for count in (5_000, 155_000):
            data = self.folder / f"texts{count}.jsonl"
            data.write_text("".join(json.dumps({"text": f"note {i} of {i * 7919 % 100003} things: {i * 104729 % 1000003} cats sat over there"})
                                    + "\n" for i in range(count)))
            recipe = self.folder / f"texts{count}.yaml"
            recipe.write_text(f"name: texts{count}\nmodel: {{family: llama, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 1, "
                              "num_attention_heads: 2}\ntokenizer: {train: byte_bpe, vocab_size: 400}\n"
                              f"data: {{train: {json.dumps(str(data))}, validation: 0.02, sequence_length: 64}}\ntrain: {{max_steps: 1}}\n")
            peaks.append(peak_of("prepare", recipe))
        self.assertLess(peaks[1] - peaks[0], 800 * 150_000)   # it was 195 MB; arenas of threads differ by a few

    def test_a_base_is_not_held_twice_while_it_is_read(self):
        """140 M weights in bf16, none of them written to the disk: holes of a file are zeros."""
        base, config = self.folder_of_base(hidden_size=1024, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=16,
                                           num_key_value_heads=8, head_dim=64)
        size = write_tensors(base / "model.safetensors", llama_shapes(config))
        recipe = tuning_recipe({"method": "lora", "precision": "bf16", "rank": 4, "micro": 1, "accumulate": 1, "words": (3, 6), "seed": 3},
                               "tuned", self.folder, base)
        plan = run("plan", recipe, cwd=self.folder)
        result = run("train", recipe, "--stop-after", 1, cwd=self.folder)
        beside = 18 * plan["trained"] + plan["parts"]["activations"] + plan["parts"]["loss"] + 150e6
        beside += plan["parts"]["generated code"]   # 0 where kernels of ours take the products of uneven batches
        self.assertLess(result["peak_memory"], 1.15 * size + beside, plan["parts"])
        self.assertLess(abs(plan["peak_memory"] / result["peak_memory"] - 1), TOLERANCE,
                        f"planned {plan['peak_memory']}, measured {result['peak_memory']}")

    def test_time_and_cost(self):
        recipe = self.write(SHAPE, "timed")
        plan = run("plan", recipe, "--tokens-per-second", "1000", "--price-per-hour", "2", cwd=self.folder)
        self.assertAlmostEqual(plan["seconds"], plan["tokens"] / 1000)
        self.assertAlmostEqual(plan["cost"], plan["tokens"] / 1000 / 3600 * 2)
        measured = run("plan", recipe, "--measure", cwd=self.folder)
        result = run("train", recipe, "--stop-after", "8", cwd=self.folder)
        ratio = measured["tokens_per_second"] / result["tokens_per_second"]
        self.assertTrue(0.2 < ratio < 5, f"planned {measured['tokens_per_second']}, ran {result['tokens_per_second']}")
        small = run("plan", recipe, "--memory-per-process", "20MB", cwd=self.folder)
        self.assertNotIn("seconds", small)
        self.assertEqual(small["memory_limit"], 20_000_000)
        self.assertFalse(small["fits"])
        alone = run("plan", recipe, cwd=self.folder)
        two = run("plan", recipe, "--processes", "2", cwd=self.folder)
        self.assertEqual(two["memory_limit"], alone["memory_limit"] // 2)


class Steps(Case):
    def test_steps_are_those_of_the_run(self):
        endless = RECIPE.replace("max_steps: 20, ", "")
        ends = [["train.max_steps=7"], ["train.epochs=1.5"], ["train.max_tokens=3000"], ["train.max_steps=11", "train.epochs=1"],
                ["train.epochs=2", "train.global_batch_size=3"]]
        for index, sets in enumerate(ends):
            arguments = [item for value in sets for item in ("--set", value)]
            recipe = self.recipe(f"run{index}", endless)
            plan = run("plan", recipe, *arguments, cwd=self.folder)
            result = run("train", recipe, *arguments, cwd=self.folder)
            self.assertEqual(plan["steps"], result["steps"], sets)
            self.assertEqual(len(self.metrics(f"run{index}")), plan["steps"], sets)

    def test_steps_and_trained_weights_of_tuning(self):
        self.train("base", "train.max_steps=2", "schedule.warmup_steps=1")
        data = self.folder / "pairs.jsonl"
        words = ["the cat", "the mat", "der Hund", "sat on", "came slowly"]
        data.write_text("".join(json.dumps({"prompt": f"{words[i % 5]} {i}", "completion": f"{words[(i + 2) % 5]} {i * i}"}) + "\n"
                                for i in range(40)), encoding="utf-8")
        for name, sets in (("full", []), ("lora", ["adapter={kind: lora, rank: 4}"]), ("twice", ["train.epochs=2"])):
            recipe = self.folder / f"{name}.yaml"
            values = {"directory": self.folder / name, "base": self.folder / "base", "data": data, "cache": self.folder / "cache"}
            recipe.write_text(TUNING.format(**{key: json.dumps(str(value)) for key, value in values.items()}), encoding="utf-8")
            arguments = [item for value in sets for item in ("--set", value)]
            plan = run("plan", recipe, *arguments, cwd=self.folder)
            result = run("train", recipe, *arguments, "--stop-after", "3", cwd=self.folder)
            self.assertEqual(plan["steps"], result["total_steps"], name)
            if name == "lora":   # two factors of 7 matrices in 2 blocks: (C, Q + K + K, I) = (64, 64 + 32 + 32, 128)
                ends = 2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128)
                self.assertEqual(plan["trained"], 2 * 4 * ends)
            else:
                self.assertEqual(plan["trained"], plan["parameters"])


class Refusal(Case):
    """In a mount namespace of its own the program reads a limit that nobody else sees; it is not enforced."""

    def limited(self, limit, *arguments):
        groups = self.folder / "groups"
        (groups / "memory").mkdir(parents=True, exist_ok=True)
        (groups / "memory.max").write_text(f"{limit}\n")
        (groups / "memory" / "memory.limit_in_bytes").write_text(f"{limit}\n")
        script = 'mount --bind "$0" /sys/fs/cgroup && exec "$@"'
        return subprocess.run(["unshare", "--mount", "sh", "-c", script, groups, LATHE, *map(str, arguments), "--json", "--quiet"],
                              capture_output=True, text=True, cwd=self.folder)

    def setUp(self):
        super().setUp()
        probe = self.limited(1 << 30, "doctor")
        if probe.returncode != 0 or json.loads(probe.stdout).get("memory_limit") != 1 << 30:
            super().tearDown()
            self.skipTest("no mount namespace can be made here; the unit tests of advice stand in")

    def test_refuses_what_cannot_fit_and_its_advice_works(self):
        recipe = self.recipe("run")
        sets = ["--set", "data.sequence_length=512", "--set", "train.global_batch_size=64", "--set", "train.micro_batch_size=64",
                "--set", "train.max_steps=3", "--set", "schedule.warmup_steps=1"]
        whole = run("plan", recipe, *sets, cwd=self.folder)
        self.assertTrue(whole["fits"])
        limit = whole["peak_memory"] * 2 // 3
        planned = json.loads(self.limited(limit, "plan", recipe, *sets).stdout)
        self.assertFalse(planned["fits"])
        refused = self.limited(limit, "train", recipe, *sets)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn(planned["advice"], refused.stderr)
        self.assertFalse((self.folder / "run").exists(), "a run that never began leaves nothing that hinders the next")
        micro = re.search(r"train\.micro_batch_size: (\d+)", refused.stderr)
        self.assertTrue(micro or "activation_checkpointing: true" in refused.stderr, refused.stderr)
        if micro:
            sets += ["--set", f"train.micro_batch_size={micro[1]}"]
        if "activation_checkpointing: true" in refused.stderr:
            sets += ["--set", "train.activation_checkpointing=true"]
        followed = self.limited(limit, "train", recipe, *sets)
        self.assertEqual(followed.returncode, 0, followed.stderr)
        self.assertLess(json.loads(followed.stdout)["peak_memory"], limit * 1.15)

    def test_a_model_beyond_any_change_is_refused_before_it_is_made(self):
        refused = self.limited(200 << 20, "train", self.recipe("run"), "--set", "model.hidden_size=2048", "--set",
                               "model.intermediate_size=8192", "--set", "model.num_hidden_layers=16")
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("choose a smaller model", refused.stderr)


if __name__ == "__main__":
    unittest.main()

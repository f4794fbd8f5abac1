"""What people meet who do not know the program: changed data, two terminals, damage, absent files, odd arguments."""
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, ROOT, Case, corpus_text, damage

ALONE = True   # measures time (scripts/run_tests.py)


class Runs(Case):
    def test_a_damaged_checkpoint_is_not_passed_over_in_silence(self):
        self.train("run", extra=("--stop-after", "10"))
        run = self.folder / "run"
        damage(self.checkpoint("run", 10) / "model.safetensors")
        for command in (("generate", run, "--prompt", "a"), ("export", run, "--format", "huggingface", "--output", self.folder / "out"),
                        ("generate", f"{run}@step-10", "--prompt", "a")):
            _, log = self.lathe(*command, code=1)
            self.assertIn("step 10 is damaged", log)
            self.assertIn("@step-5", log)
        self.assertFalse((self.folder / "out").exists())
        _, log = self.lathe("generate", f"{run}@last", "--prompt", "a", "--max-tokens", "2")
        self.assertIn("step 10 is damaged", log)
        self.lathe("generate", f"{run}@step-5", "--prompt", "a", "--max-tokens", "2")
        damage(self.checkpoint("run", 5) / "model.safetensors")
        _, log = self.lathe("generate", run, "--prompt", "a", code=1)
        self.assertIn("no whole checkpoint: step 5 is damaged", log)

    def test_changed_data_is_refused_on_resume(self):
        self.train("run", extra=("--stop-after", "5"))
        proof = (self.folder / "run" / "run.json").read_bytes()
        more = self.corpus / "more.txt"
        more.write_text("quux zzyzx frobnicate " * 200)
        _, log = self.lathe("train", self.recipe("run"), code=2)
        for wanted in ("data_sha256", "tokenizer_sha256", "--fresh", "has changed since"):
            self.assertIn(wanted, log)
        self.assertEqual(proof, (self.folder / "run" / "run.json").read_bytes())
        more.unlink()
        _, log = self.lathe("train", self.recipe("run"))
        self.assertIn("resumed from step 5 (bit-exact)", log)

    def test_one_process_at_a_time_trains_a_run(self):
        process = self.endless("checkpoint.every=5")
        for extra in ((), ("--fresh",)):
            _, log = self.lathe("train", self.recipe("run"), "--set", "train.max_steps=100000", "--set", "checkpoint.every=5", *extra, code=1)
            self.assertIn(f"another process (pid {process.pid}) trains", log)
        self.assertFalse((self.folder / "run.1").exists())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        self.train("run", "train.max_steps=100000", "checkpoint.every=5", extra=("--stop-after", str(self.metrics("run")[-1]["step"] + 1)))
        self.train("run", "train.max_steps=6", extra=("--fresh",))
        self.assertTrue((self.folder / "run" / "lock").exists())

    def test_a_signal_before_the_first_step_stops_at_once(self):
        for index in range(400):   # a second or more of preparation
            (self.corpus / f"more {index}.txt").write_text(corpus_text(1000 + index, 400))
        process = subprocess.Popen([str(LATHE), "train", str(self.recipe("run")), "--set", "tokenizer.vocab_size=8000"], cwd=self.folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("prepare:"):
                break
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertIn("stopping", log)
        self.assertIn("before the first step", log)
        self.assertFalse((self.folder / "run" / "metrics.jsonl").exists())
        self.train("run", "tokenizer.vocab_size=8000", extra=("--stop-after", "1"))


class Inputs(Case):
    def test_absent_inputs_are_told_at_once_with_their_places(self):
        recipe = self.recipe("run")
        text = recipe.read_text().replace(json.dumps(str(self.corpus)), "[nowhere, {path: nothing/here.txt}]")
        recipe.write_text(text.replace("tokenizer: {train: byte_bpe, vocab_size: 512}", "tokenizer: {path: absent}"))
        for command in ("check", "prepare", "train"):
            _, log = self.lathe(command, recipe, "--set", "evaluate.prompts=prompts.txt", code=2)
            line = next(i for i, text in enumerate(recipe.read_text().splitlines(), 1) if "nowhere" in text)
            self.assertIn(f"run.yaml:{line}:", log)
            for key in ("data.train[0].path", "data.train[1].path", "tokenizer.path", "evaluate.prompts"):
                self.assertIn(f"'{key}' names '", log)
            self.assertNotIn("prepare:", log)
        self.assertFalse((self.folder / "run").exists())

    def test_files_that_are_not_read_are_told(self):
        for name in ("a.log", "b.log", "c.ipynb"):
            (self.corpus / name).write_text("x")
        told = "train: left out, no text by their names: 2 .log, 1 .ipynb (glob: '**/*' reads all)"
        self.assertIn(told, self.lathe("prepare", self.recipe("run"))[0])
        self.assertIn(told, self.lathe("train", self.recipe("run"), "--stop-after", "1")[1])   # from the cache too
        self.assertEqual(self.json("prepare", self.recipe("run"))["notes"], [told])

    def test_each_source_tells_its_share_and_epochs(self):
        small = self.folder / "small"
        small.mkdir()
        (small / "a.txt").write_text(corpus_text(77, 30))
        sources = json.dumps([{"path": str(self.corpus), "weight": 3}, {"path": str(small), "weight": 1}])
        for command in ("plan", "train"):
            out = "".join(self.lathe(command, self.recipe("run"), "--set", f"data.train={sources}", "--set", "train.max_steps=400",
                                     *(("--stop-after", "1") if command == "train" else ())))
            lines = [line for line in out.splitlines() if line.startswith("source ")]
            self.assertEqual(len(lines), 2, out)
            self.assertRegex(lines[0], r"corpus: 7[0-9]\.. % of the rows, [0-9.]+ epochs")
            self.assertRegex(lines[1], r"small: 2[0-9]\.. % of the rows, [0-9.]+ epochs")

    def test_a_runs_own_recipe_has_no_notes(self):
        self.train("run", extra=("--stop-after", "1"))
        _, log = self.lathe("check", self.folder / "run" / "recipe.yaml")
        self.assertNotIn("has no effect", log)


class Arguments(Case):
    def test_numbers_out_of_range_are_told_in_a_line(self):
        for arguments in (("train", self.recipe("run"), "--stop-after", "-1"), ("generate", "x", "--prompt", "a", "--temperature", "-1")):
            _, log = self.lathe(*arguments, code=2)
            self.assertLess(max(map(len, log.splitlines())), 200, log)

    def test_empty_prompts_foreign_ids_and_exports_that_are_there(self):
        self.train("run", extra=("--stop-after", "1"))
        run, out = self.folder / "run", self.folder / "out"
        _, log = self.lathe("generate", run, "--prompt", "", code=2)
        self.assertIn("--prompt is empty", log)
        _, log = self.lathe("tokenize", "--tokenizer", self.json("prepare", self.recipe("run"))["tokenizer"], "--decode", code=1,
                            input=b"1 99999999")
        self.assertIn("99999999 is none of this tokenizer's", log)
        self.lathe("export", run, "--output", out)
        _, log = self.lathe("export", run, "--output", out, code=1)
        self.assertIn("--overwrite", log)
        self.lathe("export", run, "--output", out, "--overwrite")
        (out / "mine.txt").write_text("x")
        _, log = self.lathe("export", run, "--output", out, "--overwrite", code=1)
        self.assertIn("mine.txt", log)

    def test_quickstart_looks_at_its_arguments_before_any_work(self):
        for arguments, told in ((["--data"], "--data wants a value"), (["--data", "/nonexist"], "'/nonexist', which does not exist"),
                                (["--seconds", "soon"], "--seconds wants a whole number")):
            result = subprocess.run([ROOT / "scripts" / "quickstart", *arguments], capture_output=True, text=True, timeout=60)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(told, result.stderr)


if __name__ == "__main__":
    unittest.main()

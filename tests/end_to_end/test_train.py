"""The main job on a small corpus: train, stop, kill, resume, refuse, export."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, Case, relative_difference, tensors


class MainJob(Case):
    def test_trains_reports_and_exports(self):
        self.train("run", "train.max_steps=60", "export=[{format: huggingface}]", "train.precision=auto")
        result = json.loads((self.folder / "run" / "result.json").read_text())
        self.assertTrue(result["finished"])
        self.assertLess(result["validation_loss"], result["first_validation_loss"] - 1.0)
        self.assertLess(result["bits_per_byte"], 4.0)
        steps = self.metrics("run")
        self.assertEqual([record["step"] for record in steps], list(range(1, 61)))
        for key in ("loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds"):
            self.assertIn(key, steps[0])
        for name in ("recipe.yaml", "run.json", "report.html", "metrics.jsonl"):
            self.assertTrue((self.folder / "run" / name).exists(), name)
        self.assertTrue(list((self.folder / "run").glob("events.out.tfevents.*")))
        self.assertEqual((self.folder / "run").stat().st_mode & 0o777, 0o700)
        export = self.folder / "run" / "export" / "huggingface"
        for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                     "tokenizer_config.json", "README.md", "reference.json", "verification.json"):
            self.assertTrue((export / name).exists(), name)
        self.assertNotIn("lm_head.weight", tensors(export / "model.safetensors"))
        verified = json.loads(self.lathe("verify", export, "--json", "--quiet")[0])
        self.assertTrue(verified["passed"])
        text = json.loads(self.lathe("generate", self.folder / "run", "--prompt", "the cat", "--max-tokens", "8",
                                     "--json", "--quiet")[0])
        self.assertEqual(len(text["completions"]), 1)
        (self.folder / "held out.txt").write_text("the cat sat on the mat while été came\n", encoding="utf-8")
        score = json.loads(self.lathe("evaluate", self.folder / "run", "--data", self.folder / "held out.txt", "--json",
                                      "--quiet")[0])
        self.assertEqual(score["bytes"], len("the cat sat on the mat while été came\n".encode()))

    def test_what_is_reported_is_what_is_exported_when_the_end_is_worse_than_the_best_step(self):
        sets = ["train.max_steps=40", "evaluate.every=10", "optimizer.learning_rate=10",
                "schedule={name: constant, warmup_steps: 25}"]
        out, _ = self.lathe("train", self.recipe("run"), *(item for value in sets for item in ("--set", value)))
        result = json.loads((self.folder / "run" / "result.json").read_text())
        lines = map(json.loads, (self.folder / "run" / "metrics.jsonl").read_text().splitlines())
        evaluated = [line for line in lines if line.get("validation_loss") and line["step"] > 0]
        best, last = min(evaluated, key=lambda line: line["validation_loss"]), evaluated[-1]
        self.assertGreater(last["validation_loss"], 1.02 * best["validation_loss"])
        self.assertEqual(result["best_step"], best["step"])
        self.assertEqual(result["bits_per_byte"], best["bits_per_byte"])
        self.assertEqual(result["validation_loss"], best["validation_loss"])
        self.assertEqual(result["last_validation_loss"], last["validation_loss"])
        self.assertIn("fewer steps", out)

    def test_a_changed_weight_fails_verification(self):
        self.train("run", "train.max_steps=5", "export=[{format: huggingface, dtype: fp32}]")
        path = self.folder / "run" / "export" / "huggingface" / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-3] ^= 0x40
        path.write_bytes(data)
        self.lathe("verify", path.parent, code=1)

    def test_twenty_steps_are_ten_and_a_kill_and_ten(self):
        for precision in ("fp32", "bf16"):
            straight, killed = f"straight-{precision}", f"killed-{precision}"
            self.train(straight, f"train.precision={precision}", "train.dropout=0.1")
            self.kill_after_checkpoint(killed, 10, precision)
            self.train(killed, f"train.precision={precision}", "train.dropout=0.1")
            for name in ("model.safetensors", "optimizer.safetensors"):
                self.assertEqual((self.checkpoint(straight, 20) / name).read_bytes(),
                                 (self.checkpoint(killed, 20) / name).read_bytes(), f"{precision} {name}")
            self.assertEqual([record["loss"] for record in self.metrics(straight)],
                             [record["loss"] for record in self.metrics(killed)])

    def kill_after_checkpoint(self, name, step, precision):
        """Stops by SIGKILL some time after the checkpoint of `step` exists and before the run's end."""
        recipe = self.recipe(name)
        arguments = [LATHE, "train", recipe, "--quiet", "--set", f"train.precision={precision}", "--set", "train.dropout=0.1"]
        # --stop-after keeps the run from finishing before the signal arrives; the schedule stays that of 20 steps.
        process = subprocess.Popen([str(a) for a in arguments], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        deadline = time.time() + 60
        while not self.checkpoint(name, step).exists():
            self.assertIsNone(process.poll(), "the run ended before it could be killed")
            self.assertLess(time.time(), deadline)
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertFalse(self.checkpoint(name, 20).exists())

    def test_stop_after_leaves_the_schedule_alone(self):
        self.train("straight")
        self.train("stopped", extra=("--stop-after", "7"))
        self.assertEqual(len(self.metrics("stopped")), 7)
        self.train("stopped")
        self.assertEqual((self.checkpoint("straight", 20) / "model.safetensors").read_bytes(),
                         (self.checkpoint("stopped", 20) / "model.safetensors").read_bytes())

    def test_interrupt_saves_and_exits_130(self):
        recipe = self.recipe("run")
        process = subprocess.Popen([str(LATHE), "train", str(recipe), "--quiet", "--set", "train.max_steps=100000"],
                                   cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        metrics = self.folder / "run" / "metrics.jsonl"
        deadline = time.time() + 60
        while not metrics.exists() or metrics.stat().st_size < 200:
            self.assertLess(time.time(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 130, process.stderr.read())
        process.stderr.close()
        done = self.metrics("run")[-1]["step"]
        self.assertTrue(self.checkpoint("run", done).exists())

    def test_a_damaged_checkpoint_is_skipped_and_named(self):
        self.train("run", extra=("--stop-after", "10"))
        path = self.checkpoint("run", 10) / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
        _, log = self.lathe("train", self.recipe("run"))
        self.assertIn("step-00000010", log)
        self.assertIn("resumed from step 5", log)

    def test_finished_runs_say_so_and_changed_recipes_are_refused(self):
        self.train("run")
        before = (self.folder / "run" / "metrics.jsonl").read_bytes()
        output, _ = self.lathe("train", self.recipe("run"), "--quiet")
        self.assertIn("finished", output)
        self.assertEqual(before, (self.folder / "run" / "metrics.jsonl").read_bytes())
        _, log = self.lathe("train", self.recipe("run"), "--set", "optimizer.learning_rate=1e-4", code=2)
        self.assertIn("optimizer.learning_rate", log)
        self.assertIn("--fresh", log)
        self.train("run", "optimizer.learning_rate=1e-4", extra=("--fresh",))
        self.assertTrue((self.folder / "run.1" / "result.json").exists())
        longer = self.train("run", "optimizer.learning_rate=1e-4", "train.max_steps=25")
        self.assertEqual(longer["steps"], 25)

    def test_a_full_disk_is_one_error_and_the_old_checkpoint_stays(self):
        self.train("run", extra=("--stop-after", "5"))
        import resource
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal_default = lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), limit())
        result = subprocess.run([str(LATHE), "train", str(self.recipe("run")), "--quiet"], cwd=self.folder,
                                capture_output=True, text=True, preexec_fn=signal_default, timeout=120)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("File too large", result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        self.assertTrue(self.checkpoint("run", 5).exists())
        self.assertEqual(self.train("run")["steps"], 20)


class Accounting(Case):
    def test_accumulation_is_a_larger_batch(self):
        self.train("whole", "train.micro_batch_size=4")
        self.train("parts", "train.micro_batch_size=1")
        for a, b in zip(self.metrics("whole"), self.metrics("parts")):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-6 * a["loss"])
            self.assertEqual(a["tokens"], b["tokens"])
        self.assertLess(relative_difference(self.checkpoint("whole", 20) / "model.safetensors",
                                            self.checkpoint("parts", 20) / "model.safetensors"), 1e-5)

    def test_two_ranks_are_one(self):
        self.train("one", "train.micro_batch_size=2")
        self.train("two", "train.micro_batch_size=2", extra=("--processes", "2"))
        self.assertEqual(len(self.metrics("two")), 20)
        for a, b in zip(self.metrics("one"), self.metrics("two")):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-6 * a["loss"])
        self.assertLess(relative_difference(self.checkpoint("one", 20) / "model.safetensors",
                                            self.checkpoint("two", 20) / "model.safetensors"), 1e-5)

    def test_a_run_goes_on_at_another_world_size(self):
        self.train("one", "train.micro_batch_size=2")
        self.train("two", "train.micro_batch_size=2", extra=("--stop-after", "10"))
        _, log = self.lathe("train", self.recipe("two"), "--set", "train.micro_batch_size=2", "--processes", "2")
        self.assertIn("not bit-exact", log)
        self.assertLess(relative_difference(self.checkpoint("one", 20) / "model.safetensors",
                                            self.checkpoint("two", 20) / "model.safetensors"), 1e-5)

    def test_a_dead_rank_stops_the_others(self):
        recipe = self.recipe("run")
        process = subprocess.Popen([str(LATHE), "train", str(recipe), "--quiet", "--processes", "2", "--set",
                                    "train.max_steps=100000"], cwd=self.folder, stderr=subprocess.PIPE, text=True)
        metrics = self.folder / "run" / "metrics.jsonl"
        deadline = time.time() + 60
        while not metrics.exists() or metrics.stat().st_size < 200:
            self.assertLess(time.time(), deadline)
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self.assertEqual(len(children), 2)
        os.kill(int(children[1]), signal.SIGKILL)
        start = time.time()
        code = process.wait(timeout=30)
        self.assertLess(time.time() - start, 3)
        log = process.stderr.read()
        process.stderr.close()
        self.assertNotIn(code, (0, 130))
        self.assertIn("rank 1", log)

"""The main job on a small corpus: train, stop, kill, resume, refuse, export."""
import json
import os
import re
import shlex
import shutil
import stat
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kills import assert_same_run, kill_at_random
from program import LATHE, MUON, WSD, Case, damage, tensors

ALONE = True   # measures time (scripts/run_tests.py)


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
        # Batches are read ahead: the steps, but for those that a busy machine holds up, find theirs ready.
        took = [b["seconds"] - a["seconds"] for a, b in zip(steps, steps[1:])]
        self.assertLess(statistics.median(record["data_seconds"] for record in steps[1:]), 0.05 * statistics.median(took))
        self.assertEqual((self.folder / "run").stat().st_mode & 0o777, 0o700)
        export = self.folder / "run" / "export" / "huggingface"
        for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                     "tokenizer_config.json", "README.md", "reference.json", "verification.json"):
            self.assertTrue((export / name).exists(), name)
        self.assertNotIn("lm_head.weight", tensors(export / "model.safetensors"))
        self.assertNotIn(str(self.folder), (export / "README.md").read_text(encoding="utf-8"))   # where it was made is nobody's business
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

    def test_the_best_step_is_the_lowest_whatever_patience_counts(self):
        result = self.train("run", "train.max_steps=6", "evaluate.every=2", "early_stopping={patience: 0, min_delta: 5}")
        lines = map(json.loads, (self.folder / "run" / "metrics.jsonl").read_text().splitlines())
        losses = {line["step"]: line["validation_loss"] for line in lines if line.get("validation_loss") and line["step"] > 0}
        self.assertEqual(result["best_step"], min(losses, key=losses.get))
        self.assertEqual((len(losses), result["best_step"], result["best_validation_loss"]), (3, 6, losses[6]))

    def test_why_a_run_ended_early_is_told(self):
        patience = ["--set", "evaluate.every=2", "--set", "early_stopping={patience: 2, min_delta: 5}"]
        out, _ = self.lathe("train", self.recipe("patient"), "--quiet", *patience)
        self.assertIn("stopped early at step 6 of 20: 2 evaluations without a held-out loss lower by more than 5", out)
        for _ in range(2):   # the second time there is nothing left to do
            out, _ = self.lathe("train", self.recipe("run"), "--quiet", "--stop-after", "6")
            self.assertIn("stopped at step 6 of 20: --stop-after; the same command without it goes on", out)
        self.assertEqual(len(self.metrics("run")), 6)

    def test_an_export_named_after_the_end_is_made_by_the_command_that_is_shown(self):
        self.train("run", "train.max_steps=6", "schedule.warmup_steps=1")
        out, _ = self.lathe("train", self.recipe("run"), "--set", "train.max_steps=6", "--set", "schedule.warmup_steps=1", "--set",
                            "export=[{format: gguf, quantize: q8_0}]")
        command = re.search(r"export gguf is not there yet:  lathe (.*)", out)[1]
        self.lathe(*shlex.split(command))
        self.assertTrue((self.folder / "run" / "export" / "gguf" / "model-Q8_0.gguf").exists())

    def test_a_damaged_checkpoint_takes_no_whole_ones_place(self):
        every = ("checkpoint={every: 2, keep_last: 2, keep_best: false}",)
        self.train("run", *every, extra=("--stop-after", "6"))
        damage(self.checkpoint("run", 6) / "model.safetensors")
        self.train("run", *every, extra=("--stop-after", "7"))
        names = sorted(path.name for path in (self.folder / "run" / "checkpoints").iterdir())
        self.assertEqual(len(names), 3)   # step 6 is made again unless the disk is still at work
        self.assertIn(names[0], ("step-00000004", "step-00000006"))
        self.assertEqual(names[1:], ["step-00000006.damaged", "step-00000007"])

    def test_an_export_is_readable_as_the_umask_says_and_nothing_is_added_to_it(self):
        self.train("run", "train.max_steps=2", "schedule.warmup_steps=1")
        out = self.folder / "served"
        for mask, folder, file in ((0o022, 0o755, 0o644), (0o077, 0o700, 0o600)):
            self.lathe("export", self.folder / "run", "--output", out, "--overwrite", preexec_fn=lambda mask=mask: os.umask(mask))
            self.assertEqual(stat.S_IMODE(out.stat().st_mode), folder)
            self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}, {file})
        self.assertEqual(stat.S_IMODE((self.folder / "run").stat().st_mode), 0o700)
        self.lathe("verify", out)
        (out / "chat_template.jinja").write_text("{{ messages[0].content }}")
        self.assertIn("is not part of the export", self.lathe("verify", out, code=1)[0])

    def test_a_changed_weight_fails_verification(self):
        self.train("run", "train.max_steps=5", "export=[{format: huggingface, dtype: fp32}]")
        path = self.folder / "run" / "export" / "huggingface" / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-3] ^= 0x40
        path.write_bytes(data)
        self.lathe("verify", path.parent, code=1)

    def test_twenty_steps_are_ten_and_a_kill_and_ten(self):
        ranks = ("--processes", "2")
        for row, sets, extra in (("fp32", ("train.precision=fp32",), ()), ("bf16", ("train.precision=bf16",), ()),
                                 ("muon", (MUON, WSD, "train.precision=bf16"), ()),
                                 ("everything", (MUON, "train.precision=bf16", "train.threads=2", "train.micro_batch_size=1", "train.activation_checkpointing=true"), ()),
                                 ("ranks", ("train.micro_batch_size=1",), ranks)):
            straight, killed, sets = f"straight-{row}", f"killed-{row}", (*sets, "train.dropout=0.1")
            self.train(straight, *sets, extra=extra)
            self.kill_after_checkpoint(killed, 10, sets, extra)
            _, log = self.lathe("train", self.recipe(killed), *(item for value in sets for item in ("--set", value)), *extra)
            self.assertNotIn("not bit-exact", log)
            self.assertRegex(log, r"resumed from step 1[05] \(bit-exact\)")
            for name in ("model.safetensors", "optimizer.safetensors"):
                self.assertEqual((self.checkpoint(straight, 20) / name).read_bytes(),
                                 (self.checkpoint(killed, 20) / name).read_bytes(), f"{row} {name}")
            self.assertEqual([record["loss"] for record in self.metrics(straight)],
                             [record["loss"] for record in self.metrics(killed)])

    def kill_after_checkpoint(self, name, step, sets, extra=()):
        """Stops by SIGKILL some time after the checkpoint of `step` exists and before the run's end."""
        recipe = self.recipe(name)
        arguments = [LATHE, "train", recipe, "--quiet", *extra, *(item for value in sets for item in ("--set", value))]
        # --stop-after keeps the run from finishing before the signal arrives; the schedule stays that of 20 steps.
        process = subprocess.Popen([str(a) for a in arguments], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        deadline = time.time() + 60
        while not self.checkpoint(name, step).exists():
            self.assertIsNone(process.poll(), "the run ended before it could be killed")
            self.assertLess(time.time(), deadline)
            time.sleep(0.002)
        # Ranks first: without their launcher they would be asked to save.
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertFalse(self.checkpoint(name, 20).exists())

    def test_killed_at_random_moments_it_always_goes_on(self):
        sets = ("train.max_steps=100000", "checkpoint.every=1", "checkpoint.keep_last=2", "evaluate.every=100")
        steps = kill_at_random(self, "killed", sets, kills=5)
        self.assertGreater(steps[-1], 0, steps)
        last = steps[-1] + 20
        for name in ("killed", "straight"):
            self.train(name, *sets, extra=("--stop-after", str(last)))
        assert_same_run(self, "straight", "killed", last)

    def test_stop_after_leaves_the_schedule_alone(self):
        self.train("straight")
        self.train("stopped", extra=("--stop-after", "7"))
        self.assertEqual(len(self.metrics("stopped")), 7)
        self.train("stopped")
        self.assertEqual((self.checkpoint("straight", 20) / "model.safetensors").read_bytes(),
                         (self.checkpoint("stopped", 20) / "model.safetensors").read_bytes())

    def test_interrupt_and_termination_save_and_exit_130(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.endless("checkpoint.every=5")
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=30), 130, process.stderr.read())
            process.stderr.close()
            done = self.metrics("run")[-1]["step"]
            self.assertTrue(self.json("inspect", self.checkpoint("run", done))["whole"])
            shutil.rmtree(self.folder / "run")

    def test_nohup_keeps_a_run_through_a_hangup(self):
        process = self.endless("checkpoint.every=5", hangup=signal.SIG_IGN)
        process.send_signal(signal.SIGHUP)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 130, process.stderr.read())
        process.stderr.close()

    def test_who_reads_the_progress_may_go(self):
        command = f"'{LATHE}' train '{self.recipe('run')}' 2>&1 | head -1"
        subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, timeout=300)
        self.assertTrue(json.loads((self.folder / "run" / "result.json").read_text())["finished"])

    def test_a_signal_does_not_wait_for_a_long_step(self):
        """Hundreds of thousands of micro-batches a step: what was accumulated is given up."""
        process = subprocess.Popen([str(LATHE), "train", str(self.recipe("run")), "--set", "train.global_batch_size=1048576", "--set",
                                    "train.micro_batch_size=4"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        self.assertTrue(any("batch:" in line for line in process.stderr))
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=20), 130)
        process.stderr.close()

    def test_steps_given_up_half_way_are_done_again_alike(self):
        sets = ("train.global_batch_size=1024", "train.micro_batch_size=4", "train.max_steps=6", "evaluate.every=100")
        for name, extra in (("one", ()), ("two", ("--processes", "2"))):
            with self.subTest(name):
                self.train("straight-" + name, *sets, extra=extra)
                process = subprocess.Popen([str(LATHE), "train", str(self.recipe("stopped-" + name)), *extra,
                                            *(item for value in sets for item in ("--set", value))], cwd=self.folder,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                metrics = self.folder / ("stopped-" + name) / "metrics.jsonl"
                while not (metrics.exists() and b'"learning_rate"' in metrics.read_bytes()):
                    self.assertIsNone(process.poll())
                    time.sleep(0.002)
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(timeout=60), 130)
                self.assertLess(len(self.metrics("stopped-" + name)), 6)
                self.train("stopped-" + name, *sets, extra=extra)
                assert_same_run(self, "straight-" + name, "stopped-" + name, 6)

    def test_a_second_interrupt_exits_at_once_and_the_last_checkpoint_is_whole(self):
        # The longest work between two looks at the signal is an evaluation: the second signal does not wait for its end.
        for attempt in range(3):
            process = self.endless("evaluate.every=6")
            process.send_signal(signal.SIGINT)
            time.sleep(0.002 * attempt)
            process.send_signal(signal.SIGINT)
            start = time.time()
            self.assertEqual(process.wait(timeout=30), 130, process.stderr.read())
            self.assertLess(time.time() - start, 2)
            process.stderr.close()
            saved = sorted((self.folder / "run" / "checkpoints").glob("step-????????"))
            self.assertTrue(saved)
            for path in saved:
                self.assertTrue(self.json("inspect", path)["whole"], path)
            _, log = self.lathe("train", self.recipe("run"), "--set", "train.max_steps=100001", "--set", "evaluate.every=6",
                                "--stop-after", str(int(saved[-1].name[5:]) + 1))
            self.assertIn(f"resumed from step {int(saved[-1].name[5:])}", log)
            shutil.rmtree(self.folder / "run")

    def test_a_run_that_stops_before_it_is_evaluated_again_says_so(self):
        out, _ = self.lathe("train", self.recipe("run"), "--stop-after", "3")
        self.assertIn("at step 0, before training", out)
        self.assertNotIn("step -1", out)
        result = json.loads((self.folder / "run" / "result.json").read_text())
        self.assertNotIn("best_step", result)
        self.assertEqual(result["validation_loss"], result["first_validation_loss"])
        self.train("run", extra=("--stop-after", "12"))
        self.assertEqual(json.loads((self.folder / "run" / "result.json").read_text())["best_step"], 10)

    def test_a_slow_disk_does_not_stall_training(self):
        source, library = Path(__file__).parent / "slow_disk_preload.cpp", self.folder / "slow_disk.so"
        subprocess.run([os.environ.get("CXX", "g++"), "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        recipe = self.recipe("run")
        arguments = [item for value in ("checkpoint.every=1", "checkpoint.keep_best=false", "evaluate.every=20")
                     for item in ("--set", value)]
        self.train("prepared", extra=("--stop-after", "1"))   # shards are not what is measured
        _, log = self.lathe("train", recipe, *arguments, env={"LD_PRELOAD": str(library), "LATHE_SYNC_SECONDS": "0.2"})
        self.assertEqual(log.count("still being written"), 1, log)
        # At least five syncs a checkpoint and 19 checkpoints before the last are 19 s, if the loop waited for each.
        result = json.loads((self.folder / "run" / "result.json").read_text())
        lines = [json.loads(line) for line in (self.folder / "run" / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines if "learning_rate" in line], list(range(1, 21)))
        written = sorted((self.folder / "run" / "checkpoints").glob("step-????????"))
        self.assertEqual(written[-1].name, "step-00000020")
        self.assertLess(len(written), 15)
        for path in written:
            self.assertTrue(self.json("inspect", path)["whole"], path)
        self.assertEqual(result["steps"], 20)

    def test_a_copied_checkpoint_is_whole_under_another_name(self):
        self.train("run", extra=("--stop-after", "5"))
        copied = shutil.copytree(self.checkpoint("run", 5), self.folder / "kept é")
        self.assertTrue(self.json("inspect", copied)["whole"])
        (copied / "state.json").chmod(0o600)
        (copied / "state.json").write_text("{}")
        _, log = self.lathe("inspect", copied, code=1)
        self.assertIn("damaged", log)

    def test_the_opening_lines_tell_the_time(self):
        # So many steps that no processor makes them in less than a second, which is told in other words.
        steps = ("--set", "train.max_steps=100000")
        _, log = self.lathe("train", self.recipe("run"), "--stop-after", "1", *steps)
        self.assertRegex(log, r"100000 steps; memory about .*; time very roughly [0-9.]+ (s|min|h)")
        before = log[: log.index("time very roughly")]
        self.assertNotIn("step 0", before)
        out, _ = self.lathe("plan", self.recipe("run"), *steps)
        self.assertRegex(out, r"time: very roughly [0-9.]+ (s|min|h).*--measure")

    def test_one_file_is_cut_to_hold_out_its_end(self):
        text = "".join(path.read_text() + "\n" for path in sorted(self.corpus.iterdir()))
        book = self.folder / "book é.txt"
        book.write_text(text, encoding="utf-8")
        recipe = self.recipe("run")
        sets = ("--set", f"data.train={json.dumps(str(book))}")
        out, _ = self.lathe("prepare", recipe, *sets)
        self.assertIn("of 1 document, cut", out)
        prepared = self.json("prepare", recipe, *sets)
        self.assertTrue(prepared["was_ready"])
        held, kept = prepared["validation"][0]["ledger"], prepared["train"]["ledger"]
        self.assertEqual((held["documents_cut"], kept["documents_cut"]), (1, 1))
        self.assertEqual(held["bytes_kept"] + kept["bytes_kept"], len(text.encode()))
        self.assertAlmostEqual(held["bytes_kept"] / len(text.encode()), 0.15, delta=0.02)
        _, log = self.lathe("train", recipe, *sets, "--stop-after", "2")
        self.assertIn("of 1 document, cut", log)
        _, log = self.lathe("train", recipe, *sets, "--stop-after", "4")
        self.assertIn("resumed from step 2", log)

    def test_a_damaged_checkpoint_is_skipped_and_named(self):
        self.train("run", extra=("--stop-after", "10"))
        damage(self.checkpoint("run", 10) / "model.safetensors")
        _, log = self.lathe("train", self.recipe("run"))
        self.assertIn("step-00000010", log)
        self.assertIn("resumed from step 5", log)

    def test_a_run_is_never_begun_anew_over_damaged_checkpoints(self):
        self.train("run", extra=("--stop-after", "5"))
        before = (self.folder / "run" / "metrics.jsonl").read_bytes()
        damage(self.checkpoint("run", 5) / "model.safetensors")
        self.assertFalse(json.loads(self.lathe("inspect", self.folder / "run", "--json", code=1)[0])["whole"])
        _, log = self.lathe("train", self.recipe("run"), code=1)
        self.assertIn("--fresh", log)
        self.assertEqual(before, (self.folder / "run" / "metrics.jsonl").read_bytes())
        self.train("run", extra=("--fresh",))
        shutil.rmtree(self.folder / "run" / "checkpoints")
        _, log = self.lathe("train", self.recipe("run"), code=1)
        self.assertIn("its checkpoints are gone", log)
        (self.folder / "run" / "result.json").write_text("")
        _, log = self.lathe("train", self.recipe("run"), code=1)
        self.assertIn(f"remove {self.folder / 'run' / 'result.json'}", log)

    def test_finished_runs_say_so_and_changed_recipes_are_refused(self):
        self.train("run")
        before = (self.folder / "run" / "metrics.jsonl").read_bytes()
        output, _ = self.lathe("train", self.recipe("run"), "--quiet")
        self.assertIn("finished", output)
        self.assertEqual(before, (self.folder / "run" / "metrics.jsonl").read_bytes())
        _, log = self.lathe("train", self.recipe("run"), "--set", "optimizer.learning_rate=1e-4", code=2)
        self.assertIn("optimizer.learning_rate", log)
        self.assertIn("--fresh", log)
        held = self.folder / "held out.txt"
        held.write_text("the cat sat on the mat\n")
        _, log = self.lathe("train", self.recipe("run"), "--set", f"data.validation={json.dumps(str(held))}", code=2)
        changed = [line.strip() for line in log.splitlines() if line.startswith("  ")]
        self.assertEqual(changed, ["data.validation: 0.15 -> not set", f'data.validation[0].path: not set -> "{held}"'])
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


class Profile(Case):
    def test_the_seconds_of_a_run_by_phase(self):
        path = self.folder / "profile.json"
        said = self.lathe("train", self.recipe("run"), "--quiet", "--profile", path)[0]
        profile = json.loads(path.read_text())
        self.assertEqual(profile, json.loads((self.folder / "run" / "result.json").read_text())["profile"])
        phases = profile["phases"]
        self.assertEqual(list(phases), ["data", "forward", "backward", "optimizer", "evaluation", "checkpoint", "other"])
        self.assertEqual(profile["steps"], 20)
        self.assertAlmostEqual(sum(phase["seconds"] for phase in phases.values()), profile["seconds"], delta=1e-3 * profile["seconds"] + 1e-6)
        for name, phase in phases.items():
            self.assertGreaterEqual(phase["seconds"], 0, name)
            self.assertAlmostEqual(phase["milliseconds_per_step"], 50 * phase["seconds"], places=6)
            self.assertIn(f"  {name} ", said)
        for name in ("forward", "backward", "optimizer", "evaluation", "checkpoint"):   # none of them is nothing
            self.assertGreater(phases[name]["seconds"], 1e-5, name)
        steps = sum(phases[name]["seconds"] for name in ("data", "forward", "backward", "optimizer"))
        timed = self.metrics("run")[-1]["seconds"]
        self.assertLess(steps, 1.001 * timed)
        self.assertGreater(steps, 0.8 * timed)
        self.assertLess(phases["other"]["share"], 0.3)

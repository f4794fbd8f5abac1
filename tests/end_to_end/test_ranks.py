"""One optimizer step over several micro-batches or ranks is the step of one, and ranks that end together."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, MUON, WSD, Case, relative_difference

ALONE = True   # measures time (scripts/run_tests.py)


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

    def test_dropout_is_of_the_rows_not_of_how_they_are_shared_out(self):
        sets = ("train.dropout=0.2", "train.max_steps=6", "evaluate.every=0")
        self.train("whole", "train.micro_batch_size=4", *sets)
        self.train("parts", "train.micro_batch_size=1", *sets)
        self.train("two", "train.micro_batch_size=2", *sets, extra=("--processes", "2"))
        self.train("none", *sets, "train.dropout=0")
        whole = [record["loss"] for record in self.metrics("whole")]
        self.assertGreater(max(abs(a["loss"] - b) for a, b in zip(self.metrics("none"), whole)), 1e-3)
        for name in ("parts", "two"):
            self.assertEqual(len(self.metrics(name)), 6)
            for a, b in zip(self.metrics(name), whole):
                self.assertAlmostEqual(a["loss"], b, delta=5e-7 * b, msg=name)

    def test_muon_in_bf16_counts_the_same_way(self):
        sets = (MUON, WSD, "train.precision=bf16")
        self.train("one", "train.micro_batch_size=4", *sets)
        self.train("parts", "train.micro_batch_size=1", *sets)
        self.train("two", "train.micro_batch_size=2", *sets, extra=("--processes", "2"))
        for other in ("parts", "two"):
            self.assertEqual(len(self.metrics(other)), 20)
            for a, b in zip(self.metrics("one"), self.metrics(other)):
                self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-3 * a["loss"], msg=other)
                self.assertEqual(a["tokens"], b["tokens"])

    def test_a_run_goes_on_at_another_world_size(self):
        self.train("one", "train.micro_batch_size=2")
        self.train("two", "train.micro_batch_size=2", extra=("--stop-after", "10"))
        _, log = self.lathe("train", self.recipe("two"), "--set", "train.micro_batch_size=2", "--processes", "2")
        self.assertIn("not bit-exact", log)
        self.assertLess(relative_difference(self.checkpoint("one", 20) / "model.safetensors",
                                            self.checkpoint("two", 20) / "model.safetensors"), 1e-5)

    def test_processes_beside_a_launchers_variables(self):
        alone = {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"}
        for name, variables in (("slurm", alone), ("torchrun", {"RANK": "0", "WORLD_SIZE": "1"})):
            log = self.lathe("train", self.recipe(name), "--processes", "2", "--set", "train.max_steps=2", "--set",
                             "schedule.warmup_steps=1", env=variables)[1]
            self.assertIn("= 2 ranks x", log)
        log = self.lathe("train", self.recipe("both"), "--processes", "2", env={"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29519"}, code=2)[1]
        self.assertIn("leave --processes out", log)

    def test_a_rank_that_never_came(self):
        variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "LATHE_RANK_TIMEOUT": "2"}
        log = self.lathe("train", self.recipe("run"), env=variables, code=1)[1]
        self.assertIn("not all ranks have joined", log)
        self.assertIn("check that each of the 2 was started", log)

    def test_a_dead_rank_stops_the_others_within_a_second(self):
        seconds = self.seconds_after_a_death()
        while seconds >= 1 and self.deaths < 3:   # a busy machine does not hold all of them up
            seconds = self.seconds_after_a_death()
        self.assertLess(seconds, 1)

    deaths = 0

    def seconds_after_a_death(self):
        self.deaths += 1
        shutil.rmtree(self.folder / "run", ignore_errors=True)
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
        seconds = time.time() - start
        log = process.stderr.read()
        process.stderr.close()
        self.assertNotIn(code, (0, 130))
        self.assertIn("rank 1 was ended by signal 9", log)
        for word in ("saving", "GLHF", "third_party"):   # nothing is saved, and Gloo's words are for its developers
            self.assertNotIn(word, log)
        return seconds

    def test_an_interrupt_of_several_ranks_is_told_once(self):
        process = self.endless(extra=("--processes", "2"))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 130)
        self.assertEqual(process.stderr.read().count(b"stopping"), 1)
        process.stderr.close()
        self.assertTrue(self.json("inspect", self.checkpoint("run", self.metrics("run")[-1]["step"]))["whole"])

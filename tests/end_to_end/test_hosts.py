"""Ranks on two hosts, which are network namespaces joined by a cable (veth): nothing but the network and the run's folder
is shared. Wants the right to make namespaces (root)."""
import os
import re
import shutil
import subprocess
import time
import unittest

from program import LATHE, Case, relative_difference

HOSTS = [f"lathe{os.getpid() % 10000}{name}" for name in "ab"]
ADDRESSES = ["10.231.77.1", "10.231.77.2"]


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True)


def on(host, *command):
    return ["ip", "netns", "exec", HOSTS[host], *command]


def lay_cable():
    """What went wrong, or nothing."""
    if not shutil.which("ip"):
        return "no program ip (package iproute2)"
    steps = [("netns", "add", host) for host in HOSTS]
    steps.append(("link", "add", "cable", "netns", HOSTS[0], "type", "veth", "peer", "name", "cable", "netns", HOSTS[1]))
    for host, address in zip(HOSTS, ADDRESSES):
        steps += [("-n", host, "link", "set", "lo", "up"), ("-n", host, "addr", "add", f"{address}/24", "dev", "cable"),
                  ("-n", host, "link", "set", "cable", "up")]
    for step in steps:
        made = ip(*step)
        if made.returncode != 0:
            return f"no network namespaces here: ip {' '.join(step)}: {made.stderr.strip()}"
    return ""


class Hosts(Case):
    @classmethod
    def setUpClass(cls):
        problem = lay_cable()
        if problem:
            cls.tearDownClass()
            raise unittest.SkipTest(problem)

    @classmethod
    def tearDownClass(cls):
        for host in HOSTS:
            ip("netns", "del", host)

    def start(self, name, *sets, port, timeout=1800, extra=()):
        """Both ranks, as torchrun's variables name them."""
        recipe = self.recipe(name)
        arguments = [str(LATHE), "train", str(recipe), "--quiet", *extra, *(item for value in sets for item in ("--set", value))]
        ranks = []
        for rank in (0, 1):
            env = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
                   "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": str(port), "LATHE_RANK_TIMEOUT": str(timeout)}
            ranks.append(subprocess.Popen(on(rank, *arguments), cwd=self.folder, env=env, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.PIPE, text=True))
            self.addCleanup(ranks[-1].kill)
            self.addCleanup(ranks[-1].stderr.close)
        return ranks

    def finish(self, ranks):
        logs = [rank.communicate(timeout=120)[1] for rank in ranks]
        self.assertEqual([rank.returncode for rank in ranks], [0, 0], "\n".join(logs))

    def wait_for_steps(self, name, bytes_written=400):
        metrics, deadline = self.folder / name / "metrics.jsonl", time.time() + 60
        while not metrics.exists() or metrics.stat().st_size < bytes_written:
            self.assertLess(time.time(), deadline)
            time.sleep(0.01)

    def test_two_hosts_are_one(self):
        self.train("one", "train.micro_batch_size=2")
        self.finish(self.start("two", "train.micro_batch_size=2", port=29511))
        self.assertEqual(len(self.metrics("two")), 20)
        for a, b in zip(self.metrics("one"), self.metrics("two")):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-6 * a["loss"])
        self.assertLess(relative_difference(self.checkpoint("one", 20) / "model.safetensors",
                                            self.checkpoint("two", 20) / "model.safetensors"), 1e-5)

    def test_a_rank_that_dies_on_the_other_host_is_noticed_at_once(self):
        for attempt in range(3):   # a busy machine does not hold all of them up
            ranks = self.start(f"dead{attempt}", "train.max_steps=100000", port=29520 + attempt)
            self.wait_for_steps(f"dead{attempt}")
            ranks[1].kill()
            start = time.time()
            _, log = ranks[0].communicate(timeout=60)
            seconds = time.time() - start
            self.assertNotIn(ranks[0].returncode, (0, 130))
            self.assertIn("lathe: ", log)
            ranks[1].wait()
            if seconds < 1:
                break
        self.assertLess(seconds, 1)

    def test_a_cut_cable_ends_both_and_the_run_goes_on_later(self):
        sets = ("train.max_steps=100000", "checkpoint.every=20", "evaluate.every=0")
        ranks = self.start("cut", *sets, port=29531, timeout=4)
        self.wait_for_steps("cut", 6000)
        try:
            ip("-n", HOSTS[1], "link", "set", "cable", "down")
            start = time.time()
            logs = [rank.communicate(timeout=60)[1] for rank in ranks]
            self.assertLess(time.time() - start, 30)
        finally:
            ip("-n", HOSTS[1], "link", "set", "cable", "up")
        for rank, log in zip(ranks, logs):
            self.assertNotIn(rank.returncode, (0, 130), log)
            self.assertRegex(log, r"rank \d of 2")
        last = max(int(path.name.split("-")[-1]) for path in (self.folder / "cut" / "checkpoints").iterdir()
                   if re.fullmatch(r"step-\d+", path.name))
        self.finish(self.start("cut", *sets, port=29532, extra=("--stop-after", str(last + 10))))
        self.assertEqual(self.metrics("cut")[-1]["step"], last + 10)

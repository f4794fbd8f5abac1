"""lathe prepare as a process: killed at random moments, the memory that one large text takes, texts that are none."""
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, Case, corpus_text

MIB = 2**20


def contents(cache):
    """Name -> bytes of all that is published; the index of times differs by machine and minute."""
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*"))
            if path.is_file() and path.name != "prepare.lock" and not path.name.startswith("index-")}


class Prepare(Case):
    def start(self, recipe):
        return subprocess.Popen([str(LATHE), "prepare", str(recipe), "--json"], cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def measured(self, recipe):
        """Its result, the most resident bytes, the seconds."""
        begin, process = time.time(), self.start(recipe)
        output = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, output)
        return json.loads(output), usage.ru_maxrss * 1024, time.time() - begin

    def test_killed_at_random_moments_it_ends_with_the_same_bytes(self):
        for index in range(12):
            (self.corpus / f"long {index}.txt").write_text(corpus_text(100 + index, 2500), encoding="utf-8")
        recipe, cache = self.recipe(), self.folder / "cache"
        longest = self.measured(recipe)[2]
        expected = contents(cache)
        self.assertEqual(len([name for name in expected if name.endswith(".h5")]), 2)
        shutil.rmtree(cache)
        draw, killed = random.Random(3), 0
        for attempt in range(60):   # a busy machine holds up the first run, by which the moments are drawn: then many come too late
            if attempt >= 12 and killed >= 4:
                break
            process = self.start(recipe)
            time.sleep(draw.uniform(0.2, 0.95) * longest)
            process.send_signal(signal.SIGKILL)
            process.stdout.close()
            if process.wait() == 0:
                self.assertEqual(contents(cache), expected)
                shutil.rmtree(cache)
            else:
                killed += 1
        self.assertGreaterEqual(killed, 4)
        self.measured(recipe)
        self.assertEqual(contents(cache), expected)

    def test_a_large_text_takes_a_few_times_its_size(self):
        text = "".join(corpus_text(seed, 400) for seed in range(20))
        large = self.folder / "large.txt"
        usual = self.measured(self.recipe())[1]
        with large.open("w", encoding="utf-8") as file:
            while file.tell() < 40 * MIB:
                file.write(text)
        self.corpus = large
        prepared, peak, _ = self.measured(self.recipe("large"))
        self.assertGreater(prepared["train"]["ledger"]["documents_cut"], 0)
        self.assertLess((peak - usual) / large.stat().st_size, 6)

    def test_a_bomb_ends_soon_in_bounded_memory(self):
        size = 100 * MIB
        usual = self.measured(self.recipe())[1]
        with gzip.open(self.corpus / "bomb.txt.gz", "wb") as file:
            for _ in range(size // MIB):
                file.write(b"a" * MIB)
        prepared, peak, seconds = self.measured(self.recipe("bomb"))
        self.assertGreater(sum(part["ledger"]["bytes_read"] for part in [prepared["train"], *prepared["validation"]]), size)
        self.assertLess((peak - usual) / size, 10)
        self.assertLess(seconds, 120)


if __name__ == "__main__":
    unittest.main()

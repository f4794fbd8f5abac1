"""A real disk that fills up: a small tmpfs, which only root may mount. (test_train.py has the variant with a limit on file sizes.)"""
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case

MEGABYTES = 16


class FullDisk(Case):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "small disk"
        self.disk.mkdir()
        result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", self.disk], capture_output=True,
                                text=True)
        if result.returncode != 0:
            super().tearDown()
            self.skipTest(f"no tmpfs can be mounted here ({result.stderr.strip() or 'mount failed'}); the limit on file sizes stands in")

    def tearDown(self):
        subprocess.run(["umount", self.disk], check=True)
        super().tearDown()

    def test_one_error_and_the_old_checkpoint_stays(self):
        name = "small disk/run"
        self.train(name, extra=("--stop-after", "5"))
        before = {path.name: path.read_bytes() for path in self.checkpoint(name, 5).iterdir()}
        needed = sum(map(len, before.values()))
        filler = self.disk / "filler"
        free = self.free()
        self.assertGreater(free, 2 * needed, "the disk is too small for this test")
        filler.write_bytes(b"x" * (free - needed // 2))
        _, log = self.lathe("train", self.recipe(name), "--quiet", code=1)
        self.assertIn("No space left on device", log)
        self.assertEqual(len(log.strip().splitlines()), 1, log)
        folders = sorted(path.name for path in self.checkpoint(name, 5).parent.iterdir())
        self.assertEqual(folders, ["step-00000005"])  # neither half a checkpoint nor a temporary
        self.assertEqual(before, {path.name: path.read_bytes() for path in self.checkpoint(name, 5).iterdir()})
        filler.unlink()
        self.assertEqual(self.train(name)["steps"], 20)
        self.assertTrue(self.checkpoint(name, 20).exists())

    def test_preparing_data_on_a_full_disk_leaves_nothing_half(self):
        filler, cache = self.disk / "filler", self.disk / "cache"
        cache.mkdir()
        filler.write_bytes(b"x" * (self.free() - 8192))
        recipe = self.recipe("run")
        _, log = self.lathe("prepare", recipe, "--quiet", "--set", f"data.cache={cache}", code=1)
        self.assertIn("No space left on device", log)
        self.assertEqual(len(log.strip().splitlines()), 1, log)
        filler.unlink()
        self.lathe("prepare", recipe, "--quiet", "--set", f"data.cache={cache}")

    def free(self):
        status = os.statvfs(self.disk)
        return status.f_bavail * status.f_frsize

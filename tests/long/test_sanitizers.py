"""Every test of the torch-free layers, built with AddressSanitizer and UBSan into a folder of its own. LATHE_ASAN_BUILD names another."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Sanitizers(unittest.TestCase):
    def test_every_program_passes(self):
        with tempfile.TemporaryDirectory(prefix="lathe-asan-") as folder:
            build = Path(os.environ.get("LATHE_ASAN_BUILD", folder))
            subprocess.run(["cmake", "--preset", "asan", "-B", build], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["cmake", "--build", build], check=True, stdout=subprocess.DEVNULL)
            programs = sorted(path for path in (build / "tests").glob("test_*") if path.is_file() and os.access(path, os.X_OK))
            names = [path.name for path in programs]
            for name in ("test_io", "test_shards", "test_checkpoints", "test_tokenizers", "test_recipes", "test_fuzz"):
                self.assertIn(name, names)
            for program in programs:
                with self.subTest(program.name):
                    result = subprocess.run([program], cwd=program.parent, capture_output=True, text=True, errors="replace",
                                            env={**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}, timeout=3600)
                    print(f"  {program.name}: {result.stdout.strip().splitlines()[-1] if result.stdout.strip() else '?'}", flush=True)
                    self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-5000:])
                    self.assertNotIn("Sanitizer", result.stderr)


if __name__ == "__main__":
    unittest.main()

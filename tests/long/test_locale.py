"""The whole fast suite, every program and every end-to-end test, under fr_FR.UTF-8 (decimal comma) and C. A small version of it is
tests/end_to_end/test_locale.py, whose preloaded library makes programs take the locale that the environment names."""
import importlib.util
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
spec = importlib.util.spec_from_file_location("short_locale", ROOT / "tests" / "end_to_end" / "test_locale.py")
short = importlib.util.module_from_spec(spec)
spec.loader.exec_module(short)


class WholeSuite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        short.Locale.setUpClass()
        cls.addClassCleanup(short.Locale.tearDownClass)

    def test_the_fast_suite_passes_under_both(self):
        tools = short.Locale.tools.name
        for locale in ("fr_FR.UTF-8", "C"):
            with self.subTest(locale):
                environment = {**os.environ, "LC_ALL": locale, "LANG": locale, "LOCPATH": tools, "PYTHONUTF8": "1"}
                result = subprocess.run([sys.executable, ROOT / "scripts" / "run_tests.py", "fast"], capture_output=True, text=True,
                                        errors="replace", env=environment, timeout=7200)
                last = result.stdout.strip().splitlines()[-1]
                print(f"  {locale}: {last}", flush=True)
                self.assertEqual(result.returncode, 0, result.stdout[-6000:])
                self.assertGreater(int(re.match(r"(\d+) passed, 0 failed", last)[1]), 500)

    def test_every_program_passes_with_the_locale_taken(self):
        programs = sorted(path for path in (short.BUILD / "tests").glob("test_*") if path.is_file() and os.access(path, os.X_OK) and not path.suffix)
        self.assertGreater(len(programs), 15)
        mark = Path(short.Locale.tools.name) / "mark"
        for locale, point in (("fr_FR.UTF-8", ","), ("C", ".")):
            environment = {"LC_ALL": locale, "LANG": locale, "LOCPATH": short.Locale.tools.name,
                           "LD_PRELOAD": str(short.Locale.preload), "LATHE_LOCALE_MARK": str(mark)}
            for program in programs:
                with self.subTest(locale=locale, program=program.name):
                    result = subprocess.run([program], cwd=program.parent, capture_output=True, text=True, errors="replace",
                                            env={**os.environ, **environment}, timeout=1800)
                    self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-1000:])
                    self.assertEqual(mark.read_text(), f"0{point}5", "setlocale did not take")
                    mark.unlink()


if __name__ == "__main__":
    unittest.main()

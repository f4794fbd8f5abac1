"""The suite and the main job under fr_FR.UTF-8 (decimal comma) and C, with accents in paths (program.py's folders have them). The
programs never ask for the user's locale, so a preloaded library asks in their place, and leaves a mark that it took."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, Case, tensors

BUILD = Path(os.environ.get("LATHE_BUILD", LATHE.parent))
SUITES = ("test_recipes", "test_io", "test_tokenizers", "test_checkpoints", "test_report")


class Locale(Case):
    @classmethod
    def setUpClass(cls):
        cls.tools = tempfile.TemporaryDirectory(prefix="lathe-locale-")
        folder = Path(cls.tools.name)
        made = subprocess.run(["localedef", "-i", "fr_FR", "-f", "UTF-8", folder / "fr_FR.UTF-8"], capture_output=True, text=True)
        if not (folder / "fr_FR.UTF-8" / "LC_NUMERIC").exists():
            raise AssertionError(f"localedef made no fr_FR.UTF-8 (package locales): {made.stderr}")
        cls.preload = folder / "locale_preload.so"
        source = Path(__file__).parent / "locale_preload.cpp"
        subprocess.run([os.environ.get("CXX", "g++"), "-O1", "-shared", "-fPIC", "-o", cls.preload, source], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.tools.cleanup()

    def environment(self, locale):
        return {"LC_ALL": locale, "LANG": locale, "LOCPATH": self.tools.name, "LD_PRELOAD": str(self.preload),
                "LATHE_LOCALE_MARK": str(self.folder / "mark")}

    def check_mark(self, point):
        mark = self.folder / "mark"
        self.assertEqual(mark.read_text(), f"0{point}5", "setlocale did not take")
        mark.unlink()

    def test_unit_tests_pass_under_both(self):
        for locale, point in (("fr_FR.UTF-8", ","), ("C", ".")):
            for name in SUITES:
                program = BUILD / "tests" / name
                with self.subTest(locale=locale, suite=name):
                    result = subprocess.run([program], cwd=program.parent, capture_output=True, text=True, errors="replace",
                                            env={**os.environ, **self.environment(locale)}, timeout=300)
                    self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-1000:])
                    self.check_mark(point)

    def test_a_run_is_the_same_to_the_bit(self):
        self.train("plain", env={"LC_ALL": "C.UTF-8"})
        for locale, point in (("fr_FR.UTF-8", ","), ("C", ".")):
            name = locale.lower()
            self.train(name, "export=[{format: huggingface}]", env=self.environment(locale))
            self.check_mark(point)
            self.assertEqual((self.checkpoint("plain", 20) / "model.safetensors").read_bytes(),
                             (self.checkpoint(name, 20) / "model.safetensors").read_bytes())
            self.assertEqual([r["loss"] for r in self.metrics("plain")], [r["loss"] for r in self.metrics(name)])
            export = self.folder / name / "export" / "huggingface"
            self.assertTrue(tensors(export / "model.safetensors"))
            verified = json.loads(self.lathe("verify", export, "--json", "--quiet", env=self.environment(locale))[0])
            self.assertTrue(verified["passed"])
            resolved, _ = self.lathe("check", self.folder / name / "recipe.yaml", env=self.environment(locale))
            self.assertIn("learning_rate: 0.003", resolved)

    def test_a_locale_that_is_absent_is_noticed(self):
        result = subprocess.run([LATHE, "--help"], capture_output=True, env={**os.environ, **self.environment("xx_XX.UTF-8")})
        self.assertEqual(result.returncode, 77)


if __name__ == "__main__":
    unittest.main()

"""The scripts that people start: every one is good bash, and quickstart takes any text."""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, ROOT, Case

ALONE = True   # measures time (scripts/run_tests.py)


class Scripts(Case):
    def test_every_script_is_good_bash(self):
        found = [path for folder in ("scripts", "scripts/launch", ".ci") for path in sorted((ROOT / folder).iterdir())
                 if path.is_file() and path.read_bytes()[:64].split(b"\n")[0].rstrip().endswith(b"bash")]
        names = [path.name for path in found]
        for name in ("quickstart", "setup", "test", "build", "run", "slurm_two_nodes.sbatch"):
            self.assertIn(name, names)
        for path in found:
            result = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
            self.assertEqual((result.returncode, result.stderr), (0, ""), path)

    def quickstart(self, *arguments):
        return subprocess.run([ROOT / "scripts" / "quickstart", *map(str, arguments)], capture_output=True, text=True, timeout=600)

    def test_an_unknown_option_is_told(self):
        result = self.quickstart("--date", "x")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--data FILE_OR_FOLDER", result.stderr)

    def test_quickstart_on_one_file_ends_with_five_lines(self):
        if LATHE != ROOT / "build" / "release" / "lathe":
            self.skipTest("quickstart runs build/release/lathe, another one is tested")
        sources = sorted(Path(subprocess.__file__).parent.glob("*.py"))
        text = "\n\n".join(path.read_text(encoding="utf-8") for path in sources)[:1_500_000]
        (self.folder / "one é.txt").write_text(text, encoding="utf-8")
        result = self.quickstart("--no-setup", "--seconds", 1, "--directory", self.folder / "run", "--data", self.folder / "one é.txt")
        self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-3000:])
        self.assertIn("of 1 document, cut", result.stdout + result.stderr)
        self.assertIn("bits per byte: lathe", result.stdout)   # beside gzip over the same bytes
        closing = result.stdout.split("== done")[1].splitlines()[1:]
        self.assertEqual([line[:8].strip() for line in closing], ["made:", "where:", "next:", "", ""], closing)

    def test_quickstart_on_a_few_lines_in_another_encoding(self):
        if LATHE != ROOT / "build" / "release" / "lathe":
            self.skipTest("quickstart runs build/release/lathe, another one is tested")
        (self.folder / "few.txt").write_bytes("Un café, deux cafés, trois thés.\n\n".encode("latin-1") * 12)
        arguments = ("--no-setup", "--seconds", 1, "--directory", self.folder / "run", "--data", self.folder / "few.txt")
        result = self.quickstart(*arguments)
        self.assertEqual(result.returncode, 1)
        self.assertIn("data.encoding", result.stderr)
        result = self.quickstart(*arguments, "--set", "data.encoding=replace", "--set", "train.max_steps=30")
        self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-3000:])
        self.assertIn("too short to be begun", result.stdout)
        self.assertEqual(len(result.stdout.split("== done")[1].splitlines()[1:]), 5)

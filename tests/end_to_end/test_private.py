"""Nothing leaves the machine, and nothing but the program is needed: a tuning run from preview to answers in an empty environment,
watched by a preloaded library that sees every socket and every look-up of a host."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE
from test_pictures import PICTURES
from tuning_case import Tuning


class Private(Tuning):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tools = tempfile.TemporaryDirectory(prefix="lathe-network-")   # LD_PRELOAD ends a path at a space
        cls.addClassCleanup(tools.cleanup)
        cls.preload = Path(tools.name) / "network_preload.so"
        source = Path(__file__).parent / "network_preload.cpp"
        subprocess.run([os.environ.get("CXX", "g++"), "-O1", "-shared", "-fPIC", "-o", cls.preload, source, "-ldl"], check=True)

    def watched(self, *command):
        """In an environment that holds the watcher alone; returns standard output and what was noted."""
        mark = self.folder / "mark"
        mark.unlink(missing_ok=True)
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=self.folder, timeout=300,
                                env={"LD_PRELOAD": str(self.preload), "LATHE_NETWORK_MARK": str(mark)})
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout, mark.read_text().split()

    def test_a_run_opens_no_socket_and_needs_no_environment(self):
        recipe = self.tuning("run", self.pairs(8), extra="export: [{format: peft}, {format: huggingface}, {format: gguf}]\n")
        merged = self.folder / "run" / "export" / "huggingface"
        for command in (["preview", recipe], ["train", recipe, "--quiet"], ["verify", merged],
                        ["generate", self.folder / "run", "--prompt", "the cat", "--max-tokens", "2"]):
            output, noted = self.watched(LATHE, *command, "--json")
            with self.subTest(command[0]):
                json.loads(output)
                self.assertEqual(set(noted), {"watched"})

    def test_pictures_open_none_either(self):
        recipe = self.recipe("pictures", PICTURES)
        for command in (["train", recipe, "--quiet", "--set", "train.max_steps=6", "--set", "export=[{format: diffusers}]"],
                        ["sample", self.folder / "pictures", "--prompt", "a red circle", "--output", self.folder / "drawn"]):
            output, noted = self.watched(LATHE, *command, "--json")
            with self.subTest(command[0]):
                json.loads(output)
                self.assertEqual(set(noted), {"watched"})

    def test_no_python_is_needed_to_train_report_and_export(self):
        linked = subprocess.run(["ldd", LATHE], capture_output=True, text=True, check=True).stdout
        self.assertIn("libtorch_cpu", linked)
        self.assertNotIn("not found", linked)
        self.assertNotRegex(linked, r"libpython|torch_python")
        tools, called = self.folder / "tools", self.folder / "called"
        tools.mkdir()   # whoever looks for an interpreter finds one that tells, and fails
        for name in ("python", "python3", Path(sys.executable).name):
            (tools / name).write_text(f"#!/bin/sh\necho {name} >> '{called}'\nexit 1\n")
            (tools / name).chmod(0o755)
        environment = {"PATH": str(tools), "HOME": str(self.folder / "nobody"), "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}
        found = subprocess.run(["/bin/sh", "-c", "python3 --version"], env=environment).returncode
        self.assertEqual((found, called.read_text()), (1, "python3\n"))
        called.unlink()
        recipe = self.tuning("run", self.pairs(8), extra="export: [{format: peft}]\n")
        for command in (["train", recipe], ["export", "run", "--format", "huggingface", "--output", "merged"],
                        ["export", "run", "--format", "gguf", "--quantize", "q8_0", "--output", "gguf"],
                        ["verify", "merged"], ["generate", "gguf", "--prompt", "the cat", "--max-tokens", "2"]):
            result = subprocess.run([LATHE, *map(str, command), "--quiet"], capture_output=True, text=True, cwd=self.folder, timeout=300,
                                    env=environment)
            self.assertEqual(result.returncode, 0, (command, result.stderr))
        self.assertIn("verdict", self.report("run"))
        self.assertIn("<svg", (self.folder / "run" / "report.html").read_text(encoding="utf-8"))
        self.assertFalse(called.exists(), called.exists() and called.read_text())

    def test_the_watcher_sees_sockets_and_look_ups(self):
        _, noted = self.watched(sys.executable, "-c", "import socket; socket.socket()\n"
                                "try: socket.getaddrinfo('localhost', 80)\nexcept OSError: pass")   # a bare machine may not know the name
        self.assertLessEqual({"watched", "socket", "getaddrinfo"}, set(noted))

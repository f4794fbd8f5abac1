"""scripts/setup on machines that lack something: Debian's tools are stubs that write down how they were called."""
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import ROOT

SETUP = ROOT / "scripts" / "setup"


def torch_folder():
    """Of the build that is tested."""
    cache = (ROOT / "build" / "release" / "CMakeCache.txt").read_text()
    return str(Path(re.search(r"^LATHE_TORCH_CPU:\w+=(.+)$", cache, re.M)[1]).parents[1])


class Setup(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="lathe é ")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.calls = self.folder / "calls"
        self.calls.touch()
        for name in ("bin", "home"):
            (self.folder / name).mkdir()

    def stub(self, name, script):
        path = self.folder / "bin" / name
        path.write_text("#!/bin/bash\n" + script + "\n")
        path.chmod(0o755)

    def machine(self, user, missing=(), sudo=None):
        self.stub("id", f"echo {user}")
        names = "|".join(missing) or "-"
        self.stub("dpkg-query", f'case "${{@: -1}}" in {names}) exit 1 ;; *) printf "install ok installed" ;; esac')
        self.stub("apt-get", f'echo "apt-get $*" >> "{self.calls}"')
        self.stub("sudo", sudo or 'exit 1')

    def setup(self, **environment):
        return subprocess.run([SETUP], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
                              env={"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder / "home"),
                                   "LATHE_TORCH_DIR": torch_folder(), **environment})

    def test_nothing_is_missing(self):
        self.machine(user=1000)
        for _ in range(2):
            start = time.time()
            result = self.setup()
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertLess(time.time() - start, 3)
            self.assertIn("setup: ready", result.stdout)
            self.assertIn('export PATH="', result.stdout)   # ~/.local/bin is not on this PATH
            self.assertNotIn("installing", result.stdout)
        link = self.folder / "home" / ".local" / "bin" / "lathe"
        self.assertEqual(os.readlink(link), str(ROOT / "build" / "release" / "lathe"))
        self.assertEqual(self.calls.read_text(), "")
        on_path = self.setup(PATH=f"{self.folder / 'bin'}:{link.parent}:{os.environ['PATH']}")
        self.assertNotIn("export PATH", on_path.stdout)

    def test_a_program_of_the_users_own_is_left_alone(self):
        self.machine(user=1000)
        own = self.folder / "home" / ".local" / "bin" / "lathe"
        own.parent.mkdir(parents=True)
        own.write_text("mine")
        self.assertEqual(self.setup().returncode, 0)
        self.assertEqual(own.read_text(), "mine")

    def test_root_installs_what_is_missing_and_says_it(self):
        self.machine(user=0, missing=["libpcre2-dev", "xz-utils"])
        result = self.setup()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("setup: installing 2 packages: libpcre2-dev xz-utils", result.stdout)
        self.assertEqual(self.calls.read_text().splitlines(),
                         ["apt-get update", "apt-get install -y --no-install-recommends libpcre2-dev xz-utils"])

    def test_without_root_the_command_for_the_administrator_is_named(self):
        self.machine(user=1000, missing=["cmake"])
        result = self.setup()
        self.assertEqual(result.returncode, 1)
        self.assertIn("sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends cmake'", result.stderr)
        self.assertEqual(self.calls.read_text(), "")

    def test_sudo_is_used_where_it_needs_no_password(self):
        self.machine(user=1000, missing=["cmake"], sudo='[ "$1" = -n ] && exit 0; "$@"')
        self.assertEqual(self.setup().returncode, 0)
        self.assertIn("apt-get install -y --no-install-recommends cmake", self.calls.read_text())

    def test_an_existing_libtorch_is_taken(self):
        self.machine(user=1000)
        result = self.setup(LATHE_TORCH_DIR="", CMAKE_PREFIX_PATH=f"/nowhere:{torch_folder()}/share/cmake")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"LibTorch: {os.path.realpath(torch_folder())}", result.stdout)


if __name__ == "__main__":
    unittest.main()

"""libFuzzer on every target of tests/fuzz, under AddressSanitizer and UBSan, with limits on memory and time. Needs Debian's clang and
its compiler-rt (apt-get install clang libclang-rt-14-dev). LATHE_FUZZ_SECONDS sets the time of each target (60)."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LATHE_FUZZ_BUILD", ROOT / "build" / "fuzz"))
SECONDS = int(os.environ.get("LATHE_FUZZ_SECONDS", "60"))
LIMITS = ["-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-timeout=20", "-max_len=65536"]


@unittest.skipUnless(shutil.which("clang++"), "clang++ is absent (apt-get install clang libclang-rt-14-dev)")
class Fuzz(unittest.TestCase):
    def test_no_target_has_a_finding(self):
        subprocess.run(["cmake", "--preset", "fuzz", "-B", BUILD], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", BUILD, "--target", "fuzz"], check=True, stdout=subprocess.DEVNULL)
        programs = sorted(path for path in (BUILD / "tests").glob("fuzz_*") if os.access(path, os.X_OK) and path.is_file())
        targets = sorted((ROOT / "tests" / "fuzz").glob("target_*.cpp"))
        self.assertEqual([path.name.removeprefix("fuzz_") for path in programs],
                         [path.stem.removeprefix("target_") for path in targets])
        for program in programs:
            with self.subTest(program.name):
                self.search(program)

    def fails_alone(self, program, finding):
        """A child in which HDF5 crashes leaves a finding too, but the program that asked it goes on: by itself such an input passes."""
        return subprocess.run([program, finding, *LIMITS], cwd=finding.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=0"}).returncode != 0

    def search(self, program):
        name = program.name.removeprefix("fuzz_")
        with tempfile.TemporaryDirectory(prefix="lathe-fuzz-") as folder:
            seeds, found = Path(folder) / "seeds", Path(folder) / "found"
            seeds.mkdir()
            found.mkdir()
            subprocess.run([program, "--write-seeds", seeds], check=True)
            known = ROOT / "tests" / "fuzz" / "corpus" / name
            command = [program, found, seeds, *([known] if known.exists() else []), f"-dict={seeds}.dict", *LIMITS,
                       f"-max_total_time={SECONDS}", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace",
                                    env={**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=0"},
                                    timeout=SECONDS + 300)
            findings = [path for path in Path(folder).iterdir() if re.match(r"(crash|oom|timeout|leak)-", path.name)
                        and self.fails_alone(program, path)]
            for path in findings:
                shutil.copy(path, Path(tempfile.gettempdir()) / f"lathe-finding-{name}-{path.name}")
            stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", result.stderr))
            covered = re.findall(r"cov: (\d+)", result.stderr)
            print(f"  {name}: {stats.get('number_of_executed_units', '?')} inputs in {SECONDS} s, {covered[-1] if covered else '?'} "
                  f"edges, peak {stats.get('peak_rss_mb', '?')} MB, {len(findings)} findings", flush=True)
            self.assertEqual(findings, [], result.stderr[-4000:])
            self.assertEqual(result.returncode, 0, result.stderr[-4000:])


if __name__ == "__main__":
    unittest.main()

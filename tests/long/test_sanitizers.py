"""Every test of the torch-free layers, built with AddressSanitizer and UBSan into a folder of its own. LATHE_ASAN_BUILD names another.

Debian's HDF5 1.10.8 reads outside its own memory on damaged files, which is why foreign ones are opened in a child process first: what
its children report is counted, not failed, and so is what the library leaks after refusing a file. Everything else fails."""
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPRESSED = "leak:libhdf5\n"
PROGRAMS = ("test_io", "test_shards", "test_checkpoints", "test_tokenizers", "test_recipes", "test_fuzz")


def is_of_hdf5(report):
    """Whether the first stack of a report enters HDF5 from the sanitizer's own functions."""
    for frame in re.findall(r"^ *#\d+ 0x[0-9a-f]+ (?:in (\S+) )?(.*)$", report, re.M):
        name, where = frame
        if "__interceptor" in name or "libsanitizer" in where or "libasan" in where:
            continue
        return "libhdf5" in where
    return False


class Sanitizers(unittest.TestCase):
    def test_a_report_is_of_the_library_that_its_first_stack_enters(self):
        stack = "    #0 0x7f1f in __interceptor_memcpy ../libsanitizer/x.inc:827\n    #1 0x7f1f in {}\n"
        self.assertTrue(is_of_hdf5(stack.format("H5MM_realloc (/lib/libhdf5_serial.so.103+0x184280)")))
        self.assertFalse(is_of_hdf5(stack.format("lathe::TokenShard::read /data/shards/token_shard.cpp:10")
                                    + stack.format("H5Dread (/lib/libhdf5_serial.so.103+0x1)")))

    def test_every_program_passes(self):
        with tempfile.TemporaryDirectory(prefix="lathe-asan-") as folder:
            build = Path(os.environ.get("LATHE_ASAN_BUILD", Path(folder) / "build"))
            subprocess.run(["cmake", "--preset", "asan", "-B", build], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["cmake", "--build", build], check=True, stdout=subprocess.DEVNULL)
            suppressed = Path(folder) / "suppressed"
            suppressed.write_text(SUPPRESSED)
            programs = sorted(path for path in (build / "tests").glob("test_*") if path.is_file() and os.access(path, os.X_OK))
            for name in PROGRAMS:
                self.assertIn(name, [path.name for path in programs])
            for program in programs:
                with self.subTest(program.name):
                    self.check(program, suppressed)

    def check(self, program, suppressed):
        environment = {**os.environ, "LSAN_OPTIONS": f"suppressions={suppressed}:print_suppressions=0",
                       "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        process = subprocess.Popen([program], cwd=program.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   errors="replace", env=environment)
        out, err = process.communicate(timeout=3600)
        before, *reports = re.split(r"^==(?=\d+==ERROR: )", err, flags=re.M)
        others = [text for text in reports if int(text.split("==")[0]) == process.pid or not is_of_hdf5(text)]
        in_hdf5 = len(reports) - len(others)
        last = out.strip().splitlines()[-1] if out.strip() else "?"
        print(f"  {program.name}: {last}" + (f"; {in_hdf5} children stopped in HDF5" if in_hdf5 else ""), flush=True)
        self.assertEqual(others, [], "\n".join(others)[:5000])
        self.assertEqual(process.returncode, 0, out[-3000:] + err[-5000:])
        self.assertNotIn("runtime error", err)
        self.assertNotIn("Sanitizer", before)


if __name__ == "__main__":
    unittest.main()

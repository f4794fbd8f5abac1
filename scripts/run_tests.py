"""Runs the test binaries and the Python tests of one suite, a line a binary or module, and counts cases.

usage: run_tests.py fast|peers|long [part of a name ...]
fast: build/release/test_* and tests/end_to_end; peers: tests/peers; long: tests/long.
"""
import importlib.util
import os
import re
import subprocess
import sys
import time
import unittest
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("LATHE_BUILD", ROOT / "build" / "release"))


class Count:
    passed = failed = skipped = 0
    reasons: list = []

    def add(self, passed, failed, reasons):
        Count.passed += passed
        Count.failed += failed
        Count.skipped += len(reasons)
        Count.reasons += reasons


def run_binary(path, count):
    """A Catch2 binary: cases are counted from its JUnit report; lines 'SKIPPED: why' count as skipped."""
    start = time.time()
    report = path.parent / f"{path.name}.junit.xml"
    report.unlink(missing_ok=True)
    result = subprocess.run([path, "-r", "junit", "-o", report], cwd=path.parent, capture_output=True, text=True,
                            errors="replace", timeout=1800)
    text = report.read_text(errors="replace") if report.exists() else ""
    try:
        cases = xml.etree.ElementTree.fromstring(re.sub(r"[^\x09\x0a\x0d\x20-\uffff]", "?", text)).iter("testcase")
    except xml.etree.ElementTree.ParseError:
        cases = []
    names, bad = set(), {}
    for case in cases:
        name = case.get("name").split("/")[0]
        names.add(name)
        for kind in ("failure", "error"):
            for node in case.iter(kind):
                bad.setdefault(name, (node.get("message") or "") + (node.text or ""))
    skipped = [f"{path.name}: {why}" for why in set(re.findall(r"SKIPPED: (.*)", result.stdout + result.stderr + text))]
    if result.returncode != 0 and not bad:
        bad["(process)"] = f"exit code {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    count.add(max(0, len(names) - len(set(bad) & names) - len(skipped)), len(bad), skipped)
    print(f"{'ok  ' if not bad else 'FAIL'} {path.name}: {len(names)} cases, {time.time() - start:.1f} s", flush=True)
    for name, why in bad.items():
        print(f"  failed: {name}\n    " + why.strip()[-1500:].replace("\n", "\n    "), flush=True)


def run_module(path, count):
    start = time.time()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        result = unittest.TestResult()
        suite.run(result)
        bad = result.failures + result.errors
        skipped = [f"{path.stem}: {why}" for _, why in result.skipped]
        total = result.testsRun
    except Exception as error:  # a module that does not import is one failed case
        bad, skipped, total = [(path.name, repr(error))], [], 1
    count.add(total - len(bad) - len(skipped), len(bad), skipped)
    print(f"{'ok  ' if not bad else 'FAIL'} {path.parent.name}/{path.stem}: {total} cases, {time.time() - start:.1f} s", flush=True)
    for name, why in bad:
        print(f"  failed: {name}\n    " + str(why).strip()[-3000:].replace("\n", "\n    "), flush=True)


def main():
    suite, parts = sys.argv[1], sys.argv[2:]
    count = Count()
    wanted = lambda path: not parts or any(part in str(path) for part in parts)
    if suite == "fast":
        layers = ROOT / "scripts" / "check_layers"
        if layers.exists() and wanted(layers):
            failed = subprocess.run([layers]).returncode != 0
            count.add(not failed, int(failed), [])
            print(f"{'FAIL' if failed else 'ok  '} check_layers")
        for path in sorted((BUILD / "tests").glob("test_*")):
            if os.access(path, os.X_OK) and path.suffix == "" and wanted(path):
                run_binary(path, count)
    folder = {"fast": "end_to_end", "peers": "peers", "long": "long"}[suite]
    for path in sorted((ROOT / "tests" / folder).glob("test_*.py")):
        if wanted(path):
            run_module(path, count)
    for why in Count.reasons:
        print("skipped:", why)
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped", flush=True)
    sys.exit(1 if count.failed or not count.passed + count.skipped else 0)


main()

"""Runs the test binaries and the Python tests of one suite, a line a binary or module, and counts cases.

usage: run_tests.py fast|peers|long [part of a name ...]
fast: build/release/test_* and tests/end_to_end; peers: tests/peers; long: tests/long.
Modules of tests/end_to_end run two at a time: most train on one thread. Those with the line 'ALONE = True' measure time and run by
themselves.
"""
import concurrent.futures
import importlib.util
import json
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


def run_module(path):
    """(passed, [(failed test, why)], [why skipped]) of a module's cases."""
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
        cases = {getattr(test, "test_case", test) for test, _ in bad}   # of one test, many parts may fail
        total = result.testsRun + len(bad) - len(cases)
    except Exception as error:  # a module that does not import is one failed case
        bad, skipped, total = [(path.name, repr(error))], [], 1
    return total - len(bad) - len(skipped), [(str(name), str(why)) for name, why in bad], skipped


def tell_module(path, count, start, outcome):
    passed, bad, skipped = outcome
    count.add(passed, len(bad), skipped)
    total = passed + len(bad) + len(skipped)
    print(f"{'ok  ' if not bad else 'FAIL'} {path.parent.name}/{path.stem}: {total} cases, {time.time() - start:.1f} s", flush=True)
    for name, why in bad:
        print(f"  failed: {name}\n    " + why.strip()[-3000:].replace("\n", "\n    "), flush=True)


def run_modules_in_pairs(paths, count):
    """Each in a process of its own, which prints its outcome as its last line."""
    def run(path):
        start = time.time()
        result = subprocess.run([sys.executable, __file__, "module", path], capture_output=True, text=True, errors="replace",
                                env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})   # threads that wait leave the cores to the other
        try:
            outcome = json.loads(result.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            outcome = (0, [(path.name, f"exit code {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")], [])
        return path, start, outcome

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, path) for path in paths]):
            path, start, outcome = done.result()
            tell_module(path, count, start, outcome)


def main():
    suite, parts = sys.argv[1], sys.argv[2:]
    if suite == "module":
        print(json.dumps(run_module(Path(parts[0]))))
        return
    count = Count()
    wanted = lambda path: not parts or any(part in path.name for part in parts)
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
    modules = [path for path in sorted((ROOT / "tests" / folder).glob("test_*.py")) if wanted(path)]
    pairs = [path for path in modules if suite == "fast" and "\nALONE = True" not in path.read_text(encoding="utf-8")]
    for path in modules:
        if path not in pairs:
            start = time.time()
            tell_module(path, count, start, run_module(path))
    run_modules_in_pairs(pairs, count)
    for why in Count.reasons:
        print("skipped:", why)
    if not count.passed + count.failed + count.skipped:
        print(f"nothing of this suite is named like {' or '.join(parts) or 'test_*'}: see tests/{folder}/test_*.py")
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped", flush=True)
    sys.exit(1 if count.failed or not count.passed + count.skipped else 0)


main()

"""Prints a run's bits per byte on its held-out files beside gzip -9 and xz -9 over their concatenation, and keeps them in its
compression.json.

usage: compression.py LATHE RUN FILE_OR_FOLDER [--set ...]
"""
import gzip
import json
import lzma
import subprocess
import sys
from pathlib import Path


def main():
    lathe, run, data, arguments = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:]
    prepared = json.loads(subprocess.run([lathe, "prepare", "quickstart", *arguments, "--json", "--quiet"], check=True,
                                         capture_output=True, text=True).stdout)
    files = (Path(prepared["directory"]) / "held-out.txt").read_text().splitlines()
    text = b""
    for name, _, begin in (line.partition("\t") for line in files):   # of a file that was cut: from which byte on
        path = next((root / name for root in (data, data.parent) if (root / name).is_file()), None)
        text += path.read_bytes()[int(begin or 0):] if path else b""
    if len(text) != prepared["validation"][0]["ledger"]["bytes_kept"]:   # records, archives: no such bytes for gzip
        return
    result = json.loads((Path(run) / "result.json").read_text())
    bits = lambda compressed: 8 * len(compressed) / len(text)
    by_gzip, by_xz = bits(gzip.compress(text, 9)), bits(lzma.compress(text, preset=9))
    ours = result["bits_per_byte"]
    (Path(run) / "compression.json").write_text(json.dumps({"lathe": ours, "gzip": by_gzip, "xz": by_xz}) + "\n")
    print(f"held out: {len(files)} files, {len(text)} bytes")
    print(f"bits per byte: lathe {ours:.3f}, gzip -9 {by_gzip:.3f} ({ours / by_gzip:.2f} x), xz -9 {by_xz:.3f} "
          f"({ours / by_xz:.2f} x)")


main()

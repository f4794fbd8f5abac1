"""The Python of an environment whose program scripts/peers_env builds from source."""
import os
import subprocess

from program import ROOT


def python_of(name):
    """$LATHE_<NAME>_PYTHON where it is set: one that has the module already."""
    python = os.environ.get(f"LATHE_{name.upper()}_PYTHON")
    if python:
        return python
    made = subprocess.run([ROOT / "scripts" / "peers_env", name], capture_output=True, text=True, check=True)
    return made.stdout.strip().splitlines()[-1]

"""Measure one figure of one library in a process of its own: ``python -m benchmarks.child FIGURE LIBRARY``.

Prints the numbers as JSON, as the last line.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.process import run
from benchmarks.report import Numbers


class MeasurementError(Exception):
    """A measurement ended without numbers."""


def measure(python: str | Path, figure: str, library: str, *, timeout: float = 300.0) -> Numbers:
    """Measure a figure of a library by its interpreter.

    Raises:
        MeasurementError: If it fails, with what it said.
    """
    command = [python, "-m", "benchmarks.child", figure, library]
    try:
        done = run(command, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"no result within {timeout:.0f} s") from error
    if done.returncode:
        raise MeasurementError(done.stderr.strip() or f"exit code {done.returncode}")
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    return numbers


if __name__ == "__main__":
    name, library_name = sys.argv[1:]
    print(json.dumps(importlib.import_module(f"benchmarks.{name}").measure(library_name)))

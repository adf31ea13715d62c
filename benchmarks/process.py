"""Run a program from the root of the repository and keep what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(command: Sequence[str | Path], *, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code.

    Raises:
        OSError: If there is no such program.
        subprocess.TimeoutExpired: If it takes longer than ``timeout`` seconds; it is ended then.
    """
    return subprocess.run(  # noqa: S603 - the commands are those of this package
        command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )

"""Peers that run beside ours in one process, in a folder of their own inside the virtual environment."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peer import PeerUnavailableError
from benchmarks.process import run

FOLDER = Path(sys.prefix) / "beside"


def install(requirement: str) -> None:
    """Put a package there, without what it depends on; that is ours already.

    Raises:
        PeerUnavailableError: If it cannot be installed.
    """
    if sys.prefix == sys.base_prefix:
        raise PeerUnavailableError("it is installed inside a virtual environment, and this is none")
    if (FOLDER / requirement).exists():
        return
    command = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", FOLDER)
    if run([sys.executable, *command, requirement]).returncode:
        raise PeerUnavailableError(f"pip cannot install {requirement}; is there a network?")
    (FOLDER / requirement).touch()


def add_to_path() -> None:
    """Let this process import what is there, behind all else."""
    sys.path.append(str(FOLDER))

"""An environment with pamiq-core, which needs a newer Python than we do.

Made once, inside the virtual environment that runs the benchmarks. Where it cannot be had, or torch for it, the
reason is told and the benchmarks go on without it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.process import run

LIBRARY = "pamiq_core"
REQUIREMENT = "pamiq-core==0.6.0"
TORCH = "torch==2.13.0"
# Not every Python has a build without CUDA; by its local version, since any other brings CUDA along.
TORCH_FOR_CPU = f"{TORCH}+cpu"
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")


class PeerUnavailableError(Exception):
    """The peer cannot be measured here, and why."""


def interpreter() -> Path:
    """Return the Python of an environment that has the peer; make it if it is not there.

    Raises:
        PeerUnavailableError: If there is no Python for it, or it cannot be installed.
    """
    if sys.prefix == sys.base_prefix:
        raise PeerUnavailableError("its environment is made inside a virtual environment, and this is none")
    environment = Path(sys.prefix) / "peer"
    python = environment / "bin" / "python"
    if not _succeeds(python, "-c", f"import {LIBRARY}"):
        _make(environment)
    return python


def add_torch(python: Path, *, with_cuda: bool) -> None:
    """Install torch into the peer's environment unless it is there.

    Args:
        python: The interpreter of that environment.
        with_cuda: Whether the build with CUDA will do where there is none without.

    Raises:
        PeerUnavailableError: If it cannot be installed.
    """
    if _succeeds(python, "-c", "from importlib import metadata; metadata.version('torch')"):
        return
    print(f"installing {TORCH} for {REQUIREMENT} ...", file=sys.stderr)
    if _succeeds(python, *INSTALL, TORCH_FOR_CPU):
        return
    if not with_cuda:
        raise PeerUnavailableError(
            f"pip finds no {TORCH_FOR_CPU} for its Python, so the figures that need torch are ours only; "
            "--peer-cuda-torch takes the build with CUDA, which fills 5 GB of the disk"
        )
    if not _succeeds(python, *INSTALL, TORCH):
        raise PeerUnavailableError(f"pip cannot install {TORCH}; is there a network, and room for 5 GB?")


def _make(environment: Path) -> None:
    base = next(
        (c for c in _candidates() if _succeeds(c, "-c", "import sys; assert sys.version_info >= (3, 12)")), None
    )
    if base is None:
        raise PeerUnavailableError("it needs Python 3.12, which is not here")
    print(f"making an environment for {REQUIREMENT} ...", file=sys.stderr)
    if not _succeeds(base, "-m", "venv", environment):
        raise PeerUnavailableError(f"no virtual environment can be made by {base.name}")
    if not _succeeds(environment / "bin" / "python", *INSTALL, REQUIREMENT):
        raise PeerUnavailableError(f"pip cannot install {REQUIREMENT}; is there a network?")


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for name in ("python3.12", "python3.13"):
        if found := shutil.which(name):
            yield Path(found)
    yield from sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python"))


def _succeeds(python: Path, *arguments: str | Path) -> bool:
    try:
        return run([python, *arguments]).returncode == 0
    except OSError:
        return False

"""Distributions of what git tracks, environments to install them into, and the Pythons to do that with.

Each is made once for each run of the tests, and removed at its end.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = ("gym", "video", "web", "console", "config", "plot", "tensorboard")
"""The extras that need none."""
TOOLS = (
    "greenlet>=3.0",
    "hypothesis>=6.100",
    "openapi-spec-validator>=0.7",
    "pytest>=8.3",
    "pytest-timeout>=2.3",
)
"""What the tests need beside the package."""


@cache
def folder() -> Path:
    """Where all of it is made."""
    return Path(tempfile.mkdtemp(prefix="pamiq-sched-packaging-"))


@pytest.fixture(scope="session", autouse=True)
def the_folder_is_removed() -> Iterator[None]:
    """Remove it at the end; a process of pytest-xdist would run no hook at its exit."""
    yield
    if folder.cache_info().currsize:
        shutil.rmtree(folder(), ignore_errors=True)


def run(*command: object, cwd: Path | None = None, fails: bool | None = False, **environment: str) -> str:
    """Run a command outside of the checkout; return what it printed.

    Args:
        *command: The command.
        cwd: Where; an empty folder by default.
        fails: Whether it has to fail; None if it may.
        **environment: To be set for it.
    """
    # Nothing of this process's own environment: what is installed must do by itself.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
    empty = folder() / "empty"
    empty.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd or empty,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert fails in {None, done.returncode != 0}, (
        f"{command} ended with {done.returncode}:\n{done.stdout[-20_000:]}"
    )
    return done.stdout


def tracked_files() -> set[str]:
    """The files of the checkout that git tracks, by their paths from its root."""
    listed = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    return {name for name in listed if name and (ROOT / name).is_file()}


@cache
def source() -> Path:
    """A copy of what git tracks, as it is in the working tree."""
    copy = folder() / "source"
    for name in tracked_files():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return copy


@cache
def built() -> tuple[Path, Path]:
    """The sdist, and the wheel that was made from it."""
    out = folder() / "dist"
    run(sys.executable, "-m", "build", "--outdir", out, source())
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@cache
def unpacked_sdist() -> Path:
    """The contents of the sdist."""
    sdist, _ = built()
    target = folder() / "unpacked"
    shutil.unpack_archive(sdist, target, filter="data")
    (root,) = target.iterdir()
    return root


def wheel_files(wheel: Path) -> dict[str, bytes]:
    """The contents of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    """What a wheel says about itself."""
    ((_, text),) = [(k, v) for k, v in wheel_files(wheel).items() if k.endswith(".dist-info/METADATA")]
    return message_from_bytes(text)


def project() -> dict[str, Any]:
    """The table ``[project]`` of pyproject.toml."""
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["project"]
    return found


def requirements(*extras: str) -> list[str]:
    """What the package requires, with some extras, but for torch."""
    wanted = [*project()["dependencies"]]
    for extra in extras:
        wanted += project()["optional-dependencies"][extra]
    return [requirement for requirement in wanted if re.split(r"[<>=]", requirement)[0] != "torch"]


@cache
def find_python(version: str) -> Path | None:
    """Find an interpreter of a version: this one, one on the path, or one of pyenv's."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable, shutil.which(name), *sorted(pyenv.glob(f"{version}.*/bin/{name}"), reverse=True)]
    for candidate in candidates:
        if candidate is None:
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys._base_executable)"
        # pyenv's shims are on the path and fail where their version is not selected.
        asked = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        found, _, base = asked.stdout.strip().partition(" ")
        if asked.returncode == 0 and found == version:
            return Path(base)
    return None


def make_environment(version: str, name: str) -> Path:
    """Make an empty environment; return its interpreter."""
    python = find_python(version)
    assert python is not None
    made = folder() / f"{name}-{version}"
    run(python, "-m", "venv", made)
    return made / "bin" / "python"


def install(python: Path, *arguments: object) -> None:
    """Let pip install something into an environment."""
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", constraints, *arguments)


@cache
def bare(version: str) -> Path:
    """An environment with the wheel and what it requires, but for torch; its interpreter."""
    _, wheel = built()
    python = make_environment(version, "bare")
    install(python, *requirements())
    install(python, "--no-deps", wheel)
    return python


@cache
def equipped(version: str) -> Path:
    """An environment with the sdist, the extras that need no torch, and tools for tests; its interpreter."""
    sdist, _ = built()
    python = make_environment(version, "equipped")
    install(python, *requirements(*WITHOUT_TORCH), *TOOLS)
    install(python, "--no-deps", sdist)  # pip builds a wheel of it, in an environment of its own
    return python


@cache
def whole(version: str) -> Path:
    """An environment with the wheel, torch, and all extras but those made of large packages; its interpreter."""
    _, wheel = built()
    python = make_environment(version, "whole")
    install(python, f"{wheel}[{','.join(WITHOUT_TORCH)}]")
    return python

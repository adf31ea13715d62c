"""Save many components as one directory that is there whole or not at all.

A save is staged: components copy what they hold, or write it into a hidden directory. Then it is written out,
made durable, and published by an atomic rename: whoever lists the states sees complete ones only. Belongs to the
control thread; staging needs every other thread to stand still, publishing does not.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pamiq_sched import _checks
from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state import codec

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class StagedState:
    """A state that is taken but not yet written whole, durable or visible."""

    directory: Path
    """Where it is written."""
    name: str
    """What it will be called, unless that is taken by then."""
    manifest: dict[str, Any]
    """What it says about itself."""
    writes: deque[codec.Write]
    """What is still to be written."""


class StateStore:
    """Saves and loads the components that are registered with it.

    Args:
        states_dir: The directory of all states; made at the first save.
        state_name_format: How a state is named after the moment of its save, as for ``strftime``.

    Example:
        >>> import tempfile
        >>> from pamiq_sched import SequentialBuffer
        >>> buffer = SequentialBuffer(10)
        >>> buffer.add(1.5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = StateStore(folder)
        ...     store.register("buffer", buffer)
        ...     saved = store.save_state()
        ...     buffer.add(2.5)
        ...     store.load_state(saved)
        >>> buffer.get_data()
        [1.5]
    """

    def __init__(self, states_dir: str | Path, state_name_format: str = "%Y-%m-%d_%H-%M-%S,%f.state") -> None:
        self.states_dir = Path(states_dir)
        self.state_name_format = state_name_format
        self._components: dict[str, PersistentStateMixin] = {}

    def register(self, name: str, component: PersistentStateMixin) -> None:
        """Keep a component from now on; they are saved and loaded in the order of registration.

        Raises:
            KeyError: If the name is taken.
            ValueError: If it cannot be the name of a file, or is that of the store's own.
        """
        if name in (MANIFEST, Path(MANIFEST).stem):
            raise ValueError(f"{MANIFEST} is the store's own file; choose another name than {name!r}")
        if _checks.component_name("component", name) in self._components:
            raise KeyError(f"a component named {name!r} is registered already; choose another name")
        self._components[name] = component

    def save_state(self) -> Path:
        """Stage and publish at once; return the directory of the state."""
        return self.publish(self.stage())

    def stage(self, *, crashed: bool = False) -> StagedState:
        """Take the state of every component, while nothing changes them.

        What they save by the codec is copied, and written by :meth:`publish`; other files are written here.

        Args:
            crashed: Mark it as the state of a run that an error ended, not to be resumed from by default.

        Raises:
            OSError: If it cannot be written; what was written is removed.
            BaseException: What a component raised, likewise.
        """
        self.states_dir.mkdir(parents=True, exist_ok=True)
        state_name = datetime.now().strftime(self.state_name_format) + (".crashed" if crashed else "")
        # A name of its own: a process that was killed may have left one behind.
        directory = self.states_dir / f".staging-{uuid.uuid4().hex}"
        try:
            directory.mkdir()
            with codec.deferring() as writes:
                for name, component in self._components.items():
                    component.save_state(directory / name)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        manifest = {"format": FORMAT_VERSION, "crashed": crashed, "components": list(self._components)}
        return StagedState(directory, state_name, manifest, writes)

    def publish(self, staged: StagedState) -> Path:
        """Write a staged state out, make it durable, then visible; return its directory.

        Raises:
            OSError: If the disk refuses; the staged files are removed.
        """
        try:
            while staged.writes:
                staged.writes.popleft()()  # and its copy is let go
            (staged.directory / MANIFEST).write_text(json.dumps(staged.manifest, indent=1), encoding="utf-8")
            for folder, _, files in os.walk(staged.directory):
                for file in files:
                    _fsync(Path(folder, file))
                _fsync(Path(folder))
            target = self._free_path(staged.name)
            staged.directory.rename(target)
        except BaseException:
            shutil.rmtree(staged.directory, ignore_errors=True)
            raise
        _fsync(self.states_dir)
        return target

    def load_state(self, state_path: str | Path, *, allow_crashed: bool = False) -> None:
        """Load every component from a state's directory.

        Args:
            state_path: What :meth:`save_state` returned.
            allow_crashed: Whether the state of a run that an error ended will do.

        Raises:
            FileNotFoundError: If there is no state, or a component is not in it.
            ValueError: If its format is another, or it is of a crashed run.
        """
        path = Path(state_path)
        manifest = _read_manifest(path)
        missing = sorted(set(self._components) - set(manifest["components"]))
        if missing:
            raise FileNotFoundError(
                f"the state {path} has no {', '.join(missing)}; it was saved by another system"
            )
        if manifest["crashed"] and not allow_crashed:
            raise ValueError(
                f"the state {path} is of a run that an error ended; load an earlier one, "
                "or allow this one by allow_crashed (of a system: allow_crashed_state=True)"
            )
        for name, component in self._components.items():
            component.load_state(path / name)

    def _free_path(self, name: str) -> Path:
        wanted = path = self.states_dir / name
        number = 1
        while path.exists():  # two saves within the format's resolution
            number += 1
            path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        return path


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"{path} is not a saved state: it has no {MANIFEST}; give the directory that save_state() returned"
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT_VERSION:
        raise ValueError(f"{file} must have format {FORMAT_VERSION}; it was written by another version")
    _checks.state_keys(str(file), manifest, {"format", "crashed", "components"})
    return manifest


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

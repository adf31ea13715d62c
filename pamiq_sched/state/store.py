"""Save many components as one directory that is there whole or not at all.

A save is staged: components copy what they hold, or write it into a hidden directory. Then it is written out,
made durable, and published by an atomic rename: whoever lists the states sees complete ones only. A load verifies
every file before it changes a component, and puts all of them back if one refuses. One thread at a time; staging
needs every other thread to stand still, publishing does not.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import platform
import tempfile
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pamiq_sched
from pamiq_sched import _checks
from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state import codec
from pamiq_sched.state.files import FileRecord, FileSystem, naming, record_file, remove_tree, write_file
from pamiq_sched.state.manifest import (
    CHECKSUM,
    MANIFEST,
    TRACEBACK,
    Manifest,
    manifests_in,
    newest,
    verified,
    walk,
)

_logger = logging.getLogger(__name__)

STAGING = ".staging-"
REMOVING = ".removing-"


@dataclass(frozen=True)
class StagedState:
    """A state that is taken but not yet written whole, durable or visible."""

    directory: Path
    """Where it is written."""
    lock: int
    """A descriptor of that directory, locked for as long as this process works on it."""
    name: str
    """What it will be called, unless that is taken by then."""
    manifest: Manifest
    """What it says about itself, but for its files."""
    writes: deque[codec.Write]
    """What is still to be written."""


class StateStore:
    """Saves and loads the components that are registered with it.

    Args:
        states_dir: The directory of all states; made at the first save.
        state_name_format: How a state is named after the moment of its save, as for ``strftime``.
        files: The disk; the operating system's by default.

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
        ...     manifest = store.load_state(saved)
        >>> buffer.get_data(), manifest.components
        ([1.5], ['buffer'])
    """

    def __init__(
        self,
        states_dir: str | Path,
        state_name_format: str = "%Y-%m-%d_%H-%M-%S,%f.state",
        *,
        files: FileSystem | None = None,
    ) -> None:
        self.states_dir = Path(states_dir)
        self.state_name_format = state_name_format
        self.files = FileSystem() if files is None else files
        self._components: dict[str, PersistentStateMixin] = {}
        self._last_number: int | None = None  # of the states that are there; looked up at the first save
        self._unlisted: list[Path] = []  # directories that were made, but are not certain to be found again

    def register(self, name: str, state: PersistentStateMixin) -> None:
        """Keep a component from now on; they are saved and loaded in the order of registration.

        Raises:
            KeyError: If the name is taken.
            ValueError: If it cannot be the name of a file, or is that of the store's own.
        """
        own = (MANIFEST, CHECKSUM, TRACEBACK)
        if name in (*own, *(Path(file).stem for file in own)):
            raise ValueError(f"{', '.join(own)} are the store's own files; choose another name than {name!r}")
        if _checks.component_name("component", name) in self._components:
            raise KeyError(f"a component named {name!r} is registered already; choose another name")
        self._components[name] = state

    def save_state(self) -> Path:
        """Stage and publish at once; return the directory of the state."""
        return self.publish(self.stage())

    def stage(
        self, *, crashed: bool = False, traceback: str = "", about: Mapping[str, Any] | None = None
    ) -> StagedState:
        """Take the state of every component, while nothing changes them.

        What they save by the codec is copied, and written by :meth:`publish`; other files are written here.

        Args:
            crashed: Mark it as the state of a run that an error ended, not to be resumed from by default. A
                component that cannot be saved any more is left out then, and noted.
            traceback: How the run ended; kept beside the components.
            about: What else to note in the manifest, as JSON can hold it.

        Raises:
            OSError: If it cannot be written; what was written is removed.
            BaseException: What a component raised, likewise.
        """
        self._unlisted += [path for path in (self.states_dir, *self.states_dir.parents) if not path.exists()]
        self.states_dir.mkdir(parents=True, exist_ok=True)
        now = datetime.now().astimezone()
        directory = self.states_dir / f"{STAGING}{uuid.uuid4().hex}"
        with naming(directory):
            self.files.mkdir(directory)
        lock = _lock(directory)
        if lock is None:
            # Where there are no locks, leftovers cannot be told from what is worked on, and stay.
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        failed: dict[str, str] = {}
        try:
            with codec.deferring() as writes:
                for name, component in self._components.items():
                    try:
                        with naming(directory / name):
                            component.save_state(directory / name)
                    except BaseException as error:
                        if not crashed:
                            raise
                        failed[name] = repr(error)
                if traceback:
                    writes.append(partial(_write_traceback, directory / TRACEBACK, traceback))
        except BaseException:
            self._give_up(directory, lock)
            raise
        manifest = Manifest(
            number=0,  # which publish() looks up, when the threads run again
            saved_at=now.isoformat(),
            crashed=crashed,
            components=[name for name in self._components if name not in failed],
            failed=failed,
            about={"pamiq-sched": pamiq_sched.__version__, "python": platform.python_version(), **(about or {})},
        )
        name = now.strftime(self.state_name_format) + (".crashed" if crashed else "")
        return StagedState(directory, lock, name, manifest, writes)

    def publish(self, staged: StagedState) -> Path:
        """Write a staged state out, make it durable, then visible; return its directory.

        Raises:
            OSError: If the disk refuses; the staged files are removed.
        """
        try:
            self.remove_leftovers()
            records: dict[Path, FileRecord] = {}
            while staged.writes:
                records.update(staged.writes.popleft()(self.files))  # and its copy is let go
            manifest = self._complete(staged, records)
            for name, content in manifest.write().items():
                write_file(self.files, staged.directory / name, [content], durable=True)
            for inner in (*manifest.directories, "."):
                self._sync(staged.directory / inner)
            while self._unlisted:
                self._sync(self._unlisted[-1].parent)
                self._unlisted.pop()
            target = self._free_path(staged.name)
            with naming(target):
                self.files.rename(staged.directory, target)
            try:
                self._sync(self.states_dir)
            except BaseException:
                with suppress(OSError):
                    # What is not reported must not be the latest state.
                    self.files.rename(target, staged.directory)
                raise
        except BaseException:
            self.discard(staged)
            raise
        os.close(staged.lock)
        self._last_number = manifest.number
        return target

    def discard(self, staged: StagedState) -> None:
        """Remove a staged state that is not to be published; what cannot be removed now is a leftover."""
        self._give_up(staged.directory, staged.lock)

    def _complete(self, staged: StagedState, records: Mapping[Path, FileRecord]) -> Manifest:
        """Return the manifest with its number and all that is there; what is not durable yet becomes so."""
        if self._last_number is None:
            # Strictly: with one overlooked, the new state would count as older than that.
            states = manifests_in(self.states_dir, self.files, strict=True).values()
            self._last_number = max((m.number for m in states), default=0)
        directories: list[str] = []
        found: dict[str, FileRecord] = {}
        for name, size in sorted(walk(staged.directory)):
            file = staged.directory / name
            if isinstance(size, str):
                raise OSError(errno.EINVAL, f"a state may not hold {size}; let components write files", str(file))
            if size is None:
                directories.append(name)
            else:
                found[name] = records.get(file) or record_file(self.files, file, durable=True)
        return replace(staged.manifest, number=self._last_number + 1, directories=directories, files=found)

    def load_state(
        self, state_path: str | Path, *, allow_crashed: bool = False, fall_back: bool = False
    ) -> Manifest:
        """Load every component from a state's directory, or none.

        Everything is verified before the first component changes. If one refuses what it is given, those that
        were loaded before it are put back to what they held.

        Args:
            state_path: What :meth:`save_state` returned; or ``"latest"``, the newest one in ``states_dir``.
            allow_crashed: Whether the state of a run that an error ended will do.
            fall_back: Whether, if the latest is damaged, the newest one that is whole will do.

        Returns:
            What the state says about itself.

        Raises:
            FileNotFoundError: If there is no state, or a component is not in it.
            ValueError: If its format is another, or it is of a crashed run.
            StateDamagedError: If it is not what was saved: a ValueError that names component and file.
        """
        if state_path == "latest":
            latest = newest(self.states_dir, self.files, allow_crashed=allow_crashed, fall_back=fall_back)
            if latest is None:
                raise FileNotFoundError(
                    f"there is no state in {self.states_dir} to go on from; for a first run leave "
                    "saved_state_path out, or give latest_state(states_dir), which is None then"
                )
            path, manifest = latest
        else:
            path = Path(state_path)
            manifest = verified(path, self.files)
        missing = [name for name in self._components if name not in manifest.components]
        if missing:
            reasons = [f"{k} could not be saved: {v}" for k, v in manifest.failed.items() if k in missing]
            why = "; ".join(reasons) or "it was saved by another system"
            raise FileNotFoundError(f"the state {path} has no {', '.join(missing)}; {why}")
        if manifest.crashed and not allow_crashed:
            raise ValueError(
                f"the state {path} is of a run that an error ended; load an earlier one, "
                "or allow this one by allow_crashed (of a system: allow_crashed_state=True)"
            )
        self._load_all_or_none(path)
        return manifest

    def _load_all_or_none(self, path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="pamiq-sched-") as folder:
            held: dict[str, deque[codec.Write] | Exception] = {}
            for name, component in self._components.items():
                held[name] = _hold(component, Path(folder, name))
                try:
                    component.load_state(path / name)
                except BaseException as error:
                    error.add_note(f"raised while {name} was loaded from {path}")
                    for changed, writes in held.items():
                        self._put_back(changed, writes, Path(folder, changed), error)
                    raise

    def _put_back(
        self, name: str, writes: deque[codec.Write] | Exception, path: Path, cause: BaseException
    ) -> None:
        try:
            if isinstance(writes, Exception):
                raise writes
            for write in writes:
                write(FileSystem())
            self._components[name].load_state(path)
        except Exception as error:  # noqa: BLE001 - it must not hide what was refused
            cause.add_note(f"{name} was not put back to what it held before: {error!r}; make it anew")

    def remove_leftovers(self) -> None:
        """Remove what processes left behind that were killed while they saved, or removed a state.

        What somebody still works on is locked, and stays.
        """
        try:
            entries = [entry for entry in os.scandir(self.states_dir) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name.startswith((STAGING, REMOVING)):
                try:
                    remove_locked(self.states_dir / entry.name, self.files)
                except OSError as error:
                    _logger.warning("what an interrupted save left could not be removed: %s", error)

    def _give_up(self, directory: Path, lock: int) -> None:
        """Remove a staged state; what cannot be removed now is a leftover."""
        os.close(lock)
        with suppress(OSError):
            remove_locked(directory, self.files)

    def _sync(self, directory: Path) -> None:
        with naming(directory):
            self.files.fsync_directory(directory)

    def _free_path(self, name: str) -> Path:
        wanted = path = self.states_dir / name
        number = 1
        while path.exists():  # two saves within the format's resolution
            number += 1
            path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        return path


def remove_state(path: Path, files: FileSystem) -> None:
    """Remove a state: it vanishes from sight whole, then from the disk.

    Raises:
        OSError: If the disk refuses; what is left is out of sight, and removed at the next save.
    """
    hidden = path.with_name(f"{REMOVING}{uuid.uuid4().hex}")
    with naming(path):
        files.rename(path, hidden)
        # Else a power cut might bring back the name, but not all of the files.
        files.fsync_directory(path.parent)
    remove_locked(hidden, files)


def remove_locked(directory: Path, files: FileSystem) -> None:
    """Remove a directory, unless somebody works on it.

    Raises:
        OSError: If the disk refuses.
    """
    lock = _lock(directory)
    if lock is None:
        return
    try:
        remove_tree(files, directory)
    finally:
        os.close(lock)


def _lock(directory: Path) -> int | None:
    """Return a descriptor of a directory that is this process's to work on; None if it is another one's.

    The system takes the lock back when the process ends, however it ends.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _hold(component: PersistentStateMixin, path: Path) -> deque[codec.Write] | Exception:
    """Take what a component holds, or the reason for which it cannot be saved now."""
    try:
        with codec.deferring() as writes:
            component.save_state(path)
    except Exception as error:  # noqa: BLE001 - it matters only if the load is refused
        return error
    return writes


def _write_traceback(path: Path, text: str, files: FileSystem) -> dict[Path, FileRecord]:
    return {path: write_file(files, path, [text.encode(errors="backslashreplace")], durable=True)}

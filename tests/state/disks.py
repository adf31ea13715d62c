"""Disks that count, refuse and lose operations, what the tests save on them, and processes to kill.

All are real directories under a :class:`FileSystem` of their own. One thread each.
"""

import errno
import gc
import os
import random
import signal
import stat
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from pamiq_sched import LatestStatesKeeper, PersistentStateMixin, StateStore, latest_state
from pamiq_sched.state import FileSystem, StateDictMixin


class WatchedDisk(FileSystem):
    """Tells of each operation before it happens.

    It has nothing synced: no test cuts the real power, and that takes most of the time.

    Args:
        before: Called with the name of each operation; what it raises is raised instead.
    """

    def __init__(self, before: Callable[[str], None] = lambda operation: None) -> None:
        self.before = before
        self.operations: list[str] = []

    def next(self, operation: str) -> None:
        """Take note of an operation that follows now."""
        self.operations.append(operation)
        self.before(operation)

    def mkdir(self, path):
        self.next("mkdir")
        super().mkdir(path)

    def create(self, path):
        self.next("create")
        return super().create(path)

    def write(self, file, data):
        self.next("write")
        return super().write(file, data)

    def open(self, path):
        self.next("open")
        return super().open(path)

    def read(self, file, size):
        self.next("read")
        return super().read(file, size)

    def fsync(self, file):
        self.next("fsync")

    def fsync_directory(self, path):
        self.next("fsync_directory")

    def rename(self, source, target):
        self.next("rename")
        super().rename(source, target)

    def unlink(self, path):
        self.next("unlink")
        super().unlink(path)

    def rmdir(self, path):
        self.next("rmdir")
        super().rmdir(path)


class FailingDisk(WatchedDisk):
    """Refuses an operation, once or from then on.

    Args:
        error: The number of the error, as in :mod:`errno`.
        n: Which operation fails, counted from 1; 0 for none.
        for_good: Whether all that follow fail too.
        only: The operation that counts and fails; any by default.
    """

    def __init__(self, error: int = errno.ENOSPC, n: int = 0, *, for_good: bool = False, only: str = "") -> None:
        super().__init__(self._refuse)
        self.failed: list[str] = []
        self.arm(n, error, for_good=for_good, only=only)

    def _refuse(self, operation: str) -> None:
        if self._only in ("", operation):
            self._left -= 1
            if self._left == 0 or (self._left < 0 and self._for_good and self.failed):
                self.failed.append(operation)
                # Without a path, as where an operation gets a descriptor: whoever reports it has to know.
                raise OSError(self._error, os.strerror(self._error))

    def arm(self, n: int, error: int, *, for_good: bool = False, only: str = "") -> None:
        """Refuse what is said, counted from now on."""
        self.failed.clear()
        self._error, self._for_good, self._only, self._left = error, for_good, only, n

    def repair(self) -> None:
        """Refuse nothing from now on."""
        self.arm(0, 0)


class ShortWrites(WatchedDisk):
    """Takes a few bytes of each write, as a disk that is nearly full or a signal may have it."""

    def write(self, file, data):
        return super().write(file, data[:7])


Image: TypeAlias = bytes | tuple[int, tuple[tuple[str, "Image"], ...]]
"""A file's content; or when a directory was changed, and what is in it."""


class LosingDisk(WatchedDisk):
    """Knows what a power cut would leave of a directory.

    What a file holds is certain when it was fsynced, what a directory lists when that was. Both are known by
    inode, as a disk knows them; each that was seen is kept open, so that its number is not given to another.

    Args:
        root: The directory; what is in it is on the disk already.
        before: As for :class:`WatchedDisk`.
    """

    def __init__(self, root: Path, before: Callable[[str], None]) -> None:
        super().__init__(before)
        self._descriptors: dict[int, int] = {}
        self._contents: dict[int, bytes] = {}
        self._entries: dict[int, dict[str, int]] = {}
        self._times: dict[int, int] = {}
        # What was done in a directory since it was fsynced, in order; each takes place as a whole or not at all.
        self._changes: dict[int, list[dict[str, int | None]]] = {}
        self._root = self._inode(root)
        self._take_over(self._root)

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def mkdir(self, path):
        super().mkdir(path)
        self._changed(path, {path.name: self._inode(path)})

    def create(self, path):
        file = super().create(path)
        self._changed(path, {path.name: self._inode(path)})
        return file

    def fsync(self, file):
        super().fsync(file)
        inode = self._inode(f"/proc/self/fd/{file.fileno()}")
        self._contents[inode] = self._read(inode)

    def fsync_directory(self, path):
        super().fsync_directory(path)
        inode = self._inode(path)
        self._entries[inode] = self._list(inode)
        self._times[inode] = os.stat(path).st_mtime_ns
        self._changes.pop(inode, None)

    def rename(self, source, target):
        assert source.parent == target.parent, "a rename between directories would be two changes"
        inode = self._inode(source)
        super().rename(source, target)
        self._changed(target, {source.name: None, target.name: inode})

    def unlink(self, path):
        self._inode(path)
        super().unlink(path)
        self._changed(path, {path.name: None})

    def rmdir(self, path):
        self._inode(path)
        super().rmdir(path)
        self._changed(path, {path.name: None})

    def cut(self, chance: random.Random | None = None) -> Image:
        """Tell what a power cut would leave at this moment.

        Args:
            chance: Decides what survives of what is not certain; without, nothing of it does.
        """
        return self._left(self._root, chance, chance.choice([0.1, 0.5, 0.9]) if chance else 0.0)

    def _left(self, inode: int, chance: random.Random | None, odds: float) -> Image:
        if inode not in self._entries and not stat.S_ISDIR(os.fstat(self._descriptors[inode]).st_mode):
            content = self._contents.get(inode, b"")
            return _torn(content, self._read(inode), chance) if chance else content
        left: dict[str, int | None] = dict(self._entries.get(inode, {}))
        time = self._times.get(inode, 0)
        if chance:
            for change in self._all_changes(inode):
                if chance.random() < odds:
                    left.update(change)
                    time = os.fstat(self._descriptors[inode]).st_mtime_ns
        return time, tuple(
            (name, self._left(i, chance, odds)) for name, i in sorted(left.items()) if i is not None
        )

    def _all_changes(self, inode: int) -> list[dict[str, int | None]]:
        """Those that were seen, and those that somebody made beside this file system."""
        changes = self._changes.get(inode, [])
        expected: dict[str, int | None] = dict(self._entries.get(inode, {}))
        for change in changes:
            expected.update(change)
        there = self._list(inode)
        unseen = [name for name in sorted(expected.keys() | there) if expected.get(name) != there.get(name)]
        return [*changes, *({name: there.get(name)} for name in unseen)]

    def _changed(self, path: Path, change: dict[str, int | None]) -> None:
        self._changes.setdefault(self._inode(path.parent), []).append(change)

    def _take_over(self, inode: int) -> None:
        if stat.S_ISDIR(os.fstat(self._descriptors[inode]).st_mode):
            self._entries[inode] = self._list(inode)
            self._times[inode] = os.fstat(self._descriptors[inode]).st_mtime_ns
            for inner in self._entries[inode].values():
                self._take_over(inner)
        else:
            self._contents[inode] = self._read(inode)

    def _inode(self, path: str | Path, within: int | None = None) -> int:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=within)
        inode = os.fstat(descriptor).st_ino
        if self._descriptors.setdefault(inode, descriptor) != descriptor:
            os.close(descriptor)
        return inode

    def _list(self, inode: int) -> dict[str, int]:
        descriptor = self._descriptors[inode]
        with os.scandir(descriptor) as entries:
            found = {entry.name: entry.inode() for entry in entries}
        for name in (name for name, inode in found.items() if inode not in self._descriptors):
            self._inode(name, descriptor)
        return found

    def _read(self, inode: int) -> bytes:
        descriptor = self._descriptors[inode]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _torn(certain: bytes, written: bytes, chance: random.Random) -> bytes:
    """What a disk may have of a file that was being written: all, nothing, a part, or holes."""
    if certain == written:
        return certain
    block = 16  # small, as the files of the tests are
    holes = b"".join(
        written[at : at + block] if chance.random() < 0.5 else bytes(len(written[at : at + block]))
        for at in range(0, len(written), block)
    )
    return chance.choice([certain, written, written[: chance.randrange(len(written) + 1)], holes])


def restore(image: Image, target: Path) -> None:
    """Make a directory, or a file, as an image says."""
    if isinstance(image, bytes):
        target.write_bytes(image)
        return
    time, entries = image
    target.mkdir()
    for name, inner in entries:
        restore(inner, target / name)
    os.utime(target, ns=(time, time))


@contextmanager
def closing(disk: LosingDisk) -> Iterator[LosingDisk]:
    """Let a disk's descriptors go at the end."""
    try:
        yield disk
    finally:
        disk.close()


# What is saved: each part keeps one number, in a way of its own, and refuses to load anything torn.


class Tensors(StateDictMixin):
    """Keeps its number in tensors, arrays and JSON, all three files of the codec."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def state_dict(self):
        return {
            "weights": torch.full((3, 5), float(self.value)),
            "moments": [torch.full((4,), self.value), torch.full((4,), self.value + 1)],
            "array": np.full(7, self.value, dtype=np.int16),
            "step": self.value,
        }

    def load_state_dict(self, state):
        (value,) = {
            state["step"],
            *state["weights"].flatten().tolist(),
            *state["moments"][0].tolist(),
            *(state["moments"][1] - 1).tolist(),
            *state["array"].tolist(),
        }
        self.value = int(value)


class Notes(StateDictMixin):
    """Keeps its number in JSON."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def state_dict(self):
        return {"step": self.value, "text": f"after {self.value} steps"}

    def load_state_dict(self, state):
        assert state["text"] == f"after {state['step']} steps"
        self.value = state["step"]


class OwnFiles(PersistentStateMixin):
    """Keeps its number in files of its own, in directories of its own."""

    def __init__(self, value: int = 0, disk: WatchedDisk | None = None) -> None:
        self.value = value
        self.disk = WatchedDisk() if disk is None else disk

    def save_state(self, path):
        for name in ("number.txt", "inner/number.txt"):
            self.disk.next("own")
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            self.disk.next("own")
            (path / name).write_text(f"{self.value} " * 20)
        (path / "inner" / "empty").mkdir()

    def load_state(self, path):
        texts = [file.read_text() for file in path.rglob("number.txt")]
        assert len(texts) == 2
        assert (path / "inner" / "empty").is_dir()
        (value,) = {int(word) for text in texts for word in text.split()}
        self.value = value


KINDS = {"tensors": Tensors, "notes": Notes, "own": OwnFiles}


def make_store(
    states_dir: Path, disk: WatchedDisk, value: int, kinds: tuple[str, ...] = tuple(KINDS)
) -> StateStore:
    """A store of new parts that all hold a number."""
    store = StateStore(states_dir, files=disk)
    for name in kinds:
        store.register(name, OwnFiles(value, disk) if name == "own" else KINDS[name](value))
    return store


def values(store: StateStore) -> set[int]:
    """The numbers that the parts of a store hold."""
    return {part.value for part in store._components.values()}


def newest_value(states_dir: Path, kinds: tuple[str, ...] = tuple(KINDS)) -> int | None:
    """The number in the newest state, loaded whole; None if there is no state."""
    path = latest_state(states_dir)
    if path is None:
        return None
    store = make_store(states_dir, WatchedDisk(), -1, kinds)
    store.load_state(path)
    (value,) = values(store)
    return value


def make_keeper(states_dir: Path, disk: FileSystem, max_keep: int = 1) -> LatestStatesKeeper:
    keeper = LatestStatesKeeper(states_dir, max_keep)
    keeper.files = disk
    return keeper


def error_of(action: Callable[[], object]) -> OSError | None:
    """Do something; return what the disk had against it."""
    try:
        action()
    except OSError as error:
        return error
    return None


# Processes.


def start(action: Callable[[int, int], None]) -> tuple[int, int, int]:
    """Run something in a process of its own, which ends by SIGKILL.

    Args:
        action: Called there with a descriptor to report to and one to wait at.

    Returns:
        The process, a descriptor of what it reports, one to let it go on by.
    """
    reports, report = os.pipe()
    gate, opener = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch has threads, which the child does not need
        process = os.fork()
    if not process:
        try:
            gc.disable()  # it would touch, and so copy, all memory of the parent
            os.close(reports)
            os.close(opener)
            action(report, gate)
        except BaseException:  # noqa: BLE001 - the parent is told
            os.write(report, traceback.format_exc().encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(report)
    os.close(gate)
    return process, reports, opener


def end(process: int, reports: int, opener: int) -> str:
    """Wait until a process has ended; return the rest of what it reported."""
    os.close(opener)
    with open(reports, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert "Traceback" not in text, text
    return text

"""Describe a saved state without loading it: what it holds, whether it is what was saved.

No code of a state runs, no link is followed, nothing outside is opened. What is damaged is told, and the rest is
described; of tensors only the headers are read, unless their numbers are asked for. Pure data; any thread.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_sched.state.files import FileSystem, read_file
from pamiq_sched.state.manifest import TRACEBACK, Manifest, is_state, no_state, owner_of, walk
from pamiq_sched.state.store import REMOVING, STAGING
from pamiq_sched.state.structure import ARRAYS, Node, OpenedValue, leaves, node, open_value, value_names
from pamiq_sched.state.table_reader import StoredTensor, values

LONGEST_TRACEBACK = 1 << 20
"""Bytes."""


@dataclass(frozen=True)
class Numbers:
    """What the numbers of a tensor are like. Complex ones count with both parts, booleans as 0 and 1."""

    least: float | None
    """Of the finite ones; None if there are none."""
    greatest: float | None
    mean: float | None
    nan: int
    """How many are not a number."""
    infinite: int


@dataclass(frozen=True)
class SavedTensor:
    """A tensor or array in a value."""

    path: str
    """In the value; in the table if the value does not refer to it."""
    kind: str
    """``tensor``, ``list of tensors`` (stacked), ``array`` or ``numpy scalar``."""
    dtype: str
    shape: tuple[int, ...]
    numbers: Numbers | None = None
    """Only if they were asked for."""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SavedValue:
    """What a part of a component has written by the codec."""

    name: str
    """The path in the state, without an ending."""
    files: int
    size: int
    """Bytes."""
    kind: str
    """As Python calls it; empty if it cannot be read."""
    keys: tuple[str, ...]
    """Of the value, if it is a dict."""
    counts: dict[str, int]
    """Whole numbers in it that tell how far something has come, and how many items it has, by path."""
    tensors: tuple[SavedTensor, ...]
    problems: tuple[str, ...]
    """What could not be read of it, and why."""


@dataclass(frozen=True)
class SavedComponent:
    """What is in a state under the name of one component; those that belong to none are under an empty name."""

    name: str
    files: int
    size: int
    """Bytes."""
    values: tuple[SavedValue, ...]
    others: tuple[str, ...]
    """Files that were written by something else than the codec."""


@dataclass(frozen=True)
class SavedState:
    """What a directory holds that is, or was, a state."""

    path: Path
    manifest: Manifest | None
    """What it says about itself; None if that cannot be read."""
    problems: tuple[str, ...]
    """What is not as it was saved."""
    components: tuple[SavedComponent, ...]
    """In the order of loading."""
    traceback: str
    """How the run ended, if an error ended it."""

    @property
    def verifies(self) -> bool:
        """Whether every bit of it is as it was saved."""
        return not self.problems

    @property
    def size(self) -> int:
        """Bytes of all components."""
        return sum(component.size for component in self.components)


@dataclass(frozen=True)
class StateSummary:
    """A state in a directory of states."""

    path: Path
    manifest: Manifest | None
    """What it says about itself; None if that cannot be read."""
    size: int
    """Bytes."""
    problems: tuple[str, ...]
    """What is not as it was saved, by names and sizes; of the newest, by contents."""


@dataclass(frozen=True)
class SavedStates:
    """What a directory of states holds."""

    path: Path
    states: tuple[StateSummary, ...]
    """The newest last."""
    unfinished: tuple[str, ...]
    """Directories of saves that are under way, or were interrupted."""


def inspect_state(path: str | Path, *, numbers: bool = False) -> SavedState:
    """Describe a state; every file is read to verify it.

    Args:
        path: What ``save_state()`` returned.
        numbers: Whether to look at the numbers of tensors, which takes longer.

    Raises:
        FileNotFoundError: If there is no state.

    Example:
        >>> import tempfile
        >>> from pamiq_sched import SequentialBuffer, StateStore
        >>> buffer = SequentialBuffer(10)
        >>> buffer.add(1.5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = StateStore(folder)
        ...     store.register("buffer", buffer)
        ...     state = inspect_state(store.save_state())
        >>> state.verifies, [(c.name, c.values[0].counts) for c in state.components]
        (True, [('buffer', {'items': 1})])
    """
    path, files = Path(path), FileSystem()
    if not is_state(path):
        raise no_state(path)
    there, problems = sizes_in(path)
    manifest, differences = _verified(path, files, contents=True)
    problems += differences
    return SavedState(
        path,
        manifest,
        tuple(dict.fromkeys(problems)),
        tuple(_components(path, manifest, there, files, numbers)),
        _traceback(path, there, files),
    )


def inspect_states(path: str | Path) -> SavedStates:
    """Describe the states of a directory. The newest is read to verify it; of the others names and sizes count.

    Args:
        path: The ``states_dir`` of a run.

    Raises:
        FileNotFoundError: If there is nothing that was ever saved.
        OSError: If it cannot be read.
    """
    path, files = Path(path), FileSystem()
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    unfinished = tuple(name for name in names if name.startswith((STAGING, REMOVING)))
    found = []
    for state in (path / name for name in names if not name.startswith(".") and is_state(path / name)):
        manifest, problems = _verified(state, files, contents=False)
        found.append(StateSummary(state, manifest, sum(sizes_in(state)[0].values()), tuple(problems)))
    if not found and not unfinished:
        raise FileNotFoundError(
            f"{path} is neither a saved state nor a directory of states; give what save_state() returned, "
            "or the states_dir of a run"
        )
    found = _in_order(found)
    if found:
        last = found[-1]
        _, problems = _verified(last.path, files, contents=True)
        found[-1] = StateSummary(last.path, last.manifest, last.size, tuple(problems))
    return SavedStates(path, tuple(found), unfinished)


def sizes_in(path: Path) -> tuple[dict[str, int], list[str]]:
    """Return the sizes of the regular files in a state by name, and why others may be missing."""
    found = {}
    try:
        for name, size in walk(path):
            if isinstance(size, int):
                found[name] = size
    except (OSError, RecursionError) as error:
        return found, [f"not all of it can be listed: {error}"]
    return dict(sorted(found.items())), []


def component_names(manifest: Manifest | None, there: Iterable[str]) -> list[str]:
    """Return the components of a state; without a manifest those that its files suggest."""
    if manifest is not None:
        return [*manifest.components, *manifest.failed]
    top = {name.partition("/")[0]: "/" in name for name in there}
    top.pop(TRACEBACK, None)
    return sorted(
        {first if is_folder else next(iter(value_names([first])), first) for first, is_folder in top.items()}
    )


def _verified(path: Path, files: FileSystem, *, contents: bool) -> tuple[Manifest | None, list[str]]:
    """Return what a state says about itself, and what is not so."""
    manifest: Manifest | None = None
    problems: list[str] = []
    try:
        manifest = Manifest.read(path, files)
        problems.extend(manifest.differences(path, files, contents=contents))
    except (OSError, ValueError) as error:
        problems.append(str(error))
    except RecursionError:
        problems.append(f"{path} has directories that are nested too deeply")
    return manifest, problems


def _in_order(states: list[StateSummary]) -> list[StateSummary]:
    readable = [(s.manifest.number, s.manifest.saved_at, s.path.name, s) for s in states if s.manifest]
    ordered = [s for *_, s in sorted(readable, key=lambda item: item[:3])]
    # Of one without a readable manifest only the time tells where it belongs.
    for state in (s for s in states if not s.manifest):
        moment = state.path.stat().st_mtime_ns
        ordered.insert(sum(s.path.stat().st_mtime_ns < moment for s in ordered), state)
    return ordered


def _components(
    path: Path, manifest: Manifest | None, there: dict[str, int], files: FileSystem, numbers: bool
) -> Iterable[SavedComponent]:
    names = component_names(manifest, there)
    owned: dict[str, dict[str, int]] = {name: {} for name in names}
    for file, size in there.items():
        if file != TRACEBACK:
            owned.setdefault(owner_of(file, names), {})[file] = size
    for name, own in owned.items():
        others = dict(own)
        found = []
        for value, its_files in value_names(own).items():
            opened = open_value(path, value, own, files)
            if opened is not None:
                size = sum(others.pop(file, 0) for file in its_files)
                found.append(_described(value, len(its_files), size, opened, files, numbers))
        yield SavedComponent(name, len(own), sum(own.values()), tuple(found), tuple(others))


def _described(
    name: str, file_count: int, size: int, opened: OpenedValue, files: FileSystem, numbers: bool
) -> SavedValue:
    problems = list(opened.problems)
    kind = ""
    keys: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    tensors: list[SavedTensor] = []
    lost: list[str] = []
    unused = {(ending, key): stored for ending, table in opened.tables.items() for key, stored in table.items()}

    def add(path: str, kind: str, stored: StoredTensor) -> None:
        told = None
        if numbers:
            try:
                told = _numbers(stored, files)
            except (OSError, ValueError) as error:
                problems.append(f"the numbers of {path} cannot be read: {error}")
        tensors.append(SavedTensor(path, kind, stored.dtype, stored.shape, told))

    if opened.is_read:
        try:
            top = node(opened.structure)
            kind = top.kind
            keys = tuple(k.removeprefix(".") for k in top.parts or ()) if top.kind == "dict" else ()
            counts = _counts(opened, top)
            for path, leaf in leaves(opened.structure):
                if type(leaf.leaf) is int and path.endswith((".last_epoch", ".step")):
                    # Of schedules and optimizers; of the parameters of one the furthest counts.
                    key = re.sub(r"\.state\[[^]]*\]", "", path)
                    counts[key] = max(leaf.leaf, counts.get(key, leaf.leaf))
                if not leaf.table:
                    continue
                stored = opened.stored(leaf)
                if stored is None:
                    lost.append(path)
                elif unused.pop((leaf.table, leaf.leaf), None) is not None:
                    add(path, leaf.kind, stored)
        except (ValueError, RecursionError) as error:
            problems.append(f"the structure of {name} cannot be read: {error}")
    if lost:
        more = f", and so do {len(lost) - 1} more" if len(lost) > 1 else ""
        problems.append(f"{lost[0]} refers to a tensor that is not there{more}")
    for (ending, key), stored in unused.items():
        add(key, "array" if ending == ARRAYS else "tensor", stored)
    return SavedValue(name, file_count, size, kind, keys, counts, tuple(tensors), tuple(problems))


def _counts(opened: OpenedValue, top: Node) -> dict[str, int]:
    """Return all whole numbers that stand on top (versions, steps), and how many items a buffer has."""
    counts: dict[str, int] = {}
    for label, part in (top.parts or {}).items() if top.kind == "dict" else ():
        if type(part) is int:
            counts[label.removeprefix(".")] = part
    for path, part in _rows(opened.structure, top):
        inner = node(part)
        stored = opened.stored(inner)
        if inner.kind == "list of tensors" and stored is not None and stored.shape:
            counts[path] = stored.shape[0]
        elif inner.parts is not None and inner.kind not in ("dict", "Counter"):
            counts[path] = len(inner.parts)
    return counts


def _rows(structure: Any, top: Node) -> Iterable[tuple[str, Any]]:
    """Yield what a buffer keeps its items in: a list, or one for each column."""
    if top.kind != "dict":
        yield "items", structure
    else:
        parts = top.parts or {}
        if ".items" in parts:
            yield "items", parts[".items"]
        if ".columns" in parts:
            columns = node(parts[".columns"])
            yield from ((f"columns{label}", part) for label, part in (columns.parts or {}).items())


def _numbers(stored: StoredTensor, files: FileSystem) -> Numbers:
    least, greatest = math.inf, -math.inf
    total, finite, nan, infinite = 0.0, 0, 0, 0
    for bits in stored.pieces(files):
        piece = values(bits, stored.dtype)
        if piece.dtype.kind == "c":
            piece = piece.view(np.float32)
        if piece.dtype.kind == "f":
            nan += int(np.isnan(piece).sum())
            infinite += int(np.isinf(piece).sum())
            piece = piece[np.isfinite(piece)]
        if piece.size:
            least, greatest = min(least, piece.min().item()), max(greatest, piece.max().item())
            finite += piece.size
            with np.errstate(over="ignore"):
                total += float(piece.sum(dtype=np.float64))
    if not finite:
        return Numbers(None, None, None, nan, infinite)
    return Numbers(least, greatest, total / finite, nan, infinite)


def _traceback(path: Path, there: Mapping[str, int], files: FileSystem) -> str:
    if TRACEBACK not in there:
        return ""
    try:
        return read_file(files, path / TRACEBACK, most=LONGEST_TRACEBACK).decode(errors="backslashreplace")
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"

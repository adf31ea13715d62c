"""Compare two saved states, bit by bit, without loading either.

What differs is named by its path; NaN equals NaN, and 0.0 differs from -0.0. Tensors are read piece by piece. Pure
functions; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from pamiq_sched.state.files import CHUNK, FileSystem, naming
from pamiq_sched.state.inspection import SavedState, component_names, inspect_state, sizes_in
from pamiq_sched.state.manifest import owner_of
from pamiq_sched.state.structure import JSON, Node, OpenedValue, joined, node, open_value, value_names
from pamiq_sched.state.table_reader import StoredTensor, values

OF_THE_OCCASION = frozenset({"uptime"})
"""What a run told that says nothing about what it had become: one that was resumed started later."""


@dataclass(frozen=True)
class Difference:
    """Something that two states do not have alike."""

    value: str
    """The value or file in the state that it is in; empty for what is about the whole."""
    path: str
    """In the value; empty if all of it differs."""
    text: str
    """In what way."""

    @override
    def __str__(self) -> str:
        return ": ".join(part for part in (self.value, self.path, self.text) if part)


@dataclass(frozen=True)
class ComponentComparison:
    """How one component compares in two states."""

    equal: int
    """Tensors and plain values that are equal, and other files."""
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class StateComparison:
    """How two states compare. Their names, numbers and times of saving do not count."""

    a: SavedState
    b: SavedState
    about: tuple[Difference, ...]
    """In what they say about their runs."""
    components: dict[str, ComponentComparison]
    """By name; what belongs to none is under an empty name."""

    @property
    def are_equal(self) -> bool:
        """Whether they hold the same."""
        return not self.about and not any(c.differences for c in self.components.values())


def compare_states(a: str | Path, b: str | Path) -> StateComparison:
    """Compare what two states hold.

    Args:
        a: A state.
        b: Another one.

    Raises:
        FileNotFoundError: If one is no state.
        OSError: If a file cannot be read.

    Example:
        >>> import tempfile
        >>> from pamiq_sched import SequentialBuffer, StateStore
        >>> buffer = SequentialBuffer(10)
        >>> buffer.add(1.5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = StateStore(folder)
        ...     store.register("buffer", buffer)
        ...     before = store.save_state()
        ...     buffer.add(2.5)
        ...     comparison = compare_states(before, store.save_state())
        >>> print(*comparison.components["buffer"].differences)
        buffer: items: 1 item in A, 2 items in B
    """
    first, second = inspect_state(a), inspect_state(b)
    components = _Sides(first.path, second.path).compare(first, second)
    return StateComparison(first, second, tuple(_about(first, second)), components)


@dataclass
class _Tally:
    """What is found while one component is compared."""

    equal: int = 0
    differences: list[Difference] = field(default_factory=list)

    def note(self, value: str, path: str, text: str) -> None:
        self.differences.append(Difference(value, path, text))


class _Sides:
    """The files of two states."""

    def __init__(self, a: Path, b: Path) -> None:
        self._files = FileSystem()
        self._roots = a, b
        self._there = sizes_in(a)[0], sizes_in(b)[0]

    def compare(self, a: SavedState, b: SavedState) -> dict[str, ComponentComparison]:
        names = dict.fromkeys(
            (*component_names(a.manifest, self._there[0]), *component_names(b.manifest, self._there[1]))
        )
        owned: dict[str, set[str]] = {name: set() for name in names}
        for file in self._there[0].keys() | self._there[1].keys():
            owned.setdefault(owner_of(file, names), set()).add(file)
        return {name: self._component(sorted(files)) for name, files in owned.items()}

    def _component(self, its_files: list[str]) -> ComponentComparison:
        tally = _Tally()
        others = dict.fromkeys(its_files)
        for value, value_files in value_names(its_files).items():
            if self._value(value, tally):
                for file in value_files:
                    others.pop(file, None)
        for file in others:
            self._file(file, tally)
        return ComponentComparison(tally.equal, tuple(tally.differences))

    def _value(self, name: str, tally: _Tally) -> bool:
        """Compare a value by its parts; return False if it can only be compared by its files."""
        a, b = (open_value(r, name, t, self._files) for r, t in zip(self._roots, self._there, strict=True))
        are_there = [name + JSON in there for there in self._there]
        if a is None or b is None or are_there == [False, False]:
            return False
        if are_there != [True, True]:
            tally.note(name, "", f"only in {'A' if are_there[0] else 'B'}")
            return True
        if not (a.is_read and b.is_read) or a.problems or b.problems:
            return False
        found = _Tally()
        try:
            _Walk(name, a, b, self._files, found).compare(a.structure, b.structure, "")
        except (OSError, ValueError, RecursionError):
            return False
        tally.equal += found.equal
        tally.differences += found.differences
        return True

    def _file(self, name: str, tally: _Tally) -> None:
        sizes = [there.get(name) for there in self._there]
        if None in sizes:
            tally.note(name, "", f"only in {'B' if sizes[0] is None else 'A'}")
        elif sizes[0] != sizes[1]:
            tally.note(name, "", f"{sizes[0]} bytes in A, {sizes[1]} in B")
        elif _contents_differ(self._roots[0] / name, self._roots[1] / name, self._files):
            tally.note(name, "", "the contents differ")
        else:
            tally.equal += 1


class _Walk:
    """Goes through the structures of one value side by side."""

    def __init__(self, name: str, a: OpenedValue, b: OpenedValue, files: FileSystem, tally: _Tally) -> None:
        self._name = name
        self._a = a
        self._b = b
        self._files = files
        self._tally = tally

    def compare(self, a: Any, b: Any, path: str) -> None:
        """Compare two structures, down to the leaves.

        Raises:
            ValueError: If one is damaged.
            OSError: If a tensor cannot be read.
        """
        left, right = node(a), node(b)
        if left.kind != right.kind:
            self._note(path, f"{self._told(left, self._a)} in A, {self._told(right, self._b)} in B")
        elif left.table:
            self._note_or_count(path, self._tensors(left, right))
        elif left.parts is None or right.parts is None:
            # By repr, which tells the zeros apart.
            same = repr(left.leaf) == repr(right.leaf)
            self._note_or_count(path, "" if same else _unlike(_short(left), _short(right)))
        else:
            self._parts(left, left.parts, right.parts, path)

    def _parts(self, left: Node, a: Mapping[str, Any], b: Mapping[str, Any], path: str) -> None:
        is_mapping = left.kind in ("dict", "Counter")
        if not is_mapping and len(a) != len(b):
            self._note(path, f"{_items(len(a))} in A, {_items(len(b))} in B")
        for label in dict.fromkeys((*a, *b)):
            if label in a and label in b:
                self.compare(a[label], b[label], f"{path}{label}")
            elif is_mapping:
                self._note(f"{path}{label}", f"only in {'A' if label in a else 'B'}")

    def _tensors(self, left: Node, right: Node) -> str:
        a, b = self._a.stored(left), self._b.stored(right)
        if a is None or b is None:
            raise ValueError("it refers to a tensor that is not there")
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{_kind(a)} in A, {_kind(b)} in B"
        return _unlike_numbers(a, b, self._files)

    def _told(self, found: Node, opened: OpenedValue) -> str:
        if found.table:
            stored = opened.stored(found)
            return found.kind + ("" if stored is None else f" of {_kind(stored)}")
        return _short(found) if found.parts is None else f"{found.kind} with {_items(len(found.parts))}"

    def _note_or_count(self, path: str, text: str) -> None:
        if text:
            self._note(path, text)
        else:
            self._tally.equal += 1

    def _note(self, path: str, text: str) -> None:
        self._tally.note(self._name, joined(path), text)


def _about(a: SavedState, b: SavedState) -> list[Difference]:
    if a.manifest is None or b.manifest is None:
        return [
            Difference("", "", f"what {side} says about itself cannot be read")
            for side, state in (("A", a), ("B", b))
            if state.manifest is None
        ]
    tally = _Tally()
    told = [
        {
            "crashed": state.crashed,
            "components": dict.fromkeys(state.components, "saved") | state.failed,
            **{key: value for key, value in state.about.items() if key not in OF_THE_OCCASION},
        }
        for state in (a.manifest, b.manifest)
    ]
    nothing = OpenedValue()  # for there are no tensors in it
    try:
        _Walk("", nothing, nothing, FileSystem(), tally).compare(told[0], told[1], "")
    except (ValueError, RecursionError):  # what looks like the codec's, but is not
        if told[0] != told[1]:
            tally.note("", "", "what they say about their runs differs")
    return tally.differences


def _unlike_numbers(a: StoredTensor, b: StoredTensor, files: FileSystem) -> str:
    """Say how the numbers of two tensors of one kind differ; nothing if they do not."""
    differing, lost = 0, 0
    largest: float = 0
    for x, y in zip(a.pieces(files), b.pieces(files), strict=True):
        where = np.flatnonzero(x != y)
        if not where.size:
            continue
        left, right = values(x[where], a.dtype), values(y[where], b.dtype)
        if left.dtype.kind in "fc":
            both = np.isnan(left) & np.isnan(right)
            left, right = left[~both], right[~both]
        differing += left.size
        if a.count == 1 and differing:
            return f"{left.item()} in A, {right.item()} in B"
        apart = _apart(left, right)
        is_nan = np.isnan(apart)
        lost += int(is_nan.sum())
        largest = max(largest, apart[~is_nan].max(initial=0).item())
    if not differing:
        return ""
    text = f"{differing} of {a.count} numbers differ"
    if lost < differing:
        text += f", largest difference {largest:.3g}"
    return text + (f", {lost} are NaN in one of them" if lost else "")


def _apart(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if a.dtype.kind in "fc":
        wide = np.complex128 if a.dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            apart: np.ndarray[Any, Any] = np.abs(a.astype(wide) - b.astype(wide))
    else:  # modulo 2^64, in which the difference of two integers is exact
        apart = np.maximum(a, b).astype(np.uint64) - np.minimum(a, b).astype(np.uint64)
    return apart


def _contents_differ(a: Path, b: Path, files: FileSystem) -> bool:
    with naming(a), files.open(a) as first, naming(b), files.open(b) as second:
        read: list[Callable[[], bytes]] = [lambda: files.read(first, CHUNK), lambda: files.read(second, CHUNK)]
        return any(x != y for x, y in zip_longest(*(iter(r, b"") for r in read)))


def _kind(stored: StoredTensor) -> str:
    return f"{stored.dtype} {stored.shape}"


def _short(found: Node) -> str:
    if found.kind in ("float", "NoneType", "bool", "int"):
        return str(found.leaf)
    if found.kind in ("bytes", "bytearray"):
        return f"{found.kind} of {len(found.leaf) * 3 // 4}"
    text = repr(found.leaf)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _items(count: int) -> str:
    return f"{count} item{'' if count == 1 else 's'}"


def _unlike(a: str, b: str) -> str:
    return "they differ" if a == b else f"{a} in A, {b} in B"

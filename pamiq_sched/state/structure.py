"""Walk over what the codec wrote without turning it into values.

So a state can be looked at without torch, whatever is in it: numbers stay in their files until they are asked for,
and what is damaged does not hide the rest. Pure functions; any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pamiq_sched import _checks
from pamiq_sched.state import codec
from pamiq_sched.state.files import FileSystem, read_file
from pamiq_sched.state.table_reader import LONGEST, StoredTensor, read_header

JSON = ".json"
TENSORS = ".safetensors"
ARRAYS = ".arrays.safetensors"

WHOLE = "the value"
"""The path of a value that is no container."""

_KINDS = {
    "$dict": "dict",
    "$counter": "Counter",
    "$deque": "deque",
    "$tuple": "tuple",
    "$set": "set",
    "$frozenset": "frozenset",
    "$tensor": "tensor",
    "$stack": "list of tensors",
    "$array": "array",
    "$scalar": "numpy scalar",
    "$float": "float",
    "$bytes": "bytes",
    "$bytearray": "bytearray",
}


class Node(NamedTuple):
    """One part of a structure."""

    kind: str
    """As Python calls it."""
    parts: Mapping[str, Any] | None
    """Those of a container, by the end of their paths; None if it is no container."""
    leaf: Any = None
    """The value of something plain; of a tensor the name in its table."""
    shape: tuple[int, ...] | None = None
    """Of an array, whose table has no axes."""

    @property
    def table(self) -> str:
        """The ending of the table that its numbers are in; empty if it has none."""
        if self.kind in ("tensor", "list of tensors"):
            return TENSORS
        return ARRAYS if self.kind in ("array", "numpy scalar") else ""


def node(structure: Any) -> Node:  # noqa: PLR0911 - one for each kind
    """Return what a structure is, its parts unopened.

    Raises:
        ValueError: If no codec wrote it.
    """
    if isinstance(structure, list):
        return Node("list", _numbered(structure))
    if not isinstance(structure, dict):
        return Node(type(structure).__name__, None, structure)
    tag = next(iter(structure), "")
    if not tag.startswith("$"):
        return Node("dict", {f".{key}": part for key, part in structure.items()})
    if tag not in _KINDS:
        raise ValueError(f"unknown tag {tag!r:.60}; it was saved by another version, or is damaged")
    kind, content = _KINDS[tag], structure[tag]
    try:
        if tag in ("$dict", "$counter"):
            return Node(kind, {_label(key): part for key, part in content})
        if tag in ("$tuple", "$set", "$frozenset"):
            return Node(kind, _numbered(content))
        if tag == "$deque":
            return Node(f"{kind} of at most {structure['maxlen']}", _numbered(content))
        if tag in ("$array", "$scalar"):
            return Node(kind, None, str(content), tuple(_checks.count("a length", n) for n in structure["shape"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"what is tagged {tag!r} is damaged: {error!r:.200}") from error
    return Node(kind, None, str(content))


def leaves(structure: Any, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield everything in a structure that is no container, with its path.

    Raises:
        ValueError: If no codec wrote it; what came before has been yielded.
        RecursionError: If it is nested too deeply.
    """
    found = node(structure)
    if found.parts is None:
        yield joined(path), found
        return
    for label, part in found.parts.items():
        yield from leaves(part, f"{path}{label}")


def joined(path: str) -> str:
    """Return a path as people write it."""
    return path.removeprefix(".") or WHOLE


@dataclass(frozen=True)
class OpenedValue:
    """One value that the codec wrote, as far as it can be read: a structure, and where its numbers are."""

    structure: Any = None
    is_read: bool = False
    """Whether there is a structure: None is one, too."""
    tables: dict[str, dict[str, StoredTensor]] = field(default_factory=dict)
    """By ending, then by name."""
    problems: tuple[str, ...] = ()
    """What could not be read, and why."""

    def stored(self, found: Node) -> StoredTensor | None:
        """Return where the numbers of a node are, if they are anywhere."""
        stored = self.tables.get(found.table, {}).get(found.leaf)
        if stored is None or found.shape is None:
            return stored
        shaped = StoredTensor(stored.file, stored.begin, stored.dtype, found.shape)
        return shaped if shaped.count == stored.count else None


def open_value(root: Path, name: str, there: Mapping[str, int], files: FileSystem) -> OpenedValue | None:
    """Open a value; None if what is there was written by something else than the codec.

    Args:
        root: The state.
        name: Of the value in it, without an ending.
        there: The sizes of all regular files in the state, by name. No other is opened.
        files: The disk.
    """
    problems: list[str] = []
    opened: dict[str, Any] = {}
    if name + JSON in there:
        try:
            document = _document(root, name + JSON, there, files)
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{name}{JSON} cannot be read: {error}")
        else:
            if not isinstance(document, dict) or document.keys() != {"format", "value", "tensors", "arrays"}:
                return None
            if document["format"] == codec.FORMAT_VERSION:
                opened = {"structure": document["value"], "is_read": True}
            else:
                problems.append(
                    f"{name}{JSON} must have format {codec.FORMAT_VERSION}, got {document['format']!r:.60}"
                )
    tables = {}
    for ending in (TENSORS, ARRAYS):
        if name + ending in there:
            try:
                tables[ending] = read_header(root / (name + ending), files)
            except (OSError, ValueError) as error:
                problems.append(f"{name}{ending} cannot be read: {error}")
    return OpenedValue(**opened, tables=tables, problems=tuple(problems))


def value_names(there: Iterable[str]) -> dict[str, list[str]]:
    """Return the values that files of a state may be parts of, each with its files."""
    found: dict[str, list[str]] = {}
    for file in there:
        for ending in (ARRAYS, TENSORS, JSON):
            if file.endswith(ending):
                found.setdefault(file.removesuffix(ending), []).append(file)
                break
    return found


def _document(root: Path, file: str, there: Mapping[str, int], files: FileSystem) -> Any:
    if there[file] > LONGEST:
        raise ValueError(f"only structures of at most {LONGEST} bytes are looked into, this one has {there[file]}")
    return json.loads(read_file(files, root / file, most=LONGEST))


def _numbered(items: list[Any]) -> dict[str, Any]:
    return {f"[{i}]": item for i, item in enumerate(items)}


def _label(key: Any) -> str:
    if isinstance(key, str):
        return f".{key}"
    return f"[{json.dumps(key)}]" if isinstance(key, dict | list) else f"[{key!r}]"

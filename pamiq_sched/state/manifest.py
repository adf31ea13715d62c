"""What a saved state says about itself, and whether it is what it says.

A state is a directory with ``manifest.json``, which names every other file with its size and checksum, and
``manifest.json.sha256``, which holds the manifest's own (as ``sha256sum`` writes it and checks it). So each bit of
a state is covered, and nothing may be in it that was not saved. Reading a manifest costs little, verifying reads
every file. Neither follows a link, runs code or believes a size. No state of its own; any thread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pamiq_sched import _checks
from pamiq_sched.state.files import FileRecord, FileSystem, naming, read_file, record_file

_logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
CHECKSUM = "manifest.json.sha256"
TRACEBACK = "traceback.txt"
FORMAT_VERSION = 2
LONGEST = 2 << 20
"""Bytes of a manifest, at the most: some 15,000 files. What is read before it is verified has to have an end."""


MOST_MORE = 10_000
"""Files that do not belong to a state are told up to there: there may be millions."""
LAST_NUMBER = 1 << 62
"""No run gets there; above some thousand digits the next number could not be written."""


class StateDamagedError(ValueError):
    """A state is not what was saved: something is missing, was added or has changed."""


@dataclass(frozen=True)
class Manifest:
    """What a state says about itself."""

    number: int
    """Counts the saves of a directory of states: the higher, the newer, whatever the wall clock said."""
    saved_at: str
    """By the wall clock, in ISO format; for people."""
    crashed: bool
    """Whether it is of a run that an error ended."""
    components: list[str]
    """What was saved, in the order of loading."""
    failed: dict[str, str] = field(default_factory=dict)
    """What could not be saved of a crashed run, and why."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the run told about itself: steps, versions, a metric."""
    directories: list[str] = field(default_factory=list)
    """Every directory in it, as a path from it."""
    files: dict[str, FileRecord] = field(default_factory=dict)
    """Every other file in it, by its path from there."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.files.values())

    def write(self) -> dict[str, bytes]:
        """Return the content of the manifest's files.

        Raises:
            ValueError: If there are too many files for it to be read again.
        """
        text = json.dumps(
            {"format": FORMAT_VERSION, **vars(self)}, default=vars, indent=1, allow_nan=False
        ).encode()
        if len(text) > LONGEST:
            raise ValueError(
                f"a state must have a manifest of at most {LONGEST} bytes, got {len(text)} for {len(self.files)} "
                "files; let components write fewer files"
            )
        return {MANIFEST: text, CHECKSUM: _checksum(text)}

    @classmethod
    def read(cls, path: Path, files: FileSystem) -> Self:
        """Read the manifest of the state at ``path``.

        Raises:
            FileNotFoundError: If there is none.
            StateDamagedError: If it is not as it was written.
            ValueError: If it is of another version.
            OSError: If it cannot be read.
        """
        file = path / MANIFEST
        if not os.path.lexists(file):
            raise no_state(path)
        try:
            text = _read_small(files, file)
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StateDamagedError(f"{file} is damaged: {error}") from error
        version = document.get("format") if isinstance(document, dict) else None
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{file} must have format {FORMAT_VERSION}, got {version!r}; it was written by another version"
            )
        if _read_small(files, path / CHECKSUM) != _checksum(text):
            raise StateDamagedError(f"{file} is damaged: its checksum is not the one in {CHECKSUM}")
        del document["format"]
        try:
            _checks.state_keys(str(file), document, set(cls.__dataclass_fields__))
            records = {_inner(name): _record(record) for name, record in document.pop("files").items()}
            found = cls(files=records, **document)
            found._check()
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            raise StateDamagedError(f"{file} is damaged: {error}") from error
        return found

    def _check(self) -> None:
        """Refuse values that were never written, though their checksum is right."""
        _checks.count("number", self.number, most=LAST_NUMBER)
        for name, kind in (("saved_at", str), ("crashed", bool), ("failed", dict), ("about", dict)):
            _checks.instance(f"{name} must be", getattr(self, name), kind)
        for name in ("components", "directories"):
            _checks.instance(f"{name} must be", getattr(self, name), list)
        for component in self.components:
            _checks.component_name("component", component)
        for directory in self.directories:
            _inner(directory)

    def differences(self, path: Path, files: FileSystem, *, contents: bool = True) -> Iterator[str]:
        """Tell what is not as the manifest says, each with the component that it belongs to.

        Args:
            path: Where the state is.
            files: The disk.
            contents: Whether to read the files; if not, only their names and sizes are looked at.

        Raises:
            OSError: If the disk cannot be read.
        """
        expected: dict[str, int | None] = dict.fromkeys(self.directories)
        expected.update({name: record.size for name, record in self.files.items()})
        there: dict[str, int | str | None] = {}
        for name, kind in walk(path):
            there[name] = kind
            if len(there) > len(expected) + MOST_MORE:
                yield f"more than {MOST_MORE} files were not saved with it"
                return
        alike = []
        for name in sorted(there.keys() | expected.keys()):
            where = f"{self.component_of(name)}: {name}"
            if name not in there:
                yield f"{where} is missing"
            elif name not in expected:
                yield f"{where} was not saved with it"
            elif isinstance(there[name], str):
                yield f"{where} is {there[name]}, which a state has not"
            elif (there[name] is None) != (expected[name] is None):
                yield f"{where} must be a {'directory' if expected[name] is None else 'file'}"
            elif there[name] != expected[name]:
                yield f"{where} must have {expected[name]} bytes, got {there[name]}"
            else:
                alike.append(name)
        for name in (n for n in alike if contents and n in self.files):
            if record_file(files, path / name) != self.files[name]:
                yield f"{self.component_of(name)}: {name} has another checksum than when it was saved"

    def component_of(self, name: str) -> str:
        """Say which component a file in the state belongs to."""
        if name == TRACEBACK:
            return "the traceback"
        owner = owner_of(name, self.components)
        return f"component {owner!r}" if owner else "no component"


def is_state(path: Path) -> bool:
    """Whether a directory is, or was, a state."""
    return os.path.lexists(path / MANIFEST) or os.path.lexists(path / CHECKSUM)


def no_state(path: Path) -> FileNotFoundError:
    """Return the error for a directory that is no state."""
    return FileNotFoundError(
        f"{path} is not a saved state: it has no {MANIFEST}; give the directory that save_state() returned"
    )


def owner_of(file: str, components: Iterable[str]) -> str:
    """Return the component that a file in a state belongs to; an empty name if there is none."""
    first = file.partition("/")[0]
    return max((c for c in components if first == c or first.startswith(f"{c}.")), key=len, default="")


def verified(path: Path, files: FileSystem) -> Manifest:
    """Return the manifest of a state in which nothing is missing, was added or has changed.

    Raises:
        FileNotFoundError: If there is no state.
        StateDamagedError: Naming what is not as it was saved.
        ValueError: If it is of another version.
        OSError: If it cannot be read.
    """
    manifest = Manifest.read(path, files)
    differences = list(manifest.differences(path, files))
    if differences:
        more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise StateDamagedError(
            f"the state {path} is damaged, and nothing of it was loaded. {'; '.join(differences[:5])}{more}. "
            'Give another state; of a system: saved_state_path="latest" with fall_back_to_older_state=True '
            "takes the newest one that is whole"
        )
    return manifest


def manifests_in(states_dir: Path, files: FileSystem, *, strict: bool = False) -> dict[Path, Manifest]:
    """Return every state of a directory whose manifest can be read, the oldest first.

    Args:
        states_dir: Where the states are.
        files: The disk.
        strict: Whether it is an error that the disk refuses to give one.

    Raises:
        OSError: If the disk refuses, and ``strict``.
    """
    found = {}
    for path in _visible_directories(states_dir):
        try:
            found[path] = Manifest.read(path, files)
        except (FileNotFoundError, ValueError):
            continue  # something else, or damaged: whoever asks for that very state is told
        except OSError:
            if strict:
                raise
    return dict(sorted(found.items(), key=lambda item: (item[1].number, item[1].saved_at, item[0].name)))


def complete_states(states_dir: Path, files: FileSystem) -> dict[Path, Manifest]:
    """Return the states of runs that no error ended, with all files in their sizes, the oldest first.

    Contents are not read: this is for each save, :func:`verified` for a load.
    """
    return {
        path: manifest
        for path, manifest in manifests_in(states_dir, files).items()
        if not manifest.crashed and not any(manifest.differences(path, files, contents=False))
    }


def newest(
    states_dir: Path, files: FileSystem, *, allow_crashed: bool, fall_back: bool
) -> tuple[Path, Manifest] | None:
    """Return the newest state of a directory, verified; None if there is none.

    Args:
        states_dir: Where the states are.
        files: The disk.
        allow_crashed: Whether the state of a run that an error ended will do.
        fall_back: Whether, if the newest is damaged, an older one will do.

    Raises:
        StateDamagedError: If it is damaged, and no other will do.
        ValueError: If it is of another version, and no other will do.
        OSError: If it cannot be read.
    """
    states = manifests_in(states_dir, files)
    whole = [path for path, manifest in states.items() if allow_crashed or not manifest.crashed]
    # Of one without a readable manifest only the time tells whether it is the newest.
    last = whole[-1].stat().st_mtime_ns if whole else 0
    unreadable = [
        path
        for path in _visible_directories(states_dir)
        if path not in states and is_state(path) and path.stat().st_mtime_ns >= last
    ]
    for path in (*unreadable, *reversed(whole)):
        try:
            manifest = verified(path, files)
        except (OSError, ValueError) as error:
            if not fall_back:
                raise
            _logger.warning("an older state is tried: %s", error)
        else:
            passed_over = [p.name for p, m in states.items() if m.number > manifest.number and p not in whole]
            if passed_over:
                _logger.warning("newer states are of crashed runs and not used: %s", ", ".join(passed_over))
            return path, manifest
    return None


def latest_state(states_dir: str | Path, *, allow_crashed: bool = False, fall_back: bool = False) -> Path | None:
    """Return the newest state of a directory, or None: a first run starts afresh, all others go on.

    It is verified, as loading it will do again.

    Args:
        states_dir: Where the states are; it need not be there.
        allow_crashed: Whether the state of a run that an error ended will do.
        fall_back: Whether, if the newest is damaged, the newest one that is whole will do.

    Raises:
        StateDamagedError: If it is damaged, and no other will do.
        ValueError: If it is of another version, and no other will do.
        OSError: If it cannot be read.

    Example:
        ``LaunchConfig(states_dir="states", saved_state_path=latest_state("states"))``
    """
    found = newest(Path(states_dir), FileSystem(), allow_crashed=allow_crashed, fall_back=fall_back)
    return None if found is None else found[0]


def _visible_directories(states_dir: Path) -> list[Path]:
    try:
        entries = list(os.scandir(states_dir))
    except FileNotFoundError:
        return []
    # A symbolic link is another name of a state that is there already, or leads out.
    return [states_dir / e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]


def walk(path: Path) -> Iterator[tuple[str, int | str | None]]:
    """Yield what is in a state: files with their sizes, directories with None, anything else with what it is."""
    prefixes = [""]
    for prefix in prefixes:  # which grows meanwhile; no call for each level, they may be any number
        with naming(path / prefix), os.scandir(path / prefix) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if name in (MANIFEST, CHECKSUM):
                    continue
                if entry.is_symlink():
                    yield name, "a symbolic link"
                elif entry.is_dir(follow_symlinks=False):
                    yield name, None
                    prefixes.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    yield name, entry.stat(follow_symlinks=False).st_size
                else:
                    yield name, "neither file nor directory"


def _read_small(files: FileSystem, file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            raise StateDamagedError(f"{file} must be a regular file")
        return read_file(files, file, most=LONGEST)
    except FileNotFoundError as error:
        raise StateDamagedError(f"{file} is missing") from error


def _checksum(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()


def _inner(name: object) -> str:
    """Return a path that leads nowhere but into the state."""
    if not isinstance(name, str) or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise ValueError(f"a path in a state must lead into it, got {name!r}")
    return name


def _record(record: Mapping[str, Any]) -> FileRecord:
    _checks.state_keys("a file", record, {"size", "sha256"})
    return FileRecord(_checks.count("size", record["size"]), str(record["sha256"]))

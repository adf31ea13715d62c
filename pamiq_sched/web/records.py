"""Who is running on this machine: a file for each system, so that a command line finds it and its token.

The invariant: a record is there, whole and readable by its user alone, exactly as long as its process lives. Its
file is locked (``flock``), and the lock dies with the process, however it ends. Any thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Record:
    """What a system tells those who look for it."""

    host: str
    """Where its server listens, such as ``"127.0.0.1"``."""
    port: int
    token: str | None
    """What a request must carry; None if none is asked for."""
    pid: int
    started_at: float
    """Seconds since 1970."""
    program: str
    """The name of the script."""
    directory: str
    """The working directory of the process."""


def records_dir() -> Path:
    """Return the directory of this user's records, made if need be, for its user alone.

    It is ``$PAMIQ_SCHED_RUN_DIR``, else ``pamiq-sched`` in ``$XDG_RUNTIME_DIR`` if that is this user's, else
    ``~/.cache/pamiq-sched/run``.

    Raises:
        PermissionError: If it belongs to another user, who could read tokens there or put records of their own.
        NotADirectoryError: If it is something else than a directory.
    """
    directory = _candidates()[0]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(directory)
    if stat.S_IMODE(directory.stat().st_mode) != 0o700:
        directory.chmod(0o700)
    return directory


def published(record: Record) -> Published:
    """Let others find a system within a ``with`` block.

    Args:
        record: What to tell them.

    Raises:
        PermissionError: On entering, if the directory belongs to another user.
    """
    return Published(record)


def running() -> list[Record]:
    """Return the systems of this user that run on this machine, oldest first; what dead ones left is removed."""
    # A system that a timer started has no XDG_RUNTIME_DIR, who looks for it has: both places are looked at.
    records = [record for directory in _candidates() for record in _records_in(directory)]
    return sorted(records, key=lambda record: (record.started_at, record.pid, record.port))


class Published:
    """A record that is there within a ``with`` block; made by :func:`published`."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._file = -1
        self.path = _candidates()[0] / f"{record.port}-{record.pid}.json"
        """Where it is."""

    def __enter__(self) -> Published:
        """Write it."""
        records_dir()
        # Nobody looks at a name that begins with a dot. Under its own name it appears locked and whole: without a
        # lock it would be taken for one that was left behind.
        hidden = self.path.with_name(f".{self.path.name}")
        hidden.unlink(missing_ok=True)
        self._file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.write(self._file, json.dumps(asdict(self._record)).encode())
            hidden.replace(self.path)
        except BaseException:
            os.close(self._file)
            hidden.unlink(missing_ok=True)
            raise
        _locked.add(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        _locked.discard(self._file)
        os.close(self._file)


_locked: set[int] = set()
"""The files of this process's records. Each operation on it is whole, and a forked child has a copy."""


def _let_go_of_locks() -> None:
    for file in _locked:
        os.close(file)
    _locked.clear()


# A lock is shared with forked children, the workers of a data loader say, and they may outlive a killed system.
os.register_at_fork(after_in_child=_let_go_of_locks)


def _candidates() -> list[Path]:
    """Where records of this user may be; new ones go to the first."""
    given = os.environ.get("PAMIQ_SCHED_RUN_DIR")
    if given:
        return [Path(given)]
    cache = Path.home() / ".cache" / "pamiq-sched" / "run"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        return [cache]
    try:
        # After `su` or in a container it may name a directory of somebody else, or none.
        usable = Path(runtime).stat().st_uid == os.geteuid()
    except OSError:
        usable = False
    return [Path(runtime) / "pamiq-sched", cache] if usable else [cache]


def _require_own(directory: Path) -> None:
    # A link is looked at too: its owner could let it point elsewhere later.
    for status in (directory.lstat(), directory.stat()):
        if status.st_uid != os.geteuid():
            raise PermissionError(
                f"the directory of the records of running systems must be your own, but {directory} belongs to "
                f"the user {status.st_uid}; set PAMIQ_SCHED_RUN_DIR to a directory of yours"
            )


def _records_in(directory: Path) -> Iterator[Record]:
    if not directory.is_dir():
        return
    _require_own(directory)
    for path in directory.glob("[!.]*.json"):
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # its system ended meanwhile
            continue
        try:
            record = _read(path, file)
        finally:
            os.close(file)
        if record is not None:
            yield record


def _read(path: Path, file: int) -> Record | None:
    """Return the record in an open file; None if its process is no more, and then it is removed."""
    try:
        # Shared: several may look at once, and none takes another's look for the system's lock.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        if _is_file_at(path, file):
            path.unlink(missing_ok=True)
        return None
    with os.fdopen(os.dup(file), encoding="utf-8") as text:
        values = json.load(text)
    return Record(**{field.name: values[field.name] for field in fields(Record)})


def _is_file_at(path: Path, file: int) -> bool:
    """Whether a name still stands for an open file: another process with this number may have come."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False

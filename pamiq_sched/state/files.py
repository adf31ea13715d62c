"""What saving does to the disk, one method for each operation.

Everything that the store and the codec write goes through a :class:`FileSystem`, so that a test can count, refuse,
delay or lose each operation. The helpers below are made of these operations; what they raise names the path. No
state of its own; any thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
"""Bytes that are written, read or hashed in one go: the interpreter is free meanwhile, and so is the agent."""


class FileSystem:
    """The operations of the operating system, as they are."""

    def mkdir(self, path: Path) -> None:
        """Make a directory, which must not be there."""
        path.mkdir()

    def create(self, path: Path) -> FileIO:
        """Open a file for writing, emptied if it is there."""
        return FileIO(path, "w")

    def write(self, file: FileIO, data: memoryview) -> int:
        """Write what goes; return how many bytes that was."""
        return file.write(data) or 0

    def open(self, path: Path) -> FileIO:
        """Open a regular file for reading; no symbolic link is followed, nothing else is waited for."""
        # A FIFO would be waited for until somebody writes to it, if not for O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            return FileIO(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, file: FileIO, size: int) -> bytes:
        """Read at most so many bytes; none at the end."""
        return file.read(size) or b""

    def fsync(self, file: FileIO) -> None:
        """Have a file's content on the disk before this returns."""
        os.fsync(file.fileno())

    def fsync_directory(self, path: Path) -> None:
        """Have a directory's entries on the disk before this returns."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or directory another name, in one step."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file, or a link itself."""
        path.unlink()

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        path.rmdir()


@dataclass(frozen=True)
class FileRecord:
    """What a file holds, as far as a damage can be seen by it."""

    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal digits."""


def write_file(files: FileSystem, path: Path, chunks: Iterable[Any], *, durable: bool = False) -> FileRecord:
    """Write a file and return its record.

    Args:
        files: The disk.
        path: Where; its parent exists.
        chunks: The content, in pieces of bytes.
        durable: Whether it must be on the disk at the return.

    Raises:
        OSError: If the disk refuses; it names the path.
    """
    size, digest = 0, hashlib.sha256()
    with naming(path), files.create(path) as file:
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            while len(view):
                written = files.write(file, view[:CHUNK])
                if not written:
                    raise OSError(errno.EIO, "the disk takes nothing, and gives no reason")
                digest.update(view[:written])
                size += written
                view = view[written:]
        if durable:
            files.fsync(file)
    return FileRecord(size, digest.hexdigest())


def record_file(files: FileSystem, path: Path, *, durable: bool = False) -> FileRecord:
    """Read a file and return its record.

    Args:
        files: The disk.
        path: Of a regular file.
        durable: Whether it must be on the disk at the return.

    Raises:
        OSError: If the disk refuses, or it is no regular file; it names the path.
    """
    size, digest = 0, hashlib.sha256()
    with naming(path), files.open(path) as file:
        while chunk := files.read(file, CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if durable:
            files.fsync(file)
    return FileRecord(size, digest.hexdigest())


def read_file(files: FileSystem, path: Path, *, most: int) -> bytes:
    """Return the content of a small file.

    Raises:
        OSError: If the disk refuses, or it is no regular file; it names the path.
        ValueError: If it has more than ``most`` bytes.
    """
    content = b""
    with naming(path), files.open(path) as file:
        while chunk := files.read(file, most + 1 - len(content)):
            content += chunk
            if len(content) > most:
                raise ValueError(f"{path} must have at most {most} bytes; it is damaged")
    return content


def remove_tree(files: FileSystem, path: Path) -> None:
    """Remove a directory and all that is in it; links are removed, not followed.

    Raises:
        OSError: If the disk refuses; it names the path. What was not removed is still there.
    """
    directories = [path]
    for directory in directories:  # which grows meanwhile; no call for each level, they may be any number
        with naming(directory):
            entries = list(os.scandir(directory))
        for entry in entries:
            inner = directory / entry.name
            if entry.is_dir(follow_symlinks=False):
                directories.append(inner)
            else:
                with naming(inner):
                    files.unlink(inner)
    for directory in reversed(directories):
        with naming(directory):
            files.rmdir(directory)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError that does not say which file it is about say so."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:  # else its text is all that it has
            error.filename = str(path)
        raise

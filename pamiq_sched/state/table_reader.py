"""Look at the numbers in a safetensors file piece by piece, without the library, and so without torch.

The header is read and held against the size of the file; numbers are read when they are asked for, never more
than a piece at a time. So it does not matter how much a file holds, or claims to. Pure functions; any thread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_sched import _checks
from pamiq_sched.state import tables
from pamiq_sched.state.files import CHUNK, FileSystem, naming

LONGEST = 32 << 20
"""Bytes of a header or a structure that are looked into, at the most: some 300,000 tensors."""

_NAMES = {code: name for name, code in tables.DTYPES.items()}
# What numpy has no name for is read as plain bits.
_AS_BITS = {"bool": "uint8", "bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


@dataclass(frozen=True)
class StoredTensor:
    """Where the numbers of one tensor or array are, and of which kind."""

    file: Path
    begin: int
    """The byte of the file at which they begin."""
    dtype: str
    """By torch's name."""
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)

    def pieces(self, files: FileSystem) -> Iterator[np.ndarray[Any, Any]]:
        """Yield the bits of all numbers, in order, as unsigned integers of their width.

        Raises:
            ValueError: If the file has become shorter.
            OSError: If it cannot be read.
        """
        bits = np.dtype(f"u{_itemsize(self.dtype)}")
        left = self.count * bits.itemsize
        with naming(self.file), files.open(self.file) as file:
            file.seek(self.begin)
            while left:
                piece = _read(files, file, min(left, CHUNK))
                left -= len(piece)
                yield np.frombuffer(piece, bits)


def read_header(file: Path, files: FileSystem) -> dict[str, StoredTensor]:
    """Return what a safetensors file holds, by name.

    Raises:
        ValueError: If the header is damaged, or claims what the file cannot hold.
        OSError: If it cannot be read, or is no regular file.
    """
    with naming(file), files.open(file) as opened:
        size = opened.seek(0, 2)
        opened.seek(0)
        try:
            length = int.from_bytes(_read(files, opened, 8), "little")
            if length > min(size - 8, LONGEST):
                raise ValueError(f"it claims {length} bytes of the file's {size}")
            header = json.loads(_read(files, opened, length))
            header.pop("__metadata__", None)
            return {name: _stored(file, 8 + length, size, entry) for name, entry in header.items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"its header is damaged: {_told(error)}") from error


def values(bits: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """Return the numbers that bits stand for; booleans as 0 and 1.

    Args:
        bits: As :meth:`StoredTensor.pieces` yields them.
        dtype: By torch's name. What numpy lacks becomes the next wider float that it has.
    """
    if dtype == "bfloat16":  # the upper half of a float32
        return (bits.astype(np.uint32) << 16).view(np.float32)
    if dtype == "float8_e5m2":  # the upper half of a float16
        return (bits.astype(np.uint16) << 8).view(np.float16)
    if dtype == "float8_e4m3fn":
        return np.take(_E4M3, bits)
    return bits.view(_AS_BITS.get(dtype, dtype))


def _all_e4m3() -> np.ndarray[Any, np.dtype[np.float32]]:
    """All numbers of four bits of exponent and three of mantissa, by their bits.

    Source: P. Micikevicius et al., "FP8 Formats for Deep Learning" (2022), table 1.
    """
    bits = np.arange(128)
    exponent, mantissa = bits >> 3, bits & 7
    positive = np.ldexp(np.where(exponent, 8 + mantissa, mantissa), np.maximum(exponent, 1) - 10)
    positive[127] = math.nan
    return np.concatenate([positive, -positive]).astype(np.float32)


_E4M3 = _all_e4m3()


def _stored(file: Path, data: int, size: int, entry: dict[str, Any]) -> StoredTensor:
    dtype = _NAMES[entry["dtype"]]
    if len(entry["shape"]) > 64:  # as many axes as torch and numpy can have
        raise ValueError(f"a tensor has at most 64 axes, got {len(entry['shape'])}")
    shape = tuple(_checks.count("a length", n) for n in entry["shape"])
    begin, end = (_checks.count("an offset", n, most=size - data) for n in entry["data_offsets"])
    stored = StoredTensor(file, data + begin, dtype, shape)
    if end - begin != stored.count * _itemsize(dtype):
        raise ValueError(f"{dtype} of the shape {shape} does not take {end - begin} bytes")
    return stored


def _itemsize(dtype: str) -> int:
    return np.dtype(_AS_BITS.get(dtype, dtype)).itemsize


def _told(error: Exception) -> str:
    return f"{str(error) if isinstance(error, ValueError) else repr(error):.200}"


def _read(files: FileSystem, file: Any, size: int) -> bytes:
    content = files.read(file, size)
    while len(content) < size:
        more = files.read(file, size - len(content))
        if not more:
            raise ValueError("it ends too early")
        content += more
    return content

"""Write safetensors files piece by piece, out of the memory in which the numbers are.

The library's own writer makes a second copy of everything and a file that has to be read again for its checksum;
here each number is touched once. Reading is left to the library, which checks what it is given. Pure functions.

The format: the length of the header (8 bytes, little-endian), the header (JSON: each tensor's dtype, shape, and
where its data begins and ends), the data. Source: the safetensors README, "Format".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch


class Column(NamedTuple):
    """The numbers of one tensor or array."""

    dtype: str
    """As the format calls it."""
    itemsize: int
    """Bytes of one number."""
    shape: list[int]
    data: memoryview
    """All of them, in order, as bytes."""


# By torch's names and by numpy's.
DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}


def column_of_tensor(tensor: torch.Tensor) -> Column:
    """The numbers of a contiguous tensor on the CPU, of a dtype in :data:`DTYPES`."""
    import torch  # noqa: PLC0415 - whoever has a tensor has loaded it

    data = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    name = str(tensor.dtype).removeprefix("torch.")
    return Column(DTYPES[name], tensor.element_size(), list(tensor.shape), data.data)


def column_of_array(array: np.ndarray[Any, Any]) -> Column:
    """The numbers of a contiguous array in native byte order, of a dtype in :data:`DTYPES`."""
    data = array.reshape(-1).view(np.uint8)
    return Column(DTYPES[array.dtype.name], array.dtype.itemsize, list(array.shape), data.data)


def pieces(columns: Mapping[str, Column]) -> Iterator[bytes | memoryview]:
    """The content of a file that holds these columns, in order."""
    # The widest first, so that each begins at a multiple of its width, as readers that map the file want it.
    ordered = sorted(columns.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header: dict[str, Any] = {}
    end = 0
    for name, column in ordered:
        begin, end = end, end + column.data.nbytes
        header[name] = {"dtype": column.dtype, "shape": column.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for _, column in ordered:
        yield column.data

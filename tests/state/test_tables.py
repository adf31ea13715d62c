"""Tables of numbers are safetensors files, whatever is in them."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from safetensors import numpy as safetensors_numpy, torch as safetensors_torch

from pamiq_sched.state import FileSystem, codec
from pamiq_sched.state.files import write_file
from pamiq_sched.state.tables import DTYPES, column_of_array, column_of_tensor, pieces

TORCH = {name: getattr(torch, name) for name in DTYPES}
NUMPY = {name: np.dtype(name) for name in DTYPES if name not in ("bfloat16", "float8_e4m3fn", "float8_e5m2")}
SHAPES = [(), (0,), (1,), (7,), (0, 3), (3, 0), (2, 3), (1, 2, 3, 4)]


def bits(shape: tuple[int, ...], itemsize: int, *, as_bools: bool = False) -> np.ndarray[Any, Any]:
    """Bytes of so many numbers, all different as far as they can be."""
    count = int(np.prod(shape)) * itemsize
    return (np.arange(count) % (2 if as_bools else 251)).astype(np.uint8)


def make_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    dtype = TORCH[name]
    raw = torch.from_numpy(bits(shape, dtype.itemsize, as_bools=name == "bool"))
    return raw.view(dtype).reshape(shape) if raw.numel() else torch.empty(shape, dtype=dtype)


def make_array(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    dtype = NUMPY[name]
    return bits(shape, dtype.itemsize, as_bools=name == "bool").view(dtype).reshape(shape)


def table_of(values: dict[str, Any]) -> bytes:
    column = {torch.Tensor: column_of_tensor, np.ndarray: column_of_array}
    return b"".join(pieces({name: column[type(value)](value) for name, value in values.items()}))


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def header_of(table: bytes) -> tuple[dict[str, Any], int]:
    size = int.from_bytes(table[:8], "little")
    return json.loads(table[8 : 8 + size]), 8 + size


@pytest.mark.parametrize("name", TORCH)
def test_the_library_reads_each_tensor_and_writes_the_same(name):
    tensors = {str(i): make_tensor(name, shape) for i, shape in enumerate(SHAPES)}
    table = table_of(tensors)
    read = safetensors_torch.load(table)
    assert {key: (t.dtype, t.shape, raw(t)) for key, t in read.items()} == {
        key: (t.dtype, t.shape, raw(t)) for key, t in tensors.items()
    }
    assert table == safetensors_torch.save(tensors)


@pytest.mark.parametrize("name", NUMPY)
def test_the_library_reads_each_array_and_writes_the_same(name):
    arrays = {str(i): make_array(name, shape) for i, shape in enumerate(SHAPES)}
    table = table_of(arrays)
    read = safetensors_numpy.load(table)
    assert {key: (a.dtype, a.shape, a.tobytes()) for key, a in read.items()} == {
        key: (a.dtype, a.shape, a.tobytes()) for key, a in arrays.items()
    }
    assert table == safetensors_numpy.save(arrays)


def test_the_codec_takes_no_dtype_that_the_table_has_not(tmp_path):
    """What torch and numpy have beside these is refused by its path in the value, before anything is written."""
    others = [np.zeros(2, np.complex128), np.zeros(2, np.longdouble), torch.zeros(2, dtype=torch.complex128)]
    for value in others:
        with pytest.raises(TypeError, match=r"state\.x is "):
            codec.save({"x": value}, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


NAMED_ARRAYS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(sorted(set(NUMPY) - {"complex64"})).flatmap(
        lambda name: hypothesis_numpy.arrays(
            name, hypothesis_numpy.array_shapes(min_dims=0, min_side=0, max_side=4)
        )
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(NAMED_ARRAYS)
def test_any_arrays_of_any_names_are_read_back(arrays):
    table = table_of(arrays)
    read = safetensors_numpy.load(table)
    assert {key: (a.dtype, a.shape, a.tobytes()) for key, a in read.items()} == {
        key: (a.dtype, a.shape, a.tobytes()) for key, a in arrays.items()
    }
    header, begin = header_of(table)
    assert begin % 8 == 0
    for name, entry in header.items():
        # A reader that maps the file finds each column where its numbers may begin.
        assert (begin + entry["data_offsets"][0]) % arrays[name].dtype.itemsize == 0
    assert len(table) == begin + sum(array.nbytes for array in arrays.values())


def test_columns_of_all_dtypes_in_one_table_are_aligned():
    tensors = {name: make_tensor(name, (3,)) for name in TORCH}
    table = table_of(tensors)
    header, begin = header_of(table)
    for name, tensor in tensors.items():
        first, last = header[name]["data_offsets"]
        assert (begin + first) % tensor.element_size() == 0
        assert table[begin + first : begin + last] == raw(tensor)
    read = safetensors_torch.load(table)
    assert {name: raw(tensor) for name, tensor in read.items()} == {name: raw(t) for name, t in tensors.items()}


@pytest.mark.parametrize("name", ["größe", "重み", "😀", 'a"b', "a\\b", "a\nb", "\x00", "", " "])
def test_any_name_is_read_back(name):
    assert list(safetensors_numpy.load(table_of({name: np.ones(2)}))) == [name]


def test_a_table_of_nothing_is_read_back():
    assert safetensors_numpy.load(table_of({})) == {}


class Sink(FileSystem):
    """Keeps nothing of what it is given."""

    def write(self, file, data):
        return len(data)


def test_a_large_table_is_written_without_a_copy(tmp_path: Path):
    tensors = {name: torch.zeros(25 << 20, dtype=torch.uint8) for name in "ab"}
    tracemalloc.start()
    try:
        columns = {name: column_of_tensor(tensor) for name, tensor in tensors.items()}
        record = write_file(Sink(), tmp_path / "table", pieces(columns))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert record.size > 50 << 20
    assert peak < 5 << 20


def test_large_arrays_are_written_with_the_one_copy_that_staging_takes(tmp_path: Path):
    arrays = [np.zeros(10 << 20, np.uint8) for _ in range(3)]
    tracemalloc.start()
    try:
        codec.save(arrays, tmp_path / "large")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 30 << 20 < peak < 35 << 20

"""What is written comes back equal, and what cannot be written is refused by its path."""

import errno
import json
import math
import random
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pamiq_sched.state import decode, encode, load, save

ALL_DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]


@pytest.fixture
def round_trip(tmp_path):
    """Save a value and load it again."""

    def there_and_back(value):
        save(value, tmp_path / "value")
        return load(tmp_path / "value")

    return there_and_back


def same(a, b):
    """Whether two values are of the same types and equal, NaN equal to NaN, the sign of zero told apart."""
    if type(a) is not type(b):
        result = False
    elif isinstance(a, torch.Tensor):
        result = a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    elif isinstance(a, np.ndarray | np.generic):
        result = a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    elif isinstance(a, float):
        result = (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    elif isinstance(a, dict):
        result = same(list(a.items()), list(b.items()))
    elif isinstance(a, list | tuple | deque):
        alike = len(a) == len(b) and getattr(a, "maxlen", 0) == getattr(b, "maxlen", 0)
        result = alike and all(same(x, y) for x, y in zip(a, b, strict=True))
    else:
        result = a == b
    return result


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -(2**70),
        1.5,
        -0.0,
        5e-324,
        0.1 + 0.2,
        math.nan,
        math.inf,
        -math.inf,
        "",
        "ünï\u2028cødé \U0001f600",
        "\ud800",
        b"",
        b"\x00\xff",
        bytearray(b"\x01"),
        [],
        {},
        (),
        set(),
        frozenset(),
        deque(),
        deque([1, 2], maxlen=2),
        deque(maxlen=0),
        [1, "a", None, [2.5, [True]]],
        (1, (2, [3, (4,)])),
        pytest.param({1, "a", (2, 3)}, id="a set"),  # whose own name changes with the hashes
        frozenset({1, 2}),
        {"a": {"b": [1, {"c": ()}]}},
        {1: "one", 2: "two"},
        {True: 1, "a": 2, None: 3, 2.5: 4, (1, 2): 5, b"k": 6},
        {"$tensor": "not a tag"},
        {"$unknown": 1},
        {"a": 1, "$b": 2},
        {"": 1, " ": 2},
        {"z": 1, "a": 2},
        [math.nan, (math.inf, {"x": -math.inf})],
    ],
    ids=ascii,
)
def test_plain_values_come_back_as_what_they_were(value, round_trip):
    assert same(round_trip(value), value)


def test_an_ordered_dict_comes_back_as_a_dict_in_its_order(round_trip):
    assert same(round_trip(OrderedDict(b=1, a=2)), {"b": 1, "a": 2})


def test_a_generator_state_comes_back(round_trip):
    before = random.getstate()
    expected = random.sample(range(1000), 10)
    random.setstate(round_trip(before))
    assert random.sample(range(1000), 10) == expected


# Tensors.


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)], ids=str)
def test_tensors_of_every_dtype_and_shape_come_back(dtype, shape, round_trip):
    tensor = (torch.arange(math.prod(shape)).reshape(shape) % 2).to(dtype)
    assert same(round_trip(tensor), tensor)


def test_tensors_are_found_at_any_depth(round_trip):
    value = {"a": [torch.ones(2), (torch.zeros(1), {3: torch.tensor(7)})], "b": deque([torch.tensor(True)])}
    assert same(round_trip(value), value)


def test_not_finite_tensors_come_back(round_trip):
    tensor = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    loaded = round_trip(tensor)
    assert loaded.isnan().tolist() == [True, False, False, False]
    assert loaded[1:].tolist() == [math.inf, -math.inf, 0.0]
    assert loaded.signbit()[3]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3).t(),
        torch.arange(10)[::3],
        torch.tensor([1.0]).expand(4),
        torch.arange(16.0).reshape(1, 2, 2, 4).contiguous(memory_format=torch.channels_last),
        torch.arange(4)[1:3],
        torch.complex(torch.ones(2), torch.ones(2)).conj().imag,
    ],
    ids=["transposed", "strided", "expanded", "channels last", "slice", "negated view"],
)
def test_tensors_of_any_layout_come_back(tensor, round_trip):
    assert torch.equal(round_trip(tensor), tensor)


def test_tensors_that_share_memory_come_back(round_trip):
    base = torch.arange(6.0)
    value = {"whole": base, "part": base[2:4], "again": base}
    assert same(round_trip(value), value)


def test_a_view_is_saved_without_the_rest_of_its_storage(tmp_path):
    save({"a": torch.zeros(100_000)[:1]}, tmp_path / "value")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 10_000


def test_loaded_tensors_do_not_share_memory(round_trip):
    tensor = torch.zeros(2)
    first, second = round_trip((tensor, tensor))
    first.add_(1)
    assert second.tolist() == [0, 0]


def test_loaded_tensors_do_not_change_with_their_file(tmp_path):
    """A file that is mapped into memory would be read when training touches it, or kill the process if cut."""
    save([torch.zeros(100_000), None, torch.zeros(100_000)], tmp_path / "value")
    loaded = load(tmp_path / "value")
    file = tmp_path / "value.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(b"\1" * size)
    assert not loaded[0].any()
    assert not loaded[2].any()


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_lists_of_like_tensors_come_back_as_lists(n, round_trip):
    value = [torch.full((2,), float(i)) for i in range(n)]
    assert same(round_trip(value), value)


def test_items_of_a_loaded_list_of_tensors_can_be_changed_one_by_one(round_trip):
    first, second = round_trip([torch.zeros(2), torch.zeros(2)])
    first.add_(1)
    assert second.tolist() == [0, 0]


@pytest.mark.parametrize(
    "value",
    [
        [torch.zeros(2), torch.zeros(3)],
        [torch.zeros(2), torch.zeros(2, dtype=torch.int64)],
        [torch.zeros(2), None],
        [torch.tensor(1.0), torch.tensor(2.0)],
        [torch.zeros(0), torch.zeros(0)],
    ],
    ids=["shapes", "dtypes", "mixed", "0-dim", "empty"],
)
def test_lists_of_unlike_tensors_come_back(value, round_trip):
    assert same(round_trip(value), value)


def test_parameters_come_back_as_plain_tensors(round_trip):
    loaded = round_trip(nn.Parameter(torch.ones(2)))
    assert same(loaded, torch.ones(2))
    assert not loaded.requires_grad


def test_the_state_of_a_module_comes_back(round_trip):
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    loaded = round_trip(module.state_dict())
    assert all(same(loaded[name], tensor) for name, tensor in module.state_dict().items())


# Arrays.


@pytest.mark.parametrize("dtype", ["?", "b", "B", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)], ids=str)
def test_arrays_of_every_dtype_and_shape_come_back(dtype, shape, round_trip):
    array = (np.arange(math.prod(shape)).reshape(shape) % 2).astype(dtype)
    assert same(round_trip(array), array)


@pytest.mark.parametrize("dtype", [">i2", ">u4", ">i8", ">f4", ">f8"])
def test_big_endian_arrays_come_back_equal(dtype, round_trip):
    array = np.array([1, 2, 300], dtype=dtype)
    assert np.array_equal(round_trip(array), array)


@pytest.mark.parametrize(
    "scalar",
    [np.float32(0.1), np.float64(math.nan), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.float16("inf")],
    ids=repr,
)
def test_numpy_scalars_come_back_as_scalars(scalar, round_trip):
    assert same(round_trip(scalar), scalar)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(10)[::-3],
        np.broadcast_to(1.5, (3,)),
        np.asfortranarray(np.eye(2)),
    ],
    ids=["transposed", "backwards", "broadcast", "fortran"],
)
def test_arrays_of_any_layout_come_back(array, round_trip):
    assert np.array_equal(round_trip(array), array)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_loaded_array_can_be_changed(shape, round_trip):
    array = round_trip(np.zeros(shape))
    array += 1
    assert (array == 1).all()


def test_arrays_and_tensors_live_side_by_side(round_trip):
    value = {"array": np.arange(3), "tensor": torch.arange(3), "scalar": np.int64(3)}
    assert same(round_trip(value), value)


# What is refused.


class Level(IntEnum):
    """An int that is more than an int."""

    LOW = 1


class Name(str):
    """A string that is more than a string."""

    __slots__ = ()


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        pytest.param(len, id="function"),
        pytest.param(Level.LOW, id="enum"),
        pytest.param(Name("x"), id="str subclass"),
        pytest.param(Point(1, 2), id="namedtuple"),
        pytest.param(1j, id="complex"),
        pytest.param(range(3), id="range"),
        pytest.param(Path("/"), id="path"),
        pytest.param(UserDict(), id="UserDict"),
        pytest.param(defaultdict(list), id="defaultdict"),
        pytest.param(np.array(["text"]), id="array of text"),
        pytest.param(np.array([object()]), id="array of objects"),
        pytest.param(np.array([1j]), id="complex array"),
        pytest.param(np.array(["2026-01-01"], dtype="M8[D]"), id="array of dates"),
        pytest.param(np.zeros(1, dtype=[("a", "i4")]), id="structured array"),
        pytest.param(np.ma.array([1.0, 2.0], mask=[False, True]), id="masked array"),
        pytest.param(torch.eye(2).to_sparse(), id="sparse tensor"),
        pytest.param(torch.ones(2, dtype=torch.complex128), id="complex128 tensor"),
        pytest.param(torch.empty(2, device="meta"), id="meta tensor"),
        pytest.param(nn.UninitializedParameter(), id="uninitialized parameter"),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_path(value):
    with pytest.raises(TypeError, match=r"state\.a\[1\]"):
        encode({"a": [0, value]})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "state is"),
        ([object()], r"state\[0\]"),
        ({"a": {"b": object()}}, r"state\.a\.b"),
        ({"a": (0, {2: object()})}, r"state\.a\[1\]\[2\]"),
        ({"$a": object()}, r"state\['\$a'\]"),
        ({"a": deque([object()])}, r"state\.a\[0\]"),
        ({"a": {object(): 1}}, r"a key of state\.a"),
        ({"a": {frozenset({Point(1, 2)})}}, r"state\.a\[0\]\[0\]"),
        ([torch.zeros(1), object()], r"state\[1\]"),
    ],
)
def test_the_path_leads_to_the_refused_part(value, path):
    with pytest.raises(TypeError, match=path):
        encode(value)


def test_a_counter_comes_back_equal(round_trip):
    """MultiStepLR keeps its milestones in one."""
    assert round_trip({"milestones": Counter([30, 60])}) == {"milestones": Counter([30, 60])}


def test_a_refused_value_writes_nothing(tmp_path):
    with pytest.raises(TypeError):
        save({"tensor": torch.ones(1), "bad": object()}, tmp_path / "value")
    assert list(tmp_path.iterdir()) == []


# Copies.


def test_an_encoded_value_may_change_afterwards():
    tensor, array, items = torch.zeros(2), np.zeros(2), [1]
    encoded = encode({"tensor": tensor, "array": array, "items": items, "list": [tensor, tensor]})
    tensor.add_(1)
    array += 1
    items.append(2)
    decoded = decode(*encoded)
    assert decoded["tensor"].tolist() == [0, 0]
    assert decoded["array"].tolist() == [0, 0]
    assert decoded["items"] == [1]
    assert decoded["list"][1].tolist() == [0, 0]


def test_a_saved_value_is_not_changed_by_saving(tmp_path):
    tensor = torch.ones(2, requires_grad=True)
    save([tensor], tmp_path / "value")
    assert tensor.requires_grad
    assert tensor.tolist() == [1, 1]


# Files.


def test_a_value_without_tensors_is_one_json_file(tmp_path):
    save({"a": 1}, tmp_path / "value")
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


def test_a_name_may_have_a_dot(tmp_path):
    save([torch.ones(1), np.ones(1)], tmp_path / "policy.v2")
    save([torch.zeros(1), np.zeros(1)], tmp_path / "policy.v3")
    assert same(load(tmp_path / "policy.v2"), [torch.ones(1), np.ones(1)])


def test_the_json_is_strict(tmp_path):
    save([math.nan, math.inf], tmp_path / "value")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads((tmp_path / "value.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_missing_state_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"value\.json"):
        load(tmp_path / "value")


@pytest.mark.parametrize("value", [torch.ones(1), np.ones(1)], ids=["tensors", "arrays"])
def test_a_missing_tensor_file_is_told(value, tmp_path):
    save([value], tmp_path / "value")
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "value")


@pytest.mark.parametrize("text", ["", "{", "not json", "\udcff"], ids=["empty", "cut", "text", "not utf-8"])
def test_damaged_json_is_refused_by_its_file(text, tmp_path):
    (tmp_path / "value.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"value\.json is not a state"):
        load(tmp_path / "value")


@pytest.mark.parametrize("document", [{"value": 1}, {"format": 99, "value": 1}, [1], None, 3])
def test_another_format_is_refused(document, tmp_path):
    (tmp_path / "value.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"value\.json must have format 1"):
        load(tmp_path / "value")


@pytest.mark.parametrize("key", ["value", "tensors", "arrays"])
def test_json_that_lacks_a_part_is_refused(key, tmp_path):
    save(1, tmp_path / "value")
    file = tmp_path / "value.json"
    document = json.loads(file.read_text())
    del document[key]
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"value\.json"):
        load(tmp_path / "value")


@pytest.mark.parametrize("value", [torch.ones(100), np.ones(100)], ids=["tensors", "arrays"])
def test_a_cut_tensor_file_is_refused_by_its_name(value, tmp_path):
    save(value, tmp_path / "value")
    [file] = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match=file.name):
        load(tmp_path / "value")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("value", [torch.ones(100_000), np.ones(100_000), "x" * 1_000_000])
def test_a_full_disk_is_an_os_error_that_names_the_file(value, tmp_path):
    """The runtime tells by that whether the run goes on."""
    for ending in (".json", ".safetensors", ".arrays.safetensors"):
        (tmp_path / f"value{ending}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        save(value, tmp_path / "value")
    assert caught.value.errno == errno.ENOSPC


def test_an_unknown_tag_is_refused():
    with pytest.raises(ValueError, match=r"unknown tag '\$pickle'"):
        decode({"$pickle": "gASVAAA="}, {}, {})


@pytest.mark.parametrize("structure", [{"$tensor": "5"}, {"$array": "5", "shape": []}, {"$stack": "5"}])
def test_a_reference_to_nothing_is_refused(structure):
    with pytest.raises(ValueError, match="refers to tensor '5'"):
        decode(structure, {}, {})

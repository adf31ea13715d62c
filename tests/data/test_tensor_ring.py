"""A ring of tensors: what it takes, what it draws, and that no sequence crosses a break."""

import enum
import math
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from pamiq_sched import DataUser, TensorRingBuffer
from pamiq_sched.state import codec

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Action(enum.IntEnum):
    LEFT = 0
    RIGHT = 1


def ring(size, steps=(), **kwargs):
    """A ring with the column "step", filled with these numbers."""
    buffer = TensorRingBuffer(size, **kwargs)
    for step in steps:
        buffer.add({"step": step})
    return buffer


def held(buffer):
    return buffer.get_data()["step"].tolist()


def windows(buffer, length, draws=300):
    """The sequences of the column "step" that were drawn; of a few all, as good as surely."""
    drawn = buffer.sample_sequences(draws, length)["step"]
    assert drawn.shape == (draws, length)
    return set(map(tuple, drawn.tolist()))


class Watch(TorchDispatchMode):
    """Notes every operation of torch, with the number of elements that it makes."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.made.append((str(function), result.numel()))
        return result


def chi_square(counts, draws):
    expected = draws / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def assert_uniform(values, among):
    """Every value was drawn as often as chance has it: a chi-square within 5 standard deviations of its mean."""
    counts = torch.bincount(values.flatten(), minlength=max(among) + 1)[among].tolist()
    assert sum(counts) == values.numel(), "something else was drawn"
    freedom = len(among) - 1
    assert abs(chi_square(counts, values.numel()) - freedom) < 5 * math.sqrt(2 * freedom)


# What it holds.


def test_it_keeps_the_latest_items_oldest_first():
    buffer = ring(3)
    assert len(buffer) == 0
    assert not buffer.is_full
    contents = []
    for step in range(5):
        buffer.add({"step": step})
        contents.append(held(buffer))
    assert contents == [[0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert len(buffer) == buffer.max_size == 3
    assert buffer.is_full


def test_the_latest_are_the_newest_in_order():
    buffer = ring(5, range(8))
    assert buffer.latest(1)["step"].tolist() == [7]
    assert buffer.latest(4)["step"].tolist() == [4, 5, 6, 7]
    assert buffer.latest(5)["step"].tolist() == held(buffer) == [3, 4, 5, 6, 7]


def test_more_than_there_is_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="latest 4 items were asked for, the buffer holds 3; wait for more"):
        ring(5, range(3)).latest(4)


def test_an_empty_buffer_hands_out_the_columns_that_it_was_given():
    assert TensorRingBuffer(3).get_data() == {}
    data = TensorRingBuffer(3, {"a": ((2,), torch.int8)}).get_data()
    assert data["a"].shape == (0, 2)
    assert data["a"].dtype is torch.int8


def test_columns_keep_the_order_of_the_first_item():
    buffer = TensorRingBuffer(3)
    buffer.add({"zebra": 1, "apple": 2})
    buffer.add({"apple": 4, "zebra": 3})
    assert list(buffer.get_data()) == list(buffer.sample(1)) == ["zebra", "apple"]
    assert buffer.get_data()["zebra"].tolist() == [1, 3]


def test_memory_is_taken_up_only_as_it_is_filled():
    """10,000,000 items of 64 floats are 2.4 GiB; one of them is next to nothing."""

    def resident_bytes():
        with open("/proc/self/status", encoding="ascii") as status:
            return 1024 * int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    before = resident_bytes()
    buffer = TensorRingBuffer(10_000_000)
    buffer.add({"observation": torch.ones(64)})
    buffer.sample(256)
    assert resident_bytes() - before < 100e6


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused_with_its_value(size):
    with pytest.raises(ValueError, match=f"max_size .* at least 1 item, got {size}"):
        TensorRingBuffer(size)


def test_as_many_items_may_wait_as_it_holds_or_as_it_says():
    assert DataUser(TensorRingBuffer(7)).max_queue_size == 7
    assert DataUser(TensorRingBuffer(7, max_queue_size=2)).max_queue_size == 2


# What it takes.


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [
        (1.5, (), torch.float32),
        (3, (), torch.int64),
        (True, (), torch.bool),
        (np.float64(1.5), (), torch.float32),
        (np.float16(1.5), (), torch.float32),
        (np.uint8(3), (), torch.int64),
        (np.bool_(True), (), torch.bool),
        (Action.RIGHT, (), torch.int64),
        (torch.tensor(1.5, dtype=torch.float64), (), torch.float64),
        (torch.ones(2, 3, dtype=torch.bfloat16), (2, 3), torch.bfloat16),
        (torch.ones(2, dtype=torch.complex64), (2,), torch.complex64),
        (np.ones((2, 3), dtype=np.uint8), (2, 3), torch.uint8),
        (np.ones(2, dtype=np.float64), (2,), torch.float64),
        (np.array(2, dtype=np.int32), (), torch.int32),
        (torch.empty(0, 4), (0, 4), torch.float32),
    ],
)
def test_the_first_item_fixes_shape_and_dtype(value, shape, dtype):
    buffer = TensorRingBuffer(4)
    buffer.add({"value": value})
    data = buffer.get_data()["value"]
    assert data.shape == (1, *shape)
    assert data.dtype is dtype
    assert torch.equal(data[0], torch.as_tensor(value).to(dtype))
    assert buffer.sample(3)["value"].shape == (3, *shape)


def test_floats_take_the_default_dtype_of_torch():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        buffer = ring(1, [0.1])
    finally:
        torch.set_default_dtype(before)
    assert held(buffer) == [0.1]


FLOATS = (torch.float16, torch.float32, torch.float64)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *((dtype, value) for dtype in FLOATS for value in (2, True, 1.5, np.float64(0.25), np.int32(7))),
        *((dtype, torch.tensor(0.5, dtype=other)) for dtype in FLOATS for other in (*FLOATS, torch.bfloat16)),
        *((dtype, np.array(3, dtype=np.int64)) for dtype in FLOATS),
        (torch.bfloat16, 0.5),
        (torch.bfloat16, np.array(0.5)),
        (torch.bfloat16, torch.tensor(0.5)),
        (torch.bfloat16, np.float32(0.5)),
        (torch.int64, True),
        (torch.int64, torch.tensor(5, dtype=torch.int8)),
        (torch.int16, np.array(200, dtype=np.uint8)),
        (torch.uint8, 255),
        (torch.uint8, np.int64(255)),
        (torch.int8, -128),
        (torch.complex64, 1.5),
        (torch.complex64, torch.tensor(1.5)),
    ],
    ids=str,
)
def test_a_value_that_fits_is_taken(dtype, value):
    buffer = TensorRingBuffer(2, {"value": ((), dtype)})
    buffer.add({"value": value})
    data = buffer.get_data()["value"]
    assert data.dtype is dtype
    assert data.item() == float(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [*FLOATS, torch.bfloat16])
def test_values_that_are_not_finite_pass(dtype, value):
    buffer = TensorRingBuffer(2, {"value": ((), dtype)})
    buffer.add({"value": value})
    assert buffer.get_data()["value"].item() == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("dtype", "value", "told"),
    [
        (torch.int64, 1.5, r"'value' holds int64 .*, got 1\.5; convert it"),
        (torch.int64, 2.0, "'value' holds int64 .*, got 2.0"),
        (torch.int64, math.nan, "'value' holds int64 .*, got nan"),
        (torch.int64, np.float32(2.0), "'value' holds int64 .*, got 2.0"),
        (torch.int64, torch.tensor(2.0), r"got float32 of the shape \(\)"),
        (torch.bool, 1, "'value' holds bool .*, got 1"),
        (torch.uint8, torch.tensor(2), "got int64"),
        (torch.int32, np.array(2), "got int64"),
        (torch.int8, torch.tensor(2, dtype=torch.uint8), "got uint8"),
        (torch.float32, torch.tensor(1j), "got complex64"),
        (torch.float32, 1j, r"'value' can hold tensors, .*, got 1j"),
        (torch.float32, "1.5", "'value' can hold tensors, .*, got '1.5'"),
        (torch.float32, None, "'value' can hold tensors, .*, got None"),
        (torch.float32, [1.5], r"'value' can hold tensors, .*, got \[1.5\]"),
        (torch.float32, np.array("a"), "'value' can hold tensors, .*, got an array of <U1"),
        (torch.float32, torch.tensor(1.5).to_sparse(), "give a dense tensor"),
    ],
    ids=str,
)
def test_a_dtype_that_does_not_fit_is_refused_with_key_and_value(dtype, value, told):
    buffer = TensorRingBuffer(2, {"value": ((), dtype)})
    with pytest.raises(TypeError, match=told):
        buffer.add({"value": value})
    assert len(buffer) == 0


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (torch.uint8, -1),
        (torch.uint8, 256),
        (torch.int64, 2**63),
        (torch.float32, 1e39),
        (torch.float32, 10**400),
        (torch.float16, 70_000),
        (torch.uint8, np.int64(300)),
    ],
)
def test_a_number_that_is_too_large_is_refused_with_its_value(dtype, value):
    buffer = TensorRingBuffer(2, {"value": ((), dtype)})
    with pytest.raises(ValueError, match=rf"got {int(value)}; give columns= with a wider|got 1e\+39"):
        buffer.add({"value": value})
    assert len(buffer) == 0


@pytest.mark.parametrize(
    "value", [torch.zeros(4), torch.zeros(3, 1), np.zeros(2), np.zeros(()), torch.tensor(0.0), 0.0, np.float32(0)]
)
def test_another_shape_is_refused_with_both(value):
    buffer = TensorRingBuffer(2)
    buffer.add({"value": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"'value' holds float32 of the shape \(3,\), got .*; all items .* pad"):
        buffer.add({"value": value})
    assert len(buffer) == 1


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"a": 1}, r"missing: \['b'\], unknown: \[\]"),
        ({"a": 1, "b": 2, "c": 3, 4: 5}, r"missing: \[\], unknown: \[4, 'c'\]"),
        ({}, r"missing: \['a', 'b'\], unknown: \[\]"),
    ],
)
def test_other_keys_are_refused_by_name(item, told):
    buffer = TensorRingBuffer(3)
    buffer.add({"a": 1, "b": 2})
    with pytest.raises(ValueError, match=told):
        buffer.add(item)
    assert len(buffer) == 1


@pytest.mark.parametrize("item", [3, [("a", 1)], torch.zeros(3)])
def test_what_is_no_mapping_is_refused(item):
    with pytest.raises(TypeError, match=f"must be a mapping .*, got a {type(item).__name__}"):
        TensorRingBuffer(3).add(item)


def test_an_item_without_keys_is_refused():
    with pytest.raises(ValueError, match="at least one column"):
        TensorRingBuffer(3).add({})


def test_a_key_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match="the name of a column must be of the class str"):
        TensorRingBuffer(3).add({1: 2})


@pytest.mark.parametrize("item", [{"a": 1, "b": "no"}, {"a": 2**70, "b": 1.0}])
def test_a_refused_first_item_fixes_nothing(item):
    buffer = TensorRingBuffer(3)
    with pytest.raises((TypeError, ValueError)):
        buffer.add(item)
    buffer.add({"c": 1.0})
    assert buffer.get_data()["c"].tolist() == [1.0]


def test_a_refused_item_changes_no_column():
    buffer = TensorRingBuffer(1)
    buffer.add({"a": 1, "b": 1})
    with pytest.raises(TypeError):
        buffer.add({"a": 2, "b": 0.5})
    assert {name: column.tolist() for name, column in buffer.get_data().items()} == {"a": [1], "b": [1]}


def test_an_item_that_fails_while_it_is_written_leaves_no_half_of_itself():
    """An overflow warns in the middle of the write; here a warning is an error."""
    buffer = TensorRingBuffer(2, {"a": ((), torch.int64), "b": ((1,), torch.float32)})
    for i in range(3):
        buffer.add({"a": i, "b": np.full(1, i)})
    with pytest.raises(RuntimeWarning, match="overflow"):
        buffer.add({"a": 3, "b": np.full(1, 1e300)})
    assert buffer.get_data()["a"].tolist() == [2]
    assert set(buffer.sample(100)["a"].tolist()) == {2}
    buffer.add({"a": 4, "b": np.full(1, 4)})
    assert buffer.get_data()["a"].tolist() == buffer.get_data()["b"].flatten().tolist() == [2, 4]


def test_a_tensor_that_wants_gradients_is_taken_without_its_graph():
    for dtype in (torch.float32, torch.bfloat16):
        buffer = TensorRingBuffer(2)
        buffer.add({"a": torch.ones(2, dtype=dtype, requires_grad=True) * 2})
        assert not buffer.sample(1)["a"].requires_grad
        assert buffer.get_data()["a"].tolist() == [[2.0, 2.0]]


def test_conjugate_and_strided_values_are_taken_as_what_they_show():
    buffer = TensorRingBuffer(
        2, {"c": ((2,), torch.complex64), "r": ((2,), torch.int64), "h": ((2,), torch.bfloat16)}
    )
    buffer.add({
        "c": torch.tensor([1j, 2j]).conj(),
        "r": np.arange(4)[::-2],
        "h": np.arange(4.0)[::-2],
    })  # fmt: skip
    data = buffer.get_data()
    assert data["c"].tolist() == [[-1j, -2j]]
    assert data["r"].tolist() == data["h"].tolist() == [[3, 1]]


def test_columns_may_be_given():
    buffer = TensorRingBuffer(2, {"frame": ((2, 2), torch.uint8), "reward": ((), torch.float64)})
    buffer.add({"frame": np.full((2, 2), 7, dtype=np.uint8), "reward": 1})
    assert buffer.get_data()["frame"].dtype is torch.uint8
    assert buffer.get_data()["reward"].dtype is torch.float64


@pytest.mark.parametrize(
    "spec", [torch.float32, (3, torch.float32), ((3,), "float32"), ((3,),), torch.zeros(3), [(3,), torch.float32]]
)
def test_a_column_that_is_not_given_as_shape_and_dtype_is_refused(spec):
    with pytest.raises(TypeError, match="'a' must be given as"):
        TensorRingBuffer(2, {"a": spec})


def test_a_negative_dimension_is_refused():
    with pytest.raises(ValueError, match=r"a dimension of the column 'a' .*, got -1"):
        TensorRingBuffer(2, {"a": ((-1,), torch.float32)})


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match="at least one column"):
        TensorRingBuffer(2, {})


# Whose memory it is.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_item_may_change_after_it_was_added(dtype):
    value = torch.ones(2, dtype=dtype)
    buffer = TensorRingBuffer(2)
    buffer.add({"a": value})
    value.zero_()
    assert buffer.get_data()["a"].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("steps", [3, 4, 6])
@pytest.mark.parametrize(
    "draw",
    [
        lambda buffer: buffer.sample(4),
        lambda buffer: buffer.sample_sequences(4, 2),
        lambda buffer: buffer.latest(3),
        lambda buffer: buffer.get_data(),
        lambda buffer: buffer.state_dict()["columns"],
    ],
    ids=["sample", "sample_sequences", "latest", "get_data", "state_dict"],
)
def test_what_was_handed_out_and_the_buffer_do_not_change_each_other(draw, steps):
    buffer = ring(4, range(1, 1 + steps))
    contents = held(buffer)
    drawn = draw(buffer)["step"]
    before = drawn.clone()
    for step in range(100, 104):
        buffer.add({"step": step})
    assert torch.equal(drawn, before)
    drawn.fill_(-1)
    assert held(buffer) == [100, 101, 102, 103]
    assert contents != held(buffer)


# Items at random.


def test_every_item_is_drawn_as_often_as_every_other():
    torch.manual_seed(0)
    for steps, among in [(range(50), range(50)), (range(77), range(27, 77))]:  # filling up; full and wrapped
        buffer = ring(50 if len(steps) > 50 else 60, steps)
        assert_uniform(torch.cat([buffer.sample(250)["step"] for _ in range(100)]), list(among))


def test_columns_of_a_batch_belong_together():
    buffer = TensorRingBuffer(20)
    for i in range(33):
        buffer.add({"a": i, "b": torch.full((2, 2), float(i)), "c": np.float32(-i)})
    batch = buffer.sample(64)
    assert batch["b"].shape == (64, 2, 2)
    assert torch.equal(batch["b"][:, 0, 0].long(), batch["a"])
    assert torch.equal(-batch["c"].long(), batch["a"])


@pytest.mark.parametrize(
    "draw", [lambda b: b.sample(32), lambda b: b.sample_sequences(8, 4)], ids=["items", "runs"]
)
def test_a_batch_is_gathered_without_touching_the_rest(draw):
    """From 10,000 items it takes the very operations that it takes from 100, and none is larger than the batch."""
    made = []
    for size in (100, 10_000):
        buffer = TensorRingBuffer(size)
        for i in range(size + 10):
            buffer.add({"observation": torch.full((3,), float(i))})
        with Watch() as watch:
            draw(buffer)
        made.append(watch.made)
    assert made[0] == made[1]
    assert max(elements for _, elements in made[0]) == 32 * 3


def test_an_empty_buffer_has_nothing_to_draw():
    with pytest.raises(ValueError, match="empty buffer has nothing to sample; wait for data"):
        TensorRingBuffer(3).sample(1)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_below_one_is_refused(size):
    buffer = ring(3, range(3))
    with pytest.raises(ValueError, match=f"batch_size .* at least 1 item, got {size}"):
        buffer.sample(size)
    with pytest.raises(ValueError, match=f"batch_size .* at least 1 sequence, got {size}"):
        buffer.sample_sequences(size, 1)
    with pytest.raises(ValueError, match=f"length .* at least 1 item, got {size}"):
        buffer.sample_sequences(1, size)
    with pytest.raises(ValueError, match=f"n .* at least 1 item, got {size}"):
        buffer.latest(size)


def test_the_seed_of_torch_decides():
    def run():
        torch.manual_seed(7)
        buffer = ring(100, range(100))
        return buffer.sample(20)["step"].tolist() + buffer.sample_sequences(5, 3)["step"].flatten().tolist()

    assert run() == run()


def test_drawing_leaves_the_generator_of_torch_alone():
    buffer = ring(10, range(10))
    before = torch.get_rng_state()
    buffer.sample(5)
    buffer.sample_sequences(5, 2)
    assert torch.equal(torch.get_rng_state(), before)


# Sequences.


def test_a_sequence_crosses_no_end_of_an_episode():
    buffer = TensorRingBuffer(20, episode_end="done")
    for i in range(9):
        buffer.add({"step": i, "done": i in (2, 6)})
    assert windows(buffer, 3) == {(0, 1, 2), (3, 4, 5), (4, 5, 6)}
    assert windows(buffer, 2) == {(0, 1), (1, 2), (3, 4), (4, 5), (5, 6), (7, 8)}


@pytest.mark.parametrize("end", [True, np.bool_(True), 1, torch.tensor(True), np.array([0.5]), torch.tensor([2])])
def test_whatever_is_true_ends_an_episode(end):
    buffer = TensorRingBuffer(20, episode_end=["end"])
    for i in range(4):
        buffer.add({"step": i, "end": end if i == 1 else end * 0})
    assert windows(buffer, 2) == {(0, 1), (2, 3)}


def test_any_of_several_columns_ends_an_episode():
    buffer = TensorRingBuffer(20, episode_end=("terminated", "truncated"))
    for i in range(6):
        buffer.add({"step": i, "terminated": i == 1, "truncated": i == 3})
    assert windows(buffer, 2) == {(0, 1), (2, 3), (4, 5)}


def test_an_end_that_is_no_column_is_refused():
    with pytest.raises(ValueError, match=r"episode_end names the column 'over', which is not there; .*\['done'\]"):
        TensorRingBuffer(3, {"done": ((), torch.bool)}, episode_end="over")
    with pytest.raises(ValueError, match="'over'"):
        TensorRingBuffer(3, episode_end="over").add({"done": True})


def test_an_end_of_several_values_is_refused():
    with pytest.raises(ValueError, match=r"'done' of the shape \(2,\); .* one value for each item"):
        TensorRingBuffer(3, episode_end="done").add({"done": torch.zeros(2)})


def test_a_sequence_crosses_no_break():
    buffer = ring(20, range(3))
    buffer.break_sequence()
    buffer.break_sequence()
    for step in range(3, 5):
        buffer.add({"step": step})
    assert windows(buffer, 2) == {(0, 1), (1, 2), (3, 4)}


def test_a_sequence_crosses_the_last_slot_but_not_from_the_newest_item_to_the_oldest():
    buffer = ring(5, range(8))
    assert windows(buffer, 3) == {(3, 4, 5), (4, 5, 6), (5, 6, 7)}
    assert windows(buffer, 5) == {(3, 4, 5, 6, 7)}


def test_a_sequence_that_lost_its_first_items_goes_on_from_what_is_held():
    buffer = TensorRingBuffer(4, episode_end="done")
    for i in range(6):
        buffer.add({"step": i, "done": i == 3})
    assert windows(buffer, 2) == {(2, 3), (4, 5)}


def test_no_sequence_of_collected_items_crosses_a_pause_a_drop_a_refusal_or_a_restart(tmp_path):
    """The whole way: from a collector, by a data user, into the ring."""
    user = DataUser(TensorRingBuffer(100, max_queue_size=4))

    def collect(*steps):
        for step in steps:
            user.collector.collect({"step": step})

    collect(0, 1)
    user.collector.break_sequence()  # as the runtime does when the system has paused
    collect(2, 3)
    user.update()
    collect(4, 5, 6, 7, 8, 9)  # of which 4 and 5 are dropped
    user.update()
    collect(10, "not a number", 11)
    with pytest.raises(TypeError, match="not a number"):
        user.update()
    user.save_state(tmp_path / "user")
    resumed = DataUser(TensorRingBuffer(100))
    resumed.load_state(tmp_path / "user")
    resumed.collector.collect({"step": 12})
    resumed.collector.collect({"step": 13})
    resumed.update()
    assert windows(resumed.buffer, 2) == {(0, 1), (2, 3), (6, 7), (7, 8), (8, 9), (9, 10), (12, 13)}


OPERATIONS = st.lists(
    st.one_of(
        st.sampled_from(["item", "item", "item", "end", "break", "copy", "restart"]),
        st.integers(1, 6).map(lambda size: ("resize", size)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(size=st.integers(1, 6), operations=OPERATIONS)
def test_the_windows_that_are_drawn_are_those_of_a_plain_list(size, operations):
    """Against a model: a list of (item, number of its sequence), cut at the front."""
    buffer, model, sequence = TensorRingBuffer(size, episode_end="end"), [], 0
    for number, operation in enumerate(operations):
        if operation in ("item", "end"):
            buffer.add({"step": number, "end": operation == "end"})
            model = [*model, (number, sequence)][-size:]
            sequence += operation == "end"
        elif operation == "break":
            buffer.break_sequence()
            sequence += 1
        else:
            size = operation[1] if isinstance(operation, tuple) else size
            state = buffer.state_dict()
            buffer = TensorRingBuffer(size, episode_end="end")
            buffer.load_state_dict(state)
            model = model[-size:]
            if operation == "restart":
                buffer.break_sequence()
                sequence += 1
    assert len(buffer) == len(model)
    lengths = [0]
    for length in range(1, 7):
        expected = {
            tuple(step for step, _ in model[i : i + length])
            for i in range(len(model) - length + 1)
            if model[i][1] == model[i + length - 1][1]
        }
        if expected:
            lengths.append(length)
            assert windows(buffer, length) == expected
            # One at a time as well: it takes other ways to a window.
            assert all(windows(buffer, length, draws=1) <= expected for _ in range(5))
        else:
            with pytest.raises(ValueError, match=f"no sequence of {length} items: .* has {max(lengths)}; wait"):
                buffer.sample_sequences(1, length)


@pytest.mark.parametrize("batch", [1, 7, 250])
def test_every_window_is_drawn_as_often_as_every_other(batch):
    """Most of what is tried is a window."""
    torch.manual_seed(0)
    buffer = TensorRingBuffer(60, episode_end="done")
    for i in range(77):
        buffer.add({"step": i, "done": i % 10 == 9})
    draws = 10_000 // batch
    first = torch.cat([buffer.sample_sequences(batch, 3)["step"][:, 0] for _ in range(draws)])
    assert_uniform(first, [i for i in range(17, 75) if i // 10 == (i + 2) // 10])


@pytest.mark.parametrize("batch", [1, 7, 250])
def test_rare_windows_are_drawn_as_often_as_each_other(batch):
    """Next to nothing of what is tried is a window: all are looked up in the end."""
    torch.manual_seed(0)
    buffer = TensorRingBuffer(700)
    for i in range(1000):
        if not 600 <= i < 607 and i != 900:
            buffer.break_sequence()
        buffer.add({"step": i})
    draws = 4000 // batch
    first = torch.cat([buffer.sample_sequences(batch, 2)["step"][:, 0] for _ in range(draws)])
    assert_uniform(first, [*range(599, 606), 899])


def test_columns_of_a_sequence_belong_together():
    buffer = TensorRingBuffer(10)
    for i in range(14):
        buffer.add({"a": i, "b": torch.full((2, 3), float(i))})
    batch = buffer.sample_sequences(16, 4)
    assert batch["b"].shape == (16, 4, 2, 3)
    assert torch.equal(batch["b"][..., 1, 2].long(), batch["a"])
    assert (batch["a"].diff(dim=1) == 1).all()


# Saving.


def drawn_from(buffer):
    """What it draws in a while, with items that come in between."""
    drawn = []
    for step in range(1000, 1012):
        drawn.append(buffer.sample(9)["step"].tolist())
        drawn.append(buffer.sample_sequences(6, 2)["step"].tolist())
        buffer.add({"step": step})
    return drawn, held(buffer)


@pytest.mark.parametrize("steps", [4, 10, 13, 20], ids=["filling", "full", "wrapped", "twice round"])
def test_a_resumed_buffer_draws_what_the_uninterrupted_one_does(steps, tmp_path):
    buffer = ring(10, range(steps))
    buffer.sample(5)
    buffer.save_state(tmp_path / "buffer")
    resumed = TensorRingBuffer(10)
    resumed.load_state(tmp_path / "buffer")
    assert drawn_from(resumed) == drawn_from(buffer)


def test_a_loaded_buffer_has_the_columns_of_the_saved_one(tmp_path):
    buffer = TensorRingBuffer(3)
    for i in range(5):
        buffer.add({"b": torch.full((2,), i, dtype=torch.bfloat16), "a": i % 2 == 0, "c": np.full(1, i, np.int8)})
    buffer.save_state(tmp_path / "buffer")
    loaded = TensorRingBuffer(3)
    loaded.load_state(tmp_path / "buffer")
    assert list(loaded.get_data()) == ["b", "a", "c"]
    for name, column in buffer.get_data().items():
        assert torch.equal(loaded.get_data()[name], column)
        assert loaded.get_data()[name].dtype is column.dtype


def test_a_state_does_not_change_with_the_buffer():
    buffer = ring(3, range(5))
    state = buffer.state_dict()
    buffer.add({"step": 5})
    buffer.load_state_dict(state)
    assert held(buffer) == [2, 3, 4]


def test_a_save_takes_no_copy_beside_that_of_the_codec(tmp_path):
    """The threads of a system stand still for it."""
    buffer = TensorRingBuffer(10_000)
    for i in range(10_010):
        buffer.add({"observation": torch.full((3,), float(i))})
    with Watch() as watch, codec.deferring():
        buffer.save_state(tmp_path / "buffer")
    assert sum(size == 30_000 and "clone" in name for name, size in watch.made) == 1
    assert not [name for name, size in watch.made if size >= 30_000 and ("cat" in name or "index" in name)]


@pytest.mark.parametrize(("size", "expected"), [(2, [6, 7]), (4, [4, 5, 6, 7]), (9, [3, 4, 5, 6, 7])])
def test_a_buffer_of_another_size_takes_over_the_newest_that_fit(size, expected):
    loaded = ring(size, range(100, 105))
    loaded.load_state_dict(ring(5, range(8)).state_dict())
    assert held(loaded) == expected
    loaded.add({"step": 8})
    assert held(loaded) == [*expected, 8][-size:]
    assert set(loaded.sample(200)["step"].tolist()) == set(held(loaded))


@pytest.mark.parametrize("columns", [None, {"step": ((), torch.int64)}])
def test_an_empty_buffer_is_saved_and_loaded(columns):
    loaded = ring(3, range(3))
    loaded.load_state_dict(TensorRingBuffer(3, columns).state_dict())
    assert len(loaded) == 0
    loaded.add({"step": 1})
    assert held(loaded) == [1]


@pytest.mark.parametrize(
    "item", [{"step": 1.0}, {"step": torch.tensor([1])}, {"step": 1, "more": 2}, {"another": 1}]
)
def test_other_columns_are_refused_and_nothing_has_changed(item):
    other = TensorRingBuffer(3)
    other.add(item)
    buffer = ring(3, range(3))
    with pytest.raises(ValueError, match=r"the buffer has the columns .*, the saved one had .*; make it with"):
        buffer.load_state_dict(other.state_dict())
    assert held(buffer) == [0, 1, 2]


def test_columns_without_the_one_that_ends_an_episode_are_refused():
    with pytest.raises(ValueError, match="episode_end names the column 'done'"):
        TensorRingBuffer(3, episode_end="done").load_state_dict(ring(3, range(3)).state_dict())


def test_a_damaged_state_is_refused_and_nothing_has_changed():
    buffer = ring(3, range(3))
    state = ring(3, range(5)).state_dict()
    for damage in (
        {"runs": state["runs"][:2]},
        {"columns": {}},
        {"random": state["random"][:8]},
    ):
        with pytest.raises((ValueError, RuntimeError)):
            buffer.load_state_dict({**state, **damage})
        assert held(buffer) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"missing: \['runs'\]"):
        buffer.load_state_dict({key: value for key, value in state.items() if key != "runs"})


# Many threads.


def test_items_of_many_threads_arrive_whole_and_once_while_batches_are_drawn():
    threads, items = 4, 300
    user = DataUser(TensorRingBuffer(threads * items))
    start = threading.Barrier(threads + 1, timeout=30)

    def collect(thread):
        start.wait()
        for i in range(items):
            stamp = 1000 * thread + i
            user.collector.collect(
                {"number": stamp, "pair": torch.tensor([stamp, -stamp]), "array": np.full(3, stamp)}
            )

    collectors = [threading.Thread(target=collect, args=(n,)) for n in range(threads)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for collector in collectors:
            collector.start()
        start.wait()
        while any(collector.is_alive() for collector in collectors):
            user.update()
            if len(user):
                batch = user.sample(64)
                assert torch.equal(batch["pair"][:, 0], batch["number"])
                assert torch.equal(batch["pair"][:, 1], -batch["number"])
                assert (batch["array"] == batch["number"][:, None]).all()
    finally:
        sys.setswitchinterval(before)
        for collector in collectors:
            collector.join(30.0)
    numbers = user.get_data()["number"].tolist()
    assert sorted(numbers) == [1000 * thread + i for thread in range(threads) for i in range(items)]
    assert user.added == threads * items
    for thread in range(threads):
        assert [n for n in numbers if n // 1000 == thread] == [1000 * thread + i for i in range(items)]


# Devices.


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_pinned_memory_is_refused_where_there_is_no_cuda():
    with pytest.raises(ValueError, match="pin_memory needs CUDA, which torch does not find here; leave it False"):
        TensorRingBuffer(3, pin_memory=True)


def test_pinned_memory_is_refused_for_columns_on_a_device():
    with pytest.raises(ValueError, match="pin_memory is for columns on the CPU, got the device 'cuda'"):
        TensorRingBuffer(3, device="cuda", pin_memory=True)


def test_a_batch_is_moved_to_the_device_that_is_asked_for():
    buffer = ring(3, range(3))
    assert buffer.sample(2, device="meta")["step"].device.type == "meta"
    assert buffer.sample_sequences(2, 2, device="meta")["step"].device.type == "meta"


def test_the_default_device_of_torch_changes_nothing():
    with torch.device("meta"):
        buffer = ring(4, range(6))
        assert windows(buffer, 2) == {(2, 3), (3, 4), (4, 5)}
        assert set(buffer.sample(100)["step"].tolist()) == {2, 3, 4, 5}


@needs_cuda
def test_batches_are_gathered_in_pinned_memory():
    buffer = ring(10, range(14), pin_memory=True)
    assert buffer.sample(5)["step"].is_pinned()
    assert buffer.sample_sequences(5, 2)["step"].is_pinned()
    for _ in range(50):  # a block of memory is not used again while it is being copied
        batch = buffer.sample_sequences(256, 3, device="cuda")["step"]
        assert batch.device.type == "cuda"
        assert (batch.diff(dim=1) == 1).all()
        assert batch.min() >= 4


@needs_cuda
def test_columns_on_a_device_are_as_good(tmp_path):
    buffer = TensorRingBuffer(4, device="cuda", episode_end="done")
    for i in range(6):
        vector = torch.full((2,), float(i), device="cuda" if i % 2 else "cpu")
        buffer.add({"step": i, "vector": vector, "array": np.full(2, i), "done": i == 3})
    batch = buffer.sample(64)
    assert all(column.device.type == "cuda" for column in batch.values())
    assert torch.equal(batch["vector"][:, 0].long(), batch["step"])
    assert torch.equal(batch["array"][:, 1], batch["step"])
    assert windows(buffer, 2) == {(2, 3), (4, 5)}
    assert buffer.sample(2, device="cpu")["step"].device.type == "cpu"
    buffer.save_state(tmp_path / "buffer")
    loaded = TensorRingBuffer(4, device="cuda", episode_end="done")
    loaded.load_state(tmp_path / "buffer")
    assert torch.equal(loaded.sample(9)["step"], buffer.sample(9)["step"])


@needs_cuda
def test_values_on_a_device_are_taken_into_columns_on_the_cpu():
    buffer = ring(4, [torch.tensor(i, device="cuda") for i in range(3)])
    assert held(buffer) == [0, 1, 2]

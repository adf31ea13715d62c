"""What each buffer keeps, hands out, saves and refuses."""

import math
import random

import pytest
import torch
from safetensors import safe_open

from pamiq_sched import (
    DictRandomReplacementBuffer,
    DictSequentialBuffer,
    RandomReplacementBuffer,
    SequentialBuffer,
)
from pamiq_sched.testing import FakeBuffer

LIST_BUFFERS = [SequentialBuffer, RandomReplacementBuffer]
DICT_BUFFERS = [DictSequentialBuffer, DictRandomReplacementBuffer]


def fill(buffer, items):
    for item in items:
        buffer.add(item)
    return buffer


# All of them.


@pytest.mark.parametrize("make", LIST_BUFFERS)
@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused_with_its_value(make, size):
    with pytest.raises(ValueError, match=f"max_size .* at least 1 item, got {size}"):
        make(size)


@pytest.mark.parametrize("make", LIST_BUFFERS)
@pytest.mark.parametrize("size", [True, 2.5, "3", None, math.nan])
def test_a_size_that_is_no_whole_number_is_refused_with_its_value(make, size):
    with pytest.raises(TypeError, match=f"max_size .*, got {size!r}"):
        make(size)


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_a_dict_buffer_refuses_the_sizes_that_its_rows_refuse(make):
    with pytest.raises(ValueError, match="got 0"):
        make(["a"], 0)


@pytest.mark.parametrize("size", [0, -1])
def test_a_queue_below_one_is_refused(size):
    with pytest.raises(ValueError, match=f"max_queue_size .*, got {size}"):
        FakeBuffer(max_queue_size=size)


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_a_buffer_fills_up_in_order(make):
    buffer = fill(make(3), "ab")
    assert buffer.get_data() == ["a", "b"]
    assert len(buffer) == 2
    assert buffer.max_size == 3


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_what_was_handed_out_does_not_change_any_more(make):
    buffer = fill(make(3), "a")
    data = buffer.get_data()
    buffer.add("b")
    data.append("c")
    assert data == ["a", "c"]
    assert buffer.get_data() == ["a", "b"]


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_a_loaded_buffer_holds_what_the_saved_one_held(make, tmp_path):
    items = [1, "two", (3.0, None), {"four": [4]}]
    fill(make(4), items).save_state(tmp_path / "buffer")
    loaded = fill(make(4), ["something else"])
    loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == items


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_an_empty_buffer_is_saved_and_loaded(make, tmp_path):
    make(4).save_state(tmp_path / "buffer")
    loaded = fill(make(4), "a")
    loaded.load_state(tmp_path / "buffer")
    assert len(loaded) == 0


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_a_column_of_tensors_comes_back_as_tensors(make, tmp_path):
    items = [torch.full((2, 3), float(i)) for i in range(4)]
    fill(make(4), items).save_state(tmp_path / "buffer")
    loaded = make(4)
    loaded.load_state(tmp_path / "buffer")
    assert all(torch.equal(a, b) for a, b in zip(loaded.get_data(), items, strict=True))


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_a_loaded_buffer_goes_on_within_its_size(make, tmp_path):
    fill(make(3), range(3)).save_state(tmp_path / "buffer")
    loaded = make(3)
    loaded.load_state(tmp_path / "buffer")
    fill(loaded, range(10))
    assert len(loaded) == 3


@pytest.mark.parametrize("make", LIST_BUFFERS)
def test_a_state_of_something_else_is_refused(make, tmp_path):
    FakeBuffer().save_state(tmp_path / "list")
    make(3).save_state(tmp_path / "buffer")
    state = tmp_path / "buffer.json"
    state.write_text(state.read_text().replace('"items"', '"entries"'))
    with pytest.raises(ValueError, match=r"missing: \['items'\], unknown: \['entries'\]"):
        make(3).load_state(tmp_path / "buffer")


# Sequential.


def test_a_sequential_buffer_keeps_the_latest():
    assert fill(SequentialBuffer(3), range(10)).get_data() == [7, 8, 9]


def test_a_smaller_sequential_buffer_loads_the_latest(tmp_path):
    fill(SequentialBuffer(5), range(5)).save_state(tmp_path / "buffer")
    loaded = SequentialBuffer(2)
    loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == [3, 4]


# Random replacement.


def test_probability_one_lets_every_item_in():
    buffer = fill(RandomReplacementBuffer(3, replace_probability=1.0), range(3))
    for item in range(3, 50):
        buffer.add(item)
        assert item in buffer.get_data()
    assert len(buffer) == 3


def test_probability_one_is_the_default():
    buffer = fill(RandomReplacementBuffer(3), range(3))
    buffer.add("new")
    assert "new" in buffer.get_data()


def test_probability_zero_keeps_the_first_items():
    assert fill(RandomReplacementBuffer(3, replace_probability=0.0), range(100)).get_data() == [0, 1, 2]


def test_a_probability_in_between_lets_about_its_share_in():
    random.seed(0)
    buffer = fill(RandomReplacementBuffer(1, replace_probability=0.25), [None])
    entered = 0
    for item in range(4000):
        buffer.add(item)
        entered += buffer.get_data() == [item]
    assert 900 < entered < 1100


def test_every_slot_is_replaced_about_as_often():
    random.seed(0)
    buffer = fill(RandomReplacementBuffer(4), [None] * 4)
    replaced = [0] * 4
    for item in range(4000):
        buffer.add(item)
        replaced[buffer.get_data().index(item)] += 1
    assert all(900 < count < 1100 for count in replaced)


def test_a_buffer_is_full_when_it_holds_its_size():
    buffer = fill(RandomReplacementBuffer(2), "a")
    assert not buffer.is_full
    buffer.add("b")
    assert buffer.is_full


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, True])
def test_a_probability_out_of_range_is_refused_with_its_value(probability):
    with pytest.raises((TypeError, ValueError), match=f"replace_probability must be .*, got {probability!r}"):
        RandomReplacementBuffer(3, replace_probability=probability)


def test_two_ways_of_giving_the_probability_are_refused():
    with pytest.raises(ValueError, match=r"both set the probability, got 0\.5 and 100"):
        RandomReplacementBuffer(3, replace_probability=0.5, expected_survival_length=100)


@pytest.mark.parametrize("length", [0, -5])
def test_a_survival_length_below_one_is_refused(length):
    with pytest.raises(ValueError, match=f"expected_survival_length .*, got {length}"):
        RandomReplacementBuffer(3, expected_survival_length=length)


@pytest.mark.parametrize("length", [True, 2.5])
def test_a_survival_length_that_is_no_whole_number_is_refused(length):
    with pytest.raises(TypeError, match=f"expected_survival_length .*, got {length}"):
        RandomReplacementBuffer(3, expected_survival_length=length)


@pytest.mark.parametrize(
    ("size", "length", "probability"),
    [
        (1, 1, 0.5772156649015329),
        (10, 100, 0.28798007578955784),
        (100, 1000, 0.5182385850889625),
        (1000, 10_000, 0.7484970943883669),
        (1000, 100, 1.0),  # it cannot be turned over in fewer items than it holds
    ],
)
def test_the_survival_length_gives_the_probability_by_the_coupon_collector(size, length, probability):
    """Vectors of n (ln n + gamma) / s."""
    compute = RandomReplacementBuffer.compute_replace_probability_from_expected_survival_length
    assert compute(size, length) == pytest.approx(probability, rel=1e-12)


def test_a_full_buffer_is_turned_over_in_about_its_survival_length():
    random.seed(0)
    lengths = []
    for _ in range(200):
        buffer = fill(RandomReplacementBuffer(10, expected_survival_length=100), ["old"] * 10)
        added = 0
        while "old" in buffer.get_data():
            buffer.add("new")
            added += 1
        lengths.append(added)
    assert 90 < sum(lengths) / len(lengths) < 112


def test_the_global_seed_decides_what_is_replaced():
    def run():
        random.seed(7)
        return fill(RandomReplacementBuffer(5, 0.5), range(100)).get_data()

    assert run() == run()


def test_a_resumed_buffer_replaces_what_the_uninterrupted_one_does(tmp_path):
    buffer = fill(RandomReplacementBuffer(5, 0.5), range(100))
    buffer.save_state(tmp_path / "buffer")
    resumed = RandomReplacementBuffer(5, 0.5)
    resumed.load_state(tmp_path / "buffer")
    assert fill(resumed, range(100, 200)).get_data() == fill(buffer, range(100, 200)).get_data()


def test_a_smaller_random_buffer_loads_as_many_as_fit(tmp_path):
    fill(RandomReplacementBuffer(5), range(5)).save_state(tmp_path / "buffer")
    loaded = RandomReplacementBuffer(2)
    loaded.load_state(tmp_path / "buffer")
    assert len(loaded) == 2
    assert set(loaded.get_data()) <= set(range(5))
    assert loaded.is_full


# Dict forms.


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_mappings_are_handed_out_as_one_list_for_each_key(make):
    buffer = fill(make(["a", "b"], 3), [{"a": 1, "b": 2}, {"b": 4, "a": 3}])
    assert buffer.get_data() == {"a": [1, 3], "b": [2, 4]}
    assert len(buffer) == 2
    assert buffer.max_size == 3


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_an_empty_dict_buffer_hands_out_an_empty_list_for_each_key(make):
    assert make(["a", "b"], 3).get_data() == {"a": [], "b": []}


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_keys_are_handed_out_in_the_given_order(make):
    keys = ["zebra", "apple", "mango", "berry"]
    buffer = fill(make(keys, 3), [dict.fromkeys(reversed(keys), 0)])
    assert list(buffer.get_data()) == keys
    assert buffer.keys == set(keys)


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_keys_given_twice_are_one(make):
    assert list(make(["a", "b", "a"], 3).get_data()) == ["a", "b"]


@pytest.mark.parametrize("make", DICT_BUFFERS)
@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"a": 1}, r"missing: \['b'\], unknown: \[\]"),
        ({"a": 1, "b": 2, "c": 3}, r"missing: \[\], unknown: \['c'\]"),
        ({}, r"missing: \['a', 'b'\], unknown: \[\]"),
    ],
)
def test_an_item_with_other_keys_is_refused_and_not_kept(make, item, told):
    buffer = make(["a", "b"], 3)
    with pytest.raises(ValueError, match=told):
        buffer.add(item)
    assert len(buffer) == 0


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_a_dict_buffer_without_keys_is_refused(make):
    with pytest.raises(ValueError, match="at least one key"):
        make([], 3)


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_a_mapping_that_changes_later_does_not_change_the_buffer(make):
    buffer, item = make(["a"], 3), {"a": 1}
    buffer.add(item)
    item["a"] = 2
    assert buffer.get_data() == {"a": [1]}


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_a_loaded_dict_buffer_holds_what_the_saved_one_held(make, tmp_path):
    fill(make(["b", "a"], 3), [{"a": i, "b": (i,)} for i in range(3)]).save_state(tmp_path / "buffer")
    loaded = make(["b", "a"], 3)
    loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == {"b": [(0,), (1,), (2,)], "a": [0, 1, 2]}
    assert list(loaded.get_data()) == ["b", "a"]


def test_a_smaller_dict_buffer_loads_the_latest_rows(tmp_path):
    fill(DictSequentialBuffer(["a"], 5), [{"a": i} for i in range(5)]).save_state(tmp_path / "buffer")
    loaded = DictSequentialBuffer(["a"], 2)
    loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == {"a": [3, 4]}


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_a_state_with_other_keys_is_refused_at_the_load(make, tmp_path):
    """Not at the first session afterwards, by a KeyError."""
    fill(make(["a"], 3), [{"a": 1}]).save_state(tmp_path / "buffer")
    with pytest.raises(ValueError, match="'b'"):
        make(["b"], 3).load_state(tmp_path / "buffer")


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_a_saved_key_is_one_tensor_however_many_rows_there_are(make, tmp_path):
    """A tensor for each row took seconds for 10,000 rows, in which the agent stands still."""
    fill(make(["a", "b"], 50), [{"a": torch.ones(2), "b": torch.ones(3)}] * 50).save_state(tmp_path / "buffer")
    names = []
    for file in tmp_path.rglob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            names.extend(tensors.keys())
    assert len(names) <= 2


@pytest.mark.parametrize("make", DICT_BUFFERS)
def test_rows_of_different_shapes_come_back(make, tmp_path):
    rows = [{"a": torch.arange(n)} for n in (1, 2, 0)]
    fill(make(["a"], 3), rows).save_state(tmp_path / "buffer")
    loaded = make(["a"], 3)
    loaded.load_state(tmp_path / "buffer")
    assert [t.tolist() for t in loaded.get_data()["a"]] == [[0], [0, 1], []]


def test_a_dict_random_buffer_replaces_whole_rows():
    random.seed(0)
    buffer = fill(DictRandomReplacementBuffer(["a", "b"], 3), [{"a": i, "b": -i} for i in range(100)])
    data = buffer.get_data()
    assert data["a"] == [-b for b in data["b"]]
    assert buffer.is_full

"""The learning side of the data: exact counts, and nothing lost but what a buffer refuses."""

import math

import pytest

from pamiq_sched import (
    DataBuffer,
    DataUser,
    DataUsersDict,
    DictRandomReplacementBuffer,
    ManualClock,
    RandomReplacementBuffer,
    SequentialBuffer,
)
from pamiq_sched.testing import FakeBuffer


class PickyBuffer(FakeBuffer):
    """Refuses the item "bad"."""

    def add(self, data):
        if data == "bad":
            raise ValueError("bad item")
        super().add(data)


class BreakingBuffer(PickyBuffer):
    """Notes breaks among its items, as "|"."""

    def break_sequence(self):
        self.items.append("|")


class DrawingBuffer(FakeBuffer):
    """Draws in an order of its own: the newest first."""

    def sample(self, batch_size, *, device=None):
        return [(device, item) for item in self.items[-batch_size:]]

    def sample_sequences(self, batch_size, length, *, device=None):
        return [(device, self.items[-length:])] * batch_size

    def latest(self, n):
        if n > len(self.items):
            raise ValueError("too few")
        return self.items[-n:]


class CountingMoment(float):
    """A moment that counts how often it is compared."""

    compared = 0

    def __lt__(self, other):
        CountingMoment.compared += 1
        return float(self) < other


def collect(user, *items):
    for item in items:
        user.collector.collect(item)


def test_nothing_reaches_the_buffer_before_an_update():
    user = DataUser(FakeBuffer())
    collect(user, "a")
    assert len(user) == 0
    assert user.added == 0


def test_an_update_moves_what_was_collected_into_the_buffer():
    user = DataUser(FakeBuffer())
    collect(user, "a", "b")
    user.update()
    assert len(user) == 2
    assert user.buffer.get_data() == ["a", "b"]


def test_get_data_updates_first():
    user = DataUser(FakeBuffer())
    collect(user, "a")
    assert user.get_data() == ["a"]


def test_added_counts_items_that_a_full_buffer_pushed_out_too():
    user = DataUser(SequentialBuffer(2))
    for i in range(5):
        collect(user, i)
        user.update()
    assert len(user) == 2
    assert user.added == 5


def test_added_counts_items_that_a_random_buffer_did_not_take():
    user = DataUser(RandomReplacementBuffer(2, replace_probability=0.0))
    for i in range(5):
        collect(user, i)
        user.update()
    assert user.get_data() == [0, 1]
    assert user.added == 5


def test_dropped_items_do_not_count_as_added():
    user = DataUser(SequentialBuffer(2))
    collect(user, *range(5))
    user.update()
    assert user.added == 2
    assert user.collector.dropped == 3


def test_a_raising_buffer_loses_that_item_only():
    user = DataUser(PickyBuffer())
    collect(user, "a", "bad", "b", "c")
    with pytest.raises(ValueError, match="bad item"):
        user.update()
    user.update()
    assert user.get_data() == ["a", "b", "c"]
    assert user.added == 3


def test_what_a_buffer_refuses_names_the_buffer():
    class Picky(FakeBuffer):
        def add(self, data):
            raise ValueError("not that")

    users = DataUsersDict.from_data_buffers(frames=Picky())
    users.data_collectors_dict["frames"].collect(1)
    with pytest.raises(ValueError, match="not that") as refused:
        users["frames"].update()
    assert refused.value.__notes__ == ["raised by the buffer 'frames' over an item, which is lost"]


def test_items_behind_a_refused_one_come_before_those_collected_later():
    user = DataUser(PickyBuffer())
    collect(user, "bad", "a")
    with pytest.raises(ValueError, match="bad item"):
        user.update()
    collect(user, "b")
    assert user.get_data() == ["a", "b"]


def test_count_since_a_moment_counts_what_was_collected_after_it(clock):
    user = DataUser(FakeBuffer(), clock=clock)
    for _ in range(5):  # at 0, 1, 2, 3, 4 s
        collect(user, "item")
        clock.advance(1.0)
    user.update()
    assert [user.count_data_added_since(t) for t in (-1.0, 0.0, 1.5, 3.0, 4.0, 9.0)] == [5, 4, 3, 1, 0, 0]


def test_count_since_ever_is_all(clock):
    user = DataUser(FakeBuffer(), clock=clock)
    collect(user, "a", "b")
    user.update()
    assert user.count_data_added_since(-math.inf) == 2


def test_items_of_one_moment_are_counted_all_or_none(clock):
    user = DataUser(FakeBuffer(), clock=clock)
    clock.advance(5.0)
    collect(user, "a", "b", "c")
    user.update()
    assert user.count_data_added_since(math.nextafter(5.0, 0.0)) == 3
    assert user.count_data_added_since(5.0) == 0


def test_items_of_one_moment_count_as_new_in_differences_of_added(clock):
    user = DataUser(FakeBuffer(), clock=clock)
    collect(user, "a")
    user.update()
    before = user.added
    collect(user, "b")  # at the very moment of the last look
    user.update()
    assert user.added - before == 1


def test_what_waits_is_not_counted_until_the_next_update(clock):
    user = DataUser(FakeBuffer(), clock=clock)
    collect(user, "a")
    assert user.count_data_added_since(-1.0) == 0
    user.update()
    assert user.count_data_added_since(-1.0) == 1


def test_items_keep_the_moment_of_their_collection(clock):
    user = DataUser(FakeBuffer(), clock=clock)
    collect(user, "early")
    clock.advance(10.0)
    user.update()
    assert user.count_data_added_since(5.0) == 0


@pytest.mark.parametrize("size", [100, 10_000])
def test_counting_compares_as_often_as_a_bisection(size, clock):
    user = DataUser(SequentialBuffer(size), clock=clock)
    for _ in range(size):
        clock.advance(1.0)
        collect(user, None)
    user.update()
    CountingMoment.compared = 0
    assert user.count_data_added_since(CountingMoment(size / 2)) == size / 2
    assert CountingMoment.compared <= math.log2(size) + 1


def test_counts_over_the_latest_items_stay_exact_in_a_long_run(clock):
    user = DataUser(SequentialBuffer(10), clock=clock)
    for i in range(1, 1001):
        clock.advance(1.0)
        collect(user, i)
        user.update()
        assert user.count_data_added_since(clock.time() - 10) == min(i, 10)
    assert user.added == 1000


def test_the_size_of_a_saved_long_run_does_not_grow_with_it(clock, tmp_path):
    user = DataUser(SequentialBuffer(10), clock=clock)

    def size_after(items):
        for _ in range(items):
            collect(user, 1)
            user.update()
        path = tmp_path / str(user.added)
        user.save_state(path)
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    sizes = [size_after(997) for _ in range(5)]
    assert max(sizes) < 2 * sizes[0]


@pytest.mark.parametrize(
    ("buffer", "limit"),
    [
        (FakeBuffer(max_queue_size=7), 7),
        (SequentialBuffer(5), 5),
        (RandomReplacementBuffer(5, replace_probability=0.5), 10),
        (RandomReplacementBuffer(5, replace_probability=0.0), 5),
        (DictRandomReplacementBuffer(["a"], 5, replace_probability=0.3), 17),
    ],
)
def test_the_queue_is_as_long_as_the_buffer_says(buffer, limit):
    assert DataUser(buffer).max_queue_size == limit


def test_the_queue_of_a_buffer_that_does_not_say_is_bounded_all_the_same():
    class Unbounded(FakeBuffer):
        def __init__(self):
            super().__init__()
            DataBuffer.__init__(self)

    user = DataUser(Unbounded())
    assert user.max_queue_size == 65_536


def test_a_saved_and_loaded_user_has_items_and_counts(clock, tmp_path):
    user = DataUser(SequentialBuffer(5), clock=clock)
    for i in range(8):
        clock.advance(1.0)
        collect(user, i)
        user.update()
    user.save_state(tmp_path / "user")

    loaded = DataUser(SequentialBuffer(5), clock=ManualClock())
    loaded.load_state(tmp_path / "user")
    assert loaded.get_data() == user.get_data() == [3, 4, 5, 6, 7]
    assert loaded.added == 8
    assert [loaded.count_data_added_since(t) for t in (4.0, 6.5)] == [4, 2]


def test_a_save_takes_in_what_waits(tmp_path):
    user = DataUser(FakeBuffer())
    collect(user, "waiting")
    user.save_state(tmp_path / "user")
    loaded = DataUser(FakeBuffer())
    loaded.load_state(tmp_path / "user")
    assert loaded.get_data() == ["waiting"]
    assert loaded.added == 1


def test_loading_throws_away_what_waits(tmp_path):
    user = DataUser(FakeBuffer())
    user.save_state(tmp_path / "user")
    collect(user, "of another life")
    user.load_state(tmp_path / "user")
    assert user.get_data() == []


def test_a_user_with_a_smaller_buffer_loads_the_latest_items_and_every_count(clock, tmp_path):
    user = DataUser(SequentialBuffer(10), clock=clock)
    collect(user, *range(10))
    user.save_state(tmp_path / "user")
    loaded = DataUser(SequentialBuffer(3), clock=clock)
    loaded.load_state(tmp_path / "user")
    assert loaded.get_data() == [7, 8, 9]
    assert loaded.added == 10


def test_counts_go_on_after_a_load(clock, tmp_path):
    user = DataUser(SequentialBuffer(3), clock=clock)
    collect(user, "a")
    user.save_state(tmp_path / "user")
    loaded = DataUser(SequentialBuffer(3), clock=clock)
    loaded.load_state(tmp_path / "user")
    clock.advance(1.0)
    collect(loaded, "b")
    loaded.update()
    assert loaded.added == 2
    assert loaded.count_data_added_since(0.0) == 1


# Sequences.


def test_the_buffer_is_told_of_a_break_before_the_item_behind_it():
    user = DataUser(BreakingBuffer())
    collect(user, "a")
    user.collector.break_sequence()
    collect(user, "b", "c")
    assert user.get_data() == ["a", "|", "b", "c"]


def test_a_break_that_no_item_has_followed_yet_comes_with_the_next():
    user = DataUser(BreakingBuffer())
    collect(user, "a")
    user.collector.break_sequence()
    assert user.get_data() == ["a"]
    collect(user, "b")
    assert user.get_data() == ["a", "|", "b"]


def test_dropped_items_are_a_break():
    user = DataUser(BreakingBuffer(max_queue_size=2))
    collect(user, "a")
    user.update()
    collect(user, "b", "c", "d")
    assert user.get_data() == ["a", "|", "c", "d"]


def test_an_item_that_the_buffer_refuses_is_a_break():
    user = DataUser(BreakingBuffer())
    collect(user, "a", "bad", "b")
    with pytest.raises(ValueError, match="bad item"):
        user.update()
    assert user.get_data() == ["a", "|", "b"]


def test_a_load_is_a_break(tmp_path):
    user = DataUser(BreakingBuffer())
    collect(user, "a")
    user.save_state(tmp_path / "user")
    user.load_state(tmp_path / "user")
    collect(user, "b")
    assert user.get_data() == ["a", "|", "b"]


def test_a_break_before_a_save_outlives_it_on_both_sides(tmp_path):
    """The run that goes on keeps the mark; the one that is resumed begins a sequence anyhow."""
    user = DataUser(BreakingBuffer())
    collect(user, "a")
    user.collector.break_sequence()
    user.save_state(tmp_path / "user")
    resumed = DataUser(BreakingBuffer())
    resumed.load_state(tmp_path / "user")
    for each in (user, resumed):
        collect(each, "b")
        assert each.get_data() == ["a", "|", "b"]


def test_a_buffer_that_keeps_no_sequences_does_not_mind_breaks():
    user = DataUser(SequentialBuffer(3))
    user.collector.break_sequence()
    collect(user, "a")
    assert user.get_data() == ["a"]


# Drawing.


def test_drawing_updates_first_and_passes_everything_on():
    user = DataUser(DrawingBuffer())
    collect(user, 1, 2)
    assert user.sample(1, device="there") == [("there", 2)]
    collect(user, 3)
    assert user.sample_sequences(2, 3, device="there") == [("there", [1, 2, 3])] * 2
    collect(user, 4)
    assert user.latest(2) == [3, 4]


def test_what_is_drawn_is_counted():
    user = DataUser(DrawingBuffer())
    collect(user, *range(10))
    user.sample(3)
    assert user.sampled == 3
    user.sample_sequences(4, 5)
    assert user.sampled == 23
    user.latest(2)
    assert user.sampled == 25


def test_what_could_not_be_drawn_is_not_counted():
    user = DataUser(DrawingBuffer())
    with pytest.raises(ValueError, match="too few"):
        user.latest(1)
    assert user.sampled == 0


def test_get_data_counts_nothing_and_whoever_draws_from_it_says_so():
    user = DataUser(SequentialBuffer(3))
    collect(user, 1, 2)
    user.get_data()
    assert user.sampled == 0
    user.count_samples(64)
    user.count_samples(0)
    assert user.sampled == 64


def test_a_negative_count_of_samples_is_refused():
    with pytest.raises(ValueError, match="at least 0 item, got -1"):
        DataUser(FakeBuffer()).count_samples(-1)


def test_the_count_of_samples_is_not_saved(tmp_path):
    user = DataUser(FakeBuffer())
    user.count_samples(5)
    user.save_state(tmp_path / "user")
    loaded = DataUser(FakeBuffer())
    loaded.load_state(tmp_path / "user")
    assert loaded.sampled == 0


@pytest.mark.parametrize(
    ("method", "arguments"), [("sample", (1,)), ("sample_sequences", (1, 2)), ("latest", (1,))]
)
def test_a_buffer_that_cannot_draw_is_named_with_the_remedy(method, arguments):
    user = DataUser(SequentialBuffer(3))
    with pytest.raises(TypeError, match=rf"SequentialBuffer, which has no {method}\(\); .*TensorRingBuffer"):
        getattr(user, method)(*arguments)


def test_drops_are_counted_on_after_a_load(tmp_path):
    user = DataUser(FakeBuffer(max_queue_size=2))
    for item in range(5):
        user.collector.collect(item)
    user.save_state(tmp_path / "user")
    later = DataUser(FakeBuffer(max_queue_size=2))
    later.load_state(tmp_path / "user")
    assert later.collector.dropped == 3


class Odd(FakeBuffer):
    """Takes odd numbers only."""

    def add(self, data):
        if data % 2 == 0:
            raise ValueError(f"even: {data}")
        super().add(data)


def test_items_that_are_refused_while_saved_are_raised_by_the_next_updates(tmp_path):
    """The save has what is good, and training meets each refusal once."""
    user = DataUser(Odd())
    for item in range(1, 6):
        user.collector.collect(item)
    user.save_state(tmp_path / "user")
    later = DataUser(Odd())
    later.load_state(tmp_path / "user")
    assert later.get_data() == [1, 3, 5]
    for even in (2, 4):
        with pytest.raises(ValueError, match=f"even: {even}"):
            user.update()
    assert user.get_data() == [1, 3, 5]
    assert later.added == user.added == 3


def test_a_save_after_a_refusal_forgets_none(tmp_path):
    user = DataUser(Odd())
    for i, item in enumerate((2, 4)):
        user.collector.collect(item)
        user.save_state(tmp_path / str(i))
    for even in (2, 4):
        with pytest.raises(ValueError, match=f"even: {even}"):
            user.update()
    user.update()

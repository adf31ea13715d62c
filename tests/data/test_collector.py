"""The acting side of the data: nothing is lost but what is counted as dropped."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pamiq_sched import DataUser
from pamiq_sched.data import DataCollector
from pamiq_sched.testing import FakeBuffer

THREADS, ITEMS = 4, 500


@pytest.fixture
def eager_switching():
    """Let the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def collect_from_all_threads(collector, meanwhile=lambda: None, before=lambda: None):
    """Let every thread collect its items at once, each after ``before``; ``meanwhile`` runs here until then."""
    start = Barrier(THREADS + 1, timeout=30)

    def collect(thread):
        start.wait()
        for i in range(ITEMS):
            before()
            collector.collect((thread, i))

    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(collect, thread) for thread in range(THREADS)]
        start.wait()
        while not all(job.done() for job in jobs):
            meanwhile()
    for job in jobs:
        job.result()


def test_items_are_taken_in_the_order_and_at_the_moment_of_collection(clock):
    collector = DataCollector(10, clock=clock)
    collector.collect("first")
    clock.advance(1.5)
    collector.collect("second")
    assert list(collector.take_all()) == [("first", 0.0, False), ("second", 1.5, False)]


def test_what_is_taken_is_gone():
    collector = DataCollector(10)
    collector.collect("item")
    collector.take_all()
    assert list(collector.take_all()) == []


def test_a_full_queue_drops_the_oldest_and_counts_it():
    collector = DataCollector(3)
    for i in range(5):
        collector.collect(i)
    assert [item for item, _, _ in collector.take_all()] == [2, 3, 4]
    assert collector.dropped == 2


def test_a_queue_that_is_just_full_drops_nothing():
    collector = DataCollector(3)
    for i in range(3):
        collector.collect(i)
    assert collector.dropped == 0


def test_drops_go_on_being_counted_after_a_take():
    collector = DataCollector(1)
    for _ in range(2):
        collector.collect("a")
        collector.collect("b")
        collector.take_all()
    assert collector.dropped == 2


def test_only_the_first_drop_is_logged_with_name_and_remedy(caplog):
    collector = DataCollector(1, name="frames")
    with caplog.at_level(logging.WARNING):
        for i in range(4):
            collector.collect(i)
    [record] = caplog.records
    assert "'frames'" in record.getMessage()
    assert "raise max_queue_size" in record.getMessage()


@pytest.mark.parametrize("size", [0, -1])
def test_a_queue_below_one_is_refused_with_its_value(size):
    with pytest.raises(ValueError, match=f"max_queue_size .*, got {size}"):
        DataCollector(size)


def begins(collector):
    """Each waiting item, and whether it begins a sequence."""
    return [(item, begin) for item, _, begin in collector.take_all()]


def test_a_break_marks_the_next_item_alone():
    collector = DataCollector(10)
    collector.collect("a")
    collector.break_sequence()
    collector.collect("b")
    collector.collect("c")
    assert begins(collector) == [("a", False), ("b", True), ("c", False)]


def test_a_break_without_an_item_is_kept_until_one_comes():
    collector = DataCollector(10)
    collector.break_sequence()
    collector.break_sequence()
    assert begins(collector) == []
    collector.collect("a")
    collector.collect("b")
    assert begins(collector) == [("a", True), ("b", False)]


def test_a_drop_is_a_gap_before_the_item_that_is_the_oldest_then():
    collector = DataCollector(2)
    for item in "abcd":
        collector.collect(item)
    assert begins(collector) == [("c", True), ("d", False)]
    collector.collect("e")
    assert begins(collector) == [("e", False)]


def test_a_break_at_a_dropped_item_is_one_at_the_next():
    collector = DataCollector(1)
    collector.break_sequence()
    collector.collect("dropped")
    collector.collect("a")
    assert begins(collector) == [("a", True)]


def test_no_break_of_many_threads_is_lost(eager_switching):
    """Between two items of a thread that breaks before each, some item begins a sequence."""
    collector = DataCollector(THREADS * ITEMS)
    taken = []
    collect_from_all_threads(collector, lambda: taken.extend(begins(collector)), before=collector.break_sequence)
    taken.extend(begins(collector))
    assert len(taken) == THREADS * ITEMS
    broken_since_last = dict.fromkeys(range(THREADS), False)
    for (thread, _), begin in taken:
        if begin:
            broken_since_last = dict.fromkeys(range(THREADS), True)
        assert broken_since_last[thread]
        broken_since_last[thread] = False


def test_a_listener_is_called_after_each_item_has_arrived():
    collector = DataCollector(10)
    seen = []
    collector.attach_listener(lambda: seen.append([item for item, _, _ in collector.take_all()]))
    collector.collect("a")
    collector.collect("b")
    assert seen == [["a"], ["b"]]


def test_concurrent_collectors_lose_and_double_nothing(eager_switching):
    collector = DataCollector(THREADS * ITEMS)
    taken = []
    collect_from_all_threads(collector, lambda: taken.extend(collector.take_all()))
    taken.extend(collector.take_all())
    assert sorted(item for item, _, _ in taken) == [(t, i) for t in range(THREADS) for i in range(ITEMS)]
    assert collector.dropped == 0


def test_the_order_of_each_thread_is_kept(eager_switching):
    collector = DataCollector(THREADS * ITEMS)
    collect_from_all_threads(collector)
    items = [item for item, _, _ in collector.take_all()]
    for thread in range(THREADS):
        assert [i for t, i in items if t == thread] == list(range(ITEMS))


def test_moments_never_decrease_along_the_queue_of_many_threads(eager_switching):
    collector = DataCollector(THREADS * ITEMS)
    collect_from_all_threads(collector)
    moments = [moment for _, moment, _ in collector.take_all()]
    assert moments == sorted(moments)


def test_kept_and_dropped_together_are_what_concurrent_collectors_gave(eager_switching):
    collector = DataCollector(7)
    taken = []
    collect_from_all_threads(collector, lambda: taken.extend(collector.take_all()))
    taken.extend(collector.take_all())
    assert len(taken) + collector.dropped == THREADS * ITEMS
    assert len(set(taken)) == len(taken)


def test_a_user_counts_exactly_what_concurrent_collectors_gave(eager_switching):
    user = DataUser(FakeBuffer(max_queue_size=THREADS * ITEMS))
    counts = []

    def update():
        user.update()
        counts.append(user.added)

    collect_from_all_threads(user.collector, update)
    user.update()
    assert user.added == len(user) == len(set(user.get_data())) == THREADS * ITEMS
    assert counts == sorted(counts)

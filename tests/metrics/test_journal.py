"""What components log: cheaply, from any thread, and taken whole."""

import logging
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from pamiq_sched.metrics import LoggingMixin, Recorder
from pamiq_sched.metrics.journal import LONGEST_NAME, MOST_NAMES
from pamiq_sched.metrics.recorder import MOST_POINTS


class Component(LoggingMixin):
    pass


def attached(recorder, prefix="dqn"):
    component = Component()
    component.attach_journal(recorder.open(prefix))
    return component


@pytest.fixture
def recorder():
    return Recorder()


def logged(recorder):
    points, _ = recorder.collect()
    return [(point.name, point.value) for point in points]


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        np.float32(1.5),
        np.array([[1.5]]),
        torch.tensor(1.5),
        torch.tensor([1.5], requires_grad=True),
        torch.tensor(1.5, dtype=torch.bfloat16),
    ],
    ids=repr,
)
def test_a_number_in_any_clothes_is_logged(recorder, value):
    attached(recorder).log("loss", value)
    assert logged(recorder) == [("dqn/loss", 1.5)]


@pytest.mark.parametrize(("value", "number"), [(2, 2.0), (True, 1.0), (np.int64(3), 3.0), (torch.tensor(4), 4.0)])
def test_whole_numbers_and_flags_become_floats(recorder, value, number):
    attached(recorder).log("count", value)
    (point,) = recorder.collect()[0]
    assert (point.value, type(point.value)) == (number, float)


def test_a_tensor_is_what_it_was_when_it_was_logged(recorder):
    component, value = attached(recorder), torch.tensor(1.0)
    component.log("norm", value)
    value.fill_(2.0)
    assert logged(recorder) == [("dqn/norm", 1.0)]


def test_a_tensor_elsewhere_is_copied_there_and_read_when_it_is_taken(recorder):
    """The meta device has no values: to read one raises, where it is taken and not where it is logged."""
    component = attached(recorder)
    component.log("loss", torch.zeros((), device="meta"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        recorder.collect()


@pytest.mark.parametrize(
    "value", [torch.zeros(2), np.zeros((2, 1)), torch.zeros(0), torch.zeros(3, device="meta")]
)
def test_several_numbers_are_refused_with_their_shape(recorder, value):
    with pytest.raises(ValueError, match=r"'loss' of shape \(\d.*log its mean\(\)"):
        attached(recorder).log("loss", value)


@pytest.mark.parametrize("value", ["0.5", None, 1j, [1.0], torch.tensor(1j)], ids=repr)
def test_what_is_no_real_number_is_refused(recorder, value):
    with pytest.raises(TypeError, match="'loss'"):
        attached(recorder).log("loss", value)


@pytest.mark.parametrize("component", [Component(), attached(Recorder())], ids=["alone", "attached"])
@pytest.mark.parametrize(
    ("name", "error"),
    [(None, TypeError), (3, TypeError), ("", ValueError), ("x" * (LONGEST_NAME + 1), ValueError)],
)
def test_a_name_that_is_none_is_refused_whether_anybody_listens_or_not(component, name, error):
    with pytest.raises(error, match="the name of a logged value must"):
        component.log(name, 1.0)


def test_without_anybody_who_listens_nothing_is_kept():
    component = Component()
    component.log("loss", 1.0)
    assert component._journal.lists["loss"] == []


def test_few_values_are_kept_one_by_one_with_their_steps(recorder):
    component = attached(recorder)
    for step in range(MOST_POINTS):
        component._journal.steps.advance(step)
        component.log("loss", float(step))
    points, _ = recorder.collect()
    assert [(p.step, p.value, p.count) for p in points] == [(s, float(s), 1) for s in range(MOST_POINTS)]
    assert sorted(points, key=lambda p: p.time) == points
    assert recorder.collect() == ([], [])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), min_size=1, max_size=60))
def test_many_values_are_merged_and_none_is_forgotten(values):
    recorder = Recorder()
    component = attached(recorder)
    for value in values:
        component.log("loss", value)
    points, _ = recorder.collect()
    assert len(points) == min(len(values), MOST_POINTS)
    assert sum(point.count for point in points) == len(values)
    begin = 0
    for point in points:
        piece = values[begin : begin + point.count]
        begin += point.count
        numbers = [v for v in piece if not math.isnan(v)]
        if len(numbers) == len(piece):
            assert math.isclose(point.value, sum(piece) / len(piece), rel_tol=1e-9, abs_tol=1e-30)
        else:
            assert math.isnan(point.value)
        if numbers:
            assert (point.least, point.greatest) == (min(numbers), max(numbers))
        else:
            assert math.isnan(point.least)


def test_infinity_is_told_as_it_is(recorder):
    attached(recorder).log("loss", math.inf)
    (point,) = recorder.collect()[0]
    assert (point.value, point.least, point.greatest) == (math.inf, math.inf, math.inf)


def test_a_child_counts_by_the_steps_of_its_parent(recorder):
    journal = recorder.open("agent")
    child = Component()
    child.attach_journal(journal.child("arm"))
    journal.steps.advance(7)
    child.log("effort", 1.0)
    (point,) = recorder.collect()[0]
    assert (point.name, point.step) == ("agent/arm/effort", 7)


def test_names_without_end_are_not_kept_and_said_once(recorder, caplog):
    component = attached(recorder)
    with caplog.at_level(logging.WARNING):
        for i in range(MOST_NAMES + 5):
            component.log(f"loss {i}", 1.0)
    assert len(logged(recorder)) == MOST_NAMES
    assert len(caplog.records) == 1
    assert "dqn logs by more than 1000 names: 'loss 1000'" in caplog.text


def test_no_value_is_lost_or_torn_between_threads_that_log_and_one_that_takes(recorder):
    """Three threads log by one name while a fourth takes."""
    component, each = attached(recorder), 20_000
    begin = threading.Barrier(4)

    def log(offset):
        begin.wait(30.0)
        for i in range(each):
            component.log("value", float(offset + i))

    threads = [threading.Thread(target=log, args=(n * each,)) for n in range(3)]
    for thread in threads:
        thread.start()
    begin.wait(30.0)
    points = []
    while any(thread.is_alive() for thread in threads):
        points += recorder.collect()[0]
    for thread in threads:
        thread.join()
    points += recorder.collect()[0]
    assert sum(point.count for point in points) == 3 * each
    assert math.isclose(sum(p.value * p.count for p in points), sum(range(3 * each)), rel_tol=1e-9)
    assert min(p.least for p in points) == 0.0
    assert max(p.greatest for p in points) == 3 * each - 1


def test_events_come_in_their_order_and_once(recorder):
    recorder.tell("state", "paused", state="paused")
    recorder.tell("saved", "saved it", path="x")
    _, events = recorder.collect()
    assert [(e.kind, e.text, dict(e.details)) for e in events] == [
        ("state", "paused", {"state": "paused"}),
        ("saved", "saved it", {"path": "x"}),
    ]
    assert recorder.collect() == ([], [])


def test_values_of_several_steps_carry_each_its_own_also_when_a_step_is_collected_in_two_goes(recorder):
    component = attached(recorder)
    steps = component._journal.steps
    steps.advance(1)
    component.log("loss", 1.0)
    first = recorder.collect()[0]
    component.log("loss", 2.0)
    steps.advance(2)
    component.log("loss", 3.0)
    component.log("loss", 4.0)
    steps.advance(3)
    steps.advance(4)
    component.log("loss", 5.0)
    points = first + recorder.collect()[0]
    assert [(p.value, p.step) for p in points] == [(1.0, 1), (2.0, 1), (3.0, 2), (4.0, 2), (5.0, 4)]
    assert [p.time for p in points] == sorted(p.time for p in points)
    assert recorder.collect() == ([], [])


def test_merged_values_carry_the_step_of_their_last(recorder):
    component = attached(recorder)
    for step in range(1, 101):
        component._journal.steps.advance(step)
        component.log("loss", float(step))
    points, _ = recorder.collect()
    assert [p.step for p in points] == [int(p.greatest) for p in points] == [25, 50, 75, 100]


def test_a_value_that_was_logged_long_after_its_step_began_is_not_older_than_the_last_collection(recorder):
    component = attached(recorder)
    component._journal.steps.advance(1)
    recorder.collect()
    between = recorder.now()
    component.log("loss", 1.0)
    (point,) = recorder.collect()[0]
    assert between <= point.time <= recorder.now()


def test_a_mean_of_large_values_is_no_infinity(recorder):
    component = attached(recorder)
    for _ in range(8):
        component.log("loss", 1.7e308)
    (*_, point) = recorder.collect()[0]
    assert (point.value, point.count) == (1.7e308, 2)

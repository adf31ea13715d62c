"""How long things take: what a window of durations amounts to, whenever it is asked."""

import random
import sys

import pytest
from hypothesis import given, strategies as st

from pamiq_sched import Durations, DurationWindow


def filled(durations, size=4096):
    window = DurationWindow(size)
    for seconds in durations:
        window.add(seconds)
    return window


def test_a_known_series_in_any_order_has_its_percentiles():
    series = [float(n) for n in range(1, 101)]
    random.Random(0).shuffle(series)
    assert filled(series).summary() == Durations(count=100, p50=50.0, p99=99.0, max=100.0, longest=100.0)


def test_of_fifty_durations_the_longest_is_the_99th_percentile():
    """The one before it is at least as long as 98 of 100 only."""
    assert filled(range(1, 51)).summary().p99 == 50


def test_an_empty_window_gives_zeros():
    assert DurationWindow().summary() == Durations(count=0, p50=0.0, p99=0.0, max=0.0, longest=0.0)


def test_a_single_duration_is_all_there_is():
    assert filled([0.25]).summary() == Durations(count=1, p50=0.25, p99=0.25, max=0.25, longest=0.25)


def test_the_window_forgets_but_the_longest_ever_and_the_count_do_not():
    assert filled([100.0, 1.0, 2.0, 3.0, 4.0], size=4).summary() == Durations(
        count=5, p50=2.0, p99=4.0, max=4.0, longest=100.0
    )


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=60), st.integers(1, 20))
def test_it_is_what_the_definition_says(series, size):
    window = series[-size:]

    def percentile(percent):
        return min(d for d in window if sum(other <= d for other in window) * 100 >= percent * len(window))

    assert filled(series, size).summary() == Durations(
        len(series), percentile(50), percentile(99), max(window), max(series)
    )


@pytest.mark.parametrize("size", [0, -1])
def test_a_window_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"size must be a whole number of at least 1 duration, got {size}"):
        DurationWindow(size)


@pytest.mark.parametrize("size", [1.5, True, None])
def test_a_size_that_is_not_whole_is_refused(size):
    with pytest.raises(TypeError, match=f"size must be .*, got {size!r}"):
        DurationWindow(size)


# One thread writes while another reads. What the other does is put between any two instructions of the one.


def between_instructions(of, call, do):
    """Call something, and do another thing before each instruction of the function ``of``."""
    sys._getframe().f_trace_opcodes = True  # Python 3.12 tells of none before some frame has asked for them
    done = 0

    def trace(frame, event, argument):
        nonlocal done
        if frame.f_code is not of.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            done += 1
            do()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = call()
    finally:
        sys.settrace(before)
    assert done > 10, "nothing was put in between"
    return result


def assert_plausible(summary, counts):
    """Durations of at least 1 were added, so a 0 is a place that was never written."""
    assert summary.count in counts
    assert 1.0 <= summary.p50 <= summary.p99 <= summary.max <= summary.longest


@pytest.mark.parametrize("before", [1, 3, 4, 9])
def test_a_reader_in_the_midst_of_an_add_sees_the_durations_before_or_behind_it(before):
    window = filled([1.0] * before, size=4)
    seen = []
    between_instructions(DurationWindow.add, lambda: window.add(2.0), lambda: seen.append(window.summary()))
    for summary in seen:
        assert_plausible(summary, {before, before + 1})
    assert_plausible(window.summary(), {before + 1})


@pytest.mark.parametrize("before", [1, 3, 4, 9])
def test_a_reader_gets_plausible_values_while_longer_and_longer_durations_are_added(before):
    window = filled([1.0] * before, size=4)
    longer = iter(range(2, 10_000))
    summary = between_instructions(DurationWindow.summary, window.summary, lambda: window.add(float(next(longer))))
    assert_plausible(summary, range(before, next(longer)))


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=60), st.integers(1, 20), st.integers(0, 70))
def test_a_summary_since_a_count_is_that_of_what_came_after_it(series, size, since):
    latest = series[since:][-size:]
    whole = filled(series, size)
    if not latest:
        assert whole.summary(since) == Durations(len(series), longest=max(series))
    else:
        expected = filled(latest).summary()
        found = whole.summary(since)
        assert (found.p50, found.p99, found.max) == (expected.p50, expected.p99, expected.max)
        assert (found.count, found.longest) == (len(series), max(series))

"""Steps keep to a grid of moments, whatever they take and whatever stops them."""

import math
import random

import pytest

from pamiq_sched import Durations, IntervalAdjustor, ManualClock, ShutdownRequested, SleepIntervalAdjustor

POLICIES = ["skip", "catch_up"]


class Pauses:
    """A pause point that pauses the clock for a while at given moments of its source."""

    def __init__(self, clock, stops):
        self.clock = clock
        self.stops = dict(stops)  # agent time of the pause -> seconds that it lasts
        self.count = 0

    def is_requested(self):
        return any(self.clock.time() >= at for at in self.stops)

    def __call__(self):
        for at in [at for at in self.stops if self.clock.time() >= at]:
            self.clock.pause()
            self.clock.advance(self.stops.pop(at))
            self.clock.resume()
            self.count += 1


class ClockWithMoments(ManualClock):
    """A clock whose sleeps jump; each sleep ends early at the next of the given moments."""

    def __init__(self, moments=()):
        super().__init__(autojump=True)
        self.moments = sorted(moments)
        self.sleeps = []

    def sleep(self, seconds, *, wake_if=None):
        self.sleeps.append(seconds)
        span = min([seconds, *(m - self.time() for m in self.moments if m > self.time())])
        super().sleep(span, wake_if=wake_if)


class OversleepingClock(ManualClock):
    """A clock whose sleeps jump, and end late as those of a busy machine do."""

    def __init__(self, lateness):
        super().__init__(autojump=True)
        self.lateness = lateness

    def sleep(self, seconds, *, wake_if=None):
        super().sleep(seconds, wake_if=wake_if)
        self.advance(self.lateness())


def make(interval, offset=0.0, clock=None, **policy):
    clock = clock or ManualClock(autojump=True)
    adjustor = SleepIntervalAdjustor(interval, offset, clock=clock, **policy)
    adjustor.reset()
    return adjustor, clock


def moments_of(adjustor, number):
    """The moments at which so many calls return; what is called between them takes no time."""
    moments = []
    for _ in range(number):
        adjustor.adjust()
        moments.append(adjustor.clock.time())
    return moments


def test_ten_thousand_steps_of_random_length_do_not_drift():
    adjustor, clock = make(0.1)
    generator = random.Random(0)
    for step in range(1, 10_001):
        clock.advance(generator.uniform(0.0, 0.0999))
        adjustor.adjust()
        assert clock.time() == pytest.approx(step * 0.1, abs=1e-9)
    assert adjustor.misses == 0


def test_ten_thousand_late_wake_ups_do_not_drift():
    generator = random.Random(0)
    adjustor, clock = make(0.1, clock=OversleepingClock(lambda: generator.uniform(0.0, 0.02)))
    for step in range(1, 10_001):
        adjustor.adjust()
        assert 0.0 <= clock.time() - step * 0.1 + 1e-9 <= 0.021
    assert adjustor.misses == 0


def test_long_steps_are_missed_deadlines_and_the_grid_is_kept():
    adjustor, clock = make(0.1)
    generator = random.Random(0)
    waits = 0
    for _ in range(10_000):
        clock.advance(generator.uniform(0.0, 0.35))
        before = clock.time()
        adjustor.adjust()
        if clock.time() != before:
            waits += 1
            assert clock.time() / 0.1 == pytest.approx(round(clock.time() / 0.1), abs=1e-6)
    assert waits > 1000
    assert adjustor.misses + waits == pytest.approx(clock.time() / 0.1, abs=1.5), (
        "each deadline is one or the other"
    )


def test_a_late_step_counts_one_miss_and_does_not_wait():
    adjustor, clock = make(1.0)
    clock.advance(1.25)
    adjustor.adjust()
    assert (clock.time(), adjustor.misses) == (1.25, 1)
    adjustor.adjust()
    assert (clock.time(), adjustor.misses) == (2.0, 1)


def test_a_step_over_several_deadlines_counts_each():
    adjustor, clock = make(1.0)
    clock.advance(3.5)
    adjustor.adjust()
    assert adjustor.misses == 3
    adjustor.adjust()
    assert clock.time() == 4.0


def test_a_step_that_ends_at_its_deadline_is_on_time():
    adjustor, clock = make(1.0)
    clock.advance(1.0)
    adjustor.adjust()
    assert (clock.time(), adjustor.misses) == (1.0, 0)
    adjustor.adjust()
    assert clock.time() == 2.0


def test_adjust_returns_the_seconds_since_the_last_call():
    adjustor, clock = make(1.0)
    clock.advance(0.25)
    assert adjustor.adjust() == 1.0
    clock.advance(1.5)
    assert adjustor.adjust() == 1.5
    assert adjustor.adjust() == 0.5


def test_the_deadline_is_the_next_one_on_the_grid():
    adjustor, clock = make(1.0)
    assert adjustor.deadline == 1.0
    adjustor.adjust()
    assert adjustor.deadline == 2.0
    clock.advance(5.5)
    adjustor.adjust()
    assert adjustor.deadline == 7.0


def test_an_offset_moves_the_whole_grid_earlier():
    adjustor, clock = make(1.0, offset=0.25)
    moments = []
    for _ in range(3):
        adjustor.adjust()
        moments.append(clock.time())
    assert moments == [0.75, 1.75, 2.75]


def test_reset_starts_the_grid_anew():
    adjustor, clock = make(1.0)
    clock.advance(5.25)
    assert adjustor.reset() == 5.25
    adjustor.adjust()
    assert clock.time() == 6.25
    assert adjustor.misses == 0


def test_without_a_reset_the_grid_starts_at_the_first_adjust():
    clock = ManualClock(autojump=True)
    clock.advance(3.5)
    SleepIntervalAdjustor(1.0, clock=clock).adjust()
    assert clock.time() == 4.5


# After a miss.


def test_a_stall_leaves_out_the_deadlines_that_passed():
    adjustor, clock = make(1.0, missed="skip")
    clock.advance(3.5)
    assert moments_of(adjustor, 3) == [3.5, 4.0, 5.0]
    assert adjustor.misses == 3


def test_catching_up_takes_a_step_for_each_deadline_that_passed_and_is_on_the_grid_again():
    adjustor, clock = make(1.0, missed="catch_up")
    clock.advance(3.5)
    assert moments_of(adjustor, 5) == [3.5, 3.5, 3.5, 4.0, 5.0]
    assert adjustor.misses == 3


def test_deadlines_that_pass_while_it_catches_up_are_made_up_for_too():
    """After a stall of 3.5 intervals come steps of a quarter: at 4.25 the fourth deadline has passed as well."""
    adjustor, clock = make(1.0, missed="catch_up")
    clock.advance(3.5)
    moments = []
    for _ in range(6):
        adjustor.adjust()
        moments.append(clock.time())
        clock.advance(0.25)
    assert moments == [3.5, 3.75, 4.0, 4.25, 5.0, 6.0]
    assert adjustor.misses == 4


def test_catching_up_leaves_out_no_deadline():
    adjustor, clock = make(0.1, missed="catch_up")
    generator = random.Random(0)
    for step in range(1, 10_001):
        clock.advance(0.37 if generator.random() < 0.1 else generator.uniform(0.0, 0.09))
        adjustor.adjust()
        assert adjustor.deadline == (step + 1) * 0.1
        assert clock.time() >= step * 0.1
    assert adjustor.misses > 1000


def test_steps_longer_than_the_interval_are_later_and_later_when_it_catches_up():
    adjustor, clock = make(1.0, missed="catch_up")
    for _ in range(100):
        clock.advance(1.25)
        adjustor.adjust()
    assert clock.time() == 125.0
    assert adjustor.misses == 100
    assert adjustor.lateness.summary().max == 25.0


@pytest.mark.parametrize("missed", POLICIES)
def test_steps_of_exactly_one_interval_miss_nothing(missed):
    adjustor, clock = make(0.25, missed=missed)
    for step in range(1, 1001):
        clock.advance(0.25)
        adjustor.adjust()
        assert clock.time() == step * 0.25
    assert (adjustor.misses, adjustor.lateness.summary().longest) == (0, 0.0)


@pytest.mark.parametrize("missed", POLICIES)
def test_a_stall_that_ends_right_at_a_deadline_does_not_miss_that_one(missed):
    adjustor, clock = make(1.0, missed=missed)
    clock.advance(3.0)
    moments = moments_of(adjustor, 4)
    assert (moments[0], adjustor.misses) == (3.0, 2)
    assert 4.0 in moments


@pytest.mark.parametrize("interval", [0.1, 0.01, 1 / 3, 0.3, 1 / 30])
def test_which_deadlines_have_passed_is_decided_by_the_grid_and_not_by_a_division(interval):
    """At each deadline, and as near to it on both sides as a float can be."""
    for number in range(2, 500):
        deadline = number * interval
        for now, misses, upcoming in [
            (math.nextafter(deadline, 0.0), number - 1, number),
            (deadline, number - 1, number + 1),
            (math.nextafter(deadline, math.inf), number, number + 1),
        ]:
            adjustor, clock = make(interval)
            clock.advance(now)
            adjustor.adjust()
            assert (adjustor.misses, adjustor.deadline) == (misses, upcoming * interval)


def test_a_stall_is_caught_up_with_on_a_grid_that_an_offset_moved():
    adjustor, clock = make(1.0, offset=0.25, missed="catch_up")
    clock.advance(2.25)
    assert moments_of(adjustor, 4) == [2.25, 2.25, 2.75, 3.75]
    assert adjustor.misses == 2
    assert adjustor.lateness.summary().longest == 1.5


def test_a_reset_leaves_nothing_to_catch_up_with_and_keeps_what_was_counted():
    adjustor, clock = make(1.0, missed="catch_up")
    clock.advance(3.5)
    adjustor.adjust()
    adjustor.reset()
    assert moments_of(adjustor, 2) == [4.5, 5.5]
    assert adjustor.misses == 1
    assert adjustor.lateness.summary().longest == 2.5


# How late.


def test_late_wake_ups_are_counted_from_their_deadlines():
    lateness = [n / 128 for n in range(1, 101)]
    random.Random(0).shuffle(lateness)
    adjustor, _ = make(1.0, clock=OversleepingClock(iter(lateness).__next__))
    moments_of(adjustor, 100)
    late = adjustor.lateness.summary()
    assert (late.count, late.p50, late.p99, late.max) == (100, 50 / 128, 99 / 128, 100 / 128)
    assert adjustor.misses == 0, "each was waited for"


def test_lateness_does_not_add_up():
    """As it would if each deadline were measured from the last wake-up."""
    adjustor, clock = make(1.0, clock=OversleepingClock(lambda: 0.25))
    moments_of(adjustor, 1000)
    assert clock.time() == 1000.25
    late = adjustor.lateness.summary()
    assert (late.count, late.p50, late.longest) == (1000, 0.25, 0.25)


def test_a_wake_up_on_time_is_not_late():
    adjustor, _ = make(1.0)
    moments_of(adjustor, 3)
    late = adjustor.lateness.summary()
    assert (late.count, late.longest) == (3, 0.0)


def test_after_a_stall_the_step_is_as_late_as_the_deadline_that_it_was_due_at():
    """The two deadlines that were skipped have no step that could be late."""
    adjustor, clock = make(1.0, missed="skip")
    clock.advance(3.5)
    adjustor.adjust()
    late = adjustor.lateness.summary()
    assert (late.count, late.longest) == (1, 2.5)


def test_each_step_that_catches_up_is_less_late():
    """By 2.5, 1.5 and 0.5 s; the fourth is on time."""
    adjustor, clock = make(1.0, missed="catch_up")
    clock.advance(3.5)
    moments_of(adjustor, 4)
    late = adjustor.lateness.summary()
    assert (late.count, late.p50, late.max) == (4, 0.5, 2.5)


@pytest.mark.parametrize("missed", POLICIES)
def test_a_pause_inside_a_wait_makes_nothing_late(missed):
    clock = ClockWithMoments([0.25])
    adjustor, _ = make(1.0, clock=clock, missed=missed)
    adjustor.pause_point = pauses = Pauses(clock, {0.25: 1000.0})
    assert moments_of(adjustor, 2) == [1.0, 2.0]
    assert pauses.count == 1
    assert (adjustor.misses, adjustor.lateness.summary().longest) == (0, 0.0)


def test_a_wait_of_ones_own_that_ends_early_is_not_late(clock):
    class Impatient(IntervalAdjustor):
        def adjust_impl(self):
            self.clock.advance(0.5)

    adjustor = Impatient(1.0, clock=clock)
    adjustor.reset()
    adjustor.adjust()
    assert adjustor.lateness.summary() == Durations(count=1)


# Pauses.


def test_a_pause_inside_a_sleep_leaves_what_was_left_of_it():
    """Paused after 0.3 of 1 s for ten seconds: 0.7 s are left."""
    clock = ClockWithMoments([0.3])
    adjustor, _ = make(1.0, clock=clock)
    adjustor.pause_point = pauses = Pauses(clock, {0.3: 10.0})
    adjustor.adjust()
    assert pauses.count == 1
    assert clock.time() == pytest.approx(1.0)
    assert clock.sleeps == pytest.approx([1.0, 0.7])
    assert adjustor.misses == 0


def test_several_pauses_inside_one_sleep_leave_what_was_left_of_it():
    clock = ClockWithMoments([0.2, 0.5, 0.9])
    adjustor, _ = make(1.0, clock=clock)
    adjustor.pause_point = pauses = Pauses(clock, {0.2: 5.0, 0.5: 0.0, 0.9: 100.0})
    adjustor.adjust()
    assert pauses.count == 3
    assert clock.time() == pytest.approx(1.0)
    assert clock.sleeps == pytest.approx([1.0, 0.8, 0.5, 0.1])


def test_the_grid_is_kept_across_pauses():
    clock = ClockWithMoments([1.5, 3.25])
    adjustor, _ = make(1.0, clock=clock)
    adjustor.pause_point = Pauses(clock, {1.5: 7.0, 3.25: 9.0})
    moments = []
    for _ in range(5):
        adjustor.adjust()
        moments.append(clock.time())
    assert moments == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])
    assert adjustor.misses == 0


def test_a_shutdown_inside_a_sleep_ends_it_at_once():
    clock = ClockWithMoments([0.3])
    adjustor, _ = make(1.0, clock=clock)

    class ShutDown(Pauses):
        def __call__(self):
            if self.is_requested():
                raise ShutdownRequested

    adjustor.pause_point = ShutDown(clock, {0.3: 0.0})
    with pytest.raises(ShutdownRequested):
        adjustor.adjust()
    assert clock.time() == pytest.approx(0.3)
    assert adjustor.lateness.summary().count == 0


def test_a_clock_at_another_scale_paces_by_agent_time():
    adjustor, clock = make(1.0)
    clock.set_time_scale(4.0)
    start = clock.source()
    for _ in range(4):
        adjustor.adjust()
    assert clock.time() == pytest.approx(4.0)
    assert clock.source() - start == pytest.approx(1.0)


# What is refused.


@pytest.mark.parametrize("interval", [0, 0.0, -1.0, math.nan, math.inf])
def test_an_interval_out_of_range_is_refused_with_its_value(interval):
    with pytest.raises(ValueError, match=f"interval must be .* above 0 and finite, got {interval}"):
        SleepIntervalAdjustor(interval)


@pytest.mark.parametrize("interval", [True, "1", None])
def test_an_interval_that_is_no_number_is_refused(interval):
    with pytest.raises(TypeError, match=f"interval must be .*, got {interval!r}"):
        SleepIntervalAdjustor(interval)


@pytest.mark.parametrize("offset", [-0.1, math.nan, math.inf])
def test_an_offset_out_of_range_is_refused_with_its_value(offset):
    with pytest.raises(ValueError, match=f"offset must be .*, got {offset}"):
        SleepIntervalAdjustor(1.0, offset)


@pytest.mark.parametrize("missed", ["skp", "coalesce", None, True])
def test_an_unknown_policy_is_refused_with_those_that_there_are(missed):
    with pytest.raises(ValueError, match=f"missed must be one of 'skip', 'catch_up', got {missed!r}"):
        SleepIntervalAdjustor(1.0, missed=missed)

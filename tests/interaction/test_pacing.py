"""Steps keep to a grid of moments, whatever they take and whatever stops them."""

import math
import random

import pytest

from pamiq_sched import ManualClock, ShutdownRequested, SleepIntervalAdjustor


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


def make(interval, offset=0.0, clock=None):
    clock = clock or ManualClock(autojump=True)
    adjustor = SleepIntervalAdjustor(interval, offset, clock=clock)
    adjustor.reset()
    return adjustor, clock


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

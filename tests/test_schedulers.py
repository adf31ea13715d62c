"""When callbacks run, and what happens when one of them raises."""

import gc
import math
import time as wall
import weakref

import pytest

from pamiq_sched import ManualClock, Scheduler, StepIntervalScheduler, TimeIntervalScheduler


class Flagged(Scheduler):
    """The docs' example: both abstract methods overridden, the parent's update called."""

    def __init__(self, callbacks=None):
        super().__init__(callbacks)
        self.ready = False
        self.asked = 0

    def is_available(self):
        self.asked += 1
        return self.ready

    def update(self):
        super().update()


def test_a_subclass_of_the_docs_fires_when_it_is_ready():
    fired = []
    scheduler = Flagged(lambda: fired.append(1))
    scheduler.update()
    scheduler.ready = True
    scheduler.update()
    assert fired == [1]
    assert scheduler.asked == 2, "update() asks once"


def test_callbacks_may_be_none_one_or_several():
    fired = []
    Flagged()
    several = Flagged([lambda: fired.append("a"), lambda: fired.append("b")])
    several.register_callback(lambda: fired.append("c"))
    several.ready = True
    several.update()
    assert fired == ["a", "b", "c"]


def test_a_removed_callback_is_not_called_and_removing_it_again_is_refused():
    fired = []
    scheduler = Flagged(callback := lambda: fired.append(1))
    scheduler.ready = True
    scheduler.remove_callback(callback)
    scheduler.update()
    assert fired == []
    with pytest.raises(ValueError, match="is not registered"):
        scheduler.remove_callback(callback)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="got 42"):
        Flagged([42])


def test_a_callback_that_removes_itself_does_not_skip_the_next():
    fired = []
    scheduler = StepIntervalScheduler(1)

    def once():
        fired.append("once")
        scheduler.remove_callback(once)

    scheduler.register_callback(once)
    scheduler.register_callback(lambda: fired.append("next"))
    scheduler.update()
    scheduler.update()
    assert fired == ["once", "next", "next"]


def test_a_callback_registered_by_another_runs_from_the_next_time_on():
    fired = []
    scheduler = StepIntervalScheduler(1)
    scheduler.register_callback(lambda: scheduler.register_callback(lambda: fired.append(1)))
    scheduler.update()
    assert fired == []
    scheduler.update()
    assert fired == [1]


def test_a_callback_removed_by_an_earlier_one_does_not_run_any_more():
    fired = []
    scheduler = StepIntervalScheduler(1)

    def later():
        fired.append("later")

    scheduler.register_callback(lambda: scheduler.remove_callback(later) if not fired else None)
    scheduler.register_callback(later)
    scheduler.update()
    assert fired == []


@pytest.mark.parametrize("error", [ValueError("v"), KeyboardInterrupt(), SystemExit(3)])
def test_a_raising_callback_is_not_retried_and_the_others_run(clock, error):
    fired = []

    def raising():
        fired.append("raising")
        raise error

    scheduler = TimeIntervalScheduler(5.0, [raising, lambda: fired.append("other")], clock=clock)
    clock.advance(5.0)
    with pytest.raises(type(error)) as raised:
        scheduler.update()
    assert raised.value is error
    scheduler.update()
    scheduler.update()
    assert fired == ["raising", "other"]


def test_several_raising_callbacks_are_raised_as_a_group():
    def raising(error):
        def callback():
            raise error

        return callback

    scheduler = StepIntervalScheduler(1, [raising(ValueError("a")), raising(KeyError("b"))])
    with pytest.raises(ExceptionGroup) as raised:
        scheduler.update()
    assert [type(e) for e in raised.value.exceptions] == [ValueError, KeyError]


# Time intervals


def test_late_tick_fires_once(clock):
    """Three missed periods yield one callback, and the grid is kept."""
    fired = []
    scheduler = TimeIntervalScheduler(5.0, lambda: fired.append(clock.time()), clock=clock)

    clock.advance(16.0)
    scheduler.update()
    clock.advance(3.9)
    scheduler.update()

    assert fired == [16.0]
    assert scheduler.missed == 2

    clock.advance(0.1)
    scheduler.update()
    assert fired == [16.0, 20.0]


def test_missed_each_makes_a_call_for_every_period(clock):
    fired = []
    scheduler = TimeIntervalScheduler(5.0, lambda: fired.append(clock.time()), missed="each", clock=clock)
    clock.advance(16.0)
    scheduler.update()
    assert fired == [16.0, 16.0, 16.0]
    assert scheduler.missed == 2


def test_an_unknown_way_with_missed_periods_is_refused(clock):
    with pytest.raises(ValueError, match="got 'all'"):
        TimeIntervalScheduler(5.0, missed="all", clock=clock)


def test_an_interval_that_ends_between_two_readings_of_the_clock_still_fires():
    """Asked before and after the callbacks, 214 of 300 fired elsewhere: every reading moves this clock."""
    readings = iter(range(10**6))
    clock = ManualClock()
    clock.source = lambda: next(readings) * 0.001
    fired = []
    scheduler = TimeIntervalScheduler(0.01, lambda: fired.append(1), clock=clock)
    start = clock.monotonic()
    while (now := clock.monotonic()) - start < 3.0:
        scheduler.update()
    periods = math.floor((now - start) / 0.01)
    assert periods - 1 <= len(fired) + scheduler.missed <= periods + 1
    assert scheduler.missed == 0


def test_300_of_300_periods_fire_when_someone_looks_every_millisecond(clock):
    fired = []
    scheduler = TimeIntervalScheduler(0.01, lambda: fired.append(clock.monotonic()), clock=clock)
    for millisecond in range(1, 3001):
        clock.advance(millisecond / 1000 - clock.monotonic())
        scheduler.update()
    assert len(fired) == 300
    assert scheduler.missed == 0


def test_a_slow_callback_does_not_shift_the_grid(clock):
    fired = []

    def slow():
        fired.append(clock.monotonic())
        clock.advance(3.0)

    scheduler = TimeIntervalScheduler(10.0, slow, clock=clock)
    for _ in range(60):
        clock.advance(0.5)
        scheduler.update()
    assert fired == [10.0, 20.0, 30.0]


def test_a_step_of_the_wall_clock_neither_stops_nor_hastens_it(monkeypatch):
    fired = []
    scheduler = TimeIntervalScheduler(3600.0, lambda: fired.append(1))
    monkeypatch.setattr(wall, "time", lambda: 4e9)
    scheduler.update()
    assert fired == []


def test_pausing_the_clock_pauses_the_interval(clock):
    fired = []
    scheduler = TimeIntervalScheduler(5.0, lambda: fired.append(clock.time()), clock=clock)
    clock.advance(4.0)
    scheduler.update()
    clock.pause()
    clock.advance(100.0)
    scheduler.update()
    clock.resume()
    scheduler.update()
    assert fired == []
    clock.advance(1.0)
    scheduler.update()
    assert fired == [5.0]


def test_a_changed_scale_is_noticed_in_the_middle_of_a_quiet_interval(clock):
    fired = []
    scheduler = TimeIntervalScheduler(10.0, lambda: fired.append(clock.time()), clock=clock)
    scheduler.update()
    clock.set_time_scale(10.0)
    clock.advance(1.0)
    scheduler.update()
    assert fired == [10.0]


def test_a_change_of_the_clock_while_a_scheduler_settles_down_is_noticed(clock):
    """The scale changes between the reading of the anchor and the writing of the deadline."""
    fired = []
    scheduler = TimeIntervalScheduler(10.0, lambda: fired.append(clock.time()), clock=clock)
    original = clock.source_deadline

    def change_behind(monotonic):
        deadline = original(monotonic)
        clock.set_time_scale(10.0)
        return deadline

    clock.source_deadline = change_behind
    scheduler.update()
    clock.source_deadline = original
    clock.advance(1.0)
    scheduler.update()
    assert fired == [10.0]


@pytest.mark.parametrize("saved_at", [0.0, 1e7])
def test_a_scheduler_made_before_the_clock_was_restored_keeps_its_remaining_time(clock, saved_at):
    """Elsewhere resuming an old state silenced it for as long as the clock had jumped."""
    clock.advance(5000.0)
    fired = []
    scheduler = TimeIntervalScheduler(10.0, lambda: fired.append(clock.time()), clock=clock)
    clock.advance(4.0)
    scheduler.update()
    clock.load_state_dict(ManualClock(start=saved_at).state_dict())
    clock.advance(5.5)
    scheduler.update()
    assert fired == []
    clock.advance(0.5)
    scheduler.update()
    assert fired == [saved_at + 6.0]
    assert scheduler.missed == 0


def test_a_clock_does_not_keep_a_scheduler_alive(clock):
    scheduler = TimeIntervalScheduler(10.0, clock=clock)
    alive = weakref.ref(scheduler)
    del scheduler
    gc.collect()
    assert alive() is None
    clock.pause()


def test_an_interval_of_zero_fires_at_every_update(clock):
    fired = []
    scheduler = TimeIntervalScheduler(0, lambda: fired.append(1), clock=clock)
    scheduler.update()
    scheduler.update()
    assert len(fired) == 2
    assert scheduler.missed == 0


def test_a_subclass_that_decides_for_itself_is_asked_at_every_update(clock):
    class Always(TimeIntervalScheduler):
        def is_available(self):
            return True

    fired = []
    scheduler = Always(1000.0, lambda: fired.append(1), clock=clock)
    scheduler.update()
    scheduler.update()
    assert len(fired) == 2


def test_seconds_until_due_counts_down_to_zero(clock):
    scheduler = TimeIntervalScheduler(5.0, clock=clock)
    clock.advance(2.0)
    assert scheduler.seconds_until_due() == 3.0
    clock.advance(9.0)
    assert scheduler.seconds_until_due() == 0.0


def test_long_grids_do_not_drift(clock):
    """A million periods of 0.1 s later the grid is where it was."""
    fired = []
    scheduler = TimeIntervalScheduler(0.1, lambda: fired.append(1), clock=clock)
    clock.advance(100_000.0 - 0.05)
    scheduler.update()
    assert scheduler.missed == 999_998
    clock.advance(0.0499)
    scheduler.update()
    assert len(fired) == 1
    clock.advance(0.0002)
    scheduler.update()
    assert len(fired) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -0.001])
def test_an_impossible_time_interval_is_refused_with_the_value(value):
    with pytest.raises(ValueError, match=f"interval_seconds must be .*got {value}"):
        TimeIntervalScheduler(value)


@pytest.mark.parametrize("value", [True, "1", [1], 1j])
def test_a_time_interval_that_is_no_number_is_refused_with_the_value(value):
    with pytest.raises(TypeError, match="interval_seconds must be"):
        TimeIntervalScheduler(value)


def test_the_interval_may_be_given_by_pamiq_cores_name_but_not_twice():
    assert TimeIntervalScheduler(interval=3.0).interval_seconds == 3.0
    assert StepIntervalScheduler(interval=3).interval_steps == 3
    with pytest.raises(TypeError, match="give interval_seconds, or interval"):
        TimeIntervalScheduler(3.0, interval=3.0)
    with pytest.raises(TypeError, match="give interval_steps, or interval"):
        StepIntervalScheduler()


@pytest.mark.parametrize("shift", [0.0, 86_400.0])
def test_a_resumed_time_scheduler_fires_when_the_uninterrupted_one_does(clock, shift):
    """Whether the clock was restored too (shift 0) or reads something else."""

    def ticks(clock, scheduler, fired):
        for _ in range(100):
            clock.advance(0.37)
            scheduler.update()
        return fired

    fired, resumed_fired = [], []
    scheduler = TimeIntervalScheduler(1.1, lambda: fired.append(clock.monotonic()), clock=clock)
    ticks(clock, scheduler, fired)

    other = ManualClock(start=clock.monotonic() + shift)
    resumed = TimeIntervalScheduler(1.1, lambda: resumed_fired.append(other.monotonic() - shift), clock=other)
    resumed.load_state_dict(scheduler.state_dict())
    assert resumed.missed == scheduler.missed

    fired.clear()
    ticks(clock, scheduler, fired)
    ticks(other, resumed, resumed_fired)
    assert resumed_fired == (fired if shift == 0.0 else pytest.approx(fired))


def test_a_resumed_time_scheduler_with_another_interval_counts_from_the_last_due_moment(clock):
    scheduler = TimeIntervalScheduler(10.0, clock=clock)
    clock.advance(12.0)
    scheduler.update()
    fired = []
    resumed = TimeIntervalScheduler(5.0, lambda: fired.append(clock.time()), clock=clock)
    resumed.load_state_dict(scheduler.state_dict())
    clock.advance(3.0)
    resumed.update()
    assert fired == [15.0]


# Step intervals


def test_every_nth_update_fires():
    fired = []
    scheduler = StepIntervalScheduler(3, lambda: fired.append(step))
    for step in range(1, 11):
        scheduler.update()
    assert fired == [3, 6, 9]


@pytest.mark.parametrize("value", [0, -1])
def test_an_impossible_step_interval_is_refused_with_the_value(value):
    with pytest.raises(ValueError, match=f"at least 1 step, got {value}; to stop a scheduler"):
        StepIntervalScheduler(value)


@pytest.mark.parametrize("value", [True, 0.5, 2.0, math.nan, "3"])
def test_a_step_interval_that_is_not_whole_is_refused_with_the_value(value):
    with pytest.raises(TypeError, match="whole number of at least 1 step"):
        StepIntervalScheduler(value)


def test_a_resumed_step_scheduler_fires_when_the_uninterrupted_one_does():
    fired = []
    scheduler = StepIntervalScheduler(5)
    for _ in range(13):
        scheduler.update()
    resumed = StepIntervalScheduler(5, lambda: fired.append(step))
    resumed.load_state_dict(scheduler.state_dict())
    for step in range(14, 22):
        resumed.update()
    assert fired == [15, 20]


@pytest.mark.parametrize("scheduler", [StepIntervalScheduler(5), TimeIntervalScheduler(5)])
@pytest.mark.parametrize("state", [{}, {"garbage": 1}])
def test_a_foreign_state_is_refused(scheduler, state):
    with pytest.raises(ValueError, match="must have exactly the keys"):
        scheduler.load_state_dict(state)

"""Agent time: what it shows, and what cannot disturb it."""

import threading
import time as wall

import pytest

import pamiq_sched
from pamiq_sched import Clock, ManualClock
from pamiq_sched.clock import system_clock


class Source:
    """A monotonic source that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_readings_advance_with_the_source_at_the_scale():
    source = Source()
    clock = Clock(source)
    before = clock.time(), clock.perf_counter(), clock.monotonic()
    clock.set_time_scale(3.0)
    source.now += 2.0
    after = clock.time(), clock.perf_counter(), clock.monotonic()
    assert [round(b - a, 6) for a, b in zip(before, after, strict=True)] == [6.0, 6.0, 6.0]


def test_a_step_of_the_wall_clock_changes_nothing(monkeypatch):
    source = Source()
    clock = Clock(source)
    before = clock.time()
    monkeypatch.setattr(wall, "time", lambda: 0.0)
    source.now += 1.0
    assert clock.time() - before == pytest.approx(1.0)


def test_time_stands_still_while_paused_and_goes_on_without_a_jump(clock):
    clock.advance(1.0)
    clock.pause()
    clock.advance(10.0)
    assert clock.monotonic() == 1.0
    clock.resume()
    assert clock.monotonic() == 1.0
    clock.advance(0.5)
    assert clock.monotonic() == 1.5


def test_pausing_and_resuming_twice_is_as_good_as_once(clock):
    clock.pause()
    clock.pause()
    clock.resume()
    clock.resume()
    clock.advance(1.0)
    assert clock.time() == 1.0


def test_a_scale_set_while_paused_holds_from_the_resume_on(clock):
    clock.pause()
    clock.set_time_scale(4.0)
    clock.advance(1.0)
    clock.resume()
    clock.advance(1.0)
    assert clock.time() == 4.0
    assert clock.get_time_scale() == 4.0


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_scale_is_refused_with_the_value(clock, scale):
    with pytest.raises(ValueError, match=f"got {scale}; to stop time, pause"):
        clock.set_time_scale(scale)


@pytest.mark.parametrize("scale", [True, "2", None])
def test_a_scale_that_is_no_number_is_refused(clock, scale):
    with pytest.raises(TypeError, match="the time scale"):
        clock.set_time_scale(scale)


def test_a_reader_never_sees_half_of_a_change():
    """Readers race with a thread that pauses, resumes and scales: time never goes back for them."""
    clock = Clock()
    stop = threading.Event()

    def disturb() -> None:
        for n in range(3000):
            clock.set_time_scale(1.0 + n % 3)
            clock.pause()
            clock.resume()
        stop.set()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    last = clock.monotonic()
    backward = []
    while not stop.is_set():
        now = clock.monotonic()
        if now < last - 1e-6:
            backward.append((last, now))
        last = now
    disturber.join()
    assert backward == []


def test_a_change_between_two_looks_is_not_read_past():
    """A reader that was stopped between anchor and source would read time that never came, then go back."""

    class Intruded(Source):
        change = None

        def __call__(self) -> float:
            change, self.change = self.change, None
            if change is not None:
                self.now += 5.0
                change()
                self.now += 100.0
            return self.now

    source = Intruded()
    clock = Clock(source)
    start = clock.monotonic()
    source.change = clock.pause
    assert clock.monotonic() - start == 5.0


def test_a_look_during_a_change_waits_for_its_end():
    """The change has read the source and not yet replaced the anchor: a look would read past it."""
    source = Source()
    clock = Clock(source)
    start = clock.monotonic()
    looked = []
    reader = threading.Thread(target=lambda: looked.append(clock.monotonic() - start))

    class Halfway(Source):
        """Lets a reader look when the change has just read it."""

        def __call__(self) -> float:
            if threading.current_thread() is not reader and not looked:
                before, source.now = source.now, source.now + 7.0
                reader.start()
                reader.join(0.05)  # it cannot end before the change does
                return before
            return source.now

    clock.source = Halfway()
    clock.pause()
    reader.join(5.0)
    assert looked == [0.0]


def test_sleep_lasts_until_the_clock_gets_there(clock):
    asleep = Announced(clock)
    sleeper = threading.Thread(target=lambda: clock.sleep(5.0))
    sleeper.start()
    asleep.wait()
    clock.advance(4.0)
    asleep.wait()  # it woke up, looked, and went on sleeping
    clock.advance(1.0)
    sleeper.join(5.0)
    assert not sleeper.is_alive()


def test_a_pause_of_the_clock_ends_a_sleep(clock):
    asleep = Announced(clock)
    sleeper = threading.Thread(target=lambda: clock.sleep(1e6))
    sleeper.start()
    asleep.wait()
    clock.pause()
    sleeper.join(5.0)
    assert not sleeper.is_alive()


def test_wake_ends_a_sleep_only_if_its_condition_holds(clock):
    asleep = Announced(clock)
    requested = []
    sleeper = threading.Thread(target=lambda: clock.sleep(1e6, wake_if=lambda: bool(requested)))
    sleeper.start()
    asleep.wait()
    clock.wake()
    asleep.wait()
    assert sleeper.is_alive()
    requested.append(True)
    clock.wake()
    sleeper.join(5.0)
    assert not sleeper.is_alive()


def test_a_sleep_with_a_condition_of_its_own_outlasts_a_pause(clock):
    """Agent time stands still, so what is left to sleep stays the same."""
    asleep = Announced(clock)
    sleeper = threading.Thread(target=lambda: clock.sleep(1.0, wake_if=lambda: False))
    sleeper.start()
    asleep.wait()
    clock.pause()
    asleep.wait()
    clock.resume()
    asleep.wait()
    clock.advance(1.0)
    sleeper.join(5.0)
    assert not sleeper.is_alive()


def test_a_sleep_of_zero_returns_at_once(clock):
    clock.sleep(0.0)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_impossible_sleep_is_refused(clock, seconds):
    with pytest.raises(ValueError, match="the time to sleep"):
        clock.sleep(seconds)


def test_autojump_runs_a_single_thread_as_fast_as_it_can():
    clock = ManualClock(autojump=True)
    for _ in range(1000):
        clock.sleep(3600.0)
    assert clock.time() == pytest.approx(3_600_000.0)


def test_listeners_hear_of_every_change_until_they_are_removed(clock):
    heard = []
    clock.add_listener(listener := lambda: heard.append(clock.time()))
    clock.advance(1.0)
    clock.pause()
    clock.resume()
    clock.set_time_scale(2.0)
    clock.remove_listener(listener)
    clock.advance(1.0)
    assert heard == [1.0, 1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="not in list"):
        clock.remove_listener(listener)


def test_a_loaded_clock_goes_on_from_the_saved_readings(clock):
    clock.advance(12.5)
    state = clock.state_dict()
    other = ManualClock(start=999.0)
    other.pause()
    other.load_state_dict(state)
    assert (other.time(), other.perf_counter(), other.monotonic()) == (12.5, 12.5, 12.5)
    assert other.is_paused()
    other.resume()
    other.advance(1.0)
    assert other.time() == 13.5


@pytest.mark.parametrize(
    "state", [{}, {"time": 1.0}, {"time": 1.0, "perf_counter": 1.0, "monotonic": 1.0, "garbage": 1}]
)
def test_a_state_with_missing_or_unknown_keys_is_refused(clock, state):
    with pytest.raises(ValueError, match="the state of a clock must have exactly the keys"):
        clock.load_state_dict(state)


def test_the_module_acts_on_the_system_clock_and_keeps_the_originals():
    time = pamiq_sched.time
    try:
        time.pause()
        assert system_clock().is_paused()
        before = time.time()
        assert time.fixed_time() > 0
        assert time.fixed_sleep is wall.sleep
        assert time.time() == before
        time.sleep(1000.0)  # a paused clock would never get there
    finally:
        time.resume()


def test_it_is_one_module_under_two_names():
    import pamiq_sched.time as by_pamiq_cores_name
    from pamiq_sched import clock, time

    assert time is clock
    assert by_pamiq_cores_name is clock


class Announced:
    """Tells when a sleeper has gone to sleep: no test has to guess how long that takes."""

    def __init__(self, clock: Clock) -> None:
        self._asleep = threading.Semaphore(0)
        original = clock._wait

        def announce(remaining: float) -> None:
            self._asleep.release()
            original(remaining)

        clock._wait = announce  # type: ignore[method-assign]

    def wait(self) -> None:
        assert self._asleep.acquire(timeout=5.0)


def test_a_manual_clock_reads_the_same_to_the_last_bit_however_often_it_is_paused_and_loaded():
    """Sums that a pause splits round in another way, and a schedule would fire a step earlier or later."""
    whole, paused = ManualClock(), ManualClock()
    for step in range(1000):
        whole.advance(0.01)
        if step % 7 == 0:
            paused.pause()
            if step % 3 == 0:
                saved, paused = paused.state_dict(), ManualClock()
                paused.pause()
                paused.load_state_dict(saved)
            paused.resume()
        if step % 11 == 0:
            saved, paused = paused.state_dict(), ManualClock()
            paused.load_state_dict(saved)
        paused.advance(0.01)
        assert paused.state_dict() == whole.state_dict()


def test_a_manual_clock_that_is_moved_while_paused_stands_still():
    clock = ManualClock()
    clock.advance(1.0)
    clock.pause()
    clock.advance(5.0)
    clock.resume()
    clock.advance(0.5)
    assert clock.monotonic() == 1.5


def test_a_scaled_manual_clock_is_loaded_as_any():
    clock = ManualClock()
    clock.set_time_scale(2.0)
    clock.load_state_dict({"time": 3.0, "perf_counter": 3.0, "monotonic": 3.0})
    clock.advance(1.0)
    assert clock.monotonic() == 5.0

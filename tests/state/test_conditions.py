"""When to save, and what is kept of the saves."""

import math
import os

import pytest

from pamiq_sched import LatestStatesKeeper, ManualClock, PeriodicSaveCondition, StatesKeeper


def make_states(folder, *names):
    """Make directories whose times of change are a second apart."""
    for i, name in enumerate(names):
        (folder / name).mkdir()
        (folder / name / "manifest.json").write_text("{}")
        os.utime(folder / name, (1000 + i, 1000 + i))
    return [folder / name for name in names]


# The periodic condition.


def test_it_is_due_once_per_interval(clock):
    due = PeriodicSaveCondition(60.0, clock=clock)
    due()
    answers = []
    for _ in range(6):
        clock.advance(30.0)
        answers.append(due())
    assert answers == [False, True, False, True, False, True]


def test_the_first_call_arms_it(clock):
    due = PeriodicSaveCondition(60.0, clock=clock)
    clock.advance(1000.0)
    assert not due()
    clock.advance(60.0)
    assert due()


def test_a_late_look_is_one_save(clock):
    due = PeriodicSaveCondition(60.0, clock=clock)
    due()
    clock.advance(1000.0)
    assert [due(), due()] == [True, False]
    clock.advance(60.0)
    assert due()


@pytest.mark.parametrize("saved_at", [86_400.0, 5.0])
def test_a_clock_restored_after_construction_does_not_silence_it(saved_at):
    """A day-old state, and one that is younger than the process."""
    clock = ManualClock(start=1000.0)
    due = PeriodicSaveCondition(60.0, clock=clock)
    clock.load_state_dict({"time": saved_at, "perf_counter": saved_at, "monotonic": saved_at})
    due()
    clock.advance(59.0)
    assert not due()
    clock.advance(1.0)
    assert due()


def test_a_paused_clock_pauses_the_interval(clock):
    due = PeriodicSaveCondition(60.0, clock=clock)
    due()
    clock.advance(40.0)
    clock.pause()
    clock.advance(1000.0)
    clock.resume()
    assert not due()
    clock.advance(20.0)
    assert due()


def test_it_tells_how_long_it_need_not_be_asked(clock):
    due = PeriodicSaveCondition(60.0, clock=clock)
    assert due.seconds_until_due() == 0.0, "it wants to be armed"
    due()
    clock.advance(45.0)
    assert due.seconds_until_due() == 15.0
    clock.advance(45.0)
    assert due.seconds_until_due() == 0.0


@pytest.mark.parametrize("interval", [0, -1.0, math.nan, math.inf])
def test_an_interval_out_of_range_is_refused(interval):
    with pytest.raises(ValueError, match=f"interval between saves .*, got {interval}"):
        PeriodicSaveCondition(interval)


@pytest.mark.parametrize("interval", [True, "60", None])
def test_an_interval_that_is_no_number_is_refused(interval):
    with pytest.raises(TypeError, match=f"interval between saves .*, got {interval!r}"):
        PeriodicSaveCondition(interval)


# Keeping the latest.


def test_the_oldest_beyond_the_limit_are_removed(tmp_path):
    states = make_states(tmp_path, "c.state", "a.state", "b.state")  # oldest first
    removed = LatestStatesKeeper(tmp_path, 2).cleanup()
    assert removed == states[:1]
    assert [s.exists() for s in states] == [False, True, True]


def test_new_states_push_out_old_ones(tmp_path):
    states = make_states(tmp_path, "a.state", "b.state")
    keeper = LatestStatesKeeper(tmp_path, 2)
    [new] = make_states(tmp_path, "new.state")
    keeper.append(new)
    assert keeper.cleanup() == states[:1]
    assert new.exists()


def test_nothing_is_removed_within_the_limit(tmp_path):
    make_states(tmp_path, "a.state", "b.state")
    assert LatestStatesKeeper(tmp_path, 2).cleanup() == []


def test_what_is_no_state_is_left_alone(tmp_path):
    others = make_states(tmp_path, ".staging-x.state", "x.state.crashed", "notes")
    make_states(tmp_path, "a.state", "b.state")
    LatestStatesKeeper(tmp_path, 1).cleanup()
    assert all(path.exists() for path in others)


def test_the_pattern_tells_what_is_a_state(tmp_path):
    states = make_states(tmp_path, "run1", "run2", "other")
    assert LatestStatesKeeper(tmp_path, 1, "run*").cleanup() == states[:1]


def test_a_state_that_is_gone_already_is_no_error(tmp_path):
    states = make_states(tmp_path, "a.state", "b.state")
    keeper = LatestStatesKeeper(tmp_path, 1)
    (states[0] / "manifest.json").unlink()
    states[0].rmdir()
    assert keeper.cleanup() == []


def test_a_directory_that_does_not_exist_yet_is_empty(tmp_path):
    assert LatestStatesKeeper(tmp_path / "later", 1).cleanup() == []


@pytest.mark.parametrize("max_keep", [0, -1])
def test_keeping_none_is_refused(max_keep, tmp_path):
    with pytest.raises(ValueError, match=f"max_keep .*, got {max_keep}"):
        LatestStatesKeeper(tmp_path, max_keep)


@pytest.mark.parametrize("max_keep", [True, 2.5])
def test_keeping_no_whole_number_is_refused(max_keep, tmp_path):
    with pytest.raises(TypeError, match=f"max_keep .*, got {max_keep}"):
        LatestStatesKeeper(tmp_path, max_keep)


def test_a_state_that_cannot_be_removed_is_tried_again(tmp_path, monkeypatch):
    states = make_states(tmp_path, "a.state", "b.state", "c.state")
    keeper = LatestStatesKeeper(tmp_path, 1)
    with monkeypatch.context() as patch:

        def busy(path, *args, **kwargs):
            raise OSError("busy")

        patch.setattr("shutil.rmtree", busy)
        with pytest.raises(OSError, match="busy"):
            keeper.cleanup()
    keeper.cleanup()
    assert [s.exists() for s in states] == [False, False, True]


def test_a_keeper_of_ones_own_removes_what_it_selects(tmp_path):
    states = make_states(tmp_path, "a.state", "b.state")

    class Everything(StatesKeeper):
        def select_removal_states(self):
            return states

    assert Everything().cleanup() == states
    assert not any(s.exists() for s in states)

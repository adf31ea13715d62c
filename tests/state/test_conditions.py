"""When to save, and what is kept of the saves."""

import errno
import math
import os

import numpy as np
import pytest

from pamiq_sched import (
    BestStatesKeeper,
    FileSystem,
    LatestStatesKeeper,
    ManualClock,
    PeriodicSaveCondition,
    StatesKeeper,
    StateStore,
    StepSaveCondition,
)


def make_states(folder, *names, crashed=False, **about):
    """Save states of these names, one after another."""
    stores = [StateStore(folder, name) for name in names]
    return [store.publish(store.stage(crashed=crashed, about=about)) for store in stores]


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


def test_what_is_no_complete_state_is_neither_counted_nor_removed(tmp_path):
    """A torn state would count as one that is kept, and push out the good one."""
    [whole, torn] = make_states(tmp_path, "a.state", "b.state")
    (torn / "manifest.json.sha256").unlink()
    notes = tmp_path / "notes.state"
    notes.mkdir()
    crashed = make_states(tmp_path, "c", "d", crashed=True)
    assert LatestStatesKeeper(tmp_path, 1, "*").cleanup() == []
    assert all(path.exists() for path in (whole, torn, notes, *crashed))


def test_the_order_is_that_of_the_saves_whatever_the_wall_clock_said(tmp_path):
    states = make_states(tmp_path, "c.state", "b.state", "a.state")
    for i, path in enumerate(states):
        os.utime(path, (1000 - i, 1000 - i))
    assert LatestStatesKeeper(tmp_path, 1).cleanup() == states[:2]


def test_the_pattern_tells_what_is_a_state(tmp_path):
    states = make_states(tmp_path, "run1", "run2", "other")
    assert LatestStatesKeeper(tmp_path, 1, "run*").cleanup() == states[:1]


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


class StubbornDisk(FileSystem):
    """Renames, but removes nothing for as long as it is busy."""

    busy = True

    def unlink(self, path):
        if self.busy:
            raise OSError(errno.EBUSY, "busy")
        super().unlink(path)


def test_a_state_that_cannot_be_removed_is_out_of_sight_and_removed_at_the_next_save(tmp_path):
    states = make_states(tmp_path, "a.state", "b.state")
    keeper = LatestStatesKeeper(tmp_path, 1)
    keeper.files = StubbornDisk()
    with pytest.raises(OSError, match=r"busy.*\.removing-"):
        keeper.cleanup()
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["b.state"]
    make_states(tmp_path, "c.state")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.state", "c.state"]
    assert states[1].exists()


def test_a_keeper_of_ones_own_removes_what_it_selects(tmp_path):
    states = make_states(tmp_path, "a.state", "b.state", "c.state")

    class Some(StatesKeeper):
        def select_removal_states(self):
            return states[:2]

    assert Some().cleanup() == states[:2]
    assert [s.exists() for s in states] == [False, False, True]


def test_no_keeper_removes_the_last_complete_state(tmp_path, caplog):
    states = make_states(tmp_path, "a.state", "b.state", "torn.state")
    (states[2] / "manifest.json.sha256").unlink()

    class Everything(StatesKeeper):
        def select_removal_states(self):
            return states

    assert Everything().cleanup() == [states[0], states[2]]
    assert states[1].exists()
    assert "b.state is kept: there is no other that is complete" in caplog.text


# Keeping the best.


def kept_by(keeper, folder):
    keeper.cleanup()
    return sorted(path.name for path in folder.iterdir())


def states_with_metrics(folder, *metrics):
    for i, metric in enumerate(metrics):
        make_states(folder, f"{i}.state", **BestStatesKeeper(folder, lambda m=metric: m).about())


@pytest.mark.parametrize(
    ("mode", "max_keep", "kept"),
    [
        ("max", 1, ["1.state", "4.state"]),
        ("max", 2, ["1.state", "3.state", "4.state"]),
        ("min", 1, ["2.state", "4.state"]),
    ],
)
def test_the_best_and_the_latest_are_kept(mode, max_keep, kept, tmp_path):
    states_with_metrics(tmp_path, 3.0, 9.0, 1.0, 8.0, 2.0)
    assert kept_by(BestStatesKeeper(tmp_path, float, max_keep, mode), tmp_path) == kept


def test_of_equals_the_newer_is_kept(tmp_path):
    states_with_metrics(tmp_path, 5.0, 5.0, 1.0)
    assert kept_by(BestStatesKeeper(tmp_path, float), tmp_path) == ["1.state", "2.state"]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_states_without_a_finite_metric_are_the_worst(mode, tmp_path):
    states_with_metrics(tmp_path, 5.0, math.nan, math.inf, -math.inf)
    make_states(tmp_path, "4.state")
    assert kept_by(BestStatesKeeper(tmp_path, float, mode=mode), tmp_path) == ["0.state", "4.state"]


def test_more_of_the_latest_can_be_kept(tmp_path):
    states_with_metrics(tmp_path, 9.0, 1.0, 1.0, 1.0)
    kept = kept_by(BestStatesKeeper(tmp_path, float, keep_latest=2), tmp_path)
    assert kept == ["0.state", "2.state", "3.state"]


def test_a_metric_may_be_a_tensor_of_one_number(tmp_path):
    assert BestStatesKeeper(tmp_path, lambda: np.float32(0.5)).about() == {"metric": 0.5}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"metric": 3}, TypeError, "metric must be callable.*got 3"),
        ({"max_keep": 0}, ValueError, "max_keep.*got 0"),
        ({"keep_latest": 0}, ValueError, "keep_latest.*got 0"),
        ({"mode": "best"}, ValueError, "mode must be one of 'max', 'min', got 'best'"),
    ],
)
def test_what_a_keeper_of_the_best_cannot_be_is_refused(arguments, error, said, tmp_path):
    with pytest.raises(error, match=said):
        BestStatesKeeper(tmp_path, **{"metric": float, **arguments})


# By steps.


def test_a_condition_by_steps_is_due_once_for_every_so_many(tmp_path):
    steps = 0
    due = StepSaveCondition(10)
    due.attach_step_counter(lambda: steps)
    answers = []
    for steps in (1, 9, 10, 10, 19, 35, 39, 40):
        answers.append(due())
    assert answers == [False, False, True, False, False, True, False, True]


def test_a_condition_by_steps_goes_on_where_a_loaded_counter_is():
    due = StepSaveCondition(10)
    due.attach_step_counter(lambda: 25)
    assert due.next_step == 30
    assert not due()


def test_a_condition_by_steps_without_a_counter_says_what_it_needs():
    with pytest.raises(RuntimeError, match="needs a counter of steps; use it in a LaunchConfig"):
        StepSaveCondition(10)()

"""A disk that refuses harms the save that needed it, and no other."""

import errno
import logging
import os
import queue
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest

from pamiq_sched import (
    FixedIntervalInteraction,
    LatestStatesKeeper,
    SequentialBuffer,
    StateStore,
    StepSaveCondition,
    System,
    latest_state,
)
from pamiq_sched.testing import FakeAgent, FakeEnvironment
from tests.state.disks import (
    KINDS,
    FailingDisk,
    ShortWrites,
    WatchedDisk,
    error_of,
    make_keeper,
    make_store,
    newest_value,
    values,
)

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT, errno.EROFS]
WRITING = ["mkdir", "create", "write", "open", "read", "fsync", "fsync_directory", "rename"]
forms = pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
names = [errno.errorcode[error] for error in ERRORS]


def fail_at_each_operation(states_dir: Path, errors: list[int], *, for_good: bool, only: str = "") -> int:
    """Have the first operation fail, then the second, ... until a save completes; return how many failed.

    After each the disk works again, and so must the next save.
    """
    number = 1
    make_store(states_dir, WatchedDisk(), number).save_state()
    for n, error in zip(count(1), cycle(errors)):
        disk = FailingDisk(error, n, for_good=for_good, only=only)
        store = make_store(states_dir, disk, number + 1)
        before = os.listdir(states_dir)
        raised = error_of(store.save_state)
        if raised is None:
            assert disk.failed == []
            return n - 1
        assert raised.errno == error
        assert str(states_dir) in str(raised), f"{raised} does not name a path"
        # Once it has its name, a disk that refuses everything does not let it be taken back.
        renamed = for_good and not only and "rename" in disk.operations and disk.failed[0] == "fsync_directory"
        expected = [number + 1] if renamed else [number]
        assert [newest_value(states_dir)] == expected, f"failed at {disk.operations[-1]}, {n}"
        if not (renamed or for_good):
            assert os.listdir(states_dir) == before

        disk.repair()
        store.save_state()
        number += 1
        assert newest_value(states_dir) == number
        make_keeper(states_dir, disk).cleanup()
        assert len(os.listdir(states_dir)) == 1, "a leftover"
    raise AssertionError


@forms
def test_an_error_at_any_operation_harms_only_that_save(for_good, quick_path):
    assert fail_at_each_operation(quick_path, ERRORS, for_good=for_good) > 40


@pytest.mark.stress
@forms
@pytest.mark.parametrize("error", ERRORS, ids=names)
def test_each_error_at_any_operation_harms_only_that_save(error, for_good, quick_path):
    assert fail_at_each_operation(quick_path, [error], for_good=for_good) > 40


@pytest.mark.parametrize("operation", WRITING)
def test_an_operation_that_fails_for_good_harms_only_that_save(operation, quick_path):
    """The others go on working: what was written is removed."""
    assert fail_at_each_operation(quick_path, ERRORS, for_good=True, only=operation) > 0


def test_an_error_in_the_first_save_of_all_leaves_nothing(quick_path):
    for n in count(1):
        states_dir = quick_path / str(n) / "states"
        disk = FailingDisk(errno.ENOSPC, n)
        raised = error_of(make_store(states_dir, disk, 1).save_state)
        if raised is None:
            break
        assert str(quick_path) in str(raised)
        assert newest_value(states_dir) is None
        assert not states_dir.exists() or os.listdir(states_dir) == []
    assert n > 40


@pytest.mark.parametrize(
    ("operation", "for_good"),
    [
        pytest.param("", False, id="any, once"),
        pytest.param("", True, id="any, for good", marks=pytest.mark.stress),
        pytest.param("unlink", True, id="unlink, for good"),
    ],
)
def test_an_error_while_a_keeper_removes_states_harms_no_other(operation, for_good, quick_path):
    for n in count(1):
        number = 2 * n
        for value in (number, number + 1):
            make_store(quick_path, WatchedDisk(), value).save_state()
        disk = FailingDisk(errno.EIO, n, for_good=for_good, only=operation)
        keeper = make_keeper(quick_path, disk)
        raised = error_of(keeper.cleanup)
        assert raised is None or str(quick_path) in str(raised)
        assert newest_value(quick_path) == number + 1
        if not disk.failed:
            break
        disk.repair()
        make_store(quick_path, disk, number + 1).save_state()  # which removes what is left of the others
        keeper.cleanup()
        assert len(os.listdir(quick_path)) == 1
    assert n > 2


def test_short_writes_give_whole_files(tmp_path):
    disk = ShortWrites()
    make_store(tmp_path, disk, 5).save_state()
    assert newest_value(tmp_path) == 5
    assert disk.operations.count("write") > 100


def test_a_disk_that_takes_nothing_is_an_error(tmp_path):
    class Stuck(WatchedDisk):
        def write(self, file, data):
            return 0

    with pytest.raises(OSError, match=f"the disk takes nothing.*{tmp_path}"):
        make_store(tmp_path, Stuck(), 5).save_state()
    assert os.listdir(tmp_path) == []


# Loading.


def noting_store(states_dir: Path, disk: FailingDisk) -> tuple[StateStore, list[str]]:
    """A store whose parts tell when they are loaded."""
    loaded: list[str] = []
    store = StateStore(states_dir, files=disk)
    for name, kind in KINDS.items():

        class Noting(kind):
            def load_state(self, path):
                loaded.append(path.name)
                super().load_state(path)

        store.register(name, Noting(-1))
    return store, loaded


@forms
def test_an_error_while_a_state_is_read_changes_no_part(for_good, tmp_path):
    path = make_store(tmp_path, WatchedDisk(), 1).save_state()
    for n in count(1):
        disk = FailingDisk(errno.EIO, n, for_good=for_good)
        store, loaded = noting_store(tmp_path, disk)
        raised = error_of(partial(store.load_state, path))
        if raised is None:
            break
        assert str(path) in str(raised)
        assert loaded == []
        assert values(store) == {-1}
    assert disk.failed == []
    assert n > 15
    assert values(store) == {1}


@forms
def test_an_error_while_the_latest_state_is_looked_up_gives_no_older_one(for_good, tmp_path):
    for value in (1, 2):
        make_store(tmp_path, WatchedDisk(), value).save_state()
    for n in count(1):
        disk = FailingDisk(errno.EIO, n, for_good=for_good)
        store, loaded = noting_store(tmp_path, disk)
        raised = error_of(partial(store.load_state, "latest"))
        assert (values(store), bool(loaded)) == (({2}, True) if raised is None else ({-1}, False))
        assert raised is None or str(tmp_path) in str(raised)
        if not disk.failed:
            break
    assert n > 15


def test_a_state_that_cannot_be_read_is_passed_over_when_an_older_one_will_do(tmp_path, caplog):
    for value in (1, 2):
        path = make_store(tmp_path, WatchedDisk(), value).save_state()

    class BadSector(WatchedDisk):
        def open(self, file):
            if file == path / "tensors.safetensors":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
            return super().open(file)

    store = make_store(tmp_path, BadSector(), -1)
    with pytest.raises(OSError, match=r"tensors\.safetensors"):
        store.load_state("latest")
    store.load_state("latest", fall_back=True)
    assert values(store) == {1}
    assert "an older state is tried" in caplog.text


# A system.


@pytest.fixture
def logged(caplog) -> Iterator[Callable[[str], str]]:
    """Waits for a line of the log that begins with some words, and returns it."""
    lines: queue.Queue[str] = queue.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: lines.put(f"{record.levelname} {record.getMessage()}")
    logger = logging.getLogger("pamiq_sched")

    def wait_for(words: str) -> str:
        while not (line := lines.get(timeout=30.0)).startswith(words):
            pass
        return line

    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, "pamiq_sched"):
        yield wait_for
    logger.removeHandler(handler)


def make_system(states_dir: Path, disk: WatchedDisk, **config: Any) -> System:
    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 0.001)
    config = {"states_dir": states_dir, "freeze_garbage": False, **config}
    return System(interaction, {}, {"data": SequentialBuffer(10)}, {}, config, files=disk)


def saved_in(states_dir: Path) -> list[str]:
    return sorted(os.listdir(states_dir))


def test_a_save_that_fails_is_raised_to_the_caller_and_the_system_runs_on(quick_path):
    """At whichever operation."""
    disk = FailingDisk()
    with make_system(quick_path, disk) as system:
        kept = system.save_state()
        steps = system.status().steps
        for n, error in zip(count(1), cycle(ERRORS)):
            disk.arm(n, error)
            raised = error_of(system.save_state)
            if raised is None:
                break
            assert raised.errno == error
            assert str(quick_path) in str(raised)
            assert system.status().last_saved == kept
            disk.repair()
            kept = system.save_state()
        disk.repair()
        assert n > 20
        assert system.status().steps > steps
    assert not any(name.startswith(".") for name in saved_in(quick_path))
    assert latest_state(quick_path) == system.status().last_saved


@forms
def test_a_periodic_save_that_fails_is_logged_and_the_next_one_works(for_good, quick_path, logged):
    disk = FailingDisk()
    config = {"save_state_condition": StepSaveCondition(20)}
    disk.arm(5, errno.ENOSPC, for_good=for_good)
    with make_system(quick_path, disk, **config) as system:
        line = logged("ERROR a periodic save failed")
        assert str(quick_path) in line
        assert "No space left" in line
        steps = system.status().steps
        disk.repair()
        saved = logged("INFO saved the state").rpartition(" ")[2]
        assert system.status().steps > steps
        assert Path(saved) == latest_state(quick_path)
    assert not any(name.startswith(".") for name in saved_in(quick_path))


def test_a_keeper_whose_disk_fails_is_logged_and_the_next_save_removes_what_is_left(quick_path, logged):
    disk = FailingDisk()
    with make_system(quick_path, disk, states_keeper=LatestStatesKeeper(quick_path, 1)) as system:
        system.save_state()
        disk.arm(1, errno.EIO, for_good=True, only="unlink")
        new = system.save_state()
        line = logged("ERROR old states could not be removed; the new one is saved")
        assert str(quick_path) in line
        assert latest_state(quick_path) == new
        disk.repair()
        newer = system.save_state()
    assert newer.parent == quick_path
    assert saved_in(quick_path) == [system.status().last_saved.name]

"""Whatever is cut off at whichever moment: the newest complete state is the old one or the new one."""

import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pamiq_sched.state.manifest import verified
from pamiq_sched.state.store import REMOVING, STAGING
from tests.state.disks import (
    KINDS,
    FileSystem,
    LosingDisk,
    WatchedDisk,
    closing,
    end,
    make_keeper,
    make_store,
    newest_value,
    restore,
    start,
    values,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


def killing_at(n: int, tell: Callable[[str], object] = str) -> WatchedDisk:
    """A disk that takes the process with it before its n-th operation, and tells of each."""

    def before(operation: str) -> None:
        tell(f"{operation} ")
        if len(disk.operations) == n:
            os.kill(os.getpid(), signal.SIGKILL)

    disk = WatchedDisk(before)
    return disk


def hidden(states_dir: Path) -> list[str]:
    return sorted(name for name in os.listdir(states_dir) if name.startswith((STAGING, REMOVING)))


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(tuple(KINDS), id="all kinds"),
        pytest.param(("own",), id="own files", marks=pytest.mark.stress),
        pytest.param(("notes",), id="json only", marks=pytest.mark.stress),
    ],
)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_state(kinds, quick_path):
    """A second state is saved, and the keeper removes the first; the process is killed before each operation."""
    template, states_dir = quick_path / "template", quick_path / "states"
    make_store(template, WatchedDisk(), 1, kinds).save_state()
    n, text = 0, ""
    killed_at = []
    while "done" not in text:
        n += 1
        shutil.copytree(template, states_dir)

        def save_and_clean(report, gate, n=n):
            disk = killing_at(n, lambda operation: os.write(report, operation.encode()))
            make_store(states_dir, disk, 2, kinds).save_state()
            os.write(report, b"saved ")
            make_keeper(states_dir, disk).cleanup()
            os.write(report, b"done ")

        text = end(*start(save_and_clean))
        value = newest_value(states_dir, kinds)
        assert value in ((2,) if "saved" in text else (1, 2)), f"killed after {text}"
        killed_at.append(text.split()[-1])
        make_store(states_dir, WatchedDisk(), 3, kinds).remove_leftovers()
        assert hidden(states_dir) == [], f"killed after {text}"
        assert newest_value(states_dir, kinds) == value
        shutil.rmtree(states_dir)
    assert {"mkdir", "create", "write", "fsync", "fsync_directory", "rename", "unlink", "rmdir"} <= {*killed_at}


def test_what_a_killed_process_left_is_removed_by_the_next_one(quick_path):
    end(*start(lambda report, gate: make_store(quick_path, killing_at(20), 1).save_state()))
    assert hidden(quick_path) != []
    make_store(quick_path, WatchedDisk(), 0).remove_leftovers()
    assert os.listdir(quick_path) == []


def test_what_a_living_process_is_saving_is_not_removed(quick_path):
    """Another one saves and looks for leftovers meanwhile."""

    def stage_and_publish(report, gate):
        store = make_store(quick_path, WatchedDisk(), 2)
        staged = store.stage()
        os.write(report, b"staged")
        os.read(gate, 1)
        os.write(report, os.fsencode(store.publish(staged)))

    process, reports, opener = start(stage_and_publish)
    assert os.read(reports, 6) == b"staged"
    other = make_store(quick_path, WatchedDisk(), 1)
    saved = other.save_state()
    other.remove_leftovers()
    assert len(hidden(quick_path)) == 1
    os.write(opener, b"!")
    published = Path(end(process, reports, opener))
    assert hidden(quick_path) == []
    for path, value in ((saved, 1), (published, 2)):
        other.load_state(path)
        assert values(other) == {value}


@pytest.mark.stress
@pytest.mark.timeout(300)
def test_a_thousand_kills_at_random_lose_nothing_that_was_reported(quick_path):
    """Each process goes on from the newest state and saves in a loop, with a keeper of two states."""
    chance = random.Random(5)
    states_dir = quick_path / "states"

    def save_for_ever(report, gate):
        number = newest_value(states_dir) or 0
        keeper = make_keeper(states_dir, WatchedDisk(), 2)
        keeper.cleanup()
        os.write(report, b"started\n")
        while True:
            number += 1
            path = make_store(states_dir, WatchedDisk(), number).save_state()
            os.write(report, f"{number} {path.name}\n".encode())
            keeper.cleanup()

    reported: dict[str, int] = {}
    for kill in range(1000):
        process, reports, opener = start(save_for_ever)
        text = os.read(reports, 4096)
        until = time.monotonic() + chance.uniform(0.0, 0.02)
        while (left := until - time.monotonic()) > 0:
            if select.select([reports], [], [], left)[0]:
                text += os.read(reports, 4096)
        os.kill(process, signal.SIGKILL)
        _, *lines = (text.decode() + end(process, reports, opener)).splitlines()
        reported.update((line.split()[1], int(line.split()[0])) for line in lines)
        last = max(reported.values(), default=0)
        assert (newest_value(states_dir) or 0) in (last, last + 1), f"after {kill} kills"
        for name, number in list(reported.items()):
            if (states_dir / name).exists():
                verified(states_dir / name, FileSystem())
            else:
                assert number < last, f"{name} was not to be removed yet"
                del reported[name]
    assert last > 100


@pytest.mark.parametrize("old", [None, 1], ids=["first save", "later save"])
def test_a_power_cut_at_any_operation_leaves_the_old_or_the_new_state(old, quick_path):
    """Everything that was not fsynced is dropped, files and entries of directories alike."""
    cut_at_every_operation(quick_path, old, chance=None, cuts=1)


@pytest.mark.parametrize("old", [None, 1], ids=["first save", "later save"])
@pytest.mark.parametrize("cuts", [1, pytest.param(200, marks=pytest.mark.stress)])
@pytest.mark.timeout(300)
def test_a_power_cut_that_leaves_anything_leaves_the_old_or_the_new_state(old, cuts, quick_path):
    """Of what was not fsynced some is there, some not, some in part or as zeros, and in any order."""
    cut_at_every_operation(quick_path, old, random.Random(7), cuts)


def cut_at_every_operation(folder: Path, old: int | None, chance: random.Random | None, cuts: int) -> None:
    """Save the next state and have the older one removed; look what so many cuts at each operation leave."""
    root, copy = folder / "root", folder / "copy"
    root.mkdir()
    states_dir = Path("runs", "first", "states")
    if old:
        make_store(root / states_dir, WatchedDisk(), old).save_state()
    expected: list[set[int | None]] = [{old, 2}]
    seen = set()

    def look(operation: str) -> None:
        for _ in range(cuts):
            image = disk.cut(chance)
            if (len(expected), image) in seen:
                continue
            seen.add((len(expected), image))
            restore(image, copy)
            try:
                value = newest_value(copy / states_dir)
            except (OSError, ValueError) as error:
                # Whoever saves may well go on behind those.
                raise AssertionError(f"cut after {disk.operations}") from error
            assert value in expected[-1], f"cut after {disk.operations}"
            make_store(copy / states_dir, WatchedDisk(), 3, ("notes",)).save_state()
            assert newest_value(copy / states_dir, ("notes",)) == 3
            assert hidden(copy / states_dir) == []
            shutil.rmtree(copy)

    with closing(LosingDisk(root, look)) as disk:
        make_store(root / states_dir, disk, 2).save_state()
        expected.append({2})
        make_keeper(root / states_dir, disk).cleanup()
        look("")
    assert len(disk.operations) > 40


def test_the_losing_disk_keeps_only_what_was_synced(quick_path):
    """The test's own tool."""
    root = quick_path / "root"
    root.mkdir()
    (root / "before").write_text("before")
    with closing(LosingDisk(root, print)) as disk:
        for name, content in (("listed", b"lost"), ("synced", b"kept")):
            with disk.create(root / name) as file:
                disk.write(file, memoryview(content))
                if name == "synced":
                    disk.fsync(file)
        disk.fsync_directory(root)
        with disk.create(root / "unlisted") as file:
            disk.fsync(file)
        disk.mkdir(root / "folder")
        disk.rename(root / "synced", root / "renamed")
        disk.unlink(root / "before")
        restore(disk.cut(), quick_path / "copy")
        assert {path.name: path.read_text() for path in (quick_path / "copy").iterdir()} == {
            "before": "before",
            "listed": "",
            "synced": "kept",
        }
        seen = set()
        for seed in range(50):
            _, entries = disk.cut(random.Random(seed))
            seen.add(tuple(name for name, _ in entries))
        assert ("listed", "renamed", "unlisted") in {tuple(n for n in names if n != "folder") for names in seen}
        assert all(("synced" in names) != ("renamed" in names) for names in seen), "a rename is one step"

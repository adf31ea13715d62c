"""A state that is not what was saved is refused before any part changes, by part and file."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pamiq_sched import PersistentStateMixin, StateDamagedError, StateStore, latest_state
from pamiq_sched.state import StateDictMixin
from tests.state.disks import KINDS, WatchedDisk, make_store, newest_value, values

MANIFEST = ("manifest.json", "manifest.json.sha256")


class Watching(StateStore):
    """A store that tells which of its parts were asked to load."""

    def __init__(self, states_dir: Path) -> None:
        super().__init__(states_dir)
        self.loaded: list[str] = []
        for name, kind in KINDS.items():

            class Noting(kind):
                def load_state(part, path):  # noqa: N805 - self is the store
                    self.loaded.append(path.name)
                    super().load_state(path)

            self.register(name, Noting(-1))

    def refusal(self, path: Path) -> str:
        """Load a state, which must be refused with no part touched; return what was said."""
        with pytest.raises((StateDamagedError, FileNotFoundError)) as caught:
            self.load_state(path)
        assert self.loaded == []
        assert values(self) == {-1}
        return str(caught.value)


@pytest.fixture
def saved(quick_path: Path) -> Path:
    return make_store(quick_path / "states", WatchedDisk(), 7).save_state()


@pytest.fixture
def damaged(saved: Path, quick_path: Path) -> Callable[..., str]:
    """Damages a copy of the state and returns how it was refused."""
    store = Watching(quick_path / "states")

    def refused(damage: Callable[..., object], *names: object) -> str:
        copy = quick_path / "copy.state"
        shutil.copytree(saved, copy)
        damage(copy, *names)
        said = store.refusal(copy)
        shutil.rmtree(copy)
        return said

    return refused


def files_of(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def part_of(name: str) -> str:
    return "manifest.json" if name in MANIFEST else f"component {name.replace('/', '.').split('.')[0]!r}: {name}"


def test_a_state_that_is_whole_is_loaded(saved, quick_path):
    """The damages below are what is refused, not the rest."""
    store = Watching(quick_path / "states")
    store.load_state(saved)
    assert values(store) == {7}
    assert len(files_of(saved)) == 8


def set_length(path: Path, name: str, length: int) -> None:
    os.truncate(path / name, length)


def test_a_file_that_is_cut_off_is_named(saved, damaged):
    for name in files_of(saved):
        size = (saved / name).stat().st_size
        for length in (0, size // 3, size // 2, size - 1):
            assert part_of(name) in damaged(set_length, name, length)


def test_a_file_that_is_longer_is_named(saved, damaged):
    for name in files_of(saved):
        assert part_of(name) in damaged(set_length, name, (saved / name).stat().st_size + 1)


def flip(path: Path, name: str, bit: int) -> None:
    file = path / name
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def test_a_flipped_bit_is_found_in_its_file(saved, damaged):
    chance = random.Random(11)
    sizes = {name: (saved / name).stat().st_size for name in files_of(saved)}
    for _ in range(200):
        # Each file as often as another: the small ones matter as much.
        name = chance.choice(sorted(sizes))
        bit = chance.randrange(8 * sizes[name])
        said = damaged(flip, name, bit)
        assert part_of(name) in said, f"bit {bit} of {name}"


def remove(path: Path, name: str) -> None:
    (path / name).unlink()


def test_a_file_that_was_removed_is_named(saved, damaged):
    for name in files_of(saved):
        said = damaged(remove, name)
        assert part_of(name) in said
        assert "is missing" in said or "has no manifest.json" in said


@pytest.mark.parametrize("name", ["extra", "tensors.extra", "own/extra", "own/inner/empty/extra", ".hidden"])
@pytest.mark.parametrize("make", [lambda path: path.write_text("more"), Path.mkdir, Path.touch])
def test_what_was_added_is_named(name, make, damaged):
    assert f": {name} was not saved with it" in damaged(lambda copy: make(copy / name))


def test_an_empty_directory_that_was_removed_is_named(damaged):
    said = damaged(lambda copy: (copy / "own" / "inner" / "empty").rmdir())
    assert "component 'own': own/inner/empty is missing" in said


def swap(path: Path, a: str, b: str) -> None:
    (path / a).rename(path / "aside")
    (path / b).rename(path / a)
    (path / "aside").rename(path / b)


def test_two_files_that_were_swapped_are_both_named(saved, damaged):
    names = [name for name in files_of(saved) if name not in MANIFEST]
    pairs = [(a, b) for a in names for b in names if a < b]
    for a, b in pairs:
        if (saved / a).read_bytes() != (saved / b).read_bytes():
            said = damaged(swap, a, b)
            assert part_of(a) in said
            assert part_of(b) in said


def test_two_files_of_one_size_that_were_swapped_are_both_named(tmp_path):
    class Two(PersistentStateMixin):
        def save_state(self, path):
            path.mkdir()
            (path / "a").write_text("first")
            (path / "b").write_text("other")

        def load_state(self, path):
            raise AssertionError("it was loaded")

    store = StateStore(tmp_path)
    store.register("two", Two())
    saved = store.save_state()
    swap(saved / "two", "a", "b")
    with pytest.raises(StateDamagedError, match=r"'two': two/a has another checksum.*'two': two/b has another"):
        store.load_state(saved)


def take_from(path: Path, other: Path, name: str) -> None:
    shutil.copy(other / name, path / name)


def test_files_of_two_saves_are_not_taken_for_one(saved, quick_path, damaged):
    """As a copy that was broken off and taken up again leaves them."""
    other = make_store(quick_path / "states", WatchedDisk(), 8).save_state()
    for name in files_of(saved):
        if name not in MANIFEST:
            assert part_of(name) in damaged(take_from, other, name)
    for name in MANIFEST:
        assert "damaged" in damaged(take_from, other, name)


def test_a_file_in_place_of_a_directory_is_named(damaged):
    def replace(copy):
        shutil.rmtree(copy / "own" / "inner")
        (copy / "own" / "inner").write_text("a file")

    assert "component 'own': own/inner must be a directory" in damaged(replace)


def test_a_directory_in_place_of_a_file_is_named(saved, damaged):
    def replace(copy, name):
        (copy / name).unlink()
        (copy / name).mkdir()

    for name in files_of(saved):
        said = damaged(replace, name)
        assert (f"{name} must be a" in said) if name in MANIFEST else (f"{part_of(name)} must be a file" in said)


def sign(path: Path, document: dict) -> None:
    """Write a manifest with the checksum that belongs to it."""
    text = json.dumps(document).encode()
    (path / "manifest.json").write_bytes(text)
    (path / "manifest.json.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")


def read(path: Path) -> dict:
    return json.loads((path / "manifest.json").read_text())


@pytest.mark.parametrize("version", [1, 3, "2", None, 2.5, [2]])
def test_another_version_of_the_store_is_refused(version, saved, quick_path):
    sign(saved, {**read(saved), "format": version})
    store = Watching(quick_path / "states")
    with pytest.raises(ValueError, match=r"manifest\.json must have format 2, got .*; it was written by another"):
        store.load_state(saved)
    assert store.loaded == []


@pytest.mark.parametrize("kind", ["tensors", "notes"])
def test_another_version_of_the_codec_is_refused_and_nothing_changes(kind, saved, quick_path):
    """Only the part itself knows that its files are of the codec; those before it are put back."""
    file = saved / f"{kind}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    content = file.read_bytes()
    manifest = read(saved)
    record = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    sign(saved, {**manifest, "files": {**manifest["files"], file.name: record}})
    store = Watching(quick_path / "states")
    with pytest.raises(ValueError, match=rf"{kind}\.json must have format \d+, got 99"):
        store.load_state(saved)
    assert values(store) == {-1}


# Which state is the latest.


@pytest.fixture
def two(quick_path: Path) -> tuple[Path, Path]:
    """The states 1 and 2."""
    first, second = (make_store(quick_path, WatchedDisk(), value).save_state() for value in (1, 2))
    return first, second


def load_latest(states_dir: Path, **how: bool) -> int:
    store = make_store(states_dir, WatchedDisk(), -1)
    store.load_state("latest", **how)
    (value,) = values(store)
    return value


DAMAGES = {
    "cut off": lambda path: os.truncate(path / "own" / "number.txt", 3),
    "flipped": lambda path: flip(path, "tensors.safetensors", 1000),
    "manifest flipped": lambda path: flip(path, "manifest.json", 100),
    "manifest missing": lambda path: (path / "manifest.json").unlink(),
    "checksum missing": lambda path: (path / "manifest.json.sha256").unlink(),
    "manifest a link": lambda path: ((path / "manifest.json").unlink(), (path / "manifest.json").symlink_to("x")),
    "other version": lambda path: sign(path, {**read(path), "format": 3}),
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@damages
def test_a_damaged_latest_state_is_not_silently_passed_over(damage, two, quick_path):
    damage(two[1])
    with pytest.raises((ValueError, FileNotFoundError), match=two[1].name):
        latest_state(quick_path)
    with pytest.raises((ValueError, FileNotFoundError), match=two[1].name):
        load_latest(quick_path)


def test_an_unreadable_state_of_the_same_moment_is_not_silently_passed_over(two, quick_path):
    """A file system's clock may be coarser than two saves are apart."""
    DAMAGES["manifest flipped"](two[1])
    for path in two:
        os.utime(path, ns=(0, 0))
    with pytest.raises(StateDamagedError, match=two[1].name):
        latest_state(quick_path)


@damages
def test_an_older_state_does_when_that_is_wanted(damage, two, quick_path, caplog):
    damage(two[1])
    assert latest_state(quick_path, fall_back=True) == two[0]
    assert two[1].name in caplog.text
    assert load_latest(quick_path, fall_back=True) == 1


@damages
def test_a_damaged_older_state_hinders_nothing(damage, two, quick_path):
    damage(two[0])
    times = (two[1].stat().st_atime_ns, two[1].stat().st_mtime_ns)
    os.utime(two[0], ns=(times[0], times[1] - 1))  # it was damaged before the other was saved
    assert latest_state(quick_path) == two[1]
    assert load_latest(quick_path) == 2


def test_states_that_are_all_damaged_are_no_latest_state(two, quick_path):
    for path in two:
        DAMAGES["cut off"](path)
    assert latest_state(quick_path, fall_back=True) is None
    with pytest.raises(FileNotFoundError, match="no state in"):
        load_latest(quick_path, fall_back=True)


def test_the_latest_state_is_the_one_that_was_saved_last_whatever_the_clock_said(two, quick_path):
    """Its name and date are older."""
    old = two[1].rename(quick_path / "1999.state")
    sign(old, {**read(old), "saved_at": "1999-01-01T00:00:00+00:00"})
    os.utime(old, ns=(0, 0))
    assert latest_state(quick_path) == old


def test_a_crashed_state_is_the_latest_only_when_allowed(two, quick_path, caplog):
    store = make_store(quick_path, WatchedDisk(), 3)
    crashed = store.publish(store.stage(crashed=True))
    assert latest_state(quick_path) == two[1]
    assert crashed.name in caplog.text
    assert latest_state(quick_path, allow_crashed=True) == crashed
    assert (load_latest(quick_path), load_latest(quick_path, allow_crashed=True)) == (2, 3)


def test_a_directory_with_nothing_in_it_has_no_latest_state(tmp_path):
    assert latest_state(tmp_path) is None
    assert latest_state(tmp_path / "missing") is None


def test_what_is_no_state_is_not_taken_for_one(two, quick_path):
    (quick_path / "notes.txt").write_text("a file")
    (quick_path / "plots").mkdir()
    (quick_path / "plots" / "a.png").write_bytes(b"")
    (quick_path / "current").symlink_to(two[0])
    shutil.copytree(two[0], quick_path / ".hidden")
    assert latest_state(quick_path) == two[1]
    make_store(quick_path, WatchedDisk(), 3).save_state()
    assert newest_value(quick_path) == 3


# Putting back.


class Refusing(StateDictMixin):
    """Takes over half of what it is given, then raises."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.value = -1
        self.half = -1
        self.error = error

    def state_dict(self):
        return {"value": self.value, "half": self.half}

    def load_state_dict(self, state):
        self.half = state["half"]
        if self.error is not None and state["half"] != -1:
            raise self.error
        self.value = state["value"]


def store_with(states_dir: Path, refusing: object, value: int) -> StateStore:
    store = make_store(states_dir, WatchedDisk(), value)
    store.register("refusing", refusing)
    store.register("behind", KINDS["notes"](value))
    return store


@pytest.mark.parametrize("error", [ValueError("no"), OSError(5, "gone"), KeyboardInterrupt()], ids=repr)
def test_a_part_that_refuses_leaves_all_as_they_were(error, tmp_path):
    giving = Refusing()
    giving.half = 3
    path = store_with(tmp_path, giving, 3).save_state()
    refusing = Refusing(error)
    store = store_with(tmp_path, refusing, -1)
    with pytest.raises(type(error)) as caught:
        store.load_state(path)
    assert caught.value is error
    assert f"raised while refusing was loaded from {path}" in "".join(error.__notes__)
    assert values(store) == {-1}
    assert refusing.half == -1


def test_a_part_that_cannot_be_put_back_is_named_beside_what_was_refused(tmp_path):
    class Unsavable(Refusing):
        def save_state(self, path):
            raise RuntimeError("not now")

    giving = Refusing()
    giving.half = 3
    path = store_with(tmp_path, giving, 3).save_state()
    store = store_with(tmp_path, Unsavable(ValueError("no")), -1)
    with pytest.raises(ValueError, match="no") as caught:
        store.load_state(path)
    (where, note) = caught.value.__notes__
    assert where.startswith("raised while refusing was loaded")
    assert note == "refusing was not put back to what it held before: RuntimeError('not now'); make it anew"
    assert {part.value for name, part in store._components.items() if name != "refusing"} == {-1}

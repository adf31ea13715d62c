"""A state is there whole or not at all."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pamiq_sched import LatestStatesKeeper, PersistentStateMixin, StateStore
from pamiq_sched.state import StateDictMixin, codec


class Component(PersistentStateMixin):
    """Keeps a text in one file; fails when told to."""

    def __init__(self, text="", fails=None):
        self.text = text
        self.fails = fails

    def save_state(self, path):
        path.write_text(self.text)
        if self.fails is not None:
            raise self.fails

    def load_state(self, path):
        self.text = path.read_text()


class Folder(Component):
    """Keeps its text in a directory of directories."""

    def save_state(self, path):
        (path / "inner").mkdir(parents=True)
        super().save_state(path / "inner" / "text")

    def load_state(self, path):
        super().load_state(path / "inner" / "text")


def make_store(folder, name_format="%Y-%m-%d_%H-%M-%S,%f.state", **components):
    store = StateStore(folder, name_format)
    for name, component in components.items():
        store.register(name, component)
    return store


def everything_in(folder):
    return sorted(os.listdir(folder))


class FailingAt:
    """Stands for a function of ``os`` whose n-th call fails as on a full disk.

    Args:
        real: What the other calls do.
        n: Which call fails; 0 for none.
    """

    def __init__(self, real, n=1):
        self.real = real
        self.n = n
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.n:
            raise OSError(errno.ENOSPC, "no space left on device")
        return self.real(*args, **kwargs)


# Saving.


def test_what_was_saved_is_loaded(tmp_path):
    a, b = Component("a"), Folder("b")
    store = make_store(tmp_path / "states", a=a, b=b)
    saved = store.save_state()
    a.text = b.text = "changed"
    store.load_state(saved)
    assert (a.text, b.text) == ("a", "b")


def test_a_state_may_be_named_by_a_string(tmp_path):
    component = Component("a")
    store = make_store(str(tmp_path), a=component)
    store.load_state(str(store.save_state()))
    assert component.text == "a"


def test_the_manifest_names_format_and_components(tmp_path):
    saved = make_store(tmp_path, b=Component(), a=Component()).save_state()
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["components"] == ["b", "a"]
    assert manifest["crashed"] is False
    assert manifest["format"] == 2


def test_components_are_saved_and_loaded_in_the_order_of_registration(tmp_path):
    order = []

    class Noting(Component):
        def save_state(self, path):
            order.append(f"save {path.name}")
            super().save_state(path)

        def load_state(self, path):
            order.append(f"load {path.name}")

    store = make_store(tmp_path, b=Noting(), a=Noting(), c=Noting())
    store.load_state(store.save_state())
    assert [event for event in order if "load" in event] == ["load b", "load a", "load c"]
    assert order[:3] == ["save b", "save a", "save c"]


def test_a_component_with_nothing_to_save_is_saved_and_loaded(tmp_path):
    store = make_store(tmp_path, nothing=PersistentStateMixin())
    store.load_state(store.save_state())


def test_the_directory_of_states_is_made_at_the_first_save(tmp_path):
    store = make_store(tmp_path / "deep" / "states")
    assert not (tmp_path / "deep").exists()
    assert store.save_state().parent == tmp_path / "deep" / "states"


def test_saves_of_one_moment_get_names_of_their_own(tmp_path):
    component = Component()
    store = make_store(tmp_path, "run.state", a=component)
    saved = []
    for i in range(3):
        component.text = str(i)
        saved.append(store.save_state())
    assert len(set(saved)) == 3
    for i, path in enumerate(saved):
        store.load_state(path)
        assert component.text == str(i)


def test_saves_of_one_moment_are_all_found_by_a_keeper_that_starts_later(tmp_path):
    """A name that the pattern *.state misses would never be removed."""
    store = make_store(tmp_path, "run.state")
    saved = [store.save_state() for _ in range(3)]
    LatestStatesKeeper(tmp_path, 1).cleanup()
    assert [path.exists() for path in saved] == [False, False, True]


def test_a_taken_component_name_is_refused(tmp_path):
    store = make_store(tmp_path, a=Component())
    with pytest.raises(KeyError, match="'a' is registered already"):
        store.register("a", Component())


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b", "a\\b", "a\0b"])
def test_a_component_name_that_cannot_be_a_file_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="a component's name becomes a file name"):
        StateStore(tmp_path).register(name, Component())


@pytest.mark.parametrize("name", ["a.json", "a.safetensors", "a.arrays"])
def test_a_component_name_that_could_be_the_file_of_another_is_refused(name, tmp_path):
    """The tensors of "a.arrays" would be written over the arrays of "a", and load as these."""
    with pytest.raises(ValueError, match="must not end as the files of other components do"):
        StateStore(tmp_path).register(name, Component())


def test_the_name_of_the_manifest_is_refused_for_a_component(tmp_path):
    """It would be overwritten."""
    with pytest.raises((KeyError, ValueError), match=r"manifest\.json"):
        StateStore(tmp_path).register("manifest.json", Component())


# Half-written states.


@pytest.mark.parametrize("error", [RuntimeError("no"), OSError("full"), KeyboardInterrupt(), SystemExit(3)])
def test_a_component_that_raises_leaves_nothing(error, tmp_path):
    store = make_store(tmp_path, a=Component("a"), b=Component("b", fails=error), c=Component("c"))
    with pytest.raises(type(error)) as caught:
        store.save_state()
    assert caught.value is error
    assert everything_in(tmp_path) == []


def test_a_component_that_raises_leaves_earlier_saves(tmp_path):
    component = Component("good")
    store = make_store(tmp_path, a=component)
    saved = store.save_state()
    component.fails = RuntimeError("no")
    with pytest.raises(RuntimeError):
        store.save_state()
    assert everything_in(tmp_path) == [saved.name]
    store.load_state(saved)


def test_a_staged_state_is_not_visible(tmp_path):
    store = make_store(tmp_path, a=Component("a"))
    staged = store.stage()
    assert all(name.startswith(".") for name in everything_in(tmp_path))
    assert LatestStatesKeeper(tmp_path, 1, "*").cleanup() == []
    assert staged.directory.exists()


def test_publishing_makes_it_visible_under_its_name(tmp_path):
    store = make_store(tmp_path, a=Component("a"))
    staged = store.stage()
    assert store.publish(staged) == tmp_path / staged.name
    assert everything_in(tmp_path) == [staged.name]


def test_a_staged_state_holds_what_was_when_it_was_staged(tmp_path):
    component = Component("then")
    store = make_store(tmp_path, a=component)
    staged = store.stage()
    component.text = "later"
    store.load_state(store.publish(staged))
    assert component.text == "then"


class Numbers(StateDictMixin):
    """Keeps an array by the codec."""

    def __init__(self):
        self.array = np.zeros(3)

    def state_dict(self):
        return {"array": self.array}

    def load_state_dict(self, state):
        self.array = state["array"]


def test_what_the_codec_keeps_is_copied_when_staged_and_written_when_published(tmp_path):
    """Threads stand still for a copy, not for the disk."""
    numbers = Numbers()
    store = make_store(tmp_path, numbers=numbers)
    staged = store.stage()
    assert everything_in(staged.directory) == []
    numbers.array += 1
    store.load_state(store.publish(staged))
    assert numbers.array.tolist() == [0, 0, 0]


def test_a_codec_that_is_used_beside_a_stage_writes_at_once(tmp_path):
    class Asking(Component):
        def save_state(self, path):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(codec.save, "now", tmp_path / "other").result(30)
            self.was_written = codec.load(tmp_path / "other")

    component = Asking()
    make_store(tmp_path / "states", a=component).stage()
    assert component.was_written == "now"
    codec.save("again", tmp_path / "other")
    assert codec.load(tmp_path / "other") == "again"


def test_a_disk_that_fills_up_while_a_staged_state_is_written_leaves_nothing(tmp_path, monkeypatch):
    store = make_store(tmp_path, a=Numbers(), b=Numbers())
    staged = store.stage()
    monkeypatch.setattr(codec, "write_file", FailingAt(codec.write_file, 2))
    with pytest.raises(OSError, match="no space left"):
        store.publish(staged)
    assert everything_in(tmp_path) == []


def test_a_crash_before_publication_does_not_hinder_the_next_save(tmp_path):
    """The next process finds the hidden directory of the last one, under the name that it would take."""
    make_store(tmp_path, "run.state", a=Component("torn")).stage()
    component = Component("whole")
    store = make_store(tmp_path, "run.state", a=component)
    saved = store.save_state()
    store.load_state(saved)
    assert component.text == "whole"


def test_staging_twice_keeps_both(tmp_path):
    component = Component("first")
    store = make_store(tmp_path, "run.state", a=component)
    first = store.stage()
    component.text = "second"
    second = store.stage()
    paths = [store.publish(first), store.publish(second)]
    texts = []
    for path in paths:
        store.load_state(path)
        texts.append(component.text)
    assert texts == ["first", "second"]


def test_every_file_and_directory_is_durable_before_the_state_is_visible(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name), fsync(fd))
    )
    monkeypatch.setattr(os, "rename", lambda *args, **kw: (events.append("rename"), rename(*args, **kw)))
    store = make_store(tmp_path / "states", "run.state", a=Component("a"), b=Folder("b"))
    store.save_state()
    at = events.index("rename")
    assert {"a", "b", "inner", "text", "manifest.json"} < set(events[:at])
    assert any(name.startswith(".") for name in events[:at]), "the directory itself"
    assert events[at + 1 :] == ["states"]


def test_a_sync_that_fails_leaves_earlier_saves_and_no_rubbish(tmp_path, monkeypatch):
    """At whichever file or directory the disk refuses."""
    fsync = os.fsync
    component = Component("good")
    store = make_store(tmp_path, a=component, b=Folder())
    monkeypatch.setattr(os, "fsync", counting := FailingAt(fsync, 0))
    saved = store.save_state()
    for n in range(1, counting.calls):  # the last one is that of the parent, after the rename
        monkeypatch.setattr(os, "fsync", FailingAt(fsync, n))
        with pytest.raises(OSError, match="no space left"):
            store.save_state()
        assert everything_in(tmp_path) == [saved.name]
    component.text = "changed"
    store.load_state(saved)
    assert component.text == "good"


def test_a_rename_that_fails_leaves_earlier_saves_and_no_rubbish(tmp_path, monkeypatch):
    store = make_store(tmp_path, a=Component("good"))
    saved = store.save_state()
    monkeypatch.setattr(os, "rename", FailingAt(os.rename))
    with pytest.raises(OSError, match="no space left"):
        store.save_state()
    assert everything_in(tmp_path) == [saved.name]
    store.load_state(saved)


def test_a_save_after_a_failed_one_works(tmp_path, monkeypatch):
    store = make_store(tmp_path, "run.state", a=Component("good"))
    monkeypatch.setattr(os, "rename", FailingAt(os.rename))
    with pytest.raises(OSError, match="no space left"):
        store.save_state()
    store.load_state(store.save_state())


def test_a_directory_of_states_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        make_store(tmp_path / "file" / "states").save_state()


# Loading.


def test_a_crashed_state_is_refused_by_default_and_named_so(tmp_path):
    component = Component("crashed")
    store = make_store(tmp_path, a=component)
    kept = store.publish(store.stage(crashed=True))
    component.text = "unchanged"
    with pytest.raises(ValueError, match="an error ended"):
        store.load_state(kept)
    assert component.text == "unchanged"
    assert kept.name.endswith(".crashed")


def test_a_crashed_state_is_loaded_when_allowed(tmp_path):
    component = Component("crashed")
    store = make_store(tmp_path, a=component)
    kept = store.publish(store.stage(crashed=True))
    component.text = "changed"
    store.load_state(kept, allow_crashed=True)
    assert component.text == "crashed"


def test_a_missing_component_is_named_before_anything_changes(tmp_path):
    saved = make_store(tmp_path, a=Component("old")).save_state()
    a = Component("unchanged")
    with pytest.raises(FileNotFoundError, match="has no c, b; it was saved by another system"):
        make_store(tmp_path, a=a, c=Component(), b=Component()).load_state(saved)
    assert a.text == "unchanged"


def test_a_directory_that_is_no_state_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a saved state: it has no manifest\.json"):
        make_store(tmp_path).load_state(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a saved state"):
        make_store(tmp_path).load_state(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_damaged_manifest_is_refused_by_its_file(text, tmp_path):
    store = make_store(tmp_path, a=Component())
    saved = store.save_state()
    (saved / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        store.load_state(saved)


@pytest.mark.parametrize("manifest", [[], None, {}, {"format": 1}, {"format": "2"}])
def test_another_format_is_refused(manifest, tmp_path):
    store = make_store(tmp_path, a=Component())
    saved = store.save_state()
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"manifest\.json must have format 2"):
        store.load_state(saved)


@pytest.mark.parametrize("key", ["components", "crashed"])
def test_a_manifest_that_lacks_a_part_is_refused(key, tmp_path):
    store = make_store(tmp_path, a=Component())
    saved = store.save_state()
    file = saved / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest[key]
    file.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"manifest\.json"):
        store.load_state(saved)

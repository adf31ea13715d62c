"""Any sequence of pauses, resumes, saves, failures, shutdowns and restarts does what each of them promises."""

import errno
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pamiq_sched import FileSystem, Manifest, System, SystemStatus, SystemStoppedError, latest_state, system_clock
from tests.runtime.conftest import Parts

OPERATIONS = ["mkdir", "create", "write", "fsync", "fsync_directory", "rename"]


class FailingDisk(FileSystem):
    """Refuses the n-th call of one operation, once."""

    def __init__(self):
        self.operation, self.left = "", 0

    def __getattribute__(self, name):
        if name in OPERATIONS and name == self.operation:
            self.left -= 1
            if self.left == 0:
                self.operation = ""
                raise OSError(errno.EIO, "the disk refuses")
        return super().__getattribute__(name)


class Protocol(RuleBasedStateMachine):
    """A system, and what it must be doing."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.states = Path(self.folder.name) / "states"
        self.saved = {}
        self.all_parts = []

    @initialize()
    def begin(self):
        self.start(None)

    def start(self, state):
        self.disk = FailingDisk()
        self.parts = Parts(self.states)
        self.all_parts.append(self.parts)
        arguments = self.parts.arguments(interval=0.0005, saved_state_path=state)
        self.system = System(**arguments, files=self.disk)
        self.system.start()
        self.parts.probe.wait_for("agent.step")
        self.is_paused = self.has_ended = False

    def steps(self):
        probe = self.parts.probe
        return probe.calls["agent.step"], probe.calls["trainer.step"]

    @precondition(lambda self: not self.has_ended)
    @rule()
    def pause(self):
        self.system.pause()
        self.is_paused = True
        self.steps_at_pause = self.steps()

    @precondition(lambda self: not self.has_ended)
    @rule()
    def resume(self):
        self.system.resume()
        self.is_paused = False

    @precondition(lambda self: not self.has_ended)
    @rule()
    def save(self):
        self.note(self.system.save_state())

    def note(self, path):
        manifest = Manifest.read(path, FileSystem())
        assert list(manifest.differences(path, FileSystem())) == []
        assert manifest.number > max(self.saved.values(), default=0)
        assert manifest.about["cut_sessions"] == [] or self.is_paused
        self.saved[path] = manifest.number
        assert self.system.status().last_saved == path

    @precondition(lambda self: not self.has_ended)
    @rule(operation=st.sampled_from(OPERATIONS), n=st.integers(1, 12))
    def save_on_a_disk_that_fails(self, operation, n):
        self.disk.operation, self.disk.left = operation, n
        refusal = None
        try:
            path = self.system.save_state()
        except OSError as error:
            refusal = error
        self.disk.operation = ""
        if refusal is None:
            self.note(path)
            return
        assert self.folder.name in str(refusal)  # at the first save it may be the parent
        # The parent's fsync comes behind the rename: what was not reported may be there all the same.
        behind = set(self.visible()) - set(self.saved)
        assert not behind or operation == "fsync_directory"
        self.saved.update({path: Manifest.read(path, FileSystem()).number for path in behind})

    @precondition(lambda self: not self.has_ended)
    @rule()
    def ask_for_everything_at_once(self):
        """Whoever comes first, each is done, and the last one holds."""
        asks = [self.system.pause, self.system.resume, self.system.save_state, self.system.status]
        barrier = threading.Barrier(len(asks))
        outcomes = []

        def ask(call):
            barrier.wait(30.0)
            outcomes.append(call())

        threads = [threading.Thread(target=ask, args=(call,)) for call in asks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30.0)
        assert len(outcomes) == len(asks)
        [path] = [outcome for outcome in outcomes if isinstance(outcome, Path)]
        self.saved[path] = Manifest.read(path, FileSystem()).number
        assert (self.system.status().state is SystemStatus.PAUSED) == system_clock().is_paused()
        self.resume()  # which rules are tried next must not depend on who came first

    @precondition(lambda self: not self.has_ended)
    @rule()
    def shut_down(self):
        self.system.shutdown()
        self.note(self.system.status().last_saved)
        self.is_paused, self.has_ended = False, True

    @precondition(lambda self: not self.has_ended and not self.is_paused)
    @rule(hook=st.sampled_from(["agent.step", "environment.observe", "trainer.is_trainable"]))
    def crash(self, hook):
        self.parts.probe.raising(hook, ZeroDivisionError(hook))
        with pytest.raises(ZeroDivisionError, match=hook):
            self.system.wait(30.0)
        self.has_ended = True

    @precondition(lambda self: self.has_ended)
    @rule()
    def ask_what_has_ended(self):
        for call in (self.system.pause, self.system.resume, self.system.save_state):
            with pytest.raises(SystemStoppedError, match="has ended"):
                call()
        assert self.system.status().state is SystemStatus.OFFLINE

    @precondition(lambda self: self.has_ended)
    @rule(number=st.integers(0, 99))
    def go_on(self, number):
        """From one of the saves, or the latest; from nothing if there is none."""
        if not self.saved:
            self.start(None)
            return
        state = ["latest", *self.saved][number % (len(self.saved) + 1)]
        about = Manifest.read(self.latest() if state == "latest" else state, FileSystem()).about
        self.start(state)
        status = self.system.status()
        assert status.steps >= about["steps"]
        assert status.sessions["trainer"] >= about["sessions"]["trainer"]

    def latest(self):
        return max(self.saved, key=self.saved.get)

    def visible(self):
        if not self.states.exists():
            return []
        return [p for p in self.states.iterdir() if not p.name.startswith(".") and p.suffix != ".crashed"]

    @invariant()
    def what_was_saved_is_there_and_nothing_else(self):
        assert set(self.visible()) == set(self.saved)
        if self.saved:
            assert latest_state(self.states) == self.latest()

    @invariant()
    def the_state_is_the_one_that_was_asked_for(self):
        if not self.all_parts or self.has_ended:
            return
        if self.is_paused:
            assert self.system.status().state is SystemStatus.PAUSED
            assert self.steps() == self.steps_at_pause
            assert system_clock().is_paused()
        else:
            assert self.system.status().state in (SystemStatus.ACTIVE, SystemStatus.RESUMING)
            moved = threading.Event()
            self.parts.probe.on("agent.step", moved.set)
            assert moved.wait(30.0), "it does not go on"

    def teardown(self):
        if self.all_parts and not self.has_ended:
            self.system.shutdown()
        for parts in self.all_parts:
            for part in ("agent", "environment", "trainer"):
                assert parts.probe.calls[f"{part}.on_paused"] == parts.probe.calls[f"{part}.on_resumed"]
            assert parts.probe.calls["agent.setup"] == parts.probe.calls["agent.teardown"] == 1
        assert not system_clock().is_paused()
        self.folder.cleanup()


def run(examples, steps):
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )


def test_any_short_sequence():
    run(examples=12, steps=15)


@pytest.mark.stress
def test_any_long_sequence():
    run(examples=40, steps=25)

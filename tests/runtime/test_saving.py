"""Saves of a running system: what stands still for them and what does not, what goes on from them."""

import logging
import random
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from torch import nn

from pamiq_sched import (
    BestStatesKeeper,
    DataBuffer,
    FileSystem,
    Interaction,
    LatestStatesKeeper,
    LaunchConfig,
    Manifest,
    PeriodicSaveCondition,
    StateDamagedError,
    StepSaveCondition,
    System,
    SystemStatus,
    SystemStoppedError,
    TorchTrainingModel,
    Trainer,
    launch,
)
from pamiq_sched.runtime.budget import core_count
from pamiq_sched.testing import FakeAgent, FakeBuffer, FakeEnvironment, FakeTrainingModel


class GatedDisk(FileSystem):
    """Writes when it is allowed to."""

    def __init__(self):
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def close(self):
        self.reached.clear()
        self.gate.clear()

    def write(self, file, data):
        self.reached.set()
        assert self.gate.wait(60.0)
        return super().write(file, data)


def in_thread(call):
    """Start a call on a thread of its own; return the thread and where its outcome will be."""
    outcome = []

    def run():
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - it is looked at
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def manifest_of(path):
    return Manifest.read(path, FileSystem())


def step_on(probe):
    """Wait for the beginning of another step."""
    moved = threading.Event()
    probe.on("agent.step", moved.set)
    assert moved.wait(30.0)


# While the disk works.


@pytest.fixture
def disk():
    return GatedDisk()


@pytest.fixture
def system(parts, probe, disk):
    with System(**parts.arguments(), files=disk) as system:
        probe.wait_for("trainer.sync_models")
        yield system
        disk.gate.set()


def test_a_system_is_paused_and_resumed_while_a_state_is_written(system, probe, disk):
    disk.close()
    thread, outcome = in_thread(system.save_state)
    assert disk.reached.wait(30.0)
    assert system.status().is_saving
    system.pause()
    assert system.status().state is SystemStatus.PAUSED
    system.resume()
    step_on(probe)
    assert outcome == [], "a save is reported when it is on the disk, not before"
    disk.gate.set()
    thread.join(30.0)
    assert outcome == [system.status().last_saved]


def test_a_save_that_is_asked_for_while_one_is_written_waits_for_it(system, probe, disk):
    disk.close()
    first, first_outcome = in_thread(system.save_state)
    assert disk.reached.wait(30.0)
    staged = probe.calls["trainer.save_state"]
    second, second_outcome = in_thread(system.save_state)
    system.pause()  # behind the second save, and not held up by it
    assert probe.calls["trainer.save_state"] == staged
    system.resume()
    disk.gate.set()
    for thread in (first, second):
        thread.join(30.0)
    numbers = [manifest_of(outcome[0]).number for outcome in (first_outcome, second_outcome)]
    assert numbers == [1, 2]


def test_a_save_that_is_due_while_one_is_written_is_made_behind_it(parts, probe, disk):
    due = threading.Event()

    def condition():
        was_due = due.is_set()
        due.clear()
        return was_due

    with System(**parts.arguments(save_state_condition=condition), files=disk) as system:
        probe.wait_for("trainer.sync_models")
        disk.close()
        thread, outcome = in_thread(system.save_state)
        assert disk.reached.wait(30.0)
        due.set()
        step_on(probe)
        assert due.is_set(), "the condition is not asked in vain"
        saved = threading.Event()
        probe.on("trainer.save_state", saved.set)
        disk.gate.set()
        assert saved.wait(30.0)
        thread.join(30.0)
    assert manifest_of(outcome[0]).number == 1


def test_a_shutdown_waits_for_what_is_being_written(system, disk, parts):
    disk.close()
    saving, outcome = in_thread(system.save_state)
    assert disk.reached.wait(30.0)
    system.shutdown(wait=False)
    disk.gate.set()
    assert system.wait(30.0)
    saving.join(30.0)
    assert sorted(parts.states_dir.iterdir()) == sorted([outcome[0], system.status().last_saved])


def test_a_component_that_hangs_while_it_is_saved_does_not_keep_a_system_from_ending(parts, probe):
    gate = probe.gate("trainer.save_state")
    system = parts.system(shutdown_timeout=0.05)
    system.start()
    probe.wait_for("trainer.sync_models")
    saving, outcome = in_thread(system.save_state)
    probe.wait_for("trainer.save_state")
    with pytest.raises(TimeoutError, match=r"components must be done with a save within 0\.05 s[^$]*save_state"):
        system.shutdown()
    saving.join(30.0)
    assert isinstance(outcome[0], TimeoutError)
    gate.set()


def test_a_component_that_hangs_in_the_last_save_does_not_keep_a_system_from_ending(parts, probe):
    gate = probe.gate("trainer.save_state")
    system = parts.system(shutdown_timeout=0.05)
    system.start()
    probe.wait_for("trainer.sync_models")
    with pytest.raises(TimeoutError, match="components must be done with a save"):
        system.shutdown()
    gate.set()


def test_a_keeper_that_hangs_does_not_keep_a_system_from_ending(parts, probe):
    gate = threading.Event()

    class Hanging(LatestStatesKeeper):
        def append(self, path):
            assert gate.wait(60.0)

    system = parts.system(shutdown_timeout=0.05, states_keeper=Hanging(parts.states_dir, 1))
    system.start()
    probe.wait_for("trainer.sync_models")
    with pytest.raises(TimeoutError, match="the keeper of states must be done with a save"):
        system.shutdown()
    assert system.status().last_saved.exists()
    gate.set()


@pytest.mark.parametrize("at", ["append", "about", "select_removal_states"])
def test_a_keeper_that_raises_ends_the_system(at, parts, probe):
    def broken(*_):
        raise ValueError("a broken keeper")

    keeper = LatestStatesKeeper(parts.states_dir, 1)
    setattr(keeper, at, broken)
    with pytest.raises(ValueError, match="a broken keeper"), parts.system(states_keeper=keeper) as system:
        probe.wait_for("trainer.sync_models")
        system.save_state()
        assert system.wait(30.0)


def test_a_hook_that_is_saved_cannot_wait_for_another_save(parts, probe):
    system = parts.system()
    probe.on("trainer.save_state", system.save_state)
    with pytest.raises(RuntimeError, match="a thread of the system cannot save: it would wait for itself"), system:
        probe.wait_for("trainer.sync_models")
        system.save_state()


def test_components_are_copied_with_every_core_while_the_others_stand_still(parts, probe):
    import torch

    seen = []
    probe.on("trainer.save_state", lambda: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    with parts.system() as system:
        probe.wait_for("trainer.sync_models")
        system.save_state()
    assert seen == [core_count()] * 2
    assert torch.get_num_threads() == before


# Sessions are saved whole.


def test_a_save_waits_for_the_end_of_the_session_while_the_agent_acts(parts, probe):
    gate = probe.gate("trainer.step")
    with parts.system() as system:
        probe.wait_for("trainer.step")
        thread, outcome = in_thread(system.save_state)
        step_on(probe)
        step_on(probe)
        assert probe.calls["agent.save_state"] == 0
        sessions = []
        probe.on("trainer.save_state", lambda: sessions.append(probe.completed["trainer.teardown"]))
        gate.set()
        thread.join(30.0)
    assert sessions[0] >= 1
    about = manifest_of(outcome[0]).about
    assert about["cut_sessions"] == []
    assert about["sessions"]["trainer"] == sessions[0]


def test_a_session_that_takes_too_long_is_stopped_at_its_next_pause_point(parts, probe, caplog):
    """And the run that goes on from there tells that it had to do without the rest."""
    caplog.set_level(logging.INFO)
    saved = threading.Event()
    probe.on("trainer.save_state", saved.set)

    class Long(Trainer):
        def train(self):
            probe("long.train")
            while not saved.is_set():
                self.step_completed()

    arguments = parts.arguments(session_end_timeout=0.02)
    arguments["trainers"]["long"] = Long()
    with System(**arguments) as system:
        probe.wait_for("long.train")
        path = system.save_state()
    assert manifest_of(path).about["cut_sessions"] == ["long"]
    assert "took longer than session_end_timeout=0.02" in caplog.text

    arguments = parts.arguments(saved_state_path=path)
    arguments["trainers"]["long"] = Long()
    with System(**arguments) as system:
        assert "the rest of a session of long" in system.status().not_restored


class Endless(Trainer):
    """Comes to the end of its session when the system does."""

    def __init__(self):
        super().__init__()
        self.reached = threading.Event()

    def train(self):
        self.reached.set()
        while True:
            self.pause_point()


@contextmanager
def in_an_endless_session(parts):
    arguments = parts.arguments(session_end_timeout=3600.0)
    trainer = arguments["trainers"]["endless"] = Endless()
    with System(**arguments) as system:
        assert trainer.reached.wait(30.0)
        yield system


def test_a_pause_that_is_asked_for_meanwhile_is_not_held_up(parts, probe):
    with in_an_endless_session(parts) as system:
        saving, outcome = in_thread(system.save_state)
        step_on(probe)
        system.pause()
        saving.join(30.0)
        assert outcome[0].exists()
        assert system.status().state is SystemStatus.PAUSED


def test_a_shutdown_that_comes_meanwhile_gives_the_save_up(parts, probe):
    with in_an_endless_session(parts) as system:
        saving, outcome = in_thread(system.save_state)
        step_on(probe)
    saving.join(30.0)
    assert isinstance(outcome[0], SystemStoppedError)


# When.


def test_a_condition_by_steps_saves_at_every_so_many(tmp_path):
    saved_at = []

    class Agent(FakeAgent):
        def save_state(self, path):
            super().save_state(path)
            saved_at.append(interaction.steps)
            if len(saved_at) == 3:
                system.shutdown(wait=False)

    interaction = Interaction(Agent(), FakeEnvironment())
    config = LaunchConfig(states_dir=tmp_path, save_state_condition=StepSaveCondition(100), freeze_garbage=False)
    system = System(interaction, {}, {}, {}, config)
    system.run()
    assert [steps // 100 for steps in saved_at[:3]] >= [1, 2, 3]
    assert len({steps // 100 for steps in saved_at[:3]}) == 3


def test_the_best_state_is_kept(parts, probe):
    metrics = iter([3.0, 9.0, 1.0, 2.0, 0.0])
    keeper = BestStatesKeeper(parts.states_dir, lambda: next(metrics))
    with parts.system(states_keeper=keeper) as system:
        probe.wait_for("trainer.sync_models")
        saved = [system.save_state() for _ in range(4)]
    assert sorted(parts.states_dir.iterdir()) == sorted([saved[1], system.status().last_saved])


# Going on.


def test_the_latest_state_is_found(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.sync_models")
        system.save_state()
    latest = manifest_of(system.status().last_saved)
    with parts.system(saved_state_path="latest") as system:
        assert system.status().steps >= latest.about["steps"] > 0


def test_a_first_run_has_no_latest_state(parts):
    with pytest.raises(
        FileNotFoundError, match=r"there is no state in .*; for a first run leave saved_state_path"
    ):
        parts.system(saved_state_path="latest").start()


def test_an_older_state_is_gone_on_from_only_if_that_is_allowed(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.sync_models")
        older = system.save_state()
    latest = system.status().last_saved
    file = latest / "trainers" / "trainer" / "trainer.json"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StateDamagedError, match=r"component 'trainers': trainers/trainer/trainer\.json must have"):
        parts.system(saved_state_path="latest").start()
    steps = manifest_of(older).about["steps"]
    system = parts.system(saved_state_path="latest", fall_back_to_older_state=True, max_uptime=1e-9)
    system.run()
    assert manifest_of(system.status().last_saved).number == 3
    assert system.status().steps >= steps


def test_counters_go_on(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.sync_models")
        system.pause()
        system.save_state()
        before = system.status()
    ended = manifest_of(system.status().last_saved).about
    with parts.system(saved_state_path="latest") as system:
        system.pause()
        after = system.status()
    assert before.pauses == 1
    assert after.pauses == 2
    assert after.steps >= ended["steps"] >= before.steps > 0
    assert after.sessions["trainer"] >= ended["sessions"]["trainer"] >= 1


def test_what_keeps_no_state_is_named_in_status_log_and_manifest(tmp_path, caplog):
    def make(**config):
        agent = FakeAgent()
        agent._agents["child"] = FakeAgent()
        interaction = Interaction(agent, FakeEnvironment())
        config = {"states_dir": tmp_path, "freeze_garbage": False, **config}
        return System(interaction, {"m": FakeTrainingModel()}, {}, {}, config)

    with make() as system:
        saved = system.save_state()
        assert system.status().not_restored == ()
    named = [
        "interaction/agent (FakeAgent)",
        "interaction/agent/child (FakeAgent)",
        "interaction/environment (FakeEnvironment)",
        "models/m (FakeTrainingModel)",
    ]
    assert manifest_of(saved).about["without_state"] == named
    with make(saved_state_path=saved) as system:
        assert system.status().not_restored == tuple(f"{name}: it keeps no state" for name in named)
    assert "begun anew, not restored: interaction/agent (FakeAgent): it keeps no state" in caplog.text


def test_random_generators_go_on(parts, probe):
    import torch

    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()

    drawn = []
    probe.on("trainer.save_state", lambda: None)
    with parts.system() as system:
        probe.wait_for("trainer.sync_models")
        system.pause()
        saved = system.save_state()
        drawn.append(draw())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    probe.on("agent.setup", lambda: drawn.append(draw()))
    with parts.system(saved_state_path=saved):
        pass
    assert drawn[0] == drawn[1]


def test_leftovers_of_a_killed_save_are_removed_at_the_start(parts):
    leftover = parts.states_dir / ".staging-of-another-process"
    (leftover / "inner").mkdir(parents=True)
    (leftover / "inner" / "file").write_text("torn")
    with parts.system():
        assert not leftover.exists()


# Crashes.


class Picky(DataBuffer):
    """Refuses what is not a number."""

    def __init__(self):
        super().__init__(100)
        self.items = []

    def add(self, data):
        if not isinstance(data, float):
            raise TypeError(f"no number: {data!r}")
        self.items.append(data)

    def get_data(self):
        return self.items

    def __len__(self):
        return len(self.items)

    def save_state(self, path):
        path.write_text(repr(self.items))


def test_a_crashed_run_whose_buffer_refuses_items_is_saved(parts, probe):
    """The trainer meets one bad item; those that still wait are refused while the state is saved."""
    arguments = parts.arguments(interval=None)
    arguments["buffers"]["data"] = Picky()
    collector = arguments["interaction"].agent
    probe.on("agent.step", lambda: [collector.collector.collect("bad") for _ in range(3)])
    with pytest.raises(TypeError, match="no number: 'bad'") as caught:
        launch(**arguments)
    [kept] = parts.states_dir.iterdir()
    assert kept.name.endswith(".crashed")
    assert manifest_of(kept).failed == {}
    assert any("the state of the crashed run is in" in note for note in caught.value.__notes__)


def test_an_item_that_is_refused_while_a_state_is_saved_is_raised_where_it_belongs(parts, probe):
    """Saving must not fail by it, and the training thread must not miss it."""
    arguments = parts.arguments(save_state_condition=PeriodicSaveCondition(3600.0))
    arguments["buffers"]["data"] = Picky()
    system = System(**arguments)
    system.start()
    probe.wait_for("trainer.sync_models")
    system.pause()
    system._users["data"].collector.collect("bad")
    saved = system.save_state()
    system.resume()
    with pytest.raises(TypeError, match="no number: 'bad'") as caught:
        system.wait(30.0)
    assert "raised in the training thread of the system" in caught.value.__notes__
    assert manifest_of(saved).failed == {}


# The watchdog.


def logged(caplog, text):
    return [record for record in caplog.records if text in record.getMessage()]


@pytest.mark.parametrize(("hook", "name"), [("agent.step", "inference"), ("trainer.step", "training")])
def test_a_thread_that_does_not_come_by_is_named_with_its_stack(hook, name, parts, probe, caplog):
    class Told(logging.Handler):
        def __init__(self):
            super().__init__()
            self.stuck, self.goes_on = threading.Event(), threading.Event()

        def emit(self, record):
            message = record.getMessage()
            if f"the {name} thread has not come by" in message:
                self.stuck.set()
            if f"the {name} thread goes on" in message:
                self.goes_on.set()

    told = Told()
    logging.getLogger("pamiq_sched").addHandler(told)
    gate = probe.gate(hook)
    try:
        with parts.system(watchdog_deadline=0.05) as system:
            assert told.stuck.wait(30.0)
            system.resume()  # does nothing, but is carried out behind what was logged
            assert "in _pass\n" in system.status().stuck[name]
            gate.set()
            assert told.goes_on.wait(30.0)
            system.pause()
            assert system.status().stuck == {}
    finally:
        logging.getLogger("pamiq_sched").removeHandler(told)
    [entry] = logged(caplog, f"the {name} thread has not come by")
    assert "watchdog_deadline=0.05" in entry.getMessage()
    assert "conftest.py" in entry.getMessage()


def test_nobody_is_named_who_waits_for_data_or_for_the_next_step(parts, probe, caplog):
    """The agent acts once an hour, the trainer has nothing to train on."""
    from pamiq_sched.runtime.watchdog import Watchdog

    with parts.system(interval=3600.0, watchdog_deadline=1e-6) as system:
        probe.wait_for("environment.affect")
        probe.wait_for("trainer.sync_models")
        waits = threading.Event()
        bell = system._training._bell.wait
        system._training._bell.wait = lambda *args: (waits.set(), bell(*args))[1]
        system._training.wake()
        assert waits.wait(30.0)
        dog = Watchdog(1e-6)
        dog.watch([system._training, system._inference])
        assert dog.look() == dog.look() == {}


def test_a_component_that_hangs_while_it_is_saved_is_named(parts, probe, caplog):
    named = threading.Event()

    class Told(logging.Handler):
        def emit(self, record):
            if "the saving thread has not come by" in record.getMessage():
                named.set()

    told = Told()
    logging.getLogger("pamiq_sched").addHandler(told)
    gate = probe.gate("trainer.save_state")
    try:
        with parts.system(watchdog_deadline=0.05) as system:
            probe.wait_for("trainer.sync_models")
            thread, outcome = in_thread(system.save_state)
            assert named.wait(30.0)
            gate.set()
            thread.join(30.0)
            assert outcome[0].exists()
            assert system.status().stuck == {}
    finally:
        logging.getLogger("pamiq_sched").removeHandler(told)


def test_what_was_saved_of_components_that_are_no_more_is_named(tmp_path):
    """One that goes by another name now is new, and what the old one knew is left: that must not go unnoticed."""

    def run(models, buffers, **config):
        interaction = Interaction(FakeAgent(), FakeEnvironment())
        config = {"states_dir": tmp_path, "max_uptime": 0.001, "freeze_garbage": False, **config}
        system = System(interaction, models, buffers, {}, config)
        system.run()
        return system.status().not_restored

    network = {"policy": TorchTrainingModel(nn.Linear(1, 1)), "old": TorchTrainingModel(nn.Linear(1, 1))}
    assert run(network, {"frames": FakeBuffer()}) == ()
    del network["old"]
    told = run(network, {}, saved_state_path="latest")
    assert [line for line in told if "not in this system" in line] == [
        "data/frames: it is not in this system",
        "models/old: it is not in this system",
    ]

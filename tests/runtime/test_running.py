"""What a running system does: acting, learning, saving, telling about itself."""

import math
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from pamiq_sched import (
    Durations,
    FixedIntervalInteraction,
    Interaction,
    LatestStatesKeeper,
    LaunchConfig,
    ManualClock,
    PeriodicSaveCondition,
    SequentialBuffer,
    System,
    SystemStatus,
    Trainer,
    launch,
    system_clock,
)
from pamiq_sched.testing import FakeAgent, FakeBuffer, FakeEnvironment, FakeTrainingModel

# Configuration

REFUSED = {
    "states_dir": [None, 3],
    "state_name_format": [None, 5, "", "a/b", ".hidden"],
    "saved_state_path": [5, True, ""],
    "allow_crashed_state": [1, None, "yes"],
    "fall_back_to_older_state": [1, None, "yes"],
    "save_state_condition": [5, "now"],
    "states_keeper": [5, "all"],
    "timeout_for_all_threads_pause": [0, -1, math.nan, True, "1", None],
    "max_attempts_to_pause_all_threads": [0, -1, 1.5, True, None],
    "max_uptime": [0, -1, math.nan, True, None],
    "web_api_address": [
        "localhost",
        8391,
        ("localhost",),
        ("", 1),
        ("localhost", -1),
        ("localhost", 65536),
        (1, 1),
    ],
    "web_api_token": [None, 1, "", "short", "sixteen letters and spaces", "ÄÖÜäöüÄÖÜäöüÄÖÜ"],
    "metrics_sinks": [None, "tensorboard", [1]],
    "metrics_interval": [0, -1, math.nan, math.inf, True, None, 0.001, 4000],
    "web_api_command_queue_size": [0, -1, True, 1.5],
    "log_tick_time_statistics_interval": [0, -1, math.nan, math.inf, True],
    "time_scale": [0, -1, math.nan, math.inf, True, None],
    "shutdown_timeout": [0, -1, math.nan, True],
    "session_end_timeout": [-1, math.nan, True, None],
    "watchdog_deadline": [0, -1, math.nan, True, None],
    "inference_torch_threads": [0, -1, 1.5, True],
    "training_torch_threads": [0, -1, 1.5, True],
    "switch_interval": [0, -1, 1e-9, 1.5, math.nan, math.inf, True, "5 ms"],
    "freeze_garbage": [0, None, "no"],
    "seed": [-1, 2**32, 1.5, True, "7"],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in REFUSED.items() for v in values])
def test_a_wrong_value_is_refused_by_field_and_value_before_any_thread_starts(parts, field, value):
    threads = set(threading.enumerate())
    with pytest.raises((TypeError, ValueError), match=re.escape(repr(value))) as refused:
        launch(**parts.arguments(**{field: value}))
    assert field in str(refused.value) or field.replace("time_scale", "time scale") in str(refused.value)
    assert set(threading.enumerate()) == threads
    assert not parts.probe.log


def test_every_field_has_its_wrong_values_tested():
    assert set(REFUSED) == set(LaunchConfig.__dataclass_fields__)


def test_an_unknown_field_is_refused(parts):
    with pytest.raises(
        TypeError, match="there is no field of LaunchConfig 'max_uptme'; did you mean 'max_uptime'"
    ):
        launch(**parts.arguments(max_uptme=3))


def test_the_configuration_is_frozen():
    with pytest.raises(AttributeError):
        LaunchConfig().max_uptime = 3.0


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("interaction", FakeAgent(), "interaction must be an Interaction"),
        ("models", {"m": FakeAgent()}, r"models\['m'\] must be a TrainingModel"),
        ("buffers", {"b": []}, r"buffers\['b'\] must be a DataBuffer"),
        ("trainers", [1], "trainers must map names to Trainer objects"),
    ],
)
def test_a_part_of_a_wrong_type_is_refused(parts, part, value, message):
    with pytest.raises(TypeError, match=message):
        System(**{**parts.arguments(), part: value})


@pytest.mark.parametrize("part", ["models", "buffers", "trainers"])
@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b"])
def test_a_name_that_cannot_be_a_file_is_refused(parts, part, name):
    arguments = parts.arguments()
    kinds = {"models": FakeTrainingModel(), "buffers": FakeBuffer(), "trainers": arguments["trainers"]["trainer"]}
    with pytest.raises(ValueError, match="becomes a file name"):
        System(**{**arguments, part: {**arguments[part], name: kinds[part]}})


def test_a_condition_that_can_never_hold_is_refused(parts):
    class Never(Trainer):
        def train(self):
            raise AssertionError

    with pytest.raises(ValueError, match="Never would never train: min_new_data_count=101 is more than"):
        System(**{**parts.arguments(), "trainers": {"t": Never("data", min_new_data_count=101)}})


# Acting and learning


def test_data_flows_to_the_trainer_and_new_weights_flow_back(tmp_path):
    """The whole loop on fakes: what is learned from the data changes what the agent is answered."""
    answered = threading.Event()
    weights = {"answer": 0}
    model = FakeTrainingModel(lambda: weights["answer"])

    class Actor(FakeAgent):
        def on_inference_models_attached(self):
            self.model = self.get_inference_model("model")

        def on_data_collectors_attached(self):
            self.collector = self.get_data_collector("data")

        def step(self, observation):
            self.collector.collect(observation)
            if self.model() == 5:
                answered.set()

    class Learner(Trainer):
        def train(self):
            weights["answer"] = len(self.get_data_user("data").get_data())
            self.get_training_model("model")

    with System(
        FixedIntervalInteraction.with_sleep_adjustor(Actor(), FakeEnvironment(), 0.001),
        {"model": model},
        {"data": SequentialBuffer(5)},
        {"trainer": Learner("data", min_new_data_count=1)},
        {"states_dir": tmp_path},
    ):
        assert answered.wait(30.0)
    assert model.inference_model.synced > 0


def test_trainers_take_turns_in_their_order(parts, tmp_path):
    turns = []
    enough = threading.Event()

    class Taking(Trainer):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def train(self):
            turns.append(self.name)
            if len(turns) >= 9:
                enough.set()
                self.pause_point()

    trainers = {name: Taking(name) for name in "abc"}
    with System(**{**parts.arguments(), "trainers": trainers}) as system:
        assert enough.wait(30.0)
    assert "".join(turns[:9]) == "abcabcabc"
    assert sum(system.status().sessions.values()) >= 8


def test_an_idle_trainer_is_woken_by_the_item_that_makes_it_trainable(tmp_path):
    """Nobody polls: the training thread sleeps until the third item comes."""
    trained = threading.Event()

    class OnThird(Trainer):
        def train(self):
            trained.set()

    class Holding(FakeAgent):
        def on_data_collectors_attached(self):
            self.collector = self.get_data_collector("data")

    agent = Holding()
    system = System(
        FixedIntervalInteraction.with_sleep_adjustor(agent, FakeEnvironment(), 3600.0),
        {},
        {"data": FakeBuffer()},
        {"t": OnThird("data", min_new_data_count=3)},
        {"states_dir": tmp_path},
    )
    with system:
        for _ in range(2):
            agent.collector.collect(0)
        assert not trained.is_set()
        agent.collector.collect(0)
        assert trained.wait(30.0)


def test_a_trainer_with_a_condition_of_its_own_is_asked_again_without_data(tmp_path):
    trained = threading.Event()

    class OnDemand(Trainer):
        wanted = False

        def is_trainable(self):
            return self.wanted

        def train(self):
            trained.set()
            self.wanted = False

    trainer = OnDemand()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 3600.0)
    with System(interaction, {}, {}, {"t": trainer}, {"states_dir": tmp_path}):
        trainer.wanted = True
        assert trained.wait(30.0)


def test_an_idle_system_uses_next_to_no_processor_time(tmp_path):
    """The goal is 1 % of a core, which the benchmark measures; busy loops elsewhere took 17 to 42 %."""

    class Waiting(Trainer):
        def train(self):
            raise AssertionError("there is nothing to train on")

    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 0.1)
    with System(
        interaction, {}, {"data": FakeBuffer()}, {"t": Waiting("data", 1)}, {"states_dir": tmp_path}
    ) as system:
        before = time.process_time()
        assert not system.wait(1.0)
        used = time.process_time() - before
    assert used < 0.1


def test_each_thread_has_its_own_torch_budget_and_the_process_keeps_its_own(parts, probe):
    budgets = {}
    probe.on("agent.setup", lambda: budgets.update(inference=torch.get_num_threads()))
    probe.on("trainer.setup", lambda: budgets.update(training=torch.get_num_threads()))
    before = torch.get_num_threads()
    with parts.system(inference_torch_threads=1, training_torch_threads=3):
        probe.wait_for("trainer.sync_models")
    assert budgets == {"inference": 1, "training": 3}
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == before
    assert later == [before], "threads made afterwards begin with what it was"


def test_one_slow_step_can_be_logged(parts, probe, caplog):
    """The spread of a single step ended the inference thread elsewhere."""
    caplog.set_level("INFO", logger="pamiq_sched")
    with parts.system(interval=None, log_tick_time_statistics_interval=1e-9):
        probe.wait_for("trainer.sync_models")
    assert any(re.match(r"1 steps, one every \d+\.\d+ s; they took", r.message) for r in caplog.records)


class Stalling(FakeAgent):
    """Takes 3.5 agent seconds for its first decision, and waits with its second until it is let go."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.has_stalled = threading.Event()
        self.gate = threading.Event()

    def step(self, observation):
        super().step(observation)
        if len(self.observations) == 1:
            self.clock.advance(3.5)
        else:
            self.has_stalled.set()
            assert self.gate.wait(30.0)


@contextmanager
def stalled_system(tmp_path, **config):
    """A system that stands in its second step at 3.5 s, with deadlines at every second."""
    clock = ManualClock(autojump=True)
    agent = Stalling(clock)
    interaction = FixedIntervalInteraction.with_sleep_adjustor(agent, FakeEnvironment(), 1.0, clock=clock)
    with System(interaction, {}, {}, {}, {"states_dir": tmp_path, **config}, clock=clock) as system:
        try:
            assert agent.has_stalled.wait(30.0)
            yield system
        finally:
            agent.gate.set()


def test_the_log_line_tells_how_long_steps_take_and_what_they_miss(tmp_path, caplog):
    caplog.set_level("INFO", logger="pamiq_sched")
    with stalled_system(tmp_path, log_tick_time_statistics_interval=3.0):
        assert [r.message for r in caplog.records if r.message.startswith("1 steps")] == [
            "1 steps, one every 3.500000 s; they took 3.500000 s (p50), 3.500000 s (p99), "
            "3.500000 s (longest so far); 3 deadlines missed so far"
        ]


def test_steps_of_ones_own_that_are_not_measured_can_be_logged(tmp_path, caplog):
    caplog.set_level("INFO", logger="pamiq_sched")
    stepped = threading.Event()

    class Own(Interaction):
        count = 0

        def step(self):
            self.count += 1
            if self.count > 1:
                stepped.set()

    config = {"states_dir": tmp_path, "log_tick_time_statistics_interval": 1e-9}
    with System(Own(FakeAgent(), FakeEnvironment()), {}, {}, {}, config):
        assert stepped.wait(30.0)
    assert any("they took 0.000000 s (p50)" in r.message for r in caplog.records)


# Saving


def test_a_save_holds_everything_and_a_new_system_goes_on_from_it(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.sync_models")
        saved = system.save_state()
        assert system.status().last_saved == saved
        assert system.status().state in (SystemStatus.ACTIVE, SystemStatus.RESUMING)
    names = {p.name for p in saved.iterdir()}
    assert {"manifest.json", "time.json", "interaction", "models", "data", "trainers"} <= names
    probe.calls.clear()
    with parts.system(saved_state_path=saved):
        assert probe.calls["agent.load_state"] == probe.calls["trainer.load_state"] == 1


def test_saving_while_paused_leaves_it_paused(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.step")
        system.pause()
        system.save_state()
        assert system.status().state is SystemStatus.PAUSED
        assert system.status().pauses == 1
        system.resume()


def test_agent_time_goes_on_where_the_save_was_made(parts, probe):
    with parts.system(time_scale=1000.0) as system:
        probe.wait_for("trainer.step")
        system.pause()
        at = system_clock().time()
        saved = system.save_state()
        system.resume()
    system = parts.system(saved_state_path=saved)
    times = []
    probe.on("agent.load_state", lambda: times.append(system_clock().time()))
    with system:
        pass
    assert times == [at]


def test_a_failing_save_is_the_askers_and_the_system_goes_on(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.step")
        earlier = system.save_state()
        probe.raising("trainer.save_state", OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space left"):
            system.save_state()
        assert system.status().state in (SystemStatus.ACTIVE, SystemStatus.RESUMING)
        assert not system_clock().is_paused()
        assert [p.name for p in parts.states_dir.iterdir()] == [earlier.name]
        probe.on("trainer.save_state", lambda: None)
        assert system.save_state().exists()


def test_a_failing_periodic_save_is_logged_and_tried_again(parts, probe, caplog):
    failures = []

    def fail_once():
        if not failures:
            failures.append(1)
            raise OSError(28, "No space left on device")

    probe.on("trainer.save_state", fail_once)
    kept = threading.Event()

    class Keeper(LatestStatesKeeper):
        def append(self, path):
            super().append(path)
            kept.set()

    config = {
        "save_state_condition": PeriodicSaveCondition(0.02),
        "states_keeper": Keeper(parts.states_dir, 1),
    }
    with parts.system(**config):
        assert kept.wait(30.0)
    assert failures == [1]
    assert any("a periodic save failed" in r.message for r in caplog.records)


def test_the_keeper_removes_old_states(parts, probe):
    keeper = LatestStatesKeeper(parts.states_dir, 2)
    with parts.system(states_keeper=keeper) as system:
        probe.wait_for("trainer.step")
        saved = [system.save_state() for _ in range(4)]
    final = system.status().last_saved
    assert sorted(p.name for p in parts.states_dir.iterdir()) == sorted([saved[-1].name, final.name])


def test_threads_run_again_while_the_disk_works(parts, probe, monkeypatch):
    from pamiq_sched.state import store

    moved = threading.Event()
    published = []
    original = store.StateStore.publish

    def publish(self, staged):
        probe.on("agent.step", moved.set)
        published.append(moved.wait(30.0))
        return original(self, staged)

    with parts.system() as system:
        probe.wait_for("trainer.step")
        monkeypatch.setattr(store.StateStore, "publish", publish)
        system.save_state()
        monkeypatch.undo()
    assert published == [True]


# Status


def test_the_status_tells_what_there_is_to_know(parts, probe):
    stepped = threading.Event()
    probe.on("environment.observe", lambda: stepped.set() if probe.calls["environment.observe"] > 1 else None)
    system = parts.system()
    with system:
        probe.wait_for("trainer.sync_models")
        assert stepped.wait(30.0)
        system.pause()
        status = system.status()
        assert status.state is SystemStatus.PAUSED
        assert status.state.status_name == "paused"
        assert status.steps > 0
        assert status.uptime > 0
        assert set(status.sessions) == {"trainer"}
        assert status.dropped == {"data": 0}
        assert status.deadline_misses >= 0
        assert status.last_saved is None
    ended = system.status()
    assert ended.state is SystemStatus.OFFLINE
    assert ended.last_saved is not None
    assert ended.sessions["trainer"] >= 0


def test_how_long_steps_take_and_how_late_they_are_is_in_the_status(tmp_path):
    """The first step takes 3.5 s; the second began 2.5 s after the deadline that it was due at."""
    with stalled_system(tmp_path) as system:
        status = system.status()
    assert status.steps == 1
    assert status.step_times == Durations(count=1, p50=3.5, p99=3.5, max=3.5, longest=3.5)
    assert status.lateness == Durations(count=1, p50=2.5, p99=2.5, max=2.5, longest=2.5)
    assert status.deadline_misses == 3


def test_steps_without_deadlines_are_measured_and_never_late(parts, probe):
    system = parts.system(interval=None)
    assert system.status().step_times == Durations()
    with system:
        probe.wait_for("trainer.sync_models")
    status = system.status()
    assert status.step_times.count == status.steps > 0
    assert (status.lateness, status.deadline_misses) == (Durations(), 0)


def test_it_is_resuming_until_every_hook_has_run(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.step")
        gate = probe.gate("agent.on_resumed")
        system.pause()
        system.resume()
        probe.wait_for("agent.on_resumed")
        assert system.status().state is SystemStatus.RESUMING
        gate.set()


def test_it_is_saving_while_components_are_written(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.step")
        gate = probe.gate("trainer.save_state")
        saving = threading.Thread(target=system.save_state)
        saving.start()
        probe.wait_for("trainer.save_state")
        assert system.status().state is SystemStatus.SAVING
        gate.set()
        saving.join(30.0)


def test_dropped_items_are_in_the_status(tmp_path):
    class Flooding(FakeAgent):
        def on_data_collectors_attached(self):
            self.collector = self.get_data_collector("data")

        def setup(self):
            super().setup()
            for _ in range(15):
                self.collector.collect(0)
            flooded.set()

    flooded = threading.Event()
    with System(
        Interaction(Flooding(), FakeEnvironment()), {}, {"data": FakeBuffer(10)}, {}, {"states_dir": tmp_path}
    ) as system:
        assert flooded.wait(30.0)
        assert system.status().dropped == {"data": 5}


def test_nothing_of_the_package_uses_daemon_pools_or_sleeps():
    """Threads wait on events: no module of the runtime sleeps."""
    from pamiq_sched import runtime

    for file in Path(runtime.__file__).parent.glob("*.py"):
        assert "time.sleep(" not in file.read_text(encoding="utf-8"), file


@pytest.mark.parametrize("is_same", [True, False])
def test_an_interaction_of_another_clock_than_its_systems_is_told(tmp_path, caplog, is_same):
    clock = ManualClock()
    interaction = Interaction(FakeAgent(), FakeEnvironment(), clock=clock if is_same else ManualClock())
    System(interaction, {}, {}, {}, {"states_dir": tmp_path}, clock=clock)
    assert ("another clock than its system" in caplog.text) is not is_same

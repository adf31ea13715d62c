"""Settings that are changed while a system runs: between two optimizer steps, by the training thread."""

import threading
from collections import deque

import pytest
import torch

from pamiq_sched import LinearCurve, Schedule, SequentialBuffer, System, SystemStoppedError, TorchTrainer
from tests.runtime.test_numbers import Keeping


class Learning(TorchTrainer):
    """One optimizer; each step reports to a probe."""

    def __init__(self, probe):
        super().__init__("data", min_new_data_count=1)
        self.probe = probe

    def create_optimizers(self):
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        return {"sgd": torch.optim.SGD([self.parameter], lr=0.5, momentum=0.25)}

    def create_schedules(self):
        return {"lr": Schedule(self.optimizers["sgd"], LinearCurve(1.0, 0.0, 1_000_000))}

    def train(self):
        self.probe("train")
        self.parameter.grad = torch.ones(1)
        self.optimizers["sgd"].step()
        self.probe("after")


def learning(parts, **config):
    arguments = parts.arguments(**config)
    arguments["trainers"] = {"learning": Learning(parts.probe)}
    arguments["buffers"] = {"data": SequentialBuffer(10)}
    return System(**arguments), arguments["trainers"]["learning"]


def test_a_hyperparameter_is_changed_in_the_training_thread_and_the_change_is_told(parts, probe):
    sink = Keeping()
    system, trainer = learning(parts, metrics_sinks=[sink], metrics_interval=0.01)
    threads = []
    original = trainer.set_hyperparameter
    trainer.set_hyperparameter = lambda *args, **kwargs: (
        threads.append(threading.current_thread().name),
        original(*args, **kwargs),
    )[1]
    with system:
        probe.wait_for("after")
        system.set_hyperparameter("learning", "momentum", 0.75)
        assert trainer.optimizers["sgd"].param_groups[0]["momentum"] == 0.75
        system.move_horizon("learning", "lr", 2_000_000)
        assert trainer.schedules["lr"].curve.end == 2_000_000
    assert threads == ["pamiq-training"]
    changes = [(event.text, dict(event.details)) for event in sink.events if event.kind == "changed"]
    assert changes == [
        (
            "learning: momentum of sgd, group 0, set from 0.25 to 0.75",
            {"trainer": "learning", "name": "momentum", "from": 0.25, "to": 0.75},
        ),
        (
            "learning: the horizon of lr set from 1e+06 to 2e+06",
            {"trainer": "learning", "name": "lr", "from": 1e6, "to": 2e6},
        ),
    ]


def test_a_paused_system_is_changed_at_once(parts, probe):
    system, trainer = learning(parts)
    with system:
        probe.wait_for("after")
        system.pause()
        system.set_hyperparameter("learning", "momentum", 0.75)
        assert trainer.optimizers["sgd"].param_groups[0]["momentum"] == 0.75
        system.resume()


def test_a_change_that_waits_for_a_step_is_made_by_the_pause_that_comes_first(parts, probe):
    """The trainer is inside train() when the change is asked for; the pause ends at its optimizer step."""
    system, trainer = learning(parts)
    with system:
        probe.wait_for("after")
        gate, reached = threading.Event(), threading.Event()
        probe.on("train", lambda: (reached.set(), gate.wait(30.0)))
        assert reached.wait(30.0)
        asked = threading.Thread(target=system.set_hyperparameter, args=("learning", "momentum", 0.75))
        asked.start()
        paused = threading.Thread(target=system.pause)
        paused.start()
        gate.set()
        paused.join(30.0)
        asked.join(30.0)
        assert not asked.is_alive()
        assert trainer.optimizers["sgd"].param_groups[0]["momentum"] == 0.75
        system.resume()


def test_an_idle_trainer_is_changed_without_waiting_for_data(parts, probe):
    arguments = parts.arguments()
    trainer = Learning(probe)
    arguments["trainers"] = {"learning": trainer}
    arguments["buffers"] = {"data": SequentialBuffer(10)}
    arguments["interaction"].agent.step = lambda observation: 0  # collects nothing
    trainer.setup()
    with System(**arguments) as system:
        system.set_hyperparameter("learning", "momentum", 0.75)
        assert trainer.optimizers["sgd"].param_groups[0]["momentum"] == 0.75
        assert probe.calls["train"] == 0


@pytest.mark.parametrize(
    ("error", "pattern", "arguments"),
    [
        (KeyError, "no trainer 'learner'; did you mean 'learning'", ("learner", "momentum", 0.5)),
        (KeyError, "no hyperparameter 'momentun'; did you mean 'momentum'", ("learning", "momentun", 0.5)),
        (ValueError, "'lr' is moved by the schedule 'lr'", ("learning", "lr", 0.5)),
        (TypeError, "got 'high'", ("learning", "momentum", "high")),
    ],
)
def test_what_is_refused_is_for_whoever_asked_and_the_run_goes_on(parts, probe, error, pattern, arguments):
    system, _ = learning(parts)
    with system:
        probe.wait_for("after")
        with pytest.raises(error, match=pattern):
            system.set_hyperparameter(*arguments)
        assert system.status().state.status_name == "active"


def test_a_trainer_without_optimizers_says_so(parts):
    with parts.system() as system:
        with pytest.raises(KeyError, match="ProbedTrainer has no hyperparameter 'lr'"):
            system.set_hyperparameter("trainer", "lr", 0.5)
        with pytest.raises(KeyError, match="ProbedTrainer has no schedule 'lr'"):
            system.move_horizon("trainer", "lr", 0.5)


def test_a_change_that_finds_no_step_any_more_is_refused_at_the_end(parts, probe):
    """train() raises before its step: whoever waits for the change hears of the end."""
    system, _ = learning(parts)
    outcome = []

    def ask():
        try:
            system.set_hyperparameter("learning", "momentum", 0.75)
        except SystemStoppedError as error:
            outcome.append(error)

    gate, handed_over = threading.Event(), threading.Event()

    class Announcing(deque):
        def append(self, errand):
            super().append(errand)
            handed_over.set()

    def wait_and_fail():
        assert gate.wait(30.0)
        raise RuntimeError("the end")

    probe.on("train", wait_and_fail)
    with pytest.raises(RuntimeError, match="the end"), system:
        probe.wait_for("train")
        system._training.errands.waiting = Announcing()
        asked = threading.Thread(target=ask)
        asked.start()
        assert handed_over.wait(30.0)
        gate.set()
        system.wait(30.0)
    asked.join(30.0)
    assert "cannot change a setting: the system has ended" in str(outcome[0])


def test_the_systems_own_threads_must_not_wait_for_a_change(parts, probe):
    system, _ = learning(parts)
    errors = []

    def change():
        try:
            system.set_hyperparameter("learning", "momentum", 0.5)
        except RuntimeError as error:
            errors.append(error)

    probe.on("agent.step", change)
    with system:
        probe.wait_for("after")
    assert "a thread of the system cannot change a setting" in str(errors[0])

"""A pause is done when everyone stands still, and not before."""

import threading
import time

import pytest
import torch
from torch import nn

from pamiq_sched import (
    Clock,
    FixedIntervalInteraction,
    ShutdownRequested,
    System,
    SystemStatus,
    TorchTrainer,
    TorchTrainingModel,
    system_clock,
)
from pamiq_sched.runtime.controller import Controller, Errands, Kind, ThreadPausePoint
from pamiq_sched.testing import FakeAgent, FakeEnvironment


class Stopper:
    """A pause point on the test's own thread, with what it did."""

    def __init__(self, controller: Controller) -> None:
        self.log: list[object] = []
        self.point = ThreadPausePoint(
            controller,
            lambda: self.log.append("paused"),
            lambda: self.log.append("resumed"),
            self.acknowledge,
            Errands(),
        )
        self.point.own()
        self.on_acknowledged = lambda: None

    def acknowledge(self, number: int) -> None:
        self.log.append(number)
        self.on_acknowledged()


def test_a_pause_right_after_a_resume_is_not_acknowledged_by_a_stale_number():
    """The resume and the next pause both come before the thread wakes up: it ends the first pause first."""
    controller = Controller()
    stopper = Stopper(controller)
    first = controller.give(Kind.PAUSE)
    later = []

    def resume_and_pause_again():
        if not later:
            controller.give(Kind.RUN)
            later.append(controller.give(Kind.PAUSE))
        else:
            controller.give(Kind.RUN)

    stopper.on_acknowledged = resume_and_pause_again
    stopper.point()
    assert stopper.log == ["paused", first.number, "resumed", "paused", later[0].number, "resumed"]
    assert later[0].number > first.number


def test_a_pause_that_is_resumed_before_the_thread_looks_calls_no_hook():
    controller = Controller()
    stopper = Stopper(controller)
    controller.give(Kind.PAUSE)
    controller.give(Kind.RUN)
    stopper.point()
    assert stopper.log == []


def test_a_pause_that_comes_between_two_readings_is_acknowledged():
    """The order turns into a pause while the thread looks at it: whichever it saw, it acts on that one."""

    class Turning(Controller):
        """Reads as one order after another."""

        orders = None

        def __getattribute__(self, name):
            if name == "order" and self.orders:
                return self.orders.pop(0)
            return super().__getattribute__(name)

    for readings_before in range(3):
        controller = Turning()
        stopper = Stopper(controller)
        running = controller.order
        paused = controller.give(Kind.PAUSE)
        controller.orders = [running] * readings_before
        stopper.on_acknowledged = lambda controller=controller: controller.give(Kind.RUN)
        for _ in range(readings_before + 1):
            stopper.point()
        assert stopper.log == ["paused", paused.number, "resumed"]


def test_a_shutdown_while_paused_ends_the_pause_with_its_hook():
    controller = Controller()
    stopper = Stopper(controller)
    order = controller.give(Kind.PAUSE)
    stopper.on_acknowledged = lambda: controller.give(Kind.SHUT_DOWN)
    with pytest.raises(ShutdownRequested):
        stopper.point()
    assert stopper.log == ["paused", order.number, "resumed"]


def test_a_pause_point_reached_from_a_hook_does_not_stop_again():
    controller = Controller()
    stopper = Stopper(controller)
    stopper.point._on_paused = stopper.point
    stopper.on_acknowledged = lambda: controller.give(Kind.RUN)
    order = controller.give(Kind.PAUSE)
    stopper.point()
    assert stopper.log == [order.number, "resumed"]


def test_a_foreign_thread_stands_still_but_acknowledges_nothing():
    controller = Controller()
    stopper = Stopper(controller)
    controller.give(Kind.PAUSE)
    passed = threading.Event()
    foreign = threading.Thread(target=lambda: (stopper.point(), passed.set()))
    foreign.start()
    assert not passed.is_set()
    controller.give(Kind.RUN)
    foreign.join(5.0)
    assert passed.is_set()
    assert stopper.log == []


def test_a_pause_is_not_done_before_the_hooks_are(parts, probe):
    with parts.system() as system:
        probe.wait_for("trainer.step")
        gate = probe.gate("agent.on_paused")
        pausing = threading.Thread(target=system.pause)
        pausing.start()
        probe.wait_for("agent.on_paused")
        assert system.status().state is SystemStatus.PAUSING
        assert pausing.is_alive()
        assert not system_clock().is_paused()
        gate.set()
        pausing.join(30.0)
        assert system.status().state is SystemStatus.PAUSED
        assert system_clock().is_paused()
        assert probe.completed["agent.on_paused"] == 1


def test_while_paused_nothing_moves_and_afterwards_everything_does(parts, probe):
    with parts.system(interval=None) as system:
        probe.wait_for("trainer.sync_models")
        system.pause()
        still = dict(probe.calls)
        uptime = system.status().uptime
        time.sleep(0)  # give the others every chance to move
        assert dict(probe.calls) == still
        assert system.status().uptime == uptime
        moved = threading.Event()
        probe.on("trainer.train", moved.set)
        system.resume()
        assert moved.wait(30.0)


def test_every_cycle_has_one_hook_of_each_kind(parts, probe):
    """Cycles follow each other as fast as they can, with pure-Python load beside: pause storms in small."""
    run_cycles(parts, probe, cycles=50)


@pytest.mark.stress
def test_a_thousand_cycles_have_one_hook_of_each_kind(parts, probe):
    run_cycles(parts, probe, cycles=1000)


def run_cycles(parts, probe, cycles: int) -> None:
    stop = threading.Event()

    def load() -> None:
        n = 0
        while not stop.is_set():
            n += 1

    loads = [threading.Thread(target=load) for _ in range(2)]
    for thread in loads:
        thread.start()
    ticks = ("agent.step", "environment.observe", "environment.affect", "trainer.step", "trainer.callback")
    moved = []
    try:
        with parts.system(interval=0.001) as system:
            probe.wait_for("trainer.step")
            for _ in range(cycles):
                system.pause()
                still = [probe.calls[tick] for tick in ticks]
                time.sleep(0)  # give the others every chance to move
                if [probe.calls[tick] for tick in ticks] != still:
                    moved.append(still)
                system.resume()
            status = system.status()
    finally:
        stop.set()
        for thread in loads:
            thread.join()
    assert moved == []
    assert status.pauses == cycles
    for part in ("agent", "environment", "trainer"):
        assert probe.calls[f"{part}.on_paused"] == probe.calls[f"{part}.on_resumed"] == cycles


class Stepping(TorchTrainer):
    """Its train() knows nothing of pauses: 100 optimizer steps, each let through by the test."""

    def __init__(self):
        super().__init__()
        self.permits = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        self.steps = 0

    def create_optimizers(self):
        return {"sgd": torch.optim.SGD(self.get_torch_training_model("m").model.parameters(), lr=0.1)}

    def train(self):
        for _ in range(100):
            self.waiting.release()
            assert self.permits.acquire(timeout=30.0)
            self.optimizers["sgd"].step()
            self.steps += 1


class OrderedClock(Clock):
    """A clock that tells when the threads have been given an order: sleepers are woken right behind it."""

    def __init__(self):
        super().__init__()
        self.ordered = threading.Event()

    def wake(self):
        super().wake()
        self.ordered.set()


def test_an_unmodified_train_pauses_within_one_optimizer_step(tmp_path):
    trainer = Stepping()
    clock = OrderedClock()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 0.01, clock=clock)
    models = {"m": TorchTrainingModel(nn.Linear(1, 1))}
    with System(interaction, models, {}, {"t": trainer}, {"states_dir": tmp_path}, clock=clock) as system:
        for expected in range(5):
            assert trainer.waiting.acquire(timeout=30.0)
            assert trainer.steps == expected
            clock.ordered.clear()
            pausing = threading.Thread(target=system.pause)
            pausing.start()
            assert clock.ordered.wait(30.0)
            trainer.permits.release()
            pausing.join(30.0)
            assert not pausing.is_alive()
            assert not trainer.waiting.acquire(blocking=False), "it went on after the step"
            system.resume()
        clock.ordered.clear()
        system.shutdown(wait=False)
        assert clock.ordered.wait(30.0)
        trainer.permits.release(100)
    assert trainer.steps < 100, "a shutdown leaves train() at its next optimizer step"


def test_a_thread_that_does_not_stop_is_named_with_its_stack_and_the_system_runs_on(parts, probe):
    gate = probe.gate("trainer.train")
    config = {"timeout_for_all_threads_pause": 0.05, "max_attempts_to_pause_all_threads": 2}
    with parts.system(**config) as system:
        probe.wait_for("trainer.train")
        with pytest.raises(TimeoutError, match="training did not stop in 2 attempts") as caught:
            system.pause()
        assert "probe(" in str(caught.value), "the stack shows where the thread is"
        assert "the inference thread is at" not in str(caught.value)
        assert system.status().state in (SystemStatus.ACTIVE, SystemStatus.RESUMING)
        assert not system_clock().is_paused()
        gate.set()
        system.pause()
        assert probe.calls["agent.on_paused"] == 3, "two attempts, and the one that succeeded"
        system.resume()
    assert probe.calls["agent.on_resumed"] == 3


def test_pausing_and_resuming_twice_is_as_good_as_once(parts, probe):
    with parts.system() as system:
        probe.wait_for("agent.step")
        system.resume()
        system.pause()
        system.pause()
        system.resume()
        system.resume()
        assert system.status().pauses == 1
    assert probe.calls["agent.on_paused"] == probe.calls["agent.on_resumed"] == 1


def test_a_pacing_sleep_ends_at_once_and_is_taken_up_again(parts, probe):
    """Elsewhere a pause in the middle of a long interval came when the interval was over."""
    with parts.system(interval=3600.0) as system:
        probe.wait_for("environment.affect")
        system.pause()
        system.resume()
        system.pause()
        assert probe.calls["agent.step"] == 1, "what is left of the interval is still slept"
        system.resume()


def test_a_thread_of_the_system_that_would_wait_for_itself_is_refused(parts, probe):
    refused = []

    def ask():
        for ask_for in (system.pause, system.save_state, system.wait):
            with pytest.raises(RuntimeError, match="it would wait for itself"):
                ask_for()
            refused.append(ask_for.__name__)
        system.shutdown()  # does not wait here

    probe.on("agent.step", ask)
    system = parts.system()
    system.start()
    assert system.wait(30.0)
    assert set(refused) == {"pause", "save_state", "wait"}


def test_a_thread_of_the_system_may_pause_it_without_waiting(parts, probe):
    asked = threading.Event()

    def ask():
        if not asked.is_set():
            system.pause(wait=False)
            asked.set()

    probe.on("agent.step", ask)
    system = parts.system()
    with system:
        assert asked.wait(30.0)
        system.pause()  # behind the other one
        assert system.status().pauses == 1
        system.resume()


def test_a_failure_that_nobody_waits_for_is_logged(parts, probe, caplog):
    gate = probe.gate("trainer.train")
    with parts.system(timeout_for_all_threads_pause=0.01, max_attempts_to_pause_all_threads=1) as system:
        probe.wait_for("trainer.train")
        system.pause(wait=False)
        system.resume()  # carried out behind it
        gate.set()
    assert any("cannot pause: a pause must be acknowledged" in r.message for r in caplog.records)


def test_a_thread_that_dies_while_a_pause_is_awaited_ends_the_wait(parts, probe):
    probe.raising("trainer.on_paused", ValueError("dead"))
    with pytest.raises(ValueError, match="dead"), parts.system() as system:
        probe.wait_for("trainer.train")
        system.pause()

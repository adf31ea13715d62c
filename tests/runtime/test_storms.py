"""Storms: many threads ask at once, signals come at any moment. Run by ``make stress``."""

import os
import random
import signal
import threading
import time

import pytest

from pamiq_sched import DataUser, System, SystemStatus, launch, system_clock
from pamiq_sched.testing import FakeBuffer

pytestmark = pytest.mark.stress


def test_controllers_that_contradict_each_other_leave_a_system_that_works(parts, probe):
    """Five threads pause, resume, save and look, each for itself; then one goes on from the last save."""
    rounds = 60
    errors = []

    def control(system: System, number: int) -> None:
        chosen = random.Random(number)
        for _ in range(rounds):
            try:
                chosen.choice([system.pause, system.resume, system.save_state, system.status])()
            except BaseException as error:
                errors.append(error)
                raise

    with parts.system(interval=0.001) as system:
        probe.wait_for("trainer.step")
        controllers = [threading.Thread(target=control, args=(system, n)) for n in range(5)]
        for controller in controllers:
            controller.start()
        for controller in controllers:
            controller.join(300.0)
        assert errors == []
        system.resume()
        steps = probe.calls["agent.step"]
        moved = threading.Event()
        probe.on("agent.step", lambda: moved.set() if probe.calls["agent.step"] > steps + 1 else None)
        assert moved.wait(30.0)
        saved = system.save_state()
    for part in ("agent", "environment", "trainer"):
        assert probe.calls[f"{part}.on_paused"] == probe.calls[f"{part}.on_resumed"]
    assert not [p for p in parts.states_dir.iterdir() if p.name.startswith(".")]
    with parts.system(saved_state_path=saved) as system:
        system.pause()
        assert system.status().state is SystemStatus.PAUSED


def test_a_signal_ends_a_launch_whenever_it_comes(parts, probe):
    chosen = random.Random(0)
    timers: list[threading.Timer] = []
    sent_at: list[float] = []

    def send() -> None:
        sent_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    def send_soon() -> None:
        timers.append(threading.Timer(chosen.uniform(0.0, 0.02), send))
        timers[-1].start()

    probe.on("agent.setup", send_soon)
    slowest = 0.0
    for _ in range(150):
        launch(**parts.arguments())
        slowest = max(slowest, time.monotonic() - sent_at[-1])
        timers[-1].join(30.0)
    assert slowest < 2.0
    assert len(list(parts.states_dir.iterdir())) == 150


def test_a_shutdown_at_any_moment_leaves_nothing_behind(parts, probe):
    chosen = random.Random(1)
    for _ in range(150):
        system = parts.system(interval=0.001)
        system.start()
        asking = threading.Thread(target=lambda system=system: ask_until_it_ends(system))
        asking.start()
        assert not system.wait(chosen.uniform(0.0, 0.02))
        start = time.monotonic()
        system.shutdown()
        assert time.monotonic() - start < 2.0
        asking.join(30.0)
        assert not asking.is_alive()
        assert not system_clock().is_paused()
    for part in ("agent", "environment", "trainer"):
        assert probe.calls[f"{part}.teardown"] == probe.calls[f"{part}.setup"]
        assert probe.calls[f"{part}.on_paused"] == probe.calls[f"{part}.on_resumed"]


def ask_until_it_ends(system: System) -> None:
    while True:
        try:
            system.pause()
            system.resume()
        except RuntimeError:
            return


def test_a_flood_of_items_from_many_threads_is_counted_exactly():
    threads, items = 8, 40_000
    user = DataUser(FakeBuffer(max_queue_size=1000))
    ready = threading.Barrier(threads + 1)

    def collect() -> None:
        ready.wait()
        for item in range(items):
            user.collector.collect(item)

    collectors = [threading.Thread(target=collect) for _ in range(threads)]
    for thread in collectors:
        thread.start()
    ready.wait()
    while any(thread.is_alive() for thread in collectors):
        user.update()
    for thread in collectors:
        thread.join()
    user.update()
    assert user.added + user.collector.dropped == threads * items
    assert len(user) == user.added

"""Soaks: what a process has after many launches, and after a long run, is what it had. Run by ``make stress``."""

import contextlib
import ctypes
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pamiq_sched import (
    Agent,
    Interaction,
    LatestStatesKeeper,
    PeriodicSaveCondition,
    System,
    TensorRingBuffer,
    TorchTrainer,
    TorchTrainingModel,
    launch,
    system_clock,
)
from pamiq_sched.testing import FakeEnvironment

pytestmark = pytest.mark.stress


# 50 launches in one process


class HookError(Exception):
    pass


def stopped_by_a_call(parts: Any) -> None:
    parts.probe.on("agent.step", lambda: None)
    with parts.system(interval=0.001) as system:
        parts.probe.wait_for("trainer.step")
        system.save_state()


def stopped_by_a_signal(parts: Any) -> None:
    # Once a launch: a second one would end the process.
    parts.probe.on("agent.setup", lambda: os.kill(os.getpid(), signal.SIGTERM))
    launch(**parts.arguments(interval=0.001))
    parts.probe.on("agent.setup", lambda: None)


def stopped_while_paused(parts: Any) -> None:
    parts.probe.on("agent.step", lambda: None)
    with parts.system(interval=0.001) as system:
        system.pause()
        system.save_state()


def crashed(parts: Any) -> None:
    parts.probe.raising("agent.step", HookError())
    with pytest.raises(HookError):
        launch(**parts.arguments(interval=0.001))


def never_started(parts: Any) -> None:
    with pytest.raises(FileNotFoundError):
        parts.system(saved_state_path="nowhere").start()


def saving_all_the_time(parts: Any) -> None:
    saves = 0
    enough = threading.Event()

    def count() -> None:
        nonlocal saves
        saves += 1
        if saves == 3:
            enough.set()

    parts.probe.on("agent.step", lambda: None)
    parts.probe.on("agent.save_state", count)
    arguments = parts.arguments(
        interval=0.001,
        save_state_condition=PeriodicSaveCondition(0.001),
        states_keeper=LatestStatesKeeper(parts.states_dir, max_keep=2),
        freeze_garbage=True,
    )
    with System(**{**arguments, "models": {"model": TorchTrainingModel(nn.Linear(1, 1))}}):
        assert enough.wait(30.0)
    parts.probe.on("agent.save_state", lambda: None)


LAUNCHES = [
    stopped_by_a_call,
    stopped_by_a_signal,
    stopped_while_paused,
    crashed,
    never_started,
    saving_all_the_time,
]


def belongings() -> dict[str, Any]:
    """What the process has that a system could leave behind."""
    gc.collect()
    wakeup_fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup_fd)
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": descriptors(),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "wakeup descriptor": wakeup_fd,
        "frozen objects": gc.get_freeze_count(),
        "switch interval": sys.getswitchinterval(),
        "torch threads": torch.get_num_threads(),
        "listeners of the clock": len(system_clock()._listeners),
        "watchers of the clock": len(system_clock()._watchers),
        # A handler at exit would keep its system; atexit's own count has those in it that were taken back.
        "systems": sum(type(thing) is System for thing in gc.get_objects()),
    }


def descriptors() -> Counter[str]:
    """How many there are of each kind: sockets by that name, files by theirs."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            kinds[re.sub(r":\[\d+\]", "", os.readlink(f"/proc/self/fd/{fd}"))] += 1
    return kinds


def count_of_tasks() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.fixture
def no_logs() -> Iterator[None]:
    """Kept log records keep what they are about: the error that ended a run, and so its frames and its system."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.skipif(sys.platform != "linux", reason="counts by /proc")
def test_50_launches_leave_nothing_in_the_process(parts, no_logs):
    """Called, signalled, crashed, paused at the end, refused: none keeps a thread, a descriptor or a handler."""
    for run in LAUNCHES:  # what is made once: caches, pools of torch, lazy imports
        run(parts)
    before, tasks = belongings(), count_of_tasks()
    for number in range(50):
        LAUNCHES[number % len(LAUNCHES)](parts)
    assert belongings() == before
    # A thread that has been joined may be about to leave the kernel's list.
    deadline = time.monotonic() + 30.0
    while count_of_tasks() > tasks and time.monotonic() < deadline:
        os.sched_yield()
    assert count_of_tasks() <= tasks


# 100,000 steps and 1,000 saves in one run, in a process of its own

STEPS, SAVES = 100_000, 1_000


class Collecting(Agent[Any, Any]):
    def on_inference_models_attached(self) -> None:
        self.model = self.get_inference_model("model")

    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("steps")

    def setup(self) -> None:
        super().setup()
        self.observation = torch.zeros(8)

    def step(self, observation: Any) -> Any:
        action = self.model(self.observation)
        self.collector.collect({"observation": self.observation, "done": False})
        return action


class Regression(TorchTrainer):
    def __init__(self) -> None:
        super().__init__("steps", min_buffer_size=64, min_new_data_count=64)
        self.every_steps(10, lambda: None)

    def create_optimizers(self):
        self.model = self.get_torch_training_model("model")
        return {"adam": torch.optim.Adam(self.model.model.parameters())}

    def create_schedules(self):
        return {"lr": torch.optim.lr_scheduler.ExponentialLR(self.optimizers["adam"], 0.999)}

    def train(self) -> None:
        batch = self.get_data_user("steps").sample(32)
        self.optimizers["adam"].zero_grad()
        self.model(batch["observation"]).square().mean().backward()
        self.optimizers["adam"].step()


def resident_bytes() -> int:
    """What is resident of the process when all that is free has been given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Rss: +(\d+) kB", rollup, re.MULTILINE)[1]) * 1024


def soak(directory: str, *, is_traced: bool) -> None:
    """Run, and print the resident bytes after each tenth of the run as JSON."""
    logging.disable()
    system = System(
        Interaction(Collecting(), FakeEnvironmentWithoutMemory()),
        {"model": TorchTrainingModel(nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)))},
        {"steps": TensorRingBuffer(1000, episode_end="done")},
        {"trainer": Regression()},
        {"states_dir": directory, "states_keeper": LatestStatesKeeper(directory, max_keep=3)},
    )
    resident = []
    with system:
        for number in range(1, SAVES + 1):
            system.save_state()
            if number % (SAVES // 10) == 0:
                while system.status().steps < STEPS * number / SAVES:
                    assert not system.wait(0.01)
                system.pause()  # nothing is on its way from one place to another
                resident.append(resident_bytes())
                if is_traced and number == SAVES * 0.2:
                    tracemalloc.start()
                    first = tracemalloc.take_snapshot()
                elif is_traced and number == SAVES * 0.5:  # tracing takes its time
                    grown = tracemalloc.take_snapshot().compare_to(first, "lineno")
                    break
                system.resume()
        steps = system.status().steps
    result: dict[str, Any] = {"resident": resident, "steps": steps}
    if is_traced:
        result["grown"] = [str(line) for line in grown[:10]]
    print(json.dumps(result))  # noqa: T201 - to the test


class FakeEnvironmentWithoutMemory(FakeEnvironment):
    """FakeEnvironment keeps all actions."""

    def affect(self, action: Any) -> None:
        pass


def soaked(*options: str) -> dict[str, Any]:
    shared = "/dev/shm"  # noqa: S108 - many small fsyncs, of which none is about the disk
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as directory:
        environment = {
            **os.environ,
            # Each save has a thread of its own, and glibc gives threads one of several heaps. With one only, what
            # a thread has freed is what the next one takes; and it shows at once when it is not.
            "MALLOC_ARENA_MAX": "1",
        }
        done = subprocess.run(
            [sys.executable, __file__, directory, *options],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=600.0,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")
@pytest.mark.timeout(900)
def test_100_000_steps_and_1_000_saves_take_no_more_memory():
    """Within 1 MB of what was resident after a fifth of them."""
    result = soaked()
    assert result["steps"] >= STEPS
    resident = result["resident"]
    if max(resident) - resident[1] > 2**20:
        grown = "\n".join(soaked("--traced")["grown"])
        pytest.fail(f"resident bytes by tenths of the run: {resident}; what a second run has more of:\n{grown}")


if __name__ == "__main__":
    soak(sys.argv[1], is_traced="--traced" in sys.argv)

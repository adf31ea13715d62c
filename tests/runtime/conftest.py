"""A small system whose every hook can be watched, stopped at, and made to raise."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pamiq_sched import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    SequentialBuffer,
    System,
    Trainer,
)


class Probe:
    """What every hook reports to: counts calls, tells when one is reached, raises and blocks on demand."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.log: list[str] = []
        self._lock = threading.Lock()
        self._actions: dict[str, Callable[[], None]] = {}
        self._reached: dict[str, threading.Event] = {}

    def __call__(self, hook: str) -> None:
        with self._lock:
            self.calls[hook] += 1
            self.log.append(hook)
            reached = self._reached.setdefault(hook, threading.Event())
        reached.set()
        if hook in self._actions:
            self._actions[hook]()
        with self._lock:
            self.completed[hook] += 1

    def on(self, hook: str, action: Callable[[], None]) -> None:
        """Run ``action`` inside the hook."""
        self._actions[hook] = action

    def raising(self, hook: str, error: BaseException) -> None:
        def action() -> None:
            raise error

        self.on(hook, action)

    def gate(self, hook: str) -> threading.Event:
        """Block the hook until the returned event is set."""
        gate = threading.Event()
        self.on(hook, lambda: _pass(gate))
        return gate

    def wait_for(self, hook: str) -> None:
        with self._lock:
            reached = self._reached.setdefault(hook, threading.Event())
        assert reached.wait(30.0), f"{hook} was never called; so far: {self.log[-20:]}"


def _pass(gate: threading.Event) -> None:
    assert gate.wait(60.0)


class ProbedAgent(Agent[Any, Any]):
    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe

    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("data")

    def setup(self) -> None:
        super().setup()
        self.probe("agent.setup")

    def step(self, observation: Any) -> Any:
        self.probe("agent.step")
        self.collector.collect(observation)
        return 0

    def teardown(self) -> None:
        super().teardown()
        self.probe("agent.teardown")

    def on_paused(self) -> None:
        super().on_paused()
        self.probe("agent.on_paused")

    def on_resumed(self) -> None:
        super().on_resumed()
        self.probe("agent.on_resumed")

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        self.probe("agent.save_state")

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        self.probe("agent.load_state")


class ProbedEnvironment(Environment[Any, Any]):
    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe

    def setup(self) -> None:
        self.probe("environment.setup")

    def observe(self) -> Any:
        self.probe("environment.observe")
        return 1.0

    def affect(self, action: Any) -> None:
        self.probe("environment.affect")

    def teardown(self) -> None:
        self.probe("environment.teardown")

    def on_paused(self) -> None:
        self.probe("environment.on_paused")

    def on_resumed(self) -> None:
        self.probe("environment.on_resumed")

    def save_state(self, path: Path) -> None:
        self.probe("environment.save_state")

    def load_state(self, path: Path) -> None:
        self.probe("environment.load_state")


class ProbedTrainer(Trainer):
    """Trains three steps a session, whenever there is new data."""

    def __init__(self, probe: Probe) -> None:
        super().__init__("data", min_new_data_count=1)
        self.probe = probe
        self.every_steps(1, lambda: self.probe("trainer.callback"))

    def is_trainable(self) -> bool:
        self.probe("trainer.is_trainable")
        return super().is_trainable()

    def setup(self) -> None:
        super().setup()
        self.probe("trainer.setup")

    def train(self) -> None:
        self.probe("trainer.train")
        for _ in range(3):
            self.probe("trainer.step")
            self.step_completed()

    def sync_models(self) -> None:
        super().sync_models()
        self.probe("trainer.sync_models")

    def teardown(self) -> None:
        super().teardown()
        self.probe("trainer.teardown")

    def on_paused(self) -> None:
        super().on_paused()
        self.probe("trainer.on_paused")

    def on_resumed(self) -> None:
        super().on_resumed()
        self.probe("trainer.on_resumed")

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        self.probe("trainer.save_state")

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        self.probe("trainer.load_state")


class Parts:
    """Everything that a system is made of, reporting to one probe."""

    def __init__(self, states_dir: Path) -> None:
        self.probe = Probe()
        self.states_dir = states_dir

    def arguments(self, interval: float | None = 0.002, **config: Any) -> dict[str, Any]:
        agent, environment = ProbedAgent(self.probe), ProbedEnvironment(self.probe)
        return {
            "interaction": (
                Interaction(agent, environment)
                if interval is None
                else FixedIntervalInteraction.with_sleep_adjustor(agent, environment, interval)
            ),
            "models": {},
            "buffers": {"data": SequentialBuffer(100)},
            "trainers": {"trainer": ProbedTrainer(self.probe)},
            # A whole collection at each start would be most of the time of these tests.
            "config": {"states_dir": self.states_dir, "freeze_garbage": False, **config},
        }

    def system(self, interval: float | None = 0.002, **config: Any) -> System:
        return System(**self.arguments(interval, **config))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path / "states")


@pytest.fixture
def probe(parts: Parts) -> Probe:
    return parts.probe

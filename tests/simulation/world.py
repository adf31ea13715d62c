"""A small simulated world: an agent, trainers, a disk; what goes wrong in them, and what must hold all the same.

A :class:`World` is one process. Every hook of its components reports to it: there it is a switch point, may raise,
be slow or never return, as the plan says, and is checked against what was promised. A rule that is broken ends the
simulation at once, by :meth:`Kernel.fail`, which no handler of the package can swallow.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from random import Random
from typing import Any

from typing_extensions import override

from pamiq_sched import (
    Agent,
    Clock,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    LatestStatesKeeper,
    PeriodicSaveCondition,
    SequentialBuffer,
    System,
    Trainer,
)
from pamiq_sched.model import InferenceModel, TrainingModel
from pamiq_sched.state import FileSystem, Manifest, codec
from tests.simulation.kernel import Kernel, Thread

REAL_DISK = FileSystem()

INFERENCE, TRAINING = "pamiq-inference", "pamiq-training"


class HookError(Exception):
    """What a hook raises because the plan says so."""


class HookOSError(OSError):
    """Likewise, as a disk or a device would."""


class HookExit(SystemExit):
    """Likewise, as a careless library would."""


@dataclass(frozen=True)
class Fault:
    """What happens at one call of one hook."""

    hook: str
    call: int
    kind: str
    """``"raise"``, ``"slow"`` or ``"hang"``."""
    seconds: float = 0.0
    error: type[BaseException] = HookError


@dataclass(frozen=True)
class DiskFault:
    """What happens to a number of operations of the disk, one after another."""

    first: int
    length: int
    number: int
    """Of the error; 0 for one operation that is slow."""
    seconds: float = 0.0


HOOKS = {
    # How often each is called in a run, roughly: a fault is to come anywhere in it.
    "agent.setup": 1,
    "agent.step": 40,
    "agent.teardown": 1,
    "agent.on_paused": 5,
    "agent.on_resumed": 5,
    "agent.save_state": 4,
    "environment.setup": 1,
    "environment.observe": 40,
    "environment.affect": 40,
    "environment.teardown": 1,
    "environment.on_paused": 5,
    "environment.on_resumed": 5,
    "environment.save_state": 4,
    "model.sync": 10,
    "model.load_state": 1,
    "model.save_state": 4,
    "buffer.save_state": 4,
    "first.is_trainable": 30,
    "first.setup": 10,
    "first.train": 10,
    "first.step": 30,
    "first.callback": 15,
    "first.teardown": 10,
    "first.on_paused": 5,
    "first.on_resumed": 5,
    "first.save_state": 4,
    "second.setup": 5,
    "second.step": 10,
    "second.teardown": 5,
    "second.on_paused": 5,
    "second.on_resumed": 5,
    "second.load_state": 1,
    "second.save_state": 4,
    "condition": 20,
}

MAY_HANG = [name for name in HOOKS if name != "condition" and not name.endswith("load_state")]
"""What is called by the control thread, or by whoever starts the system, may not: nothing could bound that."""


class Plan:
    """All that a seed decides about one process, but for the order of its threads."""

    def __init__(self, random: Random) -> None:
        chance, choice, uniform = random.random, random.choice, random.uniform
        self.pause_timeout = choice([0.3, 1.0, 3.0])
        self.attempts = choice([1, 2, 3])
        self.session_end_timeout = choice([0.0, 0.02, 0.5])
        self.watchdog_deadline = choice([0.1, 1.0, 60.0])
        self.shutdown_timeout = choice([1.0, 4.0])
        self.max_uptime = uniform(0.1, 1.0) if chance() < 0.15 else float("inf")
        self.time_scale = choice([1.0, 1.0, 2.0, 0.5])
        self.save_interval = uniform(0.1, 0.5) if chance() < 0.5 else None
        self.condition_tells_when = chance() < 0.7
        self.max_keep = choice([None, 1, 2, 3])
        self.interval = choice([None, 0.01, 0.03])
        self.observing = uniform(0.002, 0.01)
        self.training = uniform(0.001, 0.03)
        # Hooks that take their time, but not too long.
        self.stopping = choice([0.0, 0.0, 0.003])
        self.saving = choice([0.0, 0.0, 0.003])
        self.looking = choice([0.0, 0.0, 0.003])
        self.steps_per_session = random.randint(1, 4)
        self.items_per_session = random.randint(1, 5)
        self.second_is_polled = chance() < 0.3
        self.uses_run = chance() < 0.3
        self.controllers = random.randint(1, 3)
        self.actions = random.randint(2, 6)
        self.ends_abruptly = chance() < 0.3
        self.crash_at = random.randint(100, 6000) if chance() < 0.35 else None
        self.faults = [self._fault(random) for _ in range(choice([0, 0, 1, 1, 2]))]
        # While a component does not hand over its state, only a shutdown helps.
        self.ends_abruptly |= any(f.kind == "hang" and f.hook.endswith("save_state") for f in self.faults)
        self.disk_faults = [self._disk_fault(random) for _ in range(choice([0, 0, 1, 2]))]

    def let_nothing_go_wrong(self) -> None:
        """Turn it into one of a short run that is left alone."""
        self.faults, self.disk_faults, self.crash_at, self.max_uptime = [], [], None, float("inf")
        self.controllers, self.actions = 1, 2

    def _fault(self, random: Random) -> Fault:
        kind = random.choices(["raise", "slow", "hang"], [5, 4, 1])[0]
        hook = random.choice(MAY_HANG if kind == "hang" else list(HOOKS))
        if kind == "slow" and random.random() < 0.3:
            hook = random.choice([name for name in HOOKS if name.endswith("on_paused")])  # the pause is late then
        call = random.randint(1, HOOKS[hook])
        error = random.choice([HookError, HookError, HookOSError, HookExit])
        return Fault(hook, call, kind, random.choice([0.1, 0.5, 2.0, 6.0]), error)

    def _disk_fault(self, random: Random) -> DiskFault:
        if random.random() < 0.2:
            return DiskFault(random.randint(1, 150), 1, 0, random.choice([0.1, 1.0, 5.0]))
        length = 1 if random.random() < 0.6 else random.randint(2, 200)
        return DiskFault(random.randint(1, 250), length, random.choice([errno.ENOSPC, errno.EIO, errno.EACCES]))

    @property
    def slow_seconds(self) -> float:
        """Virtual seconds that all that is slow may take together."""
        return sum(f.seconds for f in self.faults if f.kind == "slow") + sum(f.seconds for f in self.disk_faults)

    @property
    def has_late_hooks(self) -> bool:
        """Whether a pause may time out."""
        return any(fault.kind != "raise" for fault in self.faults)

    @property
    def is_slow(self) -> bool:
        """Whether an end may time out."""
        return self.has_late_hooks or any(fault.seconds for fault in self.disk_faults)

    @property
    def bound(self) -> float:
        """Virtual seconds that any call of the handle may take, those before it in the queue included."""
        one = self.attempts * self.pause_timeout + self.session_end_timeout + self.slow_seconds + 1.0
        return (self.controllers + 3) * 2 * one + self.shutdown_timeout + 5.0

    def __repr__(self) -> str:
        return "\n".join(f"  {name} = {value!r}" for name, value in vars(self).items())


@dataclass
class Snapshot:
    """What all components held at the moment of a save."""

    time: float
    values: dict[str, float]


@dataclass
class Report:
    """A save that somebody was told of."""

    manifest: bytes
    began: float
    """The virtual time at which it was asked for, or 0."""
    ended: float


@dataclass
class History:
    """What outlives a process: what it saved, and what it told about that."""

    states_dir: Path
    environment_has_state: bool
    collects_rarely: bool
    snapshots: list[Snapshot] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def visible(self) -> list[str]:
        """The names of all states that anybody can see."""
        if not self.states_dir.exists():
            return []
        return sorted(entry.name for entry in os.scandir(self.states_dir) if not entry.name.startswith("."))

    def hidden(self) -> list[str]:
        """The names of what is left of saves and removals."""
        if not self.states_dir.exists():
            return []
        return sorted(entry.name for entry in os.scandir(self.states_dir) if entry.name.startswith("."))

    def damage(self, name: str) -> str:
        """What is wrong with a state; empty if it is whole."""
        path = self.states_dir / name
        try:
            return "; ".join(Manifest.read(path, REAL_DISK).differences(path, REAL_DISK))
        except (OSError, ValueError) as error:
            return str(error)

    def failures(self) -> list[str]:
        """What the states of crashed runs tell about components that could not be saved any more."""
        manifests = [Manifest.read(self.states_dir / name, REAL_DISK) for name in self.visible()]
        return [failure for manifest in manifests for failure in manifest.failed.values()]

    def newest(self) -> Path | None:
        """The newest state to go on from."""
        numbers = {}
        for name in self.visible():
            manifest = Manifest.read(self.states_dir / name, REAL_DISK)
            if not manifest.crashed:
                numbers[manifest.number] = self.states_dir / name
        return numbers[max(numbers)] if numbers else None


class World:
    """One process: its components, its plan, and what must hold in it.

    Args:
        kernel: Runs it.
        plan: What is to happen.
        history: What processes before it left.
    """

    def __init__(self, kernel: Kernel, plan: Plan, history: History, files: SimulatedDisk) -> None:
        self.kernel = kernel
        self.plan = plan
        self.history = history
        self.files = files
        self.faults = {(fault.hook, fault.call): fault for fault in plan.faults}
        self.calls: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.raised: list[tuple[str, BaseException]] = []
        self.failed_saves = 0
        """How many saves were made to fail by a component."""
        self.hung: list[Thread] = []
        self.is_loading = False
        self.is_ending = False
        """Whether something has happened that ends the system."""
        self.movers_under_way = 0
        self.movers = 0
        """How many calls may have set the system in motion."""
        self.pausers = 0
        self.is_frozen = False
        """Whether a pause was acknowledged, and nothing asked since that could end it."""
        self.staged: Snapshot | None = None
        self.stopped_parts: set[str] = set()
        self.unpaired: set[str] = set()
        self.latest_reading = 0.0
        self.collected = 0
        self.added = 0
        self.added_at_session = 0
        self.latest_uptime = 0.0
        self.loaded: dict[str, float] = {}
        self.loaded_items: list[int] = []

        self.clock = Clock(source=kernel.time.monotonic)
        self.model = SimulatedModel(self)
        self.agent = SimulatedAgent(self)
        self.environment = SimulatedEnvironment(self)
        self.first = SimulatedTrainer(self, "first", 1)
        self.second = SimulatedTrainer(self, "second", plan.items_per_session, is_polled=plan.second_is_polled)
        self.parts: dict[str, Any] = {
            part.name: part for part in (self.agent, self.environment, self.model, self.first, self.second)
        }
        self.keeper = SimulatedKeeper(self)
        self.system: System

    def make_system(self, saved_state_path: Path | None) -> System:
        """Join everything."""
        plan = self.plan
        interaction = (
            Interaction(self.agent, self.environment, clock=self.clock)
            if plan.interval is None
            else FixedIntervalInteraction.with_sleep_adjustor(
                self.agent, self.environment, plan.interval, clock=self.clock
            )
        )
        self.system = System(
            interaction,
            {"model": self.model},
            {"items": SimulatedBuffer(self)},
            {"first": self.first, "second": self.second},
            {
                "states_dir": self.history.states_dir,
                "saved_state_path": saved_state_path,
                "save_state_condition": None if plan.save_interval is None else self.make_condition(),
                "states_keeper": self.keeper,
                "timeout_for_all_threads_pause": plan.pause_timeout,
                "max_attempts_to_pause_all_threads": plan.attempts,
                "session_end_timeout": plan.session_end_timeout,
                "watchdog_deadline": plan.watchdog_deadline,
                "shutdown_timeout": plan.shutdown_timeout,
                "max_uptime": plan.max_uptime,
                "time_scale": plan.time_scale,
                "switch_interval": None,
                "freeze_garbage": False,
            },
            clock=self.clock,
            files=self.files,
        )
        return self.system

    def make_condition(self) -> Any:
        assert self.plan.save_interval is not None
        periodic = PeriodicSaveCondition(self.plan.save_interval, clock=self.clock)
        world = self

        class Condition:
            def __call__(self) -> bool:
                world.hook("condition")
                return periodic()

        if self.plan.condition_tells_when:
            Condition.seconds_until_due = lambda _: periodic.seconds_until_due()  # type: ignore[attr-defined]
        return Condition()

    @property
    def stands_still(self) -> bool:
        """Whether agent time does; as ``clock.is_paused()``, but no switch point."""
        return self.clock.anchor.rate == 0.0

    # What components report.

    def check(self, holds: bool, rule: str) -> None:
        """End the simulation if a rule does not hold."""
        if not holds:
            self.kernel.fail(rule)

    def hook(self, name: str) -> None:
        """Note that a hook is called; raise, wait or hang if the plan says so."""
        self.kernel.step(f"call {name}")
        if self.is_loading and name.endswith("save_state"):
            return  # a load notes what components held before it
        self.calls[name] += 1
        fault = self.faults.get((name, self.calls[name]))
        if fault is None or (self.is_loading and fault.kind == "hang"):
            return  # nothing could bound a start
        if fault.kind == "raise":
            error = fault.error(f"{name}, call {fault.call}")
            if name.endswith("save_state") and isinstance(error, OSError):
                self.failed_saves += 1
            else:
                self.will_end()
                self.raised.append((name, error))
            raise error
        if fault.kind == "slow":
            self.kernel.sleep(fault.seconds)
        else:
            self.hung.append(self.kernel.current)
            self.kernel.hang()

    def act(self, name: str, thread: str) -> None:
        """As :meth:`hook`, of what no part does while the system is paused."""
        self.on_thread(name, thread)
        self.check(not self.is_frozen, f"{name} is called while a pause is acknowledged")
        if not self.plan.has_late_hooks:  # or a thread that was given up may still act
            self.check(not self.stands_still, f"{name} is called while agent time stands still")
        latest = self.latest_reading
        reading = self.clock.monotonic()
        self.check(reading >= latest, f"agent time went back from {latest} to {reading} before {name}")
        self.latest_reading = max(reading, self.latest_reading)
        self.hook(name)
        self.check(not self.is_frozen, f"{name} is under way while a pause is acknowledged")

    def on_thread(self, name: str, thread: str) -> None:
        current = self.kernel.current.name
        self.check(current == thread, f"{name} is called on {current}, not on {thread}")

    def stop(self, part: str, thread: str) -> None:
        """A part's on_paused."""
        self.on_thread(f"{part}.on_paused", thread)
        self.check(part not in self.stopped_parts, f"{part}.on_paused is called twice without on_resumed")
        self.check(not self.is_frozen, f"{part}.on_paused is called while a pause is acknowledged")
        self.stopped_parts.add(part)
        try:
            self.hook(f"{part}.on_paused")
            if self.plan.stopping:
                self.kernel.sleep(self.plan.stopping)
        except BaseException:
            self.unpaired.add(thread)
            raise
        self.check(not self.is_frozen, f"{part}.on_paused is under way while a pause is acknowledged")

    def go_on(self, part: str, thread: str) -> None:
        """A part's on_resumed."""
        self.on_thread(f"{part}.on_resumed", thread)
        self.check(part in self.stopped_parts, f"{part}.on_resumed is called without on_paused")
        self.check(not self.is_frozen, f"{part}.on_resumed is called while a pause is acknowledged")
        self.stopped_parts.remove(part)
        self.hook(f"{part}.on_resumed")

    def begin(self, part: str, thread: str) -> None:
        """A part's setup."""
        self.on_thread(f"{part}.setup", thread)
        self.hook(f"{part}.setup")
        self.completed[f"{part}.setup"] += 1

    def finish(self, part: str, thread: str) -> None:
        """A part's teardown."""
        self.on_thread(f"{part}.teardown", thread)
        self.completed[f"{part}.teardown"] += 1
        self.check(
            self.completed[f"{part}.teardown"] <= self.completed[f"{part}.setup"],
            f"{part}.teardown is called without setup",
        )
        self.hook(f"{part}.teardown")

    def save(self, part: str, path: Path) -> None:
        """A part's save_state."""
        if not self.is_loading:
            current = self.kernel.current.name
            self.check(current not in (INFERENCE, TRAINING), f"{part}.save_state is called on {current}")
            if not self.stands_still:
                self.note_torn(f"agent time runs while {part} is saved")
            now = Snapshot(self.kernel.now, self.values())
            if self.kernel.current in self.files.torn:
                pass
            elif part == "agent":
                self.staged = now
                self.history.snapshots.append(now)
            elif self.staged is not None:
                moved = {k for k in now.values if now.values[k] != self.staged.values[k]}
                if moved:
                    self.note_torn(f"{moved} moved between the savings of two components")
            if self.plan.saving:
                self.kernel.sleep(self.plan.saving)
        codec.save(self.parts[part].held, path)
        self.hook(f"{part}.save_state")

    def note_torn(self, how: str) -> None:
        """Note that the save under way is of no moment: the rest of one that is given up is taken for nobody."""
        self.check(self.is_ending and self.plan.is_slow, how)
        self.files.torn.add(self.kernel.current)

    def load(self, part: str, path: Path) -> None:
        """A part's load_state."""
        self.parts[part].held = codec.load(path)
        self.loaded[part] = self.parts[part].count
        self.loaded["clock"] = self.clock.monotonic()
        self.hook(f"{part}.load_state")

    def values(self) -> dict[str, float]:
        """What components hold at this moment, which is one if agent time stands still."""
        names = [n for n in self.parts if n != "environment" or self.history.environment_has_state]
        return {"clock": self.clock.monotonic(), **{name: self.parts[name].count for name in names}}

    # What controllers report.

    def will_move(self) -> None:
        """Something is asked for that may end a pause."""
        if self.is_frozen:
            self.check(self.stands_still, "agent time runs while a pause is acknowledged")
        self.is_frozen = False
        self.movers += 1

    def will_end(self) -> None:
        """Something happens that ends the system."""
        self.is_ending = True
        self.will_move()

    def told_of(self, path: Path, began: float, ended: float) -> None:
        """Somebody was told that a state is saved."""
        name = path.name
        if name in self.history.removed:
            return  # by a keeper that had newer ones
        self.check(name in self.history.visible(), f"{name} was reported and is not there")
        manifest = (path / "manifest.json").read_bytes()
        known = self.history.reports.get(name)
        if known is None:
            damage = self.history.damage(name)
            self.check(not damage, f"{name} was reported and is not whole: {damage}")
            self.history.reports[name] = Report(manifest, began, ended)
        else:
            self.check(known.manifest == manifest, f"{name} was saved twice")
            known.began, known.ended = max(known.began, began), min(known.ended, ended)


class Counting:
    """What a component keeps: one mapping that goes on changing, so that a copy that is taken late shows."""

    def __init__(self) -> None:
        self.held = {"count": 0}

    @property
    def count(self) -> int:
        return self.held["count"]

    def advance(self) -> None:
        self.held["count"] += 1


class SimulatedAgent(Counting, Agent[int, int]):
    """Counts its steps and collects the count."""

    name = "agent"

    def __init__(self, world: World) -> None:
        Counting.__init__(self)
        Agent.__init__(self)
        self.world = world

    @override
    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("items")

    @override
    def on_inference_models_attached(self) -> None:
        self.model = self.get_inference_model("model")

    @override
    def setup(self) -> None:
        super().setup()
        self.world.begin("agent", INFERENCE)

    @override
    def step(self, observation: int) -> int:
        self.world.act("agent.step", INFERENCE)
        self.advance()
        # Rarely: two items, so that the second comes while there is a session, and then none for a while.
        if not self.world.history.collects_rarely or self.count % 60 in (0, 3):
            self.collector.collect(self.count)
            self.world.collected += 1
        return int(self.model(observation))

    @override
    def teardown(self) -> None:
        self.world.finish("agent", INFERENCE)
        super().teardown()

    @override
    def on_paused(self) -> None:
        super().on_paused()
        self.world.stop("agent", INFERENCE)

    @override
    def on_resumed(self) -> None:
        super().on_resumed()
        self.world.go_on("agent", INFERENCE)

    @override
    def save_state(self, path: Path) -> None:
        self.world.save("agent", path)

    @override
    def load_state(self, path: Path) -> None:
        self.world.load("agent", path)


class SimulatedEnvironment(Counting, Environment[int, int]):
    """Takes its time."""

    name = "environment"

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @override
    def setup(self) -> None:
        self.world.begin("environment", INFERENCE)

    @override
    def observe(self) -> int:
        self.world.act("environment.observe", INFERENCE)
        self.world.kernel.sleep(self.world.plan.observing)
        return self.count

    @override
    def affect(self, action: int) -> None:
        self.world.act("environment.affect", INFERENCE)
        self.advance()

    @override
    def teardown(self) -> None:
        self.world.finish("environment", INFERENCE)

    @override
    def on_paused(self) -> None:
        self.world.stop("environment", INFERENCE)

    @override
    def on_resumed(self) -> None:
        self.world.go_on("environment", INFERENCE)

    @override
    def save_state(self, path: Path) -> None:
        if self.world.history.environment_has_state:
            self.world.save("environment", path)

    @override
    def load_state(self, path: Path) -> None:
        if self.world.history.environment_has_state:
            self.world.load("environment", path)


class SimulatedInferenceModel(InferenceModel):
    """Answers with what was synced last."""

    def __init__(self) -> None:
        self.count = 0

    @override
    def infer(self, *args: Any, **kwds: Any) -> int:
        return self.count


class SimulatedModel(Counting, TrainingModel[SimulatedInferenceModel]):
    """Counts what it was trained."""

    name = "model"

    def __init__(self, world: World) -> None:
        Counting.__init__(self)
        TrainingModel.__init__(self)
        self.world = world

    @override
    def _create_inference_model(self) -> SimulatedInferenceModel:
        return SimulatedInferenceModel()

    @override
    def forward(self, *args: Any, **kwds: Any) -> int:
        self.advance()
        return self.count

    @override
    def sync_impl(self, inference_model: SimulatedInferenceModel) -> None:
        self.world.hook("model.sync")
        inference_model.count = self.count

    @override
    def save_state(self, path: Path) -> None:
        self.world.save("model", path)

    @override
    def load_state(self, path: Path) -> None:
        self.world.load("model", path)


class SimulatedBuffer(SequentialBuffer[int]):
    """Tells what it was loaded with."""

    def __init__(self, world: World) -> None:
        super().__init__(20)
        self.world = world

    @override
    def add(self, data: int) -> None:
        super().add(data)
        self.world.added += 1

    @override
    def state_dict(self) -> dict[str, Any]:
        self.world.hook("buffer.save_state")
        return super().state_dict()

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.world.loaded_items = self.get_data()


class SimulatedTrainer(Counting, Trainer):
    """Takes some steps a session, each with a pause point behind it."""

    def __init__(self, world: World, name: str, items: int, *, is_polled: bool = False) -> None:
        Counting.__init__(self)
        Trainer.__init__(self, "items", min_new_data_count=items, clock=world.clock)
        self.world = world
        self.name = name
        self._is_polled = is_polled
        if name == "first":
            self.every_steps(2, self._called_back)
            self.every_seconds(0.05, self._called_back)

    def _called_back(self) -> None:
        self.world.act("first.callback", TRAINING)

    @override
    def on_training_models_attached(self) -> None:
        self.model = self.get_training_model("model")

    @override
    def is_trainable(self) -> bool:
        self.world.act(f"{self.name}.is_trainable", TRAINING)
        found = super().is_trainable()
        if self.world.plan.looking:
            self.world.kernel.sleep(self.world.plan.looking)
        return found

    @override
    def seconds_until_trainable(self) -> float | None:
        return None if self._is_polled else float("inf")

    @override
    def setup(self) -> None:
        super().setup()
        self.world.begin(self.name, TRAINING)

    @override
    def train(self) -> None:
        if self.name == "first":
            self.world.added_at_session = self.world.added
        self.world.act(f"{self.name}.train", TRAINING)
        for _ in range(self.world.plan.steps_per_session):
            self.world.act(f"{self.name}.step", TRAINING)
            self.world.kernel.sleep(self.world.plan.training)
            self.world.check(not self.world.is_frozen, f"{self.name} trains while a pause is acknowledged")
            self.model()
            self.advance()
            self.step_completed()

    @override
    def teardown(self) -> None:
        super().teardown()
        self.world.finish(self.name, TRAINING)

    @override
    def on_paused(self) -> None:
        super().on_paused()
        self.world.stop(self.name, TRAINING)

    @override
    def on_resumed(self) -> None:
        super().on_resumed()
        self.world.go_on(self.name, TRAINING)

    @override
    def save_state(self, path: Path) -> None:
        super().save_state(path)
        self.world.save(self.name, path / "own")

    @override
    def load_state(self, path: Path) -> None:
        super().load_state(path)
        self.world.load(self.name, path / "own")


class SimulatedKeeper(LatestStatesKeeper):
    """Keeps what the plan says, and checks that it is told of whole states only."""

    def __init__(self, world: World) -> None:
        super().__init__(world.history.states_dir, world.plan.max_keep or 1_000_000)
        self.world = world

    @override
    def append(self, path: Path) -> None:
        self.world.kernel.step("tell the keeper")
        self.world.told_of(path, 0.0, self.world.kernel.now)
        super().append(path)

    @override
    def select_removal_states(self) -> list[Path]:
        if self.world.plan.max_keep is None:
            return []
        paths = list(super().select_removal_states())
        self.world.history.removed |= {path.name for path in paths}
        return paths

    @override
    def cleanup(self) -> list[Path]:
        removed = super().cleanup()
        left = [name for name in self.world.history.visible() if not name.endswith(".crashed")]
        self.world.check(bool(left), "the keeper left no state")
        return removed


class SimulatedDisk(FileSystem):
    """A real directory on a disk that is slow or fails as the plan says. Nothing is flushed: no power is cut."""

    def __init__(self, kernel: Kernel, plan: Plan) -> None:
        self.kernel = kernel
        self.plan = plan
        self.operations = 0
        self.failed = 0
        """How many operations failed."""
        self.torn: set[Thread] = set()
        """Threads that took a state while others were not paused."""
        self.refused: set[str] = set()
        """Which kinds of operations failed."""

    def is_well(self) -> bool:
        """Whether no operation will fail any more."""
        return all(
            not fault.number or self.operations + 1 >= fault.first + fault.length
            for fault in self.plan.disk_faults
        )

    def _operate(self, operation: str, path: Path | FileIO) -> None:
        name = path.name if isinstance(path, FileIO) else path
        if isinstance(name, int):  # what is opened by its descriptor, which is another number in each process
            name = ""
        self.kernel.step(f"disk: {operation} {os.path.basename(name)}")
        self.operations += 1
        for fault in self.plan.disk_faults:
            if fault.first <= self.operations < fault.first + fault.length:
                if not fault.number:
                    self.kernel.sleep(fault.seconds)
                else:
                    self.failed += 1
                    self.refused.add(operation)
                    raise OSError(fault.number, os.strerror(fault.number))

    @override
    def mkdir(self, path: Path) -> None:
        self._operate("mkdir", path)
        super().mkdir(path)

    @override
    def create(self, path: Path) -> FileIO:
        self._operate("create", path)
        return super().create(path)

    @override
    def write(self, file: FileIO, data: memoryview) -> int:
        try:
            self._operate("write", file)
        except OSError:
            super().write(file, data[: len(data) // 2])  # what a disk that fills up has room for
            raise
        return super().write(file, data)

    @override
    def open(self, path: Path) -> FileIO:
        self._operate("open", path)
        return super().open(path)

    @override
    def read(self, file: FileIO, size: int) -> bytes:
        self._operate("read", file)
        return super().read(file, size)

    @override
    def fsync(self, file: FileIO) -> None:
        self._operate("fsync", file)

    @override
    def fsync_directory(self, path: Path) -> None:
        self._operate("fsync", path)

    @override
    def rename(self, source: Path, target: Path) -> None:
        self._operate("rename", source)
        if self.kernel.current in self.torn and not target.name.startswith("."):
            self.kernel.fail(f"{target.name} was taken while others were not paused, and is published")
        super().rename(source, target)

    @override
    def unlink(self, path: Path) -> None:
        self._operate("unlink", path)
        super().unlink(path)

    @override
    def rmdir(self, path: Path) -> None:
        self._operate("rmdir", path)
        super().rmdir(path)


def flatten(error: BaseException | None) -> list[BaseException]:
    """An error, or all that are in a group."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for part in error.exceptions for inner in flatten(part)]
    return [] if error is None else [error]


def notes_of(errors: list[BaseException]) -> str:
    return "\n".join(note for error in errors for note in getattr(error, "__notes__", ()))

"""A whole system, step by step, on the caller's thread.

The components are checked, joined, saved and loaded by the code that :class:`~pamiq_sched.System` uses; the
threads alone are missing. So what happens is decided by the components, the seed and the state that was loaded,
and by nothing else, as long as the components go by agent time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, ManualClock
from pamiq_sched.data import DataBuffer
from pamiq_sched.interaction import Interaction
from pamiq_sched.lifecycle import NO_PAUSE_POINT, ErrorCollector
from pamiq_sched.metrics.journal import NO_JOURNAL, Journal
from pamiq_sched.metrics.recorder import apart
from pamiq_sched.model import TrainingModel
from pamiq_sched.runtime.components import Components, take_step
from pamiq_sched.state import StateStore
from pamiq_sched.state.generators import GREATEST_SEED, RandomGenerators
from pamiq_sched.testing.connecting import ConnectedComponents
from pamiq_sched.trainer import Trainer

_DURATIONS = ("cycle_time", "sync_time")
"""What trainers log by themselves of the machine's time, which is another one in every run."""


class LoggedValue(NamedTuple):
    """A number that a component logged."""

    step: int
    """How many optimizer steps of the trainer, or steps of the interaction, were over by then."""
    value: float


@dataclass(frozen=True)
class RunSteps:
    """What came of :func:`run_steps`."""

    sessions: dict[str, int]
    """How many sessions each trainer had in this run."""
    logged: dict[str, list[LoggedValue]]
    """What ``log()`` was given, by ``"<trainer>/<name>"`` or ``"agent/<name>"``, in order and unmerged; without
    the durations that trainers log by themselves."""
    components: ConnectedComponents
    """Both sides of the models and of the data."""
    not_restored: tuple[str, ...]
    """What began anew although a state was loaded, as in :class:`~pamiq_sched.Status`."""


def run_steps(
    interaction: Interaction[Any, Any],
    models: Mapping[str, TrainingModel[Any]] | None = None,
    buffers: Mapping[str, DataBuffer[Any, Any]] | None = None,
    trainers: Mapping[str, Trainer] | None = None,
    *,
    steps: int,
    turns_per_step: int = 1,
    seed: int | None = None,
    pause_at: Iterable[int] = (),
    on_step: Callable[[int], object] | None = None,
    load_from: str | Path | None = None,
    save_to: str | Path | None = None,
) -> RunSteps:
    """Run a system for so many steps on this thread, and tear it down.

    Each step of the interaction is followed by the trainers' turns, in their order: a trainer that can train runs
    a session, and one with a ``max_replay_ratio`` as many as that allows. So training keeps up with acting.
    Nothing waits: an interaction paced by a ``ManualClock(autojump=True)`` acts as fast as the machine can, in the
    agent time that it would act in live. One that is paced by another clock acts in real time.

    Two runs of equal components by one ``seed`` are equal to the bit, unless a component draws from elsewhere,
    asks the machine for the time, or starts threads. Make new components for each run: a trainer knows what it has
    trained on, while the data is new.

    Args:
        interaction: The agent in its environment; its clock is the run's.
        models: By name.
        buffers: By name.
        trainers: By name, in the order of their turns.
        steps: How many steps to take.
        turns_per_step: How many turns a trainer gets after each step, for as long as it can train: more than 1
            matters to those without a condition that new data has to meet.
        seed: Seeds the process's random generators, and the environment, as ``LaunchConfig.seed`` does.
        pause_at: Numbers of the steps of this run, from 1, behind which everything is paused and resumed.
        on_step: Called after each step and the turns behind it with the number of the step, from 1.
        load_from: A state to start from: of ``save_to``, or of a system with the same names.
        save_to: Where to write the state behind the last step, while everything is paused; nothing may be
            there. A system can go on from it too.

    Returns:
        What was logged and trained. The generators of the process, if they were seeded or loaded, are as before.

    Raises:
        BaseException: What a component raised, as itself, after the teardown; a group if several raised.
        FileExistsError: If there is something at ``save_to``.
        KeyError: If a component asks for a part that is not there.
        RuntimeError: If the clock is paused; or if the interaction would wait for a clock that nobody moves.
        TypeError: If an argument is of a wrong type.
        ValueError: If one is out of range, or a training condition can never hold.

    Example:
        >>> from pamiq_sched import FixedIntervalInteraction
        >>> from pamiq_sched.testing import FakeAgent, FakeEnvironment
        >>> clock = ManualClock(autojump=True)
        >>> agent, environment = FakeAgent(lambda observation: -observation), FakeEnvironment([1, 2, 3])
        >>> interaction = FixedIntervalInteraction.with_sleep_adjustor(agent, environment, 60.0, clock=clock)
        >>> run = run_steps(interaction, steps=3)
        >>> environment.actions, clock.time()
        ([-1, -2, -3], 180.0)
    """
    _checks.count("steps", steps)
    _checks.count("turns_per_step", turns_per_step, least=1)
    pauses = {_checks.count("a step of pause_at", step, least=1, most=steps) for step in pause_at}
    if seed is not None:
        _checks.count("seed", seed, most=GREATEST_SEED)
    source = None if load_from is None else _checks.path("load_from", load_from)
    target = None if save_to is None else _checks.path("save_to", save_to)
    if target is not None and target.exists():
        raise FileExistsError(f"save_to must be a path where there is nothing yet, got {str(target)!r}")
    _checks.instance("interaction must be an object", interaction, Interaction)
    if interaction.clock.is_paused():
        raise RuntimeError("the clock of the interaction is paused, so no time would go by; resume() it first")
    components = Components(
        interaction,
        {} if models is None else models,
        {} if buffers is None else buffers,
        {} if trainers is None else trainers,
        interaction.clock,
    )
    run = _Run(components)
    with _generators_as_before(are_set=seed is not None or source is not None), run.attached():
        run.begin(seed, source)
        run.go(steps, turns_per_step, pauses, on_step, target)
        return run.outcome()


@contextmanager
def _generators_as_before(are_set: bool) -> Iterator[None]:
    """Put the process's random generators back at the end, if the block sets them."""
    if not are_set:
        yield
        return
    generators = RandomGenerators()
    before = generators.state_dict()
    try:
        yield
    finally:
        generators.load_state_dict(before)


class _LonePausePoint:
    """The pause point of an interaction with nobody beside it.

    Args:
        clock: What it waits for.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self) -> None:
        """Go on: nobody orders a pause."""

    def is_requested(self) -> bool:
        """Return False. Asked by whoever is about to wait, and so the place to say that it would be for ever.

        Raises:
            RuntimeError: If only another thread could end the wait.
        """
        clock = self._clock
        if isinstance(clock, ManualClock) and (clock.is_paused() or not clock.autojump):
            raise RuntimeError(
                f"the interaction waits for its clock, which reads {clock.time()!r} s and is moved by nobody on "
                f"this thread: {'it is paused' if clock.is_paused() else 'it does not jump'}; make it a "
                "ManualClock(autojump=True), or advance() it in each step by an interval at least"
            )
        return False


class _Run:
    """One run.

    Args:
        components: New ones.
    """

    def __init__(self, components: Components) -> None:
        self._components = components
        self._journals: list[Journal] = []
        self._sessions_before: dict[str, int] = {}
        self._started_at = 0.0
        self._pauses = 0
        self._not_restored: tuple[str, ...] = ()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Give the components, within the block, what else the runtime gives them."""
        components = self._components
        components.attach_journals(self._open)
        components.interaction.attach_pause_point(_LonePausePoint(components.clock))
        components.trainers.attach_pause_point(NO_PAUSE_POINT)
        components.trainers.attach_waker(lambda: None)  # they are asked after each step
        try:
            yield
        finally:
            components.interaction.attach_pause_point(NO_PAUSE_POINT)
            components.attach_journals(lambda _: NO_JOURNAL)

    def _open(self, prefix: str) -> Journal:
        journal = Journal(prefix)
        self._journals.append(journal)
        return journal

    def begin(self, seed: int | None, state: Path | None) -> None:
        """Do what comes before the first step."""
        components = self._components
        components.clock.pause()  # so that all components are loaded at one moment
        try:
            if seed is not None:
                components.seed(seed)
            if state is not None:
                self._not_restored = components.not_restored(self._store(state).load_state(state))
            components.warm_up()
        finally:
            components.clock.resume()
        self._started_at = components.clock.monotonic()
        self._sessions_before = self._sessions()

    def go(
        self,
        steps: int,
        turns: int,
        pauses: Collection[int],
        on_step: Callable[[int], object] | None,
        target: Path | None,
    ) -> None:
        """Set up, take the steps, save, tear down."""
        interaction = self._components.interaction
        errors = ErrorCollector("several errors in a run of steps")
        interaction.setup()
        with errors:
            for step in range(1, steps + 1):
                take_step(interaction)
                self._train(turns)
                if on_step is not None:
                    on_step(step)
                if step in pauses:
                    self._pause(lambda: None)
            if target is not None:
                self._pause(partial(self._save, target))
        with errors:
            interaction.teardown()
        errors.raise_collected()

    def _train(self, turns: int) -> None:
        """Let the trainers take their turns, each until it has had them or cannot train."""
        turn = 0
        waiting = list(self._components.trainers.values())
        while waiting:
            turn += 1
            waiting = [t for t in waiting if t.run() and (turn < turns or t.has_replay_credit)]

    def _pause(self, action: Callable[[], None]) -> None:
        """Do something while everything is paused."""
        components = self._components
        errors = ErrorCollector("several errors in a pause")
        resuming: list[Callable[[], None]] = []
        with errors:
            components.interaction.on_paused()
            resuming.append(components.interaction.on_resumed)
            components.break_sequences()
            components.trainers.on_paused()
            resuming.append(components.trainers.on_resumed)
            components.clock.pause()
            resuming.append(components.clock.resume)
            self._pauses += 1
            action()
        for resume in reversed(resuming):
            with errors:
                resume()
        errors.raise_collected()

    def _save(self, target: Path) -> None:
        components = self._components
        store = self._store(target)
        store.publish(store.stage(about=components.about(components.clock.monotonic() - self._started_at)))

    def _store(self, state: Path) -> StateStore:
        store = StateStore(
            state.parent, state.name.replace("%", "%%")
        )  # a name as it stands, not one for strftime
        self._components.register(store, self)
        return store

    def state_dict(self) -> dict[str, Any]:
        """What a system counts, as it is saved with the components."""
        return {"pauses": self._pauses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Count on from :meth:`state_dict`."""
        _checks.state_keys("a system", state, {"pauses"})
        self._pauses = _checks.count("the number of pauses", state["pauses"])

    def _sessions(self) -> dict[str, int]:
        return {name: trainer.session_count for name, trainer in self._components.trainers.items()}

    def outcome(self) -> RunSteps:
        """Return what came of it."""
        components = self._components
        logged: dict[str, list[LoggedValue]] = {}
        for opened in self._journals:
            for journal in opened.steps.journals:
                for name, waiting in journal.lists.items():
                    if name not in _DURATIONS or opened is self._journals[0]:  # which is the agent's
                        logged[f"{journal.prefix}/{name}"] = _values(waiting, journal.steps.count)
        return RunSteps(
            sessions={k: count - self._sessions_before[k] for k, count in self._sessions().items()},
            logged={name: values for name, values in logged.items() if values},
            components=ConnectedComponents.of(components.models, components.users),
            not_restored=self._not_restored,
        )


def _values(waiting: list[Any], step: int) -> list[LoggedValue]:
    """Return the values in a list of a journal, those behind the last mark as of ``step``."""
    values, marks, ends = apart(waiting, (step, 0.0))
    logged: list[LoggedValue] = []
    for (count, _), end in zip(marks, ends, strict=True):
        logged += [LoggedValue(count, value) for value in values[len(logged) : end]]
    return logged

"""Interval schedulers against a naive model, whatever is done to them and in whatever order.

All times are whole numbers of 1/64 s and all scales powers of two, so that floats are exact and the model's
fractions can be compared with them. The model knows no clock: it counts agent seconds since the beginning, which a
clock that is replaced or restored does not change.
"""

import copy
import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pamiq_sched import ManualClock, StepIntervalScheduler, TimeIntervalScheduler

ticks = partial(st.integers, 0)
spans = st.one_of(ticks(64), ticks(64 * 64)).map(lambda n: Fraction(n, 64))
readings = ticks(2**26).map(lambda n: n / 64)
intervals = st.one_of(st.integers(1, 64), st.integers(16, 1024)).map(lambda n: Fraction(n, 64))
steps = st.integers(1, 7)
kinds = st.sampled_from(["plain", "once", "adds", "removes", "raises"])


# The naive model.


@dataclass
class Grid:
    """Moments every so many agent seconds, of which so many have been seen to pass."""

    interval: Fraction
    start: Fraction
    calls_each: bool
    seen: int = 0
    missed: int = 0

    def passed(self, now: Fraction) -> int:
        return math.floor((now - self.start) / self.interval) if self.interval else self.seen + 1

    def is_due(self, now: Fraction) -> bool:
        return self.passed(now) > self.seen

    def until_due(self, now: Fraction) -> Fraction:
        return (
            max(Fraction(0), self.start + (self.seen + 1) * self.interval - now) if self.interval else Fraction(0)
        )

    def update(self, now: Fraction) -> int:
        """How often to call."""
        due = self.passed(now) - self.seen
        self.seen += due
        self.missed += max(0, due - 1)
        return due if self.calls_each else min(due, 1)

    def resumed(self, gone: Fraction, interval: Fraction) -> "Grid":
        """As it goes on after it lay on a disk for so many agent seconds, perhaps at other intervals."""
        grid = copy.copy(self)
        grid.start += gone
        if interval != self.interval:
            grid.start += self.seen * self.interval
            grid.interval, grid.seen = interval, 0
        return grid


@dataclass
class Count:
    """Every so many updates."""

    interval: int
    counted: int = 0

    def is_due(self, now: Fraction) -> bool:
        return self.counted >= self.interval

    def update(self, now: Fraction) -> int:
        self.counted += 1
        if self.counted < self.interval:
            return 0
        self.counted = 0
        return 1

    def resumed(self, gone: Fraction, interval: int) -> "Count":
        return Count(interval, self.counted)


@dataclass(eq=False)
class Action:
    """What a callback does."""

    number: int
    kind: str
    other: "Action | None" = None
    """Whom it adds or removes."""


class BoomError(Exception):
    pass


@dataclass(eq=False)
class Run:
    """A scheduler, its model, and the actions that are registered with both."""

    scheduler: Any
    model: Any
    clock: ManualClock | None = None
    expected: list[Action] = field(default_factory=list)
    called: list[int] = field(default_factory=list)
    functions: dict[Action, Any] = field(default_factory=dict)

    def register(self, action: Action) -> None:
        self._really_register(action)
        self.expected.append(action)

    def remove(self, action: Action) -> None:
        self._really_remove(action)
        self.expected.remove(action)

    def _really_register(self, action: Action) -> None:
        self.functions[action] = partial(self._perform, action)
        self.scheduler.register_callback(self.functions[action])

    def _really_remove(self, action: Action) -> None:
        self.scheduler.remove_callback(self.functions.pop(action))

    def _perform(self, action: Action) -> None:
        self.called.append(action.number)
        if action.kind == "raises":
            raise BoomError(action.number)
        if action.kind == "once":
            self._really_remove(action)
        if action.kind == "adds" and action.other not in self.functions:
            self._really_register(action.other)
        if action.kind == "removes" and action.other in self.functions:
            self._really_remove(action.other)

    def expect(self, times: int) -> tuple[list[int], list[int]]:
        """The numbers of those that are called and of those that raise, by the model."""
        called, raised = [], []
        for _ in range(times):
            for action in tuple(self.expected):
                if action not in self.expected:
                    continue  # one before it has just removed it
                called.append(action.number)
                if action.kind == "raises":
                    raised.append(action.number)
                if action.kind == "once":
                    self.expected.remove(action)
                if action.kind == "adds" and action.other not in self.expected:
                    self.expected.append(action.other)
                if action.kind == "removes" and action.other in self.expected:
                    self.expected.remove(action.other)
        return called, raised

    def update(self, now: Fraction) -> list[int]:
        """Update both; the numbers of the callbacks that were called."""
        called, raised = self.expect(self.model.update(now))
        self.called = []
        errors: list[BaseException] = []
        try:
            self.scheduler.update()
        except BoomError as error:
            errors = [error]
        except ExceptionGroup as group:
            errors = list(group.exceptions)
            assert len(errors) > 1
        assert self.called == called
        assert [error.args[0] for error in errors] == raised
        return called


@dataclass
class Save:
    """A state on disk, and what the model was then."""

    run: Run
    state: str
    clock_state: dict[str, float]
    model: Any
    actions: list[Action]
    at: Fraction


class SchedulerMachine(RuleBasedStateMachine):
    """What can be done to schedulers of either kind. Everything is done to all runs, so that twins stay twins."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Fraction(0)
        self.runs: list[Run] = []
        self.twins: list[tuple[Run, Run]] = []
        self.saves: list[Save] = []
        self.numbers = 0

    def new_action(self, kind: str, other: Action | None = None) -> Action:
        self.numbers += 1
        return Action(self.numbers, kind, other)

    @rule(kind=kinds, is_before=st.booleans())
    def register_one(self, kind, is_before):
        self.register(kind, is_before=is_before)

    def register(self, kind: str, *, is_before: bool = False) -> None:
        other = self.new_action("plain") if kind in ("adds", "removes") else None
        action = self.new_action(kind, other)
        actions = [action] if kind != "removes" else [action, other] if is_before else [other, action]
        for run in self.runs:
            for one in actions:
                run.register(one)

    @precondition(lambda self: self.runs[0].expected)
    @rule(pick=st.randoms(use_true_random=False))
    def remove(self, pick):
        action = pick.choice(self.runs[0].expected)
        for run in self.runs:
            if action in run.expected:
                run.remove(action)

    @rule(times=st.integers(1, 4))
    def update(self, times):
        for _ in range(times):
            called = {run: run.update(self.now) for run in self.runs}
            for one, other in self.twins:
                assert called[one] == called[other]

    @rule(pick=st.randoms(use_true_random=False))
    def save(self, pick):
        run = pick.choice(self.runs)
        clock_state = run.clock.state_dict() if run.clock else {}
        state = json.dumps(run.scheduler.state_dict())
        model, actions = copy.copy(run.model), list(run.expected)
        self.saves = [*self.saves[-3:], Save(run, state, clock_state, model, actions, self.now)]

    def resume(self, save: Save, run: Run) -> None:
        """Let a new run begin with a state; the one that was saved goes on beside it."""
        run.scheduler.load_state_dict(json.loads(save.state))
        run.model = save.model.resumed(self.now - save.at, run.model.interval)
        for action in save.actions:
            run.register(action)
        same = (run.model, run.expected) == (save.run.model, save.run.expected)
        self.runs = [*self.runs[-3:], run]
        self.twins = [pair for pair in self.twins if pair[0] in self.runs and pair[1] in self.runs]
        if same and save.run in self.runs:
            self.twins.append((save.run, run))

    @precondition(lambda self: self.saves)
    @rule(pick=st.randoms(use_true_random=False))
    def load_into_one_that_runs(self, pick):
        save, run = pick.choice(self.saves), pick.choice(self.runs)
        run.scheduler.load_state_dict(json.loads(save.state))
        run.model = save.model.resumed(self.now - save.at, run.model.interval)
        self.twins = [pair for pair in self.twins if run not in pair]

    @invariant()
    def all_agree(self):
        for run in self.runs:
            assert run.scheduler.is_available() == run.model.is_due(self.now)


class TimeMachine(SchedulerMachine):
    """Time intervals, on clocks that go, stand, jump and are replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = Fraction(1)
        self.is_paused = False

    def new_run(self, clock: ManualClock, interval: Fraction, *, calls_each: bool) -> Run:
        way = "each" if calls_each else "coalesce"
        scheduler = TimeIntervalScheduler(float(interval), missed=way, clock=clock)
        return Run(scheduler, Grid(interval, self.now, calls_each), clock)

    @initialize(interval=st.one_of(st.just(Fraction(0)), intervals), calls_each=st.booleans(), start=readings)
    def begin(self, interval, calls_each, start):
        self.runs = [self.new_run(ManualClock(start), interval, calls_each=calls_each)]
        self.register("plain")

    def clocks(self) -> set[ManualClock]:
        return {run.clock for run in self.runs}

    @rule(span=spans)
    def advance(self, span):
        for clock in self.clocks():
            clock.advance(float(span))
        if not self.is_paused:
            self.now += span * self.scale

    @rule(span=spans)
    def advance_and_update(self, span):
        self.advance(span)
        self.update(1)

    @rule()
    def pause_or_resume(self):
        self.is_paused = not self.is_paused
        for clock in self.clocks():
            (clock.pause if self.is_paused else clock.resume)()

    @rule(scale=st.sampled_from([Fraction(1, 4), Fraction(1), Fraction(2), Fraction(8)]))
    def set_scale(self, scale):
        self.scale = scale
        for clock in self.clocks():
            clock.set_time_scale(float(scale))

    @rule(reading=readings, pick=st.randoms(use_true_random=False))
    def replace_the_state_of_a_clock(self, reading, pick):
        pick.choice(self.runs).clock.load_state_dict(ManualClock(reading).state_dict())

    @precondition(lambda self: self.saves)
    @rule(
        on=st.sampled_from(["the same clock", "another clock", "a restored clock"]),
        interval=st.one_of(st.none(), intervals),
        reading=readings,
        pick=st.randoms(use_true_random=False),
    )
    def load(self, on, interval, reading, pick):
        save = pick.choice(self.saves)
        if on == "the same clock" and save.run in self.runs:
            clock = save.run.clock
        else:
            clock = ManualClock(reading)
            clock.set_time_scale(float(self.scale))
            if self.is_paused:
                clock.pause()
        if on == "a restored clock":
            clock.load_state_dict(save.clock_state)
        chosen = save.model.interval if interval is None or not save.model.interval else interval
        self.resume(save, self.new_run(clock, chosen, calls_each=save.model.calls_each))

    @invariant()
    def what_is_missed_and_due_agrees(self):
        for run in self.runs:
            assert run.scheduler.missed == run.model.missed
            assert run.scheduler.seconds_until_due() == run.model.until_due(self.now)


class StepMachine(SchedulerMachine):
    """Step intervals."""

    @initialize(interval=steps)
    def begin(self, interval):
        self.runs = [Run(StepIntervalScheduler(interval), Count(interval))]
        self.register("plain")

    @precondition(lambda self: self.saves)
    @rule(interval=st.one_of(st.none(), steps), pick=st.randoms(use_true_random=False))
    def load(self, interval, pick):
        save = pick.choice(self.saves)
        interval = save.model.interval if interval is None else interval
        self.resume(save, Run(StepIntervalScheduler(interval), Count(interval)))


class TestTime(TimeMachine.TestCase):
    settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


class TestSteps(StepMachine.TestCase):
    settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.mark.stress
class TestTimeLong(TimeMachine.TestCase):
    settings = settings(max_examples=400, stateful_step_count=40, deadline=None)


@pytest.mark.stress
class TestStepsLong(StepMachine.TestCase):
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

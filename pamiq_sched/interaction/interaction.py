"""The loop itself: observe, decide, affect. Belongs to the inference thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, Self

from typing_extensions import TypeVar, override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.interaction.agent import Agent
from pamiq_sched.interaction.environment import Environment
from pamiq_sched.interaction.pacing import IntervalAdjustor, SleepIntervalAdjustor
from pamiq_sched.interaction.parts import Component, PartsMixin, refuse_parts_given_twice
from pamiq_sched.interaction.wrappers import Wrapper
from pamiq_sched.lifecycle import PausePoint
from pamiq_sched.metrics.durations import DurationWindow
from pamiq_sched.metrics.journal import Journal, Steps
from pamiq_sched.state import codec

# With defaults: without them, a type checker that does not infer a class's parameters from the arguments of a
# class method knows nothing of what with_sleep_adjustor() returns.
ObsT = TypeVar("ObsT", default=Any)
ActT = TypeVar("ActT", default=Any)


class Interaction(PartsMixin, Generic[ObsT, ActT]):
    """Lets an agent act in an environment, as fast as the two can.

    Args:
        agent: Decides.
        environment: Is observed and affected.
        clock: Agent time, which the steps are measured by; the system clock by default.

    Raises:
        TypeError: If agent or environment is something else.
        ValueError: If one object is in two places: a child of two agents, a sensor of two names.

    Example:
        >>> from pamiq_sched import ManualClock
        >>> from pamiq_sched.testing import FakeAgent, FakeEnvironment
        >>> clock = ManualClock()
        >>> slow_agent = FakeAgent(lambda observation: clock.advance(0.25))
        >>> interaction = Interaction(slow_agent, FakeEnvironment(), clock=clock)
        >>> interaction.step()
        >>> interaction.step_times.summary().longest
        0.25
    """

    _tears_down_last_first = False

    def __init__(
        self,
        agent: Agent[ObsT, ActT],
        environment: Environment[ObsT, ActT],
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        _checks.instance("agent must be", agent, Agent)
        _checks.instance("environment must be", environment, Environment)
        self.agent = agent
        self.environment = environment
        refuse_parts_given_twice(self, besides=Wrapper)
        self.step_times = DurationWindow()
        """Agent seconds from the beginning of each step's observing to the end of its affecting."""
        self.steps = 0
        """Steps taken, in all runs that were continued."""
        self._clock = system_clock() if clock is None else clock
        self._logged_steps = Steps()  # the agent's; of nobody until there is a journal

    @property
    def clock(self) -> Clock:
        """Agent time, which the steps are measured by."""
        return self._clock

    def step(self) -> None:
        """Observe, decide, affect; count the step and the time that it took, unless one of them raised."""
        clock = self._clock
        start = clock.perf_counter()
        observation = self.environment.observe()
        action = self.agent.step(observation)
        self.environment.affect(action)
        self.step_times.add(clock.perf_counter() - start)
        self.count_step()

    def count_step(self) -> None:
        """Count a step that is over; a ``step()`` that is written anew may leave that to the runtime."""
        self.steps += 1
        self._logged_steps.advance(self.steps)

    def attach_pause_point(self, pause_point: PausePoint) -> None:
        """Take the place where a long step may be stopped; the runtime calls this before it starts."""

    def attach_journal(self, journal: Journal) -> None:
        """Let the agent log to there, by the steps taken here; the runtime calls this before it starts."""
        self._logged_steps = journal.steps
        self._logged_steps.advance(self.steps)
        self.agent.attach_journal(journal)

    @override
    def _component_parts(self) -> Mapping[str, Component]:
        return {"agent": self.agent, "environment": self.environment}

    @override
    def teardown(self) -> None:
        """Tear down the agent, then the environment."""
        self._set_up_parts = tuple(self._component_parts().items())  # those that a test has set up by hand, too
        super().teardown()

    @override
    def save_state(self, path: Path) -> None:
        super().save_state(path)
        codec.save(self.state_dict(), path / "loop")

    @override
    def load_state(self, path: Path) -> None:
        super().load_state(path)
        self.load_state_dict(codec.load(path / "loop"))

    def state_dict(self) -> dict[str, Any]:
        """The state of the loop itself."""
        return {"steps": self.steps, "pacing": None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`, also of an interaction that is paced in another way."""
        _checks.state_keys(type(self).__name__, state, {"steps", "pacing"})
        self.steps = _checks.count("the number of steps", state["steps"])
        self._logged_steps.advance(self.steps)


class FixedIntervalInteraction(Interaction[ObsT, ActT]):
    """Lets an agent act at fixed moments.

    Args:
        agent: Decides.
        environment: Is observed and affected.
        adjustor: Waits for the moments; the steps are measured by its clock.

    Example:
        ``FixedIntervalInteraction.with_sleep_adjustor(agent, environment, 0.1)`` acts at 10 Hz.
    """

    def __init__(
        self, agent: Agent[ObsT, ActT], environment: Environment[ObsT, ActT], adjustor: IntervalAdjustor
    ) -> None:
        super().__init__(agent, environment, clock=adjustor.clock)
        self._adjustor = adjustor

    @classmethod
    def with_sleep_adjustor(
        cls,
        agent: Agent[ObsT, ActT],
        environment: Environment[ObsT, ActT],
        interval: float,
        offset: float = 0.0,
        *,
        missed: Literal["skip", "catch_up"] = "skip",
        clock: Clock | None = None,
    ) -> Self:
        """Make one that sleeps between its steps; see :class:`SleepIntervalAdjustor`."""
        return cls(agent, environment, SleepIntervalAdjustor(interval, offset, missed=missed, clock=clock))

    @property
    def adjustor(self) -> IntervalAdjustor:
        """What waits for the moments; it counts the misses and how late each step began."""
        return self._adjustor

    @override
    def attach_pause_point(self, pause_point: PausePoint) -> None:
        super().attach_pause_point(pause_point)
        self._adjustor.pause_point = pause_point

    @override
    def setup(self) -> None:
        super().setup()
        self._adjustor.reset()

    @override
    def step(self) -> None:
        """Observe, decide, affect; then wait for the next moment. What is left of a saved wait comes first."""
        if self._adjustor.is_waiting:
            self._adjustor.adjust()
        super().step()
        self._adjustor.adjust()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "pacing": self._adjustor.state_dict()}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if state["pacing"] is not None:
            self._adjustor.load_state_dict(state["pacing"])

"""What stands between an agent and its environment, and changes what passes. Belongs to the inference thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any, Generic, TypeVar, cast

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.interaction.environment import Environment
from pamiq_sched.interaction.modular_env import Actuator, Sensor
from pamiq_sched.interaction.parts import Component, PartsMixin, SeededMixin, attach_part_seeds

T = TypeVar("T")
W = TypeVar("W")
ObsT = TypeVar("ObsT")
WrappedObsT = TypeVar("WrappedObsT")
ActT = TypeVar("ActT")
WrappedActT = TypeVar("WrappedActT")


class Wrapper(ABC, Component, SeededMixin, Generic[T, W]):
    """Makes one value of another: a frame smaller, a number an action.

    One may be put in several places; its hooks are then called for each of them.
    """

    @abstractmethod
    def wrap(self, value: T) -> W:
        """Return what to make of a value."""

    def __call__(self, value: T) -> W:
        """Do as :meth:`wrap`."""
        return self.wrap(value)

    def wrap_sensor(self, sensor: Sensor[T]) -> SensorWrapper[T, W]:
        """Return a sensor that gives what this makes of the readings of another one."""
        return SensorWrapper(sensor, self)

    def wrap_actuator(self, actuator: Actuator[W]) -> ActuatorWrapper[W, T]:
        """Return an actuator that gives another one what this makes of the actions."""
        return ActuatorWrapper(actuator, self)


class LambdaWrapper(Wrapper[T, W]):
    """Makes one value of another by a function.

    Args:
        func: Called with the value; returns what to make of it.

    Raises:
        TypeError: If it cannot be called, or is the class of a wrapper in place of one.

    Example:
        >>> percent = LambdaWrapper(lambda share: 100 * share)
        >>> percent(0.25)
        25.0
    """

    def __init__(self, func: Callable[[T], W]) -> None:
        super().__init__()
        given: object = func
        if isinstance(given, type) and issubclass(given, Wrapper):
            raise TypeError(f"a wrapper must be an object, got a class; write {given.__name__}(...)")
        if not callable(given):
            raise TypeError(f"a wrapper must be a Wrapper or a function of one value, got {given!r}")
        self._func = func

    @override
    def wrap(self, value: T) -> W:
        return self._func(value)

    @property
    @override
    def keeps_state(self) -> bool:
        # A plain function has nothing to lose, and naming each would hide those that have: any other callable may.
        func: object = self._func
        while isinstance(func, partial):
            func = func.func
        return super().keeps_state or isinstance(func, FunctionType | BuiltinFunctionType | type)


class EnvironmentWrapper(
    PartsMixin, Environment[WrappedObsT, WrappedActT], Generic[ObsT, WrappedObsT, ActT, WrappedActT]
):
    """An environment seen through wrappers.

    Environment and wrappers get every event, seed and save.

    Args:
        env: The environment behind.
        obs_wrapper: Makes the observation of what ``env`` shows: a :class:`Wrapper` or a function.
        act_wrapper: Makes what ``env`` carries out of the action.

    Raises:
        TypeError: If one of them is something else.

    Example:
        >>> from pamiq_sched.testing import FakeEnvironment
        >>> room = FakeEnvironment(observations=[293.15])
        >>> environment = EnvironmentWrapper(room, lambda kelvin: kelvin - 273.15, round)
        >>> environment.observe()
        20.0
        >>> environment.affect(2.6)
        >>> room.actions
        [3]
    """

    _has_nothing_but_parts = True

    def __init__(
        self,
        env: Environment[ObsT, ActT],
        obs_wrapper: Wrapper[ObsT, WrappedObsT] | Callable[[ObsT], WrappedObsT],
        act_wrapper: Wrapper[WrappedActT, ActT] | Callable[[WrappedActT], ActT],
    ) -> None:
        super().__init__()
        _checks.instance("env must be", env, Environment)
        self.env = env
        self._obs_wrapper = _as_wrapper(obs_wrapper)
        self._act_wrapper = _as_wrapper(act_wrapper)

    @override
    def _component_parts(self) -> Mapping[str, Component]:
        return {"env": self.env, **self._wrappers()}

    def _wrappers(self) -> Mapping[str, Wrapper[Any, Any]]:
        return {"obs_wrapper": self._obs_wrapper, "act_wrapper": self._act_wrapper}

    @override
    def attach_seed(self, seed: int) -> None:
        """Give the environment the seed itself, as without wrappers, and the wrappers seeds of their own."""
        self.env.attach_seed(seed)
        attach_part_seeds(self._wrappers(), seed)

    @override
    def observe(self) -> WrappedObsT:
        """Return what the wrapper makes of the environment's observation."""
        return self._obs_wrapper(self.env.observe())

    @override
    def affect(self, action: WrappedActT) -> None:
        """Let the environment carry out what the wrapper makes of an action."""
        self.env.affect(self._act_wrapper(action))


class SensorWrapper(PartsMixin, Sensor[W], Generic[T, W]):
    """A sensor read through a wrapper; both get every event, seed and save.

    Args:
        sensor: The sensor behind.
        wrapper: Makes the reading of that of ``sensor``: a :class:`Wrapper` or a function.

    Raises:
        TypeError: If one of them is something else.
    """

    _has_nothing_but_parts = True

    def __init__(self, sensor: Sensor[T], wrapper: Wrapper[T, W] | Callable[[T], W]) -> None:
        super().__init__()
        _checks.instance("the sensor must be", sensor, Sensor)
        self.sensor = sensor
        self._wrapper = _as_wrapper(wrapper)

    @override
    def _component_parts(self) -> Mapping[str, Component]:
        return {"sensor": self.sensor, "wrapper": self._wrapper}

    @override
    def attach_seed(self, seed: int) -> None:
        """Give the sensor the seed, and the wrapper one of its own."""
        self.sensor.attach_seed(seed)
        attach_part_seeds({"wrapper": self._wrapper}, seed)

    @override
    def read(self) -> W:
        """Return what the wrapper makes of the sensor's reading."""
        return self._wrapper(self.sensor.read())


class ActuatorWrapper(PartsMixin, Actuator[W], Generic[T, W]):
    """An actuator operated through a wrapper; both get every event, seed and save.

    Args:
        actuator: The actuator behind.
        wrapper: Makes what ``actuator`` carries out of the action: a :class:`Wrapper` or a function.

    Raises:
        TypeError: If one of them is something else.
    """

    _has_nothing_but_parts = True

    def __init__(self, actuator: Actuator[T], wrapper: Wrapper[W, T] | Callable[[W], T]) -> None:
        super().__init__()
        _checks.instance("the actuator must be", actuator, Actuator)
        self.actuator = actuator
        self._wrapper = _as_wrapper(wrapper)

    @override
    def _component_parts(self) -> Mapping[str, Component]:
        return {"actuator": self.actuator, "wrapper": self._wrapper}

    @override
    def attach_seed(self, seed: int) -> None:
        """Give the actuator the seed, and the wrapper one of its own."""
        self.actuator.attach_seed(seed)
        attach_part_seeds({"wrapper": self._wrapper}, seed)

    @override
    def operate(self, action: W) -> None:
        """Let the actuator carry out what the wrapper makes of an action."""
        self.actuator.operate(self._wrapper(action))


def _as_wrapper(wrapper: Wrapper[T, W] | Callable[[T], W]) -> Wrapper[T, W]:
    if isinstance(wrapper, Wrapper):
        return cast("Wrapper[T, W]", wrapper)
    return LambdaWrapper(wrapper)

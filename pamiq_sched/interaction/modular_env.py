"""An environment made of sensors and actuators. Belongs to the inference thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import UserDict
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.interaction.environment import Environment
from pamiq_sched.interaction.parts import Component, PartsMixin, SeededMixin, attach_part_seeds

T = TypeVar("T")
ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class Sensor(ABC, Component, SeededMixin, Generic[T]):
    """Gives readings of an environment: a camera, a joint, a part of a simulation."""

    @abstractmethod
    def read(self) -> T:
        """Return what there is to read now."""


class Actuator(ABC, Component, SeededMixin, Generic[T]):
    """Changes an environment: a motor, a key, a part of a simulation."""

    @abstractmethod
    def operate(self, action: T) -> None:
        """Carry out an action."""


class ModularEnvironment(PartsMixin, Environment[ObsT, ActT]):
    """An environment that is observed by a sensor and affected by an actuator.

    Both get every event, seed and save; for several of each see :meth:`from_dict`.

    Args:
        sensor: Its readings are the observations.
        actuator: Carries out the actions.

    Raises:
        TypeError: If one of them is something else.
    """

    _has_nothing_but_parts = True

    def __init__(self, sensor: Sensor[ObsT], actuator: Actuator[ActT]) -> None:
        super().__init__()
        _checks.instance("the sensor must be", sensor, Sensor)
        _checks.instance("the actuator must be", actuator, Actuator)
        self.sensor = sensor
        self.actuator = actuator

    @staticmethod
    def from_dict(
        sensors: Mapping[str, Sensor[Any]], actuators: Mapping[str, Actuator[Any]]
    ) -> ModularEnvironment[Mapping[str, Any], Mapping[str, Any]]:
        """Make an environment of several sensors and actuators, by name.

        An observation has the reading of each sensor by its name, an action must have one for each actuator.

        Args:
            sensors: By name; see :class:`SensorsDict`.
            actuators: By name; see :class:`ActuatorsDict`.

        Raises:
            TypeError: If one of them is something else, or a name is no string.
            ValueError: If a name cannot be that of a file.

        Example:
            >>> class Thermometer(Sensor[float]):
            ...     def read(self) -> float:
            ...         return 19.5
            >>> class Heating(Actuator[bool]):
            ...     def operate(self, action: bool) -> None:
            ...         print("on" if action else "off")
            >>> environment = ModularEnvironment.from_dict({"degrees": Thermometer()}, {"heating": Heating()})
            >>> environment.observe()
            {'degrees': 19.5}
            >>> environment.affect({"heating": True})
            on
            >>> environment.affect({"heating": False})
            off
        """
        return ModularEnvironment(SensorsDict(sensors), ActuatorsDict(actuators))

    @override
    def _component_parts(self) -> Mapping[str, Sensor[ObsT] | Actuator[ActT]]:
        return {"sensor": self.sensor, "actuator": self.actuator}

    @override
    def attach_seed(self, seed: int) -> None:
        """Give sensor and actuator seeds of their own."""
        attach_part_seeds(self._component_parts(), seed)

    @override
    def observe(self) -> ObsT:
        """Read the sensor."""
        return self.sensor.read()

    @override
    def affect(self, action: ActT) -> None:
        """Let the actuator carry out an action."""
        self.actuator.operate(action)


PartT = TypeVar("PartT", bound=Sensor[Any] | Actuator[Any])


class _PartsDict(PartsMixin, UserDict[str, PartT]):
    """Parts by name, which can be changed as long as they are not set up."""

    _kind: ClassVar[str]
    _part_class: ClassVar[type[Any]]

    @override
    def _component_parts(self) -> Mapping[str, PartT]:
        return self.data

    @override
    def __setitem__(self, key: str, item: PartT) -> None:
        _checks.component_name(self._kind, key)
        _checks.instance(f"the {self._kind} {key!r} must be", item, self._part_class)
        self._refuse_if_set_up()
        super().__setitem__(key, item)

    @override
    def __delitem__(self, key: str) -> None:
        self._refuse_if_set_up()
        super().__delitem__(key)

    @override
    def __ior__(self, other: Any) -> Self:  # type: ignore[override]
        self.update(other)  # UserDict's own goes past __setitem__
        return self

    def _refuse_if_set_up(self) -> None:
        if self._set_up_parts is not None:
            raise RuntimeError(
                f"{self._kind}s are set up together, so none can be added or taken out between setup() and "
                f"teardown(); there are {sorted(self)}"
            )

    def attach_seed(self, seed: int) -> None:
        """Give each a seed of its own, which depends on its name."""
        attach_part_seeds(self.data, seed)


class SensorsDict(_PartsDict[Sensor[Any]], Sensor[Mapping[str, Any]]):
    """Sensors by name, as one sensor; each gets every event, seed and save.

    Made as a dict is. Sensors can be added and taken out before :meth:`setup`, and not until :meth:`teardown`.

    Raises:
        RuntimeError: If one is added or taken out while they are set up.
        TypeError: If one is no sensor, or a name no string.
        ValueError: If a name cannot be that of a file.
    """

    _has_nothing_but_parts = True
    _kind = "sensor"
    _part_class = Sensor

    @override
    def read(self) -> Mapping[str, Any]:
        """Read each sensor, in order, and return the readings by name; what one raises says which."""
        readings = {}
        for name, sensor in self.data.items():
            try:
                readings[name] = sensor.read()
            except BaseException as error:
                error.add_note(f"raised by the sensor {name!r}")
                raise
        return readings


class ActuatorsDict(_PartsDict[Actuator[Any]], Actuator[Mapping[str, Any]]):
    """Actuators by name, as one actuator; each gets every event, seed and save.

    Made as a dict is. Actuators can be added and taken out before :meth:`setup`, and not until :meth:`teardown`.

    Raises:
        RuntimeError: If one is added or taken out while they are set up.
        TypeError: If one is no actuator, or a name no string.
        ValueError: If a name cannot be that of a file.
    """

    _has_nothing_but_parts = True
    _kind = "actuator"
    _part_class = Actuator

    @override
    def operate(self, action: Mapping[str, Any]) -> None:
        """Give each actuator its action, in order; what one raises says which.

        Args:
            action: By the names of the actuators.

        Raises:
            KeyError: If it lacks an actuator, or has one that is not there; none is operated then.
            TypeError: If it is no mapping.
        """
        if not isinstance(action, Mapping):
            raise TypeError(f"an action must have the names of the actuators {sorted(self)}, got {action!r}")
        if action.keys() != self.data.keys():
            missing, unknown = self.data.keys() - action.keys(), action.keys() - self.data.keys()
            raise KeyError(
                f"an action must have exactly the names of the actuators {sorted(self)}; "
                f"missing: {sorted(missing)}, unknown: {sorted(unknown, key=str)}"
            )
        for name, actuator in self.data.items():
            try:
                actuator.operate(action[name])
            except BaseException as error:
                error.add_note(f"raised by the actuator {name!r}")
                raise

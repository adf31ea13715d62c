"""What sinks are given: points, which are numbers by name, and events. Immutable; any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """One logged value of a name, or several that were merged because they came too fast to be kept one by one."""

    name: str
    """Whose it is and what: ``"dqn/loss"``, ``"agent/return"``."""
    time: float
    """When, of the last value, in seconds since 1970."""
    step: int
    """Optimizer steps of the trainer, or steps of the interaction, by then."""
    value: float
    """The value, or the mean of those merged; may be NaN or infinite."""
    least: float
    """The smallest of those merged."""
    greatest: float
    """The largest of those merged."""
    count: int = 1
    """How many values it stands for."""

    @classmethod
    def single(cls, name: str, time: float, step: int, value: float) -> Point:
        """Return the point of one value."""
        return cls(name, time, step, value, value, value)

    def row(self) -> list[Any]:
        """Return all of it in a row, as JSON tells it."""
        return [self.name, self.time, self.step, self.value, self.least, self.greatest, self.count]

    @classmethod
    def merged(cls, points: Sequence[Point]) -> Point:
        """Return one point for several of a name, in their order; there must be at least one.

        Example:
            >>> Point.merged([Point.single("loss", 1.0, 1, 4.0), Point.single("loss", 2.0, 2, 1.0)])
            Point(name='loss', time=2.0, step=2, value=2.5, least=1.0, greatest=4.0, count=2)
        """
        last = points[-1]
        if len(points) == 1:
            return last
        return cls(
            last.name, last.time, last.step, *merged([(p.value, p.least, p.greatest, p.count) for p in points])
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a system."""

    kind: str
    """``"started"``, ``"state"``, ``"saved"``, ``"save failed"``, ``"changed"``, ``"log"``, ``"error"`` or
    ``"ended"``."""
    time: float
    """When, in seconds since 1970."""
    text: str
    """A line for people; of an error the whole traceback."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What goes with the kind, as JSON can tell it."""


class MetricsSink(ABC):
    """Takes points and events to where they are kept; give it to ``LaunchConfig(metrics_sinks=...)``.

    Called by one thread, which is the sink's own: however long it takes, neither acting nor learning waits. What
    it raises is reported once, and it is not called again but for :meth:`close`; the agent lives on.
    """

    @abstractmethod
    def write(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        """Take what came since the last call; called a few times a second if something did."""

    def close(self) -> None:  # noqa: B027 - most have nothing to finish
        """Finish; called once, after the last :meth:`write`."""


def merged(parts: Sequence[tuple[float, float, float, int]]) -> tuple[float, float, float, int]:
    """Return mean, least, greatest and count of several values, each of which may be several that were merged.

    Example:
        >>> merged([(4.0, 4.0, 4.0, 1), (1.0, 0.0, 2.0, 2)])
        (2.0, 0.0, 4.0, 3)
    """
    count = sum(part[3] for part in parts)
    # Weights first: a sum of large values would be infinite.
    mean = sum(part[0] * (part[3] / count) for part in parts)
    least, _ = extremes([part[1] for part in parts])
    _, greatest = extremes([part[2] for part in parts])
    if mean == mean:  # noqa: PLR0124 - NaN is not equal to itself
        mean = min(max(mean, least), greatest)  # where rounding would lead out
    return mean, least, greatest, count


def extremes(values: Iterable[float]) -> tuple[float, float]:
    """Return the smallest and the largest of some values; NaN counts only if there is nothing else.

    Example:
        >>> extremes([2.0, float("nan"), 1.0])
        (1.0, 2.0)
    """
    # Comparisons with a NaN are false, so min() and max() would return it or not by its place.
    numbers = [value for value in values if value == value]  # noqa: PLR0124 - NaN is not equal to itself
    nan = float("nan")
    return min(numbers, default=nan), max(numbers, default=nan)

"""What the parameters of curves may be. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral
from typing import Any

from pamiq_sched import _checks


def exact(name: str, value: object, **limits: Any) -> float:
    """Check a number as _checks.real() does, but leave an int an int: sums of ints do not round."""
    plain = _checks.real(name, value, **limits)
    return int(value) if isinstance(value, Integral) else plain


def reals(**values: object) -> dict[str, float]:
    """Check numbers as _checks.real() does, each under its name."""
    return {name: _checks.real(name, value) for name, value in values.items()}


def items(name: str, values: object) -> tuple[Any, ...]:
    """Return the items of any sequence but a string.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence, got {values!r}")
    return tuple(values)


def increasing(name: str, values: object, **limits: Any) -> tuple[float, ...]:
    """Return numbers of which each is larger than the one before.

    Raises:
        TypeError: If something among them is no number.
        ValueError: If they do not increase, or one is beyond its limits.
    """
    times = tuple(exact(name, value, **limits) for value in items(name, values))
    if any(b <= a for a, b in pairwise(times)):
        raise ValueError(f"{name} must strictly increase, got {times}")
    return times

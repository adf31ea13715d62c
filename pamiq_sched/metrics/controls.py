"""What of a trainer can be seen and moved while it learns, as data. Immutable; any thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hyperparameter:
    """One number of one param group of an optimizer."""

    optimizer: str
    """The name of the optimizer."""
    group: int
    """The index of the param group."""
    name: str
    """As an address: ``"lr"``, ``"betas[0]"``."""
    value: float
    schedule: str | None
    """The schedule that moves it; None if it may be set by hand."""


@dataclass(frozen=True)
class ScheduleState:
    """Where a schedule stands."""

    name: str
    values: list[float]
    """One for each param group that it schedules."""
    t: float | None
    """Where it is, in what it counts; None if it does not tell."""
    by: str | None
    """What it counts: steps, samples or seconds; None if it does not tell."""
    horizon: float | None
    """Where it ends; None if it does not end or its end cannot be moved."""


@dataclass(frozen=True)
class Controls:
    """What a trainer has of both."""

    hyperparameters: tuple[Hyperparameter, ...] = ()
    schedules: tuple[ScheduleState, ...] = ()

"""The steps of schedules of one optimizer, made as cheap as assigning the values by hand.

A value depends on its base and on t alone, so factors are worked out ahead, a block at a time, and checked there.
A step then only multiplies and assigns. Blocks begin at multiples of their size: a factor comes out of the same
computation in a run that was resumed. Belongs to the thread that steps; others may read ``count`` and ``written``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch.optim import Optimizer

from pamiq_sched.optim.address import Address

BLOCK = 1024
"""Steps whose factors are worked out together."""


class Member(Protocol):
    """What takes part: a schedule that counts steps."""

    optimizer: Optimizer
    address: Address
    offset: int

    @property
    def lockstep(self) -> Lockstep:
        """The one that it takes part in."""

    @property
    def last_values(self) -> list[float]:
        """What was last written."""

    def factors_ahead(self, base: float) -> list[float]:
        """Factors of the next steps that all bases allow, times a base; none if they are not known ahead."""

    def bases_of_all(self) -> list[float] | None:
        """The base of every param group; None if it does not schedule them all, or not by a key of their own."""

    def step(self) -> None:
        """Make a step by itself."""

    def write_next(self) -> list[float]:
        """Write the values of the next step the long way, with all that can be told of what goes wrong."""


class Lockstep:
    """Steps members together; a schedule by itself is its own only member.

    Args:
        members: Schedules of one optimizer.
    """

    __slots__ = ("_bases", "_keys", "_members", "_only_one", "_optimizer", "_rows", "_seen", "count", "written")

    def __init__(self, members: Sequence[Member]) -> None:
        self.count = 0
        """How many steps were made together; written when the values of a step have all been."""
        self.written: tuple[int, list[list[float]]] | None = None
        """The count and its values by member, if they were not known ahead; replaced whole."""
        self._members = members
        self._optimizer = members[0].optimizer
        self._keys = [member.address.key for member in members]
        # Of each member by param group; None if they are equal, and in the factors already.
        self._bases: list[list[float] | None] = []
        self._only_one = False  # whether there is but one param group, by far the most common
        self._rows: Iterator[tuple[float, ...]] = iter(())  # by step, one factor for each member
        self._seen = -1  # param groups that the rows were made for

    def __deepcopy__(self, memo: dict[int, Any]) -> Lockstep:
        copied = memo[id(self)] = object.__new__(Lockstep)
        copied.count, copied.written = self.count, self.written
        copied._members = copy.deepcopy(self._members, memo)
        copied._optimizer = copy.deepcopy(self._optimizer, memo)
        copied._keys, copied._bases, copied._only_one, copied._seen = self._keys, [], False, -1
        copied.forget()
        return copied

    def forget(self) -> None:
        """Work out anew what comes next; to be called whenever a member changes."""
        self._rows = iter(())

    def publish(self) -> None:
        """Let others read the values of members that were moved one by one."""
        self.written = self.count, [member.last_values for member in self._members]

    def step(self) -> None:
        """Move all members on by one step."""
        groups: list[dict[str, Any]] = self._optimizer.param_groups
        row = next(self._rows, None)
        if row is None or len(groups) != self._seen:
            row = self._next_row(groups)
            if row is None:
                self._step_without()
                return
        # Written for speed, which was measured: it runs at every step of the optimizer. A value that is no float
        # is a tensor, to be filled in place; whoever put it there may have done so since the last step.
        number = float
        i = 0
        try:
            if self._only_one:
                group = groups[0]
                for key in self._keys:
                    if group[key].__class__ is number:
                        group[key] = row[i]
                    else:
                        Address(key).write(group, row[i])
                    i += 1
            else:
                for key in self._keys:
                    self._write_to_all(groups, key, self._bases[i], row[i])
                    i += 1
        except BaseException as error:
            self.forget()
            if isinstance(error, KeyError):
                for group in groups:
                    for key in self._keys:
                        Address(key).get(group)  # says what is missing
            raise
        self.count += 1

    def _write_to_all(
        self, groups: list[dict[str, Any]], key: str, bases: list[float] | None, factor: float
    ) -> None:
        number = float
        if bases is None:
            for group in groups:
                if group[key].__class__ is number:
                    group[key] = factor
                else:
                    Address(key).write(group, factor)
        else:
            for group, base in zip(groups, bases):  # noqa: B905 - equal by construction, and strict costs
                if group[key].__class__ is number:
                    group[key] = base * factor
                else:
                    Address(key).write(group, base * factor)

    def _step_without(self) -> None:
        """Make a step of which nothing is known ahead."""
        values = []
        for member in self._members:
            if member.lockstep is self:
                values.append(member.write_next())
            else:  # it has gone over to others, which count for themselves
                member.step()
                values.append(member.last_values)
        self.written = self.count + 1, values
        self.count += 1

    def _next_row(self, groups: list[dict[str, Any]]) -> tuple[float, ...] | None:
        """Work out a block; None if there is one member that does not allow it."""
        self.forget()
        members = self._members
        if any(member.lockstep is not self for member in members):
            return None
        all_bases: list[list[float] | None] = []
        ahead: list[list[float]] = []
        for member in members:
            bases = member.bases_of_all()
            if bases is None or len(bases) != len(groups):
                return None
            are_equal = bases.count(bases[0]) == len(bases)
            all_bases.append(None if are_equal else bases)
            ahead.append(member.factors_ahead(bases[0] if are_equal else 1.0))
        self._bases, self._seen, self._only_one = all_bases, len(groups), len(groups) == 1
        self._rows = zip(*ahead)  # noqa: B905 - as far as all of them go
        row = next(self._rows, None)
        if row is not None:
            self.written = None
        return row

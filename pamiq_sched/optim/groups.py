"""Which param groups of an optimizer are meant. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch.optim import Optimizer

from pamiq_sched.optim.address import Group

Groups: TypeAlias = int | str | Sequence[int | str] | Callable[[Group], bool] | None
"""Which param groups: by index, by their ``"name"``, several of those, by a predicate, or all (None)."""


def chooser(groups: Groups, optimizer: Optimizer) -> Callable[[int, Group], bool]:
    """Return a function of index and group that says whether it is among the chosen.

    Raises:
        KeyError: If one that is named, or any that a predicate wants, is not there.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "name": "head"}], lr=0.1)
        >>> chooser("head", optimizer)(0, optimizer.param_groups[0])
        True
    """
    if groups is None:
        return lambda _index, _group: True
    present = optimizer.param_groups
    if callable(groups):
        wanted: list[int | str] = []
        is_there = any(groups(group) for group in present)
    else:
        wanted = [groups] if isinstance(groups, int | str) else list(groups)
        known = {*range(len(present)), *(group.get("name") for group in present)}
        is_there = bool(wanted) and all(one in known and not isinstance(one, bool) for one in wanted)
    if not is_there:
        raise KeyError(
            f"groups={groups!r} must choose param groups that there are: indices from 0 to {len(present) - 1}, "
            f'or their "name", here {[group.get("name") for group in present]}'
        )
    if callable(groups):
        return lambda _index, group: bool(groups(group))
    return lambda index, group: index in wanted or group.get("name") in wanted

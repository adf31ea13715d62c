"""Where a hyperparameter lives in an optimizer, and which values it may take.

An address is a key of the param groups, or one element of a tuple there: ``"lr"``, ``"betas[0]"``. Nothing holds
on to a group: an optimizer replaces them when a state is loaded. Domains are registered once, at import or by the
user's program, and read by whoever makes a schedule; a dictionary's own atomicity is all the guard they need.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer
from typing_extensions import override

from pamiq_sched import _checks

Group = MutableMapping[str, Any]
"""A param group: its ``params`` and their hyperparameters."""

_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Domain:
    """The values that a hyperparameter may take: finite, and between two bounds that belong to it."""

    least: float = -_LARGEST
    most: float = _LARGEST
    rule: str = "a finite real number"

    def __contains__(self, value: float) -> bool:
        # A NaN is not within any bounds, an infinity not within finite ones.
        return self.least <= value <= self.most


@dataclass(frozen=True)
class Address:
    """A hyperparameter of a param group: a key, or one element of the tuple there.

    Example:
        >>> group = {"lr": 0.1, "betas": (0.9, 0.999)}
        >>> address = Address.parse("betas[0]")
        >>> address.write(group, 0.5)
        >>> group["betas"], address.read(group)
        ((0.5, 0.999), 0.5)
    """

    key: str
    index: int | None = None

    @classmethod
    def parse(cls, text: object) -> Address:
        """Read ``"lr"`` or ``"betas[0]"``.

        Raises:
            TypeError: If it is no string.
            ValueError: If it is empty, is ``"params"``, or has something else than a whole number in brackets.
        """
        if isinstance(text, Address):
            return text
        if not isinstance(text, str):
            raise TypeError(f'a schedule_target must be a string such as "lr" or "betas[0]", got {text!r}')
        found = re.fullmatch(r"([^\[\]]+)(?:\[(\d+)\])?", text)
        if found is None or found[1] == "params":
            raise ValueError(
                f'a schedule_target must be a key of the param groups such as "lr", or an element of a tuple '
                f'such as "betas[0]", got {text!r}'
            )
        return cls(found[1], None if found[2] is None else int(found[2]))

    @override
    def __str__(self) -> str:
        return self.key if self.index is None else f"{self.key}[{self.index}]"

    def get(self, group: Group) -> Any:
        """Return what is there, a number or a tensor.

        Raises:
            KeyError: If the group has no such key.
            TypeError: If there is a tuple and no index, or an index and no tuple.
            ValueError: If the tuple is too short.
        """
        if self.key not in group:
            raise KeyError(
                f"a param group has no {self.key!r} to schedule; it has {sorted(set(group) - {'params'})}; "
                "give default_value=..., or call extend_optimizer() first"
            )
        value = group[self.key]
        if self.index is None:
            if isinstance(value, tuple | list):
                raise TypeError(
                    f"{self.key!r} holds {len(value)} values; schedule one of them, as in '{self.key}[0]'"
                )
            return value
        if not isinstance(value, tuple | list):
            raise TypeError(f"{self} needs a tuple, but {self.key!r} is {value!r}; schedule {self.key!r} itself")
        if self.index >= len(value):
            raise ValueError(f"{self} is beyond the end: {self.key!r} holds {len(value)} values")
        return value[self.index]

    def read(self, group: Group) -> float:
        """Return the value as a float.

        Raises:
            TypeError: If it is no real number, nor a floating-point tensor of one element; and as :meth:`get`.
            ValueError: If it is not finite.
        """
        value = self.get(group)
        if isinstance(value, torch.Tensor):
            if value.numel() != 1 or not value.is_floating_point():
                raise TypeError(
                    f"{self} must be a number or a floating-point tensor of one element, got one of shape "
                    f"{tuple(value.shape)} and {value.dtype}"
                )
            value = value.item()
        return _checks.real(f"the value of {self} in a param group", value)

    def write(self, group: Group, value: float) -> None:
        """Put a value there: into a tensor in place, else in exchange for the old one."""
        if self.index is None and group.get(self.key).__class__ is float:
            group[self.key] = value  # by far the most common
            return
        old = self.get(group)
        if isinstance(old, torch.Tensor):
            # In place: compiled and capturable steps hold on to the tensor.
            old.fill_(value)
        elif self.index is None:
            group[self.key] = value
        else:
            elements = list(group[self.key])
            elements[self.index] = value
            group[self.key] = type(group[self.key])(elements)


_DOMAINS: dict[str, Domain] = {}


def register_domain(
    key: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Say which values a hyperparameter may take; schedules made from now on refuse all others.

    Args:
        key: The hyperparameter: a key of the param groups, for all elements if it holds a tuple, or one element
            such as ``"betas[0]"``, which goes before its key.
        least: The smallest value.
        above: A bound that is not reached from above; give it or ``least``.
        most: The largest value.
        below: A bound that is not reached from below; give it or ``most``.

    Raises:
        TypeError: If a bound is no real number.
        ValueError: If a bound is not finite, two say the same, or nothing lies between them.

    Example:
        >>> register_domain("gradient_clip", above=0.0)
        >>> domain_of(Address.parse("gradient_clip")).rule
        'a finite real number above 0.0'
    """
    Address.parse(key)
    for one, other in (("least", least), ("above", above)), (("most", most), ("below", below)):
        if one[1] is not None and other[1] is not None:
            raise ValueError(f"give {one[0]} or {other[0]} for {key!r}, not both")
    given = {"of at least": least, "above": above, "of at most": most, "below": below}
    bounds = {
        word: _checks.real(f"the bound of {key!r}", bound) for word, bound in given.items() if bound is not None
    }
    low = math.nextafter(bounds["above"], math.inf) if "above" in bounds else bounds.get("of at least", -_LARGEST)
    high = math.nextafter(bounds["below"], -math.inf) if "below" in bounds else bounds.get("of at most", _LARGEST)
    if low > high:
        raise ValueError(f"no value of {key!r} would be allowed: {bounds}")
    rule = "a finite real number" + " and".join(f" {word} {bound!r}" for word, bound in bounds.items())
    _DOMAINS[key] = Domain(low, high, rule)


# What torch's own optimizers demand of them.
for _key in ("lr", "weight_decay", "momentum", "eps", "lr_decay", "momentum_decay", "lambd", "alpha"):
    register_domain(_key, least=0.0)
for _key in ("betas", "rho"):
    register_domain(_key, least=0.0, below=1.0)


LR = Address("lr")
"""The learning rate, which is all that most schedulers know."""


def domain_of(address: Address) -> Domain:
    """Return the values that are allowed at an address; any finite one if nothing was registered."""
    return _DOMAINS.get(str(address)) or _DOMAINS.get(address.key) or Domain()


def refusal(address: Address | str, domain: Domain, index: int, step: float, value: object) -> ValueError:
    """Return the error for a value that is not in the domain of its address.

    Args:
        address: Where it would go.
        domain: What is allowed there.
        index: Of the param group.
        step: When, in whatever the schedule counts.
        value: The value.
    """
    return ValueError(
        f"{address} must be {domain.rule}, got {value!r} for param group {index} at t = {step:g}; "
        "it keeps the value that it had; change the curve or the base, or register_domain() other bounds"
    )


def extend_optimizer(
    optimizer: Optimizer, name: str, default_value: float, overwrite_values: bool = False
) -> Optimizer:
    """Give all param groups of an optimizer a hyperparameter of your own, those added later as well.

    Args:
        optimizer: Changed in place.
        name: The key.
        default_value: Its value wherever it is missing.
        overwrite_values: Whether it replaces values that are there.

    Returns:
        The same optimizer.

    Raises:
        TypeError: If the value is no finite real number (a bool is none), or the name no string.
        ValueError: If the name is ``"params"`` or has brackets.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> extend_optimizer(optimizer, "gradient_clip", 10.0).param_groups[0]["gradient_clip"]
        10.0
    """
    if Address.parse(name).index is not None:
        raise ValueError(f"{name!r} is an element of a tuple; only a whole key can be added")
    try:
        value = _checks.real(f"the default value of {name!r}", default_value)
    except ValueError as error:  # torch-schedule-anything's word for what is no number to it
        raise TypeError(*error.args) from None
    for group in optimizer.param_groups:
        if overwrite_values or name not in group:
            group[name] = value
    if overwrite_values or name not in optimizer.defaults:
        optimizer.defaults[name] = value
    return optimizer


def get_param_groups_regrouped_by_key(
    optimizer: Optimizer, schedule_target: str
) -> list[tuple[Any, list[torch.nn.Parameter], dict[str, Any]]]:
    """Return each param group that has a hyperparameter, with its value.

    Args:
        optimizer: The optimizer.
        schedule_target: The hyperparameter, as ``"gradient_clip"`` or ``"betas[0]"``.

    Returns:
        A list of (value, params, group).

    Example:
        >>> optimizer = extend_optimizer(torch.optim.SGD([torch.zeros(1)], lr=0.1), "clip", 10.0)
        >>> for clip, params, _ in get_param_groups_regrouped_by_key(optimizer, "clip"):
        ...     norm = torch.nn.utils.clip_grad_norm_(params, clip)
    """
    address = Address.parse(schedule_target)
    groups: Iterable[dict[str, Any]] = optimizer.param_groups
    return [(address.get(group), group["params"], group) for group in groups if address.key in group]

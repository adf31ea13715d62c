"""What an argument may be: one check for each kind, so that every refusal reads alike.

Each returns the value in its plain Python type. No state; any thread.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def seconds(name: str, value: object, *, zero: bool = False, infinite: bool = False, remedy: str = "") -> float:
    """Return a duration as a float.

    Args:
        name: What the caller calls it; it opens the error.
        value: A real number of seconds, not a bool.
        zero: Whether 0 is allowed.
        infinite: Whether infinity is allowed.
        remedy: The way out, put behind the error.

    Raises:
        TypeError: If it is not a real number (a bool is none).
        ValueError: If it is NaN, negative, or zero or infinite without leave.

    Example:
        >>> seconds("interval", 2)
        2.0
    """
    rule = f"{name} must be a number of seconds {'of at least' if zero else 'above'} 0"
    rule += "" if infinite else " and finite"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(_refusal(rule, value, remedy))
    result = _float(value)
    if math.isnan(result) or result < 0 or (result == 0 and not zero) or (result == math.inf and not infinite):
        raise ValueError(_refusal(rule, value, remedy))
    return result


def interval(name: str, value: object, *, zero: bool = False, remedy: str = "") -> float:
    """Return the seconds between the moments of a grid; as :func:`seconds`, and not below a nanosecond.

    Moments that are closer than readings of a clock can be told apart would be counted for ever.

    Example:
        >>> interval("interval", 1e-300)
        Traceback (most recent call last):
        ValueError: interval must be at least a nanosecond, got 1e-300
    """
    result = seconds(name, value, zero=zero, remedy=remedy)
    if 0 < result < 1e-9:
        raise ValueError(_refusal(f"{name} must be at least a nanosecond", value, remedy))
    return result


def count(
    name: str, value: object, *, least: int = 0, most: int | None = None, unit: str = "", remedy: str = ""
) -> int:
    """Return a whole number of at least ``least``, and at most ``most`` if there is a limit, as an int.

    Raises:
        TypeError: If it is not an integer (a bool and 5.0 are none).
        ValueError: If it is smaller or larger than that.

    Example:
        >>> count("interval", 100, least=1, unit="step")
        100
    """
    rule = f"{name} must be a whole number of at least {least}{' ' + unit if unit else ''}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(_refusal(rule, value, remedy))
    result = int(value)
    if result < least:
        raise ValueError(_refusal(rule, value, remedy))
    if most is not None and result > most:
        raise ValueError(_refusal(f"{name} must be at most {most}", value, remedy))
    return result


def real(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    remedy: str = "",
) -> float:
    """Return a finite number as a float.

    Args:
        name: What the caller calls it; it opens the error.
        value: A real number, not a bool; numpy's scalars are some.
        least: The smallest that is allowed.
        above: What it must be greater than.
        most: The greatest that is allowed.
        below: What it must be smaller than.
        remedy: The way out, put behind the error.

    Raises:
        TypeError: If it is not a real number (a bool is none).
        ValueError: If it is NaN, infinite or out of range.

    Example:
        >>> real("gamma", 1, above=0, most=1)
        1.0
    """
    bounds = {"of at least": least, "above": above, "of at most": most, "below": below}
    limits = " and ".join(f"{words} {bound}" for words, bound in bounds.items() if bound is not None)
    rule = f"{name} must be a finite number" + (f" {limits}" if limits else "")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(_refusal(rule, value, remedy))
    result = _float(value)
    if (
        not math.isfinite(result)
        or (least is not None and result < least)
        or (above is not None and result <= above)
        or (most is not None and result > most)
        or (below is not None and result >= below)
    ):
        raise ValueError(_refusal(rule, value, remedy))
    return result


def flag(name: str, value: object) -> bool:
    """Return a value that is True or False.

    Raises:
        TypeError: If it is something else, which would only pass for one of them.

    Example:
        >>> flag("compile", "no")
        Traceback (most recent call last):
        TypeError: compile must be True or False, got 'no'
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no such thing, and which are near: the text of an error.

    Args:
        kind: What was looked for.
        name: What it was called.
        known: What it could have been called; listed whole if they are few.

    Example:
        >>> print(unknown("curve", "Coin", ["Cosine", "Linear"]))
        there is no curve 'Coin'; did you mean 'Cosine'? There are: 'Cosine', 'Linear'
    """
    spelling = {other.lower(): other for other in sorted(known)}
    text = f"there is no {kind} {name!r}"
    near = [repr(spelling[key]) for key in difflib.get_close_matches(name.lower(), spelling)]
    if near:
        text += f"; did you mean {' or '.join(near)}?"
    if not spelling:
        return f"{text}; there is none"
    if len(spelling) <= 12:
        return f"{text}{' There' if near else '; there'} are: {', '.join(map(repr, spelling.values()))}"
    if near:
        return text
    nearest = difflib.get_close_matches(name.lower(), spelling, cutoff=0.0)
    return f"{text}; the nearest are {', '.join(repr(spelling[key]) for key in nearest)}"


def choice(name: str, value: T, choices: tuple[str, ...]) -> T:
    """Return a value that is one of several words.

    Raises:
        ValueError: If it is another; naming all.

    Example:
        >>> choice("wave", "half", ("half", "quarter"))
        'half'
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def instance(rule: str, value: object, wanted: type) -> None:
    """Refuse what is no instance of a class.

    Args:
        rule: What must be, or hold, one; it opens the error.
        value: The object in question.
        wanted: The class.

    Raises:
        TypeError: Naming both classes.

    Example:
        >>> instance("the model 'policy' must be", 3, str)
        Traceback (most recent call last):
        TypeError: the model 'policy' must be of the class str, got an object of the class int
    """
    if not isinstance(value, wanted):
        raise TypeError(
            f"{rule} of the class {wanted.__name__}, got an object of the class {type(value).__name__}"
        )


def component_name(kind: str, name: object) -> str:
    """Return a name under which a component can be saved.

    Args:
        kind: What the component is; it opens the error.
        name: Becomes the name of a file.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it cannot be the name of a file in the state's directory.

    Example:
        >>> component_name("model", "policy")
        'policy'
    """
    rule = f"a {kind}'s name becomes a file name, so it "
    if not isinstance(name, str):
        raise TypeError(f"{rule}must be a string, got {name!r}")
    if not name or name.startswith(".") or any(c in "/\\\0" for c in name):
        raise ValueError(f"{rule}may have no separator and not start with a dot, got {name!r}")
    if name.endswith((".json", ".safetensors", ".arrays")):
        raise ValueError(f"{rule}must not end as the files of other components do, got {name!r}")
    return name


def path(name: str, value: object) -> Path:
    """Return a path.

    Raises:
        TypeError: If it is neither a path nor a string.
        ValueError: If it is empty, as what was never set is.

    Example:
        >>> path("states_dir", "states").name
        'states'
    """
    if not isinstance(value, str | Path):
        raise TypeError(_refusal(f"{name} must be a path", value, ""))
    if value == "":
        raise ValueError(_refusal(f"{name} must be a path", value, "for the current directory, give '.'"))
    return Path(value)


def is_several(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether a value holds several things; a string is one."""
    return isinstance(value, Iterable) and not isinstance(value, str)


def names(name: str, value: object) -> tuple[str, ...]:
    """Return names as a tuple, each once, in the given order.

    Raises:
        TypeError: If they are one string, which would be taken letter by letter, or anything but strings.
        ValueError: If one is empty.

    Example:
        >>> names("keys", "frame")
        Traceback (most recent call last):
        TypeError: keys must be several strings, got 'frame'; for one, write ['frame']
    """
    result = tuple(dict.fromkeys(value)) if is_several(value) else (None,)
    if not all(isinstance(one, str) for one in result):
        remedy = f"for one, write [{value!r}]" if isinstance(value, str) else ""
        raise TypeError(_refusal(f"{name} must be several strings", value, remedy))
    if "" in result:
        raise ValueError(f"{name} must not be empty strings, got {value!r}")
    return result


def device(name: str, value: object) -> torch.device:
    """Return the device that a string or a device of torch stands for; whether it is there is not looked at.

    Raises:
        TypeError: If it is something else.
        ValueError: If torch knows no such device.
    """
    import torch  # noqa: PLC0415 - most of the library does without

    rule = f"{name} must be a torch.device or its name, as 'cpu' or 'cuda:0'"
    if not isinstance(value, str | torch.device):
        raise TypeError(_refusal(rule, value, ""))
    try:
        return torch.device(value)
    except RuntimeError as error:
        raise ValueError(_refusal(rule, value, "")) from error


def state_keys(owner: str, state: Mapping[str, Any], expected: set[str]) -> None:
    """Refuse a loaded state that lacks a key or has one too many.

    Raises:
        ValueError: Naming the missing and the unknown keys.
    """
    missing, unknown = sorted(expected - set(state)), sorted(set(state) - expected)
    if missing or unknown:
        raise ValueError(
            f"the state of {owner} must have exactly the keys {sorted(expected)}; "
            f"missing: {missing}, unknown: {unknown}; it was saved by something else or by another version"
        )


def _float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an int with no float near it
        return math.nan


def _refusal(rule: str, value: object, remedy: str) -> str:
    return f"{rule}, got {value!r}" + (f"; {remedy}" if remedy else "")

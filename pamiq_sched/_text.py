"""Text and JSON that every reader takes, whatever is in it. No state; any thread."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def printable(text: str) -> str:
    r"""Return a text of which each character can be shown: what would steer a terminal is told by its code.

    Example:
        >>> print(printable("a\tb \x1b[2J"))
        a\tb \x1b[2J
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def many(count: int, name: str) -> str:
    """Return a count with its name.

    Example:
        >>> many(1, "pause"), many(2000, "pause")
        ('1 pause', '2,000 pauses')
    """
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def program() -> str:
    """What this process is called, for people."""
    return Path(sys.argv[0]).name or "python"


def finite(value: Any, instead: Callable[[float], Any]) -> Any:
    """Return a value that JSON can tell: numbers that are none of JSON's are replaced, at any depth.

    Args:
        value: Made of mappings, lists, tuples, and what JSON knows.
        instead: Returns what stands for NaN or an infinity.

    Example:
        >>> finite({"loss": [1.0, float("nan")]}, str)
        {'loss': [1.0, 'nan']}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(part, instead) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part, instead) for part in value]
    return instead(value) if isinstance(value, float) and not math.isfinite(value) else value

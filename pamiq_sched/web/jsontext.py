"""Values as JSON that every reader takes: numbers that are none of JSON's become null. Any thread."""

from __future__ import annotations

import json
import math
from typing import Any


def dump(value: Any) -> str:
    """Return a value of strings, numbers, lists and mappings as one line of ASCII.

    Example:
        >>> dump({"loss": float("nan"), "steps": [1, float("inf")]})
        '{"loss":null,"steps":[1,null]}'
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:  # rare, and to look at every number beforehand would take longer than all the rest
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value

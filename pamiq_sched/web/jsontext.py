"""Values as JSON that every reader takes: numbers that are none of JSON's become null. Any thread."""

from __future__ import annotations

import json
from typing import Any

from pamiq_sched._text import finite


def dump(value: Any) -> str:
    """Return a value of strings, numbers, lists and mappings as one line of ASCII.

    Example:
        >>> dump({"loss": float("nan"), "steps": [1, float("inf")]})
        '{"loss":null,"steps":[1,null]}'
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:  # rare, and to look at every number beforehand would take longer than all the rest
        return json.dumps(finite(value, lambda _: None), allow_nan=False, separators=(",", ":"))

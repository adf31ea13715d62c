"""What an embedded scheduler costs at every step at which it is not due.

``update()`` in a loop against the least that could decide the same, a reading of the monotonic clock compared
with a deadline, in a loop of the same form in the same process.
"""

from __future__ import annotations

import importlib
from statistics import median
from time import monotonic
from typing import Any

from benchmarks.report import Numbers, Row
from benchmarks.timing import alternate, ratio


class _Comparison:
    """The same comparison behind a method call, as any object with an update() has it."""

    def __init__(self) -> None:
        self._deadline = monotonic() + 3600.0

    def update(self) -> None:
        if monotonic() >= self._deadline:
            print("due")


def measure(library: str) -> Numbers:
    schedulers: Any = importlib.import_module(f"{library}{'.utils' if library == 'pamiq_core' else ''}.schedulers")
    update = schedulers.TimeIntervalScheduler(3600.0, lambda: print("due")).update
    method = _Comparison().update
    deadline = monotonic() + 3600.0

    def compare(size: int) -> None:
        for _ in range(size):
            if monotonic() >= deadline:
                print("due")

    def compare_in_method(size: int) -> None:
        for _ in range(size):
            method()

    def look(size: int) -> None:
        for _ in range(size):
            update()

    bare, wrapped, updating = alternate([compare, compare_in_method, look], size=100_000, rounds=31)
    return {
        "to_bare": ratio(updating, bare),
        "wrapped_to_bare": ratio(wrapped, bare),
        "to_wrapped": ratio(updating, wrapped),
        "ns": 1e9 * median(updating),
        "bare_ns": 1e9 * median(bare),
    }


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("update() not due / bare comparison", "x", ours["to_bare"], peer.get("to_bare"), goal=2),
        Row("  the comparison in a method / bare", "x", ours["wrapped_to_bare"], peer.get("wrapped_to_bare")),
        Row("  update() / the comparison in a method", "x", ours["to_wrapped"], peer.get("to_wrapped")),
        Row("  update() not due", "ns", ours["ns"], peer.get("ns")),
        Row("  bare comparison", "ns", ours["bare_ns"], peer.get("bare_ns")),
    ]

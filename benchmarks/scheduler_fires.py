"""Whether a time interval keeps to its grid: how often 10 ms fire in 3 s, looked at every millisecond."""

from __future__ import annotations

import importlib
from time import monotonic, sleep
from typing import Any

from benchmarks.report import Numbers, Row


def measure(library: str) -> Numbers:
    schedulers: Any = importlib.import_module(f"{library}{'.utils' if library == 'pamiq_core' else ''}.schedulers")
    fires: list[float] = []
    scheduler = schedulers.TimeIntervalScheduler(0.01, lambda: fires.append(monotonic()))
    start = monotonic()  # after the grid began: the 300th due moment is not later than the last look
    for look in range(1, 3001):
        sleep(max(0.0, start + look * 1e-3 - monotonic()))
        scheduler.update()
    return {"fires": len(fires), "missed": getattr(scheduler, "missed", 300 - len(fires))}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("fires of 10 ms in 3 s", "", ours["fires"], peer.get("fires"), goal=300, at_least=True),
        Row("  periods without a fire of their own", "", ours["missed"], peer.get("missed")),
    ]

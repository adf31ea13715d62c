"""What it costs the agent to hand an item to the trainers.

The item is a dict of tensors, or of plain objects where there is no torch: neither library looks into it.
"""

from __future__ import annotations

import importlib
import threading
from statistics import median
from typing import Any

from benchmarks.report import Numbers, Row
from benchmarks.systems import sequential_buffer
from benchmarks.timing import alternate

SIZE = 5000


def measure(library: str) -> Numbers:
    containers: Any = importlib.import_module(f"{library}.data")
    users = containers.DataUsersDict.from_data_buffers({"items": sequential_buffer(library, SIZE)})
    collector = users.data_collectors_dict.acquire("items")
    if library == "pamiq_sched":
        # As in a running system, where the training thread wants to be woken.
        news = threading.Event()

        def wake() -> None:
            if not news.is_set():
                news.set()

        collector.attach_listener(wake)
    collect, item = collector.collect, _item()

    def collect_many(size: int) -> None:
        for _ in range(size):
            collect(item)

    def take_out(_: int) -> None:
        users["items"].update()

    collecting, _ = alternate([collect_many, take_out], size=SIZE, rounds=41)
    return {"us": 1e6 * median(collecting)}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [Row("collect() of a dict of tensors", "us", ours["us"], peer.get("us"), goal=2)]


def _item() -> dict[str, object]:
    try:
        import torch
    except ImportError:
        return {"observation": object(), "action": object()}
    return {"observation": torch.zeros(64), "action": torch.zeros(4)}

"""What it costs a trainer to draw a batch of 256 from 100,000 items of 64 floats.

Ours is ``DataUser.sample()`` of a ``TensorRingBuffer``. The peer hands out all items in lists, of which a trainer
draws and stacks.
"""

from __future__ import annotations

import importlib
from statistics import median
from typing import Any

from benchmarks import replay
from benchmarks.report import Numbers, Row
from benchmarks.timing import alternate, repeat

BATCH = 256


def measure(library: str) -> Numbers:
    data: Any = importlib.import_module(f"{library}.data")
    import torch

    torch.set_num_threads(1)
    buffer = replay.filled_buffer(library, {"item": 64})
    user = data.DataUsersDict.from_data_buffers({"items": buffer})["items"]
    if library == "pamiq_core":
        whole = user.get_data()
        getting, stacking = alternate(
            [repeat(user.get_data), repeat(lambda: replay.stack(whole, BATCH))], size=1, rounds=21
        )
        parts = {"get_us": 1e6 * median(getting), "stack_us": 1e6 * median(stacking)}
        return {"us": parts["get_us"] + parts["stack_us"], **parts}

    items = torch.rand(replay.ITEMS, 64)
    sampling, indexing = alternate(
        [
            repeat(lambda: user.sample(BATCH)),
            repeat(lambda: items[torch.randint(replay.ITEMS, (BATCH,))]),
        ],
        size=200,
        rounds=31,
    )
    return {"us": 1e6 * median(sampling), "index_us": 1e6 * median(indexing)}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("sample 256 of 100,000 items of 64 floats", "us", ours["us"], peer.get("us"), goal=30),
        Row("  a tensor indexed at random, by hand", "us", ours["index_us"]),
        Row("  get_data() of pamiq-core", "us", None, peer.get("get_us")),
        Row("  stacking what was drawn of it", "us", None, peer.get("stack_us")),
    ]

"""What saving and loading a state of 100 MB takes, by itself: a model of 25 million parameters, no threads.

Ours writes, hashes and flushes everything at a save, and at a load reads all of it once more to verify it first.
The peer's writes by ``torch.save`` and flushes nothing. Beside both: as many bytes written in one go and flushed,
and hashed.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.report import Numbers, Row

SIDE = 5000
ROUNDS = 7


def measure(library: str) -> Numbers:
    state: Any = importlib.import_module(
        "pamiq_core.state_persistence" if library == "pamiq_core" else f"{library}.state"
    )
    torch_parts: Any = importlib.import_module(f"{library}.torch")
    import torch

    layer = torch.nn.Linear(SIDE, SIDE, bias=False)
    content = bytes(4 * SIDE * SIDE)
    saves, loads, writes, hashes = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        store = state.StateStore(Path(folder))
        store.register("layer", torch_parts.TorchTrainingModel(layer, has_inference_model=False))
        for i in range(ROUNDS):
            start = perf_counter()
            saved = store.save_state()
            saves.append(perf_counter() - start)
            start = perf_counter()
            store.load_state(saved)
            loads.append(perf_counter() - start)
            start = perf_counter()
            with Path(folder, f"plain{i}").open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            writes.append(perf_counter() - start)
            start = perf_counter()
            hashlib.sha256(content).digest()
            hashes.append(perf_counter() - start)
    kinds = {"save": saves, "load": loads, "write": writes, "hash": hashes}
    return {f"{name}_ms": 1e3 * median(times) for name, times in kinds.items()}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("save of 100 MB by itself", "ms", ours["save_ms"], peer.get("save_ms")),
        Row("  load of it", "ms", ours["load_ms"], peer.get("load_ms")),
        Row("  as many bytes written and flushed", "ms", ours["write_ms"], peer.get("write_ms")),
        Row("  as many bytes hashed", "ms", ours["hash_ms"], peer.get("hash_ms")),
        Row("  save / written and flushed", "x", ours["save_ms"] / ours["write_ms"]),
    ]

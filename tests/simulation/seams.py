"""Where the package touches what a simulation has to decide: threads, time, names of files, and the process.

For the length of one simulation, :func:`simulated` puts the kernel's own in the place of these names; the package
is not changed for it. A test walks the imports and fails if a module takes one that is not listed.
"""

from __future__ import annotations

import ast
import importlib
import logging
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pamiq_sched
from tests.simulation.kernel import EPOCH, Kernel, Names, Overlay, SimpleQueue

ROOT = Path(pamiq_sched.__file__).parent

ROOMS = [
    "clock",
    "lifecycle",
    "schedulers",
    "metrics",
    "model",
    "data",
    "interaction",
    "trainer",
    "state",
    "runtime",
]
"""What a simulation runs; torch, which the simulated models do without, is not part of it."""

SENSITIVE = {
    "_thread",
    "asyncio",
    "atexit",
    "concurrent",
    "datetime",
    "multiprocessing",
    "queue",
    "sched",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
"""Modules of the standard library by which a run depends on more than its seed."""

LEFT_AS_THEY_ARE = {
    (
        "pamiq_sched.runtime.budget",
        "threading",
    ): "its lock is held for a few statements, no switch point among them",
    ("pamiq_sched.runtime.config", "datetime"): "tries a format on a fixed date",
    **dict.fromkeys(
        [
            ("pamiq_sched.metrics.json_lines", "time"),
            ("pamiq_sched.metrics.recorder", "time"),
            ("pamiq_sched.metrics.tensorboard", "socket"),
            ("pamiq_sched.metrics.tensorboard", "time"),
            ("pamiq_sched.metrics.tensorboard", "time_ns"),
            ("pamiq_sched.runtime.numbers", "queue"),
            ("pamiq_sched.runtime.numbers", "threading"),
            ("pamiq_sched.runtime.numbers", "time"),
            ("pamiq_sched.runtime.reporter", "time"),
            ("pamiq_sched.runtime.watching", "Future"),
            ("pamiq_sched.runtime.watching", "time"),
            ("pamiq_sched.runtime.web", "Future"),
            ("pamiq_sched.runtime.web", "SimpleQueue"),
            ("pamiq_sched.runtime.web", "socket"),
            ("pamiq_sched.runtime.web", "subprocess"),
            ("pamiq_sched.runtime.web", "threading"),
            ("pamiq_sched.runtime.web", "time"),
        ],
        "without sinks and HTTP control, of which simulated systems have none, nothing of it runs",
    ),
    ("pamiq_sched.metrics.journal", "monotonic"): "read, and thrown away where there is no journal",
    ("pamiq_sched.runtime.controller", "Future"): "as in control",
    ("pamiq_sched.trainer.trainer", "time"): "how long sessions took is counted, and decides nothing",
    ("pamiq_sched.runtime.control", "Empty"): "an exception",
    ("pamiq_sched.runtime.control", "Future"): "waits by the threading of concurrent.futures._base",
    ("pamiq_sched.runtime.signals", "signal"): "for the main thread, which no simulated thread is",
    ("pamiq_sched.runtime.signals", "socket"): "likewise",
    ("pamiq_sched.runtime.signals", "threading"): "likewise",
    ("pamiq_sched.runtime.system", "Future"): "as in control",
}
"""Sensitive names that stay, and why they may."""


class _Entries(list[os.DirEntry[str]]):
    """What ``os.scandir`` returns, as far as it is used."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Descriptors:
    """Stands for ``os`` where states are saved: notes what is open, and lists directories in one order."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.os = Overlay(os, open=self._open, close=self._close, scandir=self._scandir)

    def _open(self, *args: Any, **kwargs: Any) -> int:
        descriptor = os.open(*args, **kwargs)
        self.open.add(descriptor)
        return descriptor

    def _close(self, descriptor: int) -> None:
        self.open.discard(descriptor)
        os.close(descriptor)

    def _scandir(self, path: Path) -> _Entries:
        with os.scandir(path) as entries:
            return _Entries(sorted(entries, key=lambda entry: entry.name))

    def close_all(self) -> None:
        """What the operating system does for a process that ends: locks are given back."""
        for descriptor in list(self.open):
            self._close(descriptor)


def replacements(kernel: Kernel, descriptors: Descriptors) -> dict[str, dict[str, object]]:
    """What takes the place of what, by module and name."""
    threading, time = kernel.threading, kernel.time

    class VirtualDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(EPOCH + kernel.now, UTC if tz is None else tz)

    def simple_queue() -> SimpleQueue:
        return SimpleQueue(kernel)

    return {
        "concurrent.futures._base": {"threading": threading},
        "pamiq_sched.clock": {"threading": threading, "_time": time},
        "pamiq_sched.data.collector": {"threading": threading},
        # Neither cores nor timers: the real thread is the test's.
        "pamiq_sched.runtime.budget": {"sys": Overlay(sys, platform="simulated", modules={})},
        "pamiq_sched.runtime.control": {"threading": threading, "time": time, "SimpleQueue": simple_queue},
        "pamiq_sched.runtime.controller": {"threading": threading},
        "pamiq_sched.runtime.saving": {"threading": threading},
        "pamiq_sched.runtime.watchdog": {"time": time},
        "pamiq_sched.runtime.system": {
            "threading": threading,
            # A simulated process ends without its handlers.
            "atexit": Names("atexit", register=lambda _: None, unregister=lambda _: None),
            # A crashed one never gives its clock back.
            "_clocks_in_use": set(),
            "_clocks_in_use_lock": kernel.threading.Lock(),
        },
        "pamiq_sched.runtime.threads": {
            "threading": threading,
            "sys": Overlay(sys, _current_frames=kernel.current_frames),
        },
        "pamiq_sched.state.files": {"os": Overlay(os, scandir=descriptors.os.scandir)},
        # The generators of the process are the test's, and thousands of numbers in each save.
        "pamiq_sched.state.generators": {
            "random": Names("random", getstate=lambda: (3, (1, 2, 3), None), setstate=lambda _: None),
            "np": Names("numpy", random=Names("numpy.random", get_state=lambda: 4, set_state=lambda _: None)),
            "sys": Overlay(sys, modules={}),
        },
        "pamiq_sched.state.manifest": {"os": descriptors.os},
        "pamiq_sched.state.store": {
            "os": descriptors.os,
            "datetime": VirtualDatetime,
            "uuid": Names("uuid", uuid4=lambda: uuid.UUID(int=kernel.random.getrandbits(128))),
        },
    }


@contextmanager
def simulated(kernel: Kernel) -> Iterator[Descriptors]:
    """Put the kernel's primitives into the package within the block; yield what is open of the process's own."""
    descriptors = Descriptors()
    originals = []
    logger = logging.getLogger("pamiq_sched")
    level = logger.level
    try:
        for module_name, names in replacements(kernel, descriptors).items():
            module = importlib.import_module(module_name)
            for name, value in names.items():
                originals.append((module, name, getattr(module, name)))
                setattr(module, name, value)
        # What thousands of provoked errors are logged by would cost more than they.
        logger.setLevel(logging.CRITICAL + 1)
        yield descriptors
    finally:
        logger.setLevel(level)
        descriptors.close_all()
        for module, name, value in reversed(originals):
            setattr(module, name, value)


def sources() -> list[Path]:
    """The files of the rooms that a simulation runs."""
    return sorted(
        file
        for room in ROOMS
        for file in ([ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else (ROOT / room).rglob("*.py"))
    )


def sensitive_names(file: Path) -> set[str]:
    """The names by which a module knows sensitive ones, wherever in it they are imported."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias for alias in node.names if alias.name.split(".")[0] in SENSITIVE]
            names |= {alias.asname or alias.name.split(".")[0] for alias in found}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in SENSITIVE:
            names |= {alias.asname or alias.name for alias in node.names}
    return names

"""The acting side of the data: take an item and go on.

Safe from any thread. A lock is held for one append at a time, never while a buffer works, so collecting does
not wait for training.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from pamiq_sched.clock import Clock, system_clock

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class DataCollector(Generic[T]):
    """A bounded queue of items, each with the moment at which it was collected.

    Args:
        max_queue_size: How many items may wait; beyond it the oldest is dropped, and counted.
        name: What log messages call it.
        clock: Agent time; the system clock by default.
    """

    def __init__(self, max_queue_size: int, *, name: str = "data", clock: Clock | None = None) -> None:
        self._name = name
        self._max_queue_size = max_queue_size
        self._now = (system_clock() if clock is None else clock).time
        # Guards the queue and the count of drops. The moment is read under it too: stamps never decrease
        # along the queue, whichever threads collect.
        self._lock = threading.Lock()
        self._queue: deque[tuple[T, float]] = deque()
        self._dropped = 0
        self._on_collect: Callable[[], None] | None = None  # set before the threads start

    def collect(self, data: T) -> None:
        """Hand an item to the trainers. Never blocks for longer than an append takes."""
        with self._lock:
            self._queue.append((data, self._now()))
            full = len(self._queue) > self._max_queue_size
            if full:
                self._queue.popleft()
                self._dropped += 1
                first = self._dropped == 1
        if full and first:
            _logger.warning(
                "the collector %r dropped its oldest item: %d wait already and no trainer takes them; "
                "raise max_queue_size or train more often (further drops are counted, not logged)",
                self._name,
                self._max_queue_size,
            )
        if self._on_collect is not None:
            self._on_collect()

    @property
    def dropped(self) -> int:
        """How many items were dropped because too many waited."""
        with self._lock:
            return self._dropped

    def attach_listener(self, on_collect: Callable[[], None]) -> None:
        """Call ``on_collect`` after every item, on the thread that collected it."""
        self._on_collect = on_collect

    def take_all(self) -> deque[tuple[T, float]]:
        """Take out what waits, with the moments of collection; for the data user alone."""
        with self._lock:
            taken, self._queue = self._queue, deque()
        return taken

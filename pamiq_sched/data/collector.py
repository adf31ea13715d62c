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

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class DataCollector(Generic[T]):
    """A bounded queue of items, each with the moment at which it was collected.

    Items follow each other, until :meth:`break_sequence` or a drop says that the next one does not.

    Args:
        max_queue_size: How many items may wait, at least 1; beyond it the oldest is dropped, and counted.
        name: What log messages call it.
        clock: Agent time; the system clock by default.

    Raises:
        ValueError: If ``max_queue_size`` is less than 1.

    Example:
        >>> collector = DataCollector(10)
        >>> collector.collect("the end of an episode")
        >>> collector.break_sequence()
        >>> collector.collect("the start of the next")
        >>> [begins for _, _, begins in collector.take_all()]
        [False, True]
    """

    def __init__(self, max_queue_size: int, *, name: str = "data", clock: Clock | None = None) -> None:
        self._name = name
        self._max_queue_size = _checks.count("max_queue_size", max_queue_size, least=1, unit="item")
        self._now = (system_clock() if clock is None else clock).time
        # Guards the queue, the marks and the count of drops. The moment is read under it too: stamps never
        # decrease along the queue, whichever threads collect.
        self._lock = threading.Lock()
        self._queue: deque[tuple[T, float, bool]] = deque()
        self._begins = False  # whether the next item begins a sequence
        self._gap = False  # whether items were dropped from before the oldest one
        self._dropped = 0
        self._on_collect: Callable[[], None] | None = None  # set before the threads start

    def collect(self, data: T) -> None:
        """Hand an item to the trainers. Never blocks for longer than an append takes."""
        with self._lock:
            self._queue.append((data, self._now(), self._begins))
            self._begins = False
            full = len(self._queue) > self._max_queue_size
            if full:
                self._queue.popleft()
                self._gap = True
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

    def break_sequence(self) -> None:
        """Mark that the next item does not follow the one before: an episode has ended, or time has passed.

        The mark is kept until an item comes. It costs the agent as little as :meth:`collect`.
        """
        with self._lock:
            self._begins = True

    @property
    def dropped(self) -> int:
        """How many items were dropped because too many waited."""
        with self._lock:
            return self._dropped

    def start_from(self, dropped: int) -> None:
        """Go on with nothing waiting and so many drops counted; for the data user alone."""
        with self._lock:
            self._queue.clear()
            self._begins = self._gap = False
            self._dropped = _checks.count("the number of drops", dropped, unit="item")

    def attach_listener(self, on_collect: Callable[[], None]) -> None:
        """Call ``on_collect`` after every item, on the thread that collected it."""
        self._on_collect = on_collect

    def take_all(self) -> deque[tuple[T, float, bool]]:
        """Take out what waits; for the data user alone.

        Returns:
            Items, each with the moment of its collection and whether it begins a sequence.
        """
        with self._lock:
            taken, self._queue = self._queue, deque()
            gap, self._gap = self._gap, False
        if gap:  # then something waits: a drop leaves the queue full
            data, moment, _ = taken[0]
            taken[0] = (data, moment, True)
        return taken

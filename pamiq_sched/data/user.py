"""The learning side of the data: a buffer, and exact counts of what is new in it.

Belongs to the training thread; only the collector inside it is shared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.data.buffer import DataBuffer, max_size_of
from pamiq_sched.data.collector import DataCollector
from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state import codec

R = TypeVar("R")

DEFAULT_QUEUE_SIZE = 65_536


class DataUser(PersistentStateMixin, Generic[R]):
    """Moves collected items into a buffer and hands out what it holds.

    Args:
        buffer: Where the items are kept.
        name: What log messages call it.
        clock: Agent time; the system clock by default.

    Example:
        >>> from pamiq_sched import SequentialBuffer
        >>> user = DataUser(SequentialBuffer(3))
        >>> user.collector.collect("item")
        >>> user.get_data(), user.added
        (['item'], 1)
    """

    def __init__(self, buffer: DataBuffer[Any, R], *, name: str = "data", clock: Clock | None = None) -> None:
        self._buffer = buffer
        limit = buffer.max_queue_size or max_size_of(buffer) or DEFAULT_QUEUE_SIZE
        self.collector: DataCollector[Any] = DataCollector(limit, name=name, clock=clock)
        """The acting side, for the agent."""
        self.max_queue_size = limit
        """How many items may wait for an update."""
        self._waiting: deque[tuple[Any, float]] = deque()
        self._added = 0
        # When the last items were collected, oldest first; older moments are forgotten in blocks, so that a
        # run without an end keeps a bounded list that can be bisected.
        self._moments: list[float] = []
        self._moments_kept = max(limit, max_size_of(buffer) or 0)

    @property
    def buffer(self) -> DataBuffer[Any, R]:
        """Where the items are kept."""
        return self._buffer

    @property
    def added(self) -> int:
        """How many items were ever added; the difference of two readings counts the new ones exactly."""
        return self._added

    def update(self) -> None:
        """Move what was collected into the buffer.

        Raises:
            BaseException: What the buffer raised over an item. That item is lost, those behind it are not:
                the next update goes on with them.
        """
        self._waiting.extend(self.collector.take_all())
        while self._waiting:
            data, moment = self._waiting.popleft()
            self._buffer.add(data)
            self._added += 1
            self._moments.append(moment)
        if len(self._moments) > 2 * self._moments_kept:
            del self._moments[: -self._moments_kept]

    def get_data(self) -> R:
        """Update, then return all that the buffer holds."""
        self.update()
        return self._buffer.get_data()

    def count_data_added_since(self, timestamp: float) -> int:
        """Count the items that were added and collected after a moment, in O(log n).

        Args:
            timestamp: As ``pamiq_sched.time.time()`` reads, in seconds.

        Returns:
            The exact count, of the latest items that the buffer or its queue can hold at the least; for counts
            over any span take differences of :attr:`added`.
        """
        return len(self._moments) - bisect_right(self._moments, timestamp)

    def __len__(self) -> int:
        """How many items the buffer holds."""
        return len(self._buffer)

    @override
    def save_state(self, path: Path) -> None:
        self.update()
        path.mkdir()
        self._buffer.save_state(path / "buffer")
        codec.save({"added": self._added, "moments": np.array(self._moments, dtype=np.float64)}, path / "counts")

    @override
    def load_state(self, path: Path) -> None:
        counts = codec.load(path / "counts")
        _checks.state_keys("a data user", counts, {"added", "moments"})
        self._buffer.load_state(path / "buffer")
        self._waiting.clear()
        self.collector.take_all()
        self._added = int(counts["added"])
        self._moments = counts["moments"].tolist()

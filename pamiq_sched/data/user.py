"""The learning side of the data: a buffer, and exact counts of what is new in it.

Belongs to the training thread; only the collector inside it is shared.
"""

from __future__ import annotations

import logging
import math
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
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

_logger = logging.getLogger(__name__)

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
        self._name = name
        limit = buffer.max_queue_size or max_size_of(buffer) or DEFAULT_QUEUE_SIZE
        self.collector: DataCollector[Any] = DataCollector(limit, name=name, clock=clock)
        """The acting side, for the agent."""
        self.max_queue_size = limit
        """How many items may wait for an update."""
        self._waiting: deque[tuple[Any, float, bool]] = deque()
        self._refusals: list[BaseException] = []  # of a save, until update() raises them
        self._added = 0
        self._sampled = 0
        # When the last items were collected, oldest first; older moments are forgotten in blocks, so that a
        # run without an end keeps a bounded array that can be bisected.
        self._moments = array("d")
        self._moments_kept = max(limit, max_size_of(buffer) or 0)

    @property
    def buffer(self) -> DataBuffer[Any, R]:
        """Where the items are kept."""
        return self._buffer

    @property
    def added(self) -> int:
        """How many items were ever added; the difference of two readings counts the new ones exactly."""
        return self._added

    @property
    def sampled(self) -> int:
        """How many items were handed out for training since this user was made; not saved.

        Whoever draws by :meth:`sample`, :meth:`sample_sequences` or :meth:`latest` is counted, others by
        :meth:`count_samples`. For the training thread alone.
        """
        return self._sampled

    def update(self) -> None:
        """Move what was collected into the buffer.

        Raises:
            BaseException: What the buffer raised over an item. That item is lost, those behind it are not:
                the next update goes on with them, as a new sequence.
        """
        if self._refusals:
            raise self._refusals.pop(0)
        self._waiting.extend(self.collector.take_all())
        while self._waiting:
            data, moment, begins = self._waiting.popleft()
            if begins:
                self._buffer.break_sequence()
            try:
                self._buffer.add(data)
            except BaseException as error:
                self._buffer.break_sequence()  # what is lost is a gap
                error.add_note(f"raised by the buffer {self._name!r} over an item, which is lost")
                raise
            self._added += 1
            self._moments.append(moment)
        if len(self._moments) > 2 * self._moments_kept:
            del self._moments[: -self._moments_kept]

    def get_data(self) -> R:
        """Update, then return all that the buffer holds."""
        self.update()
        return self._buffer.get_data()

    def sample(self, batch_size: int, **kwargs: Any) -> Any:
        """Update, then draw a batch from a buffer that can, as :class:`TensorRingBuffer`.

        Args:
            batch_size: How many items; they count as :attr:`sampled`.
            **kwargs: More for the buffer's method of this name.

        Raises:
            TypeError: If the buffer has no such method.
        """
        return self._draw("sample", batch_size, **kwargs)

    def sample_sequences(self, batch_size: int, length: int, **kwargs: Any) -> Any:
        """Update, then draw items that follow each other; ``batch_size`` times ``length`` of them count.

        Args:
            batch_size: How many sequences.
            length: How many items each has.
            **kwargs: More for the buffer's method of this name.

        Raises:
            TypeError: If the buffer has no such method.
        """
        return self._draw("sample_sequences", batch_size, length, **kwargs)

    def latest(self, n: int) -> Any:
        """Update, then take the ``n`` newest items, in order; they count as :attr:`sampled`.

        Raises:
            TypeError: If the buffer has no such method.
        """
        return self._draw("latest", n)

    def count_samples(self, n: int) -> None:
        """Count ``n`` more items as :attr:`sampled`: those that were taken out of :meth:`get_data`, say.

        Raises:
            ValueError: If it is negative.
        """
        self._sampled += _checks.count("n", n, unit="item")

    def _draw(self, method: str, *args: int, **kwargs: Any) -> Any:
        draw: Callable[..., Any] | None = getattr(self._buffer, method, None)
        if draw is None:
            raise TypeError(
                f"the buffer is a {type(self._buffer).__name__}, which has no {method}(); use one that has, as "
                "TensorRingBuffer, or take what you need out of get_data() and tell count_samples()"
            )
        self.update()
        drawn = draw(*args, **kwargs)
        self._sampled += math.prod(args)
        return drawn

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
    def persistent_parts(self) -> Mapping[str, PersistentStateMixin]:
        return {"buffer": self._buffer}

    @override
    def save_state(self, path: Path) -> None:
        """Save the buffer with all that was collected. What it refuses is raised by the next :meth:`update`."""
        refusals, self._refusals = self._refusals, []
        while True:
            try:
                self.update()
                break
            except BaseException as error:  # noqa: BLE001 - it is for the training thread, not for whoever saves
                _logger.warning("the buffer %r refused an item, which is not saved: %r", self._name, error)
                refusals.append(error)
                if not self._waiting:
                    break
        self._refusals = refusals
        path.mkdir()
        self._buffer.save_state(path / "buffer")
        # A mark without an item stays with the collector; whoever loads begins a sequence anyhow.
        state = {
            "added": self._added,
            "dropped": self.collector.dropped,
            "moments": np.array(self._moments),
        }
        codec.save(state, path / "counts")

    @override
    def load_state(self, path: Path) -> None:
        counts = codec.load(path / "counts")
        _checks.state_keys("a data user", counts, {"added", "dropped", "moments"})
        self._buffer.load_state(path / "buffer")
        self._buffer.break_sequence()
        self._waiting.clear()
        self._refusals.clear()
        self.collector.start_from(counts["dropped"])
        self._added = int(counts["added"])
        self._moments = array("d", counts["moments"].tolist())

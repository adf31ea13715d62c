"""Takes numbers and events from where they are logged to where they are kept, beside the agent.

One thread empties the journals a few times a second; each sink has a thread of its own, so that a disk that hangs
holds up nothing but its own numbers.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from typing_extensions import override

from pamiq_sched.metrics.points import Event, MetricsSink, Point
from pamiq_sched.metrics.recorder import Recorder
from pamiq_sched.runtime.threads import OwnThread

_logger = logging.getLogger(__name__)

Batch = tuple[Sequence[Point], Sequence[Event]]

SECONDS_BETWEEN_SAMPLES: Final = 1.0
"""How often the runtime records what it knows by itself, such as the steps per second."""

MOST_BATCHES: Final = 256
"""How many batches may wait for a sink: a minute of them. One that is slower for long loses the newest."""


class MetricsThread(OwnThread):
    """Empties the journals, and hands what was in them to whoever keeps it.

    Args:
        recorder: Has the journals.
        sample: Returns what the runtime knows by itself.
        takers: Called with each batch; they must not take long.
        interval: Machine seconds between two batches.
    """

    def __init__(
        self,
        recorder: Recorder,
        sample: Callable[[], Sequence[Point]],
        takers: Sequence[Callable[[Sequence[Point], Sequence[Event]], None]],
        interval: float,
    ) -> None:
        super().__init__("metrics")
        self._recorder = recorder
        self._sample = sample
        self._takers = takers
        self._interval = interval
        self._is_over = threading.Event()
        self._has_failed = False

    def stop(self, timeout: float) -> bool:
        """Collect once more, and end; return whether it has ended in time."""
        self._is_over.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @override
    def _main(self) -> None:
        sampled_at = time.monotonic()
        is_last = False
        while not is_last:
            is_last = self._is_over.wait(self._interval)
            now = time.monotonic()
            is_due = is_last or now - sampled_at >= SECONDS_BETWEEN_SAMPLES
            try:
                points, events = self._recorder.collect()
                if is_due:
                    sampled_at = now
                    points += self._sample()
            except Exception:
                # A property of the user's own that raises, say: numbers are not worth an agent's life.
                if not self._has_failed:
                    self._has_failed = True
                    _logger.exception("some numbers are lost (said once)")
                continue
            if points or events:
                for take in self._takers:
                    take(points, events)


class SinkThread(OwnThread):
    """Hands batches to one sink.

    Args:
        sink: Where they go.
        report: Called with a line about what went wrong; once.
    """

    def __init__(self, sink: MetricsSink, report: Callable[[str], None]) -> None:
        super().__init__(f"sink-{type(sink).__name__}")
        self._sink = sink
        self._report = report
        self._batches: queue.Queue[Batch | None] = queue.Queue(MOST_BATCHES)
        self._has_reported_loss = False

    def take(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        """Put a batch behind those that wait; never waits."""
        try:
            self._batches.put_nowait((points, events))
        except queue.Full:
            if not self._has_reported_loss:
                self._has_reported_loss = True
                self._report(f"{type(self._sink).__name__} is too slow: numbers are lost (said once)")

    def stop(self, timeout: float) -> bool:
        """Let it write what waits, and close it; return whether it has ended in time."""
        try:
            self._batches.put(None, timeout=timeout)
        except queue.Full:
            # It hangs: should it ever come back, it is to end.
            with self._batches.mutex:
                self._batches.queue.clear()
                self._batches.queue.append(None)
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @override
    def _main(self) -> None:
        try:
            while (batch := self._batches.get()) is not None:
                self._sink.write(*batch)
        except Exception as error:
            name = type(self._sink).__name__
            _logger.exception("a sink of numbers has failed and gets no more: %s", name)
            self._report(f"{name} failed and gets no more numbers; the agent lives on: {error!r}")
            while self._batches.get() is not None:  # so that nobody takes it for a slow one
                pass
        try:
            self._sink.close()
        except Exception as error:
            _logger.exception("a sink of numbers could not be closed")
            self._report(f"{type(self._sink).__name__} could not be closed: {error}")


class LogWatcher(logging.Handler):
    """Tells a recorder what the process logs.

    Args:
        recorder: Is told.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.INFO)
        self._recorder = recorder
        self._format = logging.Formatter("%(message)s")  # and the traceback behind it

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "is_told_as_event"):
            return
        try:
            text = self._format.format(record)
        except Exception:  # noqa: BLE001 - as in the library: a record that cannot be formatted ends nothing
            self.handleError(record)
            return
        self._recorder.tell("log", text, level=record.levelname, logger=record.name)

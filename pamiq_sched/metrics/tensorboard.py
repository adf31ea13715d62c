"""Numbers and events for TensorBoard.

Needs the package tensorboard and no torch; tensorflow is not loaded if it is there. A sink belongs to the thread
that writes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from time import time, time_ns
from typing import Any

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.metrics.points import Event, MetricsSink, Point


class TensorBoardSink(MetricsSink):
    """Writes event files that ``tensorboard --logdir DIRECTORY`` shows.

    Each name is a curve over its steps; a point that stands for several values is shown as their mean. Numbers
    are kept as float32, as TensorBoard does. Events but those of the log are texts below ``events/``, counted in
    seconds since the sink was made.

    Args:
        directory: Where the file goes; made if it is not there. Each run writes a file of its own, and a directory
            with the files of several is shown as one.

    Raises:
        ImportError: If tensorboard is not installed.
        TypeError: If the directory is no path.
        ValueError: If it is empty.
        OSError: If a file cannot be written there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sink = TensorBoardSink(folder)
        ...     sink.write([Point.single("dqn/loss", 1764000000.0, 100, 0.5)], [])
        ...     sink.close()
    """

    # No field needs a guard: all belong to the thread that writes.

    def __init__(self, directory: str | Path) -> None:
        directory = _checks.path("directory", directory)
        try:
            from tensorboard.compat.proto.event_pb2 import Event as Message  # noqa: PLC0415 - an extra
            from tensorboard.plugins.text.metadata import create_summary_metadata  # noqa: PLC0415
            from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415
        except ImportError as error:
            raise ImportError("event files need tensorboard: pip install 'pamiq-sched[tensorboard]'") from error
        self._message = Message
        self._as_text = create_summary_metadata(display_name=None, description=None)
        self._started = time()
        directory.mkdir(parents=True, exist_ok=True)
        # TensorBoard takes every file with "tfevents" in its name, in the order of the names.
        name = f"events.out.tfevents.{int(self._started):010d}.{socket.gethostname()}.{os.getpid()}.{time_ns()}"
        # Not tensorboard's EventFileWriter: that has a thread of its own, and loads tensorflow if it is installed.
        self._file = (directory / name).open("xb")
        self._records = RecordWriter(self._file)
        self._put(Message(wall_time=self._started, file_version="brain.Event:2"))
        self._file.flush()

    @override
    def write(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        # A message has one moment and one step, and may have many values: that costs half as much as several.
        messages: dict[tuple[float, int], Any] = {}
        for point in points:
            message = messages.get((point.time, point.step))
            if message is None:
                message = messages[point.time, point.step] = self._message(wall_time=point.time, step=point.step)
            message.summary.value.add(tag=point.name, simple_value=point.value)
        for message in messages.values():
            self._put(message)
        for event in events:
            if event.kind != "log":
                self._put(self._text(event))
        self._file.flush()

    @override
    def close(self) -> None:
        self._file.close()

    def _text(self, event: Event) -> Any:
        message = self._message(wall_time=event.time, step=max(0, int(event.time - self._started)))
        value = message.summary.value.add(tag=f"events/{event.kind.replace(' ', '_')}", metadata=self._as_text)
        value.tensor.dtype = 7  # a string
        # Indented, so that Markdown leaves paths and tracebacks as they are.
        text = "".join(f"    {line}\n" for line in event.text.splitlines())
        value.tensor.string_val.append(text.encode(errors="backslashreplace"))
        return message

    def _put(self, message: Any) -> None:
        self._records.write(message.SerializeToString())

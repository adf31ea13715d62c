"""Where numbers go: what components log, how long things take, and the sinks that keep it.

A name is looked up when it is first used: whoever only needs points and events loads nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_sched._lazy import lookup

if TYPE_CHECKING:
    from pamiq_sched.metrics.durations import (
        Durations as Durations,
        DurationWindow as DurationWindow,
    )
    from pamiq_sched.metrics.journal import (
        Journal as Journal,
        LoggingMixin as LoggingMixin,
    )
    from pamiq_sched.metrics.json_lines import (
        JsonLinesSink as JsonLinesSink,
        RecordedRun as RecordedRun,
        read_json_lines as read_json_lines,
    )
    from pamiq_sched.metrics.points import (
        Event as Event,
        MetricsSink as MetricsSink,
        Point as Point,
    )
    from pamiq_sched.metrics.recorder import (
        Recorder as Recorder,
    )
    from pamiq_sched.metrics.tensorboard import (
        TensorBoardSink as TensorBoardSink,
    )

_MODULE_OF = {
    "DurationWindow": "durations",
    "Durations": "durations",
    "Event": "points",
    "Journal": "journal",
    "JsonLinesSink": "json_lines",
    "LoggingMixin": "journal",
    "MetricsSink": "points",
    "Point": "points",
    "RecordedRun": "json_lines",
    "Recorder": "recorder",
    "TensorBoardSink": "tensorboard",
    "read_json_lines": "json_lines",
}

__all__ = list(_MODULE_OF)

if not TYPE_CHECKING:  # which would take any misspelt name for one
    __getattr__ = lookup(__name__, _MODULE_OF)

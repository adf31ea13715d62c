"""A run as a picture and as a page, from what a :class:`pamiq_sched.metrics.JsonLinesSink` wrote.

The page asks nothing of any other host and runs no script. Whatever comes from the files is text in it. No state;
any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_sched._lazy import lookup

if TYPE_CHECKING:
    from pamiq_sched.report.writing import write_report as write_report

_MODULE_OF = {"write_report": "writing"}

__all__ = list(_MODULE_OF)

if not TYPE_CHECKING:  # which would take any misspelt name for one
    __getattr__ = lookup(__name__, _MODULE_OF)

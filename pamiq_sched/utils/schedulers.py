"""Interval schedulers under the name that pamiq-core's users import; at home in :mod:`pamiq_sched.schedulers`."""

from pamiq_sched.schedulers import (
    Callback,
    CallbackIterable,
    Scheduler,
    StepIntervalScheduler,
    TimeIntervalScheduler,
)

__all__ = ["Callback", "CallbackIterable", "Scheduler", "StepIntervalScheduler", "TimeIntervalScheduler"]

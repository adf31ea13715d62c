"""The running system: three threads, numbered pauses, one handle.

The inference thread acts, the training thread learns, the control thread carries out what the handle is asked
for. What they share is in :mod:`pamiq_sched.runtime.controller`.
"""

from pamiq_sched.runtime.config import LaunchConfig
from pamiq_sched.runtime.control import SystemStoppedError
from pamiq_sched.runtime.launcher import launch
from pamiq_sched.runtime.status import Status, SystemStatus
from pamiq_sched.runtime.system import System

__all__ = ["LaunchConfig", "Status", "System", "SystemStatus", "SystemStoppedError", "launch"]

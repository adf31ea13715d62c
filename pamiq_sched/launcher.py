"""How a system is run, under the name that pamiq-core's users import; at home in :mod:`pamiq_sched.runtime`."""

from pamiq_sched.runtime import LaunchConfig, launch

__all__ = ["LaunchConfig", "launch"]

"""The hooks of a pause under the name that pamiq-core's users import; at home in :mod:`pamiq_sched.lifecycle`."""

from pamiq_sched.lifecycle import ThreadEventMixin

__all__ = ["ThreadEventMixin"]

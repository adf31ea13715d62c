"""Rooms under the names that pamiq-core's users import."""

from pamiq_sched.utils import schedulers

__all__ = ["schedulers"]

"""Buffers of Python objects under the name that pamiq-core's users import; at home in :mod:`pamiq_sched.data`."""

from pamiq_sched.data.random_replacement import DictRandomReplacementBuffer, RandomReplacementBuffer
from pamiq_sched.data.sequential import DictSequentialBuffer, SequentialBuffer

__all__ = ["DictRandomReplacementBuffer", "DictSequentialBuffer", "RandomReplacementBuffer", "SequentialBuffer"]

"""From agent to trainer: a collector on the acting side, a user with its buffer on the learning side.

Collecting is safe from any thread and never waits for training; the user moves what was collected into the
buffer when training asks for it. Buffers belong to the training thread.
"""

from pamiq_sched.data.buffer import DataBuffer
from pamiq_sched.data.collector import DataCollector
from pamiq_sched.data.containers import DataCollectorsDict, DataUsersDict
from pamiq_sched.data.random_replacement import DictRandomReplacementBuffer, RandomReplacementBuffer
from pamiq_sched.data.sequential import DictSequentialBuffer, SequentialBuffer
from pamiq_sched.data.user import DataUser

__all__ = [
    "DataBuffer",
    "DataCollector",
    "DataCollectorsDict",
    "DataUser",
    "DataUsersDict",
    "DictRandomReplacementBuffer",
    "DictSequentialBuffer",
    "RandomReplacementBuffer",
    "SequentialBuffer",
]

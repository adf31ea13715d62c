"""From agent to trainer: a collector on the acting side, a user with its buffer on the learning side.

Collecting is safe from any thread and never waits for training; the user moves what was collected into the
buffer when training asks for it. Buffers belong to the training thread. The buffers made of tensors are looked
up when they are first used: the others need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_sched._lazy import lookup
from pamiq_sched.data.buffer import DataBuffer
from pamiq_sched.data.collector import DataCollector
from pamiq_sched.data.containers import DataCollectorsDict, DataUsersDict
from pamiq_sched.data.random_replacement import DictRandomReplacementBuffer, RandomReplacementBuffer
from pamiq_sched.data.sequential import DictSequentialBuffer, SequentialBuffer
from pamiq_sched.data.user import DataUser

if TYPE_CHECKING:
    from pamiq_sched.data.tensor_ring import TensorRingBuffer as TensorRingBuffer
    from pamiq_sched.data.torchrl import TorchRLBuffer as TorchRLBuffer

_MODULE_OF = {"TensorRingBuffer": "tensor_ring", "TorchRLBuffer": "torchrl"}

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
    "TensorRingBuffer",
    "TorchRLBuffer",
]

if not TYPE_CHECKING:  # which would take any misspelt name for one
    __getattr__ = lookup(__name__, _MODULE_OF, ("impls", *_MODULE_OF.values()))


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})

"""What is kept: the protocol of components that have state, the codec, the store, when to save.

A state is a directory: JSON for structure, safetensors for numbers, nothing that could run code. Components
are saved by the control thread while the others stand still, so that they need no locks of their own for it.
"""

from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state.codec import decode, encode, load, save
from pamiq_sched.state.conditions import LatestStatesKeeper, PeriodicSaveCondition, StatesKeeper
from pamiq_sched.state.persistence import StateDictMixin
from pamiq_sched.state.store import StagedState, StateStore

__all__ = [
    "LatestStatesKeeper",
    "PeriodicSaveCondition",
    "PersistentStateMixin",
    "StagedState",
    "StateDictMixin",
    "StateStore",
    "StatesKeeper",
    "decode",
    "encode",
    "load",
    "save",
]

"""What is kept: the protocol of components that have state, the codec, the store, when to save.

A state is a directory: JSON for structure, safetensors for numbers, nothing that could run code. Components
are saved by one thread while the others stand still, so that they need no locks of their own for it.
"""

from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state.codec import decode, encode, load, save
from pamiq_sched.state.comparison import StateComparison, compare_states
from pamiq_sched.state.conditions import (
    BestStatesKeeper,
    LatestStatesKeeper,
    PeriodicSaveCondition,
    StatesKeeper,
    StepSaveCondition,
)
from pamiq_sched.state.files import FileSystem
from pamiq_sched.state.inspection import SavedState, SavedStates, inspect_state, inspect_states
from pamiq_sched.state.manifest import Manifest, StateDamagedError, latest_state
from pamiq_sched.state.persistence import StateDictMixin
from pamiq_sched.state.store import StagedState, StateStore

__all__ = [
    "BestStatesKeeper",
    "FileSystem",
    "LatestStatesKeeper",
    "Manifest",
    "PeriodicSaveCondition",
    "PersistentStateMixin",
    "SavedState",
    "SavedStates",
    "StagedState",
    "StateComparison",
    "StateDamagedError",
    "StateDictMixin",
    "StateStore",
    "StatesKeeper",
    "StepSaveCondition",
    "compare_states",
    "decode",
    "encode",
    "inspect_state",
    "inspect_states",
    "latest_state",
    "load",
    "save",
]

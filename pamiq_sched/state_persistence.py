"""What is kept, under the names that pamiq-core's users import; at home in :mod:`pamiq_sched.state`."""

from typing import TYPE_CHECKING

from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state import LatestStatesKeeper, PeriodicSaveCondition, StatesKeeper, StateStore

__all__ = ["LatestStatesKeeper", "PeriodicSaveCondition", "PersistentStateMixin", "StateStore", "StatesKeeper"]

_INSTEAD = {"save_pickle": "save(value, path)", "load_pickle": "load(path)"}

if not TYPE_CHECKING:  # which would take any misspelt name for one

    def __getattr__(name: str) -> object:
        if name in _INSTEAD:
            # An AttributeError would lose the message on its way through an import statement.
            raise ImportError(
                f"there is no {name} here: a pickle can run code when it is read; use pamiq_sched.state."
                f"{_INSTEAD[name]}, which keeps numbers, strings, lists, dicts, arrays and tensors"
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

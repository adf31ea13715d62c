"""All data of a system by name: users for the trainers, collectors for the agents."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.data.buffer import DataBuffer
from pamiq_sched.data.collector import DataCollector
from pamiq_sched.data.user import DataUser
from pamiq_sched.lifecycle import PersistentStateMixin, load_parts, save_parts


class DataCollectorsDict(UserDict[str, DataCollector[Any]]):
    """Collectors by name, each handed out once: two agents would mix up their data in one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._acquired: set[str] = set()
        super().__init__(*args, **kwargs)

    def acquire(self, collector_name: str) -> DataCollector[Any]:
        """Return a collector for the exclusive use of the caller.

        Raises:
            KeyError: If there is none of that name, or it was handed out already.
        """
        if collector_name not in self:
            raise KeyError(f"there is no data collector {collector_name!r}; there are {sorted(self)}")
        if collector_name in self._acquired:
            raise KeyError(
                f"the data collector {collector_name!r} is in use by another agent; "
                "give each agent a buffer of its own, or hand the collector on"
            )
        self._acquired.add(collector_name)
        return self[collector_name]


class DataUsersDict(UserDict[str, DataUser[Any]], PersistentStateMixin):
    """Data users by name; their collectors are in :attr:`data_collectors_dict`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._data_collectors_dict = DataCollectorsDict()
        super().__init__(*args, **kwargs)

    @property
    def data_collectors_dict(self) -> DataCollectorsDict:
        """The acting side of every user here."""
        return self._data_collectors_dict

    @override
    def __setitem__(self, key: str, item: DataUser[Any]) -> None:
        super().__setitem__(_checks.component_name("buffer", key), item)
        self._data_collectors_dict[key] = item.collector

    @classmethod
    def from_data_buffers(
        cls,
        buffer_map: Mapping[str, DataBuffer[Any, Any]] | None = None,
        /,
        *,
        clock: Clock | None = None,
        **buffers: DataBuffer[Any, Any],
    ) -> Self:
        """Make a user for each buffer.

        Args:
            buffer_map: Buffers by name.
            clock: Agent time; the system clock by default.
            **buffers: More buffers by name.
        """
        every = {**(buffer_map or {}), **buffers}
        return cls({name: DataUser(buffer, name=name, clock=clock) for name, buffer in every.items()})

    @override
    def persistent_parts(self) -> Mapping[str, PersistentStateMixin]:
        return self

    @override
    def save_state(self, path: Path) -> None:
        save_parts(self, path)

    @override
    def load_state(self, path: Path) -> None:
        load_parts(self, path)

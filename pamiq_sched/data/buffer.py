"""What a trainer learns from: the interface of buffers, and what the ``Dict...`` forms share.

A buffer belongs to the training thread; only its data user calls it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state import StateDictMixin

T = TypeVar("T")
R = TypeVar("R")


class DataBuffer(ABC, PersistentStateMixin, Generic[T, R]):
    """Holds items of type T and hands them out as an R.

    Args:
        max_queue_size: How many items may wait between two updates of the data user; beyond it the oldest
            are dropped, counted and reported. Without one, as many as the buffer holds (its ``max_size``, if
            it has one), else 65,536.

    Raises:
        ValueError: If it is less than 1: a queue of none would never deliver anything.
    """

    def __init__(self, max_queue_size: int | None = None) -> None:
        super().__init__()
        if max_queue_size is not None:
            max_queue_size = _checks.count("max_queue_size", max_queue_size, least=1, unit="item")
        self._max_queue_size = max_queue_size

    @property
    def max_queue_size(self) -> int | None:
        """How many items may wait for the buffer, as given."""
        return self._max_queue_size

    @abstractmethod
    def add(self, data: T) -> None:
        """Take in one item."""

    def break_sequence(self) -> None:
        """The next item will not follow the one before: an episode, a pause, a gap or a restart lies between."""

    @abstractmethod
    def get_data(self) -> R:
        """Return all that is held; the buffer may change afterwards without changing it."""

    @abstractmethod
    def __len__(self) -> int:
        """How many items are held."""


class ListBuffer(StateDictMixin, DataBuffer[T, list[T]]):
    """A buffer that hands out a list; its state holds that list as ``"items"``."""

    @property
    @abstractmethod
    def max_size(self) -> int:
        """How many items it holds at the most."""


class DictBuffer(StateDictMixin, DataBuffer[Mapping[str, T], dict[str, list[T]]]):
    """A buffer of mappings with fixed keys, handed out as one list for each key.

    Args:
        keys: What every item must have, and nothing else.
        rows: Where the items are kept.

    Raises:
        TypeError: If the keys are one string, or not strings.
        ValueError: If there are no keys, or one is empty.
    """

    def __init__(self, keys: Iterable[str], rows: ListBuffer[dict[str, T]]) -> None:
        super().__init__(rows.max_queue_size)
        # In the given order, so that what is handed out and saved does not depend on hashing.
        self._keys = _checks.names("keys", keys)
        if not self._keys:
            raise ValueError("a dict buffer needs at least one key, got none")
        self._rows = rows

    @property
    def keys(self) -> set[str]:
        """What every item must have."""
        return set(self._keys)

    @property
    def max_size(self) -> int:
        """How many items it holds at the most."""
        return self._rows.max_size

    @override
    def add(self, data: Mapping[str, T]) -> None:
        """Take in one item.

        Raises:
            ValueError: If its keys are not those of the buffer.
        """
        if data.keys() != self.keys:
            raise ValueError(
                f"an item must have exactly the keys {list(self._keys)}; "
                f"missing: {sorted(self.keys - data.keys())}, unknown: {sorted(data.keys() - self.keys)}"
            )
        self._rows.add(dict(data))

    @override
    def get_data(self) -> dict[str, list[T]]:
        rows = self._rows.get_data()
        return {key: [row[key] for row in rows] for key in self._keys}

    @override
    def __len__(self) -> int:
        return len(self._rows)

    @override
    def state_dict(self) -> dict[str, Any]:
        """What is held, by column: the codec writes a column of equal tensors as one."""
        state = self._rows.state_dict()
        del state["items"]
        return {**state, "columns": self.get_data()}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what was held.

        Raises:
            ValueError: If its keys are not those of the buffer.
        """
        columns = state.get("columns", {})
        _checks.state_keys(f"the columns of {type(self).__name__}", columns, self.keys)
        items = [
            dict(zip(self._keys, row, strict=True)) for row in zip(*map(columns.get, self._keys), strict=True)
        ]
        rows = {key: value for key, value in state.items() if key != "columns"}
        self._rows.load_state_dict({**rows, "items": items})


def max_size_of(buffer: DataBuffer[Any, Any]) -> int | None:
    """How many items a buffer holds at the most; None if it does not say."""
    size = getattr(buffer, "max_size", None)
    return size if isinstance(size, int) else None

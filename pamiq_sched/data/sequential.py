"""The latest items, in the order in which they came."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data.buffer import DictBuffer, ListBuffer

T = TypeVar("T")


class SequentialBuffer(ListBuffer[T]):
    """Keeps the latest items; a new one pushes out the oldest.

    Args:
        max_size: How many items to hold, at least 1.

    Raises:
        ValueError: If ``max_size`` is less than 1.

    Example:
        >>> buffer = SequentialBuffer(2)
        >>> for item in "abc":
        ...     buffer.add(item)
        >>> buffer.get_data()
        ['b', 'c']
    """

    def __init__(self, max_size: int) -> None:
        size = _checks.count("max_size", max_size, least=1, most=sys.maxsize, unit="item")
        super().__init__(size)
        self._items: deque[T] = deque(maxlen=size)
        self._max_size = size

    @property
    @override
    def max_size(self) -> int:
        """How many items it holds at the most."""
        return self._max_size

    @override
    def add(self, data: T) -> None:
        self._items.append(data)

    @override
    def get_data(self) -> list[T]:
        return list(self._items)

    @override
    def __len__(self) -> int:
        return len(self._items)

    @override
    def state_dict(self) -> dict[str, Any]:
        """The items, oldest first."""
        return {"items": list(self._items)}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the items; of more than ``max_size`` the latest."""
        _checks.state_keys(type(self).__name__, state, {"items"})
        self._items = deque(state["items"], maxlen=self._max_size)


class DictSequentialBuffer(DictBuffer[T]):
    """Keeps the latest mappings, one list for each key; see :class:`SequentialBuffer`.

    Args:
        keys: What every item must have, and nothing else.
        max_size: How many items to hold, at least 1.

    Example:
        >>> buffer = DictSequentialBuffer(["observation", "action"], max_size=100)
        >>> buffer.add({"observation": 0.5, "action": 1})
        >>> buffer.get_data()
        {'observation': [0.5], 'action': [1]}
    """

    def __init__(self, keys: Iterable[str], max_size: int) -> None:
        super().__init__(keys, SequentialBuffer[dict[str, T]](max_size))

"""A sample of all that ever came: when full, new items replace random old ones."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data.buffer import DictBuffer, ListBuffer

T = TypeVar("T")

LONGEST_QUEUE = 10_000_000
EULER_MASCHERONI = 0.5772156649015329


class RandomReplacementBuffer(ListBuffer[T]):
    """Fills up, then lets each new item replace a random one with a fixed probability.

    Args:
        max_size: How many items to hold, at least 1.
        replace_probability: Chance that a new item enters a full buffer, 0 to 1; 1 if nothing is given.
        expected_survival_length: How many added items it should take until all that a full buffer held is
            gone; gives the probability by :meth:`compute_replace_probability_from_expected_survival_length`.

    Raises:
        TypeError: If a value is no number, or a count not whole.
        ValueError: If a value is out of range, or both ways of giving the probability are used.

    Example:
        >>> buffer = RandomReplacementBuffer(2, replace_probability=0.0)
        >>> for item in "abc":
        ...     buffer.add(item)
        >>> buffer.get_data()
        ['a', 'b']
    """

    def __init__(
        self,
        max_size: int,
        replace_probability: float | None = None,
        expected_survival_length: int | None = None,
    ) -> None:
        size = _checks.count("max_size", max_size, least=1, most=sys.maxsize, unit="item")
        if replace_probability is None:
            replace_probability = (
                1.0
                if expected_survival_length is None
                else self.compute_replace_probability_from_expected_survival_length(size, expected_survival_length)
            )
        elif expected_survival_length is not None:
            raise ValueError(
                "replace_probability and expected_survival_length both set the probability, got "
                f"{replace_probability!r} and {expected_survival_length!r}; give one of them"
            )
        replace_probability = _checks.real("replace_probability", replace_probability, least=0, most=1)
        # So many new items turn a full buffer over once, on average; none ever do at probability 0. Bounded,
        # for a queue of billions is none.
        turnover = size / replace_probability if replace_probability else size
        super().__init__(math.ceil(min(turnover, max(size, LONGEST_QUEUE))))
        self._max_size = size
        self._replace_probability = replace_probability
        self._items: list[T] = []
        # A generator of its own, saved with the buffer, so that a resumed run replaces the same items;
        # seeded from the global one, so that random.seed() decides here as well.
        self._random = random.Random(random.getrandbits(64))  # noqa: S311 - no secret

    @staticmethod
    def compute_replace_probability_from_expected_survival_length(max_size: int, survival_length: int) -> float:
        r"""Return the probability at which a full buffer is turned over in ``survival_length`` items.

        To replace each of n slots takes :math:`n (\ln n + \gamma)` replacements on average, so

        .. math:: p = \min\left(1, \frac{n (\ln n + \gamma)}{s}\right)

        Args:
            max_size: n, at least 1.
            survival_length: s, in added items, at least 1.

        Source: the coupon collector's problem; Motwani & Raghavan, Randomized Algorithms, 3.6.
        """
        most = sys.maxsize
        size = _checks.count("max_size", max_size, least=1, most=most, unit="item")
        length = _checks.count("expected_survival_length", survival_length, least=1, most=most, unit="item")
        return min(1.0, size * (math.log(size) + EULER_MASCHERONI) / length)

    @property
    @override
    def max_size(self) -> int:
        """How many items it holds at the most."""
        return self._max_size

    @property
    def is_full(self) -> bool:
        """Whether new items replace old ones."""
        return len(self._items) >= self._max_size

    @override
    def add(self, data: T) -> None:
        if not self.is_full:
            self._items.append(data)
        elif self._random.random() < self._replace_probability:
            self._items[self._random.randrange(self._max_size)] = data

    @override
    def get_data(self) -> list[T]:
        return self._items.copy()

    @override
    def __len__(self) -> int:
        return len(self._items)

    @override
    def state_dict(self) -> dict[str, Any]:
        """The items and the state of the random generator."""
        return {"items": self._items.copy(), "random": self._random.getstate()}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the items, as many as fit, and the random generator."""
        _checks.state_keys(type(self).__name__, state, {"items", "random"})
        self._random.setstate(state["random"])
        self._items = list(state["items"])[: self._max_size]


class DictRandomReplacementBuffer(DictBuffer[T]):
    """Mappings with random replacement, one list for each key; see :class:`RandomReplacementBuffer`.

    Args:
        keys: What every item must have, and nothing else.
        max_size: As there.
        replace_probability: As there.
        expected_survival_length: As there.

    Example:
        >>> buffer = DictRandomReplacementBuffer(["frame"], max_size=100, expected_survival_length=1000)
        >>> buffer.add({"frame": 1})
        >>> len(buffer)
        1
    """

    def __init__(
        self,
        keys: Iterable[str],
        max_size: int,
        replace_probability: float | None = None,
        expected_survival_length: int | None = None,
    ) -> None:
        rows = RandomReplacementBuffer[dict[str, T]](max_size, replace_probability, expected_survival_length)
        super().__init__(keys, rows)

    @property
    def is_full(self) -> bool:
        """Whether new items replace old ones."""
        return len(self) >= self.max_size

"""Where what a component logs waits until it is taken.

The invariant is that logging is cheap and never waits: a value is put behind a list, in one operation that the
interpreter makes whole, and what becomes of it is another thread's work. Any thread may log.
"""

from __future__ import annotations

import logging
import math
from numbers import Real
from time import monotonic
from typing import Any, Final

from typing_extensions import override

_logger = logging.getLogger(__name__)

MOST_NAMES: Final = 1000
"""How many names a component may log by: one more is a mistake, a name made of a counter say, that would fill the
memory of a run of days."""
LONGEST_NAME: Final = 200


Mark = tuple[int, float]
"""A count of steps, and a moment of it (``time.monotonic()``)."""


class Steps:
    """What the values of a component, and of those below it, are counted by. Belongs to the component's thread."""

    __slots__ = ("count", "journals")

    def __init__(self) -> None:
        self.count = 0
        self.journals: list[Journal] = []
        """Those that count by it; complete before the threads start."""

    def advance(self, count: int) -> None:
        """Note that there are so many now.

        What was logged since the last call gets its mark here, once for all values of a step: a mark for each
        would cost as much again as to log it.
        """
        mark = self.count, monotonic()
        self.count = count
        for journal in self.journals:
            for waiting in list(journal.lists.values()):
                if waiting and waiting[-1].__class__ is not tuple:
                    waiting.append(mark)


class Journal:
    """The values of a component that wait to be taken.

    Each of its lists holds the values of a step, the step's :data:`Mark` behind them, and so on; the values of the
    present step have none yet.

    Args:
        prefix: What the component is called; put before each of its names.
        steps: What its values are counted by; its own if not given.
    """

    def __init__(self, prefix: str, steps: Steps | None = None) -> None:
        self.lists: dict[str, list[Any]] = {}
        """By name."""
        self.prefix = prefix
        self.steps = Steps() if steps is None else steps
        self.steps.journals.append(self)
        self._has_warned = False

    def child(self, name: str) -> Journal:
        """Return a journal for a component below this one."""
        return Journal(f"{self.prefix}/{name}", self.steps)

    def new_list(self, name: str) -> list[Any]:
        """Make room for a new name.

        Raises:
            TypeError: If it is no string.
            ValueError: If it is empty or too long.
        """
        if not isinstance(name, str):
            raise TypeError(f'the name of a logged value must be a string such as "loss", got {name!r}')
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(
                f"the name of a logged value must have 1 to {LONGEST_NAME} characters, got {len(name)}: {name!r}"
            )
        if len(self.lists) >= MOST_NAMES:
            if self.prefix and not self._has_warned:
                self._has_warned = True
                _logger.warning(
                    "%s logs by more than %d names: %r and other new ones are not kept. Put what changes into the "
                    "value, not into the name (said once)",
                    self.prefix,
                    MOST_NAMES,
                    name,
                )
            return _NOWHERE
        return self.lists.setdefault(name, self._list())  # two threads that log by a new name get the same one

    def _list(self) -> list[Any]:
        return []


class _Nowhere(list[Any]):
    """Keeps nothing."""

    @override
    def append(self, value: Any, /) -> None:
        return


_NOWHERE = _Nowhere()


class _NoJournal(Journal):
    """The journal of a component whose numbers nobody wants."""

    def __init__(self) -> None:
        super().__init__("")
        self.steps.journals.clear()  # it has nothing to mark, however many names it is told

    @override
    def child(self, name: str) -> Journal:
        return self

    @override
    def _list(self) -> list[Any]:
        return _NOWHERE


NO_JOURNAL: Final[Journal] = _NoJournal()


class LoggingMixin:
    """A component that logs numbers."""

    # Both replaced before the threads start. The lists of the journal are at hand because that saves a fifth of
    # what logging costs.
    _journal: Journal = NO_JOURNAL
    _lists: dict[str, list[Any]] = NO_JOURNAL.lists

    def log(self, name: str, value: Any) -> None:
        """Keep a number for people to look at: sinks, the dashboard, ``pamiq-sched watch``.

        Any thread may call it, as often as it likes: it costs a fraction of a microsecond and waits for nothing.
        The number goes by ``<trainer>/<name>`` or ``agent/<name>``. Where no system runs the component, or none
        that has sinks or a dashboard, nothing is kept.

        Args:
            name: What it is, such as ``"loss"``; the same for every value of a kind.
            value: A real number, or a tensor or array of one element. One on another device is read later, by
                another thread: training does not wait for the device.

        Raises:
            TypeError: If the name is no string, or the value no real number.
            ValueError: If the tensor has several elements, or the name none or more than 200 characters.
        """
        if value.__class__ is not float:
            value = number(name, value)
        try:
            self._lists[name].append(value)
        except KeyError:
            self._journal.new_list(name).append(value)

    def attach_journal(self, journal: Journal) -> None:
        """Take where numbers are logged to; the runtime calls this before it starts."""
        self._journal, self._lists = journal, journal.lists


def number(name: str, value: Any) -> Any:
    """Return a float, or something that has one: a copy of a tensor that is on another device.

    Raises:
        TypeError: If it is no real number.
        ValueError: If it is a tensor or an array of several elements.
    """
    if hasattr(value, "item"):  # a tensor, an array, a scalar of numpy
        if math.prod(value.shape) != 1:
            raise ValueError(
                f"a logged value must be one number, got {name!r} of shape {tuple(value.shape)}; log its mean(), "
                "or each element by a name of its own"
            )
        if not getattr(value, "is_cpu", True):
            # To ask for its value would wait for all that the device still has to do. The copy is made there,
            # behind what computes the value and ahead of what may overwrite it.
            return value.detach().clone()
        value = value.item()
    if not isinstance(value, Real):
        raise TypeError(f"a logged value must be a real number, got {value!r} for {name!r}")
    return float(value)

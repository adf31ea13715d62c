"""Where what a component logs waits until it is taken.

The invariant is that logging is cheap and never waits: a value is put behind a list, in one operation that the
interpreter makes whole, and what becomes of it is another thread's work. Any thread may log.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from numbers import Real
from time import monotonic
from typing import Any, Final

from typing_extensions import override

_logger = logging.getLogger(__name__)

MOST_NAMES: Final = 1000
"""How many names a component may log by: one more is a mistake, a name made of a counter say, that would fill the
memory of a run of days."""
LONGEST_NAME: Final = 200


class Steps:
    """What the values of a component, and of those below it, are counted by. Belongs to the component's thread."""

    __slots__ = ("mark",)

    def __init__(self) -> None:
        self.mark = (0, monotonic())
        """The count, and when it came to it (``time.monotonic()``); replaced whole, so that any thread may log by
        it. Noted once for all values of a step, since to ask for the time costs half of what logging costs."""

    def advance(self, count: int) -> None:
        """Note that there are so many now."""
        self.mark = count, monotonic()


class Journal(dict[str, "list[Any]"]):
    """The values of a component that wait to be taken, by name.

    Each list holds a value, the mark of its step, another value, and so on: no new objects, which would keep the
    garbage collector busy.

    Args:
        prefix: What the component is called; put before each of its names.
        steps: What its values are counted by; its own if not given.
    """

    __slots__ = ("_has_warned", "children", "prefix", "steps")

    def __init__(self, prefix: str, steps: Steps | None = None) -> None:
        super().__init__()
        self.prefix = prefix
        self.steps = Steps() if steps is None else steps
        self.children: list[Journal] = []
        """Those of the components below; complete before the threads start."""
        self._has_warned = False

    def child(self, name: str) -> Journal:
        """Return a journal for a component below this one."""
        journal = Journal(f"{self.prefix}/{name}", self.steps)
        self.children.append(journal)
        return journal

    def __missing__(self, name: str) -> list[Any]:
        """Make room for a new name."""
        if not isinstance(name, str):
            raise TypeError(f'the name of a logged value must be a string such as "loss", got {name!r}')
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(
                f"the name of a logged value must have 1 to {LONGEST_NAME} characters, got {len(name)}: {name!r}"
            )
        if len(self) >= MOST_NAMES:
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
        return self.setdefault(name, self._new_list())  # two threads that log by a new name get the same one

    def _new_list(self) -> list[Any]:
        return []


class _Nowhere(list[Any]):
    """Keeps nothing."""

    @override
    def extend(self, values: Iterable[Any], /) -> None:
        return


_NOWHERE = _Nowhere()


class _NoJournal(Journal):
    """The journal of a component whose numbers nobody wants."""

    @override
    def child(self, name: str) -> Journal:
        return self

    @override
    def _new_list(self) -> list[Any]:
        return _NOWHERE


NO_JOURNAL: Final[Journal] = _NoJournal("")


class LoggingMixin:
    """A component that logs numbers."""

    _journal: Journal = NO_JOURNAL  # replaced before the threads start

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
        journal = self._journal
        journal[name].extend((value, journal.steps.mark))

    def attach_journal(self, journal: Journal) -> None:
        """Take where numbers are logged to; the runtime calls this before it starts."""
        self._journal = journal


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

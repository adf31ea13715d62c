"""How much a trainer has drawn from its data, and whether it may draw more: a token bucket, in samples.

Every collected item pays for max_ratio samples; a session may begin while there is credit, and what it draws is
taken off, below zero too. So at any moment drawn <= max_ratio * collected + one session, and since a debt is
carried on, the ratio itself is reached in the long run. Credit is exact: no rounding decides which item pays, so
neither the way in which items are bunched nor a save changes when a session begins. Belongs to the training
thread; the ratio may be read by any.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pamiq_sched import _checks
from pamiq_sched.data import DataUser


class ReplayAccount:
    """What the sessions of one trainer draw from one data user.

    Args:
        max_ratio: Samples that may be drawn per item; None for no limit.
        burst: How many items' worth of credit is kept at the most.
    """

    def __init__(self, max_ratio: float | None, burst: int) -> None:
        self.max_ratio = max_ratio
        # Of the digits that were written: 0.1 is a tenth, which no float is. Credit is a whole number of parts:
        # so many are paid by an item, so many cost a sample.
        self._per_item, self._per_sample = Fraction(repr(max_ratio or 0)).as_integer_ratio()
        self._most = burst * self._per_item
        self._credit = 0
        self._credited = 0  # how many items had ever been added when the credit was reckoned
        self._user: DataUser[Any] | None = None
        self._added_at_first = 0  # so many of them were there when this process began to count
        self._drawn = 0
        self._sampled_at_begin: int | None = None  # the data user's count; None between sessions

    def attach(self, user: DataUser[Any]) -> None:
        """Count on ``user``; what was added to it already is not new."""
        self._user = user
        self._credited = self._added_at_first = user.added

    def allows(self) -> bool:
        """Whether a session may begin now."""
        if self._user is None or self.max_ratio is None:
            return True
        self._user.update()
        added = self._user.added
        self._credit = min(self._credit + (added - self._credited) * self._per_item, self._most)
        self._credited = added
        return self._credit > 0

    def begin(self) -> None:
        """Count what is drawn from here on."""
        self._sampled_at_begin = None if self._user is None else self._user.sampled

    def end(self) -> int:
        """Take off what was drawn since :meth:`begin`, and return it."""
        drawn = self._drawn_in_session()
        self._sampled_at_begin = None
        self._drawn += drawn
        self._credit -= drawn * self._per_sample
        return drawn

    def _drawn_in_session(self) -> int:
        if self._user is None or self._sampled_at_begin is None:
            return 0
        return self._user.sampled - self._sampled_at_begin

    @property
    def ratio(self) -> float | None:
        """Samples drawn per item collected since this process began to count; None before the first item."""
        collected = 0 if self._user is None else self._user.added - self._added_at_first
        return self._drawn / collected if collected > 0 else None

    def state_dict(self) -> dict[str, Any]:
        """The credit in samples, and up to which item it is reckoned; a session under way has paid so far."""
        if self.max_ratio is None:
            # A limit that is set later starts from here.
            return {"credit": "0", "credited": 0 if self._user is None else self._user.added}
        credit = self._credit - self._drawn_in_session() * self._per_sample
        return {"credit": str(Fraction(credit, self._per_sample)), "credited": self._credited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`, which may be that of another ratio; the data is loaded before."""
        _checks.state_keys("the replay ratio", state, {"credit", "credited"})
        self._credit = int(Fraction(state["credit"]) * self._per_sample)
        self._credited = int(state["credited"])
        self._added_at_first = 0 if self._user is None else self._user.added

"""What the threads of a system share: one order, and the places where it is obeyed.

The order is an immutable pair of a number and a kind, replaced as a whole by the control thread. A thread
that meets a pause calls its hooks, then acknowledges the order's number, then waits for another order. A
pause is done when every thread has acknowledged its number; an old acknowledgement can never stand for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from enum import Enum
from typing import Any, NamedTuple

from pamiq_sched.lifecycle import ShutdownRequested


class Kind(Enum):
    """What threads are to do."""

    RUN = "run"
    HOLD = "hold"
    """Go on; but whoever learns stops behind the session under way, so that it is saved whole."""
    PAUSE = "pause"
    SHUT_DOWN = "shut down"


class Order(NamedTuple):
    """What threads are to do, and the number of the order."""

    number: int
    kind: Kind


class Controller:
    """Holds the current order. Only the control thread gives orders; any thread reads and waits.

    Args:
        on_order: Called after each new order, to wake those who sleep on something else.
    """

    def __init__(self, on_order: Callable[[], None] = lambda: None) -> None:
        self._changed = threading.Condition()  # guards the replacement of order, for those who wait for it
        self.order = Order(0, Kind.RUN)  # read without the lock: one reference, replaced as a whole
        self.on_order = on_order
        """Wakes those who sleep on something else."""

    def give(self, kind: Kind) -> Order:
        """Replace the order by one with the next number."""
        with self._changed:
            self.order = order = Order(self.order.number + 1, kind)
            self._changed.notify_all()
        self.on_order()
        return order

    def wait_for_other_than(self, order: Order) -> Order:
        """Wait until the order is not ``order`` any more; return what it is."""
        with self._changed:
            self._changed.wait_for(lambda: self.order is not order)
            return self.order


class Errand:
    """Something to be done between two steps of a thread, and where the outcome goes.

    Args:
        action: What to do.
        outcome: Gets what it returns, or raises.
    """

    def __init__(self, action: Callable[[], Any], outcome: Future[Any]) -> None:
        self._action = action
        self._outcome = outcome

    def run(self) -> None:
        """Do it; whatever it raises is for whoever asked."""
        try:
            result = self._action()
        except BaseException as error:  # noqa: BLE001 - it is delivered
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(result)

    def refuse(self, error: BaseException) -> None:
        """Have it not done."""
        self._outcome.set_exception(error)


class Errands:
    """Errands of a thread; others put them, and whoever runs them takes each out whole.

    That is the thread itself, or the control thread while that one stands still.
    """

    def __init__(self) -> None:
        self.waiting: deque[Errand] = deque()

    def run(self) -> None:
        """Run all that wait."""
        for errand in self.take():
            errand.run()

    def take(self) -> Iterator[Errand]:
        """Take out all that wait, one by one."""
        while self.waiting:
            try:
                yield self.waiting.popleft()
            except IndexError:  # the other one was faster
                return


class ThreadPausePoint:
    """Where one thread obeys the order: a :class:`pamiq_sched.lifecycle.PausePoint`.

    Args:
        controller: Holds the order.
        on_paused: The thread's hooks, called before each acknowledgement.
        on_resumed: The thread's hooks, called once for each call of ``on_paused``.
        acknowledge: Called with the number of a pause when the thread stands still.
        errands: What others want to be done here.
    """

    def __init__(
        self,
        controller: Controller,
        on_paused: Callable[[], None],
        on_resumed: Callable[[], None],
        acknowledge: Callable[[int], None],
        errands: Errands,
    ) -> None:
        self._errands = errands
        self._controller = controller
        self._on_paused = on_paused
        self._on_resumed = on_resumed
        self._acknowledge = acknowledge
        self._owner: int | None = None  # set by the owner, before it reaches any pause point
        self.is_stopped = False
        """Whether the thread is between its two hooks; written by the thread itself, read by any."""
        self.passes = 0
        """How often the thread has come by: by this the watchdog sees that it lives. Written by the thread itself;
        whether a thread of the user's own that comes by is counted does not matter."""

    def own(self) -> None:
        """Make the calling thread the one whose stops count."""
        self._owner = threading.get_ident()

    def is_requested(self) -> bool:
        """Whether the order is to stop."""
        return self._controller.order.kind in (Kind.PAUSE, Kind.SHUT_DOWN)

    def __call__(self) -> None:
        """Stop here while the order is to pause.

        Raises:
            ShutdownRequested: If the order is to shut down.
        """
        self.passes += 1
        if self._errands.waiting and threading.get_ident() == self._owner:
            self._errands.run()
        order = self._controller.order
        if order.kind is Kind.RUN or order.kind is Kind.HOLD:
            return
        if threading.get_ident() != self._owner:
            self._stop_foreign_thread(order)
            return
        if self.is_stopped:
            return  # called from one of the hooks
        while order.kind is Kind.PAUSE:
            self.is_stopped = True
            try:
                self._on_paused()
                self._acknowledge(order.number)
                # Another pause may have come right behind the resume: then this one ends first.
                order = self._controller.wait_for_other_than(order)
                self._on_resumed()
            finally:
                self.is_stopped = False
        if order.kind is Kind.SHUT_DOWN:
            raise ShutdownRequested

    def between_sessions(self) -> None:
        """Stop here while the order is to hold, without hooks: nothing is paused yet."""
        order = self._controller.order
        while order.kind is Kind.HOLD:
            self._acknowledge(order.number)
            order = self._controller.wait_for_other_than(order)

    def _stop_foreign_thread(self, order: Order) -> None:
        # A thread of the user's own, stepping an optimizer say: it stands still too, but its stop must not
        # pass for that of the thread that the pause waits for.
        while order.kind is Kind.PAUSE:
            order = self._controller.wait_for_other_than(order)
        if order.kind is Kind.SHUT_DOWN:
            raise ShutdownRequested

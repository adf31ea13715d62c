"""What running systems take of their process, and give back: cores, turns at the interpreter, long collections.

Cores and timers are each thread's own. The other two are the process's: the first system that runs sets them,
the last one that ends puts them back. Called by the thread that starts a system and by the one that ends it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading

PR_SET_TIMERSLACK = 29  # of linux/prctl.h

FEW_OBJECTS = 1_000
"""Python 3.12 begins with some hundreds that are frozen; a program that freezes its own has tens of thousands."""


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_threads() -> int | None:
    """How many cores a torch operation of the calling thread may use; None if torch is not loaded."""
    return None if (torch := sys.modules.get("torch")) is None else torch.get_num_threads()


def limit_torch_threads(number: int) -> None:
    """Let torch operations of the calling thread use so many cores; does nothing if torch is not loaded."""
    # Asked first, for it has a side effect: a thread's first use takes over the number that another thread
    # set last, and would undo ours if it came later.
    if torch_threads() is not None:
        sys.modules["torch"].set_num_threads(number)


def sharpen_timers() -> None:
    """Let sleeps and timed waits of the calling thread end when they are due.

    Linux lets them end up to 50 us later, to wake the processor less often. That is every step of an agent, and
    every turn at the interpreter that it waits for. Elsewhere, or where it is not allowed, nothing is changed.
    """
    if sys.platform == "linux":
        nanosecond = ctypes.c_ulong(1)
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, nanosecond, *[ctypes.c_ulong(0)] * 3)


class Interpreter:
    """The interpreter's settings while systems run; there is one, :data:`interpreter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all that follows
        self._intervals: dict[object, float] = {}  # what each running system wants
        self._interval_before = 0.0
        self._interval_set = 0.0
        self._freezing: set[object] = set()

    def prepare(self, system: object, *, switch_interval: float | None, freeze_garbage: bool) -> None:
        """Take over the settings of a system that starts.

        Args:
            system: Whose they are.
            switch_interval: After how many seconds a thread that computes in Python lets another one go on; of
                several systems the shortest counts. None leaves it as it is.
            freeze_garbage: Whether to collect what is garbage now, and to leave out of later collections what is
                not. Does nothing if the program has frozen objects by itself.
        """
        with self._lock:
            if switch_interval is not None:
                if not self._intervals:
                    self._interval_before = sys.getswitchinterval()
                self._intervals[system] = switch_interval
                self._set_interval(min(self._intervals.values()))
            if freeze_garbage and (self._freezing or gc.get_freeze_count() < FEW_OBJECTS):
                gc.collect()
                gc.freeze()
                self._freezing.add(system)

    def restore(self, system: object) -> None:
        """Put back what a system changed, as far as no other one runs. Does nothing the second time."""
        with self._lock:
            # What the program has set meanwhile is its own.
            is_ours = sys.getswitchinterval() == self._interval_set
            if self._intervals.pop(system, None) is not None and is_ours:
                self._set_interval(min(self._intervals.values(), default=self._interval_before))
            if system in self._freezing:
                self._freezing.discard(system)
                if not self._freezing:
                    gc.unfreeze()

    def _set_interval(self, seconds: float) -> None:
        sys.setswitchinterval(seconds)
        self._interval_set = sys.getswitchinterval()  # which is rounded


interpreter = Interpreter()

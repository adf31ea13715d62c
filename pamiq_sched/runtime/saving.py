"""One save, on a thread of its own: it takes the state while the others stand still, and writes it while they run.

So the control thread stays ready for orders however long a hook or the disk takes. What the save has come to is
written by its own thread only, before each report; the control thread reads it after.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from typing_extensions import override

from pamiq_sched.runtime.budget import core_count, limit_torch_threads
from pamiq_sched.runtime.threads import WatchedThread
from pamiq_sched.state import StagedState, StatesKeeper, StateStore


class Progress(IntEnum):
    """How far a save has come."""

    TAKING = 0
    """Components are asked for their states; nothing else may run."""
    WRITING = 1
    """What they held is taken, and being written."""
    TIDYING = 2
    """It is on the disk and visible; the keeper removes old ones."""
    OVER = 3
    """It was done, or has failed."""


class Save(WatchedThread):
    """Takes and writes one state.

    Args:
        store: Saves the components.
        keeper: Is told of the new state, if there is one.
        about: Returns what to note in the manifest; called before the components are asked.
        report: Called with this save whenever it has come further.
        errors: What ended the run, if it has crashed: the state is marked by it.
    """

    def __init__(
        self,
        store: StateStore,
        keeper: StatesKeeper | None,
        about: Callable[[], Mapping[str, Any]],
        report: Callable[[Save], None],
        errors: tuple[BaseException, ...] = (),
    ) -> None:
        super().__init__("saving")
        self._store = store
        self._keeper = keeper
        self._about = about
        self._report = report
        self._crash = errors
        self.is_of_crash = bool(errors)
        # Guards the step from taking to writing: either it is made, or the save is given up.
        self._lock = threading.Lock()
        self.is_given_up = False
        self._has_thread = True
        self.progress = Progress.TAKING
        self.path: Path | None = None
        """Where the state is, once it is on the disk."""
        self.unsaved: dict[str, str] = {}
        """Components of a crashed run that could not be saved, and why."""
        self.error: BaseException | None = None
        """What the save has failed by; once there is a path, what the keeper has."""

    @override
    def start(self) -> None:
        """Start working; where no thread can be made, do all of it now, while orders wait."""
        try:
            super().start()
        except RuntimeError:
            # The process has too many, or this is Python 3.12, which makes none while a program ends: one that has
            # not ended its system, which is saved then.
            self._has_thread = False
            self._main()

    @override
    def join(self) -> None:
        if self._has_thread:
            super().join()

    @property
    @override
    def passes(self) -> int:
        """How far it has come."""
        return int(self.progress)

    def give_up(self) -> bool:
        """Give the save up, unless all components have handed over what they hold; from now on that may change.

        Returns:
            Whether it is given up.
        """
        with self._lock:
            self.is_given_up = self.progress is Progress.TAKING
        return self.is_given_up

    @override
    def _main(self) -> None:
        try:
            limit_torch_threads(core_count())  # while the others stand still, copies may use every core
            staged = self._take()
            self.unsaved = staged.manifest.failed
            with self._lock:
                if not self.is_given_up:
                    self.progress = Progress.WRITING
            if self.is_given_up:
                self._store.discard(staged)
                raise TimeoutError("given up, for it took too long")
            self._report(self)
            self.path = self._store.publish(staged)
            del staged
            self._come_to(Progress.TIDYING)
            # That of a crashed run is for people to look at: it counts for none of those to be kept.
            if self._keeper is not None and not self.is_of_crash:
                self._keeper.append(self.path)
                self._keeper.cleanup()
        except BaseException as error:  # noqa: BLE001 - the control thread raises it
            self.error = error
        self._come_to(Progress.OVER)

    def _take(self) -> StagedState:
        about = dict(self._about())
        if self._keeper is not None and not self.is_of_crash:
            about.update(self._keeper.about())
        text = "\n".join("".join(traceback.format_exception(error)) for error in self._crash)
        return self._store.stage(crashed=self.is_of_crash, traceback=text, about=about)

    def _come_to(self, progress: Progress) -> None:
        self.progress = progress
        self._report(self)

"""What lets people watch a system, and reach it from elsewhere: numbers, sinks, HTTP control.

All of it is made, started and ended here, beside the three threads; without sinks and without HTTP control there
is nothing of it. Belongs to the thread that starts the system, and at the end to the control thread.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Protocol

from pamiq_sched._text import program
from pamiq_sched.metrics.journal import NO_JOURNAL
from pamiq_sched.metrics.recorder import Recorder
from pamiq_sched.runtime.changes import Changes
from pamiq_sched.runtime.components import Components
from pamiq_sched.runtime.config import LaunchConfig
from pamiq_sched.runtime.control import Verb
from pamiq_sched.runtime.numbers import LogWatcher, MetricsThread, SinkThread
from pamiq_sched.runtime.reporter import Reporter
from pamiq_sched.runtime.web import Command, WebControl, new_token, require_server

_logger = logging.getLogger(__name__)

LEAST_TO_END: Final = 1.0
"""Seconds that a sink gets to write what waits, though another one that hangs has taken up the time there is."""


class Submit(Protocol):
    """What a command is given to; see :meth:`pamiq_sched.runtime.control.ControlThread.submit`."""

    def __call__(self, verb: Verb, *, is_awaited: bool, action: Callable[[], Any] | None = None) -> Future[Any]:
        """Ask for something."""


class Watch:
    """All of it, of one system.

    Args:
        config: Says what there is to be.
        components: Log to journals, if somebody takes the numbers.
        recorder: Has the journals.
        reporter: Tells of the system.

    Raises:
        ImportError: If HTTP control is wanted and what it is made of is not installed.
    """

    def __init__(
        self,
        config: LaunchConfig,
        components: Components,
        recorder: Recorder,
        reporter: Reporter,
    ) -> None:
        self._config = config
        self._components = components
        self._recorder: Recorder | None = None
        self._reporter = reporter
        self._web: WebControl | None = None
        self._sinks = [SinkThread(sink, self._report) for sink in config.metrics_sinks]
        self._log_watcher: LogWatcher | None = None
        if not self._sinks and config.web_api_address is None:
            components.attach_journals(lambda _: NO_JOURNAL)
            return
        if config.web_api_address is not None:
            require_server()
        self._recorder = recorder
        components.attach_journals(recorder.open)

    def attach(self, changes: Changes, submit: Submit, request_shutdown: Callable[[str], None]) -> None:
        """Take what HTTP control works; called once, before :meth:`open`."""
        address, token = self._config.web_api_address, self._config.web_api_token
        if address is not None:
            self._web = WebControl(
                (address[0], address[1]),
                new_token() if token is True else (token or None),
                self._config.web_api_command_queue_size,
                self._reporter.describe,
                _commands(changes, submit, request_shutdown),
            )

    def open(self) -> None:
        """Take the port, if there is to be one.

        Raises:
            OSError: If it is taken.
        """
        if self._web is not None:
            self._web.open()

    def start(self) -> None:
        """Start what there is; right before the threads of the system.

        Raises:
            RuntimeError: If HTTP control does not come to serve.
        """
        if self._recorder is None:
            return
        if self._web is not None:
            self._web.serve()
        self._log_watcher = LogWatcher(self._recorder)
        logging.getLogger().addHandler(self._log_watcher)
        self._reporter.start()
        self.tell("started", f"{program()} has started", steps=self._components.interaction.steps)
        takers = [sink.take for sink in self._sinks]
        if self._web is not None:
            takers.append(self._web.take)
        for sink in self._sinks:
            sink.start()
        self._metrics = MetricsThread(self._recorder, self._reporter.sample, takers, self._config.metrics_interval)
        self._metrics.start()

    def stop(self, errors: Sequence[BaseException]) -> None:
        """Tell those who watch of the end, once nothing else of the system runs.

        Args:
            errors: What ended the system.
        """
        self._components.attach_journals(lambda _: NO_JOURNAL)  # nobody would take what is logged from now on
        threads: list[MetricsThread | SinkThread] = [*self._sinks]
        if self._log_watcher is None:  # it never came to start()
            for sink in self._sinks:
                sink.start()  # which alone may close it
        else:
            self.tell("ended", "ended by an error" if errors else "ended", errors=len(errors))
            logging.getLogger().removeHandler(self._log_watcher)
            threads.insert(0, self._metrics)
        deadline = time.monotonic() + self._config.shutdown_timeout
        for thread in threads:
            if not thread.stop(max(deadline - time.monotonic(), LEAST_TO_END)):
                text = "numbers are lost: the %s thread does not end; it is at\n%s"
                _logger.error(text, thread.name, thread.stack())
        if self._web is not None:
            self._web.stop(["".join(traceback.format_exception(error)) for error in errors])

    def tell(self, kind: str, text: str, **details: Any) -> None:
        """Tell those who watch of an event; any thread."""
        if self._recorder is not None:
            self._recorder.tell(kind, text, **details)
        if self._web is not None and kind == "state":
            self._web.note_state()

    def _report(self, text: str) -> None:
        self.tell("log", text, level="ERROR", logger=__name__)


def _commands(changes: Changes, submit: Submit, request_shutdown: Callable[[str], None]) -> Mapping[str, Command]:
    """Return what HTTP control may ask for, by name."""

    def shut_down(_: Mapping[str, Any]) -> None:
        request_shutdown("asked for by HTTP")

    def set_hyperparameter(given: Mapping[str, Any]) -> Future[Any]:
        where = given.get("optimizer"), given.get("group")
        action = partial(changes.set_hyperparameter, given["trainer"], given["name"], given["value"], *where)
        return submit(Verb.CHANGE, is_awaited=True, action=action)

    def set_horizon(given: Mapping[str, Any]) -> Future[Any]:
        action = partial(changes.move_horizon, given["trainer"], given["schedule"], given["horizon"])
        return submit(Verb.CHANGE, is_awaited=True, action=action)

    return {
        "pause": lambda _: submit(Verb.PAUSE, is_awaited=True),
        "resume": lambda _: submit(Verb.RESUME, is_awaited=True),
        "save": lambda _: submit(Verb.SAVE, is_awaited=True),
        "shutdown": shut_down,
        "set_hyperparameter": set_hyperparameter,
        "set_horizon": set_horizon,
    }

"""``pamiq-sched watch``: a running system in a terminal, as it changes.

The main thread draws, and waits for a key, a signal, a message of the feed, or the next second, whichever comes
first. Whatever ends it, the terminal is as it was before.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from types import FrameType, TracebackType
from typing import Any, Self

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pamiq_sched._text import many, printable
from pamiq_sched.console import Failure
from pamiq_sched.console.client import Client, Target
from pamiq_sched.console.control import rich_console, show
from pamiq_sched.console.display import COLOURS, Happening, Section, fitted, number, seconds, sections
from pamiq_sched.console.feed import Feed
from pamiq_sched.console.snapshot import Snapshot

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""
MOMENT = 1.0
"""Seconds that a stop may take which nobody needs to be told of."""
KEPT = 200
"""Happenings that are remembered."""


def follow(client: Client, target: Target, *, once: bool = False) -> None:
    """Watch a system; raises a :class:`Failure` if it ended by errors."""
    view = View(target, Snapshot.of(client.status()))
    view.remember(client.history(names=[]))
    output = rich_console()
    if once:
        width = output.width if output.is_terminal else None
        show(view.lines(width, ascii_only=output.options.ascii_only))
        return
    if output.is_terminal and not output.is_dumb_terminal and sys.stdin.isatty():
        _draw(client, target, view)
    else:
        _print(client, target, view)
    if view.failure is not None:
        raise view.failure


class View:
    """What is known of a system, and how the watch of it ended. Belongs to the thread that shows it."""

    def __init__(self, target: Target, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        """The system at the latest moment."""
        self.is_over = False
        self.end = ""
        """How the system ended, in one line."""
        self.failure: Failure | None = None
        """What went wrong, if something did."""
        self.lost = ""
        """Why there is no connection."""
        self._target = target
        self._taken_at = time.monotonic()
        self._happenings: deque[Happening] = deque(maxlen=KEPT)
        self._states: deque[Happening] = deque(maxlen=KEPT)  # those of them that are states

    def take(self, kind: str, value: Any) -> Happening | None:
        """Note a message of the feed; return what happened, if something did."""
        if kind == "status":
            self.snapshot = Snapshot.of(value)
            self._taken_at = time.monotonic()
            if self.lost:
                self.lost = ""
                return self._note(time.time(), "connected again", "green")
        elif kind == "event":
            return self._note_event(value)
        elif kind == "lost":
            is_new, self.lost = not self.lost, str(value)
            if is_new:
                return self._note(time.time(), f"the connection is lost, trying again: {self.lost}", "yellow")
        elif kind == "ended":
            self.is_over = True
            self.end = "the system has ended"
            self.failure = failure_of(value)
        elif kind == "failed":
            self.is_over = True
            self.failure = value
        return None

    def remember(self, history: Mapping[str, Any]) -> None:
        """Note what happened before."""
        events = [event for key in ("log", "errors", "changes") for event in _list(history, key)]
        for event in sorted(events, key=_moment):
            self._note_event(event)

    def _note_event(self, event: Any) -> Happening | None:
        if not isinstance(event, dict):
            return None
        kind, text = str(event.get("kind")), str(event.get("text", "")).strip()
        details = event.get("details")
        details = details if isinstance(details, dict) else {}
        if kind == "state":
            self._note_state(_moment(event), printable(str(details.get("state", text))))
            return None
        if kind == "ended":
            return None  # which the stream tells by a message of its own
        level = str(details.get("level", ""))
        lines = text.splitlines() or [kind]
        # Of a traceback the line that says what was raised; notes may follow it.
        raised = [line for line in lines if kind == "error" and line.startswith(str(details.get("type")))]
        shown = printable((raised or lines)[-1 if kind == "error" else 0])
        style = {"error": "bold red", "save failed": "red", "saved": "cyan", "changed": "cyan"}.get(kind, "")
        if kind == "log":
            style = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}.get(level.upper(), "")
            if any(shown == recent.text for recent in list(self._happenings)[-3:]):
                return None  # the log tells of saves, too
            shown = f"{printable(level)} {shown}"
        return self._note(_moment(event), shown, style)

    def _note_state(self, at: float, state: str) -> None:
        """Note what the system came to; not that it stood still for a moment, as it does for each save."""
        if state in ("pausing", "resuming", "saving"):
            return
        if self._states and self._happenings and self._happenings[-1] is self._states[-1]:
            before = self._states[-2].text if len(self._states) > 1 else "active"
            if at - self._states[-1].time < MOMENT:
                self._happenings.pop()
                self._states.pop()
                if state == before:
                    return
        if not self._states or self._states[-1].text != state:
            self._states.append(self._note(at, state, COLOURS.get(state, "")))

    def _note(self, at: float, text: str, style: str = "") -> Happening:
        self._happenings.append(Happening(at, text, style))
        return self._happenings[-1]

    def lines(self, width: int | None, height: int | None = None, *, ascii_only: bool) -> list[Text]:
        """Return the picture: all of it, or what fits."""
        parts = sections(self.snapshot, str(self._target), now=time.time(), width=width, ascii_only=ascii_only)
        if self.lost:
            silent = f"no connection for {time.monotonic() - self._taken_at:.0f} s, trying again: {self.lost}"
            parts.insert(1, Section([Text(silent, "bold yellow")], 1))
        recent = [happening.line() for happening in self._happenings]
        if width is None or height is None:
            return [line for part in parts for line in part.lines] + recent[-10:]
        # The latest lines get what the rest leaves, and four at the least.
        above = fitted(parts, max(1, height - 2 - min(len(recent), 4)))
        latest = recent[-max(1, height - 2 - len(above)) :]
        keys = Text("q leaves; the system goes on", "dim")
        blank = [Text()] * (height - 1 - len(above) - len(latest))
        lines = [*above, *blank[:1], *latest, *blank[1:], keys][:height]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def line(self) -> str:
        """Return the most important in one line."""
        now = self.snapshot
        parts = [
            time.strftime("%H:%M:%S"),
            now.state,
            f"{now.steps:,} steps",
            f"{number(now.steps_per_second)}/s",
            f"p99 {seconds(now.step_times.p99)}",
            f"{now.deadline_misses:,} missed",
        ]
        for trainer in now.trainers:
            values = [f"{name} {number(value)}" for name, value in trainer.numbers.items()]
            parts.append(" ".join([f"{trainer.name}: {trainer.steps:,} steps", *values]))
        if self.lost:
            parts.insert(1, "no connection")
        return "  ".join(parts)


def _moment(event: Any) -> float:
    at = event.get("time") if isinstance(event, dict) else None
    return float(at) if isinstance(at, int | float) and 0 <= at < 1e11 else 0.0


def failure_of(end: Any) -> Failure | None:
    """Return what the message ``"ended"`` tells of the errors that ended a system."""
    errors = [str(error) for error in _list(end, "errors")]
    if not errors:
        return None
    told = "\n".join(printable(line) for error in errors for line in error.splitlines())
    return Failure(f"the system was ended by {many(len(errors), 'error')}:\n{told}")


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _draw(client: Client, target: Target, view: View) -> None:
    """Draw on the whole terminal until it is over or the user leaves."""
    output = rich_console()
    with _Doorbell() as bell, Feed(client, target, bell.tell), bell.answering(), _Screen(output, bell) as screen:
        while not view.is_over:
            width, height = output.size
            screen.draw(view.lines(width, height, ascii_only=output.options.ascii_only))
            for kind, value in bell.wait(1.0, keys=sys.stdin.fileno()):
                if kind == "key" and value in (b"q", b"Q", b""):
                    return
                if kind == "signal" and value == signal.SIGINT:
                    return
                if kind == "signal" and value == signal.SIGTSTP:
                    screen.suspend()
                elif kind == "signal" and value != signal.SIGWINCH:
                    raise typer.Exit(128 + value)
                else:
                    view.take(kind, value)
    if view.end:
        typer.echo(view.end)


def _print(client: Client, target: Target, view: View) -> None:
    """Print a line now and then, and whatever happens, until it is over or the user leaves."""
    with _Doorbell() as bell, Feed(client, target, bell.tell), bell.answering(), suppress(KeyboardInterrupt):
        state, due = "", 0.0
        while not view.is_over:
            if view.snapshot.state != state or time.monotonic() >= due:
                typer.echo(view.line())
                state, due = view.snapshot.state, time.monotonic() + LINE_EVERY
            for kind, value in bell.wait(max(0.0, due - time.monotonic())):
                happening = view.take(kind, value)
                if happening is not None:
                    typer.echo(happening.line().plain)
    if view.end:
        typer.echo(view.end)


class _Doorbell:
    """Where the main thread waits for what other threads and signals tell it."""

    def __init__(self) -> None:
        # Bounded: a system that talks faster than it is listened to has to wait.
        self._messages: Queue[tuple[str, Any]] = Queue(maxsize=100)
        self._signals: deque[int] = deque()
        self._is_answered = True  # set by the main thread; a reader that is a message late does no harm
        self._inside, self._outside = socket.socketpair()
        self._outside.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.close()
        self._outside.close()

    def tell(self, kind: str, value: Any) -> None:
        """Leave a message; called by one other thread."""
        if self._is_answered:
            self._messages.put((kind, value))
            self._ring()

    def signal(self, number: int, _frame: FrameType | None) -> None:
        """Leave a signal; a signal handler."""
        self._signals.append(number)
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._outside.send(b"!")

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Let nobody wait for an answer when the block is over."""
        try:
            yield
        finally:
            self._is_answered = False
            self._drain()

    def wait(self, seconds: float, keys: int | None = None) -> list[tuple[str, Any]]:
        """Wait until something is told, or for that long; return it.

        Args:
            seconds: How long to wait at the most.
            keys: A terminal whose keys are told too.
        """
        sources = [self._inside.fileno(), *([] if keys is None else [keys])]
        ready, _, _ = select.select(sources, [], [], seconds)
        told: list[tuple[str, Any]] = []
        if self._inside.fileno() in ready:
            self._inside.recv(4096)
            told += [("signal", self._signals.popleft()) for _ in range(len(self._signals))]
            told += self._drain()
        if keys in ready:
            told += [("key", key) for key in _keys(keys)]
        return told

    def _drain(self) -> list[tuple[str, Any]]:
        told: list[tuple[str, Any]] = []
        with suppress(Empty):
            while len(told) < self._messages.maxsize:
                told.append(self._messages.get_nowait())
        return told


def _keys(terminal: int) -> list[bytes]:
    """Return the keys that were pressed, each as a byte; an empty one if there will be no more."""
    read = os.read(terminal, 1024)
    return [read[i : i + 1] for i in range(len(read))] or [b""]


class _Screen:
    """The whole terminal, within a ``with`` block; afterwards it is as it was."""

    SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP, signal.SIGWINCH)

    def __init__(self, output: Console, bell: _Doorbell) -> None:
        self._output = output
        self._bell = bell
        self._terminal = sys.stdin.fileno()

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._bell.signal) for number in self.SIGNALS}
        self._attributes = termios.tcgetattr(self._terminal)
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def draw(self, lines: Iterable[Text]) -> None:
        """Show these lines instead of those before."""
        self._live.update(Group(*lines), refresh=True)

    def suspend(self) -> None:
        """Give the terminal back to the shell until it lets this go on."""
        self._close()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._bell.signal)
        self._open()

    def _open(self) -> None:
        tty.setcbreak(self._terminal)
        # It draws when it is told to, without a thread of its own.
        self._live = Live(
            console=self._output, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def _close(self) -> None:
        try:
            self._live.stop()
        finally:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._attributes)

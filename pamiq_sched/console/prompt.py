"""``pamiq-sched console``: commands that are typed, with the state in the prompt, or piped in, one a line."""

from __future__ import annotations

import json
import math
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.shortcuts import CompleteStyle
from typing_extensions import override

from pamiq_sched._text import printable
from pamiq_sched.console import Failure
from pamiq_sched.console.client import Client, RefusedError, Target
from pamiq_sched.console.control import InterruptedFailure, carry_out, show, summary, told
from pamiq_sched.console.feed import Feed
from pamiq_sched.console.snapshot import Snapshot
from pamiq_sched.console.watching import failure_of, follow


@dataclass(frozen=True)
class Command:
    """Something that can be typed."""

    names: tuple[str, ...]
    usage: str
    help: str
    run: Callable[[list[str]], None]
    arguments: tuple[int, int]
    """The least and the most."""
    complete: Callable[[list[str]], Iterable[str]] = lambda _: ()
    """What may come next, given the arguments before it."""


class UsageError(Failure):
    """A command that does not exist, or was given what it does not take."""

    exit_code = 2


class Quit(Exception):  # noqa: N818 - what the user wants, not an error
    """There is nothing more to do; what went wrong at the end, if something did, is in it."""

    def __init__(self, failure: Failure | None = None) -> None:
        super().__init__()
        self.failure = failure


def converse(client: Client, target: Target) -> int:
    """Carry out commands until there are no more.

    Returns:
        The exit status of the first command that failed; of a conversation, how it ended.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _converse_with_user(client, target)
    commands = Commands(client, target)
    code = 0
    for line in sys.stdin:
        try:
            commands.carry_out(line)
        except Quit as end:
            status = _tell(end.failure)
            return code or status
        except InterruptedFailure as failure:
            status = _tell(failure)
            return code or status
        except Failure as failure:
            status = _tell(failure)
            code = code or status
        sys.stdout.flush()
    return code


def _converse_with_user(client: Client, target: Target) -> int:
    question: PromptSession[str] = PromptSession()
    commands = Commands(client, target, lambda text: question.prompt(text).strip().lower() in ("y", "yes"))
    session: PromptSession[str] = PromptSession(
        completer=_FromCommands(commands),
        complete_style=CompleteStyle.READLINE_LIKE,
        complete_while_typing=False,
    )
    heard = _Heard(session, commands)
    typer.echo(f"{commands.snapshot.program} at {target}; help lists what can be typed, q leaves")
    with Feed(client, target, heard.hear):
        while not heard.is_over.is_set():
            try:
                line = session.prompt(lambda: f"pamiq-sched ({heard.state}) > ", pre_run=heard.leave_if_over)
                commands.carry_out(line)
            except KeyboardInterrupt:  # which forgets what was typed
                continue
            except EOFError:
                break
            except Quit as end:
                return _tell(end.failure)
            except Failure as failure:
                _tell(failure)
    if heard.is_over.is_set() and heard.failure is None:
        typer.echo("the system has ended")
    return _tell(heard.failure)


def _tell(failure: Failure | None) -> int:
    if failure is None:
        return 0
    sys.stderr.write(f"error: {failure}\n")
    return failure.exit_code


class Commands:
    """What can be typed, and what it does.

    Args:
        client: Speaks to the system.
        target: Where it is.
        confirm: Asked before the system is shut down; not at all where nobody is there to answer.
    """

    def __init__(self, client: Client, target: Target, confirm: Callable[[str], bool] = lambda _: True) -> None:
        self._client = client
        self._target = target
        self._confirm = confirm
        self.snapshot = Snapshot.of(client.status())
        """What names are completed from; whoever hears news replaces it."""
        self.all = (
            Command(("help", "h"), "help [COMMAND]", "What can be typed.", self._help, (0, 1), self._names),
            Command(("status",), "status", "How the system is.", self._status, (0, 0)),
            Command(("pause", "p"), "pause", "Stop acting and learning.", self._order("pause"), (0, 0)),
            Command(("resume", "r"), "resume", "Go on.", self._order("resume"), (0, 0)),
            Command(("save",), "save", "Save the state; prints its path.", self._order("save"), (0, 0)),
            Command(
                ("set",),
                "set TRAINER NAME VALUE [OPTIMIZER [GROUP]]",
                "Set what no schedule moves: set dqn weight_decay 0.01",
                self._set,
                (3, 5),
                self._settable,
            ),
            Command(
                ("horizon",),
                "horizon TRAINER SCHEDULE HORIZON",
                "Move the end of a schedule: horizon dqn lr 20000",
                self._horizon,
                (3, 3),
                self._movable,
            ),
            Command(("watch",), "watch", "Show the system as it changes; q comes back.", self._watch, (0, 0)),
            Command(("shutdown",), "shutdown", "End the run.", self._shut_down, (0, 0)),
            Command(("quit", "q", "exit"), "quit", "Leave; the system goes on.", self._quit, (0, 0)),
        )
        self._by_name = {name: command for command in self.all for name in command.names}

    def carry_out(self, line: str) -> None:
        """Do what a line says; a comment or an empty one says nothing.

        Raises:
            Failure: If it could not be done.
            Quit: If it says to leave.
        """
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"the line cannot be read: {error}") from None
        if not words:
            return
        name, *arguments = words
        command = self._find(name)
        least, most = command.arguments
        if not least <= len(arguments) <= most:
            raise UsageError(f"it is used as: {command.usage}")
        command.run(arguments)

    def complete(self, words: list[str]) -> list[str]:
        """Return what may follow those words."""
        if not words:
            return [command.names[0] for command in self.all]
        command = self._by_name.get(words[0])
        return [] if command is None else list(command.complete(words[1:]))

    def _find(self, name: str) -> Command:
        command = self._by_name.get(name)
        if command is None:
            raise UsageError(f"there is no command {printable(name)!r}; help lists them")
        return command

    def _help(self, arguments: list[str]) -> None:
        for command in [self._find(name) for name in arguments] or self.all:
            short = f" ({', '.join(command.names[1:])})" if len(command.names) > 1 else ""
            usage = command.usage + short
            # Within 80 columns; what is longer than its column has a line of its own.
            typer.echo(f"{usage:20}  {command.help}" if len(usage) <= 20 else f"{usage}\n{'':22}{command.help}")

    def _names(self, before: list[str]) -> Iterator[str]:
        if not before:
            yield from (command.names[0] for command in self.all)

    def _status(self, _: list[str]) -> None:
        show(summary(self._client.status(), self._target))

    def _order(self, command: str) -> Callable[[list[str]], None]:
        return lambda _: typer.echo(carry_out(self._client, command, 60.0))

    def _shut_down(self, _: list[str]) -> None:
        if not self._confirm("End the run? [y/N] "):
            typer.echo("it goes on")
            return
        try:
            typer.echo(carry_out(self._client, "shutdown", 600.0))
        except RefusedError as error:  # it has ended, by errors
            raise Quit(error) from error
        raise Quit

    def _set(self, arguments: list[str]) -> None:
        trainer, name, value, *where = arguments
        chosen: dict[str, Any] = dict(zip(("optimizer", "group"), where, strict=False))
        if "group" in chosen:
            chosen["group"] = int(_number("group", chosen["group"]))
        given = json.loads(value) if value in ("true", "false") else _number("value", value)
        outcome = self._client.set_hyperparameter(trainer, name, given, **chosen)
        told(outcome, "change", 60.0)
        typer.echo(f"{printable(name)} of {printable(trainer)} is {printable(value)}")

    def _settable(self, before: list[str]) -> Iterator[str]:
        yield from _third(before, {t.name: t.settable for t in self.snapshot.trainers if t.settable})

    def _horizon(self, arguments: list[str]) -> None:
        trainer, schedule, horizon = arguments
        outcome = self._client.set_horizon(trainer, schedule, _number("horizon", horizon))
        told(outcome, "change", 60.0)
        typer.echo(f"the horizon of {printable(schedule)} of {printable(trainer)} is {printable(horizon)}")

    def _movable(self, before: list[str]) -> Iterator[str]:
        movable = {t.name: [s.name for s in t.schedules if s.horizon is not None] for t in self.snapshot.trainers}
        yield from _third(before, {trainer: schedules for trainer, schedules in movable.items() if schedules})

    def _watch(self, _: list[str]) -> None:
        follow(self._client, self._target, once=not sys.stdin.isatty())

    def _quit(self, _: list[str]) -> None:
        raise Quit


def _third(before: list[str], names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if not before:
        yield from names
    elif len(before) == 1:
        yield from names.get(before[0], ())


def _number(what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{what} must be a finite number, got {printable(text)!r}")
    return value


class _FromCommands(Completer):
    """Completes what is typed by what a system has."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    @override
    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        *before, word = document.text_before_cursor.split(" ")
        before = [each for each in before if each]
        for name in self._commands.complete(before):
            if name.startswith(word):
                # With a space, which is typed only if nothing else is meant.
                yield Completion(f"{shlex.quote(name)} ", start_position=-len(word), display=name)


class _Heard:
    """What the feed told while the prompt waited. The feed's thread writes, the main thread reads."""

    def __init__(self, session: PromptSession[str], commands: Commands) -> None:
        self.state = commands.snapshot.state  # one reference, replaced whole
        self.failure: Failure | None = None  # written before is_over is set
        """What the system ended by."""
        self.is_over = threading.Event()
        self._session = session
        self._commands = commands

    def hear(self, kind: str, value: Any) -> None:
        """Take a message; the feed's thread."""
        if kind == "status":
            with suppress(Failure):  # a command that is typed will tell
                self._commands.snapshot = Snapshot.of(value)
                self.state = self._commands.snapshot.state
        elif kind == "lost":
            self.state = "no connection"
        elif kind in ("ended", "failed"):
            self.state = "offline"
            self.failure = value if kind == "failed" else failure_of(value)
            self.is_over.set()
            loop = self._session.app.loop
            if loop is not None:
                with suppress(RuntimeError):  # the loop is closed: nothing waits
                    loop.call_soon_threadsafe(self.leave_if_over)
        self._session.app.invalidate()

    def leave_if_over(self) -> None:
        """End the prompt that waits, if the system has ended; called in the loop of the prompt."""
        app = self._session.app
        if self.is_over.is_set() and app.is_running and not app.is_done:
            app.exit(exception=EOFError)

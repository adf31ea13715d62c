"""``pamiq-sched status|pause|resume|save|shutdown|watch|console``: hands on a running system.

What draws and what asks is loaded by the commands that need it.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pamiq_sched._text import printable
from pamiq_sched.console import Failure
from pamiq_sched.console.client import Client, Outcome, Target, find

if TYPE_CHECKING:
    from rich.text import Text


def _host(value: str | None) -> str | None:
    if value is None:
        return None
    host = value.removeprefix("[").removesuffix("]") if value.startswith("[") else value
    if not host or any(c in "/@?#[] " or not c.isprintable() for c in host):
        raise typer.BadParameter(f"it must be a name or an address, such as 192.0.2.7, got {printable(value)!r}")
    if host.count(":") == 1:
        raise typer.BadParameter(
            f"it must be a name or an address; give the port by --port, got {printable(value)!r}"
        )
    return host


def _token(value: str | None) -> str | None:
    # It goes into a header, where nothing else can stand.
    if value is not None and not all("!" <= c <= "~" for c in value):
        raise typer.BadParameter("it must be what the system printed: letters, digits and signs, without spaces")
    return value


Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        envvar="PAMIQ_SCHED_HOST",
        callback=_host,
        help="Where the system listens; the only one that runs here if neither this nor a port is given.",
    ),
]
Port = Annotated[
    int | None, typer.Option("--port", envvar="PAMIQ_SCHED_PORT", min=1, max=65535, help="The port of it.")
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="PAMIQ_SCHED_TOKEN",
        callback=_token,
        help="What it printed when it started; not needed for your systems on this machine.",
    ),
]
Wait = Annotated[
    float, typer.Option("--wait", min=0, max=600, metavar="SECONDS", help="How long to wait until it is done.")
]


def status(
    host: Host = None,
    port: Port = None,
    token: Token = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the system answers, as JSON.")] = False,
) -> None:
    """Show how a running system is.

    The exit status is 3 if no system is reached.
    """
    target = find(host, port, token)
    with connected(target) as client:
        document = client.status()
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        show(summary(document, target))


def pause(host: Host = None, port: Port = None, token: Token = None, wait: Wait = 60.0) -> None:
    """Stop acting and learning; done when every thread stands still."""
    with connected(find(host, port, token)) as client:
        typer.echo(carry_out(client, "pause", wait))


def resume(host: Host = None, port: Port = None, token: Token = None, wait: Wait = 60.0) -> None:
    """Go on acting and learning."""
    with connected(find(host, port, token)) as client:
        typer.echo(carry_out(client, "resume", wait))


def save(host: Host = None, port: Port = None, token: Token = None, wait: Wait = 60.0) -> None:
    """Save the state; print its path when it is on the disk."""
    with connected(find(host, port, token)) as client:
        typer.echo(carry_out(client, "save", wait))


def shutdown(
    host: Host = None,
    port: Port = None,
    token: Token = None,
    wait: Wait = 600.0,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return as soon as the system has accepted it.")
    ] = False,
) -> None:
    """End the run: it tears down, saves, and tells by which errors it ended."""
    with connected(find(host, port, token)) as client:
        typer.echo(carry_out(client, "shutdown", 0.0 if no_wait else wait))


def watch(
    host: Host = None,
    port: Port = None,
    token: Token = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and return.")] = False,
) -> None:
    """Show a running system as it changes, until it ends or q is pressed.

    Where there is no terminal, a line is printed every few seconds. The exit status is 1 if the run was ended by
    an error, and 3 if no system is reached.
    """
    from pamiq_sched.console.watching import follow  # noqa: PLC0415 - loads rich, which --help does not need

    target = find(host, port, token)
    with connected(target) as client:
        follow(client, target, once=once)


def console(host: Host = None, port: Port = None, token: Token = None) -> None:
    """Control a running system by commands that are typed, or piped in, one a line.

    The exit status is that of the first command that failed.
    """
    from pamiq_sched.console.prompt import converse  # noqa: PLC0415 - loads rich and prompt_toolkit

    target = find(host, port, token)
    with connected(target) as client:
        raise typer.Exit(converse(client, target))


class InterruptedFailure(Failure):
    """The user did not want to wait."""

    exit_code = 130


DONE = {"pause": "paused", "resume": "resumed", "shutdown": "the system has ended"}


def connected(target: Target) -> Client:
    """Return a client of the system that listens there."""
    return Client(target.host, target.port, target.token)


def carry_out(client: Client, command: str, wait: float) -> str:
    """Give an order, wait until it is carried out, and return what became of it in one line.

    Args:
        client: Whose system is meant.
        command: ``"pause"``, ``"resume"``, ``"save"`` or ``"shutdown"``.
        wait: Seconds to wait.

    Raises:
        Failure: If it was not done, or not in this time.
        InterruptedFailure: If the user did not want to wait.
    """
    try:
        outcome = client.command("save-state" if command == "save" else command, wait)
    except KeyboardInterrupt:
        raise InterruptedFailure(
            f"interrupted; the {command} goes on, see how the system is by pamiq-sched status"
        ) from None
    return told(outcome, command, wait)


def told(outcome: Outcome, command: str, wait: float) -> str:
    """Return in one line what became of an order.

    Raises:
        Failure: If it goes on.
    """
    if outcome.state == "pending":
        raise Failure(
            f"the {command} is not done after {wait:g} s and goes on (command {outcome.id}); "
            "see how the system is by pamiq-sched status, or give it more time by --wait"
        )
    if outcome.state == "accepted":
        return "the system shuts down"
    if command == "save":
        return "saved" if outcome.value is None else printable(outcome.value)
    return DONE.get(command, "done")


def summary(document: Any, target: Target) -> list[Text]:
    """Return all that there is to say about a system, as lines."""
    from pamiq_sched.console import display  # noqa: PLC0415 - loads rich, which --help does not need
    from pamiq_sched.console.snapshot import Snapshot  # noqa: PLC0415

    output = rich_console()
    parts = display.sections(
        Snapshot.of(document),
        str(target),
        now=time.time(),
        width=output.width if output.is_terminal else None,
        ascii_only=output.options.ascii_only,
    )
    return [line for part in parts for line in part.lines]


def show(lines: Iterable[Text]) -> None:
    """Print lines, in colour on a terminal; none is cut."""
    output = rich_console()
    for line in lines:
        output.print(line, soft_wrap=True, highlight=False)


def rich_console() -> Any:
    """Return what prints in colour to a terminal, and plainly to anything else."""
    from rich.console import Console  # noqa: PLC0415 - --help does not need it

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may have what the encoding lacks
    return Console()

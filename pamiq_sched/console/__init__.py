"""The command ``pamiq-sched``: each of its commands is a function in a module of its own.

They tell what went wrong by :class:`Failure`; :func:`main` makes one line of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


class Failure(Exception):  # noqa: N818 - what a command meets with, not an error in it
    """What keeps a command from doing what it was asked to; its text is for whoever called it."""

    exit_code = 1
    """What the process ends with."""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return an error of any kind in one line."""
        if isinstance(error, OSError) and error.strerror:
            about = "" if error.filename is None else f": {str(error.filename)!r}"
            return cls(f"{error.strerror}{about}")
        # str() of a KeyError puts quotes around its text.
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        text = " ".join(text.split())
        if isinstance(error, ImportError | KeyError | OSError | RuntimeError | TypeError | ValueError) and text:
            return cls(text)
        return cls(f"{type(error).__name__}: {text}".removesuffix(": "))


def application() -> typer.Typer:
    """Return the command line as typer has it.

    Raises:
        Failure: Without the extra ``[console]``.
    """
    try:
        import typer  # noqa: PLC0415 - an extra
    except ImportError:
        raise Failure("the command line needs typer: pip install 'pamiq-sched[console]'") from None
    # All of them need typer.
    from pamiq_sched.console import control  # noqa: PLC0415
    from pamiq_sched.console.inspect import inspect  # noqa: PLC0415
    from pamiq_sched.console.preview import preview  # noqa: PLC0415
    from pamiq_sched.console.report import report  # noqa: PLC0415

    app = typer.Typer(
        name="pamiq-sched",
        help="Agents that learn while they act.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    commands: list[Callable[..., None]] = [
        *(control.status, control.pause, control.resume, control.save, control.shutdown),
        *(control.watch, control.console, inspect, preview, report),
    ]
    for command in commands:
        app.command()(command)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Those behind the command's name; what the process was called with by default.

    Returns:
        The exit status: 0; 1 if it failed; 2 if it was called in a way that it does not know; 3 if it reached no
        system; 130 if it was interrupted.
    """
    try:
        application()(arguments, prog_name="pamiq-sched")
    except Failure as failure:
        sys.stderr.write(f"error: {failure}\n")
        return failure.exit_code
    except SystemExit as end:  # which is how it always ends
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

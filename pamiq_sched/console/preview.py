"""``pamiq-sched preview``: what the schedules of a config would do."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from pamiq_sched.console import Failure


def preview(
    config: Annotated[
        Path,
        typer.Argument(help="A YAML file as build_scheduler() takes it; with an optimizer section for the bases."),
    ],
    steps: Annotated[int, typer.Option(help="How many steps to look ahead, at least 1.")],
    out: Annotated[Path | None, typer.Option(help="Write a picture to this .png file, too.")] = None,
) -> None:
    """Plot what the schedules of a config would do. Bases that it does not give are 1."""
    from pamiq_sched.optim.preview import preview_schedule  # noqa: PLC0415 - loads torch, which --help does not need

    try:
        found = preview_schedule(config, steps)
    except Exception as error:  # a config decides what runs, and so what is raised
        raise Failure.of(error) from error
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not all encodings have the dots that lines are made of
    try:
        typer.echo(found.plot())
        if out is not None:
            typer.echo(f"\nwrote {found.save_png(out)}")
    except (ImportError, OSError, ValueError) as error:
        raise Failure.of(error) from error

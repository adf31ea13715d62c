"""``pamiq-sched report``: a run as a page and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pamiq_sched.console import Failure


def report(
    run_dir: Annotated[Path, typer.Argument(help="The directory with the metrics.jsonl of a run.")],
    out: Annotated[Path | None, typer.Option(help="Where they go; the run's directory by default.")] = None,
) -> None:
    """Draw a run as report.html, one page that needs nothing else, and as report.png."""
    from pamiq_sched.report import write_report  # noqa: PLC0415 - loads numpy, which --help does not need

    try:
        paths = write_report(run_dir, out)
    except (ImportError, OSError, ValueError) as error:
        raise Failure.of(error) from error
    for path in paths:
        typer.echo(path)

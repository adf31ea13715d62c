"""Write the report of a run. Any thread."""

from __future__ import annotations

from pathlib import Path

from pamiq_sched import _checks
from pamiq_sched.report.page import page
from pamiq_sched.report.panels import panels_of
from pamiq_sched.report.picture import picture
from pamiq_sched.report.recording import read_recording
from pamiq_sched.state.inspection import SavedStates, inspect_states


def write_report(run_dir: str | Path, out: str | Path | None = None) -> tuple[Path, Path]:
    """Draw a run as a page and as a picture: ``report.html`` and ``report.png``, which replace older ones.

    The page is one file that asks nothing of any host. It has all plots, a table of all names, the errors with
    their tracebacks, the saves, changes and log, and the states below ``states``.

    Args:
        run_dir: The directory with ``metrics.jsonl``, or with other ``.jsonl`` files, of a
            :class:`~pamiq_sched.metrics.JsonLinesSink`.
        out: Where the two go; made if it is not there. By default the run's own directory.

    Returns:
        The paths of the page and of the picture.

    Raises:
        ImportError: If matplotlib is not installed.
        FileNotFoundError: If there is no such directory.
        ValueError: If there are no numbers in it.
        OSError: If a file cannot be read or written.

    Example:
        >>> import tempfile
        >>> from pamiq_sched.metrics import JsonLinesSink, Point
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sink = JsonLinesSink(f"{folder}/metrics.jsonl")
        ...     sink.write([Point.single("dqn/loss", 1764000000.0 + i, i, 1 / (1 + i)) for i in range(9)], [])
        ...     sink.close()
        ...     [path.name for path in write_report(folder)]
        ['report.html', 'report.png']
    """
    run_dir = _checks.path("run_dir", run_dir)
    out = run_dir if out is None else _checks.path("out", out)
    recording = read_recording(run_dir)
    panels = panels_of(recording)
    name = run_dir.resolve().name
    program = recording.parts[-1].program
    title = f"{program} in {name}" if program else name
    # Both before the first is written: a failure leaves what was there.
    image = picture(recording, panels, title)
    text = page(recording, panels, title, _states(run_dir / "states"))
    out.mkdir(parents=True, exist_ok=True)
    html, png = out / "report.html", out / "report.png"
    html.write_text(text, encoding="utf-8")
    png.write_bytes(image)
    return html, png


def _states(directory: Path) -> SavedStates | None:
    if not directory.is_dir():
        return None
    try:
        return inspect_states(directory)
    except FileNotFoundError:  # it has none
        return None

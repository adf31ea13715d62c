"""The dashboard as the server renders it, whole without JavaScript, and the files that belong to it.

The invariant: everything that comes from outside, and a name or a line of the log is as foreign as a traceback, is
escaped where it is put into HTML. Pure but for the files, which are read once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path, PurePath
from string import Template
from typing import Any, Final

from pamiq_sched.metrics import Event
from pamiq_sched.web.history import History
from pamiq_sched.web.link import Hello

DIRECTORY: Final = Path(__file__).parent / "page"

MEDIA_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
"""What kinds of files are handed out; nothing else in the directory is."""

MOST_SAVES_SHOWN: Final = 50
MOST_LINES_SHOWN: Final = 200

CLOSED_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>pamiq-sched: token needed</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"></head>
<body><main>
<h1>This page needs the token of its system</h1>
<p>The address with the token, which ends in <code>/?token=...</code>, was printed when the system started. Open
that once; the browser keeps the token until it is closed.</p>
<p>The token is also in a file that only the user who runs the system can read:
<code>$PAMIQ_SCHED_RUN_DIR</code>, <code>$XDG_RUNTIME_DIR/pamiq-sched</code> or
<code>~/.cache/pamiq-sched/run</code> has one for each system, named by its port.</p>
</main></body>
</html>
"""
"""What a browser without a token is shown."""


@dataclass(frozen=True)
class File:
    """A file of the page."""

    content: bytes
    media_type: str


class Page:
    """The dashboard of a system.

    Args:
        hello: What the system said about itself.
    """

    def __init__(self, hello: Hello) -> None:
        self._template = Template((DIRECTORY / "index.html").read_text(encoding="utf-8"))
        self._program = hello.program
        self._version = hello.version
        self.files: Mapping[str, File] = {
            path.relative_to(DIRECTORY).as_posix(): File(path.read_bytes(), MEDIA_TYPES[path.suffix])
            for path in DIRECTORY.rglob("*")
            if path.suffix in MEDIA_TYPES
        }
        """What may be asked for, by its path: a name that is not here leads nowhere."""

    def render(self, status: Mapping[str, Any], history: History) -> bytes:
        """Return the page.

        Args:
            status: The status with the latest numbers; empty if there was none yet.
            history: What happened so far.
        """
        text = self._template.substitute(
            state=escape(str(status.get("state", "starting"))),
            program=escape(self._program),
            version=escape(self._version),
            summary=_summary(status) if status else "",
            numbers=_numbers(status.get("numbers", {})),
            trainers=_trainers(status.get("trainers", {})),
            hyperparameters=_hyperparameters(status.get("trainers", {})),
            models=_models(status.get("models", {})),
            buffers=_buffers(status.get("buffers", {})),
            saves=_saves(history),
            log=_log(history),
            errors=_errors(status, history),
        )
        return text.encode("utf-8", "replace")  # half of a surrogate pair may be in a name


def _summary(status: Mapping[str, Any]) -> str:
    last_saved_at = status["last_saved_at"]
    facts = {
        "Uptime": _duration(status["uptime"]),
        "Steps": _number(status["steps"]),
        "Steps per second": _number(status["steps_per_second"]),
        "Step time p99": _milliseconds(status["step_times"]["p99"]),
        "Lateness p99": _milliseconds(status["lateness"]["p99"]),
        "Deadline misses": _number(status["deadline_misses"]),
        "Pauses": _number(status["pauses"]),
        "Last saved": "never" if last_saved_at is None else _clock(last_saved_at),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())


def _numbers(numbers: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        [name, _number(number["value"]), _number(number["step"]), _clock(number["time"])]
        for name, number in sorted(numbers.items())
    ]
    return _rows(rows, 4, "Nothing was logged yet.")


def _trainers(trainers: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            name,
            _number(trainer["steps"]),
            _number(trainer["sessions"]),
            "yes" if trainer["is_in_session"] else "no",
            _milliseconds(trainer["cycle_times"]["p50"]),
            _milliseconds(trainer["cycle_times"]["p99"]),
            "none" if trainer["replay_ratio"] is None else _number(trainer["replay_ratio"]),
        ]
        for name, trainer in trainers.items()
    ]
    return _rows(rows, 7, "There are no trainers.")


def _hyperparameters(trainers: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, trainer in trainers.items():
        schedules = {schedule["name"]: schedule for schedule in trainer["schedules"]}
        for one in trainer["hyperparameters"]:
            schedule = schedules.get(one["schedule"])
            label = f"{one['optimizer']} {one['group']}: {one['name']}"
            rows.append([name, label, _value(one["value"]), one["schedule"] or "none", _horizon(schedule)])
        steering = {one["schedule"] for one in trainer["hyperparameters"]}
        for schedule in trainer["schedules"]:
            if schedule["name"] not in steering:
                values = ", ".join(map(_value, schedule["values"]))
                rows.append([name, schedule["name"], values, schedule["name"], _horizon(schedule)])
    return _rows(rows, 5, "There are no hyperparameters.")


def _horizon(schedule: Mapping[str, Any] | None) -> str:
    if schedule is None or schedule["horizon"] is None:
        return "none"
    return f"{_number(schedule['horizon'])} {schedule['by']}, at {_number(schedule['t'])}"


def _models(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [name, _number(model["version"]), _number(model["versions_behind"]), _number(model["seconds_behind"])]
        for name, model in models.items()
    ]
    return _rows(rows, 4, "There are no models.")


def _buffers(buffers: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            name,
            _number(buffer["items"]),
            "no limit" if buffer["max_size"] is None else _number(buffer["max_size"]),
            _number(buffer["dropped"]),
        ]
        for name, buffer in buffers.items()
    ]
    return _rows(rows, 4, "There are no buffers.")


def _saves(history: History) -> str:
    newest = list(history.saves)[: -MOST_SAVES_SHOWN - 1 : -1]
    return (
        "".join(
            f"<li><span>{escape(PurePath(str(save['path'])).name)}</span> {_moment(save['time'])}</li>"
            for save in newest
        )
        or "<li>No save yet.</li>"
    )


def _log(history: History) -> str:
    events = sorted([*history.log, *history.changes], key=lambda event: event.time)
    return "".join(map(_line, events[: -MOST_LINES_SHOWN - 1 : -1])) or "<li>Nothing yet.</li>"


def _line(event: Event) -> str:
    level = escape(str(event.details.get("level", "")))
    return (
        f'<li>{_moment(event.time)} <span class="level {level.lower()}">{level}</span> '
        f"<span>{escape(event.text)}</span></li>"
    )


def _errors(status: Mapping[str, Any], history: History) -> str:
    parts = [
        _article(f"{event.details.get('type', 'Error')}, {_clock(event.time)}", event.text)
        for event in reversed(history.errors)
    ]
    parts += [_article(f"Stuck: {name}", stack) for name, stack in status.get("stuck", {}).items()]
    if status.get("not_restored"):
        parts.append(f"<p>Not restored: {escape('; '.join(status['not_restored']))}</p>")
    return "".join(parts)


def _article(title: str, text: str) -> str:
    return f"<article><h3>{escape(title)}</h3><pre>{escape(text)}</pre></article>"


def _rows(rows: Iterable[list[str]], columns: int, none: str) -> str:
    """Return the rows of a table whose first column names them; a sentence if there are none."""
    return (
        "".join(
            f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
            for first, *rest in rows
        )
        or f'<tr><td colspan="{columns}">{none}</td></tr>'
    )


def _value(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _number(value) if is_number else str(value)


def _number(value: float | None) -> str:
    """Return a number as people read it, as the page's script does.

    Example:
        >>> _number(1234567), _number(0.000123456), _number(0.123456), _number(float("nan"))
        ('1,234,567', '1.235e-4', '0.1235', 'not a number')
    """
    if value is None or not math.isfinite(value):
        return "not a number"
    size = abs(value)
    if value == int(value) and size < 1e9:
        return f"{int(value):,}"
    if size >= 1e6 or size < 1e-3:
        digits, exponent = f"{value:.3e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:,.0f}" if size >= 1e4 else f"{value:.4g}"


def _milliseconds(seconds: float) -> str:
    return f"{_number(seconds * 1000)} ms"


def _duration(seconds: float) -> str:
    """Return the two largest parts of a duration.

    Example:
        >>> _duration(7512.3), _duration(0.2)
        ('2 h 5 min', '0 s')
    """
    whole = max(0, int(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((i for i, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    shown = [parts[first], *((amount, unit) for amount, unit in parts[first + 1 : first + 2] if amount)]
    return " ".join(f"{amount} {unit}" for amount, unit in shown)


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S} UTC"


def _moment(moment: float) -> str:
    time = datetime.fromtimestamp(moment, UTC)
    return f'<time datetime="{time:%Y-%m-%dT%H:%M:%SZ}">{time:%Y-%m-%d %H:%M:%S} UTC</time>'

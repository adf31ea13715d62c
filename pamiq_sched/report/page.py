"""The page of a run: one file of HTML with its style and pictures in it, without a script.

The invariant is that whatever comes from a run goes through :func:`_text`, and that nothing is asked of any host.
A plot is an SVG that stretches, with its labels as text around it: so they have one size on any screen. Any
thread.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from pamiq_sched._text import many, printable
from pamiq_sched.report.panels import GROUPS, MOST_PANELS, Line, Panel, amount, span, time_ticks
from pamiq_sched.report.recording import Array, Happening, Recording, Series
from pamiq_sched.state.inspection import SavedStates

MOST_ROWS = 500
"""Of a list of events, of which the latest are shown."""

_ASKS_NOTHING = "default-src 'none'; style-src 'unsafe-inline'"
_WIDE, _HIGH = 1000, 300
"""What the coordinates of a plot go up to."""


def page(recording: Recording, panels: Sequence[Panel], title: str, states: SavedStates | None) -> str:
    """Return the HTML.

    Args:
        recording: What is shown.
        panels: How its numbers are drawn.
        title: What the run is called.
        states: What was found in the directory of its states.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    body = [
        f"<header><h1>{_text(title)}</h1>{_facts(recording)}</header>",
        "<main>",
        _errors(recording),
        _plots(recording, panels),
        _table_of_names(recording),
        _states(states),
        _events(recording),
        "</main>",
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{_ASKS_NOTHING}">',
            f"<title>{_text(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            *(part for part in body if part),
            "</body>",
            "</html>",
            "",
        ]
    )


def _facts(recording: Recording) -> str:
    first, last = recording.parts[0], recording.parts[-1]
    paused = sum(end - begin for begin, end in recording.pauses)
    saves, errors = recording.of_kind("saved"), recording.of_kind("error")
    values = sum(int(series.count.sum()) for series in recording.series.values())
    facts = [
        ("Started", _moment(first.started)),
        ("Ran for", span(recording.duration)),
        ("Continued", "" if len(recording.parts) == 1 else _times(len(recording.parts) - 1)),
        ("Paused", f"{_times(len(recording.pauses))}, {span(paused)} in all" if recording.pauses else ""),
        ("Saved", f"{_times(len(saves))}, at last after {span(saves[-1].at)}" if saves else ""),
        ("Errors", str(len(errors)) if errors else ""),
        ("Numbers", f"{many(values, 'value')} by {many(len(recording.series), 'name')}"),
        ("Version", f"pamiq-sched {last.version}" if last.version else ""),
        ("Read from", ", ".join(file.name for file in recording.files)),
        ("Not read", f"{many(recording.skipped, 'line')}, damaged or foreign" if recording.skipped else ""),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{_text(text)}</dd></div>" for name, text in facts if text)
    return f"<dl>{rows}</dl>"


def _errors(recording: Recording) -> str:
    errors = recording.of_kind("error")
    if not errors:
        return ""
    shown = "".join(
        f"<details open><summary>{_text(_last_line(error.event.text))} "
        f"<small>after {span(error.at)}</small></summary><pre>{_text(error.event.text)}</pre></details>"
        for error in errors[-MOST_ROWS:]
    )
    return f'<section class="errors"><h2>Errors</h2>{_left_out(errors)}{shown}</section>'


# Plots


def _plots(recording: Recording, panels: Sequence[Panel]) -> str:
    shown = panels[:MOST_PANELS]
    parts = [
        f'<svg width="0" height="0" aria-hidden="true"><defs>{_marks(recording)}</defs></svg>',
        _key(recording, shown),
    ]
    for group in GROUPS:
        figures = "".join(_figure(panel, recording) for panel in shown if panel.group == group)
        if figures:
            parts.append(f'<section><h2>{group}</h2><div class="grid">{figures}</div></section>')
    if len(panels) > len(shown):
        parts.append(f"<p>{len(panels) - len(shown)} more plots are left out; the table has all names.</p>")
    return "\n".join(parts)


def _key(recording: Recording, panels: Sequence[Panel]) -> str:
    kinds = [
        ("pause", "paused", recording.pauses),
        ("save", "saved", recording.of_kind("saved")),
        ("change", "changed by hand", recording.of_kind("changed")),
        ("continued", "continued", recording.parts[1:]),
        ("error", "error", recording.of_kind("error")),
    ]
    entries = [f'<li><i class="{kind}"></i>{text}</li>' for kind, text, found in kinds if found]
    if any(not series.is_finite.all() for series in recording.series.values()):
        entries.append('<li><i class="odd">&times;</i>NaN or infinite</li>')
    if any(line.is_band for panel in panels for line in panel.lines):
        entries.append("<li>Bands go from the least to the greatest value.</li>")
    return f'<ul class="key">{"".join(entries)}</ul>' if entries else ""


def _marks(recording: Recording) -> str:
    """What is behind the lines of every plot."""

    def x(at: float) -> str:
        return _number(float(_across(at, recording.duration)))

    def strokes(kind: str, moments: Iterable[float], top: int = 0) -> str:
        # Many saves are one path, and those that would be drawn on the same spot are one stroke.
        path = "".join(f"M{at} {top}V{_HIGH}" for at in dict.fromkeys(map(x, moments)))
        return f'<path class="{kind}" d="{path}"/>' if path else ""

    pauses = "".join(
        f'<path class="pause" d="M{x(begin)} 0H{x(end)}V{_HIGH}H{x(begin)}Z"/>' for begin, end in recording.pauses
    )
    times = strokes("line", (at for at, _ in time_ticks(recording.duration)))
    saves = strokes("save", (h.at for h in recording.of_kind("saved")), _HIGH - 22)
    changes = strokes("change", (h.at for h in recording.of_kind("changed")))
    continued = strokes("continued", (part.begin for part in recording.parts[1:]))
    errors = strokes("error", (h.at for h in recording.of_kind("error")))
    return f'<g id="marks">{pauses}{times}{saves}{changes}{continued}{errors}</g>'


def _figure(panel: Panel, recording: Recording) -> str:
    ticks = [(float(panel.height(value)), label) for value, label in panel.ticks]
    grid = "".join(f"M0 {_y(height)}H{_WIDE}" for height, _ in ticks)
    drawn = "".join(_drawn(line, panel, i, recording.duration) for i, line in enumerate(panel.lines))
    beside = "".join(f'<span style="bottom:{100 * height:.2f}%">{_text(label)}</span>' for height, label in ticks)
    below = ""
    for i, (at, label) in enumerate(time_ticks(recording.duration)):
        left = float(_across(at, recording.duration)) / _WIDE * 100
        at_end = ' class="end"' if left > 90 else ""
        step = f"<br>{panel.steps[i]}{'' if i else ' steps'}" if panel.steps else ""
        below += f'<span{at_end} style="left:{left:.2f}%">{label}{step}</span>'
    told = "; ".join(_summary(line.series) for line in panel.lines)
    several = len(panel.lines) > 1
    legend = "".join(
        f'<li><svg viewBox="0 0 20 4" aria-hidden="true"><path class="l c{i}" d="M0 2H20"/></svg>'
        f"{_text(line.series.name)} <b>{amount(line.series.last, panel.unit)}</b></li>"
        for i, line in enumerate(panel.lines)
    )
    last = "" if several else f" <b>{amount(panel.lines[0].series.last, panel.unit)}</b>"
    note = " <small>log scale</small>" if panel.is_log else ""
    return (
        f"<figure><figcaption>{_text(panel.title)}{last}{note}</figcaption>"
        + (f'<ul class="legend">{legend}</ul>' if several else "")
        + f'<div class="plot"><div class="beside" aria-hidden="true">{beside}</div>'
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" aria-label="{_text(told)}">'
        f'<use href="#marks"/><path class="line" d="{grid}"/>{drawn}</svg>'
        f'<div class="below" aria-hidden="true">{below}</div></div></figure>'
    )


def _drawn(line: Line, panel: Panel, index: int, duration: float) -> str:
    xs = [_number(x) for x in _across(line.time, duration)]
    parts = []
    if line.is_band:
        edges = [_y(heights) for heights in (panel.height(line.greatest), panel.height(line.least))]
        for begin, end in _stretches(line.mean):
            upper = "L".join(f"{xs[i]} {edges[0][i]}" for i in range(begin, end))
            lower = "L".join(f"{xs[i]} {edges[1][i]}" for i in reversed(range(begin, end)))
            # One column is as wide as a line, so that its extremes are seen.
            kind = "b" if end - begin > 1 else "l"
            parts.append(f'<path class="{kind} c{index}" d="M{upper}L{lower}Z"/>')
    ys = _y(panel.height(line.mean))
    path = "".join(
        # A stroke of no length is a dot.
        "M" + "L".join(f"{xs[i]} {ys[i]}" for i in range(begin, end)) + ("h0" if end - begin == 1 else "")
        for begin, end in _stretches(line.mean)
    )
    alone = " dots" if all(end - begin == 1 for begin, end in _stretches(line.mean)) else ""
    if path:
        parts.append(f'<path class="l c{index}{alone}" d="{path}"/>')
    odd = "".join(f"M{_number(x)} 12h0" for x in _across(line.not_finite, duration))
    if odd:
        parts.append(f'<path class="odd" d="{odd}"/>')
    return "".join(parts)


def _stretches(mean: Array) -> list[tuple[int, int]]:
    """Return where a line goes on without NaN: from, to."""
    edges = np.diff(np.concatenate([[0], np.isfinite(mean).astype(int), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _across(at: Array | float, duration: float) -> Array:
    return np.asarray(at) / duration * _WIDE if duration > 0 else np.asarray(at) * 0 + _WIDE / 2


def _y(height: Array | float) -> list[str] | str:
    down = (1 - np.asarray(height)) * _HIGH
    return _number(float(down)) if down.ndim == 0 else [_number(y) for y in down.tolist()]


def _number(coordinate: float) -> str:
    return f"{float(coordinate):.1f}".removesuffix(".0")


def _summary(series: Series) -> str:
    least, greatest = _extremes(series)
    return (
        f"{series.name}: {many(int(series.count.sum()), 'value')} from {amount(least)} to {amount(greatest)}, "
        f"last {amount(series.last)}"
    )


# Tables


def _table_of_names(recording: Recording) -> str:
    is_odd = any(not series.is_finite.all() for series in recording.series.values())
    header = [
        "Name",
        "Values",
        "Last",
        "At step",
        "Mean",
        "Least",
        "Greatest",
        *(["Not finite"] if is_odd else []),
    ]
    rows = []
    for series in recording.series.values():
        good = series.is_finite
        count = series.count[good]
        mean = float(np.sum(series.value[good] * (count / count.sum()))) if count.size else math.nan
        odd = int(np.count_nonzero(~good))
        told = (series.last, series.step[-1], mean, *_extremes(series))
        row = [series.name, str(int(series.count.sum())), *map(amount, told)]
        rows.append([*row, str(odd) if odd else ""] if is_odd else row)
    return f"<section><h2>All numbers</h2>{_table(header, rows, 'All numbers', numbers=True)}</section>"


def _extremes(series: Series) -> tuple[float, float]:
    good = series.is_finite
    if not good.any():
        return math.nan, math.nan
    return float(series.least[good].min()), float(series.greatest[good].max())


def _states(states: SavedStates | None) -> str:
    if states is None or not states.states:
        return ""
    rows = []
    for state in states.states:
        manifest = state.manifest
        condition = "damaged: " + "; ".join(state.problems) if state.problems else "complete"
        if manifest is not None and manifest.crashed and not state.problems:
            condition = "of a run that an error ended"
        number = "?" if manifest is None else str(manifest.number)
        about = {} if manifest is None else manifest.about
        told = [_plain(about.get(key)) for key in ("steps", "metric")]
        moment = "?" if manifest is None else _iso(manifest.saved_at)
        rows.append((state.path.name, number, moment, condition, f"{state.size / 1e6:.3g} MB", *told))
    header = ("State", "Number", "Saved", "Is", "Size", "Steps", "Metric")
    return f"<section><h2>Saved states</h2>{_table(header, rows, 'Saved states')}</section>"


def _events(recording: Recording) -> str:
    kinds = [
        ("Saves", ("saved", "save failed"), False),
        ("Changes by hand", ("changed",), False),
        ("States of the system", ("started", "state", "ended"), False),
        ("Log", ("log",), False),
    ]
    lists = []
    for title, names, is_open in kinds:
        found = recording.of_kind(*names)
        if found:
            rows = [(span(h.at), _moment(h.event.time)[:19], _told(h)) for h in found[-MOST_ROWS:]]
            table = _table(("After", "At", "What"), rows, title)
            lists.append(
                f"<details{' open' if is_open else ''}><summary>{title} <small>{len(found)}</small></summary>"
                f"{_left_out(found)}{table}</details>"
            )
    return f"<section><h2>What happened</h2>{''.join(lists)}</section>" if lists else ""


def _told(happening: Happening) -> str:
    event = happening.event
    if event.kind == "log":
        level, logger = (_plain(event.details.get(key)) for key in ("level", "logger"))
        return " ".join(part for part in (level, logger and f"{logger}:", event.text) if part)
    return event.text or event.kind


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], name: str, *, numbers: bool = False) -> str:
    head = "".join(f'<th scope="col">{text}</th>' for text in header)
    slash = "/<wbr>"  # where a long name may be broken
    body = ""
    for first, *cells in rows:
        told = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        body += f'<tr><th scope="row">{_text(first).replace("/", slash)}</th>{told}</tr>'
    opening = f'<table class="{"numbers" if numbers else "texts"}">'
    # A region with a tabindex can be scrolled by keys, too.
    return (
        f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{opening}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _left_out(found: Sequence[object]) -> str:
    return f"<p>The latest {MOST_ROWS} of {len(found)}.</p>" if len(found) > MOST_ROWS else ""


# Words


def _text(text: str) -> str:
    """Return anything as text in HTML; what cannot be printed is shown by its code."""
    return html.escape("".join(c if c in "\n\t" else printable(c) for c in text))


def _plain(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return amount(value) if isinstance(value, float) else json.dumps(value, default=str)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "an error without text")


def _moment(unix: float) -> str:
    try:
        return f"{datetime.fromtimestamp(unix).astimezone():%Y-%m-%d %H:%M:%S %z}"
    except (ValueError, OverflowError, OSError):
        return "?"


def _iso(moment: str) -> str:
    try:
        return _moment(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return moment

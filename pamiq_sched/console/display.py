"""Draw a system as lines of text: all of it, or what fits into a terminal. Pure functions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from pamiq_sched._text import many
from pamiq_sched.console.inspect import age
from pamiq_sched.console.snapshot import Snapshot, Times, TrainerView

COLOURS = {
    "active": "bold green",
    "paused": "bold yellow",
    "pausing": "yellow",
    "resuming": "yellow",
    "saving": "bold cyan",
    "shutting down": "bold magenta",
    "offline": "bold red",
}
LABEL = 10
"""The columns that the names of sections take."""
BAR = 20


@dataclass(frozen=True)
class Happening:
    """A line about something that happened."""

    time: float
    """Unix seconds."""
    text: str
    style: str = ""

    def line(self) -> Text:
        """Return it with its time of day."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.time))
        return Text.assemble((clock, "dim"), "  ", (self.text, self.style))


@dataclass(frozen=True)
class Section:
    """Lines that belong together; when there is no room for all, so many of them are shown at least."""

    lines: Sequence[Text]
    least: int


def sections(snapshot: Snapshot, where: str, *, now: float, width: int | None, ascii_only: bool) -> list[Section]:
    """Return what there is to say, the most important first.

    Args:
        snapshot: The system.
        where: Its address.
        now: Unix seconds.
        width: Columns that lists are broken at; None for none.
        ascii_only: Whether to draw bars of plain characters.
    """
    found = [
        Section([_title(snapshot, where)], 1),
        Section(_stuck(snapshot), 1),
        Section(_steps(snapshot, width), 1),
        Section(_trainers(snapshot, width), 2),
        Section(_buffers(snapshot, ascii_only), 1),
        Section([_saves(snapshot, now)], 1),
        Section(_models(snapshot), 1),
        Section(_not_restored(snapshot, width), 0),
    ]
    return [section for section in found if section.lines]


def fitted(parts: Sequence[Section], height: int) -> list[Text]:
    """Return the lines of the sections, so many at the most.

    Each gets its least, as long as there is room; then the first ones get all.
    """
    room = height
    heights = []
    for part in parts:
        heights.append(min(part.least, len(part.lines), room))
        room -= heights[-1]
    for i, part in enumerate(parts):
        more = min(len(part.lines) - heights[i], room)
        heights[i] += more
        room -= more
    lines: list[Text] = []
    for part, count in zip(parts, heights, strict=True):
        shown = list(part.lines[:count])
        hidden = len(part.lines) - count
        if hidden and count > 1:
            shown[-1] = Text(f"{'':{LABEL}}and {hidden + 1} more lines", "dim")
        lines += shown
    return lines


def _title(snapshot: Snapshot, where: str) -> Text:
    state = (snapshot.state, COLOURS.get(snapshot.state, "bold"))
    title = Text.assemble((snapshot.program or "a system", "bold"), "  ", state, f"  up {_clock(snapshot.uptime)}")
    if snapshot.is_saving and snapshot.state != "saving":
        title.append("  saving", "cyan")
    if snapshot.time_scale not in (None, 1.0):
        title.append(f"  time x{number(snapshot.time_scale)}", "yellow")
    title.append(f"  {where}  pid {snapshot.pid}", "dim")
    return title


def _steps(snapshot: Snapshot, width: int | None) -> list[Text]:
    rate = f"{number(snapshot.steps_per_second)}/s"
    items = [Text(f"{snapshot.steps:,}")]
    if snapshot.interval:
        rate += f" of {number(1 / snapshot.interval)}/s"
    items += [Text(rate), Text(_percentiles(snapshot.step_times))]
    if snapshot.interval:
        late = "yellow" if snapshot.deadline_misses else ""
        items += [
            Text(f"late p99 {seconds(snapshot.lateness.p99)}"),
            Text(f"{snapshot.deadline_misses:,} missed", late),
        ]
    return [*_flow("steps", items, width), *_flow("agent", _values(snapshot.agent), width)]


def _trainers(snapshot: Snapshot, width: int | None) -> list[Text]:
    rows = [
        (
            Text(trainer.name, "bold"),
            Text("training" if trainer.is_in_session else "waiting", "green" if trainer.is_in_session else "dim"),
            Text(f"{trainer.steps:,} steps"),
            Text(many(trainer.sessions, "session")),
            Text("" if trainer.replay_ratio is None else f"replay {number(trainer.replay_ratio)}"),
        )
        for trainer in snapshot.trainers
    ]
    lines = []
    for trainer, line in zip(snapshot.trainers, _aligned("trainer", rows, right=(2, 3)), strict=True):
        cycle = Text.assemble(("cycle ", "dim"), _percentiles(trainer.cycle_times))
        lines.append(line)
        lines += _flow("", [*_values(trainer.numbers), cycle], width, indent=2)
        lines += _flow("", _scheduled(trainer), width, indent=2)
    return lines


def _scheduled(trainer: TrainerView) -> list[Text]:
    items = []
    for schedule in trainer.schedules:
        values = "-".join(dict.fromkeys(number(value) for value in schedule.values))
        at = f"at {number(schedule.t)}"
        if schedule.horizon is not None:
            at += f" of {number(schedule.horizon)}"
        items.append(Text.assemble((f"{schedule.name} ", "cyan"), values, (f" {at} {schedule.by}", "dim")))
    return items


def _buffers(snapshot: Snapshot, ascii_only: bool) -> list[Text]:
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    rows = []
    for buffer in snapshot.buffers:
        share, bar = "", Text()
        if buffer.max_size:
            filled = min(buffer.items / buffer.max_size, 1.0)
            cells = int(filled * BAR)
            bar = Text.assemble((full * cells, "blue"), (empty * (BAR - cells), "dim"))
            share = f"{int(filled * 100)} %"
        of = f" of {buffer.max_size:,}" if buffer.max_size else ""
        dropped = Text(f"{buffer.dropped:,} dropped" if buffer.dropped else "", "yellow")
        rows.append((Text(buffer.name, "bold"), bar, Text(share), Text(f"{buffer.items:,}{of}"), dropped))
    return _aligned("buffer", rows, right=(2, 3))


def _models(snapshot: Snapshot) -> list[Text]:
    rows = [
        (
            Text(model.name, "bold"),
            Text(f"version {model.version:,}"),
            Text(f"{many(model.versions_behind, 'version')} behind" if model.versions_behind else "up to date"),
            Text(seconds(model.seconds_behind) if model.versions_behind else ""),
        )
        for model in snapshot.models
    ]
    return _aligned("model", rows, right=(1,))


def _saves(snapshot: Snapshot, now: float) -> Text:
    line = _labelled("saved")
    if snapshot.last_saved is None:
        line.append("never")
    elif snapshot.last_saved_at is not None:
        line.append(f"{age(now - snapshot.last_saved_at)} ago")
    line.append(f"  {many(snapshot.pauses, 'pause')}  ", "dim")
    # Last, as the longest: what does not fit is its end.
    line.append(snapshot.last_saved or "")
    line.rstrip()
    return line


def _stuck(snapshot: Snapshot) -> list[Text]:
    lines = []
    for name, text in snapshot.stuck.items():
        lines.append(Text.assemble((f"{'stuck':{LABEL}}{name}", "bold red"), "  it does not come by; its stack:"))
        # The innermost frame first: it says where it hangs, and there may not be room for all.
        lines += [
            Text(f"{'':{LABEL}}  {line.strip()}", "red") for line in reversed(text.splitlines()) if line.strip()
        ]
    return lines


def _not_restored(snapshot: Snapshot, width: int | None) -> list[Text]:
    return _flow("anew", [Text(what, "dim") for what in snapshot.not_restored], width)


def _labelled(label: str) -> Text:
    return Text.assemble((f"{label:{LABEL}}", "dim"))


def _aligned(label: str, rows: Sequence[Sequence[Text]], *, right: Sequence[int] = ()) -> list[Text]:
    """Return rows in columns, those of the given numbers aligned to the right; what is empty takes no column."""
    if not rows:
        return []
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        line = Text.assemble((f"{label if i == 0 else '':{LABEL}}", "dim"))
        cells = []
        for j, (cell, width) in enumerate(zip(row, widths, strict=True)):
            if width:
                cells.append(cell.copy())
                cells[-1].align("right" if j in right else "left", width)
        line.append_text(Text("  ").join(cells))
        line.rstrip()
        lines.append(line)
    return lines


def _flow(label: str, items: Iterable[Text], width: int | None, *, indent: int = 0) -> list[Text]:
    """Return items one behind the other, in as many lines as they take."""
    lines: list[Text] = []
    for item in items:
        if lines and (width is None or lines[-1].cell_len + 3 + item.cell_len <= width):
            lines[-1].append("   ").append_text(item)
        else:
            lines.append(Text.assemble((f"{'' if lines else label:{LABEL}}{'':{indent}}", "dim"), item))
    return lines


def _values(numbers: Mapping[str, float | None]) -> list[Text]:
    return [Text.assemble((f"{name} ", "dim"), number(value)) for name, value in numbers.items()]


def _percentiles(times: Times) -> str:
    return f"p50 {seconds(times.p50)} p99 {seconds(times.p99)}" if times.count else "p50 - p99 -"


def _clock(uptime: float | None) -> str:
    if uptime is None:
        return "?"
    minutes, rest = divmod(int(uptime), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def number(value: float | None) -> str:
    """Return a number as it is read, with four digits.

    Example:
        >>> number(0.123456), number(1234567.0), number(None)
        ('0.1235', '1,234,567', '-')
    """
    if value is None:
        return "-"
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def seconds(value: float | None) -> str:
    """Return a duration in the unit that suits it.

    Example:
        >>> seconds(0.00012), seconds(0.0421), seconds(3.2), seconds(None)
        ('120 us', '42.1 ms', '3.20 s', '-')
    """
    if value is None:
        return "-"
    for unit, length in (("us", 1e-6), ("ms", 1e-3)):
        if value < 999.5 * length:
            return f"{_digits(value / length)} {unit}"
    return f"{_digits(value)} s"


def _digits(value: float) -> str:
    """Return three digits of what is below 1,000, so that a column of them stands still."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"

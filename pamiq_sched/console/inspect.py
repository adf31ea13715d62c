"""``pamiq-sched inspect``: what saves hold, whether they are whole, how two of them differ."""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pamiq_sched._text import finite, many, printable
from pamiq_sched.console import Failure

if TYPE_CHECKING:
    from pamiq_sched.state.comparison import StateComparison
    from pamiq_sched.state.inspection import (
        Numbers,
        SavedState,
        SavedStates,
        SavedTensor,
        SavedValue,
        StateSummary,
    )
    from pamiq_sched.state.manifest import Manifest

VERSIONS = ("pamiq-sched", "python", "torch", "numpy")
FEW = 20
"""How many differences of a component are listed."""


def inspect(
    state: Annotated[Path, typer.Argument(help="A saved state, or a directory of states.")],
    other: Annotated[Path | None, typer.Argument(help="Another state, to compare it with.")] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List the tensors, and what is in them.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show how a crashed run ended.")] = False,
    every: Annotated[bool, typer.Option("--all", help="List all differences, not only the first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show what a save holds and whether it is whole, or compare two.

    The exit status is 0 if it is whole, or both are equal, and else 1. Nothing of it is run or loaded.
    """
    from pamiq_sched.state import inspection  # noqa: PLC0415 - loads numpy, which --help does not need
    from pamiq_sched.state.comparison import compare_states  # noqa: PLC0415
    from pamiq_sched.state.manifest import is_state  # noqa: PLC0415

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may have what the encoding lacks
    try:
        if other is not None:
            _refuse({"--tensors": tensors, "--traceback": traceback}, "shows one state; give one, or leave it out")
            comparison = compare_states(state, other)
            is_well = comparison.are_equal
            document: Any = asdict(comparison) | {"are_equal": is_well}
            lines = _comparison(comparison, math.inf if every else FEW)
        elif is_state(state):
            _refuse({"--all": every}, "is about comparing; give two states, or leave it out")
            saved = inspection.inspect_state(state, numbers=tensors)
            is_well = saved.verifies
            document = asdict(saved) | {"verifies": is_well}
            lines = _state(saved, tensors=tensors, traceback=traceback)
        else:
            options = {"--tensors": tensors, "--traceback": traceback, "--all": every}
            _refuse(options, "is not about a directory of states; give a state, or leave it out")
            listed = inspection.inspect_states(state)
            is_well = not (listed.states and listed.states[-1].problems)
            document = asdict(listed)
            lines = _states(listed)
    except (OSError, ValueError) as error:
        raise Failure.of(error) from error
    if as_json:
        typer.echo(json.dumps(finite(document, str), indent=1, default=str))
    else:
        for line, colour in lines:
            typer.echo(printable(line) if colour is None else typer.style(printable(line), fg=colour))
    raise typer.Exit(0 if is_well else 1)


Lines = Iterator[tuple[str, str | None]]
"""What is printed, each line with its colour."""


def _state(state: SavedState, *, tensors: bool, traceback: bool) -> Lines:
    yield state.path.name or str(state.path), None
    manifest = state.manifest
    facts: list[tuple[str, str]] = []
    if manifest is not None:
        facts = [
            ("number", str(manifest.number)),
            ("saved", f"{_moment(manifest)} ({_age(manifest)} ago)"),
            ("crashed", _ending(state) if manifest.crashed else "no"),
            ("versions", ", ".join(f"{k} {_short(manifest.about[k])}" for k in VERSIONS if k in manifest.about)),
            *((k.replace("_", " "), _short(v)) for k, v in manifest.about.items() if k not in VERSIONS),
        ]
    files = sum(component.files for component in state.components)
    facts.append(("size", f"{_bytes(state.size)} in {many(files, 'file')}"))
    wide = max(len(name) for name, _ in facts)
    for name, text in facts:
        if text:
            yield from _plainly(_hanging(f"  {name:{wide}}  ", text))
    if state.verifies:
        yield f"  {'verifies':{wide}}  yes, every file is as it was saved", "green"
    else:
        yield f"  {'verifies':{wide}}  NO: {many(len(state.problems), 'difference')}", "red"
        for problem in state.problems:
            yield f"    {problem}", "red"
    yield "", None
    yield from _plainly(_components(state))
    for name, why in (manifest.failed if manifest is not None else {}).items():
        yield f"{name} could not be saved: {_short(why)}", "red"
    if tensors:
        yield from _tensors(state)
    if traceback:
        yield "", None
        yield from _plainly(state.traceback.splitlines() or ["there is no traceback in it"])


def _components(state: SavedState) -> Iterator[str]:
    rows = []
    for component in state.components:
        name = component.name or "(no component)"
        others = f"{many(len(component.others), 'file')} of its own" if component.others else ""
        only = component.values[0] if len(component.values) == 1 and not component.others else None
        if only is not None and only.name == component.name:
            rows.append((name, component.files, component.size, _holds(only)))
            continue
        rows.append((name, component.files, component.size, others))
        for value in component.values:
            shown = value.name.removeprefix(f"{component.name}/")
            rows.append((f"  {shown}", value.files, value.size, _holds(value)))
    wide = max([len("component"), *(len(name) for name, *_ in rows)])
    yield f"{'component':{wide}}  files      size  holds"
    for name, files, size, text in rows:
        yield from _hanging(f"{name:{wide}}  {files:5}  {_bytes(size):>8}  ", text)


def _holds(value: SavedValue) -> str:
    keys = {key: value.counts.get(key) for key in value.keys}
    keys |= {path: count for path, count in value.counts.items() if path not in keys}
    texts = [key if count is None else f"{key} {count}" for key, count in keys.items()]
    parts = [_few(texts) or value.kind]
    for kind, tensors in (("tensor", _of_torch(value.tensors)), ("array", _of_numpy(value.tensors))):
        if tensors:
            counts: Counter[str] = Counter()
            for tensor in tensors:
                counts[tensor.dtype] += tensor.count
            numbers = ", ".join(f"{count} {dtype}" for dtype, count in counts.items())
            parts.append(f"{many(len(tensors), kind)}: {numbers}")
    return "; ".join(part for part in (*parts, *value.problems) if part)


def _of_torch(tensors: Iterable[SavedTensor]) -> list[SavedTensor]:
    return [t for t in tensors if t.kind in ("tensor", "list of tensors")]


def _of_numpy(tensors: Iterable[SavedTensor]) -> list[SavedTensor]:
    return [t for t in tensors if t.kind not in ("tensor", "list of tensors")]


def _tensors(state: SavedState) -> Lines:
    for value in (v for component in state.components for v in component.values if v.tensors):
        yield "", None
        yield value.name, None
        rows: list[tuple[str, ...]] = [("tensor", "dtype", "shape", "min", "max", "mean", "NaN", "inf")]
        rows += [(t.path, t.dtype, str(t.shape), *_told(t.numbers)) for t in value.tensors]
        ill = [False, *(bool(t.numbers and t.numbers.nan + t.numbers.infinite) for t in value.tensors)]
        for line, is_ill in zip(_table(rows, left=3), ill, strict=True):
            yield f"  {line}", "red" if is_ill else None


def _told(numbers: Numbers | None) -> tuple[str, ...]:
    if numbers is None:
        return ("?",) * 5
    range_ = (numbers.least, numbers.greatest, numbers.mean)
    return (*("-" if n is None else f"{n:.4g}" for n in range_), str(numbers.nan), str(numbers.infinite))


def _states(listed: SavedStates) -> Lines:
    yield from _listed(listed)
    damaged = [state for state in listed.states if state.problems]
    for state in damaged:
        more = f"; and {len(state.problems) - 1} more" if len(state.problems) > 1 else ""
        yield f"{state.path.name}: {state.problems[0]}{more}", "red"
    for name in listed.unfinished:
        yield f"{name}: a save that is under way, or an interrupted one, which the next save removes", None
    if len(listed.states) > 1:
        yield "The newest was read to verify it; of the others names and sizes were looked at.", None


def _listed(listed: SavedStates) -> Lines:
    if not listed.states:
        return
    rows: list[tuple[str, ...]] = []
    for state in listed.states:
        about = {} if state.manifest is None else state.manifest.about
        number = saved = old = "?"
        if state.manifest is not None:
            number, saved, old = str(state.manifest.number), _moment(state.manifest), _age(state.manifest)
        told = [_short(about[key]) if key in about else "" for key in ("steps", "metric")]
        rows.append((number, state.path.name, saved, old, _condition(state), _bytes(state.size), *told))
    header = ("no", "name", "saved", "age", "state", "size", "steps", "metric")
    columns = list(zip(header, *rows, strict=True))
    # Names that begin with the day need no moment beside them, and all fits into 80 columns.
    if all(saved == "?" or name.startswith(saved[:10]) for _, name, saved, *_ in rows):
        del columns[2]
    columns = [column for column in columns if any(column[1:])]
    colours = [None, *("red" if state.problems else None for state in listed.states)]
    yield from zip(_table(list(zip(*columns, strict=True)), left=2), colours, strict=True)


def _condition(state: StateSummary) -> str:
    if state.problems:
        return "damaged"
    return "crashed" if state.manifest is not None and state.manifest.crashed else "complete"


def _comparison(comparison: StateComparison, most: float) -> Lines:
    for side, state in (("A", comparison.a), ("B", comparison.b)):
        manifest = state.manifest
        told = "" if manifest is None else f"  number {manifest.number}, saved {_moment(manifest)}"
        yield f"{side}  {state.path.name or state.path}{told}", None
        for problem in state.problems:
            yield f"   it does not verify: {problem}", "red"
    yield "", None
    if comparison.about:
        yield "the runs", None
        for difference in comparison.about:
            yield f"  {difference}", None
    for name, component in comparison.components.items():
        count = len(component.differences)
        yield f"{name or '(no component)'}: {component.equal} equal, {count} different", None
        for difference in component.differences[: int(min(most, count))]:
            yield f"  {difference}", None
        if count > most:
            yield f"  and {count - FEW} more; --all lists them", None
    yield "", None
    yield ("they are equal", "green") if comparison.are_equal else ("they differ", "red")


def _ending(state: SavedState) -> str:
    lines = state.traceback.strip().splitlines()
    return f"yes: {lines[-1] if lines else 'without a traceback'}"


def _moment(manifest: Manifest) -> str:
    saved = _parsed(manifest.saved_at)
    return _short(manifest.saved_at) if saved is None else saved.strftime("%Y-%m-%d %H:%M:%S %z").strip()


def _age(manifest: Manifest) -> str:
    saved = _parsed(manifest.saved_at)
    if saved is None:
        return "?"
    return age((datetime.now(UTC) - saved.astimezone(UTC)).total_seconds())


def age(seconds: float) -> str:
    """Return a length of time as people tell it, in one unit.

    Example:
        >>> age(3), age(200), age(100_000)
        ('3 s', '3 min', '27 h')
    """
    if seconds < 0:  # the clock of then was ahead
        return "0 s"
    for unit, length, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 86400:.0f} d"


def _parsed(moment: str) -> datetime | None:
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        return None


def _bytes(count: float) -> str:
    if count < 1000:
        return f"{count} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} TB"


def _few(texts: Sequence[str], most: int = 12) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _short(value: Any) -> str:
    """Return what a run told about itself in one line."""
    if isinstance(value, Mapping):
        return _few([f"{key} {_short(part)}" for key, part in value.items()])
    if isinstance(value, list):
        return _few([_short(part) for part in value])
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _table(rows: Sequence[tuple[str, ...]], *, left: int) -> Iterator[str]:
    """Yield rows in columns, of which the first so many are aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{c:{w}}" if i < left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def _hanging(start: str, text: str) -> list[str]:
    """Return lines of which the second begins below the text; in a file it is one line."""
    room = shutil.get_terminal_size().columns - len(start)
    if not sys.stdout.isatty() or room < 20:
        return [f"{start}{text}".rstrip()]
    lines = textwrap.wrap(text, room) or [""]
    return [f"{start}{lines[0]}".rstrip(), *(" " * len(start) + line for line in lines[1:])]


def _plainly(lines: Iterable[str]) -> Lines:
    return ((line, None) for line in lines)


def _refuse(options: Mapping[str, bool], why: str) -> None:
    for name, is_given in options.items():
        if is_given:
            raise typer.BadParameter(f"it {why}", param_hint=name)

"""The table: what was measured, what the peer shows, and whether the goal is held."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

Numbers = dict[str, float]
"""What a measurement returns, by name."""


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    unit: str
    ours: float | None
    peer: float | None = None
    goal: float | None = None
    at_least: bool = False
    """Whether the goal is a floor; it is a ceiling otherwise."""

    def cells(self) -> list[str]:
        """The columns of the table."""
        return [
            self.what,
            self._show(self.ours),
            self._show(self.peer),
            "" if not self.ours or self.peer is None else f"{self.peer / self.ours:.3g}",
            "" if self.goal is None else f"{'>=' if self.at_least else '<='} {self._show(self.goal)}",
            self._verdict(),
        ]

    def _show(self, value: float | None) -> str:
        if value is None:
            return "-"
        digits = f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
        return f"{digits} {self.unit}".rstrip()

    def _verdict(self) -> str:
        if self.goal is None or self.ours is None:
            return ""
        return "yes" if (self.ours >= self.goal if self.at_least else self.ours <= self.goal) else "NO"


HEADER = ["what", "ours", "peer", "peer/ours", "goal", "held?"]


def table(rows: Iterable[Row]) -> str:
    """Lay the rows out as a Markdown table."""
    lines: list[Sequence[str]] = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def machine() -> str:
    """Describe what the figures were measured on, and how busy it was."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{date.today()}: {_cpu()}, {cores} cores, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, torch {_version_of('torch')}; load average {load}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"

"""What people see of the CartPole demo: progress in the terminal, and a picture at the end.

All of it is called by the main thread; it reads what the parts tell and touches nothing of theirs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from cartpole_dqn_parts import Episode, Reading
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.live import Live
from rich.table import Table

SECONDS_BETWEEN_LINES = 5.0

# Okabe & Ito's palette, which colour-blind people can tell apart.
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"


class Display:
    """A live table if stdout is a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, text: str) -> None:
        """Say something that stays."""
        if self._live is not None:
            self._console.print(text, highlight=False)
        else:
            print(text, flush=True)

    def show(self, progress: Mapping[str, str]) -> None:
        """Show how far it is; to be called a few times a second."""
        if self._live is not None:
            table = Table.grid(padding=(0, 2))
            for name, value in progress.items():
                style = "bold yellow" if value == "paused" else "bold"
                table.add_row(name, f"[{style}]{value}[/]")
            self._live.update(table, refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            print("  ".join(f"{name} {value}" for name, value in progress.items()), flush=True)


@dataclass(frozen=True)
class History:
    """What happened in a demo; times are seconds since its start."""

    title: str
    episodes: Sequence[Episode]
    evaluations: Sequence[Reading]
    scheduled: Mapping[str, Sequence[Reading]]
    """Hyperparameters of the optimizer, by name."""
    pauses: Sequence[tuple[float, float]]
    restart: tuple[float, float] | None
    """From the save until a new system went on from it."""
    levels: tuple[float, float]
    """Mean returns that count as learned, and as the aim."""
    window: int
    """How many episodes a mean is taken over."""


def plot(history: History, path: Path) -> Path:
    """Draw returns and scheduled values over time, with the pauses; return where the picture is."""
    figure = Figure(figsize=(10, 10), layout="constrained")
    below = len(history.scheduled) + 1
    returns, *scheduled, epsilon = figure.subplots(1 + below, sharex=True, height_ratios=(3, *[0.8] * below))
    figure.suptitle(history.title)

    _plot_returns(returns, history)
    for axes, (name, readings) in zip(scheduled, history.scheduled.items(), strict=True):
        axes.plot(*_columns(readings), color=GREEN)
        highest = max((value for _, value in readings), default=1.0)
        axes.set(ylabel=name.replace("_", "\n"), ylim=(0, 1.1 * highest))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    epsilon.plot([e.seconds for e in history.episodes], [e.epsilon for e in history.episodes], color=VERMILION)
    epsilon.set(ylabel="chance of a\nrandom action\nε", ylim=(0, 1.05), xlabel="time (s)")
    for axes in (returns, *scheduled, epsilon):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        _shade_stops(axes, history, labelled=axes is returns)

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _plot_returns(axes: Axes, history: History) -> None:
    seconds = [episode.seconds for episode in history.episodes]
    totals = np.array([episode.total for episode in history.episodes])
    axes.plot(seconds, totals, ".", color=BLUE, alpha=0.3, markersize=5, label="one episode")
    sums = np.concatenate([[0.0], totals.cumsum()])
    ends = np.arange(1, len(totals) + 1)
    begins = np.maximum(0, ends - history.window)
    means = (sums[ends] - sums[begins]) / (ends - begins)
    axes.plot(seconds, means, color=BLUE, linewidth=2.5, label=f"mean of the last {history.window}")
    axes.plot(
        *_columns(history.evaluations), "D", color=ORANGE, markeredgecolor="black", label="evaluation without ε"
    )
    for level, name in zip(history.levels, ("learned", "aim"), strict=True):
        axes.axhline(level, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(
            f"{name}: {level:g}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            verticalalignment="center",
            color=GREY,
        )
    axes.set(ylabel="return per episode (steps balanced)", ylim=(0, 520))
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False)


def _shade_stops(axes: Axes, history: History, *, labelled: bool) -> None:
    stops = [(f"pause {i}", *pause) for i, pause in enumerate(history.pauses, 1)]
    for _, began, ended in stops:
        axes.axvspan(began, ended, color=GREY, alpha=0.35, linewidth=0)
    if history.restart is not None:
        stops.append(("saved, ended,\ncontinued\nfrom there", *history.restart))
        for moment in history.restart:
            axes.axvline(moment, color="black", linewidth=1)
    for name, began, ended in stops if labelled else ():
        axes.annotate(
            name,
            ((began + ended) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="bottom",
            fontsize=9,
        )


def _columns(readings: Sequence[Reading]) -> tuple[list[float], list[float]]:
    return [moment for moment, _ in readings], [value for _, value in readings]

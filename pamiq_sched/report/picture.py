"""The panels of a run as a PNG, by matplotlib. Any thread."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pamiq_sched._text import printable
from pamiq_sched.report.panels import MOST_PANELS, Panel, span, time_ticks
from pamiq_sched.report.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1769b5", "#c2571a", "#16825d", "#8d3fa8", "#a67c00", "#c02f5f")
_STYLES = ("-", "-", "-", "--", "--", "--")
_ERROR, _SAVE, _CHANGE, _PAUSE = "#c62828", "#6b7280", "#a67c00", "#9ca3af"


def picture(recording: Recording, panels: Sequence[Panel], title: str) -> bytes:
    """Return a PNG with all panels.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'pamiq-sched[plot]'") from error
    panels = panels[:MOST_PANELS]
    across = 1 if len(panels) <= 2 else 2 if len(panels) <= 12 else 3
    down = -(-len(panels) // across)
    # parse_math: a name may have dollar signs.
    with (
        rc_context({"text.parse_math": False, "font.size": 8.5, "axes.linewidth": 0.6}),
        warnings.catch_warnings(),
    ):
        # A name may have letters that the font lacks: they are boxes in the picture, and right in the page.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(9.0 if across == 1 else 6.2 * across, 0.9 + 2.6 * down), layout="constrained")
        figure.suptitle(printable(title), fontsize=11, x=0.01, ha="left")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for one, panel in zip(axes, panels, strict=False):
            _draw(one, panel, recording)
        for one in axes[len(panels) :]:
            one.set_axis_off()
        figure.supxlabel(_key(recording), fontsize=8, color="#4b5563")
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _draw(axes: Axes, panel: Panel, recording: Recording) -> None:
    for begin, end in recording.pauses:
        axes.axvspan(begin, end, color=_PAUSE, alpha=0.3, linewidth=0)
    for part in recording.parts[1:]:
        axes.axvline(part.begin, color="#111827", linewidth=0.9, linestyle=(0, (4, 3)))
    for happening in recording.of_kind("changed"):
        axes.axvline(happening.at, color=_CHANGE, linewidth=1.0, linestyle=":")
    for happening in recording.of_kind("error"):
        axes.axvline(happening.at, color=_ERROR, linewidth=1.2)
    shapes: list[Any] = []
    for line, colour, style in zip(panel.lines, COLOURS, _STYLES, strict=False):
        if line.is_band:
            axes.fill_between(line.time, line.least, line.greatest, color=colour, alpha=0.25, linewidth=0.7)
        is_dots = np.isfinite(line.mean).sum() < 2
        shapes += axes.plot(
            line.time, line.mean, color=colour, linestyle=style, linewidth=1.3, marker="o" if is_dots else ""
        )
        top = axes.get_xaxis_transform()
        axes.plot(line.not_finite, np.full(line.not_finite.shape, 0.96), "x", color=_ERROR, transform=top, ms=4)
    saves = [happening.at for happening in recording.of_kind("saved")]
    axes.plot(saves, [0.04] * len(saves), "|", color=_SAVE, transform=axes.get_xaxis_transform(), ms=7)
    axes.set_title(printable(panel.title) + ("  (log scale)" if panel.is_log else ""), fontsize=9, loc="left")
    if panel.is_log:
        axes.set_yscale("log")
        axes.minorticks_off()
    axes.set_ylim(panel.low, panel.high)
    axes.set_yticks([at for at, _ in panel.ticks], [label for _, label in panel.ticks])
    ticks = time_ticks(recording.duration)
    steps = panel.steps or ("",) * len(ticks)
    labels = [f"{label}\n{step}" for (_, label), step in zip(ticks, steps, strict=True)]
    if panel.steps:
        labels[0] += " steps"
    axes.set_xticks([at for at, _ in ticks], labels)
    axes.set_xlim(-0.01 * recording.duration, 1.01 * recording.duration or 1.0)
    axes.grid(alpha=0.2, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(panel.lines) > 1:
        # A label that begins with an underscore would not be shown.
        labels = [f" {printable(line.series.name)}" for line in panel.lines]
        axes.legend(shapes, labels, fontsize=7, loc="best", handlelength=1.6, framealpha=0.8, edgecolor="none")


def _key(recording: Recording) -> str:
    key = [f"time that it ran, {span(recording.duration)} in all, and steps"]
    if recording.pauses:
        key.append("grey: paused")
    if recording.of_kind("saved"):
        key.append("strokes at the bottom: saves")
    if recording.of_kind("changed"):
        key.append("dotted: changed by hand")
    if len(recording.parts) > 1:
        key.append("dashed: continued")
    if recording.of_kind("error"):
        key.append("red: error")
    return "; ".join(key)

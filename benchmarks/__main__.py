"""Run the benchmarks: ``python -m benchmarks [names...]``; without names all but those that take minutes each."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks import beside, child, demo, peer
from benchmarks.process import ROOT
from benchmarks.report import Numbers, Row, machine, table

FIGURES = {
    "import": "import_time",
    "scheduler_update": "scheduler_update",
    "scheduler_fires": "scheduler_fires",
    "pause_latency": "pause_latency",
    "idle_cpu": "idle_cpu",
    "collect": "collect",
    "sync": "sync",
    "schedule_step": "schedule_step",
    "inference_latency": "inference_latency",
    "save_gap": "save_gap",
    "save_load": "save_load",
    "sample": "sample",
    "wake_up": "wake_up",
    "runtime_cost": "runtime_cost",
    "logging_cost": "logging_cost",
    "web_load": "web_load",
    "scale": "scale",
}
ON_REQUEST = ("scale", "demo")
"""What runs only when it is named."""


def main() -> int:
    """Measure, print one table; return 1 if one of our own measurements failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the figures to hold.")
    every = [*FIGURES, "demo"]
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"of {', '.join(every)}; all but {' and '.join(ON_REQUEST)}"
    )
    parser.add_argument("--no-peer", action="store_true", help="measure ours only")
    parser.add_argument(
        "--peer-cuda-torch",
        action="store_true",
        help="where there is no torch without CUDA for the peer's Python, install the one with it: 5 GB",
    )
    arguments = parser.parse_args()
    names: list[str] = arguments.names or [name for name in every if name not in ON_REQUEST]
    if unknown := [name for name in names if name not in every]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(every)}")

    before = machine()
    succeeded = True
    figures = [name for name in names if name != "demo"]
    if figures:
        rows, notes, failures = _measure(
            figures, with_peer=not arguments.no_peer, peer_cuda_torch=arguments.peer_cuda_torch
        )
        print(before)
        print(table(rows))
        for note in notes + failures:
            print(note)
        succeeded = not failures
    if "demo" in names:
        succeeded &= demo.run()
    return 0 if succeeded else 1


def _measure(
    names: list[str], *, with_peer: bool, peer_cuda_torch: bool
) -> tuple[list[Row], list[str], list[str]]:
    """Return the rows of the table, what is missing of the peer, and what failed of ours."""
    rows: list[Row] = []
    notes: list[str] = []
    failures: list[str] = []
    peer_python: Path | None = None
    if with_peer:
        try:
            peer_python = peer.interpreter()
            peer.add_torch(peer_python, with_cuda=peer_cuda_torch)
        except peer.PeerUnavailableError as error:
            notes.append(f"the peer is not available here{' as a whole' if peer_python else ''}: {error}")
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr)
        figure = importlib.import_module(f"benchmarks.{FIGURES[name]}")
        of_others = getattr(figure, "BESIDE", None)  # a peer that is measured in our own process
        if of_others is not None and with_peer:
            try:
                beside.install(of_others)
            except peer.PeerUnavailableError as error:
                notes.append(f"{name}: {of_others} is not available here: {error}")
        try:
            ours = child.measure(sys.executable, FIGURES[name], "pamiq_sched")
        except child.MeasurementError as error:
            failures.append(f"{name} FAILED: {error}")
            continue
        of_peer: Numbers = {}
        if peer_python is not None and of_others is None:
            try:
                of_peer = child.measure(peer_python, FIGURES[name], peer.LIBRARY)
            except child.MeasurementError as error:
                notes.append(f"{name}: the peer's is not available here: {str(error).splitlines()[-1]}")
        rows += figure.rows(ours, of_peer)
        if hasattr(figure, "draw"):
            notes.append(f"{name}: drawn into {figure.draw(ours).relative_to(ROOT)}")
    return rows, notes, failures


if __name__ == "__main__":
    sys.exit(main())

"""How long ``import`` takes, and whether it brings torch along.

The wall time of a fresh interpreter that imports, less that of one that does not, in turns.
"""

from __future__ import annotations

import sys
from statistics import median

from benchmarks.process import run
from benchmarks.report import Numbers, Row
from benchmarks.timing import alternate


def measure(library: str) -> Numbers:
    loaded = _python(f"import sys, {library}; print(sum(m.split('.')[0] == 'torch' for m in sys.modules))")
    bare, importing, with_launch = alternate(
        [
            lambda _: _python("pass"),
            lambda _: _python(f"import {library}"),
            lambda _: _python(f"from {library} import launch"),
        ],
        size=1,
        rounds=15,
    )
    return {
        "ms": 1e3 * (median(importing) - median(bare)),
        "launch_ms": 1e3 * (median(with_launch) - median(bare)),
        "torch_modules": int(loaded),
    }


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("import, over the bare interpreter", "ms", ours["ms"], peer.get("ms"), goal=100),
        Row("  modules of torch loaded by it", "", ours["torch_modules"], peer.get("torch_modules"), goal=0),
        Row("  with launch, which is loaded at first use", "ms", ours["launch_ms"], peer.get("launch_ms")),
    ]


def _python(code: str) -> str:
    done = run([sys.executable, "-c", code])
    done.check_returncode()
    return done.stdout.strip()

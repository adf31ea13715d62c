"""Whether the demo learns, seed after seed: it takes minutes each, and runs only when it is named."""

from __future__ import annotations

import sys
import tempfile
import time

from benchmarks.process import run as run_command

SEEDS = range(5)


def run() -> bool:
    """Run the demo for every seed, print a line for each; return whether all succeeded."""
    succeeded = 0
    for seed in SEEDS:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "samples/cartpole_dqn.py", "--seed", str(seed), "--out", out]
            done = run_command(command)
        succeeded += done.returncode == 0
        # The result in one line, or what went wrong.
        said = done.stdout.splitlines()[-1:] + (done.stderr.splitlines()[-1:] if done.returncode else [])
        print(f"seed {seed}, {time.monotonic() - start:.0f} s, exit code {done.returncode}: {'; '.join(said)}")
    print(f"the demo learned for {succeeded} of {len(SEEDS)} seeds")
    return succeeded == len(SEEDS)

"""``python -m tests.simulation SEED [COUNT]``: run seeds by hand."""

import sys

from tests.simulation.story import main

main(sys.argv[1:])

"""The clock under the name that pamiq-core's users import: ``from pamiq_sched import time``."""

import sys

from pamiq_sched import clock
from pamiq_sched.clock import *  # noqa: F403 - what a type checker sees here

# One module under two names: a copy would go stale, and patching one would miss the other.
sys.modules[__name__] = clock

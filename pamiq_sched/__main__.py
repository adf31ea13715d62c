"""The same as the command ``pamiq-sched``: ``python -m pamiq_sched``."""

import sys

from pamiq_sched.console import main

if __name__ == "__main__":
    sys.exit(main())

"""The server's process: ``python -m pamiq_sched.web LISTEN_FD LINK_FD``; the system starts it."""

import signal
import sys

if __name__ == "__main__":
    # Before the libraries of the server are loaded, which takes a while: a Ctrl+C is for the system.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    from pamiq_sched.web.server import main

    main(int(sys.argv[1]), int(sys.argv[2]))

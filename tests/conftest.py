"""What every test may use, and what no test may leave behind."""

import signal
import threading
from collections.abc import Iterator

import pytest

from pamiq_sched import ManualClock, system_clock


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let Ctrl-C reach programs that tests start: a shell makes what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread running, or the system clock paused or scaled."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(2.0)  # one that is on its way out
    left = set(threading.enumerate()) - before
    assert not left, f"threads outlive the test: {left}"
    assert not system_clock().is_paused(), "the test left the system clock paused"
    assert system_clock().get_time_scale() == 1.0, "the test left the system clock scaled"

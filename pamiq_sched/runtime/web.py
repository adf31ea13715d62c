"""The system's end of HTTP control: a process of its own serves HTTP, and asks here for what is to be done.

So no request, however many there are and however they are made, takes a turn at the interpreter that the agent
runs on. The two processes talk by lines of JSON over a pair of sockets; either one's end is an end of file at the
other.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final
from urllib.parse import quote

from typing_extensions import override

import pamiq_sched
from pamiq_sched._text import program
from pamiq_sched.metrics.points import Event, Point
from pamiq_sched.runtime.status import SystemStatus
from pamiq_sched.runtime.threads import OwnThread
from pamiq_sched.web.records import Record, published

_logger = logging.getLogger(__name__)

SECONDS_TO_START: Final = 30.0
"""How long the serving process may take until it serves."""
SECONDS_TO_END: Final = 5.0
"""How long it may take to tell its clients of the end."""
LEAST_LIFE: Final = 10.0
"""A serving process that ends sooner is not started again: what ended it would end the next one."""
MOST_WAITING: Final = 256
"""How many messages may wait for a serving process that does not read; then numbers are left out."""
SECONDS_BETWEEN_DESCRIPTIONS: Final = 1.0
"""How often it is told how the system is, besides at each change of state."""

Command = Callable[[Mapping[str, Any]], "Future[Any] | None"]
"""Carries out a command with its arguments; returns its outcome, or None if there is none to wait for."""


def require_server() -> None:
    """Refuse to go on without what HTTP control is made of.

    Raises:
        ImportError: If it is not installed.
    """
    if missing := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise ImportError(
            f'web_api_address needs {" and ".join(missing)}: pip install "pamiq-sched[web]", or leave it None'
        )


def bind(address: tuple[str, int]) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: If that cannot be: the port is taken, say.
    """
    host, port = address
    try:
        family, kind, protocol, _, resolved = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unbound(address, error) from error
    try:
        # The port of a run that has just ended may be taken; that of one that listens may not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(resolved)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise _unbound(address, error) from error
    return listener


def _unbound(address: tuple[str, int], error: OSError) -> OSError:
    text = (
        f"cannot serve HTTP control at web_api_address={address!r}: {error.strerror or error}; if another system "
        "serves there, end it or choose another port (0 takes any free one)"
    )
    return type(error)(error.errno, text)


class WebControl(OwnThread):
    """Lets a process of its own serve HTTP control, and does what it asks for.

    This thread listens to that process and starts it again if it dies; another one writes to it, so that nobody
    who has news waits for it.

    Args:
        address: Where to serve.
        token: What requests must carry; None if nothing.
        queue_size: How many commands may be unfinished at a time.
        describe: Returns how the system is, as JSON has it.
        commands: By name.
    """

    def __init__(
        self,
        address: tuple[str, int],
        token: str | None,
        queue_size: int,
        describe: Callable[[], dict[str, Any]],
        commands: Mapping[str, Command],
    ) -> None:
        super().__init__("web")
        self._address = address
        self._token = token
        self._queue_size = queue_size
        self._describe = describe
        self._commands = commands
        # What waits to be written: a line's object, or a function that makes it, or None for the end.
        self._out: SimpleQueue[Any] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="pamiq-web-writer", daemon=True)
        self._resources = ExitStack()
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()  # guards what follows: starting a process, and the end
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._is_stopping = False
        self._is_serving = threading.Event()
        self._has_ended = threading.Event()
        self._describes_at = 0.0  # of the writing thread: when how the system is has to be told again
        self._kept: Path | None = None
        self.url = ""
        """Where to look, with the token; once it is started."""

    def open(self) -> None:
        """Take the port; before anything else of the system has begun.

        Raises:
            OSError: If it is taken, or the record of this system cannot be written.
        """
        self._listener = self._resources.enter_context(bind(self._address))
        host, port = self._listener.getsockname()[:2]
        self._address = host, port
        record = Record(host, port, self._token, os.getpid(), time.time(), program(), str(Path.cwd()))
        kept = self._resources.enter_context(published(record))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}/" + ("" if self._token is None else f"?token={quote(self._token)}")
        self._kept = kept.path

    def serve(self) -> None:
        """Start the serving process, and wait until it serves.

        Raises:
            RuntimeError: If it ends or takes too long instead.
        """
        self.start()
        self._writer.start()
        self._is_serving.wait(SECONDS_TO_START)
        if self._has_ended.is_set() or not self._is_serving.is_set():
            raise RuntimeError(
                f"the process that serves HTTP control did not come to serve within {SECONDS_TO_START:g} s; "
                "what it wrote is above. Leave web_api_address None to run without"
            )
        # Not by the log, which goes to files that others read.
        sys.stderr.write(f"pamiq-sched: control and dashboard at {self.url}\n(this is kept in {self._kept})\n")

    def take(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        """Pass on numbers and events; never waits."""
        if self._out.qsize() < MOST_WAITING:
            self._out.put(partial(_batch, points, events))
        self.note_change()

    def note_change(self) -> None:
        """Pass on how the system is now; never waits."""
        if self._out.qsize() < MOST_WAITING:
            self._out.put(self._status_line)

    def note_state(self) -> None:
        """Pass on how the system is now, which has come to another state; never waits."""
        self._out.put(partial(self._status_line, is_news=True))

    def stop(self, errors: Sequence[str]) -> None:
        """Tell clients of the end, and end the serving process; does nothing the second time.

        Args:
            errors: What ended the system, as tracebacks.
        """
        with self._lock:
            if self._is_stopping:
                return
            self._is_stopping = True
        if self._thread.ident is not None:
            self._out.put({"ended": {"errors": list(errors)}})
            self._out.put(None)
            if not self._has_ended.wait(SECONDS_TO_END):
                _logger.warning("the process that serves HTTP control did not end by itself; it is killed")
                with self._lock:
                    process = self._process
                if process is not None:
                    process.kill()
            self._thread.join()
            self._out.put(None)  # for a writer that lost the first to a dead link
            self._writer.join(SECONDS_TO_END)
        self._resources.close()

    # The thread that listens.

    @override
    def _main(self) -> None:
        try:
            while self._serve_once():
                pass
        except Exception:
            _logger.exception("HTTP control has failed; the agent lives on without it")
        finally:
            self._has_ended.set()
            self._is_serving.set()  # whoever waits for it need not any more

    def _serve_once(self) -> bool:
        """Start a process and do what it asks for until it ends; return whether to start another one."""
        if (started := self._start_process()) is None:
            return False
        process, link = started
        began = time.monotonic()
        self._out.put(self._hello())
        self._out.put(partial(self._status_line, is_news=True))
        with link, link.makefile("rb") as lines:
            with suppress(OSError):
                for line in lines:
                    self._obey(json.loads(line))
            # Behind the last line: what the writer still has is for nobody.
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        try:
            code = process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        with self._lock:
            self._process = self._link = None
            is_stopping = self._is_stopping
        if is_stopping:
            return False
        lived = time.monotonic() - began
        goes_on = lived >= LEAST_LIFE
        _logger.error(
            "the process that serves HTTP control ended by itself (exit status %s) after %.0f s; the agent lives "
            "on, %s",
            code,
            lived,
            "and it is started again" if goes_on else "without it",
        )
        return goes_on

    def _start_process(self) -> tuple[subprocess.Popen[bytes], socket.socket] | None:
        with self._lock:
            if self._is_stopping or self._listener is None:
                return None
            own, other = socket.socketpair()
            with other:
                self._process = self._popen(self._listener, other)
            self._link = own
            return self._process, own

    def _popen(self, listener: socket.socket, link: socket.socket) -> subprocess.Popen[bytes]:
        fds = listener.fileno(), link.fileno()
        # It finds what we found, wherever that was; -P: and nothing by chance, where we happen to be.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "pamiq_sched.web", *map(str, fds)],
            stdin=subprocess.DEVNULL,
            pass_fds=fds,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C in the terminal is for us
        )

    def _hello(self) -> dict[str, Any]:
        host, port = self._address
        return {
            "hello": {
                "host": host,
                "port": port,
                "token": self._token,
                "queue_size": self._queue_size,
                "version": pamiq_sched.__version__,
                "pid": os.getpid(),
                "program": program(),
            }
        }

    def _obey(self, message: Mapping[str, Any]) -> None:
        if message.get("ready"):
            self._is_serving.set()
            return
        number, verb = message["id"], message["verb"]
        try:
            outcome = self._commands[verb](message.get("arguments", {}))
        except Exception as error:  # noqa: BLE001 - for whoever asked
            self._answer(number, error=error)
            return
        if outcome is None:
            self._answer(number)
        else:
            outcome.add_done_callback(partial(self._answer_by, number))

    def _answer_by(self, number: int, outcome: Future[Any]) -> None:
        """Pass an outcome on; called by the thread that has it."""
        error = outcome.exception()
        self._answer(number, None if error else outcome.result(), error)

    def _answer(self, number: int, result: Any = None, error: BaseException | None = None) -> None:
        # First how the system is now, so that whoever has the answer finds it so.
        self.note_state()
        if error is None:
            # What a save gives is a path, and who asks may be in another directory.
            self._out.put({"id": number, "result": None if result is None else str(Path(result).absolute())})
        else:
            text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
            self._out.put({"id": number, "error": {"type": type(error).__name__, "message": text}})

    # The thread that writes.

    def _write(self) -> None:
        while (message := self._out.get()) is not None:
            link = self._link  # replaced whole
            if link is None:
                continue
            try:
                found = message() if callable(message) else message
                if found is not None:
                    link.sendall(json.dumps(found).encode() + b"\n")
            except OSError:
                continue  # the other thread sees its end
            except Exception:
                _logger.exception("something could not be passed on to the dashboard")
        if (link := self._link) is not None:
            with suppress(OSError):
                link.shutdown(socket.SHUT_WR)

    def _status_line(self, *, is_news: bool = False) -> dict[str, Any] | None:
        now = time.monotonic()
        if not is_news and now < self._describes_at:
            return None
        described = self._describe()
        # Nobody tells of the moment when the threads go on: then it is looked for at the next batch.
        rest = 0.0 if described["state"] == SystemStatus.RESUMING.value else SECONDS_BETWEEN_DESCRIPTIONS
        self._describes_at = now + rest
        return {"status": described}


def _batch(points: Sequence[Point], events: Sequence[Event]) -> dict[str, Any]:
    return {"points": [point.row() for point in points], "events": [asdict(event) for event in events]}


def new_token() -> str:
    """Return what nobody guesses."""
    return secrets.token_urlsafe(24)

"""Systems for a browser to watch, and what a page may not do."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page

WAIT = 30.0
"""Seconds after which a wait has failed."""


TOLD_STREAM = """
window.EventSource = class extends EventTarget {
  constructor() {
    super();
    window.stream = this;
    this.readyState = 1;
    fetch("/api/status").then((answer) => answer.json()).then((status) => {
      this.dispatchEvent(new Event("open"));
      this.tell("status", status);
    });
  }
  tell(kind, data) { this.dispatchEvent(new MessageEvent(kind, { data: JSON.stringify(data) })); }
  close() { this.readyState = 2; }
};
"""
"""Makes a test the server's stream of events: it begins as the real one does; then ``stream.tell(kind, data)``."""

OpenPage = Callable[..., Page]


@dataclass(frozen=True)
class Watched:
    """A system that runs in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    """With the token."""

    @property
    def base(self) -> str:
        """The address without the token."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def post(self, command: str) -> None:
        """Send a command as another client would; return when it is done."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=WAIT)
        with closing(connection):
            token = parse_qs(parts.query)["token"][0]
            connection.request("POST", f"/api/{command}", headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            assert response.status == 200, response.read()


@contextmanager
def running_system(directory: Path) -> Iterator[Watched]:
    """Run a system until the end of the block."""
    environment = {**os.environ, "PAMIQ_SCHED_RUN_DIR": str(directory / "run")}
    command = [sys.executable, str(Path(__file__).with_name("watched_system.py")), str(directory / "states")]
    with (
        (directory / "stderr").open("w") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, f"the system did not start: {(directory / 'stderr').read_text()}"
            yield Watched(process, url)
        finally:
            process.kill()


@dataclass
class Watching:
    """What a page did that it should not do."""

    base: str
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note errors, and requests to elsewhere."""
        page.on("console", lambda message: self._complain(message.type in {"error", "warning"}, message.text))
        page.on("pageerror", lambda error: self._complain(True, str(error)))
        page.on(
            "request",
            lambda request: self._complain(not request.url.startswith(("data:", self.base)), request.url),
        )

    def _complain(self, is_wrong: bool, text: str) -> None:
        if is_wrong:
            self.complaints.append(text)


def tell(page: Page, kind: str, data: object) -> None:
    """Tell a page with a :data:`TOLD_STREAM` of an event, once it has the history."""
    page.wait_for_load_state("networkidle")
    page.evaluate("([kind, data]) => stream.tell(kind, data)", [kind, data])

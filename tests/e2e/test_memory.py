"""A page that is left open: an hour's worth of events, as fast as the page takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.watched import TOLD_STREAM, OpenPage, Watched

pytestmark = pytest.mark.e2e

MOST = 200_000_000
"""Bytes."""
NAMES = 20
BATCHES = 4 * 3600

FEED = """
async ([names, from, to, status]) => {
  const begin = Date.now() / 1000 - 3600;
  for (let batch = from; batch < to; batch++) {
    const time = begin + batch / 4;
    const points = Array.from({ length: names }, (_, i) =>
      [`fed/name_${i}`, time, batch, Math.sin(batch / 100 + i), -1, 1, 1]);
    stream.tell("points", points);
    stream.tell("status", status);
    if (batch % 4 === 0) {
      const details = { level: "INFO", logger: "fed" };
      stream.tell("event", { kind: "log", time, text: `line ${batch}`, details });
    }
    if (batch % 240 === 0) {
      for (const state of ["paused", "active"]) {
        stream.tell("event", { kind: "state", time, text: state, details: { state } });
      }
      const details = { path: `run/${batch}.state`, number: batch };
      stream.tell("event", { kind: "saved", time, text: "saved", details });
      stream.tell("event", { kind: "error", time, text: `Traceback ${batch}`, details: { type: "ValueError" } });
    }
    // The page draws by timers: they get their turns.
    if (batch % 20 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
}
"""


def renderers(browser: Browser) -> set[int]:
    """The browser's processes that run pages."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return {process["id"] for process in processes if process["type"] == "renderer"}


def own_memory(process: int) -> int:
    """Bytes of a process without the files it maps: the browser's program, which all its processes share."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return sum(int(values[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))


def heap(page: Page) -> int:
    """Bytes that scripts use, garbage collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return int(next(metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize"))


def test_hour_of_events_stays_below_200_mb(browser: Browser, open_page: OpenPage, watched: Watched) -> None:
    """4 batches a second of 20 names, with logs, pauses, saves and errors; the second half adds nothing."""
    before = renderers(browser)
    page = open_page(watched, script=TOLD_STREAM, viewport={"width": 1440, "height": 900})
    page.wait_for_load_state("networkidle")
    status = page.evaluate("fetch('/api/status').then(answer => answer.json())")

    page.evaluate(FEED, [NAMES, 0, BATCHES // 2, status])
    half = heap(page)
    page.evaluate(FEED, [NAMES, BATCHES // 2, BATCHES, status])
    page.locator(".chart:has(h4:text-is('fed/name_0'))").scroll_into_view_if_needed()
    page.locator(".chart:has(h4:text-is('fed/name_0')) canvas").wait_for()

    whole = heap(page)
    memory = max(own_memory(process) for process in renderers(browser) - before)
    assert memory < MOST
    assert whole < MOST
    assert whole < 2 * half
    assert page.locator("#log-list li").count() == 200

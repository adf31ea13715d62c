"""A browser, and systems for it to watch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.watched import WAIT, OpenPage, Watched, Watching, running_system

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    path = shutil.which("chromium")
    assert path is not None, "the browser tests need Chromium: install Debian's package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A system that all tests share which leave it running."""
    with running_system(tmp_path_factory.mktemp("watched")) as system:
        yield system


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Watched]:
    """A system that a test may end."""
    with running_system(tmp_path) as system:
        yield system


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens the dashboard of a system; at the end no page may have had an error, or have asked another host.

    Takes the system, a script to run first, what else a browser context takes, and complaints that are expected.
    """
    seen: list[tuple[Watching, tuple[str, ...]]] = []
    with ExitStack() as contexts:

        def open_page(
            system: Watched, *, script: str | None = None, expected: tuple[str, ...] = (), **options: Any
        ) -> Page:
            context = browser.new_context(**options)
            contexts.callback(context.close)
            context.set_default_timeout(WAIT * 1000)
            page = context.new_page()
            watching = Watching(system.base)
            watching.watch(page)
            seen.append((watching, expected))
            if script is not None:
                page.add_init_script(script)
            page.goto(system.url)
            return page

        yield open_page
    for watching, expected in seen:
        wrong = [text for text in watching.complaints if not any(part in text for part in expected)]
        assert not wrong, wrong

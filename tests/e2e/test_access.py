"""The dashboard for everybody: by keyboard, by screen reader, in the dark, on a phone."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.watched import TOLD_STREAM, OpenPage, Watched, tell

pytestmark = pytest.mark.e2e

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


def violations(page: Page) -> list[str]:
    """What axe-core finds of serious or critical impact."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html']}"
        for violation in found
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(open_page: OpenPage, watched: Watched, scheme: str) -> None:
    """On the page as it opens, with everything opened that can be, and in the question before a shutdown."""
    page = open_page(watched, color_scheme=scheme)
    expect(page.locator(".chart canvas").first).to_be_visible()
    assert violations(page) == []

    page.click("#number-details > summary")
    for summary in page.locator(".chart summary").all()[:3]:
        summary.click()
    page.click("#save")
    expect(page.locator("#answer")).to_contain_text("Saved as ")
    assert violations(page) == []

    page.click("#shutdown")
    expect(page.locator("#confirm")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation_in_errors(open_page: OpenPage, watched: Watched, scheme: str) -> None:
    page = open_page(watched, color_scheme=scheme, script=TOLD_STREAM)
    tell(
        page,
        "event",
        {"kind": "error", "time": 1.0, "text": "Traceback\n" * 40, "details": {"type": "ValueError"}},
    )
    tell(page, "event", {"kind": "log", "time": 2.0, "text": "disk full", "details": {"level": "ERROR"}})
    expect(page.locator("#error-list pre")).to_be_visible()
    expect(page.locator("#error-news")).to_contain_text("ValueError")

    assert violations(page) == []


def test_axe_finds_no_serious_violation_on_a_phone(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched, **PHONE)
    expect(page.locator(".chart canvas").first).to_be_visible()

    assert violations(page) == []


def test_phone_needs_no_horizontal_scroll(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched, **PHONE)
    expect(page.locator(".chart canvas").first).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]


def test_controls_are_reached_by_keyboard_in_order(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)
    expect(page.locator("#controls")).to_be_visible()

    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))

    assert reached == ["Skip to the content", "pause", "resume", "save", "shutdown", "Charts"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_button_that_pauses_keeps_the_focus(open_page: OpenPage, watched: Watched) -> None:
    """It cannot be used while the system is paused, but who pressed it by keyboard is still there."""
    page = open_page(watched)
    expect(page.locator("#state")).to_have_text("active")

    page.press("#pause", "Enter")
    expect(page.locator("#state")).to_have_text("paused")

    expect(page.locator("#pause")).to_be_focused()
    page.press("#resume", "Enter")
    expect(page.locator("#state")).to_have_text("active")


def test_chart_is_told_in_words_before_it_is_seen(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched, viewport={"width": 800, "height": 300})

    drawing = page.locator(".chart:has(h4:text-is('Inference latency'))").get_by_role("img")

    expect(drawing).to_have_attribute(
        "aria-label",
        re.compile(
            r"^Line chart from [\d:]+ to [\d:]+\. .*step time p99: latest [\d.]+ ms, range [\d.]+ ms to [\d.]+ ms"
        ),
    )
    assert drawing.locator("canvas").count() == 0

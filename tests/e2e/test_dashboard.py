"""What somebody sees and does who looks after a run in a browser: a real system, a real server, a real browser."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.watched import WAIT, OpenPage, Watched

pytestmark = pytest.mark.e2e

expect.set_options(timeout=WAIT * 1000)

STATE_WITHIN = 0.2
"""Seconds within which a change of state is to be seen."""

NOTE_STATES = """
window.seen = [];
addEventListener("DOMContentLoaded", () => {
  const state = document.getElementById("state");
  new MutationObserver(() => seen.push([state.textContent, (performance.timeOrigin + performance.now()) / 1000]))
    .observe(state, { childList: true, characterData: true, subtree: true });
});
const request = window.fetch;
window.fetch = async (...asked) => {
  const answer = await request(...asked);
  if (asked[0] === "/api/pause") window.answered = (performance.timeOrigin + performance.now()) / 1000;
  return answer;
};
"""
"""When which state was shown, and when a pause was answered."""


def chart(page: Page, title: str) -> Locator:
    """A chart, scrolled into sight and drawn."""
    found = page.locator(f".chart:has(h4:text-is('{title}'))")
    found.scroll_into_view_if_needed()
    found.locator("canvas").wait_for()
    return found


def seen_state(page: Page, state: str) -> float:
    """When the state was shown first, since the last call."""
    page.wait_for_function("state => seen.some(([shown]) => shown === state)", arg=state)
    moment: float = page.evaluate("state => seen.find(([shown]) => shown === state)[1]", state)
    page.evaluate("seen.length = 0")
    return moment


def test_charts_move(open_page: OpenPage, watched: Watched) -> None:
    """The picture of the losses changes, and the value that is told beside it."""
    page = open_page(watched)
    losses = chart(page, "fitter/loss")
    picture = losses.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    value = losses.locator(".reading").inner_text()

    expect(losses.locator(".reading")).not_to_have_text(value)
    page.wait_for_function(
        "([canvas, picture]) => canvas.toDataURL() !== picture",
        arg=[losses.locator("canvas").element_handle(), picture],
    )


def test_every_number_of_the_runtime_has_a_chart(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)

    for title in (
        "fitter/loss",
        "agent/return",
        "fitter/scheduled/lr",
        "Inference latency",
        "Steps per second",
        "Replay ratio",
        "Seconds behind",
        "Buffer fill",
        "fitter/weight",
    ):
        chart(page, title)


def test_own_pause_is_shown_within_200_ms(open_page: OpenPage, watched: Watched) -> None:
    """From the answer to the button's request to the word on the page; the best of three."""
    page = open_page(watched, script=NOTE_STATES)
    expect(page.locator("#state")).to_have_text("active")

    delays = []
    for _ in range(3):
        page.click("#pause")
        shown = seen_state(page, "paused")
        page.wait_for_function("window.answered > 0")
        delays.append(shown - page.evaluate("window.answered"))
        expect(page.locator("#answer")).to_have_text("Paused.")
        page.evaluate("window.answered = 0")
        page.click("#resume")
        seen_state(page, "active")
        expect(page.locator("#answer")).to_have_text("Resumed.")

    assert min(delays) < STATE_WITHIN, delays


def test_pause_by_another_client_is_shown_within_200_ms(open_page: OpenPage, watched: Watched) -> None:
    """From the other client's answer to the word on the page; the best of three."""
    page = open_page(watched, script=NOTE_STATES)
    expect(page.locator("#state")).to_have_text("active")

    delays = []
    for _ in range(3):
        watched.post("pause")
        paused = time.time()
        delays.append(seen_state(page, "paused") - paused)
        watched.post("resume")
        seen_state(page, "active")

    assert min(delays) < STATE_WITHIN, delays


def test_title_and_buttons_follow_the_state(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)
    expect(page.locator("#resume")).to_have_attribute("aria-disabled", "true")

    page.click("#pause")

    expect(page).to_have_title("paused · watched_system.py")
    expect(page.locator("#pause")).to_have_attribute("aria-disabled", "true")
    page.click("#resume")
    expect(page).to_have_title("active · watched_system.py")


def test_save_appears(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)
    expect(page.locator("#state")).to_have_text("active")

    page.click("#save")

    expect(page.locator("#answer")).to_contain_text("Saved as ")
    name = page.locator("#answer").inner_text().removeprefix("Saved as ").removesuffix(".")
    expect(page.locator("#save-list li").first).to_contain_text(name)
    expect(page.locator("#since")).to_have_text(re.compile(r"^The last was \d+ s ago\.$"))


def test_hyperparameter_arrives_and_is_listed(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)

    page.select_option("#edit-target", "fitter: momentum")
    page.fill("#edit-value", "0.85")
    page.press("#edit-value", "Enter")

    expect(page.locator("#edit-answer")).to_have_text("fitter: momentum is 0.85 now.")
    expect(page.locator("#hyperparameter-rows tr", has_text="momentum")).to_contain_text("0.85")
    expect(page.locator("#change-list li").first).to_contain_text("momentum")


def test_horizon_is_moved(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)

    page.select_option("#edit-target", "fitter: horizon of lr")
    page.fill("#edit-value", "12345")
    page.press("#edit-value", "Enter")

    expect(page.locator("#edit-answer")).to_have_text("fitter: horizon of lr is 12345 now.")
    expect(page.locator("#hyperparameter-rows tr", has_text="lr")).to_contain_text("12,345 steps")


@pytest.mark.parametrize(
    ("text", "answer"), [("-1", "momentum"), ("fast", "fitter: momentum must be a number, got fast")]
)
def test_refused_value_is_told(open_page: OpenPage, watched: Watched, text: str, answer: str) -> None:
    page = open_page(watched, expected=("422",))  # the browser's console tells of the refusal too

    page.select_option("#edit-target", "fitter: momentum")
    page.fill("#edit-value", text)
    page.press("#edit-value", "Enter")

    expect(page.locator("#edit-answer.failed")).to_contain_text(answer)


def test_shutdown_is_asked_twice_and_ends_the_run(open_page: OpenPage, mortal: Watched) -> None:
    """Either question may be answered with no, by the button or by Escape."""
    page = open_page(mortal)
    dialog = page.locator("#confirm")
    expect(page.locator("#state")).to_have_text("active")

    page.click("#shutdown")
    expect(dialog).to_contain_text("Shut down watched_system.py?")
    expect(page.locator("#confirm-no")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.click("#shutdown")
    page.click("#confirm-yes")
    expect(dialog).to_contain_text("Really?")
    page.click("#confirm-no")
    expect(dialog).to_be_hidden()
    assert mortal.process.poll() is None
    expect(page.locator("#state")).to_have_text("active")

    page.click("#shutdown")
    page.click("#confirm-yes")
    page.click("#confirm-yes")
    expect(page.locator("#state")).to_have_text("ended")
    expect(page.locator("#connection")).to_contain_text("without errors")
    assert mortal.process.wait(WAIT) == 0


def test_lost_connection_is_told(open_page: OpenPage, mortal: Watched) -> None:
    """A run that is killed says nothing of its end."""
    page = open_page(mortal, expected=("ERR_",))
    expect(page.locator("#state")).to_have_text("active")

    mortal.process.kill()

    expect(page.locator("#connection")).to_contain_text("No connection to the run since")


def test_history_is_fetched_again_after_a_lost_connection(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(
        watched,
        script="""
            window.streams = [];
            window.EventSource = class extends EventSource {
              constructor(...given) { super(...given); streams.push(this); }
            };
        """,
    )
    chart(page, "fitter/loss")

    with page.expect_response("**/api/history"):
        page.evaluate("streams[0].dispatchEvent(new Event('error'))")

    expect(page.locator("#connection")).to_be_empty()
    assert page.evaluate("streams.map(stream => stream.readyState)") == [2, 1]


def test_pauses_and_saves_are_marked_after_a_reload(open_page: OpenPage, watched: Watched) -> None:
    """What happened before the page was opened is in its lists as well."""
    watched.post("pause")
    watched.post("save-state")
    watched.post("resume")

    page = open_page(watched)

    expect(page.locator("#log-list")).to_contain_text("paused")
    expect(page.locator("#save-list")).to_contain_text(".state")


def test_logged_text_is_not_read_as_html(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)

    expect(page.locator("#log-list")).to_contain_text("<b>1000</b> steps")


def test_page_without_javascript_tells_all(open_page: OpenPage, watched: Watched) -> None:
    watched.post("save-state")
    page = open_page(watched, java_script_enabled=False)

    expect(page.locator("#state")).to_have_text("active")
    expect(page.locator("#number-rows tr", has_text="fitter/loss").locator("td").first).to_have_text(
        re.compile(r"\d")
    )
    expect(page.locator("#trainer-rows")).to_contain_text("fitter")
    expect(page.locator("#buffer-rows")).to_contain_text("seen")
    expect(page.locator("#model-rows")).to_contain_text("line")
    expect(page.locator("#hyperparameter-rows")).to_contain_text("momentum")
    expect(page.locator("#save-list")).to_contain_text(".state")
    expect(page.locator("#log-list")).to_contain_text("has started")
    expect(page.locator("noscript")).to_be_visible()
    expect(page.locator("#controls")).to_be_hidden()


def test_find_box_shows_only_what_is_looked_for(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)
    chart(page, "fitter/loss")

    page.fill("#find", "buffers/")

    expect(page.locator(".chart:visible h4")).to_have_text(["Buffer fill", "Buffer dropped", "Buffer items"])


def test_values_of_a_chart_are_a_table(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)
    losses = chart(page, "fitter/loss")

    losses.locator("summary").press("Enter")

    expect(losses.locator("thead th")).to_have_text(["Time", "Step", "Value"])
    expect(losses.locator("tbody tr").first.locator("td").last).to_have_text(re.compile(r"^\d"))


def test_value_under_the_pointer_is_told(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)

    chart(page, "agent/return").locator(".u-over").hover()

    expect(chart(page, "agent/return").locator(".reading")).to_have_text(re.compile(r"^-?[\d.]+ at [\d:]+$"))
    expect(chart(page, "fitter/loss").locator(".reading")).to_have_text(re.compile(r"^[\d.]+ at [\d:]+$"))


def test_logarithm_is_taken_of_losses_only(open_page: OpenPage, watched: Watched) -> None:
    page = open_page(watched)
    chart(page, "fitter/loss")

    page.check("#logarithmic")

    drawing = {title: chart(page, title).get_by_role("img") for title in ("fitter/loss", "agent/return")}
    expect(drawing["fitter/loss"]).to_have_attribute(
        "aria-label", re.compile("^Line chart on a logarithmic scale")
    )
    expect(drawing["agent/return"]).to_have_attribute("aria-label", re.compile("^Line chart from"))

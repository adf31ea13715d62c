"""The page as it is read without JavaScript."""

import html
import re
from html.parser import HTMLParser

import pytest

from pamiq_sched.metrics import Event
from pamiq_sched.web.page import DIRECTORY

pytestmark = pytest.mark.anyio

EVIL = "<script>alert('x')</script>\"&${state}"


class Reader(HTMLParser):
    """What a browser would see: the elements, and the text of each that has an id."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.attributes = []
        self._open = []
        self.text = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "link", "input", "br"):
            self._open.append(dict(attributes).get("id"))

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_data(self, data):
        for name in filter(None, self._open):
            self.text[name] = self.text.get(name, "") + data + " "


async def read(site):
    answer = await site.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Reader(answer.text)


async def test_the_state_and_the_latest_values_can_be_read(site):
    site.system.be("paused")
    site.system.measure("dqn/loss", 0.123456, time=1764000000.0, step=4000)
    text = (await read(site)).text
    assert text["state"].strip() == "paused"
    assert re.sub(r"\s+", " ", text["number-rows"]).strip() == "dqn/loss 0.1235 4,000 16:00:00 UTC"
    assert "Step time p99 2 ms" in text["summary"]
    assert "Last saved 16:00:00 UTC" in text["summary"]


async def test_trainers_hyperparameters_models_and_buffers_can_be_read(site):
    text = {name: re.sub(r"\s+", " ", one).strip() for name, one in (await read(site)).text.items()}
    assert text["trainer-rows"] == "dqn 400 10 yes 1 ms 2 ms none"
    assert text["buffer-rows"] == "transitions 100 no limit 0"
    assert text["model-rows"] == "network 3 0 0.1"
    assert text["hyperparameter-rows"] == (
        "dqn adamw 0: lr 0.001 lr 1,000 steps, at 400 "
        "dqn adamw 0: amsgrad False none none "
        "dqn epsilon 0.1 epsilon none"
    )


async def test_saves_log_and_errors_can_be_read_newest_first(site):
    events = [
        Event("saved", 1.0, "saved a", {"path": "runs/a.state"}),
        Event("saved", 2.0, "saved b", {"path": "runs/b.state"}),
        Event("changed", 3.0, "lr is 0.1", {}),
        Event("log", 4.0, "careful", {"level": "WARNING"}),
        Event("error", 5.0, "Traceback one", {"type": "ValueError"}),
        Event("error", 6.0, "Traceback two", {"type": "KeyError"}),
    ]
    site.mirror.take_batch([], events)
    site.system.status.update(stuck={"training": "at line 7"}, not_restored=["clock", "agent"])
    site.system.be("active")
    text = (await read(site)).text
    assert re.findall(r"\w+\.state", text["save-list"]) == ["b.state", "a.state"]
    assert re.findall("careful|lr is|saved .", text["log-list"]) == ["careful", "lr is", "saved b", "saved a"]
    errors = re.sub(r"\s+", " ", text["error-list"]).strip()
    assert errors == (
        "KeyError, 00:00:06 UTC Traceback two ValueError, 00:00:05 UTC Traceback one "
        "Stuck: training at line 7 Not restored: clock; agent"
    )


async def test_where_there_is_nothing_the_page_says_so(site):
    site.system.status.update(trainers={}, buffers={}, models={}, last_saved=None, last_saved_at=None)
    site.system.be("active")
    text = (await read(site)).text
    assert "Nothing was logged yet." in text["number-rows"]
    assert "There are no trainers." in text["trainer-rows"]
    assert "No save yet." in text["save-list"]
    assert "Last saved never" in text["summary"]


async def test_what_comes_from_outside_is_shown_and_not_run(new_site):
    """A name, a line of the log, a path or a traceback may hold markup."""
    site = new_site(program=EVIL)
    plain = (await read(site)).tags
    site.system.measure(EVIL, 1.0)
    trainer = site.system.status["trainers"].pop("dqn")
    trainer["hyperparameters"][0].update(name=EVIL, optimizer=EVIL, schedule=EVIL)
    trainer["schedules"][0].update(name=EVIL, by=EVIL)
    site.system.status.update(
        trainers={EVIL: trainer},
        buffers={EVIL: {"items": 1, "max_size": 2, "dropped": 0}},
        models={EVIL: {"version": 3, "versions_behind": 0, "seconds_behind": 0.1}},
        stuck={EVIL: EVIL},
        not_restored=[EVIL],
        last_saved=f"/runs/{EVIL.replace('/', '')}",
    )
    site.system.be(EVIL)
    details = {"level": EVIL, "type": EVIL, "path": EVIL.replace("/", "")}
    site.mirror.take_batch([], [Event(kind, 1.0, EVIL, details) for kind in ("log", "error", "saved", "changed")])
    answer = (await site.get("/")).text
    page = Reader(answer)
    assert page.tags.count("script") == plain.count("script")
    assert "alert" not in " ".join(name for name, _ in page.attributes)
    assert EVIL.lower() in page.text["log-list"].lower()
    assert EVIL in page.text["number-rows"]
    assert answer.count("<script>") == 0
    assert answer.count(html.escape("<script>alert(")) > 15


async def test_half_a_letter_in_a_name_is_no_obstacle(site):
    site.system.measure("loss \ud83d", 1.0)
    assert "loss ?" in (await read(site)).text["number-rows"]


async def test_before_the_first_status_the_page_is_there(silent_site):
    site = silent_site
    assert "starting" in (await read(site)).text["state"]


async def test_numbers_that_are_none_are_told_as_such(site):
    site.system.measure("dqn/loss", float("nan"))
    assert "not a number" in (await read(site)).text["number-rows"]


async def test_the_page_asks_this_server_only(site):
    """No request goes to another host, and no script stands in the page itself."""
    page = await read(site)
    addresses = [value for name, value in page.attributes if name in ("src", "href")]
    assert addresses
    assert all(one.startswith(("/static/", "#", "data:")) for one in addresses)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]


async def test_all_that_the_page_links_is_there(site):
    page = await read(site)
    for name, value in page.attributes:
        if name in ("src", "href") and value.startswith("/static/"):
            answer = await site.get(value)
            assert answer.status_code == 200
            kind = "text/javascript" if value.endswith(".js") else "text/css"
            assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize(
    "path",
    ["../page.py", "%2e%2e/page.py", "..%2fpage.py", "index.html", "/etc/passwd", "", ".", "vendor", "app.js/"],
)
async def test_nothing_but_the_files_of_the_page_is_handed_out(site, path):
    assert (await site.get(f"/static/{path}")).status_code == 404


async def test_every_script_and_style_of_the_page_is_handed_out(site):
    files = [path for path in DIRECTORY.rglob("*") if path.suffix in (".js", ".css")]
    assert files
    for path in files:
        answer = await site.get(f"/static/{path.relative_to(DIRECTORY).as_posix()}")
        assert answer.content == path.read_bytes()

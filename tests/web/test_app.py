"""What each request is answered, with a small system behind it."""

import asyncio
import json

import pytest

from pamiq_sched.metrics import Event

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


async def test_the_status_is_told_by_the_name_of_the_state(site):
    answer = (await site.get("/api/status")).json()
    assert answer.pop("status") == "active"
    assert answer.pop("numbers") == {}
    assert answer == site.system.status


async def test_the_name_of_the_state_comes_first(site):
    assert next(iter((await site.get("/api/status")).json())) == "status"


async def test_a_system_that_saves_is_told_as_paused(site):
    """pamiq-core knows no other name for it."""
    site.system.be("saving")
    answer = (await site.get("/api/status")).json()
    assert (answer["status"], answer["state"]) == ("paused", "saving")


@pytest.mark.parametrize(
    ("state", "number"),
    [
        ("active", 1),
        ("pausing", 2),
        ("paused", 3),
        ("saving", 3),
        ("resuming", 4),
        ("shutting down", 5),
        ("offline", 6),
    ],
)
async def test_pamiq_cores_client_is_told_its_numbers(site, state, number):
    site.system.be(state)
    answer = await site.get("/api/status", headers={"user-agent": "python-httpx/0.28.1"})
    assert answer.json()["status"] == number


async def test_the_latest_numbers_are_told_and_what_is_not_finite_is_null(site):
    site.system.measure("dqn/loss", 0.5, time=1.0, step=7)
    site.system.measure("dqn/loss", float("nan"), time=2.0, step=8)
    numbers = (await site.get("/api/status")).json()["numbers"]
    assert numbers == {"dqn/loss": {"value": None, "step": 8, "time": 2.0}}


async def test_before_the_first_status_a_client_is_told_to_come_again(silent_site):
    answer = await silent_site.get("/api/status")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("path", "verb", "value"),
    [("pause", "pause", None), ("resume", "resume", None), ("save-state", "save", "runs/000001.state")],
)
async def test_a_command_is_answered_by_what_it_came_to(site, path, verb, value):
    answer = await site.post(f"/api/{path}")
    assert answer.status_code == 200
    assert answer.json() == {"result": "ok", "id": "1", "command": verb, "state": "done", "value": value}
    assert site.system.asked == [(verb, {})]


async def test_after_a_command_the_status_is_as_the_command_left_it(site):
    await site.post("/api/pause")
    assert (await site.get("/api/status")).json()["status"] == "paused"


async def test_a_command_that_takes_longer_than_the_wait_is_pending_and_can_be_asked_for(site):
    site.system.gates["save"] = gate = asyncio.Event()
    answer = await site.post("/api/save-state?wait=0")
    assert answer.status_code == 202
    assert answer.json() == {"result": "pending", "id": "1", "command": "save", "state": "pending"}

    gate.set()
    await site.commands.find("1").over.wait()
    told = (await site.get("/api/commands/1")).json()
    assert told.pop("time") > 0
    assert told == {
        "id": "1",
        "command": "save",
        "state": "done",
        "value": "runs/000001.state",
        "error": None,
        "type": None,
    }


@pytest.mark.parametrize(
    ("type_name", "status"),
    [
        ("TimeoutError", 504),
        ("SystemStoppedError", 409),
        ("RuntimeError", 409),
        ("ValueError", 422),
        ("TypeError", 422),
        ("KeyError", 422),
        ("OSError", 500),
        ("UserError", 500),
    ],
)
async def test_a_command_that_fails_is_answered_by_its_error(site, type_name, status):
    site.system.failures["pause"] = (type_name, "the training thread is at ...")
    answer = await site.post("/api/pause")
    assert answer.status_code == status
    assert answer.json() == {
        "error": "the training thread is at ...",
        "type": type_name,
        "id": "1",
        "command": "pause",
        "state": "failed",
    }
    assert (await site.get("/api/commands/1")).json()["error"] == "the training thread is at ..."


async def test_a_shutdown_is_accepted_at_once(site):
    answer = await site.post("/api/shutdown")
    assert answer.status_code == 200
    assert answer.json() == {"result": "ok", "id": "1", "command": "shutdown", "state": "accepted"}


async def test_a_shutdown_is_accepted_though_the_system_is_too_busy_to_say_so(site):
    site.system.gates["shutdown"] = asyncio.Event()
    answer = await site.post("/api/shutdown")
    assert answer.status_code == 200
    assert answer.json()["state"] == "accepted"
    assert site.system.asked == [("shutdown", {})]


async def test_a_shutdown_with_a_wait_is_answered_when_the_system_has_ended(site):
    answer = asyncio.ensure_future(site.post("/api/shutdown?wait=30"))
    await asyncio.wait_for(site.system.was_asked.wait(), 30)
    assert not answer.done()
    site.end()
    answer = await answer
    assert answer.status_code == 200
    assert answer.json()["state"] == "done"


async def test_a_shutdown_with_too_short_a_wait_is_pending(site):
    answer = await site.post("/api/shutdown?wait=0.01")
    assert answer.status_code == 202
    assert answer.json() == {"result": "pending", "id": "1", "command": "shutdown", "state": "accepted"}


async def test_a_shutdown_whose_system_ends_by_errors_is_answered_by_them(site):
    answer = asyncio.ensure_future(site.post("/api/shutdown?wait=30"))
    await asyncio.wait_for(site.system.was_asked.wait(), 30)
    site.end("Traceback ...\nValueError: no", "Traceback ...\nKeyError: 1")
    answer = await answer
    assert answer.status_code == 500
    assert answer.json()["error"] == "Traceback ...\nValueError: no\nTraceback ...\nKeyError: 1"


async def test_a_shutdown_that_fails_is_answered_by_its_error(site):
    site.system.failures["shutdown"] = ("RuntimeError", "not yet started")
    assert (await site.post("/api/shutdown")).status_code == 409


@pytest.mark.parametrize("wait", ["-1", "601", "nan", "inf", "soon", ""])
async def test_a_wait_that_cannot_be_is_refused_before_anything_is_done(site, wait):
    answer = await site.post(f"/api/pause?wait={wait}")
    assert answer.status_code == 422
    assert answer.json()["error"] == f"wait must be a number of seconds from 0 to 600, got {wait!r}"
    assert site.system.asked == []


async def test_when_the_queue_is_full_a_command_is_refused_in_pamiq_cores_words(site):
    site.system.gates["save"] = asyncio.Event()
    for _ in range(4):
        assert (await site.post("/api/save-state?wait=0")).status_code == 202
    refused = await site.post("/api/pause")
    assert refused.status_code == 503
    assert refused.json() == {"error": "Command queue is full, try again later"}
    assert refused.headers["retry-after"] == "1"
    assert (await site.post("/api/shutdown")).status_code == 200


async def test_who_leaves_while_a_command_is_carried_out_is_not_waited_for(site):
    site.system.gates["save"] = asyncio.Event()
    async with site.exchange("POST", "/api/save-state") as exchange:
        await asyncio.wait_for(site.system.was_asked.wait(), 30)
        await exchange.leave()
    assert site.commands.find("1").state == "pending"


async def test_the_latest_commands_are_listed_oldest_first(site):
    await site.post("/api/pause")
    await site.post("/api/resume")
    listed = (await site.get("/api/commands")).json()
    assert [(one["id"], one["command"]) for one in listed] == [("1", "pause"), ("2", "resume")]


async def test_an_unknown_command_is_not_found(site):
    answer = await site.get("/api/commands/17")
    assert answer.status_code == 404
    assert "'17'" in answer.json()["error"]


async def test_a_hyperparameter_is_changed(site):
    body = {"trainer": "dqn", "name": "lr", "value": 0.5}
    answer = await site.post("/api/hyperparameters", json=body)
    assert answer.status_code == 200
    assert answer.json()["command"] == "set_hyperparameter"
    assert site.system.hyperparameters["dqn", "lr"] == 0.5
    assert site.system.asked == [("set_hyperparameter", {**body, "optimizer": None, "group": None})]


async def test_an_unknown_hyperparameter_is_the_systems_own_refusal(site):
    answer = await site.post("/api/hyperparameters", json={"trainer": "dqn", "name": "momentum", "value": 1})
    assert answer.status_code == 422
    assert answer.json()["error"] == "there is no 'momentum' in 'dqn'"


async def test_a_horizon_is_moved(site):
    body = {"trainer": "dqn", "schedule": "lr", "horizon": 2000}
    assert (await site.post("/api/horizon", json=body)).status_code == 200
    assert site.system.asked == [("set_horizon", body)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainer": 3}, "trainer must be a string, got 3"),
        ({"trainer": None}, "trainer must be a string, got None"),
        ({"name": ["lr"]}, "name must be a string, got ['lr']"),
        ({"value": "0.1"}, "value must be a number, true or false, got '0.1'"),
        ({"value": None}, "value must be a number, true or false, got None"),
        ({"optimizer": 0}, "optimizer must be a string or null, got 0"),
        ({"group": 0.0}, "group must be a whole number or null, got 0.0"),
        ({"group": True}, "group must be a whole number or null, got True"),
        ({"colour": 1}, "missing: [], unknown: ['colour']"),
    ],
    ids=str,
)
async def test_a_body_that_cannot_be_is_refused_before_anything_is_done(site, change, message):
    body = {"trainer": "dqn", "name": "lr", "value": 0.1, **change}
    answer = await site.post("/api/hyperparameters", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert site.system.asked == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 50_000, 400),
        (b'{"trainer": "dqn", "schedule": "lr", "horizon": NaN}', 400),
        (b'{"trainer": "dqn", "schedule": "lr", "horizon": 1e999}', 422),
        (b'{"trainer": "dqn", "schedule": "lr", "horizon": ' + b"9" * 5000 + b"}", 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_body_that_is_no_such_object_is_refused(site, content, status):
    answer = await site.post("/api/horizon", content=content, headers=JSON)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert site.system.asked == []


async def test_the_history_is_told_by_columns(site):
    for step in range(3):
        site.system.measure("dqn/loss", float(step), time=float(step), step=step)
    site.system.measure("agent/return", float("inf"))
    answer = (await site.get("/api/history")).json()
    assert answer["now"] > 0
    assert list(answer["series"]) == ["agent/return", "dqn/loss"]
    assert answer["series"]["agent/return"]["value"] == [None]
    assert answer["series"]["dqn/loss"] == {
        "time": [0.0, 1.0, 2.0],
        "step": [0, 1, 2],
        "value": [0.0, 1.0, 2.0],
        "least": [0.0, 1.0, 2.0],
        "greatest": [0.0, 1.0, 2.0],
        "count": [1, 1, 1],
    }


async def test_the_history_of_some_names_and_from_a_moment_on(site):
    for name in ("a", "b", "c"):
        for moment in (1.0, 2.0):
            site.system.measure(name, 0.0, time=moment)
    series = (await site.get("/api/history?names=a,c,unknown&since=1.5")).json()["series"]
    assert {name: columns["time"] for name, columns in series.items()} == {"a": [2.0], "c": [2.0]}


async def test_a_since_that_is_no_number_is_refused(site):
    answer = await site.get("/api/history?since=yesterday")
    assert answer.status_code == 422
    assert answer.json()["error"] == "since must be a number of seconds, got 'yesterday'"


async def test_the_history_tells_pauses_saves_and_events(site):
    events = [
        Event("state", 1.0, "paused", {"state": "paused"}),
        Event("state", 2.0, "active", {"state": "active"}),
        Event("saved", 3.0, "saved", {"path": "x.state", "number": 1}),
        Event("log", 4.0, "careful", {"level": "WARNING", "logger": "x"}),
        Event("error", 5.0, "Traceback", {"type": "ValueError"}),
        Event("changed", 6.0, "lr", {"trainer": "dqn", "name": "lr", "from": 1, "to": 2, "by": "http"}),
    ]
    site.mirror.take_batch([], events)
    answer = (await site.get("/api/history")).json()
    assert answer["pauses"] == [[1.0, 2.0]]
    assert answer["saves"] == [{"time": 3.0, "path": "x.state"}]
    assert [event["kind"] for event in answer["log"]] == ["state", "state", "saved", "log"]
    assert answer["log"][3] == {
        "kind": "log",
        "time": 4.0,
        "text": "careful",
        "details": {"level": "WARNING", "logger": "x"},
    }
    assert [event["text"] for event in answer["errors"]] == ["Traceback"]
    assert [event["text"] for event in answer["changes"]] == ["lr"]


async def test_while_a_long_history_is_told_others_are_answered(site):
    """All series together may be many megabytes."""
    for i in range(20):
        site.system.measure(f"name{i}", 0.0)
    async with site.exchange("GET", "/api/history") as exchange:
        exchange.reads.clear()
        assert (await site.post("/api/shutdown")).status_code == 200
        exchange.reads.set()
        await exchange.task
        assert len(json.loads(exchange._text)["series"]) == 20


@pytest.mark.parametrize("path", ["/api/nowhere", "/nowhere", "/api/status/", "/api/pause/now", "/api"])
async def test_an_unknown_path_is_told_in_pamiq_cores_words(site, path):
    answer = await site.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Invalid API endpoint"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/pause"),
        ("POST", "/api/status"),
        ("DELETE", "/"),
        ("OPTIONS", "/api/status"),
        ("PUT", "/api/horizon"),
    ],
)
async def test_a_wrong_method_is_told_in_pamiq_cores_words(site, method, path):
    answer = await site.request(method, path)
    assert answer.status_code == 405
    assert answer.json() == {"error": "Invalid API method"}
    assert answer.headers["allow"]
    assert site.system.asked == []


@pytest.mark.parametrize("path", ["/", "/api/status", "/api/history", "/api/events", "/static/app.js"])
async def test_a_head_request_ends(site, path):
    assert (await site.request("HEAD", path)).status_code == 200


async def test_a_defect_of_the_server_is_told_and_raised(site):
    """What is raised, uvicorn writes with its traceback."""
    site.system.status = {"state": "unheard of"}
    site.system.be("unheard of")
    with pytest.raises(KeyError):
        await site.get("/api/status", headers={"user-agent": "python-httpx/1"})
    async with site.exchange("GET", "/api/status", headers=[(b"user-agent", b"python-httpx")]) as exchange:
        with pytest.raises(KeyError):
            await exchange.task
        assert exchange.status == 500
        assert json.loads(exchange._text)["type"] == "KeyError"
        exchange.task = asyncio.ensure_future(asyncio.sleep(0))

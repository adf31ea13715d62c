"""The description of the interface is true: every route is in it, and what is answered is as it says."""

import asyncio

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pamiq_sched.metrics import Event
from pamiq_sched.web.app import Api
from pamiq_sched.web.openapi import document

pytestmark = pytest.mark.anyio


def test_the_document_is_one_of_openapi():
    OpenAPIV31SpecValidator(document("0.1.0", 8391)).validate()


async def test_every_route_is_in_the_document_and_the_other_way_round(site):
    described = {
        (path, method.upper()) for path, methods in document("0.1.0", 8391)["paths"].items() for method in methods
    }
    routes = Api(site.hello, site.mirror, site.commands).routes()
    served = {(route.path.replace(":path", ""), method) for route in routes for method in route.methods - {"HEAD"}}
    assert described == served


async def test_the_server_hands_its_document_out(site):
    assert (await site.get("/api/openapi.json")).json() == document("0.1.0", 8391)


def check(operation, answer):
    """Hold an answer against what the document says of it."""
    whole = document("0.1.0", 8391)
    response = operation["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = whole["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": whole["components"]}).validate(answer.json())


@pytest.mark.parametrize("path", ["/api/status", "/api/history", "/api/commands", "/api/commands/1"])
async def test_what_is_read_is_as_described(site, path):
    site.system.measure("dqn/loss", float("nan"))
    site.mirror.take_batch(
        [], [Event(kind, 1.0, "", {"path": "x"}) for kind in ("saved", "log", "error", "changed")]
    )
    site.mirror.take_batch([], [Event("state", 1.0, "", {"state": "paused"})])
    await site.post("/api/save-state")
    paths = document("0.1.0", 8391)["paths"]
    answer = await site.get(path)
    assert answer.status_code == 200
    check(paths[path.replace("/1", "/{id}")]["get"], answer)


async def test_what_a_command_comes_to_is_as_described(site):
    pause = document("0.1.0", 8391)["paths"]["/api/pause"]["post"]
    answers = [await site.post("/api/pause"), await site.post("/api/pause?wait=x")]
    answers.append(await site.post("/api/pause", token=None))
    answers.append(await site.post("/api/pause", headers={"origin": "null"}))
    answers.append(await site.post("/api/pause", content=b"x"))
    answers.append(await site.post("/api/pause", headers={"host": "evil"}))
    answers.append(
        await site.post("/api/pause", content=bytes(70_000), headers={"content-type": "application/json"})
    )
    for kind in ("TimeoutError", "RuntimeError", "ValueError", "OSError"):
        site.system.failures["pause"] = (kind, "why")
        answers.append(await site.post("/api/pause"))
    site.system.gates["pause"] = asyncio.Event()
    answers += [await site.post("/api/pause?wait=0") for _ in range(5)]
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 202, 401, 403, 409, 413, 415, 421, 422, 500, 503, 504}
    for answer in answers:
        check(pause, answer)

"""What a request must be to be answered at all, and that everything else has no effect."""

import base64
import socket

import pytest

pytestmark = pytest.mark.anyio

COMMANDS = ["pause", "resume", "save-state", "shutdown", "hyperparameters", "horizon"]
READS = [
    "/api/status",
    "/api/history",
    "/api/events",
    "/api/commands",
    "/api/commands/1",
    "/api/openapi.json",
    "/static/app.js",
    "/nowhere",
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("token", [None, "", "Secret", "secret2", "secre", "\u00e9"])
async def test_a_command_without_the_token_has_no_effect(site, command, token):
    headers = {} if token is None else {"authorization": f"Bearer {token}".encode("latin-1")}
    answer = await site.post(f"/api/{command}", token=None, headers=headers)
    assert answer.status_code == 401
    assert "Bearer" in answer.json()["error"]
    assert site.system.asked == []
    assert site.commands.latest() == []


@pytest.mark.parametrize("path", READS)
async def test_nothing_is_told_without_the_token(site, path):
    answer = await site.get(path, token=None)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}


def basic(credentials):
    return "Basic " + base64.b64encode(credentials).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret"},
        {"authorization": "bearer  secret"},
        {"authorization": basic(b":secret")},
        {"authorization": basic(b"anybody:secret")},
        {"cookie": "pamiq_sched_token_8391=secret"},
        {"cookie": "a=b; pamiq_sched_token_8391=wrong; pamiq_sched_token_8391=secret"},
    ],
    ids=str,
)
async def test_the_token_may_come_in_several_ways(site, headers):
    assert (await site.get("/api/status", token=None, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": basic(b"secret:wrong")},
        {"authorization": basic(b"secret")},
        {"authorization": "Basic c2Vj*mV0"},
        {"authorization": "Basic"},
        {"authorization": "Digest secret"},
        {"cookie": "token=secret"},
        {"cookie": "pamiq_sched_token_8391"},
        {"x-token": "secret"},
    ],
    ids=str,
)
async def test_nothing_else_stands_for_the_token(site, headers):
    assert (await site.get("/api/status", token=None, headers=headers)).status_code == 401


ODD_TOKEN = "a; b=\u00e9"  # noqa: S105 - of no real system


async def test_a_token_of_any_letters_is_taken_from_a_cookie(new_site):
    site = new_site(token=ODD_TOKEN)
    answer = await site.get("/?token=a%3B%20b%3D%C3%A9", token=None)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert (await site.get("/api/status", token=None, headers={"cookie": cookie})).status_code == 200


async def test_without_a_token_of_the_server_none_is_asked_for(new_site):
    site = new_site(token=None)
    assert (await site.get("/api/status", token=None)).status_code == 200
    assert (await site.get("/?token=anything", token=None)).headers["location"] == "/"


async def test_a_browser_that_brings_the_token_keeps_it_and_loses_it_from_the_address(site):
    answer = await site.get("/?token=secret", token=None)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert answer.headers["set-cookie"] == "pamiq_sched_token_8391=secret; HttpOnly; SameSite=Strict; Path=/"


async def test_a_wrong_token_in_the_address_gives_no_cookie(site):
    answer = await site.get("/?token=wrong", token=None)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_a_token_in_another_address_does_not_count(site):
    """It would stay in logs and histories."""
    assert (await site.get("/api/status?token=secret", token=None)).status_code == 401


async def test_a_browser_without_the_token_is_told_where_it_is(site):
    answer = await site.get("/", token=None)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "PAMIQ_SCHED_RUN_DIR" in answer.text
    assert "demo.py" not in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8391", "localhost", "LOCALHOST:8391", "localhost.", "[::1]:8391", "192.168.0.7:1", "lab7"]
)
async def test_a_request_by_an_address_or_an_own_name_is_answered(new_site, host):
    site = new_site(host="lab7")
    assert (await site.get("/api/status", headers={"host": host})).status_code == 200


async def test_a_request_by_the_name_of_this_machine_is_answered(site):
    headers = {"host": f"{socket.gethostname()}:8391"}
    assert (await site.get("/api/status", headers=headers)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8391", "127.0.0.1.evil.example", "", "0x7f.1"])
async def test_a_request_for_another_host_has_no_effect(new_site, host):
    """A foreign page whose name was made to point here sends that name; without a token that is what stops it."""
    site = new_site(token=None, host="")
    answer = await site.post("/api/pause", token=None, headers={"host": host})
    assert answer.status_code == 421
    assert site.system.asked == []


async def test_a_request_with_two_hosts_is_refused(site):
    async with site.exchange("GET", "/api/status", headers=[(b"host", b"localhost")]) as exchange:
        await exchange.task
        assert exchange.status == 421


FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://127.0.0.1:8000"},
    {"origin": "http://127.0.0.1"},
    {"origin": "ftp://127.0.0.1:8391"},
    {"origin": "http://127.0.0.1:8391.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_command_of_a_foreign_page_has_no_effect(new_site, headers):
    """Not even where no token is asked for."""
    site = new_site(token=None)
    answer = await site.post("/api/pause", token=None, headers=headers)
    assert answer.status_code == 403
    assert "own page" in answer.json()["error"]
    assert site.system.asked == []


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_reads_nothing(site, headers):
    assert (await site.get("/api/status", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8391"},
        {"origin": "https://127.0.0.1:8391"},
        {"origin": "http://localhost:8391", "host": "LocalHost:8391"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
    ids=str,
)
async def test_a_command_of_the_own_page_is_carried_out(site, headers):
    assert (await site.post("/api/pause", headers=headers)).status_code == 200


async def test_a_link_on_another_site_opens_the_page(site):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert (await site.get("/", headers=headers)).status_code == 200


async def test_a_frame_on_another_site_does_not_show_the_page(site):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert (await site.get("/", headers=headers)).status_code == 403


@pytest.mark.parametrize("content", [b"", b"{}"])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"]
)
async def test_a_body_of_another_type_has_no_effect(site, kind, content):
    """A form of a foreign page can send these, even empty."""
    answer = await site.post("/api/pause", content=content, headers={"content-type": kind})
    assert answer.status_code == 415
    assert site.system.asked == []


async def test_a_body_without_a_type_has_no_effect(site):
    answer = await site.post("/api/pause", content=b"{}")
    assert answer.status_code == 415
    assert site.system.asked == []


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_a_body_of_json_is_taken(site, kind):
    assert (await site.post("/api/pause", content=b"{}", headers={"content-type": kind})).status_code == 200


async def test_a_request_without_body_and_type_is_taken(site):
    """As curl -X POST sends it."""
    assert (await site.post("/api/pause")).status_code == 200


JSON = {"content-type": "application/json"}


async def test_a_large_body_has_no_effect(site):
    answer = await site.post("/api/pause", content=b" " * 10_000_000, headers=JSON)
    assert answer.status_code == 413
    assert "65536 bytes" in answer.json()["error"]
    assert site.system.asked == []


async def test_a_large_body_is_refused_before_any_of_it_is_read(site):
    headers = [(b"content-type", b"application/json"), (b"content-length", b"10000000")]
    async with site.exchange("POST", "/api/pause", body=[b"never read"], headers=headers) as exchange:
        await exchange.task
        assert exchange.status == 413
        assert exchange._body == [b"never read"]


async def test_a_large_body_in_chunks_is_refused_before_all_of_it_is_read(site):
    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    async with site.exchange("POST", "/api/pause", body=[bytes(10_000)] * 1000, headers=headers) as exchange:
        await exchange.task
        assert exchange.status == 413
        assert len(exchange._body) == 993
        assert site.system.asked == []


async def test_a_body_without_the_token_is_not_read(site):
    headers = [(b"authorization", b"Bearer wrong"), (b"content-type", b"application/json")]
    async with site.exchange("POST", "/api/pause", body=[b"never read"], headers=headers) as exchange:
        exchange.scope["headers"].remove((b"authorization", b"Bearer secret"))
        await exchange.task
        assert exchange.status == 401
        assert exchange._body == [b"never read"]


@pytest.mark.parametrize("length", [b"-1", b"1e9", b"9" * 5000, b"\xb2"])
async def test_an_odd_length_is_refused(site, length):
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    async with site.exchange("POST", "/api/pause", headers=headers) as exchange:
        await exchange.task
        assert exchange.status == 413


async def test_who_leaves_before_the_body_is_whole_has_no_effect(site):
    headers = [(b"content-type", b"application/json"), (b"content-length", b"10")]
    async with site.exchange("POST", "/api/pause", headers=headers) as exchange:
        exchange._body = None
    assert exchange.status is None
    assert site.system.asked == []


async def test_too_many_commands_are_refused_for_a_while(site, clock):
    for _ in range(40):
        assert (await site.post("/api/pause")).status_code == 200
    refused = await site.post("/api/pause")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert len(site.system.asked) == 40

    clock.advance(0.1)
    assert (await site.post("/api/pause")).status_code == 200
    assert (await site.post("/api/pause")).status_code == 429


async def test_a_shutdown_goes_through_whatever_the_rate(site):
    while (await site.post("/api/pause")).status_code == 200:
        pass
    assert (await site.post("/api/shutdown")).status_code == 200
    assert site.system.status["state"] == "shutting down"


async def test_too_many_reads_are_refused_for_a_while(site, clock):
    statuses = {(await site.get("/api/commands")).status_code for _ in range(401)}
    assert statuses == {200, 429}
    clock.advance(1.0)
    assert (await site.get("/api/commands")).status_code == 200


WRONG = {"authorization": "Bearer wrong"}


async def test_too_many_guesses_are_refused_but_not_who_has_the_token(site, clock):
    answers = [(await site.post("/api/shutdown", headers=WRONG)).status_code for _ in range(30)]
    assert answers == [401] * 20 + [429] * 10
    assert (await site.post("/api/pause")).status_code == 200

    clock.advance(1.0)
    assert (await site.post("/api/pause", headers=WRONG)).status_code == 401


@pytest.mark.parametrize(
    ("path", "token"), [("/", "secret"), ("/", None), ("/api/status", "secret"), ("/nowhere", "secret")]
)
async def test_every_answer_says_what_browsers_may_do_with_it(site, path, token):
    headers = (await site.get(path, token=token)).headers
    assert headers["x-pamiq-sched"] == "0.1.0"
    assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["date"].endswith("GMT")

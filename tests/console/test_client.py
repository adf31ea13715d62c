"""Finding a system and speaking to it, whatever it is that answers."""

import json
import socket
import ssl
import threading

import pytest

from pamiq_sched import __version__
from pamiq_sched.console import Failure, client
from pamiq_sched.console.client import Client, NotReachedError, RefusedError, Target, UnreachableError, find
from pamiq_sched.web.records import published


@pytest.fixture
def connect():
    """A function that returns a client of a port on loopback."""
    clients = []

    def make(port, token=None, host="127.0.0.1"):
        clients.append(Client(host, port, token))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


def free_port():
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def read_request(connection):
    """Read up to the end of the headers."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(4096)
    return read


# Which system is meant.


def test_the_only_system_is_found_with_its_token(system):
    with published(system.record()):
        target = find(None, None, None)
    assert (target.host, target.port, target.token) == (system.host, system.port, "secret")


def test_without_any_the_text_says_how_to_have_one():
    with pytest.raises(NotReachedError, match=r"no system .* runs here; start one with LaunchConfig\(web_api_add"):
        find(None, None, None)


def test_several_are_listed_and_a_port_chooses(system, serve):
    other = serve(token="other")  # noqa: S106 - of no real system
    with published(system.record(pid=1)), published(other.record(pid=2, program="maze.py")):
        with pytest.raises(Failure) as caught:
            find(None, None, None)
        chosen = find(None, other.port, None)
    for part in (f"127.0.0.1:{system.port}", "cartpole_dqn.py", "(pid 1)", f"127.0.0.1:{other.port}", "maze.py"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 1
    assert (chosen.port, chosen.token) == (other.port, "other")


def test_a_port_that_no_record_has_is_asked_on_loopback_without_a_token(system):
    with published(system.record()):
        target = find(None, system.port + 1, None)
    assert (target.host, target.port, target.token) == ("127.0.0.1", system.port + 1, None)


def test_a_host_elsewhere_never_gets_the_token_of_a_system_here(system):
    with published(system.record()):
        assert find("192.0.2.7", system.port, None) == Target("192.0.2.7", system.port, None)
        assert find("192.0.2.7", None, None) == Target("192.0.2.7", 8391, None)


@pytest.mark.parametrize("bound", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::"])  # noqa: S104 - only noted
def test_localhost_is_any_system_of_this_machine(system, bound):
    with published(system.record(host=bound)):
        target = find("localhost", None, None)
    assert (target.host, target.port, target.token) == ("localhost", system.port, "secret")


@pytest.mark.parametrize(("bound", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])  # noqa: S104 - only noted
def test_a_system_that_listens_everywhere_is_reached_on_loopback(system, bound, reached):
    with published(system.record(host=bound)):
        assert find(None, None, None).host == reached


def test_a_given_token_is_used_instead_of_the_noted_one(system):
    with published(system.record()):
        assert find(None, None, "mine").token == "mine"  # noqa: S105 - of no real system


def test_records_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(tmp_path / "file"))
    with pytest.raises(NotReachedError, match="no system"):
        find(None, None, None)


# What it is told and what it tells.


def test_each_request_says_who_asks(system, connect):
    assert connect(system.port, "secret").status()["program"] == "cartpole_dqn.py"
    method, path, _, headers, _ = system.requests[-1]
    assert (method, path) == ("GET", "/api/status")
    assert headers["User-Agent"] == f"pamiq-sched/{__version__}"
    assert headers["Authorization"] == "Bearer secret"


def test_an_order_tells_how_long_it_is_waited_for(system, connect):
    system.done("/api/save-state", "runs/y.state")
    outcome = connect(system.port, "secret").command("save-state", 2.5)
    assert (outcome.id, outcome.state, outcome.value) == ("17", "done", "runs/y.state")
    assert system.requests[-1][:3] == ("POST", "/api/save-state", {"wait": ["2.5"]})


def test_a_hyperparameter_is_sent_as_json(system, connect):
    system.done("/api/hyperparameters")
    connect(system.port, "secret").set_hyperparameter("dqn", "lr", 0.5, optimizer="adam")
    _, _, _, headers, body = system.requests[-1]
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"trainer": "dqn", "name": "lr", "value": 0.5, "optimizer": "adam"}


def test_a_horizon_is_sent_as_json(system, connect):
    system.done("/api/horizon")
    connect(system.port, "secret").set_horizon("dqn", "lr", 2000.0)
    assert json.loads(system.requests[-1][4]) == {"trainer": "dqn", "schedule": "lr", "horizon": 2000.0}


def test_the_history_may_be_asked_for_some_names(system, connect):
    assert connect(system.port, "secret").history(["dqn/loss", "dqn/q"], since=5.0)["series"] == {}
    assert system.requests[-1][2] == {"names": ["dqn/loss,dqn/q"], "since": ["5.0"]}


def test_a_refusal_is_told_in_the_words_of_the_system(system, connect):
    system.failed("/api/pause", 504, "training did not stop within 60 s\n  File train.py, line 3")
    with pytest.raises(RefusedError, match=r"training did not stop within 60 s\n  File train.py, line 3"):
        connect(system.port, "secret").command("pause", 1.0)


def test_what_steers_a_terminal_is_written_out(system, connect):
    system.failed("/api/pause", 504, "\x1b[2Jgone")
    with pytest.raises(RefusedError, match=r"^\\x1b\[2Jgone$"):
        connect(system.port, "secret").command("pause", 1.0)


def test_too_many_orders_say_when_to_try_again(system, connect):
    system.headers["Retry-After"] = "3"
    system.outcomes["/api/pause"] = (429, {"error": "too many requests"})
    with pytest.raises(RefusedError, match="too many requests; try again in 3 s"):
        connect(system.port, "secret").command("pause", 1.0)


@pytest.mark.parametrize(("token", "told"), [(None, "wants a token"), ("wrong", "does not take this token")])
def test_a_missing_or_wrong_token_says_where_the_right_one_is(system, connect, token, told):
    with pytest.raises(
        NotReachedError, match=rf"{told}.* in {system.port}-\*\.json of .*--token or PAMIQ_SCHED_TOKEN"
    ):
        connect(system.port, token).status()


def test_ipv6_is_spoken(serve, connect):
    try:
        system = serve(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert connect(system.port, host="::1").status()["pid"] == 4242
    assert str(Target("::1", 80)) == "[::1]:80"


def test_the_proxies_of_the_environment_are_not_for_loopback(system, connect, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert connect(system.port, "secret").status()["pid"] == 4242


# What is no system.


def test_nothing_that_listens_is_told(connect):
    port = free_port()
    with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port} cannot be reached: nothing listens there"):
        connect(port).status()


def test_a_name_that_does_not_exist_is_told(connect):
    with pytest.raises(UnreachableError, match=r"nowhere\.invalid:8391 cannot be reached: "):
        connect(8391, host="nowhere.invalid").status()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>hello</html>\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"status": 1}\n',
    ],
    ids=["a page", "a redirect", "a foreign 401", "pamiq-core"],
)
def test_a_server_of_something_else_is_no_system(foreign, connect, answer):
    def talk(connection):
        read_request(connection)
        connection.sendall(answer)

    with pytest.raises(NotReachedError, match=r"is no pamiq-sched system .* without the header X-Pamiq-Sched"):
        connect(foreign(talk)).status()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, body) for status in (200, 500) for body in (b"{", b"[]", b"7", b"[" * 100_000, b"\xff\xfe")),
        (500, b'{"error": 7}'),
    ],
)
def test_an_answer_that_is_no_object_is_told(foreign, connect, body, status):
    def talk(connection):
        read_request(connection)
        head = f"HTTP/1.1 {status} X\r\nX-Pamiq-Sched: 1\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with pytest.raises(NotReachedError, match="no JSON object"):
        connect(foreign(talk)).status()


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"\x15\x03\x01\x00\x02\x02\x46"])
def test_a_server_that_speaks_otherwise_or_not_at_all_is_told(foreign, connect, said):
    def talk(connection):
        read_request(connection)
        connection.sendall(said)

    with pytest.raises(UnreachableError, match="does not answer as a system does"):
        connect(foreign(talk)).status()


def test_a_server_that_closes_before_it_is_asked_is_told(foreign, connect):
    with pytest.raises(UnreachableError, match="does not answer as a system does"):
        connect(foreign(lambda connection: None)).status()


def test_a_server_of_tls_is_told(foreign, connect):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def talk(connection):
        with context.wrap_socket(connection, server_side=True):
            pass

    with pytest.raises(UnreachableError, match="does not answer as a system does"):
        connect(foreign(talk)).status()


def test_a_server_that_is_silent_is_not_waited_for_long(foreign, connect, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.2)
    over = threading.Event()
    port = foreign(lambda connection: over.wait(30))
    try:
        with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port} did not answer within 0.2 s"):
            connect(port).status()
    finally:
        over.set()


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Pamiq-Sched: 1\r\n\r\n"], ids=["headers", "body"])
def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for_long(foreign, connect, monkeypatch, start):
    monkeypatch.setattr(client, "PATIENCE", 0.5)
    tick = threading.Event()

    def talk(connection):
        read_request(connection)
        connection.sendall(start)
        while not tick.wait(0.05):
            connection.sendall(b"x")

    port = foreign(talk)
    with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port} did not answer within 0.5 s"):
        connect(port).status()


def test_an_answer_without_an_end_is_not_read_to_it(foreign, connect, monkeypatch):
    monkeypatch.setattr(client, "MOST", 1_000_000)

    def talk(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Pamiq-Sched: 1\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with pytest.raises(NotReachedError, match="answers with more than 1,000,000 bytes"):
        connect(foreign(talk)).status()


# Events.


def test_events_arrive_one_by_one(system, connect):
    events = iter(connect(system.port, "secret").events())
    heard = []
    listening = threading.Thread(target=lambda: heard.extend(events))
    listening.start()
    stream = system.streams.get(timeout=30)
    stream.put(': a comment\nretry: 1000\n\nevent: status\r\ndata: {"state":')
    stream.put(' "paused"}\r\n\r\nevent: points\ndata: [\ndata: 1]\n\n')
    stream.put("data: {}\n\nevent: nothing\n\n")
    stream.put(None)
    listening.join(30)
    assert heard == [("status", {"state": "paused"}), ("points", [1]), ("message", {})]


def test_closing_ends_the_iteration_of_another_thread(system, connect):
    events = connect(system.port, "secret").events()
    over = threading.Event()

    def listen():
        assert list(events) == []
        over.set()

    listening = threading.Thread(target=listen)
    listening.start()
    system.streams.get(timeout=30)
    events.close()
    assert over.wait(30)
    listening.join()


def test_events_without_authority_are_refused(system, connect):
    with pytest.raises(NotReachedError, match="wants a token"):
        list(connect(system.port).events())


def test_an_event_that_is_no_json_is_told(system, connect):
    events = iter(connect(system.port, "secret").events())
    told = []

    def listen():
        with pytest.raises(NotReachedError, match="an event that is no JSON") as caught:
            next(events)
        told.append(caught)

    listening = threading.Thread(target=listen)
    listening.start()
    system.streams.get(timeout=30).put("data: {\n\n")
    listening.join(30)
    assert told


@pytest.mark.parametrize("text", [b"data: ", b"data: x\n"], ids=["one line", "many lines"])
def test_an_event_without_an_end_is_not_kept(foreign, connect, monkeypatch, text):
    monkeypatch.setattr(client, "MOST", 1_000_000)

    def talk(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Pamiq-Sched: 1\r\n\r\n")
        while True:
            connection.sendall(text * 1000)

    with pytest.raises(NotReachedError, match="an event of more than 1,000,000 bytes"):
        list(connect(foreign(talk)).events())

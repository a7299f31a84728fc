"""What reaches the application through a real gunicorn: headers, bodies, and how long they take."""

import json
import socket
import time
from contextlib import ExitStack, closing

import pytest

from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.processes import running

pytestmark = pytest.mark.processes
LOG_IN = json.dumps({"email": "alice@example.org", "password": PASSWORD}).encode()
FORM = b"email=alice&password=" + PASSWORD.replace(" ", "+").encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with running(folder / "data", GUNICORN_CMD_ARGS="-c python:tests.support.hurried") as server:
        accounts.create("alice@example.org", "alice", PASSWORD)
        server.start("web")
        yield server


def connect(server):
    return closing(socket.create_connection(("127.0.0.1", server.port), timeout=20))


def head(server, path, *headers):
    kind = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Origin: {server.url}",
        f"Content-Type: {kind}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answer_of(connection):
    """Its status and all of it, as far as it comes."""
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return int(answer.split()[1]), answer.decode()


def ask(server, path, body, *headers):
    with connect(server) as connection:
        length = f"Content-Length: {len(body)}"
        connection.sendall(head(server, path, length, "Connection: close", *headers) + body)
        return answer_of(connection)


def test_gunicorn_believes_no_forwarded_header(server):
    status, answer = ask(server, "/login", FORM, "X-Forwarded-Proto: https")
    assert status == 303
    assert "Secure" not in answer


@pytest.mark.parametrize("header", ["SCRIPT_NAME: /elsewhere", "PATH_INFO: /elsewhere"])
def test_a_header_does_not_change_the_path(server, header):
    status, _ = ask(server, "/api/auth/login", LOG_IN, header)
    assert status == 200


@pytest.mark.parametrize("path", ["/api/auth/login", "/login"])
@pytest.mark.parametrize("chunk", [b"nonsense\r\n", b"-1\r\n", b"5\r\n{}{}{}\r\n", b"\xff\r\n"])
def test_a_badly_chunked_body_is_the_senders_mistake(server, path, chunk):
    with connect(server) as connection:
        connection.sendall(head(server, path, "Transfer-Encoding: chunked") + chunk + b"0\r\n\r\n")
        assert answer_of(connection)[0] == 400


@pytest.mark.parametrize("path, body", [("/api/auth/login", LOG_IN), ("/login", FORM)])
def test_a_well_chunked_body_is_taken(server, path, body):
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    chunked = ["Transfer-Encoding: chunked", "Connection: close"]
    with connect(server) as connection:
        connection.sendall(head(server, path, *chunked) + framed)
        assert answer_of(connection)[0] in (200, 303)


@pytest.mark.parametrize("path, body", [("/api/auth/login", LOG_IN), ("/login", FORM)])
def test_a_body_that_is_cut_off_is_not_taken_for_a_whole_one(server, path, body):
    with connect(server) as connection:
        connection.sendall(head(server, path, f"Content-Length: {len(body) + 1}") + body)
        connection.shutdown(socket.SHUT_WR)
        assert answer_of(connection)[0] == 400


@pytest.mark.parametrize("path", ["/api/auth/login", "/login"])
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_refused_after_a_while(server, path, framing):
    started = time.monotonic()
    with connect(server) as connection:
        connection.sendall(head(server, path, framing))
        status = None
        while status is None and time.monotonic() < started + 10:
            piece = b"1\r\nx\r\n" if "chunked" in framing else b"x"
            connection.sendall(piece)
            connection.settimeout(0.1)
            try:
                status = int(connection.recv(65536).split()[1])
            except TimeoutError:
                continue
    assert status == 408
    assert time.monotonic() < started + 5


def test_a_body_that_makes_headway_may_take_its_time(server):
    body = LOG_IN + b" " * 60_000
    with connect(server) as connection:
        connection.sendall(head(server, "/api/auth/login", f"Content-Length: {len(body)}"))
        for start in range(0, len(body), 4096):
            connection.sendall(body[start : start + 4096])
            time.sleep(0.05)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_slow_bodies_stop_the_site_for_a_moment_only(server):
    """As many as there are threads, and then as many again."""
    with ExitStack() as slow:
        for _ in range(32):
            connection = slow.enter_context(connect(server))
            connection.sendall(head(server, "/login", "Content-Length: 1000"))
        status, _ = ask(server, "/api/auth/login", LOG_IN)
    assert status == 200


def test_bodies_that_nobody_reads_and_that_never_come_do_not_stop_the_site(server):
    """As of clients that are not logged in."""
    path = "/api/v1/system/backup/upload"
    with ExitStack() as stack:
        for _ in range(60):
            connection = stack.enter_context(connect(server))
            connection.sendall(head(server, path, "Content-Length: 10000000") + b"x")
        start = time.monotonic()
        status, _ = ask(server, "/login", FORM)
        assert status == 303
        assert time.monotonic() - start < 10


def test_after_a_body_that_nobody_read_the_connection_can_be_used_again(server):
    with connect(server) as connection:
        connection.sendall(head(server, "/api/v1/system/backup", "Content-Length: 2") + b"{}")
        answer = connection.recv(65536)
        # Head and body may come in two parts.
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        assert b" 401 " in answer
        close = ("Connection: close", f"Content-Length: {len(LOG_IN)}")
        connection.sendall(head(server, "/api/auth/login", *close) + LOG_IN)
        assert answer_of(connection)[0] == 200

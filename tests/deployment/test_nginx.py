"""The README's block for nginx, before a real gunicorn: log-ins and what the proxy takes on."""

import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import time
from urllib.parse import urlencode

import pytest

from mm import config
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.processes import free_port, running

pytestmark = pytest.mark.processes
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
{block}
  }}
}}
"""


def block():
    return re.search(r"```nginx\n(.*?)```", (config.ROOT / "README.md").read_text(), re.DOTALL)[1]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Of nginx; behind it stands the server, with Alice's account."""
    if NGINX is None:
        pytest.skip("no nginx here: install Debian's package `nginx` to test the README's block")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    with running(folder / "data", MM_TRUSTED_PROXIES="1") as server:
        accounts.create("alice@example.org", "alice", PASSWORD)
        server.start("web")
        ours = block().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, port=port, block=ours))
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        process = subprocess.Popen(command)
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def wait_for(port):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        time.sleep(0.05)
    raise AssertionError("nginx did not start")


def ask(port, method, path, form=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        own = {"Host": f"nas.home:{port}", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, urlencode(form or {}), own | headers)
        answer = connection.getresponse()
        answer.read()
        return answer


def log_in(port, origin):
    """As a browser does on plain http: with Origin, and without Sec-Fetch-Site."""
    return ask(port, "POST", "/login", {"email": "alice", "password": PASSWORD}, Origin=origin)


def test_a_form_of_our_own_page_is_taken_on_any_port(port):
    answer = log_in(port, f"http://nas.home:{port}")
    assert answer.status == 303
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert ask(port, "GET", "/backup", Cookie=cookie).status == 200
    logged_out = ask(port, "POST", "/logout", Cookie=cookie, Origin=f"http://nas.home:{port}")
    assert logged_out.status == 303


def handshake(port, cookie, origin):
    """The status of a WebSocket's first request."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Cookie": cookie,
        "Origin": origin,
    }
    lines = ["GET /ws/sync?since=0 HTTP/1.1", f"Host: nas.home:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(1000).split()[1])


def test_a_page_of_our_own_opens_a_websocket_through_it(port):
    ours = f"http://nas.home:{port}"
    cookie = log_in(port, ours).headers["Set-Cookie"].partition(";")[0]
    assert handshake(port, cookie, ours) == 101
    assert handshake(port, cookie, "http://evil.example") == 401


@pytest.mark.parametrize("origin", ["http://nas.home", "http://evil.example", "null"])
def test_a_form_of_another_origin_is_refused(port, origin):
    assert log_in(port, origin).status == 403


def test_a_client_cannot_say_which_address_or_site_it_has(port):
    headers = {"X-Forwarded-Host": "evil.example", "Origin": "http://evil.example"}
    assert ask(port, "POST", "/login", {"email": "alice"}, **headers).status == 403
    wrong = {"email": "nobody", "password": "wrong horse"}
    statuses = []
    for number in range(11):
        forged = {"X-Forwarded-For": f"192.0.2.{number}", "Origin": f"http://nas.home:{port}"}
        statuses.append(ask(port, "POST", "/login", wrong, **forged).status)
    assert statuses == [401] * 10 + [429]


def test_it_takes_the_largest_file_that_an_import_takes():
    assert re.search(r"client_max_body_size 65m;", block())


def send_large(port, path):
    """The status that a POST of 70 MB without a log-in gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(70 * 10**6))
        connection.endheaders()
        with contextlib.suppress(ConnectionError):
            connection.send(b"x" * 10**6)
        return connection.getresponse().status


@pytest.mark.parametrize("path", ["/api/v1/system/restore", "/admin/archives/upload"])
def test_archives_of_the_server_may_be_larger(port, path):
    assert send_large(port, "/api/backup/import") == 413
    # Not too large: nobody has logged in.
    assert send_large(port, path) in (302, 303, 401, 403)


def test_slow_bodies_wait_in_nginx_and_not_in_the_server(port):
    """More of them than the server has threads."""
    head = f"POST /login HTTP/1.1\r\nHost: nas.home:{port}\r\nContent-Length: 1000\r\n\r\n"
    with contextlib.ExitStack() as slow:
        for _ in range(40):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(head.encode() + b"x")
        time.sleep(0.5)
        started = time.monotonic()
        assert ask(port, "GET", "/api/health").status == 200
        assert time.monotonic() - started < 2

"""A real consumer and a real web process: the tick beside long jobs, a damaged queue, the log."""

import json
import re
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mm.database import db
from mm.services import accounts, jobs
from mm.services.backup import nightly
from tests.support import processes
from tests.support import standin as stand
from tests.support.libraries import as_bytes, document, film, many, put
from tests.test_log import LINE

pytestmark = [pytest.mark.processes, pytest.mark.slow]
PATIENCE = 60
PASSWORD = "correct horse battery staple"


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "It did not happen within a minute."
        time.sleep(0.05)
    return found


def heartbeat(server):
    [(value,)] = server.query("select value from setting where key = 'worker_seen_at'")
    return float(value)


def printed(server, name):
    return server.log(name).read_text()


def test_the_tick_comes_while_every_thread_of_the_worker_is_busy_for_minutes(tmp_path, monkeypatch):
    command = processes._command("worker")
    busy = [part.replace("mm.tasks.huey", "tests.support.busy_worker.huey") for part in command]
    monkeypatch.setattr(processes, "_command", lambda name: busy)
    with processes.running(tmp_path / "data") as server:
        with db.connection_context():
            for name in "abcde":
                user = accounts.create(f"{name}@example.org", name, PASSWORD)
                jobs.create("backup", user.id, {"kind": "manual"})
        server.start("worker")
        states = "select count(*) from job where state = ?"
        wait_for(lambda: server.query(states, "running") == [(3,)])
        seen = time.time()
        for _ in range(3):
            wait_for(lambda before=heartbeat(server): heartbeat(server) > before)
        assert time.time() - seen < 20
        assert server.query(states, "running") == [(3,)]


@pytest.mark.parametrize("damaged", [b"not a database" * 1000, b""])
def test_a_damaged_queue_stops_neither_web_nor_worker_nor_a_command(tmp_path, damaged):
    with processes.running(tmp_path / "data") as server:
        with db.connection_context():
            user = accounts.create("a@example.org", "a", PASSWORD)
            put(user, many(3))
            jobs.create("backup", user.id, {"kind": "manual"})
        (server.data_dir / "queue.db").write_bytes(damaged)
        assert server.flask("export", "--user", "a").returncode == 0
        server.start("web", "worker")
        done = "select count(*) from job where kind = 'backup' and state = 'done'"
        wait_for(lambda: server.query(done) == [(1,)])
        said = printed(server, "worker")
        assert (" ERROR queue.damaged set_aside=queue.db.damaged-" in said) == bool(damaged)
        assert "Traceback" not in said


def call(server, path, data, token=None, raw=False):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = data if raw or data is None else json.dumps(data).encode()
    try:
        with urlopen(Request(f"{server.url}{path}", body, headers), timeout=20) as answer:
            return json.load(answer)
    except HTTPError as error:
        return json.load(error)


def test_what_web_and_worker_print_is_lines_of_events_without_any_secret(tmp_path, standin):
    secrets = {
        "TMDB_API_KEY": "tmdb0123456789abcdef",
        "OMDB_API_KEY": "omdb-8b1f3c",
        "ADMIN_TOKEN": "admin-token-of-the-test",
    }
    standin.tmdb.fault = "truncated"
    standin.omdb.fault = "over_quota"
    with processes.running(tmp_path / "data", **standin.environ, **secrets) as server:
        with db.connection_context():
            user = accounts.create("somebody@example.org", "Somebody Known", PASSWORD)
            nightly.enable(user, True)
        server.start("web", "worker")
        right = {"email": user.email, "password": PASSWORD}
        token = call(server, "/api/auth/login", right)["access_token"]
        call(server, "/api/auth/login", {"email": user.email, "password": "wrong-password-123"})
        call(server, "/api/auth/admin/login", {"token": secrets["ADMIN_TOKEN"] + "x"})
        admin_log_in = {"token": secrets["ADMIN_TOKEN"]}
        admin = call(server, "/api/auth/admin/login", admin_log_in)["access_token"]
        assert "detail" in call(server, "/api/external/tmdb/search?q=moon", None, token)
        standin.tmdb.fault = "wrong_key"
        library = document([film(2, imdb_id=imdb_id) for imdb_id in stand.FILM_IDS], people=[])
        imported = call(server, "/api/backup/import", as_bytes(library), token, raw=True)
        assert imported["imported_counts"]["movies"] == len(stand.FILM_IDS)
        call(server, "/api/backup/import", b'{"version": 9}', token, raw=True)
        call(
            server,
            "/api/movies",
            {"imdb_id": stand.FILM_IDS[0], "recommenders": ["Aunt Esmeralda"]},
            token,
        )
        wait_for(lambda: "provider.stopped provider=tmdb" in printed(server, "worker"))
        wait_for(lambda: "provider.paused provider=omdb" in printed(server, "worker"))
        wait_for(lambda: "backup.made" in printed(server, "worker"))
        said = printed(server, "web") + printed(server, "worker")
        secret_key = (server.data_dir / "secret_key").read_text().strip()
    events = set(re.findall(r"^\d{4}-\S+ [A-Z]+ ([a-z_.]+)", said, re.MULTILINE))
    assert {"worker.started", "import.done", "import.refused", "backup.made"} <= events
    names = [
        "somebody",
        "Somebody Known",
        "Esmeralda",
        stand.FILMS[0][0],
        "wrong-password-123",
        PASSWORD,
    ]
    for secret in [*secrets.values(), token, admin, secret_key, *names]:
        assert secret not in said
    worker = [line for line in said.splitlines() if not line.startswith((" ", "["))]
    assert [line for line in worker if not LINE.fullmatch(line)] == []


def test_a_minute_of_an_idle_worker_is_no_line(tmp_path):
    with processes.running(tmp_path / "data") as server:
        server.start("worker")
        wait_for(lambda: "recheck.done" in printed(server, "worker"))
        lines = printed(server, "worker").splitlines()
        assert [line.split()[2] for line in lines] == ["worker.started", "recheck.done"]

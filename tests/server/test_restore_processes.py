"""A restore under web server, worker and clients that read and write all the while."""

import threading
import time

import pytest
import requests

from mm import maintenance, tasks
from mm.database import db
from mm.models import User
from mm.services import accounts
from mm.services.server import archives, restore
from tests.conftest import PASSWORD
from tests.support.libraries import many, put
from tests.support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.processes]
CLIENTS = 6
RESTORES = 2
WAIT_SECONDS = 60


class Client(threading.Thread):
    """A program that uses the API as alice, and logs in anew when it has to."""

    def __init__(self, url, number):
        super().__init__(daemon=True)
        self.url, self.number = url, number
        self.session = requests.Session()
        self.stopping = threading.Event()
        self.wrong = []
        self.statuses = []

    def run(self):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            if "Authorization" not in self.session.headers:
                self.log_in()
            elif turn % 3:
                self.ask("GET", ("/api/movies", "/api/people", "/api/lists")[turn % 3])
            else:
                film = {"imdb_id": f"tt9{self.number}{turn:05d}", "status": "toWatch"}
                self.ask("POST", "/api/movies", json=film)

    def log_in(self):
        given = {"email": "alice@example.org", "password": PASSWORD}
        answer = self.ask("POST", "/api/auth/login", json=given)
        if answer is not None and answer.status_code == 200:
            token = answer.json()["access_token"]
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method, path, **more):
        answer = self.session.request(method, self.url + path, timeout=30, **more)
        self.statuses.append(answer.status_code)
        if answer.status_code == 401:
            self.session.headers.pop("Authorization", None)
        elif answer.status_code == 503:
            if "Retry-After" not in answer.headers:
                self.wrong.append((method, path, answer.status_code, answer.text[:300]))
            time.sleep(0.05)
        elif answer.status_code >= 500 or answer.status_code == 422:
            self.wrong.append((method, path, answer.status_code, answer.text[:300]))
        return answer


def test_clients_meet_nothing_but_the_announced_answers(tmp_path):
    with running(tmp_path / "data") as server:
        with db.connection_context():
            alice = accounts.create("alice@example.org", "alice", PASSWORD)
            put(alice, many(300, 2))
        server.start("web", "worker")
        clients = [Client(server.url, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            with db.connection_context():
                timestamp = archives.create().timestamp
            for _ in range(RESTORES):
                with db.connection_context():
                    job, token = restore.request(timestamp)
                    tasks.enqueue(job)
                deadline = time.monotonic() + WAIT_SECONDS
                while restore.outcome(token).state in ("queued", "running"):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                assert restore.outcome(token).state == "done", restore.outcome(token).message
                time.sleep(0.5)
        finally:
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join(30)
        assert [wrong for client in clients for wrong in client.wrong] == []
        statuses = {status for client in clients for status in client.statuses}
        assert {200, 401} <= statuses
        assert not maintenance.is_on()
        assert server.query("PRAGMA integrity_check") == [("ok",)]
        with db.connection_context():
            assert User.get().token_version >= RESTORES

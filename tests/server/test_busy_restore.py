"""Archives and restores of the whole server while many clients read and write without pause.

`MM_TEST_FILMS` sets the size of each library.
"""

import contextlib
import itertools
import os
import random
import threading
import time
from collections import Counter

import pytest
import requests

from mm.database import db
from mm.errors import UserError
from mm.services import accounts
from tests.support import whole_server
from tests.support.phones import Phone, server_library
from tests.support.processes import running
from tests.support.whole_server import PASSWORD, Api, generations_in

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(600)]
FILMS = int(os.environ.get("MM_TEST_FILMS", "60"))
NAMES = ("ann", "bo", "cy", "di")
ARCHIVES, RESTORES = 5, 3
READS = (
    "/api/movies",
    "/api/sync/changes?since=0&limit=500",
    "/api/sync?since=0",
    "/api/backup/export",
    "/api/people",
    "/api/health",
)
PAGES = ("/", "/?status=all", "/movies/tt1000001", "/people", "/lists", "/backup", "/account")
NOTED = "/api/movies/tt{number}/note"


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server:
        with db.connection_context():
            users = [
                accounts.create(f"{name}@example.org", name, PASSWORD, is_admin=name == "ann")
                for name in NAMES
            ]
            whole_server.make_generations(users, FILMS)
        server.users = users
        server.start("web", "worker")
        yield server


class Crowd:
    """Clients in threads until `stopped`; what went wrong is in `faults`."""

    def __init__(self, server):
        self.server = server
        self.stopped = threading.Event()
        self.faults = []
        self.statuses = Counter()
        self.logged_in = Counter()
        self.threads = []
        self.clients = []
        self.generations = 0

    @property
    def phones(self):
        return [client for client in self.clients if isinstance(client, PhoneClient)]

    def start(self):
        for number, name in enumerate(NAMES):
            kinds = (ApiClient, PageClient, PhoneClient, WritingClient)
            self.clients += [kind(self, name, number) for kind in kinds]
        for client in self.clients:
            self.run(client.work)
        self.run(self.write_generations)

    def run(self, work):
        thread = threading.Thread(target=self.kept, args=(work,), daemon=True)
        self.threads.append(thread)
        thread.start()

    def kept(self, work):
        try:
            work()
        except BaseException as error:
            self.faults.append(repr(error))
            raise

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def write_generations(self):
        """As a command on the server's machine, which writes past the web server."""
        for generation in itertools.count(1):
            if self.stopped.wait(0.05):
                return
            with db.connection_context(), contextlib.suppress(UserError):
                whole_server.write_generation(self.server.users, generation)
                self.generations += 1

    def saw(self, answer):
        """Look at an answer; True when it is to be read."""
        self.statuses[answer.status_code] += 1
        where = f"{answer.request.method} {answer.request.path_url}"
        if answer.status_code >= 500:
            announced = answer.status_code == 503 and int(answer.headers.get("Retry-After", 0)) > 0
            if not announced:
                self.faults.append(f"{where}: {answer.status_code} {answer.text[:200]}")
        elif answer.status_code in (400, 403, 404, 405, 413, 422):
            self.faults.append(f"{where}: {answer.status_code} {answer.text[:200]}")
        found = generations_in(answer.content)
        if len(found) > 1:
            self.faults.append(f"torn: {where}: {sorted(found)}")
        return answer.ok


class Client:
    def __init__(self, crowd, name, number):
        self.crowd, self.name = crowd, name
        self.dice = random.Random(f"{type(self).__name__} {number}")
        self.session = requests.Session()
        self.log_in()

    def ask(self, method, path, **sent):
        """The answer, once there is one that is neither a pause nor the end of the log-in; None
        when the crowd is to stop."""
        while not self.crowd.stopped.is_set():
            answer = self.session.request(
                method,
                self.crowd.server.url + path,
                timeout=60,
                allow_redirects=False,
                **sent,
            )
            if self.crowd.saw(answer):
                if self.is_logged_out(answer):
                    self.log_in()
                    continue
                return answer
            if answer.status_code == 401:
                self.log_in()
            else:
                time.sleep(0.1)
        return None

    def is_logged_out(self, answer):
        return False

    def log_in(self):
        self.crowd.logged_in[self] += 1
        while not self.crowd.stopped.is_set():
            if self.try_to_log_in():
                return
            time.sleep(self.dice.uniform(0.05, 0.3))


class TokenClient(Client):
    def try_to_log_in(self):
        self.session.headers.pop("Authorization", None)
        answer = self.session.post(
            f"{self.crowd.server.url}/api/auth/login",
            json={"email": self.name, "password": PASSWORD},
            timeout=60,
        )
        if self.crowd.saw(answer):
            self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer.ok


class ApiClient(TokenClient):
    def work(self):
        while not self.crowd.stopped.is_set():
            self.ask("GET", self.dice.choice(READS))


class WritingClient(TokenClient):
    def work(self):
        while not self.crowd.stopped.is_set():
            number = 2_000_000 + self.dice.randrange(FILMS)
            self.ask("PUT", NOTED.format(number=number), json={"note": f"{self.dice.random()}"})
            self.ask(
                "PUT",
                f"/api/movies/tt{number}/watch",
                json={"my_rating": self.dice.randint(1, 10)},
            )


class Stopped(Exception):
    """The crowd is to stop."""


class PhoneClient(TokenClient):
    """Sends actions and keeps a copy of the library by the feed."""

    def work(self):
        self.resets, self.phone = 0, Phone(self.body)
        for number in itertools.count():
            film = f"tt{2_000_000 + self.dice.randrange(FILMS)}"
            data = {"imdb_id": film, "note": f"phone {number}"}
            action = {"action": "updateNote", "data": data, "timestamp": time.time()}
            try:
                self.phone.send([action])
                self.phone.pull(limit=50)
            except Stopped:
                return

    def body(self, method, path, json):
        answer = self.ask(method, path, json=json)
        if answer is None:
            raise Stopped
        found = answer.json()
        if isinstance(found, dict) and found.get("reset"):
            self.resets += 1
        return found


class PageClient(Client):
    def is_logged_out(self, answer):
        return "/login" in answer.headers.get("Location", "")

    def try_to_log_in(self):
        self.session.cookies.clear()
        self.session.headers["Sec-Fetch-Site"] = "same-origin"
        form = {"email": self.name, "password": PASSWORD}
        answer = self.session.post(
            f"{self.crowd.server.url}/login", data=form, timeout=60, allow_redirects=False
        )
        return self.crowd.saw(answer)

    def work(self):
        while not self.crowd.stopped.is_set():
            self.ask("GET", self.dice.choice(PAGES))
            number = 2_000_000 + self.dice.randrange(FILMS)
            self.ask("POST", f"/movies/tt{number}/note", data={"note": f"{self.dice.random()}"})


def test_archives_and_restores_beside_sixteen_clients(server):
    crowd = Crowd(server)
    api = Api(server.url, "ann")
    crowd.start()
    archives = [api.archive()["timestamp"] for _ in range(ARCHIVES)]
    for timestamp in archives[1 : RESTORES + 1]:
        ended = dict(api.session.headers)
        found = whole_server.outcome(api.restore(timestamp), server.url)
        assert found["state"] == "done", found
        refused = requests.get(f"{server.url}/api/auth/me", headers=ended, timeout=60)
        assert refused.status_code == 401
        log_in_patiently(api)
        # Time for everybody to log in again and go on.
        time.sleep(1.5)
    crowd.stop()
    # pytest shows this where the test failed.
    print(crowd.statuses, crowd.generations)
    assert crowd.faults == []
    assert crowd.generations > 20 * RESTORES
    # Nobody's log-in outlived a restore, and nobody was thrown out but by one.
    assert set(crowd.logged_in.values()) == {1 + RESTORES}
    for client in crowd.phones:
        require_phone_in_step(client, server)
    assert whole_server.fault_of(server.data_dir / "mm.db") == "ok"
    for timestamp in archives:
        assert api.verify(timestamp)["state"] == "verified"
    assert not (server.data_dir / "maintenance").exists()
    assert whole_server.left_in_tmp(server.data_dir) == []


def log_in_patiently(api, name="ann"):
    """While others log in too, some are asked to wait."""
    while api.try_to_log_in(name).status_code == 429:
        time.sleep(0.3)


def require_phone_in_step(client, server):
    """It was told once of each restore, and has what the server has."""
    assert 1 <= client.resets <= RESTORES
    log_in_patiently(api := Api(server.url), client.name)
    client.phone.ask = lambda method, path, json: api.session.request(
        method, server.url + path, json=json, timeout=60
    ).json()
    client.phone.pull()
    assert client.phone.library() == server_library(client.phone.ask)

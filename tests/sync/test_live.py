"""Live events of a user's own library over a WebSocket."""

import contextlib
import json
import runpy
import socket
import time

import pytest
import requests
from simple_websocket import Client, ConnectionClosed, ConnectionError
from wsproto.frame_protocol import CloseReason

from mm import config, login_limits, models
from mm.api import live as sockets
from mm.database import db
from mm.models import Movie, User
from mm.services import accounts
from mm.services.enrichment import lookup_slots, posters
from mm.services.enrichment import queue as enrichment_queue
from mm.services.library import lists, movies, people
from mm.services.sync import live
from tests.conftest import PASSWORD
from tests.support.libraries import many, put
from tests.support.processes import running

FILM, OTHER = "tt0111161", "tt0068646"


class Listener:
    """A connection as the services see it: the events of each look."""

    def __init__(self, user):
        self.user = user
        self.cursor = live.cursor(user.id, user.token_version)

    def look(self):
        events, self.cursor = live.events_since(self.user.id, self.user.token_version, self.cursor)
        return events


@pytest.fixture
def listener(alice):
    return Listener(alice)


def test_each_kind_of_change_is_one_event_once(alice, listener):
    movies.add(alice.id, FILM, recommenders=["Eve"])
    assert listener.look() == [
        {"type": "movieAdded", "imdb_ids": [FILM]},
        {"type": "peopleUpdated"},
    ]
    assert listener.look() == []
    movies.watch(alice.id, FILM, my_rating=8)
    assert listener.look() == [{"type": "movieUpdated", "imdb_ids": [FILM]}]
    lists.create(alice.id, "Later")
    assert listener.look() == [{"type": "listUpdated"}]
    movies.delete(alice.id, FILM)
    assert listener.look() == [
        {"type": "movieDeleted", "imdb_ids": [FILM]},
        {"type": "peopleUpdated"},
    ]


def test_a_film_put_on_a_list_is_an_event_of_both(alice, listener):
    movies.add(alice.id, FILM)
    listed = lists.create(alice.id, "Later").id
    listener.look()
    both = [{"type": "movieUpdated", "imdb_ids": [FILM]}, {"type": "listUpdated"}]
    movies.add_to_list(alice.id, FILM, listed)
    assert listener.look() == both
    lists.reorder_films(alice.id, listed, [FILM])
    assert listener.look() == []
    movies.remove_from_list(alice.id, FILM, listed)
    assert listener.look() == both


def test_deletions_of_people_lists_and_films_are_events(alice, listener):
    person, listed = people.create(alice.id, "Eve"), lists.create(alice.id, "Later")
    movies.add(alice.id, FILM)
    listener.look()
    people.delete(alice.id, person.id)
    lists.delete(alice.id, listed.id)
    movies.set_status(alice.id, FILM, "deleted")
    assert [event["type"] for event in listener.look()] == [
        "movieDeleted",
        "peopleUpdated",
        "listUpdated",
    ]


def test_fetched_details_are_no_event_not_even_with_a_later_change(alice, listener):
    movies.add(alice.id, FILM)
    movies.add(alice.id, OTHER)
    listener.look()
    with db.atomic():
        enrichment_queue.fill("tmdb", FILM, {"id": 1, "title": "Heat", "media_type": "movie"})
        filled = Movie.update(updated_at=models.next_update(db.obj))
        filled.where(Movie.title == FILM).execute()
    assert listener.look() == []
    movies.watch(alice.id, OTHER, my_rating=7)
    assert listener.look() == [{"type": "movieUpdated", "imdb_ids": [OTHER]}]


def test_an_import_of_many_films_is_one_event_without_their_ids(alice, listener):
    put(alice, many(60))
    events = {event["type"]: event for event in listener.look()}
    assert events["movieAdded"] == {"type": "movieAdded", "imdb_ids": []}


def test_changes_of_other_users_are_no_events(bob, listener):
    movies.add(bob.id, FILM)
    assert listener.look() == []


def test_ended_sessions_end_the_events(alice, listener):
    accounts.end_sessions(alice)
    assert listener.look() == []
    assert listener.cursor is None


def test_messages_of_a_client_do_not_cause_more_queries(monkeypatch):
    class Chatty:
        said = 0

        def receive(self, timeout):
            self.said += 1
            return "."

    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.05)
    ws, began = Chatty(), time.monotonic()
    assert not sockets._wait(ws)
    assert time.monotonic() - began >= 0.05
    assert ws.said > 2


def test_everything_that_waits_leaves_threads_for_pages():
    threads = runpy.run_path(str(config.ROOT / "gunicorn.conf.py"))["threads"]
    waiting = sum(place.AT_ONCE + place.WAITING for place in (lookup_slots, posters, login_limits))
    assert sockets.CONNECTIONS + waiting <= threads - 4
    assert threads // 2 >= sockets.CONNECTIONS


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("live") / "data", ADMIN_TOKEN="open sesame") as server:
        with db.connection_context():
            accounts.create("alice@example.org", "alice", PASSWORD)
            for name in ("bob", "carol", "dora", "eve"):
                accounts.create(f"{name}@example.org", name, PASSWORD)
        server.start("web")
        yield server


@pytest.fixture
def token(server):
    return log_in(server, "alice")


def log_in(server, name):
    said = {"email": f"{name}@example.org", "password": PASSWORD}
    return requests.post(f"{server.url}/api/auth/login", json=said, timeout=10).json()[
        "access_token"
    ]


class Phone(Client):
    """Reads what comes in one packet with the answer to its handshake, as it does on a busy
    machine; `Client` would leave it lying until the next packet."""

    def handshake(self):
        super().handshake()
        self.connected = self._handle_events()


def connect(url, headers):
    """Those of the test before may not have ended yet."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return Phone.connect(url, headers=headers)
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def connected(server, query="", headers=None):
    url = f"{server.url.replace('http', 'ws')}/ws/sync{query}"
    ws = connect(url, headers or {})
    try:
        yield ws
    finally:
        with contextlib.suppress(ConnectionClosed):
            ws.close()
        # The client's own close leaves this to the garbage collector.
        ws.thread.join(3)
        ws.sock.close()


def handshake(server, query="", headers=None):
    """The status that a client's first request gets: 101 opens the connection."""
    asked = {
        "Host": f"127.0.0.1:{server.port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **(headers or {}),
    }
    lines = [f"GET /ws/sync{query} HTTP/1.1", *(f"{name}: {asked[name]}" for name in asked), "", ""]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        plain.sendall("\r\n".join(lines).encode())
        return int(plain.recv(1000).split()[1])


@pytest.mark.processes
class TestConnections:
    def test_a_change_from_another_process_arrives(self, server, token):
        with db.connection_context():
            alice = User.get(User.username == "alice")
            with connected(server, f"?token={token}") as ws:
                movies.add(alice.id, FILM)
                event = json.loads(ws.receive(timeout=10))
        assert event == {"type": "movieAdded", "imdb_ids": [FILM]}

    def test_another_users_changes_do_not_arrive(self, server, token):
        with db.connection_context(), connected(server, f"?token={token}") as ws:
            bob = User.get(User.username == "bob")
            movies.add(bob.id, FILM)
            assert ws.receive(timeout=2.5) is None

    def test_a_missing_or_bad_token_is_refused(self, server):
        assert handshake(server) == 401
        assert handshake(server, "?token=nonsense") == 401

    def test_the_admin_token_is_refused(self, server):
        url = f"{server.url}/api/auth/admin/login"
        answer = requests.post(url, json={"token": "open sesame"}, timeout=5)
        assert handshake(server, f"?token={answer.json()['access_token']}") == 403

    def test_a_session_is_accepted_only_from_our_own_pages(self, server):
        session = requests.Session()
        form = {"email": "alice@example.org", "password": PASSWORD}
        session.post(f"{server.url}/login", data=form, headers={"Origin": server.url}, timeout=10)
        cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
        assert handshake(server, headers={"Cookie": cookie, "Origin": server.url}) == 101
        foreign = {"Cookie": cookie, "Origin": "http://evil.example"}
        assert handshake(server, headers=foreign) == 401
        assert handshake(server, headers={"Cookie": cookie}) == 401

    def test_a_client_that_names_an_older_version_gets_all_events(self, server, token):
        with db.connection_context():
            alice = User.get(User.username == "alice")
            with connected(server, f"?token={token}&since={alice.library_version - 1}") as ws:
                received = [json.loads(ws.receive(timeout=10)) for _ in range(3)]
            with connected(server, f"?token={token}&since={alice.library_version}") as ws:
                assert ws.receive(timeout=1.5) is None
                lists.create(alice.id, "Seen")
                event = json.loads(ws.receive(timeout=10))
        seen = {"version": alice.library_version}
        assert received == [
            {"type": "movieUpdated", "imdb_ids": [], **seen},
            {"type": "peopleUpdated", **seen},
            {"type": "listUpdated", **seen},
        ]
        assert event == {"type": "listUpdated", "version": alice.library_version + 1}

    def test_the_thirteenth_connection_gets_404(self, server, token):
        with contextlib.ExitStack() as open_ones:
            for other in [log_in(server, name) for name in ("bob", "carol", "dora")] * 4:
                open_ones.enter_context(connected(server, f"?token={other}"))
            assert handshake(server, f"?token={token}") == 404
            assert requests.get(f"{server.url}/api/health", timeout=2).status_code == 200
        deadline = time.monotonic() + 5
        while handshake(server, f"?token={token}") == 404:
            assert time.monotonic() < deadline, "The threads were not given back."
            time.sleep(0.2)

    def test_the_seventh_connection_of_a_user_gets_404(self, server, token):
        eve = log_in(server, "eve")
        with contextlib.ExitStack() as open_ones:
            for _ in range(6):
                open_ones.enter_context(connected(server, f"?token={eve}"))
            assert handshake(server, f"?token={eve}") == 404
            assert handshake(server, f"?token={token}") == 101
        with connected(server, f"?token={eve}"):
            pass

    def test_a_long_message_ends_the_connection_and_a_short_one_does_not(self, server, token):
        with connected(server, f"?token={token}") as ws:
            for _ in range(3):
                ws.send("ping")
            assert ws.receive(timeout=1.5) is None
            ws.send("x" * 2000)
            with pytest.raises(ConnectionClosed) as closed:
                ws.receive(timeout=5)
        assert closed.value.reason == CloseReason.MESSAGE_TOO_BIG

    def test_a_plain_http_request_is_refused_with_a_message(self, server, token):
        assert requests.get(f"{server.url}/ws/sync?token={token}", timeout=5).status_code == 400

    def test_a_failing_database_closes_the_connection_with_one_log_entry(self, tmp_path):
        with running(tmp_path / "data") as server:
            with db.connection_context():
                accounts.create("alice@example.org", "alice", PASSWORD)
            server.start("web")
            with connected(server, f"?token={log_in(server, 'alice')}") as ws:
                server.query("alter table user rename to gone")
                with pytest.raises(ConnectionClosed) as closed:
                    ws.receive(timeout=5)
            server.query("alter table gone rename to user")
            assert closed.value.reason == CloseReason.INTERNAL_ERROR
            with connected(server, f"?token={log_in(server, 'alice')}"):
                pass
            server.stop("web")
            said = server.log("web").read_text()
            assert said.count("live.failed code=") == 1
            assert "Error handling request" not in said

    def test_stopping_the_server_closes_open_connections_at_once(self, tmp_path):
        with running(tmp_path / "data") as server:
            with db.connection_context():
                accounts.create("alice@example.org", "alice", PASSWORD)
            server.start("web")
            token = log_in(server, "alice")
            with contextlib.ExitStack() as open_ones:
                for _ in range(3):
                    open_ones.enter_context(connected(server, f"?token={token}"))
                started = time.monotonic()
                server.stop("web")
                assert time.monotonic() - started < 3

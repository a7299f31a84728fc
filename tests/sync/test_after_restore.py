"""Phones after a restore of the whole server: each gets everything anew exactly once, ends with the
library that the server has, and keeps what it did offline."""

import itertools

import pytest
import requests
from simple_websocket import Client, ConnectionClosed

from mm import auth, clock, maintenance, models, streaming
from mm.database import db
from mm.models import Movie, User
from mm.services.library import lists, movies, people, saved_views, serializers
from mm.services.sync import feed, live
from tests.conftest import PASSWORD
from tests.support import libraries, restores
from tests.support.phones import Phone, films_of, server_library
from tests.support.processes import running

FILM = "tt0111161"
OTHER = "tt0068646"
THIRD = "tt0050083"


@pytest.fixture(autouse=True)
def _moving_clock(frozen_clock):
    """Half an hour into the test's day, so that phones may have done things before."""
    frozen_clock.move(1800)


@pytest.fixture
def database(app):
    """Open, as of each test that calls services, but closed and opened again on the way."""
    db.connect()
    yield
    db.close()


@pytest.fixture
def archive(database):
    return restores.archive


@pytest.fixture
def restore(database, frozen_clock):
    """restore(archived): as another process does it, while this one has no connection open."""

    def load(archived):
        frozen_clock.move(60)
        db.close()
        restores.restored(archived)
        db.connect()
        frozen_clock.move(60)

    return load


@pytest.fixture
def asked(app, database):
    """asked(alice): ask(method, path, json) with a token of now."""

    def of(user):
        def ask(method, path, json=None, status=200):
            with app.app_context():
                token = auth.issue_token(User.get_by_id(user.id))
            headers = {"Authorization": f"Bearer {token}"}
            answer = app.test_client().open(path, method=method, json=json, headers=headers)
            # The request's end has closed the connection that the test shares with it.
            db.connect(reuse_if_open=True)
            assert answer.status_code == status, (method, path, answer.text)
            return answer.json

        return ask

    return of


class CountingPhone(Phone):
    """Counts the resets, and insists that no answer is from before the restore."""

    resets = 0

    def take(self, page):
        self.resets += page["reset"]
        assert page["server_timestamp"] >= models.epoch()
        assert page["timestamp"] == page["server_timestamp"]
        super().take(page)


class OldPhone(CountingPhone):
    """Knows no offset: asks for all of it at once, from the largest time it has seen."""

    def pull(self, limit=7):
        self.take(self.ask("GET", f"/api/sync?since={self.since!r}", None))
        self.read_lists()
        return 1


def make_library(user):
    libraries.put(user, libraries.many(20))
    for number in range(6):
        person = people.create(user.id, f"Person {number}")
        movies.recommend(user.id, f"tt00000{number + 1:02}", person.id)
    first = lists.create(user.id, "First", list_id="l1")
    for number in (3, 1, 2):
        movies.set_status(user.id, f"tt00000{number:02}", "custom", first.id)
    saved_views.create(user.id, "Best", {"status": "watched"})
    movies.delete(user.id, "tt0000020")


def change_everything(user):
    """What happens after the archive, and what the restore takes back."""
    for number in range(1, 6):
        movies.delete(user.id, f"tt00000{number:02}")
    for imdb_id in (FILM, OTHER):
        movies.add(user.id, imdb_id)
    people.create(user.id, "Newcomer")
    people.delete(user.id, people.find(user.id, "Person 0").id)
    lists.create(user.id, "Second", list_id="l2")
    lists.delete(user.id, "l1")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 7, 500])
@pytest.mark.parametrize("kind", [CountingPhone, OldPhone])
def test_two_phones_and_a_newcomer_end_with_the_servers_library(
    asked, archive, restore, alice, kind, limit
):
    make_library(alice)
    archived = archive()
    ask = asked(alice)
    early = kind(ask)
    early.pull(limit)
    change_everything(alice)
    late = kind(ask)
    late.pull(limit)
    before = server_library(ask)
    restore(archived)

    new = kind(ask)
    for phone in (early, late, new):
        phone.pull(limit)
        assert phone.library() == server_library(ask) != before
    assert (early.resets, late.resets, new.resets) == (1, 1, 0)

    movies.add(alice.id, THIRD)
    movies.delete(alice.id, "tt0000007")
    for phone in (early, late, new):
        phone.pull(limit)
        phone.pull(limit)
        assert phone.library() == server_library(ask)
    assert (early.resets, late.resets, new.resets) == (1, 1, 0)


def pages(ask, limit, since=0.0, offset=""):
    while True:
        page = ask("GET", f"/api/sync/changes?since={since!r}&limit={limit}&offset={offset}")
        yield page
        if not page["has_more"]:
            return
        offset = page["next_offset"]


@pytest.mark.slow
@pytest.mark.parametrize("read", [1, 3, 5, 8])
@pytest.mark.parametrize("knew_the_library", [False, True])
def test_a_restore_between_two_pages_skips_no_row(
    asked, archive, restore, alice, frozen_clock, read, knew_the_library
):
    make_library(alice)
    ask = asked(alice)
    phone = CountingPhone(ask)
    if knew_the_library:
        phone.pull()
        frozen_clock.move(10)
        for number in range(1, 20):
            movies.watch(alice.id, f"tt00000{number:02}")
        for number in range(1, 6):
            people.change(alice.id, people.find(alice.id, f"Person {number}").id, {"emoji": "🎬"})
    archived = archive()
    since = phone.since
    seen = list(itertools.islice(pages(ask, 3, since), read))
    assert seen[-1]["has_more"]
    for page in seen:
        phone.take(page)
    change_everything(alice)
    restore(archived)
    for page in pages(ask, 3, since, seen[-1]["next_offset"]):
        phone.take(page)
    phone.read_lists()
    assert phone.library() == server_library(ask)
    assert phone.resets == 1
    phone.pull()
    assert phone.resets == 1


def test_a_sync_that_was_broken_off_in_the_middle_of_a_reset_goes_on_without_another(
    asked, archive, restore, alice
):
    make_library(alice)
    ask = asked(alice)
    phone = CountingPhone(ask)
    phone.pull()
    restore(archive())
    for page in itertools.islice(pages(ask, 3, phone.since), 4):
        phone.take(page)
    phone.pull(3)
    assert phone.library() == server_library(ask)
    assert phone.resets == 1


@pytest.mark.slow
def test_each_of_two_restores_in_a_row_is_one_reset(asked, archive, restore, alice):
    make_library(alice)
    ask = asked(alice)
    first, phone = archive(), CountingPhone(ask)
    phone.pull()
    change_everything(alice)
    restore(first)
    phone.pull()
    second = archive()
    change_everything(alice)
    restore(second)
    phone.pull()
    assert (phone.library(), phone.resets) == (server_library(ask), 2)
    restore(first)
    phone.pull()
    assert (phone.library(), phone.resets) == (server_library(ask), 3)


def test_an_empty_library_is_answered_with_the_epoch_and_reset_once(asked, archive, restore, bob):
    people_of_bob = models.Person.user == bob.id
    models.Person.delete().where(people_of_bob).execute()
    archived = archive()
    movies.add(bob.id, FILM)
    ask = asked(bob)
    phone = CountingPhone(ask)
    phone.pull()
    restore(archived)
    epoch = models.epoch()
    for resets in (1, 1):
        phone.pull()
        assert (phone.resets, phone.movies, phone.since) == (resets, {}, epoch)
    assert ask("GET", "/api/sync?since=0")["server_timestamp"] == epoch
    answer = ask("POST", "/api/sync/batch", {"actions": []})
    assert answer["server_timestamp"] == feed.newest(bob.id) == epoch


def test_an_offset_of_nonsense_is_still_refused(asked, archive, restore, alice):
    make_library(alice)
    restore(archive())
    ask = asked(alice)
    for offset in ("1_0_1_nan", "1_0_1_x", "1_0_1_2_3", "1_0", "_"):
        ask("GET", f"/api/sync/changes?offset={offset}", status=422)


# What a phone did offline before the restore, and sends after it.


def act(ask, action, at, expected=200, **data):
    body = {"action": action, "data": data, "timestamp": at, "id": f"{action}-{at}"}
    return ask("POST", "/api/sync", body, expected)


def test_what_was_done_offline_is_done_on_the_restored_library(asked, archive, restore, alice):
    """Before the archive or after it, as long as nothing in the restored library is newer."""
    movies.add(alice.id, FILM, at=clock.now() - 600)
    archived = archive()
    done_at = clock.now() + 10
    restore(archived)
    ask = asked(alice)
    assert act(ask, "markWatched", done_at - 300, imdb_id=FILM, rating=7)["success"]
    assert act(ask, "updateNote", done_at, imdb_id=FILM, note="on the train")["success"]
    film = ask("GET", f"/api/movies/{FILM}")
    assert (film["watch_history"]["my_rating"], film["note"]) == (7, "on the train")


def test_what_is_older_than_the_restored_film_is_a_conflict_and_named(
    asked, archive, restore, alice
):
    movies.add(alice.id, FILM, at=clock.now() - 600)
    movies.set_note(alice.id, FILM, "newer", clock.now() - 100)
    restore(archive())
    ask = asked(alice)
    answer = act(ask, "updateNote", clock.now() - 420, imdb_id=FILM, note="older")
    assert (answer["conflict"], answer["server_state"]["note"]) == (True, "newer")


def test_an_action_answered_after_the_archive_is_done_again(asked, archive, restore, alice):
    """The restore took back what it did, so the stored answer would be a lie: a phone that did not
    get the answer sends the action again, and it is done again."""
    archived = archive()
    ask = asked(alice)
    at = clock.now()
    assert act(ask, "addMovie", at, imdb_id=FILM)["success"]
    restore(archived)
    assert not Movie.select().where(Movie.user == alice.id).exists()
    assert act(ask, "addMovie", at, imdb_id=FILM)["success"]
    assert [row["imdb_id"] for row in ask("GET", "/api/movies")] == [FILM]


def test_an_action_that_meets_the_restore_is_not_answered_as_one_that_failed(
    asked, archive, restore, alice, monkeypatch
):
    """The phone would take it out of its queue."""

    def restored(*args, **values):
        raise maintenance.RestoredError

    restore(archive())
    ask, at = asked(alice), clock.now()
    with monkeypatch.context() as during:
        during.setattr(movies, "add", restored)
        act(ask, "addMovie", at, imdb_id=FILM, expected=503)
    assert act(ask, "addMovie", at, imdb_id=FILM)["success"]


def test_an_action_answered_before_the_archive_is_not_done_again(asked, archive, restore, alice):
    """Its answer came back with what it did, and what was done after it stays."""
    ask = asked(alice)
    at = clock.now() - 100
    added = act(ask, "addMovie", at, imdb_id=FILM)
    movies.delete(alice.id, FILM)
    restore(archive())
    assert act(ask, "addMovie", at, imdb_id=FILM) == added
    assert [row["imdb_id"] for row in ask("GET", "/api/movies")] == []


def test_a_deletion_of_the_restored_library_still_refuses_what_is_older(
    asked, archive, restore, alice
):
    movies.add(alice.id, FILM, at=clock.now() - 600)
    movies.delete(alice.id, FILM)
    restore(archive())
    answer = act(asked(alice), "addMovie", clock.now() - 420, imdb_id=FILM)
    assert (answer["conflict"], answer["server_state"]) == (True, None)


def test_a_whole_queue_replayed_after_the_restore_leaves_phone_and_server_equal(
    asked, archive, restore, alice
):
    make_library(alice)
    ask = asked(alice)
    phone = CountingPhone(ask)
    phone.pull()
    archived = archive()
    actions = [
        {"action": "markWatched", "data": {"imdb_id": FILM, "rating": 8}},
        {"action": "addToList", "data": {"list_id": "l1", "imdb_id": FILM}},
        {"action": "updateStatus", "data": {"imdb_id": "tt0000004", "status": "deleted"}},
        {"action": "addPerson", "data": {"name": "Offline"}},
        {"action": "addRecommendation", "data": {"imdb_id": FILM, "person": "Offline"}},
    ]
    actions = [each | {"timestamp": clock.now() + n} for n, each in enumerate(actions)]
    first = phone.send(actions[:3])
    restore(archived)
    again = phone.send(actions)
    assert all(answer["success"] for answer in first + again)
    phone.pull()
    assert (phone.library(), phone.resets) == (server_library(ask), 1)
    assert {film["imdb_id"] for film in films_of(ask, "l1")} >= {FILM}
    assert "tt0000004" not in phone.movies


@pytest.mark.parametrize("again", [False, True])
def test_the_id_of_a_person_from_after_the_archive_is_nobody_elses(
    asked, archive, restore, alice, again
):
    """A vote of theirs is refused and named, and never becomes that of another person."""
    archived = archive()
    if again:
        restore(archived)
    lost = people.create(alice.id, "Lost")
    at = clock.now()
    restore(archived)
    other = people.create(alice.id, "Other", at=at - 60)
    assert other.id > lost.id
    ask = asked(alice)
    for answer in (
        act(ask, "addRecommendation", at, imdb_id=FILM, person_id=lost.id),
        act(ask, "updatePerson", at, id=lost.id, new_name="Renamed"),
    ):
        assert (answer["success"], answer["error"]) == (False, "Person not found")
    assert people.find(alice.id, "Other").id == other.id


# What else a client keeps.


def test_a_live_connection_ends(asked, archive, restore, alice):
    cursor = live.cursor(alice.id, alice.token_version)
    restore(archive())
    assert live.events_since(alice.id, alice.token_version, cursor) == ([], None)


@pytest.mark.parametrize("path", ["/api/movies", "/api/sync?since=0"])
def test_a_long_answer_never_goes_on_with_other_rows_than_it_began_with(
    app, archive, restore, alice, monkeypatch, path
):
    """It is read while it is sent, after its request has ended."""
    monkeypatch.setattr(streaming, "STREAM_FROM", 1)
    monkeypatch.setattr(serializers, "BATCH_SIZE", 3)
    make_library(alice)
    archived = archive()
    movies.add(alice.id, FILM)
    with app.app_context():
        token = auth.issue_token(User.get_by_id(alice.id))
    headers = {"Authorization": f"Bearer {token}"}
    answer = app.test_client().get(path, headers=headers)
    assert answer.is_streamed
    db.connect(reuse_if_open=True)
    restore(archived)
    with pytest.raises(maintenance.RestoredError):
        b"".join(answer.iter_encoded())
    db.connect(reuse_if_open=True)


def test_a_list_that_a_client_has_is_sent_anew_at_the_same_number_of_writes(
    app, archive, restore, alice
):
    """304 would leave it with films that are gone."""

    def answer_for(etag=None):
        with app.app_context():
            token = auth.issue_token(User.get_by_id(alice.id))
        headers = {"Authorization": f"Bearer {token}", "If-None-Match": etag or ""}
        answer = app.test_client().get("/api/movies", headers=headers)
        db.connect(reuse_if_open=True)
        return answer

    archived = archive()
    movies.add(alice.id, FILM)
    movies.delete(alice.id, FILM)
    version = User.get_by_id(alice.id).library_version
    etag = answer_for().headers["ETag"]
    assert answer_for(etag).status_code == 304
    restore(archived)
    User.update(library_version=version).execute()
    answer = answer_for(etag)
    assert answer.status_code == 200
    assert answer_for(answer.headers["ETag"]).status_code == 304


@pytest.mark.processes
def test_with_a_running_server_a_phone_logs_in_again_and_is_reset_once(tmp_path):
    """And whoever listens for changes is cut off."""
    with running(tmp_path / "data") as server:
        server.environment["MM_PASSWORD"] = PASSWORD
        made = server.flask("user", "create", "a@example.org", "alice")
        assert made.returncode == 0, made.stderr
        server.start("web")

        def log_in():
            name = {"email": "a@example.org", "password": PASSWORD}
            answer = requests.post(f"{server.url}/api/auth/login", json=name, timeout=30)
            return answer.json()["access_token"]

        token = log_in()

        def ask(method, path, json=None):
            headers = {"Authorization": f"Bearer {token}"}
            url = server.url + path
            answer = requests.request(method, url, json=json, headers=headers, timeout=30)
            assert answer.ok, answer.text
            return answer.json()

        ask("POST", "/api/movies", {"imdb_id": FILM})
        archived = server.flask("server-backup", "create")
        assert archived.returncode == 0, archived.stderr
        ask("POST", "/api/movies", {"imdb_id": OTHER})
        phone = Phone(ask)
        phone.pull()
        since = phone.since
        listener = Client(f"{server.url.replace('http', 'ws')}/ws/sync?token={token}")
        done = server.flask("server-backup", "restore", "--yes", archived.stdout.split()[0])
        assert done.returncode == 0, done.stderr
        with pytest.raises(ConnectionClosed):
            listener.receive(timeout=10)
        with pytest.raises(AssertionError, match="Not authenticated"):
            ask("GET", "/api/movies")
        token = log_in()
        first = ask("GET", f"/api/sync?since={since!r}")
        assert first["reset"]
        phone.pull()
        assert phone.library() == server_library(ask)
        assert set(phone.movies) == {FILM}
        assert not ask("GET", f"/api/sync?since={phone.since!r}")["reset"]

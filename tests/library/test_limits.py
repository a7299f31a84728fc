"""Limits: what exceeds them is refused with a reason, and what is
accepted can be backed up."""

import json
import sqlite3
import threading
import time

import pytest
from playhouse.test_utils import count_queries

from mm import clock, models
from mm.database import chunks, db
from mm.errors import ConflictError, InvalidError
from mm.models import CustomList, Movie, Person, Recommendation, SavedView
from mm.services import accounts, validation
from mm.services.backup import backups
from mm.services.library import bulk, lists, movies, people, saved_views, undo
from mm.services.sync import feed
from mm.services.sync import queue as sync_queue
from mm.services.validation import NUMBER_MAX
from tests.conftest import PASSWORD
from tests.support.libraries import (
    custom_list,
    document,
    export,
    film,
    person,
    put,
    reload,
    view,
    vote,
)

FILM, OTHER = "tt0111161", "tt0068646"
VIEWS = [view(f"View {number}") for number in range(6)]
CUSTOM_LISTS = [custom_list(f"list-{number}", f"List {number}") for number in range(6)]
pytestmark = pytest.mark.usefixtures("frozen_clock")


def require_backup(user):
    """A verified backup, which another account can import whole."""
    with db.connection_context():
        assert backups.create(reload(user)).state == "verified"
        bob = accounts.create("bob@example.org", "bob", PASSWORD)
        put(bob, json.loads(export(user)))
        assert export(bob) == export(user)


@pytest.fixture
def few(monkeypatch):
    """Limits of six films, people, lists and views, and of five votes a film."""
    monkeypatch.setattr(validation, "FILMS_MAX", 6)
    monkeypatch.setattr(validation, "VOTES_MAX", 5)


@pytest.fixture
def phone(as_user, alice):
    return as_user(alice)


def refused(answer, words):
    assert answer.status_code == 422
    assert words in answer.text
    return True


class TestWhatALibraryHolds:
    def test_films_beyond_the_limit_are_refused(self, few, phone, alice):
        for number in range(6):
            assert (
                phone.post("/api/movies", json={"imdb_id": f"tt000000{number}"}).status_code == 201
            )
        words = "A library can hold 6 films."
        assert refused(phone.post("/api/movies", json={"imdb_id": FILM}), words)
        assert refused(phone.put(f"/api/movies/{FILM}/watch"), words)
        assert refused(
            phone.post(f"/api/movies/{FILM}/recommendations", json={"person": "Ann"}), words
        )
        action = {"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": clock.now()}
        [answer] = phone.post("/api/sync/batch", json={"actions": [action]}).json["results"]
        assert words in answer["error"]
        assert phone.post("/api/movies", json={"imdb_id": "tt0000001"}).status_code == 201
        require_backup(alice)

    def test_a_film_beyond_the_limit_is_not_brought_back_by_undo(self, few, phone, alice):
        for number in range(6):
            movies.add(alice.id, f"tt000000{number}")
        with undo.step(alice.id, ["tt0000001"]) as step:
            movies.delete(alice.id, "tt0000001")
        movies.add(alice.id, FILM)
        with pytest.raises(InvalidError, match="can hold 6 films"):
            undo.back(alice.id, step.token)
        require_backup(alice)

    def test_people_beyond_the_limit_are_refused(self, few, phone, alice):
        for name in ("Ann", "Bo"):
            assert phone.post("/api/people", json={"name": name}).status_code == 201
        words = "A library can hold 6 people."
        assert refused(phone.post("/api/people", json={"name": "Cy"}), words)
        assert refused(
            phone.post("/api/movies", json={"imdb_id": FILM, "recommenders": ["Ann", "Cy"]}), words
        )
        assert not Movie.select().exists()
        assert phone.post("/api/movies", json={"imdb_id": FILM, "recommenders": ["Ann"]}).json
        require_backup(alice)

    def test_lists_beyond_the_limit_are_refused(self, few, phone, alice):
        for number in range(6):
            assert phone.post("/api/lists", json={"name": f"List {number}"}).status_code == 201
        words = "A library can hold 6 lists."
        assert refused(phone.post("/api/lists", json={"name": "One more"}), words)
        require_backup(alice)

    def test_saved_views_beyond_the_limit_are_refused(self, few, phone, alice):
        for number in range(6):
            saved_views.create(alice.id, f"View {number}", {"q": "x" * 200, "genre": "ü" * 200})
        with pytest.raises(InvalidError, match="can hold 6 saved views"):
            saved_views.create(alice.id, "One more", {})
        require_backup(alice)

    def test_votes_beyond_the_limit_of_a_film_are_refused(self, few, phone, alice):
        url = f"/api/movies/{FILM}/recommendations"
        quick = [person.id for person in Person.select().where(Person.user == alice)]
        assert phone.post(f"{url}/bulk", json={"person_ids": quick}).status_code == 201
        assert phone.post(url, json={"person": "Ann"}).status_code == 201
        words = "A film can have 5 recommendations; this one has 5."
        assert refused(phone.post(url, json={"person": "Bo"}), words)
        assert phone.post(url, json={"person": "Ann", "vote_type": False}).status_code == 201
        people.create(alice.id, "Bo")
        with pytest.raises(InvalidError, match="which is the limit"):
            bulk.recommend(alice.id, [FILM], "Bo")
        assert Recommendation.select().count() == 5
        require_backup(alice)

    @pytest.mark.parametrize(
        "there, more, words",
        [
            ({"movies": [film(1), film(2)]}, {"movies": [film(n) for n in range(3, 8)]}, "7 films"),
            ({"people": [person("Ann")]}, {"people": [person("Bo"), person("Cy")]}, "7 people"),
            ({"lists": [custom_list("a")]}, {"lists": CUSTOM_LISTS}, "7 lists"),
            ({"views": [view("A")]}, {"views": VIEWS}, "7 saved views"),
        ],
    )
    def test_a_file_that_would_exceed_a_limit_is_refused(
        self, few, phone, alice, there, more, words
    ):
        put(alice, document(**there))
        before = export(alice)
        answer = phone.post("/api/backup/import", json=document(**more))
        assert refused(answer, f"Your library would have {words}; the limit is 6.")
        assert export(alice) == before
        require_backup(alice)

    def test_people_whom_only_the_votes_of_a_file_name_count_too(self, few, phone, alice):
        voters = [vote(name) for name in ("Ann", "Bo", "Cy")]
        file = document([film(1, recommendations=voters)])
        words = "Your library would have 7 people"
        assert refused(phone.post("/api/backup/import", json=file), words)
        require_backup(alice)

    @pytest.mark.parametrize("conflicts", ["overwrite", "newest"])
    def test_votes_of_a_file_beyond_the_limit_are_left_out(
        self, few, phone, alice, monkeypatch, conflicts
    ):
        monkeypatch.setattr(validation, "FILMS_MAX", 20)
        put(alice, document([film(1, recommendations=[vote(name) for name in "ABCD"])]))
        theirs = [vote("A", up=False), vote("E"), vote("F")]
        file = document([film(1, recommendations=theirs), film(2)])
        answer = phone.post(f"/api/backup/import?conflicts={conflicts}", json=file)
        [problem] = answer.json["problems"]
        assert problem["path"] == "movies[0].recommendations"
        assert "'F'" in problem["reason"]
        assert "can have 5 recommendations" in problem["reason"]
        stored = json.loads(export(alice))["movies"]
        assert [row["person_name"] for row in stored[0]["recommendations"]] == list("ABCDE")
        assert len(stored) == 2
        require_backup(alice)

    def test_undo_brings_no_person_back_whose_votes_exceed_the_limit(
        self, few, phone, alice, monkeypatch
    ):
        monkeypatch.setattr(validation, "FILMS_MAX", 20)
        put(alice, document([film(1, recommendations=[vote(name) for name in "ABCDE"])]))
        ann = people.find(alice.id, "A").id
        with undo.step(alice.id, person_id=ann) as step:
            people.delete(alice.id, people.find(alice.id, "A").id)
        movies.recommend(alice.id, "tt0000001", "F")
        with pytest.raises(ConflictError, match="the limit is 5"):
            undo.back(alice.id, step.token)
        assert Recommendation.select().count() == 5
        require_backup(alice)

    def test_a_view_after_the_largest_position_can_still_be_backed_up(self, phone, alice):
        put(alice, document(views=[view("Far", position=NUMBER_MAX)]))
        saved_views.create(alice.id, "Farther", {})
        assert {saved.position for saved in SavedView.select()} == {NUMBER_MAX}
        require_backup(alice)


class TestWhatARequestNames:
    NAMES = [f"Person {number}" for number in range(101)]
    WORDS = "names 101 people; the limit is 100 at once"

    def test_more_than_100_recommenders_of_a_film_are_refused(self, phone, alice):
        body = {"imdb_id": FILM, "recommenders": self.NAMES[:100], "recommender": "One more"}
        assert refused(phone.post("/api/movies", json=body), self.WORDS)
        assert not Movie.select().exists()
        body.pop("recommender")
        assert len(phone.post("/api/movies", json=body).json["recommendations"]) == 100
        require_backup(alice)

    def test_more_than_100_voters_at_once_are_refused(self, phone, alice):
        url = f"/api/movies/{FILM}/recommendations/bulk"
        ann = people.create(alice.id, "Ann").id
        body = {"people": self.NAMES[:50], "recommenders": self.NAMES[50:100], "person_ids": [ann]}
        assert refused(phone.post(url, json=body), self.WORDS)
        body.pop("person_ids")
        assert len(phone.post(url, json=body).json) == 100
        require_backup(alice)

    def test_100000_names_are_refused_before_anything_is_written(self, phone):
        body = {"imdb_id": FILM, "recommenders": ["x"] * 100_000}
        with count_queries() as counter:
            assert refused(phone.post("/api/movies", json=body), "names 100,000 people")
        assert counter.count < 5

    def test_the_votes_of_100_people_are_answered_without_a_query_for_each(self, phone):
        counts = []
        for names in (self.NAMES[:2], self.NAMES[:100]):
            with count_queries() as counter:
                phone.post(f"/api/movies/{FILM}/recommendations/bulk", json={"people": names})
            counts.append(counter.count)
        assert counts[1] <= counts[0]


class TestManyRowsInFewQueries:
    def test_many_films_take_no_more_queries_than_two(self, phone, alice, frozen_clock):
        put(alice, document([film(n, recommendations=[vote("Eve")]) for n in range(1, 13)]))
        club = lists.create(alice.id, "Club")
        frozen_clock.move(60)
        ids = [f"tt{number:07d}" for number in range(1, 13)]
        for act in (
            lambda films: bulk.set_status(alice.id, films, "watched"),
            lambda films: bulk.put_on_list(alice.id, films, club.id),
            lambda films: bulk.set_status(alice.id, films, "deleted"),
            lambda films: bulk.recommend(alice.id, films, "Kim"),
            lambda films: bulk.delete(alice.id, films),
        ):
            version, newest = reload(alice).library_version, feed.newest(alice.id)
            counts = []
            for films in (ids[:2], ids[2:]):
                with count_queries() as counter:
                    assert act(films).changed == len(films)
                counts.append(counter.count)
            assert counts[1] <= counts[0] < 60
            assert reload(alice).library_version == version + 2
            later = Movie.select().where((Movie.user == alice) & (Movie.updated_at > newest))
            stamps = [movie.updated_at for movie in later]
            assert len(set(stamps)) == len(stamps)

    def test_a_selection_of_missing_films_writes_nothing(self, alice):
        done = bulk.set_status(alice.id, [FILM, OTHER], "watched")
        assert (done.changed, done.missing, done.undo_token) == (0, 2, None)
        assert reload(alice).library_version == 0

    def test_more_than_a_thousand_selected_films_are_refused(self, alice):
        films = [f"tt{number:07d}" for number in range(1001)]
        with pytest.raises(
            InvalidError, match=r"^You selected 1,001 films; the limit is 1,000 at a time\.$"
        ):
            bulk.delete(alice.id, films)

    def test_lists_of_one_position_are_put_in_order_in_few_queries(self, alice):
        put(alice, document(lists=[custom_list(f"l{n}", f"List {n}") for n in range(40)]))
        newest = feed.newest(alice.id)
        with count_queries() as counter:
            lists.move(alice.id, "l0", 1)
        assert counter.count < 15
        order = [row.id for row in lists.listing(alice.id)]
        assert order[:3] == ["l1", "l0", "l10"]
        assert [row.position for row in CustomList.select().order_by(CustomList.position)] == list(
            range(40)
        )
        changes = feed.everything_since(alice.id, newest + 1e-7).feed
        assert len(changes.lists) == 39
        again = feed.everything_since(alice.id, changes.server_timestamp).feed
        assert len(again.lists) == 1

    def test_after_a_write_of_very_many_rows_the_feed_repeats_only_the_last(
        self, alice, monkeypatch
    ):
        monkeypatch.setattr(models, "SPREAD_MAX", 5)
        put(alice, document([film(n, recommendations=[vote("Eve")]) for n in range(1, 21)]))
        since = feed.newest(alice.id)
        people.change(alice.id, people.find(alice.id, "Eve").id, {"color": "#112233"})
        changes = feed.everything_since(alice.id, since + 1e-7)
        assert (len(changes.film_ids), len(changes.feed.people)) == (20, 1)
        again = feed.everything_since(alice.id, changes.feed.server_timestamp)
        assert (len(again.film_ids), len(again.feed.people)) == (1, 0)

    def test_the_feed_asks_for_ids_in_batches_that_the_database_takes(self, alice, monkeypatch):
        monkeypatch.setattr(chunks, "__defaults__", (5,))
        for number in range(12):
            people.create(alice.id, f"Person {number}")
            lists.create(alice.id, f"List {number}")
        people.change(alice.id, people.find(alice.id, "Person 1").id, {"color": "#112233"})
        db.connection().setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 10)
        changes = feed.everything_since(alice.id, 0).feed
        assert [row.name for row in changes.lists] == [f"List {number}" for number in range(12)]
        names = [row.name for row in changes.people]
        assert (len(names), names[-2:]) == (16, ["Person 11", "Person 1"])


class TestUndo:
    def test_a_change_of_trust_keeps_no_votes_for_undo(self, alice):
        put(alice, document([film(n, recommendations=[vote("Eve")]) for n in range(1, 101)]))
        eve = people.find(alice.id, "Eve")
        before = {movie.imdb_id: movie.updated_at for movie in Movie.select()}
        with undo.step(alice.id, person_id=eve.id, with_votes=False) as step:
            people.change(alice.id, eve.id, {"is_trusted": True})
        [stored] = models.UndoStep.select()
        assert len(str(stored.rows)) < 500
        undo.back(alice.id, step.token)
        assert not people.by_id(alice.id, eve.id).is_trusted
        assert before == {movie.imdb_id: movie.updated_at for movie in Movie.select()}
        assert Recommendation.select().count() == 100

    def test_a_change_of_too_many_rows_has_no_undo(self, alice, monkeypatch):
        monkeypatch.setattr(undo, "ROWS_MAX", 5)
        films = [
            film(n, status="custom", custom_list_id="l1", recommendations=[vote("Eve")])
            for n in range(1, 7)
        ]
        put(alice, document(films, lists=[custom_list("l1")]))
        eve = people.find(alice.id, "Eve")
        with undo.step(alice.id, person_id=eve.id) as of_person:
            people.delete(alice.id, eve.id)
        with undo.step(alice.id, list_id="l1") as of_list:
            lists.delete(alice.id, "l1")
        assert (of_person.token, of_list.token) == (None, None)
        assert not models.UndoStep.select().exists()
        assert {movie.status for movie in Movie.select()} == {"toWatch"}

    def test_a_change_of_very_long_notes_has_no_undo(self, alice, monkeypatch):
        monkeypatch.setattr(undo, "ROWS_MAX", 5)
        put(alice, document([film(1, note="x" * 4000), film(2, note="x" * 6000)]))
        with undo.step(alice.id, ["tt0000001"]) as short:
            movies.set_note(alice.id, "tt0000001", None)
        with undo.step(alice.id, ["tt0000002"]) as long:
            movies.set_note(alice.id, "tt0000002", None)
        assert short.token
        assert long.token is None


@pytest.mark.slow
def test_another_writer_is_not_starved_by_a_batch(app, alice, bob):
    """Without the pauses others waited up to 15 s, and then got an error."""
    stop, waits = threading.Event(), []

    def write():
        with db.connection_context():
            while not stop.is_set():
                began = time.perf_counter()
                movies.add(bob.id, FILM)
                waits.append(time.perf_counter() - began)
                time.sleep(0.02)

    moment = clock.now() - 5000
    sent = [
        {"action": "addMovie", "data": {"imdb_id": f"tt{number:07d}"}, "timestamp": moment + number}
        for number in range(300)
    ]
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(answer.success for answer in sync_queue.perform_all(alice.id, sent))
    finally:
        stop.set()
        writer.join()
    assert len(waits) > 3
    assert max(waits) < 5

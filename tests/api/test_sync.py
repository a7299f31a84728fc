"""The change feed over the API: pages, deletions, resets, and that nothing is missed while others
write."""

import contextlib
import json
import random
import threading

import pytest

from mm import clock, models
from mm.database import chunks, db
from mm.errors import ConflictError, NotFoundError
from mm.models import Movie, Tombstone
from mm.services.library import bulk, lists, movies, people, saved_views, undo
from mm.services.sync import feed
from mm.services.sync import queue as sync_queue
from tests.support import libraries
from tests.support.phones import Phone, queue, require_rules, server_library
from tests.support.refusals import location

FILM, OTHER = "tt0111161", "tt0068646"
DAY = 86400


@pytest.fixture
def asked(as_user):
    """asked(alice)(method, path, json) -> the body; anything but a 200 fails."""

    def of(user):
        client = as_user(user)

        def ask(method, path, json=None):
            answer = client.open(path, method=method, json=json)
            assert answer.status_code == 200, answer.text
            return answer.json

        return ask

    return of


@pytest.fixture
def ask(frozen_clock, alice, asked):
    return asked(alice)


def ids(answer):
    return [row["imdb_id"] for row in answer["movies"]]


# What the feed tells.


def test_a_new_client_gets_everything(ask, alice):
    movies.add(alice.id, FILM, recommenders=["Ann"])
    lists.create(alice.id, "Best", list_id="l1")

    answer = ask("GET", "/api/sync?since=0")
    assert ids(answer) == [FILM]
    assert {row["name"] for row in answer["people"]} > {"Ann", "Google Search"}
    assert [row["id"] for row in answer["lists"]] == ["l1"]
    assert answer["movies"] == ask("GET", "/api/movies")
    assert (answer["reset"], answer["has_more"], answer["next_offset"]) == (False, False, None)
    assert answer["timestamp"] == answer["server_timestamp"] == feed.newest(alice.id)


def test_the_next_feed_has_what_changed_since(ask, alice):
    movies.add(alice.id, FILM)
    movies.add(alice.id, OTHER)
    since = ask("GET", "/api/sync")["server_timestamp"]
    assert ids(ask("GET", f"/api/sync?since={since!r}")) == [OTHER]

    movies.watch(alice.id, FILM)
    answer = ask("GET", f"/api/sync?since={since!r}")
    assert ids(answer) == [OTHER, FILM]
    assert answer["movies"][1]["status"] == "watched"


def test_renaming_a_person_sends_their_films_again(ask, alice):
    movies.add(alice.id, FILM, recommenders=["Ann"])
    movies.add(alice.id, OTHER)
    since = ask("GET", "/api/sync")["server_timestamp"] + 1e-6
    people.change(alice.id, people.find(alice.id, "Ann").id, {"name": "Anne"})

    answer = ask("GET", f"/api/sync?since={since!r}")
    assert ids(answer) == [FILM]
    assert answer["movies"][0]["recommendations"][0]["person_name"] == "Anne"


def test_deletions_appear_and_no_id_is_both_alive_and_deleted(ask, alice):
    movies.add(alice.id, FILM, recommenders=["Ann"])
    movies.add(alice.id, OTHER)
    lists.create(alice.id, "Best", list_id="l1")
    ann = people.find(alice.id, "Ann").id
    movies.delete(alice.id, FILM)
    movies.set_status(alice.id, OTHER, "deleted")
    people.delete(alice.id, people.find(alice.id, "Ann").id)
    lists.delete(alice.id, "l1")

    answer = ask("GET", "/api/sync")
    assert (answer["movies"], sorted(answer["deleted_movie_ids"])) == ([], sorted([FILM, OTHER]))
    assert (answer["deleted_people"], answer["deleted_lists"]) == ([ann], ["l1"])

    movies.add(alice.id, FILM)
    movies.add(alice.id, OTHER)
    lists.create(alice.id, "Best", list_id="l1")
    answer = ask("GET", "/api/sync")
    assert (ids(answer), answer["deleted_movie_ids"], answer["deleted_lists"]) == (
        [FILM, OTHER],
        [],
        [],
    )


def test_views_appear_when_they_are_saved_changed_and_removed(ask, alice):
    filters = {"status": "toWatch", "genre": ["Crime", "Drama"]}
    made = saved_views.create(alice.id, "Unseen", filters).id
    answer = ask("GET", "/api/sync")
    assert (answer["views"], answer["deleted_views"]) == (ask("GET", "/api/views"), [])
    assert answer["views"][0]["filters"] == filters
    since = answer["server_timestamp"] + 1e-6

    saved_views.change(alice.id, made, {"name": "Not seen"})
    answer = ask("GET", f"/api/sync?since={since!r}")
    assert [row["name"] for row in answer["views"]] == ["Not seen"]
    assert (answer["movies"], answer["lists"]) == ([], [])
    since = answer["server_timestamp"] + 1e-6

    saved_views.remove(alice.id, made)
    answer = ask("GET", f"/api/sync?since={since!r}")
    assert (answer["views"], answer["deleted_views"]) == ([], [made])


def test_views_of_an_import_appear(ask, alice):
    since = ask("GET", "/api/sync")["server_timestamp"] + 1e-6
    view = libraries.view("Unseen", {"genre": ["Crime", "Drama"]})
    libraries.put(alice, libraries.document(views=[view]))
    answer = ask("GET", f"/api/sync?since={since!r}")
    assert answer["views"] == ask("GET", "/api/views")
    assert answer["views"][0]["filters"] == {"genre": ["Crime", "Drama"]}


def test_a_list_appears_again_whenever_its_films_change(ask, alice):
    """A client reads the list anew then, with the order and the notes of its films."""
    lists.create(alice.id, "Best", list_id="l1")
    for imdb_id in (FILM, OTHER):
        movies.add(alice.id, imdb_id)
    changes = [
        (lambda: movies.add_to_list(alice.id, FILM, "l1"), [FILM]),
        (lambda: movies.add_to_list(alice.id, OTHER, "l1"), [FILM, OTHER]),
        (lambda: movies.add_to_list(alice.id, FILM, "l1", "Note"), [FILM, OTHER]),
        (lambda: lists.reorder_films(alice.id, "l1", [OTHER, FILM]), [OTHER, FILM]),
        (lambda: movies.set_status(alice.id, FILM, "deleted"), [OTHER]),
        (lambda: movies.add(alice.id, FILM), [OTHER, FILM]),
        (lambda: bulk.set_status(alice.id, [FILM], "deleted"), [OTHER]),
        (lambda: bulk.set_status(alice.id, [FILM], "watched"), [OTHER, FILM]),
        (lambda: movies.remove_from_list(alice.id, OTHER, "l1"), [FILM]),
        (lambda: movies.set_status(alice.id, OTHER, "custom", "l1"), [FILM, OTHER]),
        (lambda: bulk.delete(alice.id, [OTHER]), [FILM]),
        (lambda: movies.delete(alice.id, FILM), []),
    ]
    for number, (change, films) in enumerate(changes):
        since = ask("GET", "/api/sync")["server_timestamp"] + 1e-6
        change()
        answer = ask("GET", f"/api/sync?since={since!r}")
        assert [row["id"] for row in answer["lists"]] == ["l1"], number
        shown = ask("GET", "/api/lists/l1")
        assert [row["imdb_id"] for row in shown["films"]] == films, number
        assert shown.items() >= answer["lists"][0].items()


def test_a_list_appears_again_when_an_import_or_an_undo_changes_its_films(ask, alice):
    lists.create(alice.id, "Best", list_id="l1")
    for imdb_id in (FILM, OTHER):
        movies.add(alice.id, imdb_id)
        movies.add_to_list(alice.id, imdb_id, "l1")
    before = json.loads(libraries.export(alice))
    lists.reorder_films(alice.id, "l1", [OTHER, FILM])
    removed = bulk.delete(alice.id, [OTHER])
    deleted = bulk.set_status(alice.id, [FILM], "deleted")
    changes = [
        (lambda: undo.back(alice.id, deleted.undo_token), [FILM]),
        (lambda: undo.back(alice.id, removed.undo_token), [OTHER, FILM]),
        (lambda: libraries.put(alice, before), [FILM, OTHER]),
    ]
    for number, (change, films) in enumerate(changes):
        since = ask("GET", "/api/sync")["server_timestamp"] + 1e-6
        change()
        assert [row["id"] for row in ask("GET", f"/api/sync?since={since!r}")["lists"]] == ["l1"]
        shown = ask("GET", "/api/lists/l1")["films"]
        assert [row["imdb_id"] for row in shown] == films, number


def test_imports_and_look_ups_appear(ask, alice):
    since = ask("GET", "/api/sync")["server_timestamp"]
    libraries.put(alice, libraries.document([libraries.film(1), libraries.film(2)]))
    answer = ask("GET", f"/api/sync?since={since!r}")
    assert ids(answer) == ["tt0000001", "tt0000002"]
    assert answer["movies"][0]["last_modified"] == libraries.T

    since = answer["server_timestamp"] + 1e-6
    with db.atomic():
        woken = Movie.title == "tt0000002"
        Movie.update(updated_at=models.next_update(db.obj)).where(woken).execute()
    assert ids(ask("GET", f"/api/sync?since={since!r}")) == ["tt0000002"]


def test_nobody_sees_anothers_library(ask, asked, alice, bob):
    movies.add(alice.id, FILM)
    movies.add(bob.id, OTHER)
    movies.delete(bob.id, OTHER)
    answer = asked(bob)("GET", "/api/sync")
    assert (ids(answer), answer["deleted_movie_ids"]) == ([], [OTHER])
    assert ask("GET", "/api/sync")["deleted_movie_ids"] == []


def test_when_nothing_changed_the_client_keeps_its_place(ask):
    later = clock.now() + 5
    assert ask("GET", f"/api/sync?since={later!r}")["server_timestamp"] == later


def test_since_may_be_in_milliseconds(ask, alice, frozen_clock):
    movies.add(alice.id, FILM)
    frozen_clock.move(10)
    movies.add(alice.id, OTHER)
    assert ids(ask("GET", f"/api/sync?since={(clock.now() - 5) * 1000!r}")) == [OTHER]


def test_a_client_that_missed_swept_deletions_is_reset(asked, frozen_clock, alice):
    for number in range(1, 5):
        movies.add(alice.id, f"tt000000{number}")
    since = clock.now() - 5
    movies.delete(alice.id, "tt0000004")
    frozen_clock.move(91 * DAY)
    sync_queue.sweep()
    ask = asked(alice)

    first = ask("GET", f"/api/sync/changes?since={since!r}&limit=5")
    assert (first["reset"], first["has_more"]) == (True, True)
    second = ask("GET", f"/api/sync/changes?since={since!r}&limit=5&offset={first['next_offset']}")
    assert (second["reset"], second["has_more"]) == (False, False)
    assert len(ids(first) + ids(second)) == 3
    assert not ask("GET", "/api/sync?since=0")["reset"]

    since = second["server_timestamp"]
    third = ask("GET", f"/api/sync/changes?since={since!r}")
    assert (third["reset"], third["movies"], third["people"]) == (False, [], [])


def test_an_idle_library_is_not_sent_again_at_each_poll(asked, frozen_clock, alice, bob):
    """Not when the deletions of another user were forgotten meanwhile either."""
    libraries.put(alice, libraries.many(20))
    movies.add(bob.id, FILM)
    since = asked(alice)("GET", "/api/sync")["server_timestamp"]
    frozen_clock.move(5)
    movies.delete(bob.id, FILM)
    frozen_clock.move(100 * DAY)
    sync_queue.sweep()
    for _ in range(2):
        answer = asked(alice)("GET", f"/api/sync?since={since!r}")
        assert not answer["reset"]
        assert len(answer["movies"]) == 1
        since = answer["server_timestamp"]


def test_old_deletions_that_were_not_swept_yet_still_appear(asked, frozen_clock, alice):
    movies.add(alice.id, FILM)
    since = asked(alice)("GET", "/api/sync")["server_timestamp"]
    movies.delete(alice.id, FILM)
    frozen_clock.move(100 * DAY)
    answer = asked(alice)("GET", f"/api/sync?since={since!r}")
    assert (answer["reset"], answer["deleted_movie_ids"]) == (False, [FILM])


def test_after_a_reset_the_next_poll_is_nearly_empty(asked, frozen_clock, alice):
    """Though what changed last was a deletion, which is forgotten."""
    libraries.put(alice, libraries.many(20))
    since = asked(alice)("GET", "/api/sync")["server_timestamp"]
    movies.delete(alice.id, "tt0000001")
    frozen_clock.move(100 * DAY)
    sync_queue.sweep()
    ask = asked(alice)
    first = ask("GET", f"/api/sync?since={since!r}")
    assert (first["reset"], len(first["movies"])) == (True, 19)
    second = ask("GET", f"/api/sync?since={first['server_timestamp']!r}")
    assert (second["reset"], second["movies"], second["people"]) == (False, [], [])
    movies.add(alice.id, FILM)
    third = ask("GET", f"/api/sync?since={second['server_timestamp']!r}")
    assert ids(third) == [FILM]


def test_more_people_and_lists_than_one_statement_takes_are_sent(ask, alice, monkeypatch):
    monkeypatch.setattr(chunks, "__defaults__", (2,))
    for number in range(5):
        people.create(alice.id, f"Person {number}")
        lists.create(alice.id, f"List {number}")
    people.change(alice.id, people.find(alice.id, "Person 1").id, {"color": "#112233"})
    answer = ask("GET", "/api/sync")
    assert [row["name"] for row in answer["lists"]] == [f"List {number}" for number in range(5)]
    assert [row["name"] for row in answer["people"]][-3:] == ["Person 3", "Person 4", "Person 1"]


def test_a_client_that_missed_the_deletion_of_a_view_is_reset(asked, frozen_clock, alice):
    made = saved_views.create(alice.id, "Unseen", {}).id
    saved_views.create(alice.id, "Other", {})
    phone = Phone(asked(alice))
    phone.pull()
    assert len(phone.views) == 2
    frozen_clock.move(5)
    saved_views.remove(alice.id, made)
    frozen_clock.move(91 * DAY)
    sync_queue.sweep()
    phone.ask = asked(alice)
    phone.pull(limit=3)
    assert [row["name"] for row in phone.views.values()] == ["Other"]


# Pages.


def test_the_place_in_a_feed_that_an_older_version_gave_stays_valid(ask, alice):
    """Tables are numbered in it, and the last of those it knew was that of deletions."""
    movies.add(alice.id, FILM)
    movies.delete(alice.id, FILM)
    before = feed.newest(alice.id)
    saved_views.create(alice.id, "Unseen", {})
    movies.add(alice.id, OTHER)
    [number] = [n for n, table in enumerate(feed.TABLES) if table is Tombstone]
    answer = ask("GET", f"/api/sync/changes?offset={before!r}_{number}_1")
    assert number == 3
    assert (ids(answer), len(answer["views"]), answer["deleted_movie_ids"]) == ([OTHER], 1, [])


def test_pages_have_each_row_once_in_the_order_of_change(ask, alice):
    libraries.put(alice, libraries.many(23, votes_each=1))
    phone = Phone(ask)
    assert phone.pull(limit=5) > 8
    assert phone.library() == server_library(ask)


def test_paging_misses_nothing_while_rows_change(ask, alice):
    """With numbers of rows as offsets, the row after the changed one would be skipped."""
    libraries.put(alice, libraries.many(12))
    assert not ask("GET", "/api/sync/changes?limit=16")["has_more"]
    first = ask("GET", "/api/sync/changes?limit=10")
    movies.watch(alice.id, ids(first)[0])
    movies.delete(alice.id, ids(first)[1])

    second = ask("GET", f"/api/sync/changes?limit=500&offset={first['next_offset']}")
    assert set(ids(first)) | set(ids(second)) == {f"tt{number:07d}" for number in range(1, 13)}
    assert ids(first)[0] in ids(second)
    assert second["deleted_movie_ids"] == [ids(first)[1]]


@pytest.mark.parametrize(
    "query, path",
    [
        ("/changes?limit=0", "limit"),
        ("/changes?limit=501", "limit"),
        ("/changes?offset=nonsense", "offset"),
        ("/changes?offset=nan_0_0", "offset"),
        ("/changes?offset=1.0_9_1", "offset"),
        ("/changes?since=soon", "since"),
        ("?since=nan", "since"),
        ("?since=1e999", "since"),
    ],
)
def test_invalid_page_parameters_are_refused_by_name(as_user, alice, query, path):
    answer = as_user(alice).get(f"/api/sync{query}")
    assert location(answer) == [path]


def test_a_negative_since_means_everything(ask, alice):
    movies.add(alice.id, FILM)
    assert ids(ask("GET", "/api/sync?since=-5")) == [FILM]


# Actions.


def test_an_action_is_answered_with_its_outcome(ask):
    action = {"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": clock.now() - 9}
    assert ask("POST", "/api/sync", action) == {
        "success": True,
        "last_modified": clock.now() - 9,
        "error": None,
        "conflict": False,
        "server_state": None,
    }

    late = {"action": "markWatched", "data": {"imdb_id": FILM}, "timestamp": clock.now() - 99}
    answer = ask("POST", "/api/sync", late)
    assert (answer["conflict"], answer["error"]) == (
        True,
        "Conflict: server has a newer version of this movie",
    )
    assert answer["server_state"] == ask("GET", f"/api/movies/{FILM}")


@pytest.mark.parametrize(
    "body, loc",
    [
        ({"action": "explode", "data": {}, "timestamp": 1}, ["action"]),
        ({"action": "addMovie", "data": [], "timestamp": 1}, ["data"]),
        ({"action": "addMovie", "data": {}, "timestamp": "1"}, ["timestamp"]),
        ({"action": "addMovie", "data": {}}, []),
        ({"action": "addMovie", "data": {"imdb_id": "x"}, "timestamp": 1}, ["imdb_id"]),
        ({"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": 1e99}, ["timestamp"]),
        ({"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": 1, "id": 7.5}, ["id"]),
        ({"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": 1, "id": 2**64}, ["id"]),
    ],
)
def test_a_malformed_action_is_a_422_that_names_the_field(as_user, alice, body, loc):
    answer = as_user(alice).post("/api/sync", json=body)
    assert location(answer) == loc


def test_a_batch_answers_the_latest_change_of_the_users_own_library(ask, alice):
    answer = ask("POST", "/api/sync/batch", {"actions": [], "client_timestamp": 1})
    assert answer == {"results": [], "server_timestamp": feed.newest(alice.id)}


def test_a_conflict_about_a_person_or_a_list_shows_it(ask, alice):
    people.create(alice.id, "Ann")
    lists.create(alice.id, "Best", list_id="l1")
    late = clock.now() - 99
    answer = ask(
        "POST", "/api/sync", {"action": "deletePerson", "data": {"name": "Ann"}, "timestamp": late}
    )
    [ann] = [row for row in ask("GET", "/api/people") if row["name"] == "Ann"]
    assert (answer["success"], answer["conflict"], answer["server_state"]) == (False, True, ann)
    answer = ask(
        "POST", "/api/sync", {"action": "deleteList", "data": {"id": "l1"}, "timestamp": late}
    )
    assert (answer["success"], answer["conflict"], answer["server_state"]) == (
        False,
        True,
        ask("GET", "/api/lists")[0],
    )


def test_a_queue_of_weeks_with_data_on_each_film_is_accepted(ask):
    actions = [
        {
            "action": "addMovie",
            "timestamp": clock.now() - 99 + number,
            "data": {"imdb_id": FILM, "tmdb_data": {"plot": "x" * 2**19}},
        }
        for number in range(4)
    ]
    answer = ask("POST", "/api/sync/batch", {"actions": actions})
    assert [row["success"] for row in answer["results"]] == [True] * 4


@pytest.mark.parametrize("path", ["/api/sync", "/api/sync/batch"])
def test_a_queue_over_16_mib_is_too_large(as_user, alice, path):
    answer = as_user(alice).post(path, data=b" " * (2**24 + 1), content_type="application/json")
    assert answer.status_code == 413
    assert "16 MiB" in answer.json["detail"]


def test_empty_query_parameters_count_as_left_out(ask, alice):
    movies.add(alice.id, FILM)
    assert ids(ask("GET", "/api/sync?since=")) == [FILM]
    assert ids(ask("GET", "/api/sync/changes?since=&limit=&offset=")) == [FILM]


@pytest.mark.parametrize("count, status", [(1000, 200), (1001, 422)])
def test_a_batch_holds_a_thousand_actions_at_most(as_user, alice, count, status):
    answer = as_user(alice).post("/api/sync/batch", json={"actions": [1] * count})
    assert answer.status_code == status
    if status == 422:
        assert "1,001 actions; send at most 1,000 at once" in answer.text


def test_an_action_may_name_a_hundred_people_at_most(as_user, alice):
    names = [f"Person {number}" for number in range(101)]
    action = {
        "action": "addMovie",
        "data": {"imdb_id": FILM, "recommenders": names},
        "timestamp": clock.now(),
    }
    answer = as_user(alice).post("/api/sync", json=action)
    assert answer.status_code == 422
    assert "names 101 people; the limit is 100 at once" in answer.text
    [answer] = as_user(alice).post("/api/sync/batch", json={"actions": [action]}).json["results"]
    assert answer["error"] == "recommenders: names 101 people; the limit is 100 at once"


# Two phones, offline for a while.


@pytest.mark.slow
def test_two_phones_may_use_the_same_action_ids(ask):
    """One of them was set up again, and starts anew with its numbers."""
    moment = clock.now() - 900
    films = {
        "a": [f"tt{number:07d}" for number in range(1, 21)],
        "b": [f"tt{number:07d}" for number in range(51, 71)],
    }
    queues = {
        name: [
            {
                "id": number,
                "action": "markWatched",
                "data": {"imdb_id": imdb_id, "my_rating": 8},
                "timestamp": moment + number,
            }
            for number, imdb_id in enumerate(films[name], 1)
        ]
        for name in films
    }
    answers = {name: Phone(ask).send(queues[name]) for name in queues}
    assert all(answer["success"] for sent in answers.values() for answer in sent)
    once = server_library(ask)
    assert set(once[0]) == {*films["a"], *films["b"]}
    assert {row["watch_history"]["my_rating"] for row in once[0].values()} == {8}
    assert {name: Phone(ask).send(queues[name]) for name in queues} == answers
    assert server_library(ask) == once


@pytest.mark.slow
def test_two_phones_end_with_the_servers_library_after_replaying_their_queues(ask, frozen_clock):
    """One of them twice; each conflict is reported once for each action."""
    films = [f"tt{number:07d}" for number in range(1, 26)]
    start = clock.now()
    queues = {name: queue(seed, name, start, films) for seed, name in enumerate("ab")}
    frozen_clock.move(DAY)
    phones = {name: Phone(ask) for name in "ab"}

    answers = {name: phones[name].send(queues[name]) for name in "ab"}
    library_once = server_library(ask)
    again = phones["b"].send(queues["b"])
    for phone in phones.values():
        phone.pull()

    # But for the server's state, which a replay shows as it is now.
    for answer in (*again, *answers["b"]):
        answer["server_state"] = None
    assert again == answers["b"]
    assert server_library(ask) == library_once
    assert phones["a"].library() == phones["b"].library() == library_once
    require_rules(library_once)
    assert not any(answer["conflict"] for answer in answers["a"])
    conflicts = [index for index, answer in enumerate(answers["b"]) if answer["conflict"]]
    assert 20 < len(conflicts) < 200
    for index in conflicts:
        data, moment = queues["b"][index]["data"], queues["b"][index]["timestamp"]
        newer = [
            entry["timestamp"] for entry in queues["a"] if subjects(entry["data"]) & subjects(data)
        ]
        newer += [entry["timestamp"] for entry in queues["a"] if entry["action"] == "deleteList"]
        assert max(newer) > moment + 1


def subjects(data):
    """The film, the person and the list that an action names; a vote may make its person."""
    named = {data.get(key) for key in ("imdb_id", "name", "person", "id")}
    return (named | set(data.get("recommenders", ()))) - {None}


# Many writers.


@pytest.mark.slow
def test_the_feed_misses_nothing_while_eight_write_and_an_import_runs(app, alice, asked):
    problems = []
    with db.connection_context():
        libraries.put(alice, libraries.many(200))

    def write(seed):
        rng = random.Random(seed)
        with db.connection_context():
            for step in range(25):
                change_something(rng, alice.id, f"tt{rng.randint(1, 200):07d}", f"p{seed}-{step}")

    def put_many():
        with db.connection_context():
            for start in (1000, 3000):
                put_at_last(alice, libraries.many(1500, votes_each=2, start=start))

    def run(work, *args):
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=run, args=(write, seed)) for seed in range(8)]
    threads.append(threading.Thread(target=run, args=(put_many,)))
    phone = Phone(asked(alice))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        phone.pull(limit=300)
    for thread in threads:
        thread.join()
    phone.pull(limit=300)

    assert problems == []
    assert len(phone.movies) > 3000
    # An import that brings votes does not tell of their people again.
    assert uncounted(phone.library()) == uncounted(server_library(asked(alice)))


def uncounted(whole):
    movies, people, *others = whole
    return movies, {key: {**row, "movie_count": None} for key, row in people.items()}, *others


def put_at_last(user, library):
    """A plan holds only for the library that it was made for, and others write all the time."""
    with contextlib.suppress(ConflictError):
        return libraries.put(user, library)
    return put_at_last(user, library)


def change_something(rng, user_id, imdb_id, name):
    kind = rng.randrange(5)
    if kind == 0:
        movies.add(user_id, imdb_id, recommenders=[name])
    elif kind == 1:
        movies.recommend(user_id, imdb_id, "Somebody")
        movies.watch(user_id, imdb_id, my_rating=rng.randint(1, 10))
    elif kind == 2:
        movies.add(user_id, imdb_id)
        # Another thread may have been faster.
        with contextlib.suppress(NotFoundError):
            movies.delete(user_id, imdb_id)
    elif kind == 3:
        people.delete(user_id, people.create(user_id, name).id)
    else:
        lists.create(user_id, name)

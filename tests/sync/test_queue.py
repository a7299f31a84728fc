"""Queued actions: what each does, which one wins, and replays, which change
nothing."""

import json
import threading
import time

import msgspec
import pytest

from mm import models
from mm.database import db
from mm.errors import InvalidError
from mm.models import CustomList, Movie, Person, Tombstone, UndoStep, User, Watch
from mm.schemas import SyncAction, SyncAnswer
from mm.services.library import lists, movies, people, serializers, undo
from mm.services.sync import feed
from mm.services.sync import queue as sync_queue
from tests.support import libraries

FILM = "tt0111161"
OTHER = "tt0068646"
DAY = 86400


@pytest.fixture(autouse=True)
def _open(frozen_clock, database):
    pass


@pytest.fixture
def at(frozen_clock):
    """at(5): five seconds before now."""
    return lambda seconds=0: frozen_clock() - seconds


@pytest.fixture
def do(alice, at):
    """do("addMovie", imdb_id=FILM): Alice's action of a minute ago, or `ago`
    seconds."""

    def perform(action, ago=60, **data):
        return sync_queue.perform(alice.id, SyncAction(action, data, at(ago)))

    return perform


def film(user, imdb_id=FILM):
    return serializers.movie_view(user.id, imdb_id)


def voters(user, imdb_id=FILM):
    return {vote.person_name: vote.vote_type for vote in film(user, imdb_id).recommendations}


# What each action does.


def test_a_film_is_added_with_one_or_several_recommenders(do, alice):
    assert do("addMovie", imdb_id=f" {FILM.upper()} ", tmdb_id=278, recommender="Ann").success
    assert do("addMovie", imdb_id=OTHER, recommenders=["Bo", "Cy"], status="watched").success

    assert voters(alice) == {"Ann": True}
    assert voters(alice, OTHER) == {"Bo": True, "Cy": True}
    assert (film(alice).status, film(alice, OTHER).status) == ("toWatch", "watched")


def test_the_time_of_an_accepted_action_becomes_last_modified(do, alice, at):
    answer = do("addMovie", ago=500, imdb_id=FILM)
    assert answer.last_modified == film(alice).last_modified == film(alice).date_added == at(500)


def test_a_time_in_milliseconds_is_taken_and_one_in_the_future_is_now(alice, at):
    sync_queue.perform(alice.id, SyncAction("addMovie", {"imdb_id": FILM}, at(10) * 1000))
    assert film(alice).last_modified == pytest.approx(at(10))

    sync_queue.perform(
        alice.id, SyncAction("updateStatus", {"imdb_id": FILM, "status": "watched"}, at(-DAY))
    )
    assert film(alice).last_modified == at()


def test_votes_are_added_changed_and_removed_by_each_spelling_of_the_person(do, alice):
    do("addRecommendation", imdb_id=FILM, person="Ann", vote_type="upvote", media_type="tv")
    do("addRecommendation", imdb_id=FILM, person_name="Bo", vote_type=False)
    ann = people.find(alice.id, "Ann").id
    do("updateRecommendationVote", imdb_id=FILM, person_id=ann, vote_type="downvote")
    assert voters(alice) == {"Ann": False, "Bo": False}
    assert film(alice).media_type == "tv"

    do("removeRecommendation", imdb_id=FILM, person="Bo")
    assert voters(alice) == {"Ann": False}


def test_a_changed_vote_keeps_its_date(do, alice, at):
    do("addRecommendation", imdb_id=FILM, person="Ann", date_recommended=at(9999))
    do("updateRecommendationVote", imdb_id=FILM, person="Ann", vote_type=False)
    [vote] = film(alice).recommendations
    assert (vote.date_recommended, vote.vote_type) == (at(9999), False)


def test_an_unknown_person_id_falls_back_to_the_name_beside_it(do, alice):
    assert do("addRecommendation", imdb_id=FILM, person_id=99999, person_name="Ann").success
    assert voters(alice) == {"Ann": True}
    assert do("addRecommendation", imdb_id=OTHER, person_id=99999).error == "Person not found"


def test_a_person_called_007_is_a_name_and_not_an_id(do, alice):
    do("addRecommendation", imdb_id=FILM, person="007")
    do("updateRecommendationVote", imdb_id=FILM, person="007", vote_type=False)
    assert voters(alice) == {"007": False}


def test_a_missing_vote_cannot_be_changed_but_can_be_removed(do):
    do("addMovie", imdb_id=FILM)
    do("addPerson", name="Ann")
    change = {"imdb_id": FILM, "person": "Ann", "vote_type": False}
    assert do("updateRecommendationVote", **change).error == "Recommendation not found"
    assert do("removeRecommendation", imdb_id=FILM, person="Ann").success
    assert do("removeRecommendation", imdb_id=FILM, person="Nobody").success


@pytest.mark.parametrize("action", ["watchMovie", "markWatched"])
@pytest.mark.parametrize("rating", ["my_rating", "rating"])
def test_a_film_is_watched_and_rated_in_either_spelling(do, alice, at, action, rating):
    do("addMovie", imdb_id=FILM)
    do(action, imdb_id=FILM, date_watched=at(3000), **{rating: 8.5})
    seen = film(alice).watch_history
    assert (seen.date_watched, seen.my_rating, film(alice).status) == (at(3000), 8.5, "watched")


def test_watched_without_a_date_means_at_the_time_of_the_action_and_unrated(do, alice, at):
    do("addMovie", ago=90, imdb_id=FILM)
    do("markWatched", ago=80, imdb_id=FILM)
    assert (film(alice).watch_history.date_watched, film(alice).watch_history.my_rating) == (
        at(80),
        None,
    )


def test_a_new_rating_changes_neither_the_date_nor_the_list(do, alice, at):
    do("addList", id="l1", name="Best")
    do("markWatched", imdb_id=FILM, date_watched=at(3000), my_rating=4)
    do("updateStatus", imdb_id=FILM, status="custom", custom_list_id="l1")
    do("updateRating", imdb_id=FILM, rating=9)

    assert (film(alice).status, film(alice).custom_list_id) == ("custom", "l1")
    assert (film(alice).watch_history.date_watched, film(alice).watch_history.my_rating) == (
        at(3000),
        9,
    )


def test_a_film_never_watched_cannot_be_rated(do):
    do("addMovie", imdb_id=FILM)
    assert do("updateRating", imdb_id=FILM, my_rating=5).error == "Movie is not watched"


def test_a_film_is_moved_between_states_and_lists(do, alice):
    do("addMovie", imdb_id=FILM)
    do("addList", id="l1", name="Best")
    do("updateMovieStatus", imdb_id=FILM, status="custom", custom_list_id="l1")
    assert (film(alice).status, film(alice).custom_list_id) == ("custom", "l1")
    assert (
        do("updateStatus", imdb_id=FILM, status="custom", custom_list_id="none").error
        == "List not found"
    )
    do("updateStatus", imdb_id=FILM, status="deleted")
    assert film(alice).status == "deleted"


def test_people_are_added_changed_renamed_trusted_and_removed(do, alice):
    do("addPerson", name="Ann", is_trusted=True, color="#112233", emoji="🎬")
    do("updatePerson", name="Ann", emoji=None, color="#445566")
    ann = people.find(alice.id, "ann")
    assert (ann.is_trusted, ann.color, ann.emoji) == (True, "#445566", None)

    do("updatePersonTrust", name="Ann", is_trusted=False)
    do("updatePerson", id=ann.id, name="Anne")
    ann = people.by_id(alice.id, ann.id)
    assert (ann.name, ann.is_trusted) == ("Anne", False)

    assert do("deletePerson", id=ann.id).success
    assert do("deletePerson", name="Anne").success
    assert do("updatePerson", name="Anne", color="#000000").error == "Person not found"


def test_a_person_added_by_two_phones_is_one_person(do, alice):
    do("addPerson", ago=60, name="Ann", color="#111111")
    do("addPerson", ago=30, name="ANN", color="#222222")
    do("addPerson", ago=90, name="Ann", color="#333333")
    assert people.find(alice.id, "Ann").color == "#222222"


def test_quick_recommenders_cannot_be_deleted(do):
    assert (
        do("deletePerson", ago=0, name="Google Search").error
        == "Quick recommenders cannot be deleted"
    )


def test_lists_are_added_changed_and_removed(do, alice):
    values = {"color": "#112233", "icon": "star", "position": 3, "description": "For Eve"}
    do("addList", id="l1", name="Best", **values)
    do("addList", id="l1", name="Very best")
    do("updateList", id="l1", color="#445566")
    row = lists.find(alice.id, "l1")
    assert (row.name, row.color, row.icon, row.position) == ("Very best", "#445566", "star", 3)
    assert row.description == "For Eve"
    do("updateList", id="l1", description="")
    assert lists.find(alice.id, "l1").description is None

    do("addList", name="Without an id")
    assert do("deleteList", id="l1").success
    assert do("deleteList", id="l1").success
    assert [row.name for row in CustomList.select().where(CustomList.user == alice)] == [
        "Without an id"
    ]
    assert do("updateList", id="l1", name="x").error == "List not found"


def on_list(user, list_id="l1"):
    return [(film.imdb_id, film.note) for film in lists.details(lists.find(user.id, list_id)).films]


def test_films_are_put_on_lists_in_order_and_taken_off(do, alice):
    for number in (1, 2):
        do("addList", id=f"l{number}", name=f"List {number}")
    do("markWatched", imdb_id=FILM, my_rating=8)
    for imdb_id, named in ((FILM, {"list_id": "l1"}), (OTHER, {"id": "l1"})):
        assert do("addToList", imdb_id=imdb_id, note=f"Note on {imdb_id}", **named).success
    assert do("addToList", imdb_id=FILM, list_id="l2").success
    assert on_list(alice) == [(FILM, f"Note on {FILM}"), (OTHER, f"Note on {OTHER}")]
    assert (film(alice).status, film(alice).list_ids) == ("watched", ["l1", "l2"])
    # A film that was not in the library is now.
    assert film(alice, OTHER).status == "toWatch"

    # Again: in its place, with its note unless another one is given.
    assert do("addToList", imdb_id=FILM, list_id="l1").success
    assert do("addToList", imdb_id=OTHER, list_id="l1", note=None).success
    assert on_list(alice) == [(FILM, f"Note on {FILM}"), (OTHER, None)]

    for named in ({"list_id": "l1"}, {"id": "l1"}):
        order = [OTHER, "tt9999999"] if "id" in named else [FILM, OTHER]
        assert do("reorderList", imdb_ids=order, **named).success
    assert [imdb_id for imdb_id, _ in on_list(alice)] == [OTHER, FILM]

    for ago in (60, 50):
        assert do("removeFromList", ago, imdb_id=OTHER, list_id="l1").success
    assert [imdb_id for imdb_id, _ in on_list(alice)] == [FILM]


def test_a_film_taken_off_the_list_of_its_status_goes_to_its_next_list(do, alice, at):
    for number in (1, 2):
        do("addList", ago=90, id=f"l{number}", name=f"List {number}")
    do("updateStatus", ago=80, imdb_id=FILM, status="custom", custom_list_id="l1")
    do("addToList", ago=70, imdb_id=FILM, list_id="l2")
    do("removeFromList", ago=60, imdb_id=FILM, list_id="l1")
    assert (film(alice).status, film(alice).custom_list_id) == ("custom", "l2")
    do("removeFromList", ago=50, imdb_id=FILM, list_id="l2")
    assert (film(alice).status, film(alice).custom_list_id) == ("toWatch", None)
    assert film(alice).last_modified == at(50)


def test_a_film_has_a_note_and_a_watch_has_another(do, alice, at):
    do("markWatched", ago=90, imdb_id=FILM, my_rating=8, note="With Mum", day_known=False)
    do("updateNote", ago=80, imdb_id=FILM, note=" Ask Eve. ")
    assert (film(alice).note, film(alice).last_modified) == ("Ask Eve.", at(80))
    seen = film(alice).watch_history
    assert (seen.note, seen.day_known, seen.date_watched) == ("With Mum", False, at(90))

    do("markWatched", ago=70, imdb_id=FILM, date_watched=at(3000))
    seen = film(alice).watch_history
    assert (seen.note, seen.day_known, seen.my_rating) == ("With Mum", True, 8)
    do("updateNote", ago=60, imdb_id=FILM, note=None)
    assert film(alice).note is None
    assert do("updateNote", imdb_id=OTHER, note="x").error == "Movie not found"


# Malformed ones.


@pytest.mark.parametrize(
    "action, data, path",
    [
        ("addMovie", {}, "imdb_id"),
        ("addMovie", {"imdb_id": "../../etc"}, "imdb_id"),
        ("addMovie", {"imdb_id": FILM, "recommenders": "Ann"}, "recommenders"),
        ("addMovie", {"imdb_id": FILM, "recommenders": ["Ann", 7]}, "recommenders[1]"),
        ("addMovie", {"imdb_id": FILM, "recommender": 7}, "recommender"),
        ("updateRecommendationVote", {"imdb_id": FILM, "person": "Ann"}, "vote_type"),
        ("addRecommendation", {"imdb_id": FILM}, "person_name"),
        (
            "addRecommendation",
            {"imdb_id": FILM, "person": "Ann", "vote_type": "sideways"},
            "vote_type",
        ),
        ("markWatched", {"imdb_id": FILM, "my_rating": 11}, "my_rating"),
        ("markWatched", {"imdb_id": FILM, "my_rating": "8"}, "my_rating"),
        ("markWatched", {"imdb_id": FILM, "date_watched": "soon"}, "date_watched"),
        ("updateRating", {"imdb_id": FILM}, "my_rating"),
        ("updateStatus", {"imdb_id": FILM, "status": "seen"}, "status"),
        ("updateStatus", {"imdb_id": FILM, "status": "custom"}, "custom_list_id"),
        ("addPerson", {"name": ".."}, "name"),
        ("addPerson", {"name": "Ann", "color": "<b>"}, "color"),
        ("updatePersonTrust", {"name": "Google Search"}, "is_trusted"),
        ("updateList", {"name": "x"}, "id"),
        ("addList", {"name": "x", "id": "a/b"}, "id"),
        ("addList", {"name": "x", "description": 7}, "description"),
        ("addToList", {"imdb_id": FILM}, "list_id"),
        ("addToList", {"list_id": "l1"}, "imdb_id"),
        ("addToList", {"imdb_id": FILM, "list_id": 7}, "list_id"),
        ("removeFromList", {"imdb_id": FILM}, "list_id"),
        ("reorderList", {"id": "l1"}, "imdb_ids"),
        ("reorderList", {"id": "l1", "imdb_ids": FILM}, "imdb_ids"),
        ("reorderList", {"id": "l1", "imdb_ids": [FILM, 7]}, "imdb_id"),
        ("updateNote", {"imdb_id": FILM}, "note"),
        ("markWatched", {"imdb_id": FILM, "note": "x" * 10_001}, "note"),
        ("markWatched", {"imdb_id": FILM, "day_known": "no"}, "day_known"),
    ],
)
def test_a_malformed_action_is_refused_with_its_field_and_does_nothing(
    do, alice, action, data, path
):
    with pytest.raises(InvalidError) as caught:
        do(action, ago=0, **data)
    assert [problem.path for problem in caught.value.errors] == [path]
    assert not Movie.select().exists()
    assert not models.SyncAction.select().exists()


@pytest.mark.parametrize("timestamp", [-9e12, 9e99])
def test_an_invalid_timestamp_is_refused(alice, timestamp):
    with pytest.raises(InvalidError):
        sync_queue.perform(alice.id, SyncAction("addPerson", {"name": "Ann"}, timestamp))


def test_a_malformed_action_does_not_stop_the_rest_of_the_batch(alice, at):
    sent = [
        {"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": at(9)},
        {"action": "explode", "data": {}, "timestamp": at(8)},
        {"action": "addMovie", "data": {"imdb_id": "nonsense"}, "timestamp": at(7)},
        "not an action",
        {"action": "updateRating", "data": {"imdb_id": FILM, "my_rating": 3}, "timestamp": at(6)},
        {"action": "markWatched", "data": {"imdb_id": FILM}, "timestamp": at(5)},
    ]
    answers = sync_queue.perform_all(alice.id, sent)
    assert [answer.success for answer in answers] == [True, False, False, False, False, True]
    assert "explode" in answers[1].error
    assert "imdb_id" in answers[2].error
    assert film(alice).status == "watched"


# Which one wins.


def test_an_action_older_than_the_film_is_a_conflict_with_the_films_state(do, alice, at):
    do("addMovie", ago=60, imdb_id=FILM)
    do("markWatched", ago=30, imdb_id=FILM, my_rating=9)

    answer = do("markWatched", ago=40, imdb_id=FILM, my_rating=2)
    assert (answer.success, answer.conflict) == (False, True)
    assert answer.error == "Conflict: server has a newer version of this movie"
    assert answer.last_modified == at(30)
    assert answer.server_state.watch_history.my_rating == film(alice).watch_history.my_rating == 9


def test_a_difference_of_a_second_is_no_conflict(do):
    do("addMovie", ago=30, imdb_id=FILM)
    assert do("markWatched", ago=31, imdb_id=FILM).success
    assert do("updateStatus", ago=32.5, imdb_id=FILM, status="toWatch").conflict


def test_a_queue_never_conflicts_with_itself(do):
    do("addList", ago=1000, id="l1", name="Best")
    steps = [
        ("addMovie", {}),
        ("addRecommendation", {"person": "Ann"}),
        ("markWatched", {"my_rating": 7}),
        ("updateRating", {"my_rating": 8}),
        ("updateStatus", {"status": "custom", "custom_list_id": "l1"}),
        ("removeRecommendation", {"person": "Ann"}),
        ("updateStatus", {"status": "deleted"}),
    ]
    for number, (action, data) in enumerate(steps):
        assert do(action, ago=900 - number, imdb_id=FILM, **data).success


def test_an_action_older_than_the_deletion_is_a_conflict_and_a_newer_one_brings_the_film_back(
    do, alice
):
    do("addMovie", ago=90, imdb_id=FILM)
    movies.delete(alice.id, FILM, at=None)

    answer = do("markWatched", ago=50, imdb_id=FILM)
    assert (answer.conflict, answer.server_state) == (True, None)
    assert not Movie.select().exists()

    assert do("addMovie", ago=0, imdb_id=FILM, recommender="Ann").success
    assert not Tombstone.select().where(Tombstone.kind == "movie").exists()
    assert voters(alice) == {"Ann": True}


def test_a_film_used_after_another_phone_deleted_it_comes_back(do, alice, at):
    do("addMovie", ago=90, imdb_id=FILM)
    movies.delete(alice.id, FILM, at=at(60))
    assert do("markWatched", ago=30, imdb_id=FILM, my_rating=6).success
    assert film(alice).watch_history.my_rating == 6


def test_an_action_older_than_the_import_that_wrote_the_film_is_a_conflict(do, alice, frozen_clock):
    old = libraries.document([libraries.film(111161, last_modified=libraries.T)])
    libraries.put(alice, old)
    assert film(alice).last_modified == libraries.T

    answer = do("markWatched", ago=30, imdb_id=FILM)
    assert answer.conflict
    frozen_clock.move(60)
    assert do("markWatched", ago=10, imdb_id=FILM).success


def test_an_import_that_left_the_film_alone_and_enrichment_are_no_conflict(do, alice, frozen_clock):
    do("addMovie", ago=90, imdb_id=FILM)
    libraries.put(alice, libraries.document([libraries.film(111161)]), "skip")
    with db.atomic():
        Movie.update(updated_at=models.next_update(db.obj)).execute()
    assert do("markWatched", ago=30, imdb_id=FILM).success


def test_a_film_imported_with_a_time_in_the_future_can_be_changed_now(do, alice, at, frozen_clock):
    libraries.put(alice, libraries.document([libraries.film(111161, last_modified=at(-DAY / 2))]))
    frozen_clock.move(60)
    assert do("markWatched", ago=0, imdb_id=FILM).success


def test_an_action_older_than_the_undo_that_put_the_film_back_is_a_conflict(do, alice):
    do("addMovie", ago=90, imdb_id=FILM)
    with undo.step(alice.id, [FILM]) as step:
        movies.set_status(alice.id, FILM, "deleted")
    undo.back(alice.id, step.token)
    assert do("markWatched", ago=30, imdb_id=FILM).conflict
    assert do("markWatched", ago=0, imdb_id=FILM).success


def test_an_action_older_than_the_import_that_wrote_the_person_or_list_is_a_conflict(
    do, alice, frozen_clock
):
    libraries.put(
        alice,
        libraries.document(people=[libraries.person("Ann")], lists=[libraries.custom_list("l1")]),
    )
    # Until an import sets the marks itself.
    Person.update(imported_at=frozen_clock()).where(Person.name == "Ann").execute()
    CustomList.update(imported_at=frozen_clock()).execute()
    ann = people.find(alice.id, "Ann")

    for action, data in (
        ("updatePerson", {"id": ann.id, "color": "#333333"}),
        ("addPerson", {"name": "Ann", "color": "#333333"}),
        ("deletePerson", {"name": "Ann"}),
        ("updateList", {"id": "l1", "name": "Old"}),
        ("deleteList", {"id": "l1"}),
    ):
        assert do(action, ago=30, **data).conflict
    frozen_clock.move(60)
    assert do("updatePerson", ago=10, id=ann.id, color="#333333").success
    assert do("updateList", ago=10, id="l1", name="New").success


def test_an_action_older_than_the_undo_that_put_the_person_or_list_back_is_a_conflict(do, alice):
    ann = people.create(alice.id, "Ann", at=1.7e9)
    lists.create(alice.id, "Best", list_id="l1", at=1.7e9)
    with undo.step(alice.id, person_id=ann.id) as person_step:
        people.delete(alice.id, ann.id)
    with undo.step(alice.id, list_id="l1") as list_step:
        lists.delete(alice.id, "l1")
    undo.back(alice.id, person_step.token)
    undo.back(alice.id, list_step.token)
    assert do("updatePerson", ago=30, id=ann.id, color="#333333").conflict
    assert do("updateList", ago=30, id="l1", name="Old").conflict
    assert do("updatePerson", ago=0, id=ann.id, color="#333333").success


def test_being_on_a_list_has_no_time_and_never_conflicts_with_a_change_of_the_film(do, alice, at):
    """Nor with one of the list."""
    for number in (1, 2):
        do("addList", ago=90, id=f"l{number}", name=f"List {number}")
    do("addToList", ago=80, imdb_id=OTHER, list_id="l1")
    do("markWatched", ago=10, imdb_id=FILM, my_rating=9)
    do("updateList", ago=10, id="l1", name="Best")
    late = [
        do("addToList", ago=60, imdb_id=FILM, list_id="l1", note="Late"),
        do("reorderList", ago=50, id="l1", imdb_ids=[FILM, OTHER]),
        do("addToList", ago=40, imdb_id=FILM, list_id="l2"),
        do("removeFromList", ago=30, imdb_id=FILM, list_id="l2"),
    ]
    assert [(answer.success, answer.last_modified) for answer in late] == [
        (True, at(ago)) for ago in (60, 50, 40, 30)
    ]
    assert on_list(alice) == [(FILM, "Late"), (OTHER, None)]
    assert on_list(alice, "l2") == []
    assert film(alice).last_modified == lists.find(alice.id, "l1").last_modified == at(10)


def test_a_note_older_than_the_film_is_a_conflict(do, alice):
    do("markWatched", ago=30, imdb_id=FILM, my_rating=9)
    answer = do("updateNote", ago=60, imdb_id=FILM, note="Late")
    assert (answer.conflict, answer.server_state.note) == (True, None)
    assert do("updateNote", ago=20, imdb_id=FILM, note="In time").success
    assert film(alice).note == "In time"


MEMBERSHIP = [
    ("addToList", {"imdb_id": FILM, "list_id": "l1"}),
    ("removeFromList", {"imdb_id": FILM, "list_id": "l1"}),
    ("reorderList", {"list_id": "l1", "imdb_ids": [FILM]}),
]


@pytest.mark.parametrize("action, data", MEMBERSHIP[:2])
def test_a_change_of_a_list_older_than_the_deletion_of_its_film_is_a_conflict(
    do, alice, at, action, data
):
    do("addList", ago=90, id="l1", name="Best")
    do("addToList", ago=80, imdb_id=FILM, list_id="l1")
    movies.delete(alice.id, FILM, at=at(30))
    answer = do(action, ago=60, **data)
    assert (answer.success, answer.conflict, answer.server_state) == (False, True, None)
    assert answer.error == "Conflict: server has a newer version of this movie"
    assert do(action, ago=60, **data) == answer
    assert not Movie.select().exists()

    assert do(action, ago=10, **data).success
    # Added later than it was deleted, it comes back; taking it off brings nothing back.
    assert on_list(alice) == ([(FILM, None)] if action == "addToList" else [])
    assert Movie.select().exists() == (action == "addToList")


def test_a_film_set_to_deleted_comes_back_only_when_it_is_added_to_a_list_later(do, alice):
    do("addList", ago=90, id="l1", name="Best")
    do("markWatched", ago=90, imdb_id=FILM)
    do("updateStatus", ago=30, imdb_id=FILM, status="deleted")
    answer = do("addToList", ago=60, imdb_id=FILM, list_id="l1")
    assert (answer.conflict, answer.server_state.status) == (True, "deleted")
    assert do("addToList", ago=10, imdb_id=FILM, list_id="l1").success
    assert (film(alice).status, film(alice).list_ids) == ("watched", ["l1"])


@pytest.mark.parametrize("action, data", MEMBERSHIP)
def test_a_change_of_a_list_older_than_its_deletion_is_a_conflict(do, alice, action, data):
    do("addList", ago=90, id="l1", name="Best")
    do("addMovie", ago=90, imdb_id=FILM)
    do("deleteList", ago=30, id="l1")
    answer = do(action, ago=60, **data)
    assert (answer.success, answer.conflict, answer.server_state) == (False, True, None)
    assert answer.error == "Conflict: server has a newer version of this list"
    assert do(action, ago=60, **data) == answer
    # Later than that: there is no such list, and so the film is not on it.
    answer = do(action, ago=10, **data)
    assert answer.error == (None if action == "removeFromList" else "List not found")
    assert not CustomList.select().exists()


def test_an_unknown_list_adds_no_film(do):
    assert do("addToList", imdb_id=FILM, list_id="none").error == "List not found"
    assert not Movie.select().exists()


def test_adding_a_person_before_that_name_was_deleted_does_not_bring_them_back(do, alice, at):
    do("addPerson", ago=90, name="Ann")
    do("deletePerson", ago=30, name="Ann")
    late = do("addPerson", ago=60, name=" ANN ", color="#333333")
    assert (late.success, late.conflict, late.last_modified, late.server_state) == (
        False,
        True,
        at(30),
        None,
    )
    assert do("addPerson", ago=60, name="Anna").success
    assert do("addPerson", ago=10, name="Ann").success
    assert people.find(alice.id, "Ann").last_modified == at(10)


def test_a_person_deleted_in_an_undoable_step_counts_as_deleted_by_name(do, alice):
    bo = people.create(alice.id, "Bo")
    with undo.step(alice.id, person_id=bo.id) as step:
        people.delete(alice.id, bo.id)
    assert step.token
    assert do("addPerson", ago=60, name="Bo").conflict


def test_marking_a_film_as_watched_again_keeps_the_old_watch_and_rating(do, alice):
    do("markWatched", ago=90, imdb_id=FILM, date_watched=1.6e9, my_rating=9)
    do("updateStatus", ago=80, imdb_id=FILM, status="toWatch")
    do("watchMovie", ago=70, imdb_id=FILM, date_watched=1.7e9, my_rating=None)
    assert [(row.date_watched, row.my_rating) for row in Watch.select()] == [
        (1.6e9, 9),
        (1.7e9, None),
    ]
    # Sent again, and rated now that it is watched: still two.
    do("watchMovie", ago=70, imdb_id=FILM, date_watched=1.7e9, my_rating=None)
    do("markWatched", ago=60, imdb_id=FILM, my_rating=7)
    assert [(row.date_watched, row.my_rating) for row in Watch.select()] == [(1.6e9, 9), (1.7e9, 7)]


def test_a_list_deleted_before_a_film_was_changed_does_not_make_the_film_older(do, alice, at):
    do("addList", ago=90, id="l1", name="Best")
    do("addMovie", ago=80, imdb_id=FILM)
    do("updateStatus", ago=30, imdb_id=FILM, status="custom", custom_list_id="l1")
    do("deleteList", ago=60, id="l1")
    assert (film(alice).status, film(alice).last_modified) == ("toWatch", at(30))


@pytest.mark.parametrize(
    "action, data",
    [
        ("addPerson", {"name": "ann", "color": "#333333"}),
        ("updatePerson", {"name": "Ann", "color": "#333333"}),
        ("updatePersonTrust", {"name": "Ann", "is_trusted": False}),
        ("deletePerson", {"name": "Ann"}),
    ],
)
def test_an_action_older_than_the_person_is_a_conflict_with_the_persons_state(
    do, alice, at, action, data
):
    do("addPerson", ago=90, name="Ann")
    do("updatePerson", ago=30, name="Ann", color="#222222", is_trusted=True)

    answer = do(action, ago=40, **data)
    assert (answer.success, answer.conflict) == (False, True)
    assert answer.error == "Conflict: server has a newer version of this person"
    assert answer.last_modified == at(30)
    ann = people.find(alice.id, "Ann")
    state = answer.server_state
    assert (state.id, state.color, state.is_trusted) == (ann.id, "#222222", True)
    assert (ann.color, ann.is_trusted, ann.last_modified) == ("#222222", True, at(30))


@pytest.mark.parametrize("action", ["addList", "updateList", "deleteList"])
def test_an_action_older_than_the_list_is_a_conflict_with_the_lists_state(do, alice, at, action):
    do("addList", ago=90, id="l1", name="Best")
    do("updateList", ago=30, id="l1", name="Very best")

    answer = do(action, ago=40, id="l1", name="Old")
    assert (answer.success, answer.conflict, answer.last_modified) == (False, True, at(30))
    assert answer.error == "Conflict: server has a newer version of this list"
    assert answer.server_state.name == lists.find(alice.id, "l1").name == "Very best"


def test_a_difference_of_a_second_is_no_conflict_for_people_and_lists(do, alice, at):
    do("addPerson", ago=30, name="Ann")
    do("addList", ago=30, id="l1", name="Best")
    answers = [
        do("updatePerson", ago=30.9, name="Ann", color="#222222"),
        do("updateList", ago=30.9, id="l1", name="B"),
    ]
    assert [(answer.success, answer.last_modified) for answer in answers] == [(True, at(30))] * 2
    assert (
        people.find(alice.id, "Ann").last_modified
        == lists.find(alice.id, "l1").last_modified
        == at(30)
    )


def test_films_do_not_drift_back_within_the_tolerance(do, alice, at):
    do("addMovie", ago=30, imdb_id=FILM)
    assert do("updateStatus", ago=30.9, imdb_id=FILM, status="watched").last_modified == at(30)
    assert do("updateStatus", ago=31.8, imdb_id=FILM, status="toWatch").conflict
    assert film(alice).last_modified == at(30)


def test_an_action_older_than_the_deletion_of_its_person_or_list_is_a_conflict(do, alice):
    do("addPerson", ago=90, name="Ann")
    do("addList", ago=90, id="l1", name="Best")
    ann = people.find(alice.id, "Ann").id
    do("deletePerson", ago=30, id=ann)
    do("deleteList", ago=30, id="l1")

    for late in (
        do("updatePerson", ago=60, id=ann, name="Anne"),
        do("addList", ago=60, id="l1", name="Back"),
    ):
        assert (late.success, late.conflict, late.server_state) == (False, True, None)
    # Doing again what is done already is no error, however late.
    assert do("deletePerson", ago=60, id=ann).success
    assert do("deleteList", ago=60, id="l1").success
    assert do("addList", ago=10, id="l1", name="Back").success
    assert lists.find(alice.id, "l1").name == "Back"


@pytest.mark.parametrize("spelled", ["{}", "0{}", "00{}"])
def test_a_name_that_is_a_number_is_never_taken_for_an_id(do, alice, spelled):
    ann = movies.recommend(alice.id, FILM, "Ann").person
    number = spelled.format(ann.id)
    assert do("deletePerson", ago=0, name=number).success
    assert do("updatePerson", ago=0, name=number, color="#333333").error == "Person not found"
    assert do("removeRecommendation", ago=0, imdb_id=FILM, person=number).success
    assert voters(alice) == {"Ann": True}
    assert do("addPerson", ago=0, name=number).success
    assert people.find(alice.id, number).id != ann.id


def test_a_changed_vote_leaves_a_deleted_film_deleted(do, alice):
    do("addMovie", ago=90, imdb_id=FILM, recommender="Ann")
    do("updateStatus", ago=80, imdb_id=FILM, status="deleted")
    assert do(
        "updateRecommendationVote", ago=70, imdb_id=FILM, person="Ann", vote_type=False
    ).success
    assert (film(alice).status, voters(alice)) == ("deleted", {"Ann": False})


def test_a_film_added_again_keeps_a_downvote(do, alice):
    do("addRecommendation", ago=90, imdb_id=FILM, person="Ann", vote_type=False)
    do("addMovie", ago=80, imdb_id=FILM, recommenders=["Ann", "Bo"])
    do("addRecommendation", ago=70, imdb_id=FILM, person="Ann")
    assert voters(alice) == {"Ann": False, "Bo": True}


def test_setting_a_missing_film_to_deleted_succeeds(do, alice):
    do("addMovie", ago=90, imdb_id=FILM)
    movies.delete(alice.id, FILM)
    assert do("updateStatus", ago=0, imdb_id=FILM, status="deleted").success
    assert not Movie.select().exists()
    assert Tombstone.select().where(Tombstone.kind == "movie").exists()


# Sent twice.


def everything(user):
    changes = feed.everything_since(user.id, 0)
    shown = [film for piece in serializers.in_batches(user.id, changes.film_ids) for film in piece]
    films = [lists.details(row).films for row in CustomList.select()]
    return shown, changes.feed.people, changes.feed.lists, changes.feed.deleted_movie_ids, films


def test_an_action_sent_again_is_answered_as_before_and_changes_nothing(do, alice):
    first = do("addMovie", imdb_id=FILM, recommender="Ann")
    movies.unrecommend(alice.id, FILM, people.find(alice.id, "Ann").id)
    version, before = User.get_by_id(alice.id).library_version, everything(alice)

    assert do("addMovie", imdb_id=FILM, recommender="Ann") == first
    assert everything(alice) == before
    assert User.get_by_id(alice.id).library_version == version


def test_changes_of_lists_and_notes_sent_again_change_nothing(do, alice):
    do("addList", ago=99, id="l1", name="Best")
    do("addToList", ago=98, imdb_id=OTHER, list_id="l1")
    sent = [
        ("addToList", {"imdb_id": FILM, "list_id": "l1", "note": "Mine"}),
        ("reorderList", {"id": "l1", "imdb_ids": [FILM, OTHER]}),
        ("updateNote", {"imdb_id": FILM, "note": "Mine"}),
        ("removeFromList", {"imdb_id": OTHER, "list_id": "l1"}),
    ]
    answers = [do(action, ago=90 - n, **data) for n, (action, data) in enumerate(sent)]
    assert all(answer.success for answer in answers)
    do("addToList", ago=50, imdb_id=OTHER, list_id="l1")
    do("reorderList", ago=40, id="l1", imdb_ids=[OTHER, FILM])
    do("updateNote", ago=30, imdb_id=FILM, note=None)
    version, before = User.get_by_id(alice.id).library_version, everything(alice)
    assert [do(action, ago=90 - n, **data) for n, (action, data) in enumerate(sent)] == answers
    assert everything(alice) == before
    assert User.get_by_id(alice.id).library_version == version


def test_the_same_id_with_other_content_is_another_action(alice, at):
    """Two phones may both number their actions from 1."""

    def send(action, id, **data):
        return sync_queue.perform(alice.id, SyncAction(action, data, at(), id=id))

    assert send("addMovie", 1, imdb_id=FILM).success
    assert send("watchMovie", 1, imdb_id=OTHER, my_rating=9).success
    assert send("addPerson", "1", name="Ann").success
    assert film(alice, OTHER).watch_history.my_rating == 9
    assert people.find(alice.id, "Ann")

    assert send("watchMovie", 1, imdb_id=OTHER, my_rating=4).success
    assert film(alice, OTHER).watch_history.my_rating == 4


def test_a_replay_with_an_id_changes_nothing(alice, at):
    action = SyncAction("addList", {"name": "Best"}, at(), id=7)
    first = sync_queue.perform(alice.id, action)
    version = User.get_by_id(alice.id).library_version
    assert sync_queue.perform(alice.id, action) == first
    assert User.get_by_id(alice.id).library_version == version
    assert CustomList.select().where(CustomList.user == alice).count() == 1


def test_a_replay_of_an_action_stored_by_id_alone_makes_no_second_list(alice, at):
    action = SyncAction("addList", {"name": "Best"}, at(5), id=7)
    answer = msgspec.to_builtins(SyncAnswer(True, last_modified=at(5)))
    models.SyncAction.create(user=alice, action_key="id:7", answer=answer, created_at=at())
    assert sync_queue.perform(alice.id, action) == SyncAnswer(True, last_modified=at(5))
    assert not CustomList.select().exists()
    # Another phone's action of that number was done at another time.
    assert sync_queue.perform(
        alice.id, SyncAction("addList", {"name": "Other"}, at(4), id=7)
    ).success
    assert CustomList.get().name == "Other"


def test_an_id_may_be_a_number(do, alice, at):
    sent = {"action": "addList", "data": {"name": "Best"}, "timestamp": at(), "id": 7}
    assert [answer.success for answer in sync_queue.perform_all(alice.id, [sent, sent])] == [
        True,
        True,
    ]
    assert CustomList.select().where(CustomList.user == alice).count() == 1


def test_conflicts_and_failures_are_answered_again_too(do, frozen_clock):
    do("addMovie", ago=0, imdb_id=FILM, recommenders=["Bo", "Cy"])
    conflict, failure = (
        do("markWatched", ago=60, imdb_id=FILM),
        do("updatePerson", ago=60, name="Ann"),
    )
    frozen_clock.move(0)
    do("addPerson", ago=0, name="Ann")

    assert do("markWatched", ago=60, imdb_id=FILM) == conflict
    assert do("updatePerson", ago=60, name="Ann") == failure


def test_a_stored_conflict_is_small_and_is_answered_with_the_present_state(do, alice):
    voters = [f"Person {number}" for number in range(30)]
    do("addMovie", ago=10, imdb_id=FILM, recommenders=voters)
    first = do("markWatched", ago=60, imdb_id=FILM)
    assert first.conflict
    assert len(first.server_state.recommendations) == 30
    sizes = [len(json.dumps(row.answer)) for row in models.SyncAction.select()]
    assert max(sizes) < 200

    do("addRecommendation", ago=0, imdb_id=FILM, person="Zoe")
    again = do("markWatched", ago=60, imdb_id=FILM)
    assert len(again.server_state.recommendations) == 31
    assert (again.conflict, again.error, again.last_modified) == (
        True,
        first.error,
        first.last_modified,
    )


def test_the_same_action_of_two_users_is_done_for_both(do, bob, at):
    do("addMovie", imdb_id=FILM)
    sync_queue.perform(bob.id, SyncAction("addMovie", {"imdb_id": FILM}, at(60)))
    assert Movie.select().count() == 2


def test_an_action_sent_twice_at_once_is_done_once(app, alice, at):
    def send():
        with db.connection_context():
            answers.append(sync_queue.perform(alice.id, action))

    answers = []
    action = SyncAction("addList", {"name": "Best"}, at(5))
    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert CustomList.select().where(CustomList.user == alice).count() == 1


def test_answers_and_deletions_are_forgotten_after_90_days(do, alice, frozen_clock):
    do("addMovie", imdb_id=FILM)
    movies.delete(alice.id, FILM)
    frozen_clock.move(90 * DAY - 1)
    sync_queue.sweep()
    assert models.SyncAction.select().exists()
    assert Tombstone.select().exists()

    frozen_clock.move(2)
    sync_queue.sweep()
    assert not models.SyncAction.select().exists()
    assert not Tombstone.select().exists()


def test_the_sweep_deletes_steps_that_can_no_longer_be_undone(do, alice, frozen_clock):
    do("addMovie", imdb_id=FILM)
    with undo.step(alice.id, [FILM]):
        movies.set_status(alice.id, FILM, "watched")
    frozen_clock.move(599)
    sync_queue.sweep()
    assert UndoStep.select().count() == 1
    frozen_clock.move(2)
    sync_queue.sweep()
    assert not UndoStep.select().exists()


# Many at once.


def test_a_long_batch_pauses_to_let_others_write(alice, at, monkeypatch):
    """Another writer looks every tenth of a second whether the database is free."""
    clock_of_work, rests = [0.0], []

    def work(*_):
        clock_of_work[0] += 0.05
        return SyncAnswer(True)

    monkeypatch.setattr(time, "monotonic", lambda: clock_of_work[0])
    monkeypatch.setattr(time, "sleep", rests.append)
    monkeypatch.setattr(sync_queue, "perform", work)
    sent = [{"action": "addMovie", "data": {"imdb_id": FILM}, "timestamp": at()}] * 100
    assert len(sync_queue.perform_all(alice.id, sent)) == 100
    assert 10 <= len(rests) <= 13
    assert min(rests) > 0.1

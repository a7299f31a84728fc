"""A user's own lists, and where their films go."""

import pytest

from mm import clock
from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.models import CustomList, Tombstone
from mm.services.library import lists, movies
from mm.services.validation import NUMBER_MAX
from tests.support.libraries import HARD_NAMES, exported, reload

FILM, SEEN = "tt0111161", "tt0068646"
pytestmark = pytest.mark.usefixtures("frozen_clock", "database")


@pytest.fixture
def favourites(alice):
    return lists.create(alice.id, "Favourites")


def names(user):
    return [row.name for row in lists.listing(user.id)]


def test_a_new_list_is_the_last_one_unless_a_position_is_given(alice, favourites):
    assert (favourites.color, favourites.icon, favourites.position) == ("#0a84ff", "star", 0)
    lists.create(alice.id, "Second")
    lists.create(alice.id, "First", position=-1)
    assert names(alice) == ["First", "Favourites", "Second"]
    assert reload(alice).library_version == 3


def test_a_list_after_the_largest_position_can_still_be_exported(alice):
    lists.create(alice.id, "Far", position=NUMBER_MAX)
    assert lists.create(alice.id, "Farther").position == NUMBER_MAX


@pytest.mark.parametrize("name", HARD_NAMES)
def test_two_lists_may_have_the_same_name(alice, name):
    assert lists.create(alice.id, name).id != lists.create(alice.id, name).id


@pytest.mark.parametrize(
    "values",
    [
        {"name": " "},
        {"name": "a" * 501},
        {"color": "blue"},
        {"icon": "i" * 501},
        {"position": 2**31},
        {"position": 1.5},
        {"position": True},
        {"list_id": "a/b"},
        {"list_id": ""},
        {"list_id": ".."},
    ],
)
def test_invalid_values_are_refused_and_nothing_is_written(alice, values):
    with pytest.raises(InvalidError):
        lists.create(alice.id, **{"name": "Favourites", **values})
    assert not CustomList.select().exists()


def test_a_client_may_choose_the_id_once(alice, bob):
    lists.create(alice.id, "Offline", list_id="made-on-the-phone")
    lists.create(bob.id, "Offline", list_id="made-on-the-phone")
    with pytest.raises(ConflictError, match="List already exists"):
        lists.create(alice.id, "Again", list_id="made-on-the-phone")
    assert names(alice) == ["Offline"]


def test_only_the_given_fields_change(alice, favourites, frozen_clock):
    frozen_clock.move(60)
    changed = lists.change(
        alice.id, favourites.id, {"name": "Loved", "icon": None, "id": "other", "position": 5}
    )
    assert (changed.id, changed.name, changed.icon, changed.position) == (
        favourites.id,
        "Loved",
        "star",
        5,
    )
    assert (changed.created_at, changed.last_modified) == (clock.now() - 60, clock.now())
    assert changed.updated_at > favourites.updated_at


def test_a_description_is_kept_until_it_is_emptied(alice, favourites):
    described = lists.change(alice.id, favourites.id, {"description": " Seen\r\ntwice "})
    assert described.description == "Seen\ntwice"
    assert lists.change(alice.id, favourites.id, {"name": "Loved"}).description == "Seen\ntwice"
    assert lists.change(alice.id, favourites.id, {"description": " "}).description is None
    assert lists.create(alice.id, "Other", description="New").description == "New"
    with pytest.raises(InvalidError, match="description: longer than 10,000 characters"):
        lists.create(alice.id, "Long", description="x" * 10_001)


def test_the_films_of_a_deleted_list_go_back_to_watched_or_to_watch(alice, favourites):
    movies.add(alice.id, FILM)
    movies.add(alice.id, SEEN)
    movies.watch(alice.id, SEEN)
    for imdb_id in (FILM, SEEN):
        movies.set_status(alice.id, imdb_id, "custom", favourites.id)
    before = movies.find(alice.id, FILM)
    lists.delete(alice.id, favourites.id)

    statuses = {
        imdb_id: (row["status"], row["custom_list_id"])
        for imdb_id, row in exported(alice)["movies"].items()
    }
    assert statuses == {FILM: ("toWatch", None), SEEN: ("watched", None)}
    assert movies.find(alice.id, FILM).updated_at > before.updated_at
    assert [(row.kind, row.key) for row in Tombstone.select()] == [("list", favourites.id)]


def test_a_list_created_again_with_its_id_has_no_tombstone(alice, favourites):
    lists.delete(alice.id, favourites.id)
    lists.create(alice.id, "Favourites", list_id=favourites.id)
    assert not Tombstone.select().exists()


@pytest.mark.parametrize("list_id", ["nothing", "", "\0", "a/b", "x" * 600])
def test_an_unknown_id_is_not_found(alice, list_id):
    with pytest.raises(NotFoundError, match="List not found"):
        lists.find(alice.id, list_id)


@pytest.mark.parametrize(
    "verb", [lists.find, lists.delete, lambda user_id, key: lists.change(user_id, key, {})]
)
def test_another_users_list_is_not_found(bob, favourites, verb):
    with pytest.raises(NotFoundError, match="List not found"):
        verb(bob.id, favourites.id)


def test_another_users_films_stay_when_a_list_of_the_same_id_goes(alice, bob):
    for user in (alice, bob):
        lists.create(user.id, "Same", list_id="same")
        movies.add(user.id, FILM, status="custom", custom_list_id="same")
    lists.delete(alice.id, "same")
    assert exported(bob)["movies"][FILM]["custom_list_id"] == "same"

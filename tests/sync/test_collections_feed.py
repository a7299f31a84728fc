"""A phone that only reads the feed has the server's library after an import of a collection and
after its undo; and what it did before the import does not take the import back."""

import pytest
from hypothesis import HealthCheck, given, settings

from mm import clock
from mm.errors import ConflictError
from mm.models import Person, Title, Tombstone, User
from mm.services.backup import undoing
from mm.services.collections import importing
from mm.services.library import bulk, lists, people, shares, undo
from tests.collections.test_at_random import imports, received
from tests.support.any_library import documents
from tests.support.libraries import (
    custom_list,
    document,
    export,
    film,
    fresh_account,
    listed,
    person,
    put,
    reload,
    view,
    vote,
)
from tests.support.phones import Phone, require_rules, server_library


def take(user, kind, *items, bulk="overwrite"):
    return importing.at_once(reload(user), received(kind, list(items)), None, bulk)


def followed(phone):
    """After a pull the phone's library is the one of the server, and of a phone that begins."""
    phone.pull(limit=5)
    assert phone.library() == server_library(phone.ask)
    require_rules(phone.library())
    anew = Phone(phone.ask)
    anew.pull()
    assert anew.library() == phone.library()


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(library=documents(), file=imports())
def test_a_phone_follows_any_import_and_its_undo(asked, library, file):
    kind, incoming, chosen, all_others = file
    User.delete().execute()
    Title.delete().execute()
    user = fresh_account("one")
    put(user, library)
    before, version = export(user), reload(user).library_version
    phone = Phone(asked(user))
    phone.pull()
    result = importing.at_once(reload(user), incoming, chosen, all_others)
    followed(phone)
    if kind == "settings" or not result.imported_items:
        assert (export(user), reload(user).library_version) == (before, version)
    elif result.safety_backup:
        assert reload(user).library_version == version + 1
        undoing.at_once(reload(user), result.safety_backup)
        assert export(user) == before
        followed(phone)


@pytest.fixture
def phone(alice, asked):
    """Of alice, who has a film that Ann recommended, another that is deleted and a third that was
    removed; lists that hold them, and a view of both."""
    films = [film(1, recommendations=[vote("Ann")]), film(2, status="deleted"), film(3)]
    films.append(film(4, status="custom", custom_list_id="list-1"))
    mine = [custom_list(films=listed(1, 4, 2)), custom_list("list-2", "Others", films=listed(2))]
    views = [view("Ours", {"person": "Ann", "list": "list-1"})]
    put(alice, document(films, [person("Ann")], mine, views=views))
    bulk.delete(alice.id, ["tt0000003"])
    phone = Phone(asked(alice))
    phone.pull()
    return phone


def test_who_is_overwritten_is_sent_again_with_the_films_that_show_them(alice, phone):
    [ann] = [row["id"] for row in phone.people.values() if row["name"] == "Ann"]
    take(alice, "people", {"name": "ANN", "color": "#123456", "emoji": "🦊"})
    followed(phone)
    assert phone.people[ann]["name"] == "ANN"
    assert "ANN" in str(phone.movies["tt0000001"])


def test_a_film_that_was_removed_or_deleted_is_on_the_phone_again(alice, phone):
    assert set(phone.movies) == {"tt0000001", "tt0000004"}
    films = [{"imdb_id": f"tt000000{number}"} for number in (2, 3)]
    take(alice, "lists", {"name": "New", "films": films})
    gone = (Tombstone.user == alice) & (Tombstone.key == "tt0000003")
    assert not Tombstone.select().where(gone).exists()
    followed(phone)
    assert set(phone.movies) == {f"tt000000{number}" for number in (1, 2, 3, 4)}
    # It is on the lists again that it was hidden on.
    assert "tt0000002" in str(phone.listed["list-1"])
    assert "tt0000002" in str(phone.listed["list-2"])


def test_a_film_whose_only_list_is_overwritten_is_to_watch_on_the_phone_too(alice, phone):
    assert phone.movies["tt0000004"]["status"] == "custom"
    take(alice, "lists", {"name": "Favourites", "films": [{"imdb_id": "tt0000001"}]})
    followed(phone)
    assert phone.movies["tt0000004"]["status"] == "toWatch"


@pytest.mark.parametrize(
    "kind, item, action",
    [
        (
            "people",
            {"name": "Ann", "is_trusted": True},
            ("updatePersonTrust", {"name": "Ann", "is_trusted": False}),
        ),
        (
            "lists",
            {"name": "Favourites", "color": "#123456", "films": []},
            ("updateList", {"id": "list-1", "name": "Mine"}),
        ),
        (
            "lists",
            {"name": "Favourites", "films": []},
            ("updateStatus", {"imdb_id": "tt0000004", "status": "deleted"}),
        ),
        (
            "lists",
            {"name": "New", "films": [{"imdb_id": "tt0000002"}]},
            ("addRecommendation", {"imdb_id": "tt0000002", "person": "Ann"}),
        ),
    ],
)
def test_what_a_phone_did_before_an_import_does_not_take_it_back(
    alice, phone, frozen_clock, kind, item, action
):
    frozen_clock.move(60)
    before = clock.now()
    frozen_clock.move(60)
    take(alice, kind, item)
    after = export(alice)
    name, data = action
    [answer] = phone.send([{"action": name, "data": data, "timestamp": before}])
    assert answer["conflict"]
    assert export(alice) == after


def test_a_shared_link_outlives_an_overwrite_and_its_undo(alice, phone):
    token = shares.share(alice.id, "list-1").token
    result = take(alice, "lists", {"name": "Favourites", "films": [{"imdb_id": "tt0000009"}]})
    assert [row.imdb_id for row in shares.films(shares.find(token))] == ["tt0000009"]
    undoing.at_once(reload(alice), result.safety_backup)
    shown = shares.films(shares.find(token))
    assert [row.imdb_id for row in shown] == ["tt0000001", "tt0000004"]


@pytest.mark.parametrize("kind", ["people", "lists", "films"])
def test_the_undo_of_a_single_step_after_an_import_is_refused_or_right(alice, phone, kind):
    """Of what the import wrote it is refused; beside it, it is what it was."""
    ann = Person.get(Person.user == alice.id, Person.name == "Ann")
    if kind == "films":
        token = bulk.delete(alice.id, ["tt0000001"]).undo_token
        item = {"name": "New", "films": [{"imdb_id": "tt0000001"}]}
        take(alice, "lists", item)
    elif kind == "people":
        with undo.step(alice.id, person_id=ann.id) as step:
            people.delete(alice.id, ann.id)
        token = step.token
        take(alice, "people", {"name": "ann"})
    else:
        with undo.step(alice.id, list_id="list-1") as step:
            lists.change(alice.id, "list-1", {"color": "#654321"})
        token = step.token
        take(alice, "lists", {"name": "Favourites", "color": "#123456", "films": []})
    before = export(alice)
    with pytest.raises(ConflictError):
        undo.back(alice.id, token)
    assert export(alice) == before
    followed(phone)

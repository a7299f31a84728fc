"""A phone that only reads the feed has the server's library after a replace and its undo."""

import pytest
from hypothesis import HealthCheck, given, settings

from mm.models import CustomList, Movie, Person, Title, Tombstone, User
from mm.services import portable
from tests.support.any_library import documents
from tests.support.libraries import (
    as_bytes,
    custom_list,
    document,
    export,
    film,
    fresh_account,
    hard_document,
    listed,
    person,
    put,
    seen,
    view,
    vote,
)
from tests.support.phones import Phone, require_rules, server_library


def replace(user, data):
    portable.apply(portable.plan(user.id, portable.read(data, trusted=True), mode="replace"))


@pytest.mark.slow
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(library=documents(), file=documents())
def test_a_phone_follows_a_replace_and_its_undo(asked, library, file):
    User.delete().execute()
    Title.delete().execute()
    other = fresh_account("other")
    put(other, file)
    user = fresh_account("one")
    put(user, library)
    before = export(user)
    ask = asked(user)
    often, seldom = Phone(ask), Phone(ask)
    often.pull()
    seldom.pull()
    for data in (export(other), before):
        replace(user, data)
        often.pull(limit=5)
        assert often.library() == server_library(ask)
        require_rules(often.library())
    seldom.pull()
    assert seldom.library() == server_library(ask)
    assert often.pull() == 1


def test_each_film_person_list_and_view_that_goes_leaves_a_tombstone(alice, asked):
    put(alice, hard_document())
    phone = Phone(asked(alice))
    phone.pull()
    gone = Tombstone.select().where(Tombstone.user == alice)
    ids = {
        "movie": {row["imdb_id"] for row in phone.movies.values()} | {"tt0000006"},
        "person": {str(row["id"]) for row in phone.people.values() if not row["quick_key"]},
        "list": set(phone.lists),
        "view": set(phone.views),
    }
    replace(alice, as_bytes(document(views=[])))
    assert {kind: {row.key for row in gone.where(Tombstone.kind == kind)} for kind in ids} == ids
    folded = gone.where((Tombstone.kind == "person") & (Tombstone.name_key == "straße".casefold()))
    assert folded.count() == 1
    phone.pull()
    assert phone.library() == server_library(phone.ask)


def test_what_comes_back_has_no_tombstone_any_longer(alice):
    put(alice, hard_document())
    before = export(alice)
    replace(alice, as_bytes(document(views=[])))
    replace(alice, before)
    left = Tombstone.select(Tombstone.kind).where(Tombstone.user == alice)
    # People and views come back with other ids.
    assert {row.kind for row in left} == {"person", "view"}
    assert export(alice) == before


def test_the_people_and_lists_of_a_film_that_goes_are_sent_again(alice, asked):
    lists_ = [custom_list(films=listed(1, 2))]
    rows = [film(1, recommendations=[vote("Ann")]), seen(2, recommendations=[vote("Ann")])]
    library = document(rows, [person("Ann")], lists_, views=[view(filters={"list": "list-1"})])
    put(alice, library)
    phone = Phone(asked(alice))
    phone.pull()
    library["movies"].pop()
    library["lists"][0]["films"].pop()
    replace(alice, as_bytes(library))
    page = phone.ask("GET", f"/api/sync?since={phone.since + 1e-7!r}")
    assert [row["movie_count"] for row in page["people"] if row["name"] == "Ann"] == [1]
    assert [row["id"] for row in page["lists"]] == ["list-1"]
    assert page["deleted_movie_ids"] == ["tt0000002"]
    assert page["movies"] == []
    phone.pull()
    assert phone.library() == server_library(phone.ask)


def test_what_a_replace_writes_is_marked_as_imported(alice):
    put(alice, document([film(1), film(2)], [person("Ann")], [custom_list()]))
    changed = document([film(1, note="New"), film(2)], [person("Ann", color="#123456")])
    marks = {}
    changed["lists"] = [custom_list(name="Other")]
    for row in (
        *Movie.select().where(Movie.user == alice),
        *Person.select().where(Person.user == alice),
        *CustomList.select().where(CustomList.user == alice),
    ):
        marks[type(row), row._pk] = row.imported_at
    replace(alice, as_bytes(changed))
    written = [
        type(row).__name__
        for table in (Movie, Person, CustomList)
        for row in table.select().where(table.user == alice)
        if row.imported_at != marks[table, row._pk]
    ]
    assert written == ["Movie", "Person", "CustomList"]

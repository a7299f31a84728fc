"""What the file's second form brought: notes, hints of titles, the films of lists in their order,
watches whose day nobody knows, and filters of several values."""

import json
from dataclasses import replace

import pytest
from msgspec import UNSET

from mm import config
from mm.errors import UnusableFileError
from mm.models import CustomList, Movie, Person, SavedView, Title
from mm.services import portable
from mm.services.backup import backups
from mm.services.library import lists, movies, people, saved_views
from mm.services.sync import feed
from tests.conftest import put_in_force
from tests.support.libraries import (
    T,
    as_before,
    as_bytes,
    custom_list,
    document,
    export,
    exported,
    film,
    listed,
    person,
    put,
    reload,
    seen,
    view,
    vote,
    watch,
)

pytestmark = pytest.mark.usefixtures("database")

NOON = 1_770_984_000.0  # 2026-02-13 12:00 UTC
HOUR = 3600


def planned(user, library, conflicts="overwrite"):
    return portable.plan(user.id, portable.read(as_bytes(library)), conflicts)


# A file that an older version wrote.


def test_a_file_of_the_version_before_comes_in_as_it_did(alice):
    rows = [
        film(3, status="custom", custom_list_id="list-1", date_added=T - 1),
        film(2, status="custom", custom_list_id="list-1"),
        film(1, status="custom", custom_list_id="list-1"),
        seen(4),
    ]
    plan = put(alice, as_before(document(rows, lists=[custom_list()])))
    assert (plan.errors, plan.warnings) == ([], [])
    library = exported(alice)
    assert library["movies"]["tt0000004"] == seen(4)
    assert library["movies"]["tt0000001"]["custom_list_id"] == "list-1"
    assert library["lists"]["list-1"] == custom_list(films=listed(3, 1, 2))


@pytest.mark.parametrize("conflicts", ["overwrite", "newest", "skip"])
def test_a_file_of_the_version_before_clears_nothing_it_does_not_know(alice, conflicts):
    rows = [
        seen(
            1,
            note="Mine",
            title="One",
            year=1999,
            watch_history=watch(note="Late", day_known=False),
        ),
        film(2, status="custom", custom_list_id="list-1"),
        film(3, status="custom", custom_list_id="list-1"),
    ]
    described = custom_list(description="Old", films=listed(3, 2, 1, tt0000001="Here"))
    put(alice, document(rows, lists=[described]))
    before = export(alice)
    plan = put(alice, as_before(json.loads(before)), conflicts)
    assert plan.is_empty()
    assert export(alice) == before


# Null, and not there.


def test_a_reader_tells_null_from_a_key_that_is_not_there():
    rows = [
        {
            "imdb_id": "tt0000001",
            "note": None,
            "recommendations": None,
            "watches": [],
            "title": None,
        },
        {"imdb_id": "tt0000002", "year": "soon"},
    ]
    file = {
        "movies": rows,
        "lists": [{"id": "a", "name": "A", "films": None}, {"id": "b", "name": "B"}],
    }
    incoming = portable.read(as_bytes(file))
    null, absent = incoming.films
    assert (null.values.note, null.votes, null.watches, null.title) == (None, (), (), None)
    assert (absent.values.note, absent.votes, absent.watches, absent.title) == (
        UNSET,
        None,
        None,
        UNSET,
    )
    # One that cannot be used is none at all.
    assert absent.year is UNSET
    assert [row.films for row in incoming.lists] == [(), None]
    assert incoming.sections == {"movies", "lists"}


# Notes and descriptions.


def test_notes_follow_the_rule_of_their_row_and_null_clears_none(alice):
    put(
        alice,
        document([seen(1, note="Mine", watch_history=watch(note="Watch")), film(2, note="Two")]),
    )
    put(alice, document([seen(1), film(2, note="Theirs", last_modified=T - 1)]), "newest")
    rows = exported(alice)["movies"]
    assert (rows["tt0000001"]["note"], rows["tt0000002"]["note"]) == ("Mine", "Two")
    assert rows["tt0000001"]["watch_history"]["note"] == "Watch"
    plan = put(alice, document([film(2, note="Theirs")]))
    assert plan.films[0].fields == {"note": ["Two", "Theirs"]}
    assert exported(alice)["movies"]["tt0000002"]["note"] == "Theirs"


def test_a_description_follows_the_rule_of_its_list(alice):
    put(alice, document(lists=[custom_list(description="Mine")]))
    put(alice, document(lists=[custom_list(description="Theirs")]), "skip")
    put(alice, document(lists=[custom_list(description="\n ")]))
    assert exported(alice)["lists"]["list-1"]["description"] == "Mine"


LONG = "x" * 10_001
BAD_NOTES = {
    "movies[0].note": document([film(1, note=7), film(2)]),
    "movies[0].watch_history.note": document([seen(1, watch_history=watch(note=LONG)), film(2)]),
    "movies[0].watch_history.day_known": document(
        [seen(1, watch_history=watch(day_known="no")), film(2)]
    ),
    "lists[0].description": document(lists=[custom_list(description=[]), custom_list("b")]),
}


@pytest.mark.parametrize("path, file", BAD_NOTES.items(), ids=BAD_NOTES)
def test_a_row_with_a_note_that_cannot_be_kept_is_kept_out(alice, path, file):
    plan = put(alice, file)
    assert [problem.path for problem in plan.errors] == [path]
    assert len(plan.films) + len(plan.lists) == 1


# Hints.


def hints():
    return {row.imdb_id: (row.hint_title, row.hint_year) for row in Movie.select()}


def test_a_new_film_takes_the_hint_that_can_be_used(alice):
    rows = [
        film(1, title=" Ran ", year="1985"),
        film(2, title="x" * 501, year=1869),
        film(3, title="a\nb", year=1985.5),
        film(4, title=["x"], year=True),
    ]
    plan = put(alice, document(rows))
    assert plan.errors == []
    taken = hints()
    assert taken.pop("tt0000001") == ("Ran", 1985)
    assert set(taken.values()) == {(None, None)}


@pytest.mark.parametrize(
    ("conflicts", "taken"),
    [
        ("overwrite", {"tt0000001": ("New", 2001), "tt0000002": ("New", 2001)}),
        ("newest", {"tt0000001": ("Old", 2000), "tt0000002": ("New", 2001)}),
        ("skip", {"tt0000001": ("Old", 2000), "tt0000002": ("New", 2001)}),
    ],
)
def test_a_film_takes_a_hint_by_the_rule_or_where_it_has_none(alice, conflicts, taken):
    put(alice, document([film(1, title="Old", year=2000), film(2)]))
    version, stamps = reload(alice).library_version, updates()
    plan = put(alice, document([film(n, title="New", year=2001) for n in (1, 2)]), conflicts)
    assert hints() == taken
    # It is no change of the film, but phones learn of it.
    assert {film.outcome for film in plan.films} <= {"same", "kept"}
    assert portable.view(plan).counts["movie"].keys() <= {"same", "kept"}
    assert reload(alice).library_version == version + 1
    assert updates()["tt0000002"] > stamps["tt0000002"]
    assert put(alice, document([film(1, title="Old"), film(2)]), "skip").is_empty()


def updates():
    return {row.imdb_id: row.updated_at for row in Movie.select()}


def test_no_hint_is_taken_for_what_the_server_knows(alice):
    Title.create(imdb_id="tt0000001", title="Known")
    put(alice, document([film(1)]))
    put(alice, document([film(1, title="Theirs", year=1999)]))
    assert hints() == {"tt0000001": (None, 1999)}
    assert exported(alice)["movies"]["tt0000001"]["title"] == "Known"


def test_an_odd_title_of_a_provider_is_left_out_of_an_export(alice):
    Title.create(imdb_id="tt0000001", title="Line\nend", year=1500)
    put(alice, document([film(1)]))
    assert exported(alice)["movies"]["tt0000001"] == film(1)
    assert put(alice, json.loads(export(alice))).is_empty()
    assert backups.create(alice).state == "verified"


def test_a_plan_names_a_film_that_only_the_file_knows_by_its_title(alice):
    changes = portable.view(planned(alice, document([film(1, title="Ran")]))).changes
    assert [change.label for change in changes] == ["Ran"]


# The films of lists.


def films_of(user, list_id="list-1"):
    """[(film's number, the list's note on it), …]"""
    films = exported(user)["lists"][list_id]["films"]
    return [(int(row["imdb_id"][2:]), row["note"]) for row in films]


MERGED = {
    "overwrite": [(4, None), (2, "theirs"), (1, "mine"), (3, "mine")],
    "newest": [(1, "mine"), (2, "theirs"), (3, "mine"), (4, None)],
    "skip": [(1, "mine"), (2, "mine"), (3, "mine"), (4, None)],
}


@pytest.mark.parametrize("conflicts, expected", MERGED.items())
def test_two_orders_of_a_list_are_joined_by_the_rule(alice, conflicts, expected):
    rows = [film(number) for number in range(1, 5)]
    notes = {"tt0000001": "mine", "tt0000002": "mine", "tt0000003": "mine"}
    put(alice, document(rows, lists=[custom_list(films=listed(1, 2, 3, **notes))]))
    theirs = listed(4, 2, 1, tt0000002="theirs")
    newer = custom_list(films=theirs, last_modified=T + 1)
    file = document(rows, lists=[newer])
    put(alice, file, conflicts)
    assert films_of(alice) == expected
    assert put(alice, file, conflicts).is_empty()
    assert put(alice, json.loads(export(alice)), conflicts).is_empty()


def test_a_list_that_is_kept_still_gets_films_that_are_new_to_it(alice):
    put(alice, document([film(1)], lists=[custom_list(films=listed(1, tt0000001="mine"))]))
    theirs = listed(2, 1, tt0000001="theirs", tt0000002="new")
    older = custom_list(films=theirs, last_modified=T - 1)
    plan = put(alice, document([film(2)], lists=[older]), "newest")
    assert films_of(alice) == [(1, "mine"), (2, "new")]
    assert portable.count(plan)["list"] == {"kept": 1}
    assert portable.count(plan)["list_film"] == {"kept": 1, "new": 1}


def test_a_film_that_is_kept_is_still_put_on_a_list(alice):
    put(alice, document([film(1)]))
    plan = put(alice, document([seen(1)], lists=[custom_list(films=listed(1))]), "skip")
    assert exported(alice)["movies"]["tt0000001"]["status"] == "toWatch"
    assert films_of(alice) == [(1, None)]
    assert portable.count(plan)["movie"] == {"kept": 1}


def test_a_film_of_status_custom_that_its_list_does_not_name_comes_last(alice):
    on_it = {"status": "custom", "custom_list_id": "list-1"}
    rows = [film(1, **on_it), film(2, date_added=T - 1, **on_it), film(3), film(4, **on_it)]
    put(alice, document(rows, lists=[custom_list(films=listed(4, 3))]))
    assert films_of(alice) == [(4, None), (3, None), (2, None), (1, None)]


def test_a_film_that_goes_to_another_list_by_a_file_stays_on_its_own(alice):
    put(
        alice,
        document(
            [film(1, status="custom", custom_list_id="list-1")],
            lists=[custom_list(), custom_list("list-2", "B")],
        ),
    )
    plan = put(
        alice,
        document(
            [film(1, status="custom", custom_list_id="list-2")],
            lists=[custom_list("list-2", "B")],
        ),
    )
    assert plan.films[0].fields == {"list_id": ["list-1", "list-2"]}
    assert exported(alice)["movies"]["tt0000001"]["custom_list_id"] == "list-2"
    assert films_of(alice) == films_of(alice, "list-2") == [(1, None)]


def test_a_film_can_be_put_on_a_list_that_only_the_library_has(alice):
    put(alice, document([film(1)], lists=[custom_list(films=listed(1))]))
    put(alice, document([film(2, status="custom", custom_list_id="list-1")]))
    assert films_of(alice) == [(1, None), (2, None)]


def test_a_bad_entry_of_a_list_is_left_out_alone(alice):
    put(alice, document([film(8)]))
    entries = [
        *listed(1, 7, 1, 8),
        {"imdb_id": "x"},
        {"imdb_id": "tt0000002", "note": "x" * 10_001},
        "tt0000002",
    ]
    plan = put(alice, document([film(1), film(2)], lists=[custom_list(films=entries)]))
    assert {problem.path: problem.reason for problem in plan.errors} == {
        "lists[0].films[1]": "tt0000007 is in neither the file nor the library",
        "lists[0].films[2]": "the same film as lists[0].films[0], which is used",
        "lists[0].films[4].imdb_id": "'x' is not an IMDb title ID",
        "lists[0].films[5].note": "longer than 10,000 characters",
        "lists[0].films[6]": "expected an object",
    }
    assert films_of(alice) == [(1, None), (8, None)]
    assert portable.count(plan)["list_film"] == {"new": 2, "rejected": 5}
    rejected = [row for row in portable.view(plan).changes if row.outcome == "rejected"]
    assert {row.kind for row in rejected} == {"list_film"}


def test_a_deleted_film_keeps_its_place(alice):
    rows = [film(1), film(2, status="deleted")]
    put(alice, document(rows, lists=[custom_list(films=listed(2, 1))]))
    assert films_of(alice) == [(2, None), (1, None)]
    assert len(lists.details(lists.find(alice.id, "list-1")).films) == 1


def test_a_new_order_alone_is_a_change_that_phones_learn_of(alice):
    rows = [film(1, title="Ran"), film(2)]
    put(alice, document(rows, lists=[custom_list(films=listed(1, 2))]))
    before, version = CustomList.get(), reload(alice).library_version
    films = updates()
    plan = put(alice, document(rows, lists=[custom_list(films=listed(2, 1))]))
    assert films_of(alice) == [(2, None), (1, None)]
    changes = portable.view(plan).changes
    assert [(row.kind, row.outcome, row.label, row.key, row.fields) for row in changes] == [
        (
            "list_film",
            "changed",
            "tt0000002 · Favourites",
            "list-1/tt0000002",
            {"position": [2, 1]},
        ),
        ("list_film", "changed", "Ran · Favourites", "list-1/tt0000001", {"position": [1, 2]}),
    ]
    after = CustomList.get()
    assert after.updated_at > before.updated_at
    assert (after.last_modified, reload(alice).library_version) == (T, version + 1)
    # No film's own row says where on a list it is.
    assert updates() == films


def test_a_film_that_comes_onto_a_list_wakes_both(alice):
    put(alice, document([film(1), film(2)], lists=[custom_list(films=listed(1))]))
    films, before = updates(), CustomList.get().updated_at
    put(alice, document(lists=[custom_list(films=listed(1, 2))]))
    after = updates()
    assert after["tt0000001"] == films["tt0000001"]
    assert after["tt0000002"] > films["tt0000002"]
    assert CustomList.get().updated_at > before
    assert {row.last_modified for row in Movie.select()} == {T}


def test_places_with_gaps_are_no_difference(alice):
    rows = [film(number) for number in (1, 2, 3)]
    put(alice, document(rows, lists=[custom_list(films=listed(1, 2, 3))]))
    movies.remove_from_list(alice.id, "tt0000002", "list-1")
    assert put(alice, json.loads(export(alice))).is_empty()


@pytest.mark.slow
def test_a_list_of_200_000_films_can_be_read():
    entries = listed(*range(1, 200_001))
    data = b'{"lists": [{"id": "a", "name": "A", "films": %s}]}' % json.dumps(entries).encode()
    [row] = portable.read(data).lists
    assert len(row.films) == 200_000


# Watches.


@pytest.fixture
def in_berlin(monkeypatch):
    put_in_force(monkeypatch, replace(config.current, timezone="Europe/Berlin"))


def watched_at(user):
    row = exported(user)["movies"]["tt0000001"]
    return [each["date_watched"] for each in row.get("watches", [row["watch_history"]])]


def test_a_watch_known_by_its_day_alone_is_the_same_within_twelve_hours(alice):
    put(alice, document([seen(1, date=NOON, rating=5.0)]))
    plan = put(alice, document([seen(1, date=NOON + 9 * HOUR, rating=7.0)]))
    assert exported(alice)["movies"]["tt0000001"]["watch_history"] == watch(NOON, 7.0)
    assert portable.count(plan)["watch"] == {"changed": 1}
    put(alice, document([seen(1, date=NOON + 12 * HOUR + 1)]))
    assert watched_at(alice) == [NOON, NOON + 12 * HOUR + 1]


def test_a_changed_time_zone_doubles_no_watch(alice, in_berlin):
    """The library has noon of the zone before, and the file has only the day."""
    put(alice, document([seen(1, date=NOON)]))
    put(alice, document([seen(1, date="2026-02-13")]))
    assert watched_at(alice) == [NOON]


def test_two_watches_at_known_times_of_a_day_stay_two(alice):
    put(alice, document([seen(1, date=NOON + HOUR)]))
    put(alice, document([seen(1, date=NOON + 5 * HOUR)]))
    assert len(watched_at(alice)) == 2


def test_a_watch_of_the_library_is_joined_once_and_first_by_its_exact_time(alice):
    put(alice, document([seen(1, date=NOON)]))
    both = [watch(NOON - HOUR), watch(NOON), watch(NOON + HOUR)]
    file = document([seen(1, watches=both, watch_history=both[-1])])
    put(alice, file)
    assert watched_at(alice) == [NOON - HOUR, NOON, NOON + HOUR]
    assert put(alice, file).is_empty()


def test_a_watch_on_some_day_is_joined_with_no_other(alice):
    put(alice, document([seen(1, watch_history=watch(NOON, day_known=False))]))
    put(alice, document([seen(1, date=NOON + HOUR)]))
    assert len(watched_at(alice)) == 2


# Filters of several values.


def test_people_and_lists_of_a_filter_are_found_in_another_account(alice, bob):
    filters = {
        "list": ["a", "b"],
        "not_list": "b",
        "not_person": ["Ann", "Ben"],
        "person": "Cleo",
    }
    file = document(
        people=[person(name) for name in ("Ann", "Ben", "Cleo")],
        lists=[custom_list("a", "A"), custom_list("b", "B")],
        views=[view("One", filters)],
    )
    put(bob, document(lists=[custom_list("mine", "A")]))
    for user in (alice, bob):
        put(user, file)
    ids = {row.name: str(row.id) for row in Person.select().where(Person.user == bob.id)}
    assert SavedView.get(SavedView.user == bob.id).filters == {
        "list": ["b", "mine"],
        "not_list": "b",
        "not_person": sorted([ids["Ann"], ids["Ben"]]),
        "person": ids["Cleo"],
    }
    assert json.loads(export(alice))["views"][0]["filters"] == filters
    assert put(bob, json.loads(export(bob))).is_empty()


def test_of_several_values_only_those_that_are_missing_are_dropped(alice):
    filters = {"person": ["Ann", "Nobody"], "not_list": ["none", "nowhere"], "genre": ["A", "B"]}
    plan = put(alice, document(people=[person("Ann")], views=[view("One", filters)]))
    assert json.loads(export(alice))["views"][0]["filters"] == {
        "genre": ["A", "B"],
        "person": "Ann",
    }
    assert sorted(plan.warnings) == [
        f"views[0].filters.{name}: {text!r} was not found; the view was imported without it."
        for name, text in (("not_list", "none"), ("not_list", "nowhere"), ("person", "Nobody"))
    ]


# What services can make of a library, a backup can hold.


def test_a_quick_recommender_without_an_emoji_can_be_backed_up_and_restored(alice, bob):
    youtube = Person.get((Person.user == alice.id) & (Person.quick_key == "youtube"))
    people.change(alice.id, youtube.id, {"emoji": None})
    assert backups.create(reload(alice)).state == "verified"
    put(bob, json.loads(export(alice)))
    assert Person.get((Person.user == bob.id) & (Person.quick_key == "youtube")).emoji is None
    assert portable.plan(alice.id, portable.read(export(alice))).is_empty()


def test_a_view_of_somebody_whose_name_is_longer_in_its_folded_form_can_be_backed_up(alice):
    long = people.create(alice.id, "ß" * 500)
    saved_views.create(alice.id, "Theirs", {"person": str(long.id)})
    assert backups.create(reload(alice)).state == "verified"
    assert portable.plan(alice.id, portable.read(export(alice))).is_empty()


@pytest.mark.parametrize("conflicts", ["newest", "skip"])
def test_an_older_file_does_not_put_a_film_back_on_the_list_it_was_moved_from(alice, conflicts):
    rows = [film(1, status="custom", custom_list_id="list-1")]
    older = as_before(document(rows, lists=[custom_list(), custom_list("list-2", "Then")]))
    put(alice, older)
    movies.set_status(alice.id, "tt0000001", "custom", "list-2")
    assert planned(alice, older, conflicts).is_empty()


def test_two_lists_of_one_name_stay_apart_when_a_file_is_imported_twice(alice):
    first, second = (lists.create(alice.id, "Later", list_id=key).id for key in ("a", "b"))
    other = custom_list("other", "Later", films=listed(1), position=9)
    library = document([film(1)], lists=[other])
    put(alice, library)
    put(alice, library)
    held = {row.id: [entry.imdb_id for entry in row.films] for row in portable.dump(alice.id).lists}
    assert held == {first: ["tt0000001"], second: []}


def test_an_import_that_deletes_a_film_reports_its_lists_and_voters(alice):
    rows = [film(1, recommendations=[vote("Eve")])]
    put(alice, document(rows, lists=[custom_list(films=listed(1))]))
    before = feed.newest(alice.id)
    put(alice, document([film(1, status="deleted")]))
    changes = feed.everything_since(alice.id, before + 1e-7).feed
    assert [row.name for row in changes.people] == ["Eve"]
    assert changes.people[0].movie_count == 0
    assert [row.id for row in changes.lists] == ["list-1"]


def test_a_file_that_would_put_too_many_films_on_lists_is_refused(alice, monkeypatch):
    monkeypatch.setattr("mm.services.validation.LIST_FILMS_MAX", 3)
    rows = [film(number) for number in (1, 2)]
    both = [custom_list("a", "A", films=listed(1, 2)), custom_list("b", "B", films=listed(1, 2))]
    with pytest.raises(UnusableFileError, match="films on lists; the limit is 3"):
        planned(alice, document(rows, lists=both))


def test_a_filter_whose_name_holds_a_nul_is_kept_out(alice):
    library = document([film(1)], views=[view(filters={"q\0": "x"})])
    assert [problem.path for problem in planned(alice, library).errors] == ["views[0].filters"]

"""What holds for any library and any file: a round trip loses nothing, one's own file changes
nothing, and a preview says what then happens."""

import json
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mm import __version__
from mm.database import fold
from mm.models import QUICK_RECOMMENDERS, CustomList, Movie, Person, SavedView, Title, User
from mm.services.collections import envelope, plans
from mm.services.collections.settings import SETTINGS
from tests.portable.test_any_library import assert_sound
from tests.support.any_library import COLUMNS, documents, names, numbers, positions
from tests.support.libraries import export, fresh_account, put, reload

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.slow]
# Those that are in a table of the library, and as items mean the same in any account.
KINDS = ("people", "lists")
# What views name is in the account only where it is their own; settings are in no table.
TABLES = {"people": Person, "lists": CustomList, "views": SavedView}
KEYS = {"people": Person.id, "lists": CustomList.id, "views": SavedView.id}
small = settings(
    max_examples=int(os.environ.get("MM_TEST_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
QUICK_NAMES = {fold(name) for _, name, _, _ in QUICK_RECOMMENDERS}
anything = st.sampled_from([None, 7, True, "x", "\0", [], {}, -1.5])


def some_of(table, *leave_out):
    """Any values of a row of the table, some of them of the wrong type."""
    columns = {name: values for name, values in COLUMNS[table].items() if name not in leave_out}
    good = st.fixed_dictionaries(columns)
    return good | st.tuples(good, st.sampled_from(list(columns)), anything).map(
        lambda row: row[0] | {row[1]: row[2]}
    )


films = st.fixed_dictionaries(
    {"imdb_id": numbers.map(lambda number: f"tt{number:07d}")},
    optional={
        "title": st.sampled_from(["Alien", "Ä", ""]) | anything,
        "year": st.sampled_from([1979, "1979", 3]) | anything,
        "media_type": st.sampled_from(["movie", "tv"]) | anything,
        "note": st.sampled_from(["Late", " "]) | anything,
    },
)
FILTERS = ["person", "not_person", "list", "not_list", "genre", "q", "sort", "status", "mood"]
named = st.sampled_from(["Ann", "Bob", "Horror", "Gifts", "Drama", "order", "title", "watched", ""])
ITEMS = {
    "people": some_of(Person, "last_modified"),
    "lists": st.tuples(
        some_of(CustomList, "created_at", "last_modified"),
        st.fixed_dictionaries(
            {"films": st.lists(films | anything, max_size=6) | anything},
            optional={"position": positions, "name": names},
        ),
    ).map(lambda parts: parts[0] | parts[1]),
    "views": st.tuples(
        some_of(SavedView, "last_modified", "filters"),
        st.fixed_dictionaries(
            {},
            optional={
                "filters": st.dictionaries(st.sampled_from(FILTERS), named | st.lists(named))
                | anything
            },
        ),
    ).map(lambda parts: parts[0] | parts[1]),
    "settings": st.fixed_dictionaries(
        {"name": st.sampled_from([*SETTINGS, "Dates", "theme"])},
        optional={
            "value": st.sampled_from(
                [
                    *(dict(setting.default) for setting in SETTINGS.values()),
                    {"size": "large", "sort": "title"},
                    {"format": "iso", "language": "de"},
                    {"keep_daily": 3, "keep_weekly": 0, "keep_monthly": 1, "keep_yearly": 2},
                ]
            )
            | anything
        },
    ),
}
resolutions = st.sampled_from(plans.RESOLUTIONS)


@st.composite
def imports(draw):
    """(kind, what was read, resolutions, bulk_resolution)."""
    kind = draw(st.sampled_from(list(plans.KINDS)))
    items = draw(st.lists(ITEMS[kind] | anything, max_size=6))
    texts = [row.get("name") for row in items if isinstance(row, dict)]
    texts = sorted({text for text in texts if isinstance(text, str)})
    chosen = draw(st.dictionaries(st.sampled_from(texts), resolutions)) if texts else {}
    return kind, received(kind, items), chosen, draw(st.none() | resolutions)


def received(kind, items):
    metadata = {"version": "1.0.0", "export_type": kind, "mm_version": __version__}
    return envelope.opened(kind, {"metadata": metadata, "items": items})


@pytest.fixture
def account():
    """Makes accounts; the tables are empty before the first one of each example."""

    def make(name="one"):
        if name == "one":
            User.delete().execute()
            Title.delete().execute()
        return fresh_account(name)

    return make


def file_of(user, kind):
    return envelope.encode(envelope.written(kind, plans.KINDS[kind].export(user.id, None)))


def items_of(data):
    """Without those that every account has under the name: they meet them there."""
    items = json.loads(data)["items"]
    return [row for row in items if fold(row["name"]) not in QUICK_NAMES]


@pytest.mark.parametrize("kind", KINDS)
@small
@given(library=documents())
def test_an_export_of_a_fresh_account_that_took_it_is_the_same(account, kind, library):
    one = account()
    put(one, library)
    before = file_of(one, kind)
    two = account("two")
    result = plans.apply(plans.plan(two.id, envelope.read(kind, before)))
    assert result.error_details == []
    assert items_of(file_of(two, kind)) == items_of(before)
    assert_sound(two)


@pytest.mark.parametrize("kind", plans.KINDS)
@small
@given(library=documents())
def test_ones_own_file_changes_nothing(account, kind, library):
    user = account()
    put(user, library)
    data, before = file_of(user, kind), export(user)
    version = reload(user).library_version
    plans.apply(plans.plan(user.id, envelope.read(kind, data)))
    assert (export(user), reload(user).library_version) == (before, version)
    plan = plans.plan(user.id, envelope.read(kind, data), bulk_resolution="overwrite")
    # Of two lists with one name, a view may have meant the second: its preview says so.
    assume(not any(step.entry.notes for step in plan.steps if kind == "views"))
    assert {repr(step.differences) for step in plan.steps} <= {"[]"}
    plans.apply(plan)
    assert json.loads(file_of(user, kind))["items"] == json.loads(data)["items"]
    assert without_times(export(user)) == without_times(before)
    assert_sound(user)


def without_times(data):
    """Overwriting somebody counts as a change; and what of a view's filters the library never used
    is in no file."""
    library = json.loads(data)
    for row in (*library["people"], *library["lists"], *library["views"]):
        del row["last_modified"]
    for row in library["views"]:
        del row["filters"]
    return library


@small
@given(library=documents(), file=imports())
def test_a_preview_says_what_then_happens(account, library, file):
    kind, received, chosen, bulk = file
    user = account()
    put(user, library)
    before, version = standing(user, kind), reload(user).library_version
    plan = plans.plan(user.id, received, chosen, bulk)
    seen = plans.preview(plan)
    assert plans.digest(plan) == plans.digest(plans.plan(user.id, received, chosen, bulk))
    result = plans.apply(plan)
    after = standing(user, kind)
    counts = Counter(row.outcome for row in seen.items)
    assert seen.total_items == result.total_items == len(received.items)
    assert counts == +Counter(
        imported=result.imported,
        skipped=result.skipped,
        overwritten=result.overwritten,
        renamed=result.renamed,
        error=result.errors,
    )
    assert seen.errors == result.error_details
    if kind == "settings":
        assert_settings(before, after, received, seen)
    else:
        assert after.names == before.names | names_after(seen, result)
    assert_sound(user)
    assert_films(before, after, seen)
    is_written = plans.KINDS[kind].IN_LIBRARY and not plan.is_empty()
    assert reload(user).library_version == version + is_written
    if kind == "lists":
        assert_lists(before, after, received, seen, result)


class standing:
    """What the user has of the kind, and which films."""

    def __init__(self, user, kind):
        self.names = {}
        if table := TABLES.get(kind):
            rows = table.select(KEYS[kind], table.name)
            self.names = dict(rows.where(table.user == user.id).tuples())
        self.settings = {name: setting.of(user.id) for name, setting in SETTINGS.items()}
        films = Movie.select(Movie.title, Movie.status).where(Movie.user == user.id)
        self.films = dict(films.tuples())
        self.shown = {}
        if kind == "lists":
            for list_id in self.names:
                [row] = plans.KINDS[kind].export(user.id, [list_id])
                row.position = 0
                self.shown[list_id] = row


def names_after(seen, result):
    """By id, the names that the preview gave to what was taken."""
    taken = [row for row in seen.items if row.outcome in plans.TAKEN]
    assert [row.existing_id for row in taken if row.outcome == "overwritten"] == [
        row.id for row in result.imported_items if row.outcome == "overwritten"
    ]
    pairs = zip(taken, result.imported_items, strict=True)
    return {done.id: row.new_name or row.name for row, done in pairs}


def assert_films(before, after, seen):
    notes = [note for row in seen.items if row.outcome in plans.TAKEN for note in row.notes]
    added = sum(int(note.split()[1]) for note in notes if note.startswith("adds "))
    back = sum(int(note.split()[2]) for note in notes if note.startswith("brings back "))
    assert len(after.films) - len(before.films) == added
    gone = [key for key, status in before.films.items() if status == "deleted"]
    assert sum(after.films[key] != "deleted" for key in gone) == back


def assert_settings(before, after, received, seen):
    """Each that is taken has the file's value, and every other its own."""
    taken = {
        row.name.lower(): SETTINGS[row.name.lower()].read(item["value"])
        for row, item in zip(seen.items, received.items, strict=True)
        if row.outcome in plans.TAKEN
    }
    assert after.settings == before.settings | taken


def assert_lists(before, after, received, seen, result):
    """`differences` are those of the lists, and every film that is not left out is on its list."""
    done = {row.id: row for row in result.imported_items}
    places = [place for place, row in enumerate(seen.items) if row.outcome in plans.TAKEN]
    for place, list_id in zip(places, done, strict=True):
        row, item = seen.items[place], received.items[place]
        left_out = sum(note.startswith("film ") for note in row.notes)
        assert len(after.shown[list_id].films) == len(item["films"]) - left_out
        assert [film.imdb_id for film in after.shown[list_id].films] == ids_of(item["films"])
        if row.outcome == "overwritten":
            same = unnoticed(before.shown[list_id]) == unnoticed(after.shown[list_id])
            assert same == (row.differences == [])
    back = {key for key, status in after.films.items() if before.films.get(key) == "deleted"}
    for list_id in before.shown.keys() - done.keys():
        left = [film for film in after.shown[list_id].films if film.imdb_id not in back]
        assert left == before.shown[list_id].films


def unnoticed(row):
    """The case of a colour, and the titles, are no difference."""
    films = [(film.imdb_id, film.note) for film in row.films]
    return row.name, row.color.lower(), row.icon, row.description, films


def ids_of(rows):
    """Those that can be used: the others hold a note or a type that cannot."""
    good = [
        row["imdb_id"]
        for row in rows
        if isinstance(row, dict)
        and row
        and isinstance(row.get("note"), str | None)
        and isinstance(row.get("media_type"), str | None)
        and "\0" not in (row.get("note") or "") + (row.get("media_type") or "")
    ]
    return list(dict.fromkeys(good))

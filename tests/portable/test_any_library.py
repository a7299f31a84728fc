"""What holds for any library, whatever is in it."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from mm.models import (
    OWNED,
    CustomList,
    ListFilm,
    Movie,
    Person,
    Ranking,
    SavedView,
    Title,
    User,
    owned_names,
)
from mm.schemas import Conflicts, Counts
from mm.services import portable
from mm.services.backup import verification
from tests.support.any_library import COLUMNS, documents
from tests.support.libraries import as_bytes, export, fresh_account, hard_document, put, reload

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.slow]

small = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# What a user may enter in each table.
ENTERED = {table: set(owned_names(table)) for table in OWNED}
ENTERED[Movie] |= {"hint_title", "hint_year"}
ENTERED[ListFilm] = {"note"}


@pytest.fixture
def account():
    """Makes accounts; the tables are empty before the first one of each example."""

    def make(name="one"):
        if name == "one":
            User.delete().execute()
            Title.delete().execute()
        return fresh_account(name)

    return make


def test_the_generator_varies_every_column_that_a_user_owns():
    assert {table: set(columns) for table, columns in COLUMNS.items()} == ENTERED


@pytest.mark.parametrize("table", ENTERED, ids=lambda table: table._meta.table_name)
def test_the_hard_library_varies_every_column_that_a_user_owns(alice, table):
    put(alice, hard_document())
    for name in ENTERED[table] | ({"position"} if table is ListFilm else set()):
        values = {repr(value) for (value,) in table.select(getattr(table, name)).tuples()}
        assert len(values) > 1, name


@small
@given(library=documents())
def test_an_export_comes_back_byte_for_byte_in_a_fresh_account(account, library):
    one = account()
    put(one, library)
    before = export(one)
    two = account("two")
    plan = put(two, json.loads(before))
    assert plan.errors == []
    assert export(two) == before


@small
@given(library=documents())
def test_where_the_titles_are_known_only_title_and_year_differ(account, library):
    one = account()
    put(one, library)
    before = json.loads(export(one))
    Title.update(title="Known", year=1999).where(Title.imdb_id < "tt0000006").execute()
    two = account("two")
    put(two, before)
    after = json.loads(export(two))
    for old, new in zip(before["movies"], after["movies"], strict=True):
        if old["imdb_id"] < "tt0000006":
            assert (new["title"], new["year"]) == ("Known", 1999)
            old["title"], old["year"] = new["title"], new["year"]
    assert after == before


@small
@given(library=documents())
def test_importing_ones_own_export_writes_nothing(account, library):
    user = account()
    put(user, library)
    before, version = export(user), reload(user).library_version
    stamps = all_stamps()
    for conflicts in ("overwrite", "newest", "skip"):
        plan = put(user, json.loads(before), conflicts)
        assert plan.is_empty()
        assert plan.errors == []
    assert (export(user), reload(user).library_version) == (before, version)
    assert all_stamps() == stamps


def all_stamps():
    tables = (Movie, Person, CustomList, SavedView)
    return {table: sorted(table.select(table.updated_at).tuples()) for table in tables}


@small
@given(library=documents(), file=documents())
@pytest.mark.parametrize("conflicts", ["overwrite", "newest", "skip"])
def test_any_merge_keeps_a_library_sound(account, library, file, conflicts: Conflicts):
    user = account()
    put(user, library)
    before = memberships(user)
    incoming = portable.read(as_bytes(file))
    portable.apply(portable.plan(user.id, incoming, conflicts))
    assert_sound(user)
    assert before <= memberships(user)
    if conflicts == "overwrite":
        again = portable.plan(user.id, incoming)
        assert again.is_empty(), portable.view(again).changes


def memberships(user):
    rows = ListFilm.select(ListFilm.custom_list, ListFilm.movie).join(Movie)
    return set(rows.where(Movie.user == user.id).tuples())


def assert_sound(user):
    on_lists = memberships(user)
    for movie in Movie.select().where(Movie.user == user.id):
        assert (movie.status == "custom") == (movie.custom_list_pk is not None)
        assert movie.custom_list_pk is None or (movie.custom_list_pk, movie.id) in on_lists
    ranked = Movie.select(Movie.status).join(Ranking).where(Movie.user == user.id)
    assert {status for (status,) in ranked.tuples()} <= {"watched"}
    data = export(user)
    library = json.loads(data)
    counts = Counts(*(len(library[name]) for name in ("movies", "people", "lists")))
    assert verification.problem_of(data, counts, trusted=True, exact=True) is None

"""Lists from one household in another: with their films in order and the list's own notes, met by
their names."""

import msgspec
import pytest
from playhouse.test_utils import count_queries

from mm.errors import InvalidError, NotFoundError
from mm.models import CustomList, ListFilm, Movie, Title, Tombstone
from mm.services import validation
from mm.services.backup import undoing
from mm.services.collections import envelope, importing, plans
from mm.services.collections import lists as kind
from mm.services.library import lists, movies
from mm.services.sync import feed
from tests.support import catalogue
from tests.support.libraries import (
    custom_list,
    document,
    export,
    film,
    hint,
    listed,
    put,
    reload,
    seen,
)

ONE, TWO, THREE, FOUR = FILMS = [f"tt{number:07}" for number in (1, 2, 3, 4)]
pytestmark = pytest.mark.usefixtures("frozen_clock", "database")


def item(name="Horror", *films, **values):
    """An item of a file; a film is its id, or an object."""
    entries = [{"imdb_id": each} if isinstance(each, str) else each for each in films]
    return {"name": name, "color": "#111111", "icon": "star", "films": entries, **values}


def file_of(*items):
    metadata = {
        "version": "1.0.0",
        "mm_version": envelope.__version__,
        "export_type": "lists",
        "item_count": len(items),
    }
    return {"metadata": metadata, "items": list(items)}


def opened(*items):
    return envelope.opened("lists", file_of(*items))


def preview(user, *items, bulk=None):
    return plans.preview(plans.plan(user.id, opened(*items), bulk_resolution=bulk))


def taken(user, *items, bulk=None):
    return importing.at_once(user, opened(*items), bulk_resolution=bulk)


def shown(user, name="Horror"):
    """What my first list of this name shows: its films in order, with its notes."""
    row = next(row for row in lists.listing(user.id) if row.name == name)
    return [(each.imdb_id, each.note) for each in lists.details(lists.find(user.id, row.id)).films]


def statuses(user):
    rows = Movie.select(Movie.title, Movie.status).where(Movie.user == user.id)
    return dict(rows.tuples())


@pytest.fixture
def home(alice):
    """A list of three films, the second watched and the third with the list as its status."""
    films = [film(1), seen(2), film(3, status="custom", custom_list_id="h")]
    horror = custom_list("h", "Horror", films=listed(1, 2, 3, tt0000002="Late"))
    other = custom_list("o", "Other", position=1, films=listed(3))
    put(alice, document(films, lists=[horror, other]))
    return alice


class TestTheFile:
    def test_it_has_the_films_in_order_with_what_is_known_of_them_and_no_nulls(self, home):
        hint(home, ONE, "Alien", 1979)
        file = msgspec.json.decode(
            envelope.encode(envelope.written("lists", kind.export(home.id, ["h"])))
        )
        [horror] = file["items"]
        assert horror == {
            "name": "Horror",
            "color": "#ff0000",
            "icon": "star",
            "position": 0,
            "description": None,
            "films": [
                {"imdb_id": ONE, "title": "Alien", "year": 1979, "media_type": "movie"},
                {"imdb_id": TWO, "media_type": "movie", "note": "Late"},
                {"imdb_id": THREE, "media_type": "movie"},
            ],
        }

    def test_positions_count_from_0_in_the_order_of_my_lists(self, home):
        lists.create(home.id, "Last", position=70)
        last = next(row.id for row in lists.listing(home.id) if row.name == "Last")
        items = kind.export(home.id, [last, "h"])
        assert [(each.position, each.name) for each in items] == [(0, "Horror"), (1, "Last")]

    def test_deleted_films_are_neither_exported_nor_counted(self, home):
        movies.set_status(home.id, TWO, "deleted")
        [horror] = kind.export(home.id, ["h"])
        assert [each.imdb_id for each in horror.films] == [ONE, THREE]
        assert [choice.detail for choice in kind.choices(home.id)] == ["2 films", "1 film"]

    def test_an_unknown_id_or_that_of_somebody_else_is_not_found(self, home, bob):
        for user, list_id in ((home, "x"), (bob, "h")):
            with pytest.raises(NotFoundError, match=f"no list with the id {list_id}"):
                kind.export(user.id, [list_id])

    def test_all_lists_are_read_in_two_queries(self, home):
        with count_queries() as counter:
            kind.export(home.id, None)
        assert counter.count == 2


class TestANewList:
    def test_its_films_join_the_library_to_watch_under_the_title_of_the_file(self, bob):
        alien = {"imdb_id": ONE, "title": "Alien", "year": 1979, "media_type": "movie", "note": "!"}
        rows = item("Horror", alien, TWO, description="For October", icon="moon")
        [planned] = preview(bob, rows).items
        assert (planned.outcome, planned.notes) == ("imported", ["adds 2 films to your library"])
        result = taken(bob, rows)
        assert (result.imported, result.safety_backup) == (1, None)
        [row] = lists.listing(bob.id)
        assert row.id == result.imported_items[0].id
        assert (row.color, row.icon, row.description) == ("#111111", "moon", "For October")
        assert shown(bob) == [(ONE, "!"), (TWO, None)]
        assert statuses(bob) == {ONE: "toWatch", TWO: "toWatch"}
        movie = movies.find(bob.id, ONE)
        assert (movie.hint_title, movie.hint_year, movie.search_text) == ("Alien", 1979, "alien")
        assert movie.media_type == "movie"
        assert Title.get_by_id(TWO).tmdb_state == "stub"

    def test_the_catalogue_describes_the_new_films(self, bob):
        catalogue.put([catalogue.film(1, title="Alien", year=1979)])
        taken(bob, item("Horror", ONE))
        assert Title.get_by_id(ONE).title == "Alien"
        assert [each.title for each in kind.export(bob.id, None)[0].films] == ["Alien"]

    def test_a_film_that_is_here_stays_as_it_is(self, home):
        before = statuses(home)
        taken(home, item("Seen", {"imdb_id": TWO, "title": "Another"}, THREE))
        assert statuses(home) == before
        assert movies.find(home.id, TWO).hint_title is None
        assert movies.find(home.id, THREE).custom_list.id == "h"

    def test_a_deleted_film_comes_back_as_watched_where_it_was(self, home):
        movies.set_status(home.id, ONE, "deleted")
        movies.set_status(home.id, TWO, "deleted")
        [planned] = preview(home, item("New", ONE, TWO, FOUR)).items
        assert planned.notes == ["adds 1 film to your library", "brings back 2 deleted films"]
        taken(home, item("New", ONE, TWO, FOUR))
        now = statuses(home)
        assert (now[ONE], now[TWO], now[FOUR]) == ("toWatch", "watched", "toWatch")

    def test_a_film_of_two_lists_is_added_once_with_the_title_that_one_of_them_has(self, bob):
        rows = item("A", ONE, TWO), item("B", TWO, {"imdb_id": ONE, "title": "Alien"})
        notes = [planned.notes for planned in preview(bob, *rows).items]
        assert notes == [["adds 2 films to your library"], []]
        taken(bob, *rows)
        assert movies.find(bob.id, ONE).hint_title == "Alien"
        assert Movie.select().count() == 2

    def test_new_lists_come_after_mine_in_the_order_of_the_file(self, home):
        rows = [item("C", position=2), item("No place", position=None), item("A", position=-1)]
        taken(home, *rows)
        names = [row.name for row in lists.listing(home.id)]
        assert names == ["Horror", "Other", "A", "C", "No place"]

    def test_a_film_that_was_removed_before_is_no_longer_told_as_removed(self, home):
        movies.delete(home.id, ONE)
        assert Tombstone.select().where(Tombstone.key == ONE).exists()
        since = feed.newest(home.id)
        taken(home, item("New", ONE))
        assert not Tombstone.select().where(Tombstone.key == ONE).exists()
        changes = feed.everything_since(home.id, since + 1e-6)
        assert movies.find(home.id, ONE).id in changes.film_ids
        assert "New" in [row.name for row in changes.feed.lists]


class TestOverwriting:
    def test_the_films_become_those_of_the_file(self, home):
        new = {"imdb_id": FOUR, "note": "New"}
        rows = item("HORROR", new, TWO, ONE, color="#222222", icon="moon", description="Spooky")
        [planned] = preview(home, rows, bulk="overwrite").items
        assert planned.differences == [
            "name: Horror → HORROR",
            "colour: #ff0000 → #222222",
            "icon: star → moon",
            "adds a description",
            "adds 1 film, removes 1, changes the order, changes 1 note",
        ]
        assert planned.notes == ["adds 1 film to your library"]
        result = taken(home, rows, bulk="overwrite")
        assert (result.overwritten, result.imported_items[0].id) == (1, "h")
        assert shown(home, "HORROR") == [(FOUR, "New"), (TWO, None), (ONE, None)]
        row = lists.find(home.id, "h")
        assert (row.name, row.color, row.icon, row.position) == ("HORROR", "#222222", "moon", 0)

    def test_a_film_that_leaves_stays_in_the_library_by_the_rules_of_its_status(self, home):
        taken(home, item("Horror", ONE), bulk="overwrite")
        movie = movies.find(home.id, THREE)
        assert (movie.status, movie.custom_list.id) == ("custom", "o")
        taken(home, item("Other"), bulk="overwrite")
        assert movies.find(home.id, THREE).status == "toWatch"
        assert movies.find(home.id, TWO).status == "watched"

    def test_it_can_be_undone(self, home):
        before = export(home)
        result = taken(home, item("Horror", FOUR, ONE), item("New", TWO), bulk="overwrite")
        assert result.safety_backup
        assert export(home) != before
        undoing.at_once(reload(home), filename=result.safety_backup)
        assert export(home) == before

    def test_deleted_films_stay_on_the_list_behind_those_of_the_file(self, home):
        movies.set_status(home.id, ONE, "deleted")
        taken(home, item("Horror", FOUR, TWO), bulk="overwrite")
        assert shown(home) == [(FOUR, None), (TWO, None)]
        movies.set_status(home.id, ONE, "toWatch")
        assert shown(home) == [(FOUR, None), (TWO, None), (ONE, None)]

    def test_a_film_that_a_new_list_brings_back_is_not_on_a_list_that_the_file_overwrites(
        self, home
    ):
        movies.set_status(home.id, ONE, "deleted")
        taken(home, item("Horror", TWO), item("New", ONE), bulk="overwrite")
        assert shown(home) == [(TWO, None)]
        assert shown(home, "New") == [(ONE, None)]

    def test_ones_own_lists_change_nothing(self, home):
        movies.set_status(home.id, ONE, "deleted")
        data = envelope.encode(envelope.written("lists", kind.export(home.id, None)))
        before = export(home)
        stamps = list(CustomList.select(CustomList.id, CustomList.updated_at).tuples())
        result = importing.at_once(home, envelope.read("lists", data), bulk_resolution="overwrite")
        assert result.overwritten == 2
        assert export(home) == before
        assert list(CustomList.select(CustomList.id, CustomList.updated_at).tuples()) == stamps

    def test_phones_read_the_list_and_the_films_that_joined_or_left(self, home):
        since = feed.newest(home.id)
        taken(home, item("Horror", FOUR, TWO, ONE), bulk="overwrite")
        changes = feed.everything_since(home.id, since + 1e-6)
        assert [row.id for row in changes.feed.lists] == ["h"]
        told = {movies.find(home.id, imdb_id).id for imdb_id in (TWO, THREE, FOUR)}
        assert set(changes.film_ids) == told


class TestNamesThatRepeat:
    def test_the_first_meets_my_first_the_second_my_second_and_others_are_new(self, alice):
        for number in (1, 2):
            lists.create(alice.id, "Twice", list_id=str(number))
        rows = [item("twice", each) for each in (ONE, TWO, THREE)]
        planned = preview(alice, *rows, bulk="overwrite").items
        assert [each.existing_id for each in planned] == ["1", "2", None]
        assert [each.outcome for each in planned] == ["overwritten", "overwritten", "imported"]
        assert [each.notes[0] for each in planned] == [
            "You have 2 lists of this name: this meets number 1.",
            "You have 2 lists of this name: this meets number 2.",
            "You have 2 lists of this name: this is one more.",
        ]
        taken(alice, *rows, bulk="overwrite")
        films = [[each.imdb_id for each in row.films] for row in kind.export(alice.id, None)]
        assert films == [[ONE], [TWO], [THREE]]

    def test_each_renamed_one_gets_a_number_that_is_free_here_and_in_the_file(self, alice):
        for name in ("Twice", "Twice", "twice (2)"):
            lists.create(alice.id, name)
        rows = [item("Twice"), item("Twice"), item("Twice (1)")]
        planned = preview(alice, *rows, bulk="rename").items
        assert [each.new_name for each in planned] == ["Twice (3)", "Twice (4)", None]

    def test_long_names_are_shortened_for_their_number_and_stay_apart(self, alice):
        names = [f"{'x' * 499}{ending}" for ending in "abc"]
        for name in names:
            lists.create(alice.id, name)
        planned = preview(alice, *map(item, names), bulk="rename").items
        assert {each.new_name for each in planned} == {f"{'x' * 496} ({n})" for n in (1, 2, 3)}


class TestBadInput:
    def test_a_film_that_cannot_be_used_costs_itself_alone_and_is_named(self, bob):
        bad = ["nm0000001", {"title": "No id"}, {"imdb_id": TWO, "note": 5}, {"imdb_id": TWO}]
        rows = item("Horror", ONE)
        rows["films"] += [7, *bad[1:], {"imdb_id": bad[0]}, {"imdb_id": f" {ONE.upper()} "}]
        [planned] = preview(bob, rows).items
        assert planned.notes == [
            "film 2 is left out: expected an object",
            "film 3 is left out: imdb_id: is missing or empty",
            "film 4 is left out: note: expected text, found a number",
            "film 6 is left out: imdb_id: 'nm0000001' is not an IMDb title ID",
            f"film 7 is left out: {ONE} is the same as film 1",
            "adds 2 films to your library",
        ]
        taken(bob, rows)
        assert shown(bob) == [(ONE, None), (TWO, None)]

    def test_of_many_such_films_the_first_are_named_and_the_others_counted(self, bob):
        [planned] = preview(bob, item("Horror", *["x"] * 5000)).items
        assert len(planned.notes) == kind.NAMED_MAX + 1
        assert planned.notes[-1] == "4,990 more films are left out"

    @pytest.mark.parametrize(
        "values, error",
        [
            ({"films": "tt0000001"}, "films: expected a list, found text"),
            ({"films": {}}, "films: expected a list, found an object"),
            ({"films": None}, "films: is missing"),
            ({"color": "red"}, "color: 'red' is not a colour like #0a84ff"),
            ({"position": True}, "position: expected a whole number, found true or false"),
            ({"description": []}, "description: expected text, found a list"),
            ({"name": 3}, "name: expected text, found a number"),
            ({"name": " \n "}, "name: is missing or empty"),
            ({"name": "a\0b"}, "name: holds a NUL character"),
            ({"name": "a\nb"}, "name: holds a line end or another control character"),
            ({"name": "x" * 501}, "name: longer than 500 characters"),
        ],
    )
    def test_a_list_that_cannot_be_used_costs_itself_alone(self, bob, values, error):
        planned = preview(bob, item("Good"), item("Bad") | values).items
        assert [each.outcome for each in planned] == ["imported", "error"]
        assert planned[1].error == error
        result = taken(bob, item("Good"), item("Bad") | values)
        assert (result.imported, result.errors) == (1, 1)

    @pytest.mark.parametrize("row", [None, 5, "x", [], True, {}])
    def test_an_item_that_is_no_list_is_named_by_its_place(self, bob, row):
        [planned] = preview(bob, row).items
        assert (planned.name, planned.outcome) == ("Item 1", "error")

    def test_what_cannot_be_a_hint_keeps_no_film_out(self, bob):
        taken(bob, item("Horror", {"imdb_id": ONE, "title": ["x"], "year": "soon"}))
        movie = movies.find(bob.id, ONE)
        assert (movie.hint_title, movie.hint_year) == (None, None)

    @pytest.mark.parametrize(
        "name, message",
        [("FILMS_MAX", "A library can hold 2"), ("LIST_FILMS_MAX", "can hold 2 films altogether")],
    )
    def test_what_the_library_cannot_hold_is_refused_at_the_preview(
        self, bob, monkeypatch, name, message
    ):
        monkeypatch.setattr(validation, name, 2)
        with pytest.raises(InvalidError, match=message):
            preview(bob, item("Horror", ONE, TWO, THREE))
        assert preview(bob, item("Horror", ONE, TWO)).new_items == 1

    def test_a_full_library_takes_its_own_lists_again(self, home, monkeypatch):
        monkeypatch.setattr(validation, "LIST_FILMS_MAX", 4)
        monkeypatch.setattr(validation, "FILMS_MAX", 4)
        items = msgspec.to_builtins(kind.export(home.id, None))
        assert taken(home, *items, bulk="overwrite").overwritten == 2
        assert ListFilm.select().count() == 4


class TestManyFilms:
    def rows(self, count):
        return item("Long", *({"imdb_id": f"tt{n:07}", "title": f"T{n}"} for n in range(1, count)))

    def test_the_number_of_queries_does_not_depend_on_the_number_of_films(self, alice, bob):
        counts = []
        for user, count in ((alice, 10), (bob, 900)):
            received = opened(self.rows(count))
            with count_queries() as counter:
                plans.apply(plans.plan(user.id, received))
            counts.append(counter.count)
        # One more gives each changed row its place in the feed.
        assert counts[1] <= counts[0] + 2

    def test_nor_on_the_number_of_lists(self, alice, bob):
        counts = []
        for user, count in ((alice, 3), (bob, 90)):
            received = opened(*(item(f"List {number}", ONE, TWO) for number in range(count)))
            for bulk in ("skip", "overwrite"):
                with count_queries() as counter:
                    plans.apply(plans.plan(user.id, received, bulk_resolution=bulk))
                counts.append(counter.count)
        assert counts[2] <= counts[0] + 2
        assert counts[3] <= counts[1] + 2

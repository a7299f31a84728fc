"""A tab of the library as a table: the films of the page, in its order, with what is known of
them."""

import itertools
from dataclasses import replace

import pytest
from playhouse.test_utils import count_queries

from mm import config
from mm.database import db
from mm.models import ListFilm, Movie, Person, Title
from mm.services.library import browse, bulk, lists, movies, saved_views, table
from tests.support.libraries import T, custom_list, document, film, listed, person, put, seen, vote
from tests.support.libraries import watch as watched

TABS = (
    {},
    {"status": "toWatch"},
    {"status": "watched"},
    {"status": "all"},
    {"status": "deleted"},
    {"list": "list-1"},
    {"list": "nobody-has-it"},
)
FILTERS = (
    {},
    {"q": "storm"},
    {"q": "storm nothing has this"},
    {"kind": "tv"},
    {"genre": ["Drama", "War"]},
    {"decade": "1980"},
    {"person": "ANN"},
    {"trusted": "1"},
    {"rating": "7"},
    {"not_kind": "tv"},
    {"not_genre": "Drama"},
    {"not_decade": ["1980", "1990"]},
    {"not_person": "ANN"},
    {"not_list": "list-1"},
    {"q": "storm", "genre": ["Drama", "War"], "not_person": "ANN"},
    {"rating": "a lot", "decade": "1985", "kind": "opera", "sort": "backwards", "q": "\0"},
)
SORTS = (*browse.SORTS, browse.LIST_ORDER)


@pytest.fixture
def alices(alice, database):
    """Thirty films, many with equal sort keys, two lists and two people."""
    films = []
    for number in range(1, 31):
        values = {
            "date_added": T + number // 3,
            "media_type": ("movie", "tv", "movie")[number % 3],
            "recommendations": [vote(("Ann", "Ben")[number % 2], number % 5 != 0)],
        }
        if number % 4 == 0:
            films.append(seen(number, rating=number % 10, date=T + number // 8, **values))
        elif number % 7 == 0:
            films.append(film(number, status="deleted", **values))
        else:
            films.append(film(number, **values))
    rows = [custom_list("list-1", films=listed(9, 4, 2, 7, 14, 20)), custom_list("list-2", "Empty")]
    put(alice, document(films, [person("Ann", is_trusted=True), person("Ben")], rows))
    with db.atomic():
        for number in range(1, 31, 2):
            Title.update(
                title=("Storm", "Élise", "alien")[number % 3],
                year=1980 + number,
                genres=[["Drama"], ["War", "Drama"], []][number % 3],
                imdb_rating=number / 4 if number % 5 else None,
                search_text=("storm", "élise", "alien storm")[number % 3],
                tmdb_state="ready",
            ).where(Title.imdb_id == f"tt{number:07d}").execute()
    return alice.id


def query_of(user_id, values):
    ann = Person.select().where((Person.user == user_id) & (Person.name == "Ann")).first()
    return browse.parse({key: str(ann.id) if one == "ANN" else one for key, one in values.items()})


def on_the_page(user_id, query):
    """The ids of all that scrolling shows."""
    found, after = [], None
    while True:
        shown = browse.page(user_id, query, 0, 12, after)
        found += [card.imdb_id for card in shown.cards]
        if not (after := shown.end):
            return found


def rows_of(user_id, **values):
    """The rows as {column: value}."""
    batches = table.of(user_id, browse.parse(values)).batches
    return [dict(zip(table.COLUMNS, row, strict=True)) for batch in batches for row in batch]


def ids_of(batches):
    return [row[table.COLUMNS.index("IMDb ID")] for batch in batches for row in batch]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_it_has_exactly_the_films_of_the_page_in_its_order(alices, filters, monkeypatch):
    monkeypatch.setattr(table, "BATCH_SIZE", 4)
    lengths = set()
    sorted_tabs = itertools.product(({"status": "all"}, {"list": "list-1"}), SORTS)
    for tab, sort in [*((tab, "added") for tab in TABS), *sorted_tabs]:
        query = query_of(alices, {"sort": sort, **tab, **filters})
        found = ids_of(table.of(alices, query).batches)
        assert found == on_the_page(alices, query), (tab, sort)
        lengths.add(len(found))
    assert lengths != {0} or filters.get("q") == "storm nothing has this"


def test_a_film_has_all_that_is_known_of_it_in_its_columns(alice, database):
    seen_twice = seen(
        1,
        rating=None,
        date=T + 86400,
        watches=[watched(T, 7.0), watched(T + 86400, None)],
        note="Lent by Maria,\nkeep it",
        recommendations=[vote("Zoe"), vote("Ann", date=T - 5), vote("Ben", up=False)],
    )
    rows = [
        custom_list("list-1", "Later", position=1, films=listed(1)),
        custom_list("list-2", "Autumn", position=0, films=listed(1)),
    ]
    people_of_it = [person(name) for name in ("Zoe", "Ann", "Ben")]
    put(alice, document([seen_twice], people_of_it, rows))
    Title.update(
        title="Das Boot 👩‍🚀",
        original_title="Das Boot",
        year=1981,
        runtime=149,
        genres=["Drama", "War"],
        directors=["Wolfgang Petersen"],
        imdb_rating=8.0,
        rotten_tomatoes=98,
        metacritic=86,
        tmdb_id=387,
    ).execute()
    assert rows_of(alice.id, status="all") == [
        {
            "Title": "Das Boot 👩‍🚀",
            "Original title": "Das Boot",
            "Year": 1981,
            "Kind": "Film",
            "Status": "Watched",
            "Lists": "Autumn, Later",
            "Genres": "Drama, War",
            "Directors": "Wolfgang Petersen",
            "Runtime (minutes)": 149,
            "My rating": 7,
            "Watched on": "2026-02-14",
            "Times watched": 2,
            "Added on": "2026-02-13",
            "Recommended by": "Ann, Zoe",
            "Said to skip it": "Ben",
            "IMDb rating": 8,
            "Rotten Tomatoes": 98,
            "Metacritic": 86,
            "My note": "Lent by Maria,\nkeep it",
            "IMDb ID": "tt0000001",
            "TMDB ID": 387,
        }
    ]


def test_what_nobody_knows_is_empty(alice, database):
    unknown = {"status": "watched", "watch_history": watched(T, None, day_known=False)}
    put(alice, document([film(1, media_type=None, **unknown)]))
    [row] = rows_of(alice.id, status="all")
    known = {name: value for name, value in row.items() if value not in (None, "")}
    assert known == {
        "Status": "Watched",
        "Times watched": 1,
        "Added on": "2026-02-13",
        "IMDb ID": "tt0000001",
    }


def test_a_title_of_the_user_stands_until_the_server_has_one(alice, database):
    put(alice, document([film(1, title="Holiday of 1999", year=1999)]))
    [row] = rows_of(alice.id)
    assert (row["Title"], row["Year"]) == ("Holiday of 1999", 1999)


def test_days_are_those_of_the_server_s_zone(alice, database, monkeypatch):
    put(alice, document([seen(1, date=1772322600.0)]))  # 2026-02-28 23:50 UTC
    there = replace(config.current, timezone="Asia/Tokyo")
    monkeypatch.setattr(config, "current", there)
    assert rows_of(alice.id, status="all")[0]["Watched on"] == "2026-03-01"


def test_the_list_of_another_user_is_none(alice, bob, database):
    theirs = lists.create(bob.id, "Bob's")
    movies.add(bob.id, "tt0000001")
    bulk.put_on_list(bob.id, ["tt0000001"], theirs.id)
    found = table.of(alice.id, browse.parse({"list": theirs.id}))
    assert (found.name, ids_of(found.batches)) == ("", [])


def test_it_is_called_after_its_list_or_its_saved_view(alices):
    saved_views.create(alices, "Eighties", {"decade": "1980", "status": "all"})
    saved_views.create(alices, "Favourites by year", {"list": "list-1", "sort": "year"})

    def name_of(**values):
        return table.of(alices, browse.parse(values)).name

    assert name_of(status="all") == ""
    assert name_of(status="all", decade="1980") == "Eighties"
    assert name_of(list="list-1") == "Favourites"
    assert name_of(list="list-1", sort="year") == "Favourites by year"


@pytest.mark.parametrize("sort", SORTS)
def test_no_film_is_there_twice_or_missing_when_films_change_meanwhile(alices, sort, monkeypatch):
    """A film that moves in the order or to another tab stays where it was; a new one is not there;
    one that is deleted permanently is left out of the rest."""
    monkeypatch.setattr(table, "BATCH_SIZE", 2)
    query = browse.parse({"list": "list-1", "sort": sort})
    expected = on_the_page(alices, query)
    batches = table.of(alices, query).batches
    begun = ids_of([next(batches)])
    gone, *others = expected[2:]
    with db.atomic():
        for place, imdb_id in enumerate(reversed(expected)):
            film_of_it = (Movie.user == alices) & (Movie.title == imdb_id)
            Movie.update(date_added=T - place, status="toWatch").where(film_of_it).execute()
            Title.update(year=1900 + place, title="Other").where(Title.imdb_id == imdb_id).execute()
        ListFilm.update(position=1000 - ListFilm.position).execute()
    movies.delete(alices, gone)
    movies.add(alices, "tt0000099")
    bulk.put_on_list(alices, ["tt0000099"], "list-1")
    assert begun + ids_of(batches) == [*expected[:2], *others]


def test_a_batch_takes_three_queries_however_many_films_it_has(alices, monkeypatch):
    query = browse.parse({"status": "all", "q": "storm", "not_list": "list-1"})
    with count_queries() as few:
        ids_of(table.of(alices, query).batches)
    monkeypatch.setattr(table, "BATCH_SIZE", 1)
    found = table.of(alices, query)
    with count_queries() as each:
        batches = list(found.batches)
    assert few.count <= 6
    assert each.count == 3 * len(batches) > 6

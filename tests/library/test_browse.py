"""The library page: tabs, filters, sorting and paging, in a few
queries at any size."""

import json
from base64 import urlsafe_b64encode

import pytest
from playhouse.test_utils import count_queries

from mm.database import db
from mm.models import ListFilm, Movie, Person, Title
from mm.schemas import MovieFilters
from mm.services.library import browse, bulk, lists, movies, people, serializers, undo
from mm.services.library.browse import LibraryQuery
from mm.services.library.paging import Position
from tests.support.libraries import T, many, put

FILMS = {
    # imdb_id: title, year, genres, IMDb, kind, search_text
    "tt0000001": (
        "Alien",
        1979,
        ["Horror", "Science Fiction"],
        8.5,
        "movie",
        "alien ridley scott horror",
    ),
    "tt0000002": ("Élise", 1968, ["Drama"], None, "movie", "élise inès roux drama"),
    "tt0000003": ("Zodiac", 1999, ["Drama", "Crime"], 7.7, "movie", "zodiac fincher drama crime"),
    "tt0000004": ("Berlin Nights", 2011, ["Drama"], 6.0, "tv", "berlin nights drama"),
}


@pytest.fixture
def alices(alice, database):
    """Four films of different kinds, and one that nobody has looked up;
    added in this order."""
    with db.atomic():
        for number, (imdb_id, row) in enumerate(FILMS.items()):
            movies.add(alice.id, imdb_id, at=T + number)
            title, year, genres, rating, kind, text = row
            Title.update(
                title=title,
                year=year,
                genres=genres,
                imdb_rating=rating,
                media_type=kind,
                search_text=text,
                tmdb_state="ready",
            ).where(Title.imdb_id == imdb_id).execute()
        movies.add(alice.id, "tt0000009", at=T + 9)
    return alice.id


def ids(user_id, offset=0, limit=60, **view):
    return [
        int(card.imdb_id[2:])
        for card in browse.page(user_id, browse.parse(view), offset, limit).cards
    ]


def tabs(user_id, **view):
    return {tab.name: tab.films for tab in browse.page(user_id, browse.parse(view), 0, 0).tabs}


# The address.


def test_a_query_is_read_from_an_address_and_written_as_one():
    view = browse.parse(
        {"status": "watched", "q": " x ", "genre": "Drama", "sort": "year", "size": "l"}
    )
    assert view.params() == {
        "status": "watched",
        "q": "x",
        "genre": "Drama",
        "sort": "year",
        "size": "l",
    }
    assert view.params(genre=(), sort="added", size="m") == {"status": "watched", "q": "x"}
    assert browse.parse(view.params()) == view


def test_a_filter_may_have_several_values_and_exclude_some():
    address = {"genre": ["Drama", " Crime ", "Drama", ""], "not_kind": ["tv"], "sort": ["year"]}
    view = browse.parse(address)
    assert view.params() == {"genre": ["Crime", "Drama"], "not_kind": "tv", "sort": "year"}
    assert browse.parse(view.params()) == view
    assert browse.parse({"genre": ["Crime", "a\0b"], "q": ["x", "y"]}).params() == {
        "q": "x",
        "genre": "Crime",
    }


def test_one_value_of_a_filter_is_taken_off_and_the_others_stay():
    view = browse.parse({"q": "x", "genre": ["Crime", "Drama"], "not_person": "7"})
    assert view.filters == [
        ("q", "x"),
        ("genre", "Crime"),
        ("genre", "Drama"),
        ("not_person", "7"),
    ]
    assert view.without("genre", "Crime") == {"q": "x", "genre": "Drama", "not_person": "7"}
    assert view.without("not_person", "7") == {"q": "x", "genre": ["Crime", "Drama"]}
    assert view.without("q", "x") == {"genre": ["Crime", "Drama"], "not_person": "7"}


def test_only_a_list_can_be_in_its_own_order():
    assert browse.parse({"sort": "order"}) == LibraryQuery()
    view = browse.parse({"sort": "order", "list": "x"})
    assert view.params() == {"list": "x", "sort": "order"}
    assert view.params(list="", status="all") == {"status": "all"}


def test_an_address_cannot_have_endless_values():
    assert len(browse.parse({"genre": [str(number) for number in range(5000)]}).genre) == 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("not_decade", "1995"),
        ("not_person", "x"),
        ("not_list", "a/b"),
        ("not_trusted", "1"),
        ("status", "custom"),
        ("status", "x"),
        ("decade", "1995"),
        ("decade", "3000"),
        ("person", "-1"),
        ("person", "1e3"),
        ("person", "9" * 30),
        ("rating", "11"),
        ("rating", "0"),
        ("rating", "nan"),
        ("sort", "imdb_id; drop table"),
        ("size", "xl"),
        ("trusted", "0"),
        ("kind", "person"),
        ("q", "a\0b"),
        ("list", "a/b"),
        ("_external", "1"),
    ],
)
def test_an_invalid_parameter_is_ignored(name, value):
    assert browse.parse({name: value}) == LibraryQuery()


def test_a_long_search_text_is_cut():
    assert len(browse.parse({"q": "a" * 5000}).q) == browse.TEXT_MAX


# Tabs.


def test_each_tab_counts_its_films(alices):
    club = lists.create(alices, "Club")
    lists.create(alices, "Empty")
    movies.set_status(alices, "tt0000001", "watched")
    movies.set_status(alices, "tt0000002", "custom", club.id)
    movies.set_status(alices, "tt0000003", "deleted")
    assert tabs(alices) == {
        "To watch": 2,
        "Watched": 1,
        "Club": 1,
        "Empty": 0,
        "All": 4,
        "Deleted": 1,
    }
    assert ids(alices, list=club.id) == [2]
    assert ids(alices, status="all") == [9, 4, 2, 1]
    assert ids(alices, status="deleted") == [3]


def test_a_list_counts_and_shows_its_members_of_any_status_but_deleted(alices):
    club, other = lists.create(alices, "Club"), lists.create(alices, "Other")
    for imdb_id in ("tt0000001", "tt0000002", "tt0000003", "tt0000004"):
        movies.add_to_list(alices, imdb_id, club.id)
    movies.add_to_list(alices, "tt0000002", other.id)
    movies.watch(alices, "tt0000001", T)
    movies.set_status(alices, "tt0000003", "deleted")
    assert ids(alices, list=club.id) == [4, 2, 1]
    assert ids(alices, list=other.id) == [2]
    assert tabs(alices) == {
        "To watch": 3,
        "Watched": 1,
        "Club": 3,
        "Other": 1,
        "All": 4,
        "Deleted": 1,
    }
    drama = tabs(alices, genre="Drama")
    assert (drama["Club"], drama["Other"], drama["Deleted"]) == (2, 1, 1)
    assert ids(alices, list=club.id, genre="Drama") == [4, 2]
    assert ids(alices, status="deleted") == [3]


def test_a_film_is_shown_in_the_tab_of_each_list_it_is_on(alices):
    club, other = lists.create(alices, "Club"), lists.create(alices, "Other")
    movies.set_status(alices, "tt0000001", "custom", club.id)
    movies.add_to_list(alices, "tt0000001", other.id)
    views = [browse.parse(view) for view in ({"list": club.id}, {"list": other.id})]
    card = browse.card(alices, "tt0000001")
    assert card.list_name == "Club"
    assert [view.shows(card) for view in views] == [True, True]
    movies.watch(alices, "tt0000001", T)
    movies.remove_from_list(alices, "tt0000001", club.id)
    card = browse.card(alices, "tt0000001")
    assert [view.shows(card) for view in views] == [False, True]
    assert browse.parse({"status": "watched"}).shows(card)
    movies.set_status(alices, "tt0000001", "deleted")
    assert not views[1].shows(browse.card(alices, "tt0000001"))


def test_the_first_tab_is_to_watch_or_all_where_that_is_empty(alices, bob):
    assert browse.page(alices, LibraryQuery(), 0, 60).query.status == "toWatch"
    for imdb_id in [*FILMS, "tt0000009"]:
        movies.set_status(alices, imdb_id, "watched")
    assert browse.page(alices, LibraryQuery(), 0, 60).query.status == "all"
    empty = browse.page(bob.id, LibraryQuery(), 0, 60)
    assert (empty.query.status, empty.has_films, empty.cards) == ("toWatch", False, [])


def test_a_deleted_list_shows_the_first_tab(alices):
    assert browse.page(alices, LibraryQuery(list="gone"), 0, 60).query == LibraryQuery(
        status="toWatch"
    )


def test_counts_follow_the_filters(alices):
    movies.set_status(alices, "tt0000003", "watched")
    assert tabs(alices, genre="Drama") == {"To watch": 2, "Watched": 1, "All": 3, "Deleted": 0}
    assert browse.page(alices, LibraryQuery(q="nothing at all"), 0, 60).has_films


# Filters.


@pytest.mark.parametrize(
    ("view", "found"),
    [
        ({"q": "scott"}, [1]),
        ({"q": "ALIEN"}, [1]),
        ({"q": "drama berlin"}, [4]),
        ({"q": "ÉLISE"}, [2]),
        ({"q": "tt0000009"}, [9]),
        ({"q": "100%"}, []),
        ({"q": "_lien"}, []),
        ({"q": "'; drop table movie --"}, []),
        ({"kind": "tv"}, [4]),
        ({"kind": "movie"}, [3, 2, 1]),
        ({"genre": "Drama"}, [4, 3, 2]),
        ({"genre": "Dram"}, []),
        ({"genre": '"'}, []),
        ({"decade": "1990"}, [3]),
        ({"decade": "1970"}, [1]),
        ({"decade": ["1970", "1990"]}, [3, 1]),
        ({"genre": ["Crime", "Horror"]}, [3, 1]),
        ({"kind": ["movie", "tv"]}, [4, 3, 2, 1]),
        ({"not_genre": "Drama"}, [9, 1]),
        ({"not_genre": ["Crime", "Horror"]}, [9, 4, 2]),
        ({"genre": "Drama", "not_genre": "Crime"}, [4, 2]),
        ({"genre": "Drama", "not_genre": "Drama"}, []),
        ({"not_decade": ["1960", "2010"]}, [9, 3, 1]),
        ({"not_kind": "tv"}, [9, 3, 2, 1]),
        ({"not_kind": ["movie", "tv"]}, [9]),
        ({"genre": "Drama", "decade": "1960", "q": "roux"}, [2]),
    ],
)
def test_a_filter_shows_only_the_films_that_match(alices, view, found):
    assert ids(alices, status="all", **view) == found


@pytest.mark.parametrize(
    "genre",
    ["Komödie", "Science-Fiction & Fantastique", "ドラマ", 'A "B"', "\\"],
)
def test_a_genre_is_found_in_any_language(alices, genre):
    """Both as Peewee writes JSON, with escapes, and with the letters themselves."""
    Title.update(genres=["Drama", genre]).where(Title.imdb_id == "tt0000001").execute()
    as_text = json.dumps([genre, "Drama"], ensure_ascii=False)
    change = f"UPDATE title SET genres = {db.param} WHERE imdb_id = 'tt0000002'"
    db.execute_sql(change, (as_text,))
    assert genre in browse.facets(alices)[0]
    assert ids(alices, status="all", genre=genre) == [2, 1]
    assert tabs(alices, genre=genre)["To watch"] == 2
    assert ids(alices, status="all", genre=genre[:-1] or "x") == []


def test_a_search_looks_for_its_first_twenty_words(alices):
    """SQLite refuses a query with a hundred conditions."""
    assert ids(alices, status="all", q="drama " * 30) == [4, 3, 2]
    words = "b e r l i n g h t s d a " + " ".join(f"{number}" for number in range(80))
    assert len(words.split()) > 86
    assert ids(alices, status="all", q=words) == []
    assert ids(alices, status="all", q="b e r l i n g h t s d a m " + "b e r l i n g " * 5) == [4]


def test_films_are_filtered_by_who_recommended_them(alices):
    movies.recommend(alices, "tt0000001", "Maya")
    movies.recommend(alices, "tt0000002", "Maya", vote_type=False)
    movies.recommend(alices, "tt0000003", "Tom")
    people.change(alices, people.find(alices, "Tom").id, {"is_trusted": True})
    maya = str(Person.get(Person.name == "Maya").id)
    assert ids(alices, person=maya) == [1]
    assert browse.page(alices, LibraryQuery(person=(maya,)), 0, 60).people == {maya: "Maya"}
    assert ids(alices, trusted="1") == [3]
    assert ids(alices, trusted="1", person=maya) == []


def test_films_are_filtered_by_several_recommenders_and_not_by_others(alices):
    for number, name in ((1, "Maya"), (2, "Tom"), (3, "Tom"), (3, "Zoe")):
        movies.recommend(alices, f"tt000000{number}", name)
    movies.recommend(alices, "tt0000004", "Zoe", vote_type=False)
    maya, tom, zoe = (str(people.find(alices, name).id) for name in ("Maya", "Tom", "Zoe"))
    assert ids(alices, person=[maya, tom]) == [3, 2, 1]
    assert ids(alices, person=tom, not_person=zoe) == [2]
    # Whoever said to skip it did not recommend it.
    assert ids(alices, not_person=[zoe, maya]) == [9, 4, 2]
    asked = browse.page(alices, browse.parse({"person": maya, "not_person": zoe}), 0, 0)
    assert asked.people == {maya: "Maya", zoe: "Zoe"}


def test_films_of_some_lists_can_be_left_out(alices, bob):
    club, other = lists.create(alices, "Club"), lists.create(alices, "Other")
    lists.create(bob.id, "Club", list_id=club.id)
    movies.add_to_list(alices, "tt0000001", club.id)
    movies.add_to_list(alices, "tt0000002", other.id)
    assert ids(alices, not_list=club.id) == [9, 4, 3, 2]
    assert ids(alices, not_list=[club.id, other.id, "gone"]) == [9, 4, 3]
    assert ids(alices, list=other.id, not_list=club.id) == [2]
    assert tabs(alices, not_list=club.id)["Club"] == 0


def test_a_film_watched_again_without_a_rating_keeps_its_rating(alices):
    movies.watch(alices, "tt0000001", T, 9)
    movies.watch(alices, "tt0000001", T + 86400, again=True)
    movies.watch(alices, "tt0000002", T, 8)
    assert browse.card(alices, "tt0000001").my_rating == 9
    assert ids(alices, status="all", rating="9") == [1]
    assert ids(alices, status="watched", sort="my_rating") == [1, 2]
    best_first = serializers.matching_ids(alices, MovieFilters(sort="my_rating", limit=2))
    assert best_first == [Movie.get(title=imdb_id).id for imdb_id in ("tt0000001", "tt0000002")]


def test_films_are_filtered_by_the_latest_rating(alices):
    movies.watch(alices, "tt0000001", T, 9)
    movies.watch(alices, "tt0000001", T + 86400, 6.5, again=True)
    movies.watch(alices, "tt0000002", T, 8)
    movies.watch(alices, "tt0000003", T)
    assert ids(alices, status="all", rating="7") == [2]
    assert ids(alices, status="all", rating="6.5") == [2, 1]


def test_the_filters_offer_what_the_library_has(alices):
    assert browse.facets(alices) == (
        ["Crime", "Drama", "Horror", "Science Fiction"],
        [2010, 1990, 1970, 1960],
    )


def test_a_user_never_sees_the_films_of_another(alices, bob):
    assert ids(bob.id, status="all") == []
    assert browse.card(bob.id, "tt0000001") is None
    assert browse.facets(bob.id) == ([], [])
    stranger = str(Person.get(Person.user == alices).id)
    assert browse.page(bob.id, LibraryQuery(person=(stranger,)), 0, 60).people == {}


# Sorting and paging.


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("added", [9, 4, 3, 2, 1]),
        ("watched", [2, 1, 9, 4, 3]),
        ("my_rating", [1, 9, 4, 3, 2]),
        ("imdb", [1, 3, 4, 9, 2]),
        ("year", [4, 3, 1, 2, 9]),
        ("title", [1, 4, 3, 2, 9]),
    ],
)
def test_films_without_a_value_for_the_sort_come_last(alices, sort, order):
    movies.watch(alices, "tt0000001", T, 9)
    movies.watch(alices, "tt0000002", T + 5)
    assert ids(alices, status="all", sort=sort) == order


@pytest.mark.parametrize("sort", browse.SORTS)
def test_pages_show_each_film_once(alice, database, sort):
    put(alice, many(130))
    seen = [
        number
        for offset in (0, 60, 120)
        for number in ids(alice.id, offset, status="all", sort=sort)
    ]
    assert sorted(seen) == list(range(1, 131))
    assert ids(alice.id, 180, status="all", sort=sort) == []


def scrolled(user_id, view, size, between=lambda cards: None):
    """The films of all pages, each begun after the end of the one before; `between`
    gets the cards of each page before the next one is asked for."""
    found, after = [], None
    while True:
        page = browse.page(user_id, view, 0, size, after)
        found += [int(card.imdb_id[2:]) for card in page.cards]
        if page.end is None:
            return found
        after = browse.parse_position({"after": page.end.token}, page.query)
        assert after == page.end
        between(page.cards)


@pytest.fixture
def alike(alice, database):
    """40 films to watch: in each order some are equal and some have no value, and
    some were watched long ago, before 1970."""
    # In one transaction: each commit waits for the disk.
    with db.atomic():
        for number in range(1, 41):
            imdb_id = f"tt{number:07}"
            movies.add(alice.id, imdb_id, at=T + number // 3)
            if number % 4 == 0:
                rating = None if number % 8 else 5 + number % 3
                movies.watch(alice.id, imdb_id, -1e9 + number // 5, rating)
                movies.set_status(alice.id, imdb_id, "toWatch")
            if number % 5:
                columns = {"title": f"Film {number % 7}", "search_text": f"film {number % 7} ünï"}
                columns |= {"year": 1990 + number % 6 if number % 3 else None}
                columns |= {"imdb_rating": 7.1 + number % 2 / 10 if number % 7 else None}
                Title.update(columns).where(Title.imdb_id == imdb_id).execute()
    return alice.id


@pytest.mark.parametrize("sort", browse.SORTS)
@pytest.mark.parametrize("size", [1, 7, 20, 40])
def test_scrolling_shows_each_film_once_in_order(alike, sort, size):
    whole = ids(alike, 0, 100, sort=sort)
    assert len(whole) == 40
    assert scrolled(alike, LibraryQuery(sort=sort), size) == whole


def test_a_list_is_shown_in_its_own_order_and_scrolled_through(alike):
    club = lists.create(alike, "Club")
    order = [7, 3, 31, 12, 40, 1, 22, 9]
    for number in (1, 3, 7, 9, 12, 22, 31, 40):
        movies.add_to_list(alike, f"tt{number:07}", club.id)
    lists.reorder_films(alike, club.id, [f"tt{number:07}" for number in order])
    view = browse.parse({"list": club.id, "sort": "order"})
    assert ids(alike, list=club.id, sort="order") == order
    assert [scrolled(alike, view, size) for size in (1, 3, 8)] == [order] * 3

    def move(cards):
        movies.set_status(alike, cards[-1].imdb_id, "deleted")

    assert scrolled(alike, view, 3, move) == order


def test_films_at_one_place_of_a_list_are_in_the_order_in_which_they_came(alike):
    club = lists.create(alike, "Club")
    for number in (5, 2, 9, 1):
        movies.add_to_list(alike, f"tt{number:07}", club.id)
    ListFilm.update(position=3).execute()
    view = browse.parse({"list": club.id, "sort": "order"})
    assert scrolled(alike, view, 1) == ids(alike, list=club.id, sort="order") == [5, 2, 9, 1]


@pytest.mark.parametrize("sort", browse.SORTS)
def test_a_list_scrolled_in_any_order_shows_each_film_once(alike, sort):
    club = lists.create(alike, "Club")
    for number in range(1, 41, 3):
        movies.add_to_list(alike, f"tt{number:07}", club.id)
    whole = ids(alike, list=club.id, sort=sort)
    assert sorted(whole) == list(range(1, 41, 3))
    assert scrolled(alike, browse.parse({"list": club.id, "sort": sort}), 4) == whole


@pytest.mark.parametrize("sort", browse.SORTS)
def test_marking_films_while_scrolling_skips_none_and_repeats_none(alike, sort):
    whole = ids(alike, 0, 100, sort=sort)

    def mark(cards):
        # The last one too, after which the next page begins.
        for card in (cards[0], cards[2], cards[-1]):
            movies.watch(alike, card.imdb_id, T, 8)
        bulk.set_status(alike, [cards[1].imdb_id], "deleted")

    assert scrolled(alike, LibraryQuery(status="toWatch", sort=sort), 7, mark) == whole


def test_films_added_while_scrolling_repeat_none(alike):
    whole = ids(alike, 0, 100)
    numbers = iter(range(100, 200))

    def add(cards):
        movies.add(alike, f"tt{next(numbers):07}", at=T + 1e6)

    assert scrolled(alike, LibraryQuery(), 7, add) == whole


def test_a_position_of_another_sort_or_with_a_bad_key_is_ignored(alike):
    place = browse.page(alike, LibraryQuery(), 0, 5).end
    assert browse.parse_position({"after": place.token}, LibraryQuery()) == place
    assert browse.parse_position({}, LibraryQuery()) is None
    for sort in browse.SORTS[1:]:
        assert browse.parse_position({"after": place.token}, LibraryQuery(sort=sort)) is None
    for place in (
        Position("added", "text", 5),
        Position("added", 1.0, -1),
        Position("added", 1.0, 2**63),
        Position("added", None, 5),
    ):
        assert browse.parse_position({"after": place.token}, LibraryQuery()) is None
    for key in (5.0, "a\0", "a" * 101):
        place = Position("title", key, 5)
        assert browse.parse_position({"after": place.token}, LibraryQuery(sort="title")) is None


NOT_PLACES = (
    "x",
    "[]",
    "{}",
    '["added",1e999,5]',
    '["added",NaN,5]',
    '["added",1,5,5]',
    '["added",1,true]',
)


@pytest.mark.parametrize("text", NOT_PLACES)
def test_a_malformed_position_is_ignored(text):
    token = urlsafe_b64encode(text.encode()).decode()
    assert browse.parse_position({"after": token}, LibraryQuery()) is None
    assert browse.parse_position({"after": text}, LibraryQuery()) is None


def test_a_card_shows_the_latest_watch_and_every_vote(alices):
    movies.recommend(alices, "tt0000001", "Tom", vote_type=False)
    movies.recommend(alices, "tt0000001", "Maya")
    movies.watch(alices, "tt0000001", T, 5)
    movies.watch(alices, "tt0000001", T + 86400, 7.5, again=True)
    card = browse.card(alices, "tt0000001")
    assert (card.title, card.year, card.my_rating, card.date_watched) == (
        "Alien",
        1979,
        7.5,
        T + 86400,
    )
    assert [(vote.name, vote.is_up) for vote in card.votes] == [("Maya", True), ("Tom", False)]


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"q": "a", "genre": "Drama"},
        {"sort": "my_rating"},
        {"person": "1", "not_person": "2"},
        {"list": "l1", "sort": "order", "not_list": "l2"},
    ],
)
def test_a_page_takes_the_same_few_queries_at_any_size(alice, database, view):
    put(alice, many(300, votes_each=3))
    for list_id in ("l1", "l2"):
        lists.create(alice.id, list_id, list_id=list_id)
    bulk.put_on_list(alice.id, [f"tt{number:07}" for number in range(1, 100)], "l1")
    with count_queries() as counter:
        browse.page(alice.id, browse.parse(view), 0, 60)
    assert counter.count <= 8


@pytest.mark.sqlite
def test_pages_are_read_from_indexes_alone(alice, database):
    """No temporary sort, no scan: the time does not grow with the library."""
    put(alice, many(3))
    query = LibraryQuery(status="toWatch")
    plans = []
    for after in (None, Position("added", T + 1e9, 9)):
        with count_queries() as counter:
            browse.page(alice.id, query, 0, 60, after)
        [(sql, values)] = [
            record.msg for record in counter.get_queries() if '"date_added" DESC' in record.msg[0]
        ]
        rows = db.execute_sql("EXPLAIN QUERY PLAN " + sql, values)
        plans.append(" ".join(row[3] for row in rows))
    for plan in plans:
        assert "COVERING INDEX" in plan
        assert "TEMP B-TREE" not in plan
    assert "date_added<?" in plans[1]


# Several at once.


def test_several_films_are_changed_at_once_with_one_undo(alices):
    version = browse.page(alices, LibraryQuery(), 0, 0).total
    done = bulk.set_status(alices, ["tt0000001", "TT0000002", "tt0000001", "tt7777777"], "watched")
    assert (done.changed, done.missing) == (2, 1)
    assert ids(alices, status="watched") == [2, 1]
    undo.back(alices, done.undo_token)
    assert browse.page(alices, LibraryQuery(), 0, 0).total == version


def test_several_films_go_to_a_list_or_get_a_recommender_or_are_deleted(alices):
    club = lists.create(alices, "Club")
    assert bulk.put_on_list(alices, ["tt0000001", "tt0000002"], club.id).changed == 2
    assert bulk.recommend(alices, ["tt0000001", "tt0000003", "tt7777777"], " Eve ").changed == 2
    assert ids(alices, list=club.id) == [2, 1]
    assert [vote.name for vote in browse.card(alices, "tt0000003").votes] == ["Eve"]
    done = bulk.delete(alices, ["tt0000001", "tt0000002"])
    assert tabs(alices)["All"] == 3
    undo.back(alices, done.undo_token)
    assert ids(alices, list=club.id) == [2, 1]
    assert [vote.name for vote in browse.card(alices, "tt0000001").votes] == ["Eve"]

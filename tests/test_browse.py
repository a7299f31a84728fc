"""The library as the page asks for it: tabs, filters, sorting and paging, in a handful of queries at any size."""

import pytest
from playhouse.test_utils import count_queries

from mm.models import Person, Title, db
from mm.services import browse, library, lists, people, selection, undo
from mm.services.browse import View
from tests.libraries import T, many, put

FILMS = {
    # imdb_id: title, year, genres, IMDb, kind, search_text
    "tt0000001": ("Alien", 1979, ["Horror", "Science Fiction"], 8.5, "movie", "alien ridley scott horror"),
    "tt0000002": ("Élise", 1968, ["Drama"], None, "movie", "élise inès roux drama"),
    "tt0000003": ("Zodiac", 1999, ["Drama", "Crime"], 7.7, "movie", "zodiac fincher drama crime"),
    "tt0000004": ("Berlin Nights", 2011, ["Drama"], 6.0, "tv", "berlin nights drama"),
}


@pytest.fixture
def alices(alice, database):
    """Four films of different kinds, and one that nobody has looked up; added in this order."""
    for number, (imdb_id, row) in enumerate(FILMS.items()):
        library.add(alice.id, imdb_id, at=T + number)
        title, year, genres, rating, kind, text = row
        Title.update(title=title, year=year, genres=genres, imdb_rating=rating, media_type=kind, search_text=text,
                     tmdb_state="ready").where(Title.imdb_id == imdb_id).execute()  # fmt: skip
    library.add(alice.id, "tt0000009", at=T + 9)
    return alice.id


def ids(user_id, offset=0, limit=60, **view):
    return [int(card.imdb_id[2:]) for card in browse.shelf(user_id, View(**view), offset, limit).cards]


def tabs(user_id, **view):
    return {tab.name: tab.films for tab in browse.shelf(user_id, View(**view), 0, 0).tabs}


# The address.


def test_a_view_is_what_its_address_says():
    view = browse.parse({"status": "watched", "q": " x ", "genre": "Drama", "sort": "year", "size": "l"})
    assert view.params() == {"status": "watched", "q": "x", "genre": "Drama", "sort": "year", "size": "l"}
    assert view.params(genre="", sort="added", size="m") == {"status": "watched", "q": "x"}
    assert browse.parse(view.params()) == view


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "custom"), ("status", "x"), ("decade", "1995"), ("decade", "3000"), ("person", "-1"), ("person", "1e3"),
     ("person", "9" * 30), ("rating", "11"), ("rating", "0"), ("rating", "nan"), ("sort", "imdb_id; drop table"),
     ("size", "xl"), ("trusted", "0"), ("kind", "person"), ("q", "a\0b"), ("list", "a/b"), ("_external", "1")],
)  # fmt: skip
def test_what_no_parameter_can_be_is_left_out(name, value):
    assert browse.parse({name: value}) == View()


def test_a_search_of_a_mile_is_cut():
    assert len(browse.parse({"q": "a" * 5000}).q) == browse.TEXT_MAX


# Tabs.


def test_the_tabs_count_every_shelf(alices):
    club = lists.create(alices, "Club")
    lists.create(alices, "Empty")
    library.set_status(alices, "tt0000001", "watched")
    library.set_status(alices, "tt0000002", "custom", club.id)
    library.set_status(alices, "tt0000003", "deleted")
    assert tabs(alices) == {"To watch": 2, "Watched": 1, "Club": 1, "Empty": 0, "All": 4, "Deleted": 1}
    assert ids(alices, list=club.id) == [2]
    assert ids(alices, status="all") == [9, 4, 2, 1]
    assert ids(alices, status="deleted") == [3]


def test_the_first_tab_is_what_is_to_be_watched_or_else_all(alices, bob):
    assert browse.shelf(alices, View(), 0, 60).view.status == "toWatch"
    for imdb_id in [*FILMS, "tt0000009"]:
        library.set_status(alices, imdb_id, "watched")
    assert browse.shelf(alices, View(), 0, 60).view.status == "all"
    empty = browse.shelf(bob.id, View(), 0, 60)
    assert (empty.view.status, empty.held, empty.cards) == ("toWatch", False, [])


def test_a_list_that_is_gone_shows_the_first_tab(alices):
    assert browse.shelf(alices, View(list="gone"), 0, 60).view == View(status="toWatch")


def test_counts_follow_the_filters(alices):
    library.set_status(alices, "tt0000003", "watched")
    assert tabs(alices, genre="Drama") == {"To watch": 2, "Watched": 1, "All": 3, "Deleted": 0}
    assert browse.shelf(alices, View(q="nothing at all"), 0, 60).held


# Filters.


@pytest.mark.parametrize(
    ("view", "found"),
    [
        ({"q": "scott"}, [1]), ({"q": "ALIEN"}, [1]), ({"q": "drama berlin"}, [4]), ({"q": "ÉLISE"}, [2]),
        ({"q": "tt0000009"}, [9]), ({"q": "100%"}, []), ({"q": "_lien"}, []), ({"q": "'; drop table movie --"}, []),
        ({"kind": "tv"}, [4]), ({"kind": "movie"}, [3, 2, 1]), ({"genre": "Drama"}, [4, 3, 2]),
        ({"genre": "Dram"}, []), ({"genre": '"'}, []), ({"decade": "1990"}, [3]), ({"decade": "1970"}, [1]),
        ({"genre": "Drama", "decade": "1960", "q": "roux"}, [2]),
    ],
)  # fmt: skip
def test_a_filter_leaves_the_others_out(alices, view, found):
    assert ids(alices, status="all", **view) == found


def test_films_are_filtered_by_who_recommended_them(alices):
    library.recommend(alices, "tt0000001", "Maya")
    library.recommend(alices, "tt0000002", "Maya", vote_type=False)
    library.recommend(alices, "tt0000003", "Tom")
    people.change(alices, "Tom", {"is_trusted": True})
    maya = str(Person.get(Person.name == "Maya").id)
    assert ids(alices, person=maya) == [1]
    assert browse.shelf(alices, View(person=maya), 0, 60).person == "Maya"
    assert ids(alices, trusted="1") == [3]
    assert ids(alices, trusted="1", person=maya) == []


def test_films_are_filtered_by_the_latest_rating(alices):
    library.watch(alices, "tt0000001", T, 9)
    library.watch(alices, "tt0000001", T + 86400, 6.5, again=True)
    library.watch(alices, "tt0000002", T, 8)
    library.watch(alices, "tt0000003", T)
    assert ids(alices, status="all", rating="7") == [2]
    assert ids(alices, status="all", rating="6.5") == [2, 1]


def test_the_filters_offer_what_the_library_has(alices):
    assert browse.facets(alices) == (["Crime", "Drama", "Horror", "Science Fiction"], [2010, 1990, 1970, 1960])


def test_nobody_sees_the_films_of_another(alices, bob):
    assert ids(bob.id, status="all") == []
    assert browse.card(bob.id, "tt0000001") is None
    assert browse.facets(bob.id) == ([], [])
    stranger = str(Person.get(Person.user == alices).id)
    assert browse.shelf(bob.id, View(person=stranger), 0, 60).person is None


# Sorting and paging.


@pytest.mark.parametrize(
    ("sort", "order"),
    [("added", [9, 4, 3, 2, 1]), ("watched", [2, 1, 9, 4, 3]), ("my_rating", [1, 9, 4, 3, 2]),
     ("imdb", [1, 3, 4, 9, 2]), ("year", [4, 3, 1, 2, 9]), ("title", [1, 4, 3, 2, 9])],
)  # fmt: skip
def test_each_order_has_what_lacks_it_last(alices, sort, order):
    library.watch(alices, "tt0000001", T, 9)
    library.watch(alices, "tt0000002", T + 5)
    assert ids(alices, status="all", sort=sort) == order


@pytest.mark.parametrize("sort", browse.SORTS)
def test_pages_show_each_film_once(alice, database, sort):
    put(alice, many(130))
    seen = [number for offset in (0, 60, 120) for number in ids(alice.id, offset, status="all", sort=sort)]
    assert sorted(seen) == list(range(1, 131))
    assert ids(alice.id, 180, status="all", sort=sort) == []


def test_a_card_shows_the_latest_watch_and_every_vote(alices):
    library.recommend(alices, "tt0000001", "Tom", vote_type=False)
    library.recommend(alices, "tt0000001", "Maya")
    library.watch(alices, "tt0000001", T, 5)
    library.watch(alices, "tt0000001", T + 86400, 7.5, again=True)
    card = browse.card(alices, "tt0000001")
    assert (card.title, card.year, card.my_rating, card.date_watched) == ("Alien", 1979, 7.5, T + 86400)
    assert [(vote.name, vote.is_up) for vote in card.votes] == [("Maya", True), ("Tom", False)]


@pytest.mark.parametrize("view", [{}, {"q": "a", "genre": "Drama"}, {"sort": "my_rating"}, {"person": "1"}])
def test_a_page_takes_the_same_few_queries_at_any_size(alice, database, view):
    put(alice, many(300, votes_each=3))
    with count_queries() as counter:
        browse.shelf(alice.id, View(**view), 0, 60)
    assert counter.count <= 6


def test_the_first_page_is_read_from_indexes_alone(alice, database):
    """No temporary sort, no scan: what grows with the library is left alone."""
    view, count = View(status="toWatch"), browse._counts(alice.id, View())
    assert count.total() == 0
    chosen = browse._filtered(browse.Movie.select(browse.Movie.id), alice.id, view, False)
    query = chosen.where(browse._in_tab(view, [])).order_by(*browse._order("added"), browse.Movie.id.desc()).limit(60)
    plan = " ".join(row[3] for row in db.execute_sql("EXPLAIN QUERY PLAN " + query.sql()[0], query.sql()[1]))
    assert "COVERING INDEX" in plan
    assert "TEMP B-TREE" not in plan


# Several at once.


def test_several_films_are_changed_at_once_and_put_back_at_once(alices):
    version = browse.shelf(alices, View(), 0, 0).total
    done = selection.set_status(alices, ["tt0000001", "TT0000002", "tt0000001", "tt7777777"], "watched")
    assert (done.changed, done.gone) == (2, 1)
    assert ids(alices, status="watched") == [2, 1]
    undo.back(alices, done.token)
    assert browse.shelf(alices, View(), 0, 0).total == version


def test_several_films_go_to_a_list_or_get_a_recommender_or_are_deleted(alices):
    club = lists.create(alices, "Club")
    assert selection.put_on_list(alices, ["tt0000001", "tt0000002"], club.id).changed == 2
    assert selection.recommend(alices, ["tt0000001", "tt0000003", "tt7777777"], " Eve ").changed == 2
    assert ids(alices, list=club.id) == [2, 1]
    assert [vote.name for vote in browse.card(alices, "tt0000003").votes] == ["Eve"]
    done = selection.delete(alices, ["tt0000001", "tt0000002"])
    assert tabs(alices)["All"] == 3
    undo.back(alices, done.token)
    assert ids(alices, list=club.id) == [2, 1]
    assert [vote.name for vote in browse.card(alices, "tt0000001").votes] == ["Eve"]

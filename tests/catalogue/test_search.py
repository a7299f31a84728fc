"""Finding films in the catalogue by what somebody types."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm.errors import UnavailableError
from mm.services.catalogue import folding, search, store
from tests.support import catalogue
from tests.support.catalogue import film

SAMPLE = pytest.mark.parametrize
# Letters of several scripts and what means something to SQLite, to IMDb or to Unicode.
LETTERS = "abcxyz éÅøß'’.-:&!#*\"()0129Иљ愛\u0301"


@pytest.fixture
def films(app):
    return catalogue.put()


def found(text, year=None, limit=20):
    return [film.title for film in search.search(text, year, limit)]


def put(*titles):
    """Films of which each has a few votes less than the one before."""
    catalogue.put([film(n, title, votes=1000 - n) for n, title in enumerate(titles, 1)])


@SAMPLE(
    "text, titles",
    [
        ("matrix", ["The Matrix", "Matrix", "The Matrix Reloaded"]),
        ("The Matrix", ["The Matrix", "The Matrix Reloaded", "Matrix"]),
        ("matrix rel", ["The Matrix Reloaded"]),
        ("reloaded matrix", ["The Matrix Reloaded"]),
        ("toy", ["Toy Story", "The Toy"]),
        ("the toy", ["The Toy"]),
        ("alien", ["Alien", "Aliens"]),
        ("aliens", ["Aliens"]),
        ("amelie", ["Amélie"]),
        ("le fabuleux", ["Amélie"]),
        ("die fabelhafte", ["Amélie"]),
        ("spiderman", ["Spider-Man"]),
        ("spider man", ["Spider-Man"]),
        ("schindlers", ["Schindler's List"]),
        ("schindler’s list", ["Schindler's List"]),
        ("rocky 2", ["Rocky II"]),
        ("rocky ii", ["Rocky II"]),
        ("nobody voted", ["A Film Nobody Voted For"]),
        ("breaking", ["Breaking Bad"]),
        ("starship", []),
    ],
)
def test_the_film_that_is_meant_comes_first(films, text, titles):
    assert found(text) == titles


@SAMPLE(
    "text, titles",
    [
        ("alien 1979", ["Alien"]),
        ("Alien (1979)", ["Alien"]),
        ("alien 1", ["Alien", "Aliens"]),
        ("alien 19", ["Alien", "Aliens"]),
        ("alien 197", ["Alien"]),
        ("alien 1980", ["Alien"]),
        ("alien 1983", []),
        ("matrix 1993", ["Matrix"]),
        ("the matrix 1999", ["The Matrix"]),
        ("blade runner 2049", ["Blade Runner 2049"]),
        ("blade runner 20", ["Blade Runner 2049"]),
        ("blade runner 2017", ["Blade Runner 2049"]),
        ("runner 2049", ["Blade Runner 2049"]),
        ("1979", []),
    ],
)
def test_digits_at_the_end_are_a_year_or_a_word_of_the_title(films, text, titles):
    assert found(text) == titles


def test_a_separate_year_may_be_off_by_one_if_nothing_else_fits(films):
    assert found("alien", 1979) == ["Alien"]
    assert found("alien", 1987) == ["Aliens"]
    assert found("alien", 1990) == []
    assert found("matrix", 1993) == ["Matrix"]


def test_a_title_that_begins_with_the_typed_article_comes_before_others(app):
    put("Matilda", "Matchstick Men and the Rest", "The Matador", "The Matrix")
    assert found("the mat") == ["The Matador", "The Matrix", "Matchstick Men and the Rest"]
    assert found("the mati") == ["Matilda"]
    assert found("mat")[0] == "Matilda"


def test_a_title_without_the_typed_article_counts_as_a_beginning(app):
    put("The Matador", "Mat", "The Mattress", "The Mat")
    assert found("the mat") == ["The Mat", "The Matador", "Mat", "The Mattress"]


def test_the_article_alone_finds_the_best_known_titles_that_begin_with_it(app):
    put("Guess the Day", "The Godfather", "Thelma", "The Day")
    for text in ("t", "th", "the"):
        assert found(text)[:2] == ["The Godfather", "Thelma"]


def test_an_exact_title_is_shown_even_beside_many_better_known_films(app):
    known = [film(n, f"Home Alone {n}", votes=900_000 - n) for n in range(1, 40)]
    catalogue.put([*known, film(50, "Home", votes=10), film(51, "Home")])
    titles = found("home")
    assert titles[5:7] == ["Home", "Home"]
    assert len(titles) == 20


def test_a_better_known_film_comes_before_an_exact_title_only_by_the_same_words(app):
    potter = [film(1, "Harry Potter", votes=900_000), film(2, "The Potteries", votes=800_000)]
    catalogue.put([*potter, film(3, "Iron Potters", votes=700_000), film(4, "Potter", votes=10)])
    assert found("potter") == ["Harry Potter", "The Potteries", "Potter", "Iron Potters"]


def test_a_common_beginning_is_not_sorted_and_gives_the_same_order(app, monkeypatch):
    put("Go Mad", "Man on Fire", "Iron Man", "Mad Max", "Mamma Mia", "Ask Ma")
    expected = ["Man on Fire", "Mad Max", "Mamma Mia", "Go Mad", "Iron Man", "Ask Ma"]
    assert found("ma") == expected
    monkeypatch.setattr(search, "SORTED_MAX", 1)
    assert found("ma") == expected


def test_same_title_finds_only_exact_titles(films):
    with store.reading() as connection:
        assert [film.year for film in search.same_title(connection, "MATRIX")] == [1999, 1993]
        assert [film.year for film in search.same_title(connection, "the matrix", 1993)] == [1993]
        assert search.same_title(connection, "matri") == []


def test_no_more_films_are_found_than_asked_for(films):
    assert len(found("a", limit=3)) == 3


@SAMPLE(
    "text",
    [
        *("", " ", "\0", "🎬", "…!?", '"', "*", "#", "#1979", "'; DROP TABLE film; --", "%_"),
        *("NEAR(", "a AND", "OR", "NOT b", "words:x", "x" * 500, "w " * 100, "{a b}", "^a", "-a"),
        *("(" * 50, "\ud800", "a\u19b0b", "1" * 30, "²", "１９９９", "alien ²", "alien ١٩٧٩"),
    ],
)
def test_strange_texts_find_only_what_fits(films, text):
    assert set(found(text)) <= {row.title for row in catalogue.FILMS}
    assert found(text, year=1979) is not None


def test_without_a_catalogue_it_says_so(app):
    with pytest.raises(UnavailableError):
        search.search("alien")


ANY = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TITLES = st.text(LETTERS, min_size=1, max_size=25).filter(folding.folded)


@ANY
@given(title=TITLES, others=st.lists(TITLES, max_size=5))
def test_a_film_is_found_by_the_beginning_of_each_word_of_its_title(app, title, others):
    put(title, *others)
    with store.reading() as connection:
        for word in folding.folded(title).split():
            for end in range(min(2, len(word)), len(word) + 1):
                assert "tt0000001" in ids(connection, word[:end])
        assert "tt0000001" in ids(connection, title)


@ANY
@given(text=st.text(max_size=60), year=st.none() | st.integers())
def test_no_text_breaks_it(films, text, year):
    search.search(text, year)


def ids(connection, text):
    return [film.imdb_id for film in search.search_in(connection, text)]

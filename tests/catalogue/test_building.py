"""A catalogue is made out of whatever the datasets hold; what is no row costs itself only."""

import errno
import gzip
import sqlite3

import pytest

from mm import config
from mm.errors import NoRoomError
from mm.schemas import CatalogueChoice
from mm.services import jobs
from mm.services.catalogue import building, dataset_files, gathering, store
from tests.support import dataset_rows
from tests.support.dataset_rows import NOTHING, aka, basics, rating

MATRIX = basics("tt0133093", "The Matrix", 1999, runtime=136, genres="Action,Sci-Fi")
TITLES = [
    MATRIX,
    basics("tt0903747", "Breaking Bad", 2008, "tvSeries", end_year=2013, runtime=45),
    basics("tt0211915", "Amélie", 2001, original="Le fabuleux destin d'Amélie Poulain"),
    basics("tt0959621", "Pilot", 2008, "tvEpisode"),
    basics("tt0287635", "A Game", 2001, "videoGame"),
    basics("tt0000001", "Carmencita", 1894, "short"),
    basics("tt0000002", "A Short Nobody Saw", 1894, "short"),
    basics("tt0000003", "A Film Nobody Voted For", 1990),
    basics("tt0000004", "For Adults", 1990, adult=1),
    basics("tt10000005", '"Quoted" Film', 2019),
]
RATINGS = [
    rating("tt0000001", 5.7, 2100),
    rating("tt0133093", 8.7, 2_100_000),
    rating("tt0903747", 9.5, 2_400_000),
    rating("tt0959621", 9.0, 50_000),
    rating("tt10000005", "10.0", 7),
]


@pytest.fixture
def build(app, tmp_path):
    """build(title_basics=[…], …): the films by imdb_id, the most voted first, and `about`."""

    def build_of(told=lambda *_: None, must_stop=lambda: False, **rows):
        wanted = {name: rows.pop(name, False) for name in ("akas", "directors", "adult")}
        rows = {"title_basics": TITLES, "title_ratings": RATINGS} | rows
        sources = dataset_rows.put(tmp_path / "sources", **rows)
        target = config.current.catalogue_file
        target.unlink(missing_ok=True)
        choice = CatalogueChoice(chosen_at=1.0, **wanted)
        about = building.build(sources, target, choice, {"title.basics": '"x"'}, told, must_stop)
        with store.reading() as database:
            assert store.about(database) == about
            ranked = database.execute(f"SELECT {store.COLUMNS} FROM film ORDER BY rank")
            films = [store.film_of(row) for row in ranked]
        assert list(config.current.datasets_dir.iterdir()) == []
        return {film.imdb_id: film for film in films}, about

    return build_of


def found(word):
    with store.reading() as database:
        rows = database.execute("SELECT rowid FROM search WHERE search MATCH ?", (word,))
        return [rank for (rank,) in rows]


def test_films_and_series_are_kept_the_most_voted_first(build):
    films, about = build()
    assert list(films) == [
        "tt0903747",
        "tt0133093",
        "tt0000001",
        "tt10000005",
        "tt0211915",
        "tt0000003",
    ]
    assert (about.films, about.series, about.etags) == (5, 1, {"title.basics": '"x"'})
    assert films["tt0133093"] == store.Film(
        "tt0133093",
        "movie",
        "The Matrix",
        None,
        1999,
        None,
        136,
        ["Action", "Sci-Fi"],
        8.7,
        2_100_000,
        [],
    )
    series = films["tt0903747"]
    assert (series.kind, series.year, series.end_year) == ("tv", 2008, 2013)
    assert films["tt0211915"].original_title == "Le fabuleux destin d'Amélie Poulain"
    assert films["tt10000005"].title == '"Quoted" Film'
    assert (films["tt0000003"].rating, films["tt0000003"].votes) == (None, None)


def test_films_for_adults_are_kept_where_they_were_asked_for(build):
    assert "tt0000004" not in build()[0]
    assert "tt0000004" in build(adult=True)[0]


def test_a_catalogue_is_one_file_that_only_its_owner_may_read(build):
    build()
    path = config.current.catalogue_file
    assert path.stat().st_mode & 0o777 == 0o600
    assert [other.name for other in path.parent.glob("catalogue*")] == ["catalogue.db"]


def test_titles_in_other_languages_are_found_but_not_stored(build):
    akas = [
        aka("tt0133093", "Matrice", 1),
        aka("tt0000002", "Unwanted", 1),
        aka("tt0903747", "Totál szívás", 1),
        aka("tt0133093", "La matriz", 2),
        aka("tt0133093", NOTHING, 3),
    ]
    build(akas=True, title_akas=akas)
    assert found("matrice") == found("matriz") == found("matrix") == [2]
    assert found("szivas") == [1]
    assert found("unwanted") == []
    build(title_akas=akas)
    assert found("matrice") == []


def test_directors_have_their_names_in_the_order_of_the_dataset(build):
    films, _ = build(
        directors=True,
        title_crew=[
            ("tt0133093", "nm0905154,nm0905152,nm0000009,none", NOTHING),
            ("tt0211915", NOTHING, NOTHING),
            ("tt0000002", "nm0000001", NOTHING),
        ],
        name_basics=[
            ("nm0905152", "Lilly Wachowski", 1967, NOTHING, "director", "tt0133093"),
            ("nm0905154", "Lana Wachowski", 1965, NOTHING, "director", "tt0133093"),
            ("nm0905154", "Lana Wachowski", 1965, NOTHING, "director", "tt0234215"),
            ("nm0000001", "Fred Astaire", 1899, 1987, "actor", NOTHING),
        ],
    )
    assert films["tt0133093"].directors == ["Lana Wachowski", "Lilly Wachowski"]
    assert films["tt0211915"].directors == []


@pytest.mark.parametrize(
    "row",
    [
        "tt0000010\tmovie\tToo few",
        "tt0000010\tmovie\tToo\tmany\tToo many\t0\t1999\t\\N\t90\tDrama",
        basics("tt12", "No tconst"),
        basics("nm0000010", "A person"),
        basics("tt00000010", "Too many zeros"),
        basics("tt9999999999", "Too high"),
        basics("ttabcdefg", "Letters"),
        basics("tt٠١٢٣٤٥٦", "Other digits"),
        basics("tt0000010", NOTHING),
        basics("tt0000010", "  "),
        basics("tt0000010", "Nul\0"),
        basics("tt0000010", "Long" * 2_500_000),
        "",
    ],
)
def test_what_is_no_row_is_left_out_and_counted(build, lines, row):
    films, _ = build(title_basics=[row, *TITLES])
    assert len(films) == 6
    [line] = [line for line in lines() if "catalogue.left_out" in line]
    assert "title.basics" in line
    assert "rows=1" in line


def test_a_row_that_is_no_text_is_left_out(build):
    text = dataset_rows.text_of("title.basics", TITLES)
    films, _ = build(title_basics=gzip.compress(text.replace("Amélie".encode(), b"Am\xe9lie")))
    assert len(films) == 5


def test_of_a_title_that_stands_twice_the_first_row_counts(build, lines):
    films, about = build(title_basics=[*TITLES, basics("tt0133093", "Another Matrix")])
    assert films["tt0133093"].title == "The Matrix"
    assert about.films == 5
    assert any("twice=1" in line for line in lines())


def test_a_value_that_cannot_be_is_none(build, lines):
    odd = basics("tt0133093", "The Matrix", 9999, end_year="soon", runtime=10**9, genres=NOTHING)
    films, _ = build(title_basics=[odd])
    matrix = films["tt0133093"]
    assert (matrix.year, matrix.end_year, matrix.runtime, matrix.genres) == (None, None, None, [])
    assert any("values=3" in line for line in lines())


def test_nothing_is_written_as_backslash_n(build, lines):
    films, _ = build(title_basics=[basics("tt0133093", "The Matrix", NOTHING, runtime=NOTHING)])
    assert (films["tt0133093"].year, films["tt0133093"].runtime) == (None, None)
    assert not any("catalogue.left_out" in line for line in lines())


@pytest.mark.parametrize(
    "average, votes",
    [(11, 5), (-1, 5), ("nan", 5), ("inf", 5), (8.7, -5), (8.7, 10**12), ("good", "many")],
)
def test_a_rating_that_cannot_be_is_none(build, average, votes):
    films, _ = build(title_ratings=[rating("tt0133093", average, votes)])
    assert (films["tt0133093"].rating, films["tt0133093"].votes) == (None, None)


def test_columns_are_found_by_their_names(build):
    header = "isNew genres tconst titleType originalTitle primaryTitle isAdult startYear endYear "
    header += "runtimeMinutes"
    row = ("1", "Action", "tt0133093", "movie", "Matrix", "The Matrix", 0, 1999, NOTHING, 136)
    text = dataset_rows.text_of("title.basics", [row], header)
    films, _ = build(title_basics=gzip.compress(text))
    matrix = films["tt0133093"]
    assert (matrix.title, matrix.original_title, matrix.runtime) == ("The Matrix", "Matrix", 136)


def packed(name="title.basics"):
    """Of a few megabytes, so that there is a middle."""
    rows = [basics(f"tt{number:07}", f"Film {number * 7919}") for number in range(1, 20_000)]
    return gzip.compress(dataset_rows.text_of(name, rows))


@pytest.mark.parametrize("dataset", ["title_basics", "title_ratings", "title_akas", "title_crew"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-3],
        lambda data: data[:-8] + b"\0" * 8,
        lambda data: data[: len(data) // 2] + b"\xff" * 500 + data[len(data) // 2 + 500 :],
        lambda data: b"<html>Log in to this network</html>" * 100,
        lambda data: b"",
        lambda data: gzip.compress(b""),
        lambda data: gzip.compress(b"<html>Log in</html>"),
        lambda data: gzip.compress(b"tconst\taverage\xff\n"),
    ],
    ids=["half", "tail", "sum", "middle", "html", "empty", "none", "packed html", "no text"],
)
def test_a_damaged_dataset_is_named_and_leaves_nothing(build, dataset, damage):
    name = dataset.replace("_", ".")
    with pytest.raises(building.UnreadableError, match=name) as caught:
        build(akas=True, directors=True, **{dataset: damage(packed(name))})
    assert caught.value.name == name
    require_nothing_left()


def test_a_header_without_a_needed_column_is_other_columns(build):
    text = dataset_rows.text_of("title.basics", [MATRIX]).replace(b"startYear", b"premiered")
    with pytest.raises(building.UnreadableError, match="other columns"):
        build(title_basics=gzip.compress(text))
    require_nothing_left()


@pytest.mark.parametrize("step", ["put", "sort"])
def test_a_full_disk_is_said_and_leaves_nothing(build, monkeypatch, step):
    def meet_full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gathering.Shelf, step, meet_full_disk)
    with pytest.raises(NoRoomError, match="Not enough disk space"):
        build()
    require_nothing_left()


def test_a_full_disk_met_by_sqlite_is_said_and_leaves_nothing(build, monkeypatch):
    """A limit on the database's pages stands for the disk's end."""
    monkeypatch.setattr(store, "SCHEMA", "PRAGMA max_page_count = 12;" + store.SCHEMA)
    many = [basics(f"tt{number:07}", f"Film number {number}") for number in range(1, 3000)]
    with pytest.raises(NoRoomError, match="Not enough disk space"):
        build(title_basics=many)
    require_nothing_left()


def test_an_error_that_is_no_full_disk_stays_what_it_is(build, monkeypatch):
    monkeypatch.setattr(store, "INDEXES", "CREATE INDEX nonsense ON nothing (x)")
    with pytest.raises(sqlite3.OperationalError, match="nothing"):
        build()
    require_nothing_left()


@pytest.mark.parametrize("doing", ["Reading ratings", "Reading titles", "Building the search"])
def test_it_stops_when_it_is_told_to_and_leaves_nothing(build, doing):
    said = []
    with pytest.raises(jobs.StoppedError):
        build(lambda *news: said.append(news[0]), lambda: doing in said)
    require_nothing_left()


def test_it_stops_while_sqlite_makes_its_indexes_too(build, monkeypatch):
    monkeypatch.setattr(store, "STEPS", 1)
    monkeypatch.setattr(dataset_files, "SECONDS_BETWEEN_NEWS", 0)
    said = []
    with pytest.raises(jobs.StoppedError):
        build(
            lambda *news: said.append(news),
            lambda: bool(said) and said[-1][0] == "Building the search" and said[-1][1] > 0,
        )
    # All films are written by then.
    _, done, total = said[-1]
    assert done == total
    require_nothing_left()


def test_it_says_what_it_does(build):
    said = []
    build(lambda *news: said.append(news), akas=True, directors=True)
    assert [doing for doing, _, _ in said] == [
        "Reading ratings",
        "Reading titles",
        "Reading titles in other languages",
        "Reading directors",
        "Reading names of directors",
        "Numbering",
        "Building the search",
    ]
    assert all(0 <= done <= total for _, done, total in said)


def require_nothing_left():
    assert not config.current.catalogue_file.exists()
    assert list(config.current.datasets_dir.iterdir()) == []


def test_numbers_are_found_by_key_and_given_in_their_order():
    numbers = gathering.Numbers()
    largest = 2**gathering.KEY_BITS - 1
    given = [(5, 900), (largest, gathering.LOWEST_BITS), (70_000, 3), (5, 7), (6, 0)]
    for key, value in given:
        numbers.put(key, value)
    numbers.sort()
    assert list(numbers) == sorted(given)
    assert list(numbers.of(5)) == [7, 900]
    assert (numbers.first(5), numbers.first(largest)) == (7, gathering.LOWEST_BITS)
    assert [numbers.first(key) for key in (4, 7, 70_001, 10**6)] == [0, 0, 0, 0]


def test_lines_are_found_by_key_however_long_they_are(tmp_path):
    shelf = gathering.Shelf(tmp_path, "title.akas")
    lines = {number: b"%d " % number * number**2 for number in range(90)}
    for number, line in lines.items():
        shelf.put(89 - number, line)
    shelf.sort()
    assert [line for _, line in shelf.lines()] == list(reversed(lines.values()))
    assert list(shelf.of(12)) == [lines[77]]
    assert list(shelf.of(200)) == []
    shelf.close()
    assert list(tmp_path.iterdir()) == []

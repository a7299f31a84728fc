"""Whatever the rows of a dataset hold, a catalogue made of them takes bounded time, memory and
room, and holds nothing that a page, a phone or a terminal could stumble over."""

import gzip

import pytest

from mm import config
from mm.schemas import CatalogueChoice
from mm.services.catalogue import building, dataset_files, gathering, rows, store
from tests.support import dataset_rows
from tests.support.dataset_rows import aka, basics, rating

FILM = basics("tt0000007", "A Film")


@pytest.fixture
def build(app, tmp_path):
    """build(title_basics=[…], …): the films by imdb_id."""

    def build_of(**given):
        given = {"title_basics": [FILM], "title_ratings": [rating("tt0000007", 5, 9)]} | given
        sources = dataset_rows.put(tmp_path / "sources", **given)
        target = config.current.catalogue_file
        target.unlink(missing_ok=True)
        choice = CatalogueChoice(1.0, akas=True, directors=True, adult=True)
        building.build(sources, target, choice, {}, lambda *_: None, lambda: False)
        with store.reading() as database:
            ranked = database.execute(f"SELECT {store.COLUMNS} FROM film ORDER BY rank")
            return {film.imdb_id: film for film in map(store.film_of, ranked)}

    return build_of


def test_control_characters_do_not_get_into_titles_or_names(build):
    title = "A\x1b[31m Red\x07\x9b \u2028Film\u200b \u202egnp.exe"
    films = build(
        title_basics=[basics("tt0000007", title, genres="Dra\x1bma")],
        title_crew=[("tt0000007", "nm0000001", r"\N")],
        name_basics=[("nm0000001", "Jo\x1b]0;x\x07hn", 1950, r"\N", r"\N", r"\N")],
    )

    film = films["tt0000007"]
    assert film.title == "A[31m Red Film gnp.exe"
    assert (film.genres, film.directors) == (["Drama"], ["Jo]0;xhn"])


def test_letters_that_are_joined_or_turned_stay_joined_and_turned(build):
    """The joiners of Persian and Indian scripts and of emoji are no control characters to drop."""
    title = "می\u200cخواهم \u200fनोक\u200dझोंक"
    assert build(title_basics=[basics("tt0000007", title)])["tt0000007"].title == title


def test_what_belongs_to_a_film_has_an_end(build):
    people = 3000
    films = build(
        title_basics=[basics("tt0000007", "A Film", genres=",".join(f"g{n}" for n in range(999)))],
        title_akas=[aka("tt0000007", f"Name{n} {'x' * 900}") for n in range(5000)],
        title_crew=[("tt0000007", ",".join(f"nm{n:07}" for n in range(1, people)), r"\N")] * 20,
        name_basics=[(f"nm{n:07}", f"Name {n}", *[r"\N"] * 4) for n in range(1, people)] * 3,
    )

    film = films["tt0000007"]
    assert len(film.directors) == len(set(film.directors)) <= 100
    assert len(film.genres) <= 10
    assert config.current.catalogue_file.stat().st_size < 5 * 2**20


def test_a_dataset_that_unpacks_without_end_is_damaged(build, monkeypatch):
    monkeypatch.setattr(dataset_files, "UNPACKED_MAX", 10**6)
    for filler in (b"\n", b"\t", b"x", b"tt0000001\t5.0\t9\n"):
        text = dataset_rows.text_of("title.ratings", []) + filler * (2 * 10**6)
        with pytest.raises(building.UnreadableError, match="more than any dataset") as error:
            build(title_ratings=gzip.compress(text))
        assert error.value.name == "title.ratings"


@pytest.mark.parametrize("name", ["title.basics", "title.ratings", "title.akas", "title.crew"])
def test_more_rows_than_imdb_could_have_are_not_kept_in_memory(build, monkeypatch, name):
    monkeypatch.setattr(gathering, "MOST", 50)
    monkeypatch.setattr(building, "MOST_TITLES", 1)
    row = {
        "title.basics": lambda n: basics(f"tt{n:07}", "A Film"),
        "title.ratings": lambda n: rating(f"tt{n:07}", 5, 9),
        "title.akas": lambda n: aka(("tt0000007", "tt0000008")[n % 2], "A Film"),
        "title.crew": lambda n: ("tt0000007", "nm0000001", r"\N"),
    }[name]
    given = {name.replace(".", "_"): [row(n) for n in range(1, 60)]}
    if name == "title.akas":
        given["title_basics"] = [FILM, basics("tt0000008", "Another")]

    with pytest.raises(building.UnreadableError, match="more rows") as error:
        build(**given)
    assert error.value.name == name


def test_long_genres_are_left_out_and_not_remembered(build):
    rows.genres_of.cache_clear()
    genres = ["x" * 60_000, ",".join(f"g{number}" for number in range(40))]
    films = build(title_basics=[basics(f"tt000000{n}", "A", genres=genres[n - 1]) for n in (1, 2)])

    assert films["tt0000001"].genres == []
    assert films["tt0000002"].genres == [f"g{number}" for number in range(10)]
    assert rows.genres_of.cache_info().currsize == 1

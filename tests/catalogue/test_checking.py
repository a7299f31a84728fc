"""A new catalogue takes the place of the one in use only where it is to be believed."""

import sqlite3
from contextlib import closing

import pytest

from mm import config
from mm.errors import InvalidError
from mm.schemas import CatalogueChoice
from mm.services import jobs
from mm.services.catalogue import checking, store
from tests.support import catalogue

MATRIX = catalogue.film(133093, "The Matrix", 1999, 2_100_000, 8.7)


def films(count, votes=10):
    return [MATRIX] + [
        catalogue.film(10_000_000 + number, f"Film {number}", 1999, votes, 7.0)
        for number in range(count - 1)
    ]


@pytest.fixture
def put(app):
    """put(films, name): a catalogue in the data folder."""

    def put_in(films, name="new.db", **about):
        return catalogue.put(films, config.current.data_dir / name, **about)

    return put_in


def test_the_first_one_may_be_small(put):
    checking.check(put(catalogue.FILMS), None)


def test_a_check_ends_when_it_is_told_to(put, monkeypatch):
    monkeypatch.setattr(store, "STEPS", 1)
    with pytest.raises(jobs.StoppedError):
        checking.check(put(films(100)), None, lambda: True)


def test_one_that_is_about_as_large_as_the_one_in_use_is_believed(put):
    checking.check(put(films(70)), put(films(100), "old.db"))


def test_half_of_the_films_are_not_believed(put):
    with pytest.raises(InvalidError) as caught:
        checking.check(put(films(1000)), put(films(2000), "old.db"))
    assert caught.value.message == (
        "The new catalogue has only 1,000 films and series, and the one in use has 2,000. So the "
        "new one is not used."
    )


def test_half_of_the_ratings_are_not_believed(put):
    half = films(50) + [
        catalogue.film(20_000_000 + number, f"Unrated {number}") for number in range(50)
    ]
    with pytest.raises(InvalidError, match="only 50 ratings, and the one in use has 100"):
        checking.check(put(half), put(films(100), "old.db"))


def test_another_choice_may_make_it_smaller(put):
    with_adult = CatalogueChoice(chosen_at=1.0, adult=True)
    checking.check(put(films(50)), put(films(100), "old.db", choice=with_adult))


def test_one_in_use_that_cannot_be_read_is_nothing_to_compare_with(put, tmp_path):
    old = tmp_path / "old.db"
    checking.check(put(films(5)), old)
    old.write_bytes(b"no database" * 1000)
    checking.check(put(films(5)), old)


@pytest.mark.parametrize(
    "few, what", [([], "films and series"), ([catalogue.film(1, "Unrated")], "ratings")]
)
def test_one_without_films_or_ratings_is_not_used(put, few, what):
    with pytest.raises(InvalidError, match=f"has no {what}, so it is not used"):
        checking.check(put(few), None)


def test_a_well_known_film_must_be_what_it_is(put):
    wrong = catalogue.film(133093, "Episode #1.1", 2020, 5, 6.0)
    with pytest.raises(InvalidError, match="tt0133093 as a movie from 2020 instead of a movie"):
        checking.check(put([wrong]), None)


def test_a_large_one_must_have_all_that_are_well_known(put, monkeypatch):
    monkeypatch.setattr(checking, "LARGE", 100)
    with pytest.raises(InvalidError, match="lacks tt0034583, which IMDb certainly has"):
        checking.check(put(films(100)), None)
    known = [
        catalogue.film(int(imdb_id[2:]), "A Film", year, 10, 7.0, kind=kind)
        for imdb_id, (kind, year) in checking.KNOWN.items()
    ]
    checking.check(put(known + films(100)[1:]), None)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_damaged_one_is_not_used(put, share):
    path = put(films(3000))
    data = bytearray(path.read_bytes())
    start = int(len(data) * share) // 4096 * 4096
    data[start : start + 4096] = b"\xaa" * 4096
    path.write_bytes(data)
    with pytest.raises(InvalidError, match="cannot be read, so it is not used"):
        checking.check(path, None)


def test_one_that_is_cut_off_or_empty_is_not_used(put):
    path = put(films(3000))
    data = path.read_bytes()
    for part in (data[: len(data) // 2], b"", b"<html>" * 100):
        path.write_bytes(part)
        with pytest.raises(InvalidError, match="cannot be read, so it is not used"):
            checking.check(path, None)


def test_one_that_is_not_all_there_is_not_used(put):
    path = put(films(30))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM film WHERE rank > 10")
    with pytest.raises(InvalidError, match="it claims to have 30 films, but has 10"):
        checking.check(path, None)


def test_one_whose_search_finds_nothing_is_not_used(put):
    path = put(films(30))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO search (search) VALUES ('delete-all')")
    with pytest.raises(InvalidError, match="its search finds nothing"):
        checking.check(path, None)

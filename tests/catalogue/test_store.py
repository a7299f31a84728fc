"""The catalogue is a file that is only read, and replaced as a whole."""

import contextlib
import os
import sqlite3

import pytest

from mm import config
from mm.errors import UnavailableError
from mm.services.catalogue import store, updates
from mm.services.enrichment import offline_lookups
from tests.support import catalogue


def test_films_are_found_by_their_ids(app):
    catalogue.put()
    with store.reading() as connection:
        found = store.find(connection, ["tt0133093", "tt0000001", "tt00133093", "ttx"])
    assert list(found) == ["tt0133093"]
    matrix = found["tt0133093"]
    assert matrix[1:4] == ("movie", "The Matrix", None)
    assert (matrix.year, matrix.runtime, matrix.rating, matrix.votes) == (1999, 136, 8.7, 2_100_000)
    assert matrix.genres == ["Action", "Sci-Fi"]
    assert matrix.directors == ["Lana Wachowski", "Lilly Wachowski"]


def test_it_says_what_it_was_built_from(app):
    catalogue.put(etags={"title.basics": '"abc"'})
    with store.reading() as connection:
        about = store.about(connection)
    assert (about.films, about.series, about.etags) == (12, 2, {"title.basics": '"abc"'})


def test_only_its_owner_may_read_it(app):
    assert catalogue.put().stat().st_mode & 0o777 == 0o600


def test_without_a_catalogue_it_raises_and_says_so(app):
    assert not store.is_there()
    with pytest.raises(UnavailableError, match="There is no catalogue"), store.reading():
        pass


def test_a_reader_keeps_what_it_opened_while_another_takes_its_place(app):
    catalogue.put()
    with store.reading() as connection:
        catalogue.put([catalogue.film(1, "Another")])
        assert store.find(connection, ["tt0133093"])
    with store.reading() as connection:
        assert list(store.find(connection, ["tt0133093", "tt0000001"])) == ["tt0000001"]


@pytest.mark.parametrize("damage", [b"not a database" * 100, b""])
def test_one_that_cannot_be_read_is_removed_and_the_error_says_so(app, lines, damage):
    path = catalogue.put()
    path.write_bytes(damage + path.read_bytes()[len(damage) :] if damage else b"\0" * 9000)
    with pytest.raises(UnavailableError, match="fetched again"), store.reading() as connection:
        store.find(connection, ["tt0133093"])
    assert not store.is_there()
    assert any("catalogue.damaged" in line for line in lines())


def other_version(path):
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript("CREATE TABLE film (id); PRAGMA user_version = 99")


@pytest.mark.parametrize(
    "put_in_place",
    [
        lambda path: path.write_bytes(b""),
        other_version,
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to(path)),
    ],
    ids=["nothing in it", "another version", "a folder", "a pipe", "a link to itself"],
)
def test_what_is_no_catalogue_of_this_version_counts_as_none(app, put_in_place):
    put_in_place(catalogue.put())
    with pytest.raises(UnavailableError, match="There is no catalogue"), store.reading():
        pass
    assert not store.is_there()
    assert offline_lookups.search("toy") == []
    assert offline_lookups.find("tt0133093") is None
    assert updates.in_use() is None
    assert os.path.lexists(config.current.catalogue_file)


@pytest.mark.parametrize("change", ["UPDATE about SET json = '{'", "DELETE FROM about"])
def test_one_that_does_not_say_what_it_was_made_of_is_made_anew(database, change):
    with contextlib.closing(sqlite3.connect(catalogue.put())) as damaged, damaged:
        damaged.execute(change)
    assert updates.in_use() is None
    updates.choose(akas=False, directors=False, adult=False)
    assert updates.start_if_due()

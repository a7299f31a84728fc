"""The catalogue: a SQLite file of films and series, made from IMDb's datasets and never changed.

Another one takes its place by a rename. Each use opens the file anew and only reads, so nobody
waits, and nobody sees half of one.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from mm import config, disk, log
from mm.database import chunks
from mm.errors import UnavailableError
from mm.schemas import CatalogueAbout
from mm.services import jobs
from mm.services.catalogue import folding

# Of the file's form; one of another version is made anew.
VERSION = 1
# `rank` numbers the films, the one with the most votes first: rows in its order need no sorting,
# and a LIMIT ends a search early.
#
# `search` holds only which films have a word, by rank. A year is the word #1979, with a mark that
# no word of a title has. The words are folded before, so all but ASCII belongs to a word.
SCHEMA = """
CREATE TABLE about (json TEXT NOT NULL);
CREATE TABLE film (
    rank INTEGER PRIMARY KEY,
    tconst INTEGER NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    original_title TEXT,
    year INTEGER,
    end_year INTEGER,
    runtime INTEGER,
    genres TEXT,
    rating REAL,
    votes INTEGER,
    directors TEXT,
    folded_title TEXT NOT NULL
);
CREATE VIRTUAL TABLE search USING fts5 (
    words, content='', columnsize=0, detail=none, prefix='1 2 3',
    tokenize="ascii tokenchars '#'"
);
"""
INDEXES = """
CREATE UNIQUE INDEX film_tconst ON film (tconst);
CREATE INDEX film_folded_title ON film (folded_title);
"""
# While it is written: or it would merge its parts again and again, which is done once at the end.
FTS_OPTIONS = {"automerge": 0, "crisismerge": 1000, "hashsize": 8_000_000}
YEAR_MARK = "#"
COLUMNS = (
    "tconst, kind, title, original_title, year, end_year, runtime, genres, rating, votes, directors"
)
# Names contain commas.
BETWEEN_NAMES = "\n"
BATCH = 5000
# Of SQLite's virtual machine, between two looks whether to stop: some milliseconds.
STEPS = 10_000
MISSING = "There is no catalogue of films on this server."
DAMAGED = "The catalogue of films cannot be read. It is fetched again."


class Film(NamedTuple):
    """A film or series (`kind`: movie or tv). `original_title` is None where it is the same;
    `runtime` in minutes, `rating` of 10."""

    imdb_id: str
    kind: str
    title: str
    original_title: str | None
    year: int | None
    end_year: int | None
    runtime: int | None
    genres: list[str]
    rating: float | None
    votes: int | None
    directors: list[str]


class NewFilm(NamedTuple):
    """A row to be written: as `Film`, with lists as the file holds them (genres by comma, directors
    by BETWEEN_NAMES). `further_words`: those of its titles in other languages."""

    tconst: int
    kind: str
    title: str
    original_title: str | None
    year: int | None
    end_year: int | None
    runtime: int | None
    genres: str | None
    rating: float | None
    votes: int | None
    directors: str | None
    further_words: str


def imdb_id_of(tconst: int) -> str:
    return f"tt{tconst:07}"


def tconst_of(imdb_id: str) -> int | None:
    """None for an id that IMDb does not write so."""
    digits = imdb_id.removeprefix("tt")
    is_one = digits.isascii() and digits.isdecimal() and len(digits) <= 10
    return int(digits) if is_one and imdb_id_of(int(digits)) == imdb_id else None


def is_there() -> bool:
    """Whether there is one that can be searched."""
    try:
        with reading():
            return True
    except UnavailableError:
        return False


@contextlib.contextmanager
def reading() -> Iterator[sqlite3.Connection]:
    """The catalogue of this moment. Raises UnavailableError where there is none of this VERSION.
    One that cannot be read is removed, to be fetched again."""
    path = config.current.catalogue_file
    try:
        opened = path.stat().st_ino
        # What is no file would perhaps never answer.
        if not path.is_file():
            raise UnavailableError(MISSING)
        # Nobody ever writes into it, so SQLite needs neither locks nor a look for changes.
        uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True)
    except (OSError, sqlite3.OperationalError) as error:
        raise UnavailableError(MISSING) from error
    with contextlib.closing(connection):
        try:
            if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
                raise UnavailableError(MISSING)
            yield connection
        except sqlite3.DatabaseError as error:
            # A table or a column is not there.
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
                raise UnavailableError(MISSING) from error
            if not disk.is_damaged(error):
                raise
            log.error("catalogue.damaged", error=str(error))
            with contextlib.suppress(FileNotFoundError):
                # Not another one, which may have taken its place.
                if path.stat().st_ino == opened:
                    path.unlink()
            raise UnavailableError(DAMAGED) from error


def about(connection: sqlite3.Connection) -> CatalogueAbout:
    """Raises msgspec.DecodeError."""
    [text] = connection.execute("SELECT json FROM about").fetchone() or [""]
    return msgspec.json.decode(text or "", type=CatalogueAbout)


def find(connection: sqlite3.Connection, imdb_ids: Iterable[str]) -> dict[str, Film]:
    """By imdb_id; without those that the catalogue does not have."""
    tconsts = filter(None, map(tconst_of, imdb_ids))
    found: dict[str, Film] = {}
    for part in chunks(tconsts):
        marks = ",".join("?" * len(part))
        rows = connection.execute(f"SELECT {COLUMNS} FROM film WHERE tconst IN ({marks})", part)  # noqa: S608
        found |= {film.imdb_id: film for film in map(film_of, rows)}
    return found


def films_by_id(imdb_ids: Iterable[str]) -> dict[str, Film]:
    """As `find`, in the catalogue of this moment; empty where there is none or it cannot be read:
    whoever asks goes on without."""
    try:
        with reading() as connection:
            return find(connection, imdb_ids)
    except (UnavailableError, sqlite3.Error) as error:
        if config.current.catalogue_file.exists():
            log.warning("catalogue.not_read", reason=str(error))
        return {}


def film_of(row: tuple) -> Film:
    """From a row of COLUMNS."""
    tconst, kind, title, original_title, year, end_year, runtime, genres, *numbers, directors = row
    rating, votes = numbers
    return Film(
        imdb_id_of(tconst),
        kind,
        title,
        original_title,
        year,
        end_year,
        runtime,
        genres.split(",") if genres else [],
        rating,
        votes,
        directors.split(BETWEEN_NAMES) if directors else [],
    )


@contextlib.contextmanager
def ending(connection: sqlite3.Connection, must_stop: Callable[[], bool]) -> Iterator[None]:
    """Ends statements that take long. Raises jobs.StoppedError once it `must_stop`."""
    connection.set_progress_handler(must_stop, STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise jobs.StoppedError from error
    finally:
        connection.set_progress_handler(None, 0)


def write(
    path: Path,
    films: Iterable[NewFilm],
    about: CatalogueAbout | Callable[[], CatalogueAbout],
    must_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Make a catalogue at `path`, which must not exist, of films in the order of their ranks.
    `about` may be asked for it once all films are written. Raises sqlite3 errors, and
    jobs.StoppedError once it `must_stop`; what is left of the file is then for the caller to
    remove."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection):
        # If this is killed, the file is thrown away.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        for option, value in FTS_OPTIONS.items():
            connection.execute("INSERT INTO search (search, rank) VALUES (?, ?)", (option, value))
        films, next_rank = iter(films), 1
        while batch := list(islice(films, BATCH)):
            _insert(connection, batch, next_rank)
            next_rank += len(batch)
        text = msgspec.json.encode(about() if callable(about) else about).decode()
        connection.execute("INSERT INTO about VALUES (?)", (text,))
        connection.execute("COMMIT")
        with ending(connection, must_stop):
            connection.executescript(INDEXES)
            connection.execute("INSERT INTO search (search) VALUES ('optimize')")


def _insert(connection: sqlite3.Connection, films: list[NewFilm], first_rank: int) -> None:
    rows, words = [], []
    for rank, film in enumerate(films, first_rank):
        folded, found = folding.folded_and_words(film.title)
        if film.original_title:
            found = f"{found} {folding.words(film.original_title)}"
        year = f"{YEAR_MARK}{film.year}" if film.year else ""
        rows.append((rank, *film[:-1], folding.without_article(folded)))
        words.append((rank, f"{found} {film.further_words} {year}"))
    marks = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO film VALUES ({marks})", rows)  # noqa: S608
    connection.executemany("INSERT INTO search (rowid, words) VALUES (?, ?)", words)

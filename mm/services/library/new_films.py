"""Many films at once that a library lacks, or has as deleted; inside the transaction of a verb."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mm import models
from mm.database import chunks, db, insert_rows
from mm.models import Movie
from mm.services import shown_titles
from mm.services.enrichment import offline_titles
from mm.services.library import bulk
from mm.services.library.changes import Write, remove_tombstones


class NewFilm(NamedTuple):
    """`title` and `year`: what the film is called until the server knows it."""

    imdb_id: str
    title: str | None
    year: int | None
    media_type: str | None


class Held(NamedTuple):
    id: int
    is_deleted: bool


def held(user_id: str, imdb_ids: Iterable[str]) -> dict[str, Held]:
    """Those of these films that the library has, deleted ones too."""
    return {
        imdb_id: Held(movie_id, status == "deleted")
        for imdb_id, movie_id, status in _rows(user_id, imdb_ids)
    }


def add(change: Write, films: Sequence[NewFilm]) -> None:
    """To watch, each of them; none is in the library yet. The caller looks whether there is room.
    What nobody has described is looked up as soon as its turn comes."""
    imdb_ids = [film.imdb_id for film in films]
    models.ensure_titles(db.obj, imdb_ids)
    for part in chunks(imdb_ids):
        offline_titles.fill(part)
    remove_tombstones(change, "movie", *imdb_ids)
    columns = (
        Movie.user,
        Movie.title,
        Movie.media_type,
        Movie.status,
        Movie.hint_title,
        Movie.hint_year,
        Movie.search_text,
        Movie.date_added,
        Movie.last_modified,
        Movie.updated_at,
    )
    marks = (change.at, change.at, change.updated_at)
    rows = (
        (
            change.user_id,
            film.imdb_id,
            film.media_type,
            "toWatch",
            film.title,
            film.year,
            shown_titles.search_text(film.title, None),
            *marks,
        )
        for film in films
    )
    insert_rows(db.obj, columns, rows)


def bring_back(change: Write, imdb_ids: Iterable[str]) -> None:
    """Those that are deleted, as `bulk.bring_back` does."""
    for part in chunks(imdb_ids):
        mine = (Movie.user == change.user_id) & (Movie.status == "deleted")
        if movies := list(Movie.select().where(mine & Movie.title.in_(part))):
            bulk.bring_back(change, movies)


def _rows(user_id: str, imdb_ids: Iterable[str]) -> Iterator[tuple[str, int, str]]:
    for part in chunks(imdb_ids):
        mine = (Movie.user == user_id) & Movie.title.in_(part)
        yield from db.execute(Movie.select(Movie.title, Movie.id, Movie.status).where(mine))

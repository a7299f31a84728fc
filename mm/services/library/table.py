"""A tab of the library as a table for a spreadsheet: the films of the page, in its order."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from peewee import fn

from mm import clock, config
from mm.database import chunks, db, literal, snapshot
from mm.models import CustomList, ListFilm, Movie, Person, Recommendation, Title, Watch
from mm.services import shown_titles
from mm.services.library import browse, saved_views, watches

# Films read at once: a table of any length takes the memory of one batch.
BATCH_SIZE = 1000
COLUMNS = (
    "Title",
    "Original title",
    "Year",
    "Kind",
    "Status",
    "Lists",
    "Genres",
    "Directors",
    "Runtime (minutes)",
    "My rating",
    "Watched on",
    "Times watched",
    "Added on",
    "Recommended by",
    "Said to skip it",
    "IMDb rating",
    "Rotten Tomatoes",
    "Metacritic",
    "My note",
    "IMDb ID",
    "TMDB ID",
)
KINDS = {"movie": "Film", "tv": "Series"}


class Table(NamedTuple):
    """`name`: of the saved view or the list that it shows, else empty. Each of `batches` is a list
    of rows with a value for each of the COLUMNS; a day is an ISO date in the server's time zone."""

    name: str
    batches: Iterator[list[tuple]]


class _Names(NamedTuple):
    """By film's id."""

    lists: dict[int, list[str]]
    recommended: dict[int, list[str]]
    said_to_skip: dict[int, list[str]]


def of(user_id: str, query: browse.LibraryQuery) -> Table:
    """All films of the query's tab that pass its filters.

    Which films and their order are read here, and each batch when its turn comes: no film is there
    twice, and none is missing but those that are deleted permanently meanwhile. A transaction
    around it all would hold back the database for as long as the slowest download.
    """
    shown, list_name, ids = browse.everything(user_id, query)
    name = saved_views.name_of(user_id, shown) or list_name
    batches = (_batch(user_id, part) for part in chunks(ids, BATCH_SIZE))
    return Table(name, batches)


def _batch(user_id: str, ids: Sequence[int]) -> list[tuple]:
    """Three queries."""
    films = (
        Movie.select(
            Movie.id,
            shown_titles.TITLE,
            Title.original_title,
            shown_titles.YEAR,
            fn.COALESCE(Movie.media_type, Title.media_type),
            Movie.status,
            Title.genres,
            Title.directors,
            Title.runtime,
            watches.rating_given(),
            watches.of_latest(Watch.date_watched),
            watches.of_latest(Watch.day_known),
            Watch.select(fn.COUNT(Watch.id)).where(Watch.movie == Movie.id),
            Movie.date_added,
            Title.imdb_rating,
            Title.rotten_tomatoes,
            Title.metacritic,
            Movie.note,
            Movie.title,
            Title.tmdb_id,
        )
        .join(Title)
        .where((Movie.user == user_id) & Movie.id.in_(literal(ids)))
    )
    with snapshot(db.obj):
        found = {movie_id: row for movie_id, *row in db.execute(films)}
        names = _names(ids)
    return [_row(movie_id, names, *found[movie_id]) for movie_id in ids if movie_id in found]


def _row(
    movie_id: int,
    names: _Names,
    title: str | None,
    original_title: str | None,
    year: int | None,
    kind: str | None,
    status: str,
    genres: str | list[str],
    directors: str | list[str],
    runtime: int | None,
    my_rating: float | None,
    watched: float | None,
    day_known: bool | None,
    times_watched: int,
    added: float,
    imdb_rating: float | None,
    rotten_tomatoes: int | None,
    metacritic: int | None,
    note: str | None,
    imdb_id: str,
    tmdb_id: int | None,
) -> tuple:
    return (
        title,
        original_title,
        year,
        KINDS.get(kind or ""),
        browse.STATUS_LABELS[status],
        _joined(names.lists.get(movie_id, ())),
        _joined(_loaded(genres)),
        _joined(_loaded(directors)),
        runtime,
        _plain(my_rating),
        _day(watched) if day_known else None,
        times_watched,
        _day(added),
        _joined(names.recommended.get(movie_id, ())),
        _joined(names.said_to_skip.get(movie_id, ())),
        _plain(imdb_rating),
        rotten_tomatoes,
        metacritic,
        note,
        imdb_id,
        tmdb_id,
    )


def _names(ids: Sequence[int]) -> _Names:
    """Lists in the user's order, people by when they voted."""
    names = _Names({}, {}, {})
    on_lists = (
        ListFilm.select(ListFilm.movie, CustomList.name)
        .join(CustomList)
        .where(ListFilm.movie.in_(literal(ids)))
        .order_by(CustomList.position, CustomList.id)
    )
    for movie_id, name in db.execute(on_lists):
        names.lists.setdefault(movie_id, []).append(name)
    votes = (
        Recommendation.select(Recommendation.movie, Recommendation.vote_type, Person.name)
        .join(Person)
        .where(Recommendation.movie.in_(literal(ids)))
        .order_by(Recommendation.date_recommended, Recommendation.id)
    )
    for movie_id, is_up, name in db.execute(votes):
        voters = names.recommended if is_up else names.said_to_skip
        voters.setdefault(movie_id, []).append(name)
    return names


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)


def _loaded(names: str | list[str]) -> list[str]:
    """PostgreSQL's driver has read the JSON already."""
    return json.loads(names) if isinstance(names, str) else names


def _plain(number: float | None) -> float | None:
    """8.0 as 8."""
    return int(number) if number is not None and number.is_integer() else number


def _day(moment: float | None) -> str | None:
    return None if moment is None else clock.local(moment, config.current.zone).date().isoformat()

"""A user's ranking, read and written as a whole, for exports, imports and undo.

In the table, `position` only sorts the films of a group: a film that leaves the ranking leaves a
gap, and nothing is renumbered. The positions that users see are counted while reading.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from peewee import Database

from mm.database import insert_rows
from mm.models import Movie, Ranking


class Ranked(NamedTuple):
    """`position` counts from 1, separately for the liked films and the others."""

    imdb_id: str
    liked: bool
    position: int
    ranked_at: float


def read(database: Database, user_id: str) -> list[Ranked]:
    """Liked films first, then the others, each group by position."""
    rows = (
        Ranking.select(Movie.title, Ranking.liked, Ranking.position, Ranking.ranked_at)
        .join(Movie)
        .where((Movie.user == user_id) & (Movie.status == "watched"))
        .order_by(Ranking.liked.desc(), Ranking.position, Ranking.ranked_at, Ranking.movie)
    )
    ranking = (
        Ranked(imdb_id, bool(liked), position, ranked_at)
        for imdb_id, liked, position, ranked_at in database.execute(rows)
    )
    return list(numbered(ranking))


def numbered(order: Iterable[Ranked]) -> Iterator[Ranked]:
    """Liked films first, with positions without gaps; within a group the order stays."""
    groups: dict[bool, list[Ranked]] = {True: [], False: []}
    for film in order:
        groups[film.liked].append(film)
    for group in groups.values():
        yield from (film._replace(position=place) for place, film in enumerate(group, start=1))


def replace(database: Database, user_id: str, order: Iterable[Ranked]) -> None:
    """Replace the user's whole ranking. All films of `order` must be in the library."""
    films = Movie.select(Movie.title, Movie.id).where(Movie.user == user_id)
    movies = dict(database.execute(films))
    of_user = Ranking.movie.in_(Movie.select(Movie.id).where(Movie.user == user_id))
    Ranking.delete().where(of_user).execute(database)
    columns = (Ranking.movie, Ranking.liked, Ranking.position, Ranking.ranked_at)
    rows = ((movies[imdb_id], *place) for imdb_id, *place in numbered(order))
    insert_rows(database, columns, rows)

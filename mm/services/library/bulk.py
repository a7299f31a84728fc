"""One thing done to several films at once, with one undo.

Each verb takes 1 to FILMS_MAX films, and raises InvalidError for another number.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from peewee import Expression, fn

from mm import models
from mm.database import db, insert_rows, update_rows
from mm.errors import InvalidError
from mm.models import Movie, Person, Ranking, Recommendation, Watch
from mm.services import validation
from mm.services.library import list_films, lists, people, undo
from mm.services.library.changes import (
    Write,
    add_tombstones,
    later,
    mark_lists_changed,
    mark_people_changed,
    mark_voters_changed,
    write,
)

STATUSES = ("toWatch", "watched", "deleted")
FILMS_MAX = 1000


@dataclass(frozen=True)
class BulkResult:
    """How many films were `changed`, and how many were `missing` from the library
    by then; `undo_token` takes it back, None where it cannot be."""

    changed: int
    missing: int
    undo_token: str | None


def set_status(user_id: str, imdb_ids: Iterable[str], status: str) -> BulkResult:
    """Raises InvalidError for another status than STATUSES."""
    if status not in STATUSES:
        raise InvalidError("Choose what to do with these films.")
    return _apply(user_id, imdb_ids, lambda change, movies: _move(change, movies, status))


def put_on_list(user_id: str, imdb_ids: Iterable[str], list_id: str) -> BulkResult:
    """Raises NotFoundError for a list that is gone."""

    def put(change: Write, movies: Sequence[Movie]) -> None:
        _move(change, movies, "custom", lists.find(user_id, list_id).pk)

    lists.find(user_id, list_id)
    return _apply(user_id, imdb_ids, put)


def recommend(user_id: str, imdb_ids: Iterable[str], person_name: str) -> BulkResult:
    """Makes the person where there is none. Whoever voted on a film before, up or
    down, keeps that vote; a film of status deleted comes back."""
    name = validation.name(person_name, "person_name")

    def add_votes(change: Write, movies: Sequence[Movie]) -> None:
        bring_back(change, [movie for movie in movies if movie.status == "deleted"])
        [person] = people.get_or_create(change, [name])
        _add_votes(change, movies, person)
        _mark(change, movies)

    return _apply(user_id, imdb_ids, add_votes)


def delete(user_id: str, imdb_ids: Iterable[str]) -> BulkResult:
    """Remove the films with their votes and watches; the status
    `deleted` keeps them."""

    def remove(change: Write, movies: Sequence[Movie]) -> None:
        mark_lists_changed(change, movies)
        mark_voters_changed(change, movies)
        Movie.delete().where(Movie.id.in_([movie.id for movie in movies])).execute()
        add_tombstones(change, "movie", *(movie.imdb_id for movie in movies))

    return _apply(user_id, imdb_ids, remove)


def bring_back(change: Write, movies: Sequence[Movie]) -> None:
    """Films of status deleted: to watched where they have a watch, else to watch. Inside the
    transaction of a verb, as many as one IN takes."""
    seen = {watch.movie_id for watch in Watch.select().where(_of(Watch, movies))}
    _move(change, [movie for movie in movies if movie.id in seen], "watched")
    _move(change, [movie for movie in movies if movie.id not in seen], "toWatch")


def _apply(
    user_id: str, imdb_ids: Iterable[str], verb: Callable[[Write, Sequence[Movie]], None]
) -> BulkResult:
    """Run the verb on those films that exist, as one write in a bounded
    number of queries."""
    wanted = list(dict.fromkeys(validation.imdb_id(imdb_id) for imdb_id in imdb_ids))
    if not wanted:
        raise InvalidError("Select some films first.")
    if len(wanted) > FILMS_MAX:
        raise InvalidError(
            f"You selected {len(wanted):,} films; the limit is {FILMS_MAX:,} at a time."
        )
    with undo.step(user_id, wanted) as step:
        rows = Movie.select().where((Movie.user == user_id) & Movie.title.in_(wanted))
        found = {movie.imdb_id: movie for movie in rows}
        # In the order in which they were selected: a list takes them in it.
        if movies := [found[imdb_id] for imdb_id in wanted if imdb_id in found]:
            with write(user_id) as change:
                verb(change, movies)
                models.spread_updates(db.obj, user_id, change.updated_at)
    return BulkResult(len(movies), len(wanted) - len(movies), step.token)


def _move(change: Write, movies: Sequence[Movie], status: str, list_pk: int | None = None) -> None:
    turned = [movie for movie in movies if (movie.status == "deleted") != (status == "deleted")]
    mark_lists_changed(change, turned)
    mark_voters_changed(change, turned)
    ids = [movie.id for movie in movies]
    if list_pk is not None:
        list_films.make_custom(change, list_pk, ids)
    else:
        Movie.update(status=status, custom_list=None).where(Movie.id.in_(ids)).execute()
        if status != "watched":
            Ranking.delete().where(_of(Ranking, movies)).execute()
    _mark(change, movies)


def _mark(change: Write, movies: Sequence[Movie]) -> None:
    rows = ((later(change.at, movie), change.updated_at, movie.id) for movie in movies)
    update_rows(db.obj, [Movie.last_modified, Movie.updated_at], [Movie.id], rows)


def _add_votes(change: Write, movies: Sequence[Movie], person: Person) -> None:
    theirs = _of(Recommendation, movies) & (Recommendation.person == person.id)
    voted = {vote.movie_id for vote in Recommendation.select().where(theirs)}
    new = [movie for movie in movies if movie.id not in voted]
    if not new:
        return
    full = (
        Recommendation.select(Recommendation.movie)
        .where(_of(Recommendation, new))
        .group_by(Recommendation.movie)
        .having(fn.COUNT(Recommendation.id) >= validation.VOTES_MAX)
    )
    if full.exists():
        most = f"{validation.VOTES_MAX:,}"
        raise InvalidError(
            f"One of these films already has {most} recommendations, which is the limit."
        )
    columns = [
        Recommendation.movie,
        Recommendation.person,
        Recommendation.vote_type,
        Recommendation.date_recommended,
    ]
    insert_rows(db.obj, columns, ((movie.id, person.id, True, change.at) for movie in new))
    mark_people_changed(change, Person.id == person.id)


def _of(table: type[Recommendation | Ranking | Watch], movies: Sequence[Movie]) -> Expression:
    return table.movie.in_([movie.id for movie in movies])

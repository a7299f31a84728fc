"""One thing done to several films at once, with one undo."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from peewee import fn

from mm import models
from mm.database import db, insert_rows, update_rows
from mm.errors import InvalidError
from mm.models import Movie, Person, Ranking, Recommendation, Watch
from mm.services import validation
from mm.services.library import lists, people, undo
from mm.services.library.changes import Write, bury_films, later, write

STATUSES = ("toWatch", "watched", "deleted")
FILMS_MAX = 1000
Act = Callable[[Write, Sequence[Movie]], None]


@dataclass(frozen=True)
class Done:
    """`changed` films, and so many `gone` that were not there any more; `token` takes it back."""

    changed: int
    gone: int
    token: str | None


def set_status(user_id: str, imdb_ids: Iterable[str], status: str) -> Done:
    """Raises InvalidError for a status that is none, or for too few or too many films, as the verbs
    below."""
    if status not in STATUSES:
        raise InvalidError("Choose what to do with these films.")
    return _do(user_id, imdb_ids, lambda made, movies: _move(made, movies, status))


def put_on_list(user_id: str, imdb_ids: Iterable[str], list_id: str) -> Done:
    """Raises NotFoundError for a list that is gone."""

    def put(made: Write, movies: Sequence[Movie]) -> None:
        _move(made, movies, "custom", lists.find(user_id, list_id).pk)

    lists.find(user_id, list_id)
    return _do(user_id, imdb_ids, put)


def recommend(user_id: str, imdb_ids: Iterable[str], person_name: str) -> Done:
    """Makes the person where there is none. Whoever voted on a film before, up or down, keeps that
    vote; a film of status deleted comes back."""
    name = validation.name(person_name, "person_name")

    def add_votes(made: Write, movies: Sequence[Movie]) -> None:
        _bring_back(made, [movie for movie in movies if movie.status == "deleted"])
        _add_votes(made, movies, people.obtain(made, [name])[name])
        _mark(made, movies)

    return _do(user_id, imdb_ids, add_votes)


def delete(user_id: str, imdb_ids: Iterable[str]) -> Done:
    """Gone with votes and watches; the status `deleted` keeps them."""

    def remove(made: Write, movies: Sequence[Movie]) -> None:
        _recount_voters(made, movies)
        Movie.delete().where(Movie.id.in_([movie.id for movie in movies])).execute()
        bury_films(made, [movie.imdb_id for movie in movies])

    return _do(user_id, imdb_ids, remove)


def _do(user_id: str, imdb_ids: Iterable[str], act: Act) -> Done:
    """`act` on those of the films that are there, as one write in a bounded number of queries."""
    wanted = list(dict.fromkeys(validation.imdb_id(imdb_id) for imdb_id in imdb_ids))
    if not wanted:
        raise InvalidError("Choose some films first.")
    if len(wanted) > FILMS_MAX:
        raise InvalidError(
            f"You chose {len(wanted):,} films. Choose {FILMS_MAX:,} at most at a time."
        )
    with undo.step(user_id, wanted) as step:
        rows = Movie.select().where((Movie.user == user_id) & Movie.title.in_(wanted))
        if movies := list(rows):
            with write(user_id) as made:
                act(made, movies)
                models.spread_updates(db.obj, user_id, made.updated_at)
    return Done(len(movies), len(wanted) - len(movies), step.token)


def _move(made: Write, movies: Sequence[Movie], status: str, list_pk: int | None = None) -> None:
    turned = [movie for movie in movies if (movie.status == "deleted") != (status == "deleted")]
    _recount_voters(made, turned)
    mine = Movie.id.in_([movie.id for movie in movies])
    Movie.update(status=status, custom_list=list_pk).where(mine).execute()
    if status != "watched":
        Ranking.delete().where(Ranking.movie.in_([movie.id for movie in movies])).execute()
    _mark(made, movies)


def _mark(made: Write, movies: Sequence[Movie]) -> None:
    rows = ((later(made.at, movie), made.updated_at, movie.id) for movie in movies)
    update_rows(db.obj, [Movie.last_modified, Movie.updated_at], [Movie.id], rows)


def _bring_back(made: Write, movies: Sequence[Movie]) -> None:
    watches = Watch.select(Watch.movie).where(Watch.movie.in_([movie.id for movie in movies]))
    seen = {movie_id for (movie_id,) in watches.tuples()}
    _move(made, [movie for movie in movies if movie.id in seen], "watched")
    _move(made, [movie for movie in movies if movie.id not in seen], "toWatch")


def _add_votes(made: Write, movies: Sequence[Movie], person: Person) -> None:
    votes = Recommendation.movie.in_([movie.id for movie in movies])
    theirs = Recommendation.select(Recommendation.movie)
    theirs = theirs.where(votes & (Recommendation.person == person.id))
    voted = {movie_id for (movie_id,) in theirs.tuples()}
    if new := [movie for movie in movies if movie.id not in voted]:
        _require_room_for_votes(new)
        columns = [
            Recommendation.movie,
            Recommendation.person,
            Recommendation.vote_type,
            Recommendation.date_recommended,
        ]
        rows = ((movie.id, person.id, True, made.at) for movie in new)
        insert_rows(db.obj, columns, rows)
        people.recount(made, Person.id == person.id)


def _require_room_for_votes(movies: Sequence[Movie]) -> None:
    count = fn.COUNT(Recommendation.id)
    full = (
        Recommendation.select(Recommendation.movie)
        .where(Recommendation.movie.in_([movie.id for movie in movies]))
        .group_by(Recommendation.movie)
        .having(count >= validation.VOTES_MAX)
    )
    if full.exists():
        most = f"{validation.VOTES_MAX:,}"
        raise InvalidError(f"One of these films has {most} recommendations, and takes no more.")


def _recount_voters(made: Write, movies: Sequence[Movie]) -> None:
    voted = Recommendation.movie.in_([movie.id for movie in movies])
    people.recount(made, Person.id.in_(Recommendation.select(Recommendation.person).where(voted)))

"""What every write to a user's library does besides its own rows: time stamps,
tombstones, limits."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from peewee import Expression, fn

from mm import clock, models
from mm.database import Table, chunks, db, insert_rows
from mm.errors import InvalidError
from mm.models import CustomList, ListFilm, Movie, Person, Recommendation, SavedView, Tombstone
from mm.services import validation


class Write(NamedTuple):
    """One transaction. `at` becomes the last_modified of the rows that the user
    changed; `updated_at` becomes that of every row whose JSON changes with them."""

    user_id: str
    at: float
    updated_at: float


@contextlib.contextmanager
def write(user_id: str, at: float | None = None) -> Iterator[Write]:
    """A transaction that counts as one write of this user; inside another it is
    a part of that one.

    `at`: when the user did it, by a client's own clock; at most now.
    """
    with db.atomic():
        models.touch_library(db.obj, user_id)
        now = clock.now()
        yield Write(user_id, now if at is None else min(at, now), models.next_update(db.obj))


def require_room(user_id: str, table: type[Table], noun: str, more: int = 1) -> None:
    """Raises InvalidError where `more` rows would exceed what an export file may
    hold: such a library could no longer be backed up."""
    if table.select().where(table.user == user_id).count() + more > validation.FILMS_MAX:
        most = f"{validation.FILMS_MAX:,} {noun}"
        raise InvalidError(f"A library can hold {most}. Delete some you no longer need.")


def require_list_room(user_id: str, more: int = 1) -> None:
    """As `require_room`, of films on all lists of a library together."""
    entries = ListFilm.select().join(CustomList).where(CustomList.user == user_id)
    if more and entries.count() + more > validation.LIST_FILMS_MAX:
        raise InvalidError(
            f"The lists of a library can hold {validation.LIST_FILMS_MAX:,} films altogether. "
            "Take some off a list first."
        )


def next_position(user_id: str, table: type[CustomList] | type[SavedView]) -> int:
    """The position after the last of this user's rows; at the largest number
    several may share it."""
    last = table.select(fn.MAX(table.position)).where(table.user == user_id).scalar()
    return 0 if last is None else min(last + 1, validation.NUMBER_MAX)


def add_tombstones(change: Write, kind: str, *keys: str, name_key: str | None = None) -> None:
    """Tell the sync feed that these were deleted. `kind`: movie, person or list;
    `name_key`: that of a single person."""
    remove_tombstones(change, kind, *keys)
    columns = [
        Tombstone.user,
        Tombstone.kind,
        Tombstone.key,
        Tombstone.deleted_at,
        Tombstone.updated_at,
        Tombstone.name_key,
    ]
    marks = (change.at, change.updated_at, name_key)
    insert_rows(db.obj, columns, ((change.user_id, kind, key, *marks) for key in keys))


def remove_tombstones(change: Write, kind: str, *keys: str) -> None:
    """For rows that exist again."""
    of_kind = (Tombstone.user == change.user_id) & (Tombstone.kind == kind)
    for batch in chunks(keys):
        Tombstone.delete().where(of_kind & Tombstone.key.in_(batch)).execute()


def mark_films_changed(change: Write, *person_ids: int) -> None:
    """For the sync feed: the JSON of a film carries the names of those
    who recommended it."""
    for part in chunks(person_ids):
        votes = Recommendation.person.in_(part)
        films = Recommendation.select(Recommendation.movie).where(votes)
        Movie.update(updated_at=change.updated_at).where(Movie.id.in_(films)).execute()
    models.spread_updates(db.obj, change.user_id, change.updated_at)


def mark_people_changed(change: Write, condition: Expression) -> None:
    """For the sync feed: the JSON of a person carries the number of their films."""
    (
        Person.update(updated_at=change.updated_at)
        .where((Person.user == change.user_id) & condition)
        .execute()
    )


def mark_voters_changed(change: Write, movies: Iterable[Movie]) -> None:
    """As `mark_people_changed`, of those who voted on these films."""
    voters = Recommendation.select(Recommendation.person).where(
        Recommendation.movie.in_([movie.id for movie in movies])
    )
    mark_people_changed(change, Person.id.in_(voters))


def mark_lists_changed(change: Write, movies: Iterable[Movie]) -> None:
    """For the sync feed: a list is read with its films, and deleted ones are not among
    them. Call it before the films are deleted."""
    lists = ListFilm.select(ListFilm.custom_list).where(
        ListFilm.movie.in_([movie.id for movie in movies])
    )
    CustomList.update(updated_at=change.updated_at).where(CustomList.pk.in_(lists)).execute()


class Stamped(Protocol):
    """A film, a person or a list, or a row with these columns of it."""

    @property
    def last_modified(self) -> float: ...

    @property
    def updated_at(self) -> float: ...


def changed_at(row: Stamped) -> float:
    """When the user changed it; at most when the server stored that, because an
    imported file may bring a time in the future."""
    return min(row.last_modified, row.updated_at)


def later(at: float, row: Stamped) -> float:
    """The new last_modified of a row that the user changes `at`: never earlier than
    it was, though clocks differ."""
    return max(at, changed_at(row))

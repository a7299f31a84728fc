"""What every write to a user's own library does besides its rows: the marks, the count, the
tombstones."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from mm import clock, models
from mm.database import Table, chunks, db, insert_rows
from mm.errors import InvalidError
from mm.models import Movie, Recommendation, Tombstone
from mm.services import validation


class Write(NamedTuple):
    """One transaction. `at` becomes the last_modified of what the user changed, `updated_at` that
    of every row whose JSON changes."""

    user_id: str
    at: float
    updated_at: float


@contextlib.contextmanager
def write(user_id: str, at: float | None = None) -> Iterator[Write]:
    """A transaction that counts as one write of this user; inside another it is a part of that one.

    `at`: when the user did it, by a client's own clock; at most now.
    """
    with db.atomic():
        models.touch_library(db.obj, user_id)
        now = clock.now()
        yield Write(user_id, now if at is None else min(at, now), models.next_update(db.obj))


def bury(made: Write, kind: str, key: str, name_key: str | None = None) -> None:
    """Keep for the sync feed that something was deleted. `kind`: movie, person or list; `name_key`:
    a person's."""
    unbury(made, kind, key)
    Tombstone.create(
        user=made.user_id,
        kind=kind,
        key=key,
        deleted_at=made.at,
        updated_at=made.updated_at,
        name_key=name_key,
    )


def require_room(user_id: str, table: type[Table], words: str, more: int = 1) -> None:
    """Raises InvalidError where `more` rows are more than a file of a library may hold: such a library
    could be backed up no longer."""
    if table.select().where(table.user == user_id).count() + more > validation.FILMS_MAX:
        most = f"{validation.FILMS_MAX:,} {words}"
        raise InvalidError(f"A library holds {most} at most. Delete some that you no longer need.")


def bury_films(made: Write, imdb_ids: Sequence[str]) -> None:
    """As `bury`, of many films in few queries."""
    unbury(made, "movie", *imdb_ids)
    columns = [
        Tombstone.user,
        Tombstone.kind,
        Tombstone.key,
        Tombstone.deleted_at,
        Tombstone.updated_at,
    ]
    rows = ((made.user_id, "movie", imdb_id, made.at, made.updated_at) for imdb_id in imdb_ids)
    insert_rows(db.obj, columns, rows)


def unbury(made: Write, kind: str, *keys: str) -> None:
    """What is here again is no longer deleted."""
    mine = (Tombstone.user == made.user_id) & (Tombstone.kind == kind)
    for part in chunks(keys):
        Tombstone.delete().where(mine & Tombstone.key.in_(part)).execute()


def wake_films_of(made: Write, person_id: int) -> None:
    """A film's JSON carries the names of those who recommended it."""
    films = Recommendation.select(Recommendation.movie).where(Recommendation.person == person_id)
    Movie.update(updated_at=made.updated_at).where(Movie.id.in_(films)).execute()
    models.spread_updates(db.obj, made.user_id, made.updated_at)


class Marked(Protocol):
    """A film, a person or a list, or as much of it as is needed here."""

    @property
    def last_modified(self) -> float: ...

    @property
    def updated_at(self) -> float: ...


def changed_at(row: Marked) -> float:
    """A file may say that it was changed tomorrow; it was not, after the server wrote it down."""
    return min(row.last_modified, row.updated_at)


def later(at: float, row: Marked) -> float:
    """The last_modified of a row that is changed by what was done `at`. It never goes back, though
    clocks differ."""
    return max(at, changed_at(row))

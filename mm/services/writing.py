"""What every write to a user's own library does besides its rows: the marks, the count, the tombstones."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from mm import clock, models
from mm.models import Movie, Recommendation, Tombstone, db


class Write(NamedTuple):
    """One transaction. `at` becomes the last_modified of what the user changed, `updated_at` that of every row whose
    JSON changes."""

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


def bury(made: Write, kind: str, key: str) -> None:
    """Keep for the sync feed that something was deleted. `kind`: movie, person or list."""
    unbury(made, kind, key)
    Tombstone.create(user=made.user_id, kind=kind, key=key, deleted_at=made.at, updated_at=made.updated_at)


def unbury(made: Write, kind: str, key: str) -> None:
    """What is here again is no longer deleted."""
    (
        Tombstone.delete()
        .where(Tombstone.user == made.user_id)
        .where(Tombstone.kind == kind)
        .where(Tombstone.key == key)
        .execute()
    )


def wake_films_of(made: Write, person_id: int) -> None:
    """A film's JSON carries the names of those who recommended it."""
    films = Recommendation.select(Recommendation.movie).where(Recommendation.person == person_id)
    Movie.update(updated_at=made.updated_at).where(Movie.id.in_(films)).execute()
    models.spread_updates(db.obj, made.user_id, made.updated_at)

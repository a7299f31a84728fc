"""What somebody changed in their own library since a moment: for clients that hold a connection
open.

Other processes write too (imports, restores), so the database is asked, once a second for each
connection. What the enrichment brings is no change of the user's and is not told.
"""

from typing import NamedTuple

from peewee import fn

from mm.database import db, snapshot
from mm.models import CustomList, Movie, Person, Setting, Tombstone, User

# Of so many films at most an event names their ids.
NAMED_MAX = 50
# For whoever missed what happened.
EVERYTHING = (
    {"type": "movieUpdated", "imdb_ids": []},
    {"type": "peopleUpdated"},
    {"type": "listUpdated"},
)


class Mark(NamedTuple):
    """How far a connection has been told. `movie` is the largest key of a film so far."""

    library_version: int
    updated_at: float
    movie: int


def mark(user_id: str, token_version: int) -> Mark | None:
    """The present state; None once the account's log-ins were ended or the account is closed."""
    row = (
        User.select(User.library_version, _last_update(), _newest_movie(user_id))
        .where((User.id == user_id) & (User.token_version == token_version) & User.is_active)
        .tuples()
        .first()
    )
    return row and Mark(row[0], float(row[1] or 0), row[2] or 0)


def news(user_id: str, token_version: int, told: Mark) -> tuple[list[dict], Mark | None]:
    """The events since `told`, at most one of each kind, and the new mark; None as in `mark`."""
    with snapshot(db.obj):
        now = mark(user_id, token_version)
        if now is None or now.library_version == told.library_version:
            return [], now
        return _events(user_id, told), now


def _events(user_id: str, told: Mark) -> list[dict]:
    films = _changed(Movie, user_id, told).order_by(Movie.updated_at)
    rows = list(films.select(Movie.id, Movie.title, Movie.status).tuples())
    deleted = [imdb_id for _, imdb_id, status in rows if status == "deleted"]
    alive = [(key, imdb_id) for key, imdb_id, status in rows if status != "deleted"]
    gone = _changed(Tombstone, user_id, told).where(Tombstone.kind == "movie")
    deleted += [key for (key,) in gone.select(Tombstone.key).tuples()]
    events = [
        _event("movieAdded", [imdb_id for key, imdb_id in alive if key > told.movie]),
        _event("movieUpdated", [imdb_id for key, imdb_id in alive if key <= told.movie]),
        _event("movieDeleted", deleted),
        _touched("peopleUpdated", Person, "person", user_id, told),
        _touched("listUpdated", CustomList, "list", user_id, told),
    ]
    return [event for event in events if event]


def _event(kind: str, imdb_ids: list[str]) -> dict | None:
    if not imdb_ids:
        return None
    return {"type": kind, "imdb_ids": imdb_ids if len(imdb_ids) <= NAMED_MAX else []}


def _touched(kind: str, table, buried: str, user_id: str, told: Mark) -> dict | None:
    changed = _changed(table, user_id, told).exists()
    gone = _changed(Tombstone, user_id, told).where(Tombstone.kind == buried).exists()
    return {"type": kind} if changed or gone else None


def _changed(table, user_id: str, told: Mark):
    return table.select().where((table.user == user_id) & (table.updated_at > told.updated_at))


def _last_update():
    """The clock from which all values of `updated_at` are given."""
    return Setting.select(Setting.value).where(Setting.key == "clock")


def _newest_movie(user_id: str):
    return Movie.select(fn.MAX(Movie.id)).where(Movie.user == user_id)

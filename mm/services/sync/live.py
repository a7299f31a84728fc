"""What a user changed in their own library since a moment, as events for clients
that hold a connection open.

Other processes write too (imports, restores), so the database is asked once a
second for each connection. Details that the enrichment fetched are no change of the
user's and are left out.
"""

from typing import NamedTuple

from peewee import ModelSelect, fn

from mm.database import Table, db, snapshot
from mm.models import CustomList, Movie, Person, Setting, Tombstone, User

# An event names the ids of so many films at most; of more it names none.
NAMED_MAX = 50
# For a client that missed what happened.
EVERYTHING = (
    {"type": "movieUpdated", "imdb_ids": []},
    {"type": "peopleUpdated"},
    {"type": "listUpdated"},
)


class Cursor(NamedTuple):
    """Up to where a connection has been sent the events; `movie_id` is the
    largest one so far."""

    library_version: int
    updated_at: float
    movie_id: int


def cursor(user_id: str, token_version: int) -> Cursor | None:
    """The present state; None once the account's sessions were ended or the
    account is closed."""
    # The clock from which all values of `updated_at` are given.
    last_update = Setting.select(Setting.value).where(Setting.key == "clock")
    newest_movie = Movie.select(fn.MAX(Movie.id)).where(Movie.user == user_id)
    row = (
        User.select(User.library_version, last_update, newest_movie)
        .where((User.id == user_id) & (User.token_version == token_version) & User.is_active)
        .tuples()
        .first()
    )
    return row and Cursor(row[0], float(row[1] or 0), row[2] or 0)


def events_since(
    user_id: str, token_version: int, since: Cursor
) -> tuple[list[dict], Cursor | None]:
    """The events, at most one of each kind, and the new cursor; None as in
    `cursor`."""
    with snapshot(db.obj):
        now = cursor(user_id, token_version)
        if now is None or now.library_version == since.library_version:
            return [], now
        films = _changed(Movie, user_id, since).order_by(Movie.updated_at)
        rows = list(films.select(Movie.id, Movie.title, Movie.status).tuples())
        deleted = [imdb_id for _, imdb_id, status in rows if status == "deleted"]
        others = [(movie_id, imdb_id) for movie_id, imdb_id, status in rows if status != "deleted"]
        tombstones = _changed(Tombstone, user_id, since).where(Tombstone.kind == "movie")
        deleted += [imdb_id for (imdb_id,) in tombstones.select(Tombstone.key).tuples()]
        added = [imdb_id for movie_id, imdb_id in others if movie_id > since.movie_id]
        updated = [imdb_id for movie_id, imdb_id in others if movie_id <= since.movie_id]
        kinds = {"movieAdded": added, "movieUpdated": updated, "movieDeleted": deleted}
        events: list[dict] = [
            {"type": kind, "imdb_ids": imdb_ids if len(imdb_ids) <= NAMED_MAX else []}
            for kind, imdb_ids in kinds.items()
            if imdb_ids
        ]
        if _has_changes(Person, "person", user_id, since):
            events.append({"type": "peopleUpdated"})
        if _has_changes(CustomList, "list", user_id, since):
            events.append({"type": "listUpdated"})
        return events, now


def _has_changes(table: type[Table], kind: str, user_id: str, since: Cursor) -> bool:
    deleted = _changed(Tombstone, user_id, since).where(Tombstone.kind == kind)
    return _changed(table, user_id, since).exists() or deleted.exists()


def _changed(table: type[Table], user_id: str, since: Cursor) -> ModelSelect:
    return table.select().where((table.user == user_id) & (table.updated_at > since.updated_at))

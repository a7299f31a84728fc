"""What changed in one user's library since a moment, by `updated_at`.

A row that changes moves to the end, so nothing is missed while others write between
two pages. The values of `updated_at` are given in the order of the commits, so a
client that asks from the largest one it saw misses nothing either.

When the whole server was restored, the rows are those of another time: what a client
read before is worth nothing, and it is sent everything. `models.epoch()` is when that
was, and every restored row of a library has a larger `updated_at`.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from peewee import Tuple, fn

from mm import clock, models
from mm.database import Table, chunks, db, snapshot
from mm.errors import InvalidError
from mm.models import CustomList, Movie, Person, SavedView, Tombstone, User
from mm.schemas import Feed, Problem
from mm.services.library import lists, people, saved_views
from mm.services.validation import MILLISECONDS_FROM

KEEP_SECONDS = 90 * clock.DAY
# The setting {user's id: updated_at}: up to when the deletions of each user have been forgotten.
FORGOTTEN = "deletions_forgotten"
# In the order in which rows of one updated_at are reported: people and lists before
# the films and views that name them.
TABLES: tuple[type[Table], ...] = (Person, CustomList, Movie, Tombstone, SavedView)


class Position(NamedTuple):
    """Of a row in the feed: its updated_at, its table's place in
    TABLES, its primary key."""

    updated_at: float
    table: int
    key: int


class Offset(NamedTuple):
    """Where a page ended, and the epoch in which it was read: a restore of the whole
    server gives every row another place."""

    position: Position
    epoch: float

    def __str__(self) -> str:
        parts = (*self.position, self.epoch) if self.epoch else self.position
        return "_".join(map(repr, parts))


class Changes(NamedTuple):
    """`feed` without its films, whose ids are in `film_ids`, for
    `serializers.in_batches`."""

    feed: Feed
    film_ids: list[int]


def everything_since(user_id: str, since: float) -> Changes:
    """`since` in seconds or milliseconds. Raises InvalidError for what is not a
    time."""
    return _read(user_id, since, None, None)


def page(user_id: str, since: float, limit: int, offset: str | None) -> Changes:
    """`offset`: the next_offset of the page before. Raises InvalidError
    for any other text."""
    if offset in (None, "", "0"):
        return _read(user_id, since, limit, None)
    return _read(user_id, since, limit, _parsed(offset or ""))


def _parsed(offset: str) -> Offset:
    try:
        updated_at, table, key, *epoch = offset.split("_")
        position = Position(float(updated_at), int(table), int(key))
        [read_in] = [float(part) for part in epoch] or [0.0]
    except ValueError:
        position, read_in = Position(math.nan, 0, 0), 0.0
    is_position = (
        math.isfinite(position.updated_at)
        and 0 <= position.table < len(TABLES)
        and 0 <= position.key < 2**63
        and math.isfinite(read_in)
    )
    if not is_position:
        reason = "is not the next_offset of an answer"
        raise InvalidError(f"offset: {reason}", [Problem("offset", reason)])
    return Offset(position, read_in)


def newest(user_id: str) -> float:
    """The largest updated_at of this user's rows, at least the epoch; 0 where there are none and
    the server was never restored."""
    values = (
        table.select(table.updated_at)
        .where(table.user == user_id)
        .order_by(table.updated_at.desc())
        .limit(1)
        .scalar()
        for table in TABLES
    )
    return max(models.epoch(), *(value or 0.0 for value in values))


def sweep() -> None:
    """Forget old deletions; a client that was away since then is sent everything."""
    old = Tombstone.updated_at < clock.now() - KEEP_SECONDS
    if not Tombstone.select().where(old).exists():
        return
    with db.atomic():
        newest = Tombstone.select(Tombstone.user, fn.MAX(Tombstone.updated_at)).where(old)
        users = {user_id for (user_id,) in User.select(User.id).tuples()}
        forgotten = models.setting(FORGOTTEN, {}) | dict(newest.group_by(Tombstone.user).tuples())
        kept = {user_id: moment for user_id, moment in forgotten.items() if user_id in users}
        models.put_setting(FORGOTTEN, kept)
        Tombstone.delete().where(old).execute()


def _read(user_id: str, since: float, limit: int | None, offset: Offset | None) -> Changes:
    if not math.isfinite(since):
        raise InvalidError("since: is not a time", [Problem("since", "is not a time")])
    since = max(0.0, since / 1000 if since > MILLISECONDS_FROM else since)
    with snapshot(db.obj):
        epoch = models.epoch()
        forgotten = max(models.setting(FORGOTTEN, {}).get(user_id, 0), epoch)
        # The pages before it showed rows that the restore has replaced.
        is_broken_off = offset is not None and offset.epoch != epoch and since < epoch
        after = offset.position if offset and offset.epoch == epoch else None
        needs_reset = 0 < since < forgotten or is_broken_off
        positions = sorted(_positions(user_id, 0 if needs_reset else since, limit, after))
        reported = positions if limit is None else positions[:limit]
        has_more = len(positions) > len(reported)
        if reported:
            server_timestamp = reported[-1].updated_at
        else:
            server_timestamp = max(since, after.updated_at if after else 0)
        # Otherwise the next poll would be from before what was forgotten, and reset
        # again; on the way there, only a restore may not be seen twice.
        server_timestamp = max(server_timestamp, epoch if has_more else forgotten)
        changes = _changes(user_id, reported, server_timestamp)
    # Only on the first page: on the next ones it would throw away the page before.
    changes.feed.reset = needs_reset and after is None
    if has_more:
        changes.feed.has_more = True
        changes.feed.next_offset = str(Offset(reported[-1], epoch))
    return changes


def _positions(
    user_id: str, since: float, limit: int | None, after: Position | None
) -> Iterable[Position]:
    """Of each table one more than the page takes, to know whether there is more."""
    for number, table in enumerate(TABLES):
        key = table._meta.primary_key
        rows = (
            table.select(table.updated_at, key)
            .where(table.user == user_id)
            .where(table.updated_at >= since)
            .order_by(table.updated_at, key)
            .limit(None if limit is None else limit + 1)
            .tuples()
        )
        if after is None:
            pass
        elif number < after.table:
            rows = rows.where(table.updated_at > after.updated_at)
        elif number > after.table:
            rows = rows.where(table.updated_at >= after.updated_at)
        else:
            row = Tuple(table.updated_at, key)
            rows = rows.where(row > Tuple(after.updated_at, after.key))
        yield from (Position(updated_at, number, row_id) for updated_at, row_id in rows)


def _changes(user_id: str, reported: list[Position], server_timestamp: float) -> Changes:
    keys: list[list[int]] = [[] for _ in TABLES]
    for position in reported:
        keys[position.table].append(position.key)
    people_ids, list_keys, film_ids, tombstones, view_keys = keys
    soft_deleted: dict[int, str] = {}
    for batch in chunks(film_ids):
        films = Movie.select(Movie.id, Movie.title).where(Movie.id.in_(batch))
        rows = films.where(Movie.status == "deleted").order_by(Movie.updated_at)
        soft_deleted.update(rows.tuples())
    deleted: dict[str, list[str]] = {"movie": [], "person": [], "list": [], "view": []}
    for batch in chunks(tombstones):
        rows = (
            Tombstone.select(Tombstone.kind, Tombstone.key)
            .where(Tombstone.id.in_(batch))
            .order_by(Tombstone.updated_at)
        )
        for kind, key in rows.tuples():
            deleted[kind].append(key)
    feed = Feed(
        movies=[],
        people=people.views(user_id, people_ids),
        lists=lists.views(user_id, list_keys),
        views=saved_views.views(user_id, view_keys),
        deleted_movie_ids=[*deleted["movie"], *soft_deleted.values()],
        deleted_people=[int(key) for key in deleted["person"]],
        deleted_lists=deleted["list"],
        deleted_views=deleted["view"],
        reset=False,
        has_more=False,
        next_offset=None,
        server_timestamp=server_timestamp,
        timestamp=server_timestamp,
    )
    return Changes(feed, [key for key in film_ids if key not in soft_deleted])

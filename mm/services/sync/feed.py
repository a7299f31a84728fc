"""What changed in one user's library since a moment, by `updated_at`.

A row that changes moves to the end, so a page that was read stays read: nothing is missed while
others write. The values of `updated_at` are given in the order of the commits, so whoever asks from
the largest one they saw misses nothing either.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from peewee import ModelSelect, Tuple, fn

from mm import clock, models
from mm.database import Table, chunks, db, snapshot
from mm.errors import InvalidError
from mm.models import CustomList, Movie, Person, Tombstone, User
from mm.schemas import Feed, Problem
from mm.services.library import lists, people
from mm.services.validation import MILLISECONDS_FROM

KEEP_SECONDS = 90 * 86400
# The setting {user's id: updated_at}: up to when each user's deletions have been forgotten.
FORGOTTEN = "deletions_forgotten"
# Tables in the order in which rows of one updated_at are told: people and lists before the films
# that name them.
TABLES: tuple[type[Table], ...] = (Person, CustomList, Movie, Tombstone)


class Position(NamedTuple):
    """Of a row in the feed: its updated_at, its table's place in TABLES, its primary key."""

    updated_at: float
    table: int
    key: int


class Changes(NamedTuple):
    """`feed` without its films: `films` are their keys, for `films.in_pieces`."""

    feed: Feed
    films: list[int]


def everything_since(user_id: str, since: float) -> Changes:
    """Raises InvalidError for what is no time."""
    return _read(user_id, since, None, None)


def page(user_id: str, since: float, limit: int, offset: str | None) -> Changes:
    """`offset`: the next_offset of the page before. Raises InvalidError for what is none."""
    return _read(user_id, since, limit, _parsed(offset))


def newest(user_id: str) -> float:
    """The largest updated_at of this user's rows; 0 where there are none."""
    found = (
        table.select(table.updated_at)
        .where(table.user == user_id)
        .order_by(table.updated_at.desc())
        .limit(1)
        .scalar()
        for table in TABLES
    )
    return max(value or 0.0 for value in found)


def sweep() -> None:
    """Deletions that are no longer told; who was away since then is sent everything."""
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


def _read(user_id: str, since: float, limit: int | None, after: Position | None) -> Changes:
    since = _seconds(since)
    with snapshot(db.obj):
        forgotten = models.setting(FORGOTTEN, {}).get(user_id, 0)
        is_lost = 0 < since < forgotten
        rows = sorted(_positions(user_id, 0 if is_lost else since, limit, after))
        told = rows if limit is None else rows[:limit]
        newest = told[-1].updated_at if told else max(since, after.updated_at if after else 0)
        if len(rows) == len(told):
            # Or else the next poll would be from before what was forgotten, and reset again.
            newest = max(newest, forgotten)
        feed, shown = _feed(user_id, told, newest)
    # Only the first page: on every page it would throw away the one before.
    feed.reset = is_lost and after is None
    if len(rows) > len(told):
        feed.has_more, feed.next_offset = True, "_".join(map(repr, told[-1]))
    return Changes(feed, shown)


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
        if after is not None:
            rows = _after(rows, table, number, after)
        yield from (Position(updated_at, number, row_id) for updated_at, row_id in rows)


def _after(rows: ModelSelect, table: type[Table], number: int, after: Position) -> ModelSelect:
    if number < after.table:
        return rows.where(table.updated_at > after.updated_at)
    if number > after.table:
        return rows.where(table.updated_at >= after.updated_at)
    return rows.where(
        Tuple(table.updated_at, table._meta.primary_key) > Tuple(after.updated_at, after.key)
    )


def _feed(user_id: str, told: list[Position], server_timestamp: float) -> tuple[Feed, list[int]]:
    """The feed without its films, and the keys of those that are not deleted."""
    keys: list[list[int]] = [[] for _ in TABLES]
    for position in told:
        keys[position.table].append(position.key)
    deleted = _deleted(keys[3])
    soft = _soft_deleted(keys[2])
    feed = Feed(
        movies=[],
        people=people.views(user_id, keys[0]),
        lists=lists.views(user_id, keys[1]),
        deleted_movie_ids=[*deleted["movie"], *soft.values()],
        deleted_people=[int(key) for key in deleted["person"]],
        deleted_lists=deleted["list"],
        reset=False,
        has_more=False,
        next_offset=None,
        server_timestamp=server_timestamp,
        timestamp=server_timestamp,
    )
    return feed, [key for key in keys[2] if key not in soft]


def _soft_deleted(keys: list[int]) -> dict[int, str]:
    """{key: imdb_id} of the films of status deleted."""
    found: dict[int, str] = {}
    for some in chunks(keys):
        rows = Movie.select(Movie.id, Movie.title).where(Movie.id.in_(some))
        found.update(rows.where(Movie.status == "deleted").order_by(Movie.updated_at).tuples())
    return found


def _deleted(keys: list[int]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"movie": [], "person": [], "list": []}
    for some in chunks(keys):
        rows = (
            Tombstone.select(Tombstone.kind, Tombstone.key)
            .where(Tombstone.id.in_(some))
            .order_by(Tombstone.updated_at)
        )
        for kind, key in rows.tuples():
            found[kind].append(key)
    return found


def _seconds(since: float) -> float:
    if not math.isfinite(since):
        raise InvalidError("since: is not a time", [Problem("since", "is not a time")])
    return max(0.0, since / 1000 if since > MILLISECONDS_FROM else since)


def _parsed(offset: str | None) -> Position | None:
    if offset in (None, "", "0"):
        return None
    try:
        updated_at, table, key = (offset or "").split("_")
        position = Position(float(updated_at), int(table), int(key))
    except ValueError:
        position = Position(math.nan, 0, 0)
    if (
        math.isfinite(position.updated_at)
        and 0 <= position.table < len(TABLES)
        and 0 <= position.key < 2**63
    ):
        return position
    reason = "is no next_offset of an answer"
    raise InvalidError(f"offset: {reason}", [Problem("offset", reason)])

"""What changed in one user's library since a moment, by `updated_at`.

A row that changes moves to the end, so a page that was read stays read: nothing is missed while others write. The
values of `updated_at` are given in the order of the commits, so whoever asks from the largest one they saw misses
nothing either.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from peewee import ModelSelect, Tuple

from mm import clock, models
from mm.documents import Feed, Problem
from mm.errors import Invalid
from mm.models import CustomList, Movie, Person, Tombstone, db
from mm.services import films, lists, people
from mm.services.portable.fields import MILLISECONDS_FROM

KEEP_SECONDS = 90 * 86400
# Tables in the order in which rows of one updated_at are told: people and lists before the films that name them.
TABLES: tuple[type[models.Table], ...] = (Person, CustomList, Movie, Tombstone)


class Position(NamedTuple):
    """Of a row in the feed: its updated_at, its table's place in TABLES, its primary key."""

    updated_at: float
    table: int
    key: int


def everything_since(user_id: str, since: float) -> Feed:
    """Raises Invalid for what is no time."""
    return _read(user_id, since, None, None)


def page(user_id: str, since: float, limit: int, offset: str | None) -> Feed:
    """`offset`: the next_offset of the page before. Raises Invalid for what is none."""
    return _read(user_id, since, limit, _parsed(offset))


def newest(user_id: str) -> float:
    """The largest updated_at of this user's rows; 0 where there are none."""
    found = (
        table.select(table.updated_at).where(table.user == user_id).order_by(table.updated_at.desc()).limit(1).scalar()
        for table in TABLES
    )
    return max(value or 0.0 for value in found)


def sweep() -> None:
    """Deletions that are no longer told."""
    old = Tombstone.updated_at < clock.now() - KEEP_SECONDS
    if Tombstone.select().where(old).exists():
        with db.atomic():
            Tombstone.delete().where(old).execute()


def _read(user_id: str, since: float, limit: int | None, after: Position | None) -> Feed:
    since = _seconds(since)
    is_lost = 0 < since < clock.now() - KEEP_SECONDS
    with models.snapshot(db.obj):
        rows = sorted(_positions(user_id, 0 if is_lost else since, limit, after))
        told = rows if limit is None else rows[:limit]
        feed = _feed(user_id, told, told[-1].updated_at if told else max(since, after.updated_at if after else 0))
    # Only the first page: on every page it would throw away the one before.
    feed.reset = is_lost and after is None
    if len(rows) > len(told):
        feed.has_more, feed.next_offset = True, "_".join(map(repr, told[-1]))
    return feed


def _positions(user_id: str, since: float, limit: int | None, after: Position | None) -> Iterable[Position]:
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


def _after(rows: ModelSelect, table: type[models.Table], number: int, after: Position) -> ModelSelect:
    if number < after.table:
        return rows.where(table.updated_at > after.updated_at)
    if number > after.table:
        return rows.where(table.updated_at >= after.updated_at)
    return rows.where(Tuple(table.updated_at, table._meta.primary_key) > Tuple(after.updated_at, after.key))


def _feed(user_id: str, told: list[Position], server_timestamp: float) -> Feed:
    keys: list[list[int]] = [[] for _ in TABLES]
    for position in told:
        keys[position.table].append(position.key)
    deleted = _deleted(keys[3])
    shown = [film for some in models.chunks(keys[2]) for film in films.views(user_id, Movie.id.in_(some))]
    return Feed(
        movies=[film for film in shown if film.status != "deleted"],
        people=people.views(user_id, keys[0]),
        lists=lists.views(user_id, keys[1]),
        deleted_movie_ids=deleted["movie"] + [film.imdb_id for film in shown if film.status == "deleted"],
        deleted_people=[int(key) for key in deleted["person"]],
        deleted_lists=deleted["list"],
        reset=False, has_more=False, next_offset=None, server_timestamp=server_timestamp, timestamp=server_timestamp,
    )  # fmt: skip


def _deleted(keys: list[int]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"movie": [], "person": [], "list": []}
    for some in models.chunks(keys):
        rows = (
            Tombstone.select(Tombstone.kind, Tombstone.key).where(Tombstone.id.in_(some)).order_by(Tombstone.updated_at)
        )
        for kind, key in rows.tuples():
            found[kind].append(key)
    return found


def _seconds(since: float) -> float:
    if not math.isfinite(since):
        raise Invalid("since: is not a time", [Problem("since", "is not a time")])
    return max(0.0, since / 1000 if since > MILLISECONDS_FROM else since)


def _parsed(offset: str | None) -> Position | None:
    if offset in (None, "", "0"):
        return None
    try:
        updated_at, table, key = (offset or "").split("_")
        position = Position(float(updated_at), int(table), int(key))
    except ValueError:
        position = Position(math.nan, 0, 0)
    if math.isfinite(position.updated_at) and 0 <= position.table < len(TABLES) and 0 <= position.key < 2**63:
        return position
    reason = "is no next_offset of an answer"
    raise Invalid(f"offset: {reason}", [Problem("offset", reason)])

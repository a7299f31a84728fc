"""One user's own lists of films. A film is on at most one, and then has the status custom."""

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from peewee import JOIN, Case, Field, ModelSelect, fn

from mm import models
from mm.database import chunks, db, update_rows
from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.models import LIST_COLOR, LIST_ICON, CustomList, Movie, Watch
from mm.schemas import ListView
from mm.services import validation
from mm.services.library.changes import Write, bury, later, require_room, unbury, write
from mm.services.validation import NUMBER_MAX

# Each is told from the others, and readable with black or white on it.
COLORS = (
    "#d9480f",
    "#1864ab",
    "#5c7a29",
    "#9c36b5",
    "#b97a10",
    "#0b7285",
    "#c2255c",
    "#1b7048",
    "#5f3dc4",
    "#6b5b4b",
)


class Place(NamedTuple):
    """Of a list among the others, and what `marks` asks for."""

    pk: int
    id: str
    position: int
    last_modified: float
    updated_at: float


def listing(user_id: str) -> list[ListView]:
    """By position."""
    return [view(row) for row in _in_order(user_id)]


def views(user_id: str, keys: list[int]) -> list[ListView]:
    """Those of this user's lists that have these keys, in the order of the keys."""
    mine = CustomList.select().where(CustomList.user == user_id)
    parts = (mine.where(CustomList.pk.in_(part)) for part in chunks(keys))
    found = {row.pk: view(row) for rows in parts for row in rows}
    return [found[pk] for pk in keys if pk in found]


def find(user_id: str, list_id: str) -> CustomList:
    """Raises NotFoundError."""
    found = None
    with contextlib.suppress(InvalidError):
        known = CustomList.id == validation.identifier(list_id)
        found = CustomList.get_or_none((CustomList.user == user_id) & known)
    if found is None:
        raise NotFoundError("List not found")
    return found


def view(row: CustomList) -> ListView:
    return ListView(
        row.id,
        row.user_id,
        row.name,
        row.color,
        row.icon,
        row.position,
        row.created_at,
        row.last_modified,
    )


def create(
    user_id: str,
    name: str,
    color: str | None = None,
    icon: str | None = None,
    position: int | None = None,
    list_id: str | None = None,
    at: float | None = None,
) -> CustomList:
    """The last of the lists where no position is given. `list_id`: one that a client made up while
    it was offline.

    Raises InvalidError, or ConflictError for a `list_id` in use.
    """
    details = _checked(
        {"name": name, "color": color, "icon": icon, "position": position}, required=("name",)
    )
    if list_id is not None:
        details["id"] = validation.identifier(list_id)
    with write(user_id, at) as made:
        if list_id is not None:
            _require_free(user_id, details["id"])
        require_room(user_id, CustomList, "lists")
        details.setdefault("position", _next_position(user_id))
        return _insert(made, details)


def change(user_id: str, list_id: str, changes: dict, at: float | None = None) -> CustomList:
    """Set those of name, color, icon and position that `changes` has. Raises NotFoundError or InvalidError."""
    details = _checked(changes)
    with write(user_id, at) as made:
        found = find(user_id, list_id)
        mine = CustomList.pk == found.pk
        marks = {"last_modified": later(made.at, found), "updated_at": made.updated_at}
        CustomList.update(**details, **marks).where(mine).execute()
        return CustomList.get_by_id(found.pk)


def reorder(user_id: str, ids: list[str], at: float | None = None) -> None:
    """Put the lists in this order. What is not named comes after those that are; an unknown id is
    passed over."""
    with write(user_id, at) as made:
        mine = {place.id: place for place in _places(user_id)}
        order = [list_id for list_id in dict.fromkeys([*ids, *mine]) if list_id in mine]
        _put_in_order(made, [mine[list_id] for list_id in order])


def move(user_id: str, list_id: str, steps: int, at: float | None = None) -> None:
    """By one place or more, down where `steps` is above 0. Raises NotFoundError."""
    with write(user_id, at) as made:
        found = find(user_id, list_id)
        places = _places(user_id)
        number = [place.pk for place in places].index(found.pk)
        places.insert(max(0, number + steps), places.pop(number))
        _put_in_order(made, places)


def fates(user_id: str) -> dict[str, tuple[int, int]]:
    """{id: (films that were watched, films that were not)}: where they go when the list is deleted."""
    seen = Case(None, [(Movie.id.in_(Watch.select(Watch.movie)), 1)])
    rows = (
        CustomList.select(CustomList.id, fn.COUNT(seen), fn.COUNT(Movie.id))
        .join(Movie, JOIN.LEFT_OUTER)
        .where(CustomList.user == user_id)
        .group_by(CustomList.id)
        .tuples()
    )
    return {list_id: (watched, films - watched) for list_id, watched, films in rows}


def delete(user_id: str, list_id: str, at: float | None = None) -> None:
    """Its films go back to watched if they have a watch, else to toWatch. Raises NotFoundError."""
    with write(user_id, at) as made:
        found = find(user_id, list_id)
        on_it = Movie.custom_list == found.pk
        seen = fn.EXISTS(Watch.select(Watch.id).where(Watch.movie == Movie.id))
        # A phone may have deleted the list before somebody else changed the film.
        later = Case(None, [(Movie.last_modified > made.at, Movie.last_modified)], made.at)
        for condition, status in ((on_it & seen, "watched"), (on_it, "toWatch")):
            marks = {"last_modified": later, "updated_at": made.updated_at}
            Movie.update(status=status, custom_list=None, **marks).where(condition).execute()
        CustomList.delete().where(CustomList.pk == found.pk).execute()
        models.spread_updates(db.obj, user_id, made.updated_at)
        bury(made, "list", found.id)


def _in_order(user_id: str, *columns: Field) -> ModelSelect:
    mine = CustomList.select(*columns).where(CustomList.user == user_id)
    return mine.order_by(CustomList.position, CustomList.id)


def _places(user_id: str) -> list[Place]:
    """In order. Somebody may have imported 100,000 lists, and this is read under the write lock."""
    columns = (
        CustomList.pk,
        CustomList.id,
        CustomList.position,
        CustomList.last_modified,
        CustomList.updated_at,
    )
    return [Place(*row) for row in db.execute(_in_order(user_id, *columns))]


def _put_in_order(made: Write, places: Iterable[Place]) -> None:
    columns = [CustomList.position, CustomList.last_modified, CustomList.updated_at]
    changed = (
        (position, later(made.at, place), made.updated_at, place.pk)
        for position, place in enumerate(places)
        if place.position != position
    )
    update_rows(db.obj, columns, [CustomList.pk], changed)
    models.spread_updates(db.obj, made.user_id, made.updated_at)


def _checked(changes: dict, required: tuple[str, ...] = ()) -> dict:
    """The fields of `changes` that are given, as they will be stored."""
    given: dict = {
        "color": validation.color(changes.get("color")),
        "icon": validation.trimmed_text(changes.get("icon"), "icon"),
        "position": validation.whole_number(changes.get("position"), "position"),
    }
    if "name" in required or changes.get("name") is not None:
        given["name"] = validation.name(changes.get("name"))
    return {field: value for field, value in given.items() if value is not None}


def _require_free(user_id: str, list_id: str) -> None:
    if (
        CustomList.select()
        .where((CustomList.user == user_id) & (CustomList.id == list_id))
        .exists()
    ):
        raise ConflictError("List already exists")


def _next_position(user_id: str) -> int:
    last = CustomList.select(fn.MAX(CustomList.position)).where(CustomList.user == user_id).scalar()
    return 0 if last is None else min(last + 1, NUMBER_MAX)


def _insert(made: Write, details: dict) -> CustomList:
    fields = {"color": LIST_COLOR, "icon": LIST_ICON, **details}
    created = CustomList.create(
        user=made.user_id,
        created_at=made.at,
        last_modified=made.at,
        updated_at=made.updated_at,
        **fields,
    )
    unbury(made, "list", created.id)
    return created


def next_color(count: int) -> str:
    """The colour for the next one, where there are so many."""
    return COLORS[count % len(COLORS)]

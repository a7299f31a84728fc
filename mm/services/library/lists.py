"""One user's own lists of films; which films are on them is in `list_films`."""

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from msgspec import structs
from peewee import JOIN, Case, Field, ModelSelect, fn

from mm import models
from mm.database import chunks, db, update_rows
from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.models import LIST_COLOR, LIST_ICON, CustomList, ListFilm, Movie, Watch
from mm.schemas import ListDetails, ListedFilm, ListView
from mm.services import validation
from mm.services.library import list_films
from mm.services.library.changes import (
    Write,
    add_tombstones,
    later,
    next_position,
    remove_tombstones,
    require_room,
    write,
)

# Easy to tell apart, and readable with black or white on them.
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


class ListRow(NamedTuple):
    """The columns of a list that its place among the others needs."""

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
    lists = CustomList.select().where(CustomList.user == user_id)
    batches = (lists.where(CustomList.pk.in_(batch)) for batch in chunks(keys))
    found = {row.pk: view(row) for rows in batches for row in rows}
    return [found[pk] for pk in keys if pk in found]


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
        row.description,
    )


def details(row: CustomList) -> ListDetails:
    films = list_films.of_list(row.pk).select(Movie.title, ListFilm.note)
    entries = [ListedFilm(*film) for film in db.execute(films)]
    return ListDetails(**structs.asdict(view(row)), films=entries)


def of_film(movie: Movie) -> list[CustomList]:
    """The lists that the film is on, in the lists' order."""
    rows = CustomList.select().join(ListFilm).where(ListFilm.movie == movie.id)
    return list(rows.order_by(CustomList.position, CustomList.id))


def keys(user_id: str, ids: Iterable[str]) -> list[int]:
    """`CustomList.pk` of this user's lists with these ids; other ids are ignored."""
    wanted = set(ids)
    return [row.pk for row in _rows(user_id) if row.id in wanted]


def find(user_id: str, list_id: str) -> CustomList:
    """Raises NotFoundError."""
    found = None
    with contextlib.suppress(InvalidError):
        found = _get_or_none(user_id, validation.identifier(list_id))
    if found is None:
        raise NotFoundError("List not found")
    return found


def create(
    user_id: str,
    name: str,
    color: str | None = None,
    icon: str | None = None,
    position: int | None = None,
    list_id: str | None = None,
    at: float | None = None,
    description: str | None = None,
) -> CustomList:
    """The last of the lists where no position is given. `list_id`: one that a
    client made up while it was offline.

    Raises InvalidError, or ConflictError for a `list_id` in use.
    """
    given = {"color": color, "icon": icon, "position": position, "description": description}
    details = _checked(given)
    details["name"] = validation.name(name)
    if list_id is not None:
        details["id"] = validation.identifier(list_id)
    with write(user_id, at) as change:
        if list_id is not None and _get_or_none(user_id, details["id"]):
            raise ConflictError("List already exists")
        require_room(user_id, CustomList, "lists")
        defaults = {
            "color": LIST_COLOR,
            "icon": LIST_ICON,
            "position": next_position(user_id, CustomList),
        }
        created = CustomList.create(
            user=user_id,
            created_at=change.at,
            last_modified=change.at,
            updated_at=change.updated_at,
            **defaults | details,
        )
        remove_tombstones(change, "list", created.id)
        return created


def change(user_id: str, list_id: str, changes: dict, at: float | None = None) -> CustomList:
    """Set those of name, color, icon, position and description that `changes` has; an
    empty description removes it. Raises NotFoundError or InvalidError."""
    details = _checked(changes)
    with write(user_id, at) as change:
        found = find(user_id, list_id)
        stamps = {"last_modified": later(change.at, found), "updated_at": change.updated_at}
        CustomList.update(**details, **stamps).where(CustomList.pk == found.pk).execute()
        return CustomList.get_by_id(found.pk)


def reorder(user_id: str, ids: list[str], at: float | None = None) -> None:
    """Put the lists in this order. Those not named come after those that are; an
    unknown id is ignored."""
    with write(user_id, at) as change:
        rows = {row.id: row for row in _rows(user_id)}
        order = [list_id for list_id in dict.fromkeys([*ids, *rows]) if list_id in rows]
        _put_in_order(change, [rows[list_id] for list_id in order])


def move(user_id: str, list_id: str, steps: int, at: float | None = None) -> None:
    """By one place or more, down where `steps` is above 0. Raises NotFoundError."""
    with write(user_id, at) as change:
        found = find(user_id, list_id)
        rows = _rows(user_id)
        number = [row.pk for row in rows].index(found.pk)
        rows.insert(max(0, number + steps), rows.pop(number))
        _put_in_order(change, rows)


def reorder_films(user_id: str, list_id: str, imdb_ids: list[str], at: float | None = None) -> None:
    """Put the films of the list in this order. Those not named come after those that
    are; one that is not on the list is ignored. Raises NotFoundError or InvalidError."""
    order = [validation.imdb_id(imdb_id) for imdb_id in imdb_ids]
    with write(user_id, at) as change:
        list_films.put_in_order(change, find(user_id, list_id).pk, order)


def films_by_destination(user_id: str) -> dict[str, tuple[int, int]]:
    """{list's id: (films that were watched, films that were not)} of the films that have
    the status custom with the list and are on no other: when it is deleted, the first go
    to watched and the others to toWatch."""
    watched = Case(None, [(Movie.id.in_(Watch.select(Watch.movie)), 1)])
    other = ListFilm.select(ListFilm.id).where(
        (ListFilm.movie == Movie.id) & (ListFilm.custom_list != CustomList.pk)
    )
    is_only_here = (Movie.custom_list == CustomList.pk) & ~fn.EXISTS(other)
    rows = (
        CustomList.select(CustomList.id, fn.COUNT(watched), fn.COUNT(Movie.id))
        .join(Movie, JOIN.LEFT_OUTER, on=is_only_here)
        .where(CustomList.user == user_id)
        .group_by(CustomList.id)
        .tuples()
    )
    return {list_id: (watched, films - watched) for list_id, watched, films in rows}


def film_counts(user_id: str) -> dict[str, int]:
    """{list's id: how many films are on it}, without deleted ones."""
    is_shown = (Movie.id == ListFilm.movie) & (Movie.status != "deleted")
    rows = (
        CustomList.select(CustomList.id, fn.COUNT(Movie.id))
        .join(ListFilm, JOIN.LEFT_OUTER)
        .join(Movie, JOIN.LEFT_OUTER, on=is_shown)
        .where(CustomList.user == user_id)
        .group_by(CustomList.pk, CustomList.id)
        .tuples()
    )
    return dict(rows)


def delete(user_id: str, list_id: str, at: float | None = None) -> None:
    """A film whose status was custom with it gets the status custom with the first of its
    other lists; without any it goes back to watched if it has a watch, else to toWatch.
    Raises NotFoundError."""
    with write(user_id, at) as change:
        found = find(user_id, list_id)
        on_list = ListFilm.custom_list == found.pk
        films = ListFilm.select(ListFilm.movie).where(on_list)
        Movie.update(updated_at=change.updated_at).where(Movie.id.in_(films)).execute()
        ListFilm.delete().where(on_list).execute()
        list_films.give_up(change, Movie.custom_list == found.pk)
        CustomList.delete().where(CustomList.pk == found.pk).execute()
        models.spread_updates(db.obj, user_id, change.updated_at)
        add_tombstones(change, "list", found.id)


def next_color(count: int) -> str:
    """The colour to offer for one more, where there are `count` lists or people."""
    return COLORS[count % len(COLORS)]


def _get_or_none(user_id: str, list_id: str) -> CustomList | None:
    return CustomList.get_or_none((CustomList.user == user_id) & (CustomList.id == list_id))


def _in_order(user_id: str, *columns: Field) -> ModelSelect:
    lists = CustomList.select(*columns).where(CustomList.user == user_id)
    return lists.order_by(CustomList.position, CustomList.id)


def _rows(user_id: str) -> list[ListRow]:
    """In order. Somebody may have imported 100,000 lists, and this is read
    under the write lock."""
    columns = [getattr(CustomList, name) for name in ListRow._fields]
    return [ListRow(*row) for row in db.execute(_in_order(user_id, *columns))]


def _put_in_order(change: Write, rows: Iterable[ListRow]) -> None:
    columns = [CustomList.position, CustomList.last_modified, CustomList.updated_at]
    changed = (
        (position, later(change.at, row), change.updated_at, row.pk)
        for position, row in enumerate(rows)
        if row.position != position
    )
    update_rows(db.obj, columns, [CustomList.pk], changed)
    models.spread_updates(db.obj, change.user_id, change.updated_at)


def _checked(changes: dict) -> dict:
    """The fields of `changes` that are given, as they will be stored."""
    values: dict[str, str | int | None] = {
        "color": validation.color(changes.get("color")),
        "icon": validation.trimmed_text(changes.get("icon"), "icon"),
        "position": validation.whole_number(changes.get("position"), "position"),
        "name": validation.name(changes["name"]) if changes.get("name") is not None else None,
    }
    checked: dict[str, str | int | None] = {
        field: value for field, value in values.items() if value is not None
    }
    if changes.get("description") is not None:
        checked["description"] = validation.typed_note(changes["description"], "description")
    return checked

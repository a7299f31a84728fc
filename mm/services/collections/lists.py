"""Lists as items of a file: with their films, in order, and the list's own notes on them.

A film that the library lacks is added to it, to watch; one that is deleted there comes back; every
other film stays as it is, whether it joins a list or leaves one.
"""

import uuid
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct
from peewee import Expression, ModelSelect, fn

from mm.database import chunks, db, insert_rows, update_rows
from mm.errors import NotFoundError
from mm.models import LIST_COLOR, LIST_ICON, CustomList, ListFilm, Movie, Title
from mm.schemas import CollectedFilm, ListItem
from mm.services import shown_titles, validation
from mm.services.collections.items import Choice, Entry, Here
from mm.services.library import list_films, new_films
from mm.services.library import lists as library_lists
from mm.services.library.changes import (
    Write,
    later,
    next_position,
    require_list_room,
    require_room,
)
from mm.services.library.new_films import NewFilm
from mm.services.validation import NUMBER_MAX, TYPE_NAMES, FieldError
from mm.spoken import plural

NOUN, NOUNS = "list", "lists"
NAMES_REPEAT = True
CAN_RENAME = True
IN_LIBRARY = True
COLUMNS = (CustomList.name, CustomList.color, CustomList.icon, CustomList.description)
# Of the films of one list that cannot be used, so many are named.
NAMED_MAX = 10


class ListValues(Struct):
    """`position`: among the lists of the file, None where it says nothing."""

    color: str
    icon: str
    position: int | None
    description: str | None
    films: list[CollectedFilm]


class _Mine(Struct):
    """A list of this user's. The films of all of them are read where the first is compared."""

    row: CustomList
    all_films: "_AllFilms"

    @property
    def films(self) -> dict[str, str | None]:
        """The list's notes by imdb_id, in its order, without deleted films."""
        return self.all_films.by_list.get(self.row.pk, {})


class _AllFilms:
    def __init__(self, user_id: str):
        self._user_id = user_id

    @cached_property
    def by_list(self) -> dict[int, dict[str, str | None]]:
        found: dict[int, dict[str, str | None]] = {}
        columns = (ListFilm.custom_list, Movie.title, ListFilm.note)
        mine = CustomList.user == self._user_id
        for list_pk, imdb_id, note in db.execute(_films(mine, *columns)):
            found.setdefault(list_pk, {})[imdb_id] = note
        return found


def choices(user_id: str) -> list[Choice]:
    counts = library_lists.film_counts(user_id)
    rows = _in_order(user_id)
    return [Choice(row.id, row.name, plural(counts[row.id], "film"), row) for row in rows]


def export(user_id: str, ids: Sequence[int | str] | None) -> list[ListItem]:
    """In the order of the lists, whatever the order of the ids. Without deleted films."""
    rows = _in_order(user_id)
    if ids is not None:
        chosen = {str(each) for each in ids}
        if unknown := chosen - {row.id for row in rows}:
            raise NotFoundError(f"There is no list with the id {min(unknown)}.")
        rows = [row for row in rows if row.id in chosen]
    films = _exported_films([row.pk for row in rows])
    return [
        ListItem(row.name, row.color, row.icon, place, row.description, films.get(row.pk, []))
        for place, row in enumerate(rows)
    ]


def read(item: dict) -> Entry:
    """A film that cannot be used, or that the list names twice, costs that film alone."""
    name = validation.name(item.get("name"))
    icon = validation.text(item.get("icon"), "icon")
    notes: list[str] = []
    values = ListValues(
        color=validation.color(item.get("color")) or LIST_COLOR,
        icon=LIST_ICON if icon is None else icon,
        position=validation.whole_number(item.get("position"), "position"),
        description=validation.note(item.get("description"), "description"),
        films=_read_films(item.get("films"), notes),
    )
    return Entry(name, values, notes)


def here(user_id: str) -> list[Here]:
    films = _AllFilms(user_id)
    return [Here(row.id, row.name, _Mine(row, films)) for row in _in_order(user_id)]


def look_at(user_id: str, entries: Sequence[Entry]) -> None:
    """Notes the films that the library lacks, or has as deleted: each with the first list that
    names it. What one list says of a film is known to all."""
    known = _new_films(entries)
    held = new_films.held(user_id, known)
    seen: set[str] = set()
    for entry in entries:
        films = [_described(film, known[film.imdb_id]) for film in entry.values.films]
        entry.values.films = films
        first = [film.imdb_id for film in films if film.imdb_id not in seen]
        seen.update(first)
        if adds := sum(imdb_id not in held for imdb_id in first):
            entry.notes.append(f"adds {plural(adds, 'film')} to your library")
        if back := sum(imdb_id in held and held[imdb_id].is_deleted for imdb_id in first):
            entry.notes.append(f"brings back {plural(back, 'deleted film')}")
    _require_room(user_id, entries, len(known) - len(held))


def differences(entry: Entry, here: Here) -> list[str]:
    mine, theirs = here.row.row, entry.values
    words = []
    if entry.name != mine.name:
        words.append(f"name: {mine.name} → {entry.name}")
    if theirs.color.lower() != mine.color.lower():
        words.append(f"colour: {mine.color} → {theirs.color}")
    if theirs.icon != mine.icon:
        words.append(f"icon: {mine.icon or 'none'} → {theirs.icon or 'none'}")
    if theirs.description != mine.description:
        words.append(_of_descriptions(mine.description, theirs.description))
    if changes := _of_films(here.row.films, {film.imdb_id: film.note for film in theirs.films}):
        words.append(", ".join(changes))
    return words


def create(change: Write, entries: Sequence[Entry]) -> list[int | str]:
    """Behind mine, in the order that the file gives them."""
    first = next_position(change.user_id, CustomList)
    # Without a position one comes last.
    order = sorted(range(len(entries)), key=lambda place: _place_in_file(entries[place]))
    positions = {place: min(first + number, NUMBER_MAX) for number, place in enumerate(order)}
    ids = [str(uuid.uuid4()) for _ in entries]
    rows = (
        (*_row(entry), ids[place], change.user_id, positions[place], *_stamps(change))
        for place, entry in enumerate(entries)
    )
    columns = (
        *COLUMNS,
        CustomList.id,
        CustomList.user,
        CustomList.position,
        CustomList.created_at,
        CustomList.last_modified,
        CustomList.updated_at,
    )
    insert_rows(db.obj, columns, rows)
    mine = CustomList.select(CustomList.id, CustomList.pk)
    pks = dict(db.execute(mine.where(CustomList.user == change.user_id)))
    _write_films(change, [(pks[key], entry) for key, entry in zip(ids, entries, strict=True)])
    return list(ids)


def overwrite(change: Write, pairs: Sequence[tuple[Entry, Here]]) -> None:
    """It keeps its place among my lists. A film that leaves the list stays in the library."""
    rows = []
    for entry, here in pairs:
        mine = here.row.row
        if _row(entry) != tuple(getattr(mine, column.name) for column in COLUMNS):
            stamps = (later(change.at, mine), change.updated_at)
            rows.append((*_row(entry), *stamps, mine.pk))
    columns = (*COLUMNS, CustomList.last_modified, CustomList.updated_at)
    update_rows(db.obj, columns, [CustomList.pk], rows)
    _write_films(change, [(here.row.row.pk, entry) for entry, here in pairs])


def _in_order(user_id: str) -> list[CustomList]:
    rows = CustomList.select().where(CustomList.user == user_id)
    return list(rows.order_by(CustomList.position, CustomList.id))


def _films(lists: Expression, *columns: Any) -> ModelSelect:
    """What is on these lists, in the order of each, without deleted films."""
    rows = ListFilm.select(*columns).join(CustomList).switch(ListFilm).join(Movie)
    shown = lists & (Movie.status != "deleted")
    return rows.where(shown).order_by(ListFilm.position, ListFilm.id)


def _exported_films(list_pks: Sequence[int]) -> dict[int, list[CollectedFilm]]:
    kind = fn.COALESCE(Movie.media_type, Title.media_type)
    columns = (Movie.title, shown_titles.TITLE, shown_titles.YEAR, kind, ListFilm.note)
    films: dict[int, list[CollectedFilm]] = {}
    for part in chunks(list_pks):
        rows = _films(CustomList.pk.in_(part), ListFilm.custom_list, *columns).join(Title)
        for list_pk, *film in db.execute(rows):
            films.setdefault(list_pk, []).append(CollectedFilm(*film))
    return films


def _read_films(rows: object, notes: list[str]) -> list[CollectedFilm]:
    if rows is None:
        raise FieldError("films", "is missing")
    if not isinstance(rows, list):
        raise FieldError("films", f"expected a list, found {TYPE_NAMES.get(type(rows))}")
    films: dict[str, CollectedFilm] = {}
    first: dict[str, int] = {}
    left_out = []
    for number, row in enumerate(rows, 1):
        try:
            film = _read_film(row)
        except FieldError as error:
            left_out.append(f"film {number:,} is left out: {error.message.removeprefix(': ')}")
            continue
        if film.imdb_id in films:
            used = f"the same as film {first[film.imdb_id]:,}"
            left_out.append(f"film {number:,} is left out: {film.imdb_id} is {used}")
        else:
            films[film.imdb_id], first[film.imdb_id] = film, number
    notes += left_out[:NAMED_MAX]
    if (more := len(left_out) - NAMED_MAX) > 0:
        notes.append(f"{more:,} more {'film is' if more == 1 else 'films are'} left out")
    return list(films.values())


def _read_film(row: object) -> CollectedFilm:
    if not isinstance(row, dict):
        raise FieldError("", "expected an object")
    kind = row.get("media_type")
    return CollectedFilm(
        imdb_id=validation.imdb_id(row.get("imdb_id")),
        title=validation.hint_title(row.get("title")),
        year=validation.hint_year(row.get("year")),
        media_type=validation.trimmed_text(kind, "media_type"),
        note=validation.note(row.get("note")),
    )


def _new_films(entries: Iterable[Entry]) -> dict[str, NewFilm]:
    """Each film that the lists name, as the first list describes it that has its title."""
    found: dict[str, NewFilm] = {}
    for entry in entries:
        for film in entry.values.films:
            known = found.get(film.imdb_id)
            if known is None or (known.title is None and film.title is not None):
                found[film.imdb_id] = NewFilm(film.imdb_id, film.title, film.year, film.media_type)
    return found


def _described(film: CollectedFilm, known: NewFilm) -> CollectedFilm:
    return film if film.title is not None else CollectedFilm(*known, film.note)


def _require_room(user_id: str, entries: Sequence[Entry], adds: int) -> None:
    """For so many films that are new in the library."""
    lists = sum(entry.overwrites is None for entry in entries)
    listed = sum(len(entry.values.films) for entry in entries)
    listed -= sum(len(entry.overwrites.row.films) for entry in entries if entry.overwrites)
    if adds:
        require_room(user_id, Movie, "films", adds)
    if lists:
        require_room(user_id, CustomList, NOUNS, lists)
    if listed > 0:
        require_list_room(user_id, listed)


def _of_descriptions(mine: str | None, theirs: str | None) -> str:
    if mine and theirs:
        return "changes the description"
    return "adds a description" if theirs else "removes the description"


def _of_films(mine: dict[str, str | None], theirs: dict[str, str | None]) -> list[str]:
    new = [imdb_id for imdb_id in theirs if imdb_id not in mine]
    stay = [imdb_id for imdb_id in theirs if imdb_id in mine]
    notes = sum(mine[imdb_id] != theirs[imdb_id] for imdb_id in stay)
    words = []
    if new:
        words.append(f"adds {plural(len(new), 'film')}")
    if gone := len(mine) - len(stay):
        words.append(f"removes {gone:,}" if new else f"removes {plural(gone, 'film')}")
    if _order_differs(mine, theirs, stay):
        words.append("changes the order")
    if notes:
        words.append(f"changes {plural(notes, 'note')}")
    return words


def _order_differs(mine: Iterable[str], theirs: Iterable[str], stay: list[str]) -> bool:
    """Of those that stay: what is added or removed between them does not count."""
    kept = set(stay)
    return [imdb_id for imdb_id in mine if imdb_id in kept] != stay


def _place_in_file(entry: Entry) -> tuple[bool, int]:
    position = entry.values.position
    return position is None, position or 0


def _row(entry: Entry) -> tuple:
    """The values of COLUMNS."""
    return entry.name, entry.values.color, entry.values.icon, entry.values.description


def _stamps(change: Write) -> tuple[float, float, float]:
    return change.at, change.at, change.updated_at


def _write_films(change: Write, pairs: Sequence[tuple[int, Entry]]) -> None:
    """Each list by its key."""
    films = _new_films(entry for _, entry in pairs)
    held = new_films.held(change.user_id, films)
    ids = {imdb_id: film.id for imdb_id, film in held.items()}
    ids |= new_films.add(change, [film for key, film in films.items() if key not in held])
    new_films.bring_back(change, [key for key, film in held.items() if film.is_deleted])
    rows = {
        pk: [(ids[film.imdb_id], film.note) for film in entry.values.films] for pk, entry in pairs
    }
    list_films.replace(change, rows)

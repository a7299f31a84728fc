"""Saved views as items of a file. People and lists stand in their filters by name, because an id
means nothing in another library."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from mm.database import db, fold, insert_rows, update_rows
from mm.errors import NotFoundError
from mm.models import CustomList, Person, SavedView
from mm.schemas import FilterValue, ViewItem
from mm.schemas.types import NUMBER_MAX
from mm.services import validation
from mm.services.collections.items import Choice, Entry, Here, listed, quoted
from mm.services.library import browse, saved_views
from mm.services.library.browse import LibraryQuery
from mm.services.library.changes import Write, later, next_position, require_room
from mm.services.portable import filters
from mm.services.validation import FieldError
from mm.spoken import plural

NOUN, NOUNS = "view", "views"
NAMES_REPEAT = False
CAN_RENAME = True
IN_LIBRARY = True
# What the parameters of the library's address are called.
LABELS = {
    "status": "tab",
    "list": "list",
    "q": "search",
    "kind": "kind",
    "genre": "genre",
    "decade": "decade",
    "person": "recommended by",
    "trusted": "trusted people only",
    "rating": "my rating, at least",
    "sort": "sort by",
    "size": "posters",
}
VALUE_LABELS = {
    "status": browse.STATUS_LABELS | {"all": "All"},
    "kind": browse.KIND_LABELS,
    "trusted": {"1": "yes"},
    "sort": browse.SORT_LABELS | browse.LIST_SORT_LABELS,
    "size": browse.SIZE_LABELS,
}


class Values(Struct):
    """`filters`: those of the file that have the right shape, by name. `position`: None where the
    file has none. `query`: what the view asks for here, once it was looked at."""

    filters: dict[str, FilterValue]
    position: int | None
    query: LibraryQuery | None = None


class Named(NamedTuple):
    """A user's people and lists: names by id, ids by folded name. Of lists with the same name the
    first one comes first."""

    people: dict[str, str]
    lists: dict[str, str]
    person_ids: dict[str, list[str]]
    list_ids: dict[str, list[str]]


class Mine(NamedTuple):
    """What a view of this user's is compared with."""

    view: SavedView
    named: Named


def choices(user_id: str) -> list[Choice]:
    found = []
    for view in saved_views.listing(user_id):
        count = len(browse.parse(view.filters).filters)
        found.append(Choice(view.id, view.name, plural(count, "filter") if count else ""))
    return found


def export(user_id: str, ids: Sequence[int | str] | None) -> list[ViewItem]:
    """In their own order. What the library does not use, such as the filter of a person who was
    deleted, is left out."""
    views = saved_views.listing(user_id)
    if ids is not None:
        wanted = {str(each) for each in ids}
        if unknown := wanted - {view.id for view in views}:
            raise NotFoundError(f"There is no view with the id {min(unknown)}.")
        views = [view for view in views if view.id in wanted]
    named = _named(user_id)
    return [
        ViewItem(view.name, _by_name(view, named), position) for position, view in enumerate(views)
    ]


def read(item: dict) -> Entry:
    """A filter of the wrong shape costs that filter; too many of them, the view."""
    given = item.get("filters") or {}
    # Without their values, of which each is checked by itself.
    names = validation.filters(dict.fromkeys(given, "") if isinstance(given, dict) else given)
    found: dict[str, FilterValue] = {}
    notes = []
    for name in names:
        try:
            found |= validation.filters({name: given[name]})
        except FieldError as error:
            notes.append(f"{quoted(name)}: {error.reason}: taken without this filter")
    position = validation.whole_number(item.get("position"), "position")
    return Entry(validation.name(item.get("name")), Values(found, position), notes)


def here(user_id: str) -> list[Here]:
    named = _named(user_id)
    return [Here(view.id, view.name, Mine(view, named)) for view in saved_views.listing(user_id)]


def look_at(user_id: str, entries: Sequence[Entry]) -> None:
    """Says what each view is taken without; checks the room for those that are new."""
    if new := sum(entry.overwrites is None for entry in entries):
        require_room(user_id, SavedView, "saved views", new)
    named = _named(user_id)
    for entry in entries:
        entry.values.query, notes = _usable(entry.values.filters, named)
        entry.notes += notes


def differences(entry: Entry, here: Here) -> list[str]:
    named = here.row.named
    mine = browse.parse(here.row.view.filters)
    # Those that are skipped were not looked at.
    theirs = entry.values.query or _usable(entry.values.filters, named)[0]
    return [
        f"{_label(name)}: {_said(mine, name, named)} → {_said(theirs, name, named)}"
        for name in browse.ALLOWED
        if getattr(mine, name) != getattr(theirs, name)
    ]


def create(change: Write, entries: Sequence[Entry]) -> list[int | str]:
    """After mine, in the order of the file's positions."""
    first = next_position(change.user_id, SavedView)
    ids: list[int | str] = [str(uuid.uuid4()) for _ in entries]
    ordered = sorted(range(len(entries)), key=lambda number: _place(entries[number]))
    rows = (
        (
            ids[number],
            change.user_id,
            entries[number].name,
            _text(entries[number]),
            min(first + place, NUMBER_MAX),
            change.at,
            change.updated_at,
        )
        for place, number in enumerate(ordered)
    )
    columns = [SavedView.id, SavedView.user, SavedView.name, SavedView.filters, SavedView.position]
    insert_rows(db.obj, [*columns, SavedView.last_modified, SavedView.updated_at], rows)
    return ids


def overwrite(change: Write, pairs: Sequence[tuple[Entry, Here]]) -> None:
    """Each keeps its place among mine."""
    rows = [
        (entry.name, _text(entry), later(change.at, here.row.view), change.updated_at, here.id)
        for entry, here in pairs
    ]
    columns = [SavedView.name, SavedView.filters, SavedView.last_modified, SavedView.updated_at]
    update_rows(db.obj, columns, [SavedView.id], rows)


def _named(user_id: str) -> Named:
    people = list(db.execute(Person.select(Person.id, Person.name).where(Person.user == user_id)))
    lists = CustomList.select(CustomList.id, CustomList.name).where(CustomList.user == user_id)
    ordered = list(db.execute(lists.order_by(CustomList.position, CustomList.id)))
    names = {str(person_id): name for person_id, name in people}
    return Named(names, dict(ordered), _ids(names), _ids(dict(ordered)))


def _ids(names: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, name in names.items():
        found.setdefault(fold(name), []).append(key)
    return found


def _by_name(view: SavedView, named: Named) -> dict[str, FilterValue]:
    """The filters of a view of mine, as a file has them."""
    query = browse.parse(view.filters)
    if query.list not in named.lists:
        # Its order goes with a list.
        query = query.changed(list="")
    found = filters.replaced(query.params(), filters.OF_PEOPLE, named.people.get)
    return filters.replaced(found, filters.OF_LISTS, named.lists.get)


def _usable(given: Mapping[str, FilterValue], named: Named) -> tuple[LibraryQuery, list[str]]:
    """What a view of this user with these filters of a file can ask for, and in words, what it
    cannot."""
    notes = _unknown(sorted(name for name in given if name not in browse.ALLOWED))
    found = {name: given[name] for name in given if name in browse.ALLOWED and given[name]}
    notes += _ambiguous(found, named)
    found = _with_ids(found, filters.OF_PEOPLE, named.person_ids, "people", notes)
    found = _with_ids(found, filters.OF_LISTS, named.list_ids, "lists", notes)
    query = browse.parse(found)
    kept = dict(found)
    for name, value in found.items():
        if unused := saved_views.unused(query, name, value):
            kept[name] = [text for text in filters.texts(value) if text.strip() not in unused]
            notes.append(_unusable(name, sorted(unused), bool(kept[name])))
    # A part of a text that is too long for a filter is none of it.
    return query if kept == found else browse.parse(kept), list(dict.fromkeys(notes))


def _with_ids(
    given: dict[str, FilterValue],
    names: Iterable[str],
    ids: Mapping[str, list[str]],
    noun: str,
    notes: list[str],
) -> dict[str, FilterValue]:
    """The filters with the first id of each name in those of `names`; adds to the notes who or what
    is missing."""
    missing: dict[str, list[str]] = {}

    def find(text: str) -> str | None:
        return next(iter(ids.get(fold(text), [])), None)

    def miss(name: str, text: str) -> None:
        missing.setdefault(name, []).append(text)

    found = filters.replaced(given, names, find, miss)
    notes += [_missing(texts, noun, name in found) for name, texts in missing.items()]
    return found


def _unknown(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    what = "is not a filter" if len(names) == 1 else "are not filters"
    return [f"{listed(names)} {what} of this library: taken without {_it(names)}"]


def _missing(texts: Sequence[str], noun: str, has_others: bool) -> str:
    what = "is" if len(texts) == 1 else "are"
    without = _it(texts) if has_others else "this filter"
    return f"{listed(texts)} {what} not among your {noun}: taken without {without}"


def _unusable(name: str, texts: Sequence[str], has_others: bool) -> str:
    without = _it(texts) if has_others else "this filter"
    return f"{listed(texts)} cannot be used as “{name}”: taken without {without}"


def _ambiguous(given: Mapping[str, FilterValue], named: Named) -> list[str]:
    texts = (text for name in filters.OF_LISTS for text in filters.texts(given.get(name, "")))
    return [
        f"You have {plural(count, 'list')} called {quoted(text)}: taken with the first of them"
        for text in texts
        if (count := len(named.list_ids.get(fold(text), []))) > 1
    ]


def _it(texts: Sequence[str]) -> str:
    return "it" if len(texts) == 1 else "them"


def _label(name: str) -> str:
    kind = name.removeprefix("not_")
    return LABELS[kind] if kind == name else f"not {LABELS[kind]}"


def _said(query: LibraryQuery, name: str, named: Named) -> str:
    """A filter's value in words."""
    value, kind = getattr(query, name), name.removeprefix("not_")
    texts: Iterable[str] = filter(None, [value] if isinstance(value, str) else value)
    match kind:
        case "person":
            words = [named.people.get(text, "a deleted person") for text in texts]
        case "list":
            words = [named.lists.get(text, "a deleted list") for text in texts]
        case "decade":
            words = [f"{text}s" for text in texts]
        case "q":
            words = [quoted(text) for text in texts]
        case _:
            words = [VALUE_LABELS.get(kind, {}).get(text, text) for text in texts]
    return ", ".join(words) or "none"


def _place(entry: Entry) -> tuple[bool, int]:
    """Those without a position come last."""
    position = entry.values.position
    return position is None, position or 0


def _text(entry: Entry) -> str:
    """As a column has the filters."""
    return json.dumps(validation.filters(entry.values.query.params()), ensure_ascii=False)

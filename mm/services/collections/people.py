"""People as items of a file: who recommends films, without their recommendations."""

from collections.abc import Sequence

from mm.database import db, fold, insert_rows, update_rows
from mm.errors import NotFoundError
from mm.models import PERSON_COLOR, Person
from mm.schemas import PersonItem
from mm.services import validation
from mm.services.collections.items import Choice, Entry, Here
from mm.services.library.changes import Write, later, mark_films_changed, require_room
from mm.services.library.people import SHOWN

NOUN, NOUNS = "person", "people"
NAMES_REPEAT = False
CAN_RENAME = True
IN_LIBRARY = True
COLUMNS = ("name", "is_trusted", "color", "emoji")
PROTECTED = "pinned recommenders cannot be overwritten"


def choices(user_id: str) -> list[Choice]:
    return [
        Choice(person.id, person.name, "trusted" if person.is_trusted else "", person)
        for person in _listing(user_id)
        if not person.quick_key
    ]


def export(user_id: str, ids: Sequence[int | str] | None) -> list[PersonItem]:
    """The quick recommenders are left out: every account has its own."""
    people = {str(person.id): person for person in _listing(user_id)}
    if ids is None:
        chosen = list(people.values())
    elif unknown := {str(each) for each in ids} - people.keys():
        raise NotFoundError(f"There is no person with the id {min(unknown)}.")
    else:
        chosen = [people[key] for key in dict.fromkeys(map(str, ids))]
    return [
        PersonItem(person.name, person.is_trusted, person.color, person.emoji)
        for person in chosen
        if not person.quick_key
    ]


def read(item: dict) -> Entry:
    """A `quick_key` counts for nothing: nobody becomes a quick recommender by a file."""
    values = PersonItem(
        name=validation.name(item.get("name")),
        is_trusted=bool(validation.flag(item.get("is_trusted"), "is_trusted")),
        color=validation.color(item.get("color")) or PERSON_COLOR,
        emoji=validation.trimmed_text(item.get("emoji"), "emoji"),
    )
    return Entry(values.name, values)


def here(user_id: str) -> list[Here]:
    return [
        Here(person.id, person.name, person, PROTECTED if person.quick_key else None)
        for person in _listing(user_id)
    ]


def look_at(user_id: str, entries: Sequence[Entry]) -> None:
    """Nothing happens besides; checks the room for those that are new."""
    if new := sum(entry.overwrites is None for entry in entries):
        require_room(user_id, Person, NOUNS, new)


def differences(entry: Entry, here: Here) -> list[str]:
    mine, theirs = here.row, entry.values
    words = []
    if entry.name != mine.name:
        words.append(f"name: {mine.name} → {entry.name}")
    if theirs.is_trusted != mine.is_trusted:
        words.append("becomes trusted" if theirs.is_trusted else "is no longer trusted")
    if theirs.color.lower() != mine.color.lower():
        words.append(f"colour: {mine.color} → {theirs.color}")
    if theirs.emoji != mine.emoji:
        words.append(f"emoji: {mine.emoji or 'none'} → {theirs.emoji or 'none'}")
    return words


def create(change: Write, entries: Sequence[Entry]) -> list[int | str]:
    columns = [Person.user, Person.name_key, *(getattr(Person, name) for name in COLUMNS)]
    marks = (change.at, change.updated_at)
    rows = (
        (
            change.user_id,
            fold(entry.name),
            entry.name,
            entry.values.is_trusted,
            entry.values.color,
            entry.values.emoji,
            *marks,
        )
        for entry in entries
    )
    insert_rows(db.obj, [*columns, Person.last_modified, Person.updated_at], rows)
    ids = {person.name_key: person.id for person in _listing(change.user_id)}
    return [ids[fold(entry.name)] for entry in entries]


def overwrite(change: Write, pairs: Sequence[tuple[Entry, Here]]) -> None:
    rows = []
    for entry, here in pairs:
        values = [entry.name, entry.values.is_trusted, entry.values.color, entry.values.emoji]
        rows.append((*values, later(change.at, here.row), change.updated_at, here.id))
    columns = [getattr(Person, name) for name in COLUMNS]
    update_rows(db.obj, [*columns, Person.last_modified, Person.updated_at], [Person.id], rows)
    # The films are sent again only where what they show has changed.
    seen_on_films = (
        here.row.id
        for entry, here in pairs
        if any(getattr(here.row, name) != getattr(entry.values, name) for name in SHOWN)
    )
    mark_films_changed(change, *seen_on_films)


def _listing(user_id: str) -> list[Person]:
    """By name, whatever its case."""
    return list(Person.select().where(Person.user == user_id).order_by(Person.name_key))

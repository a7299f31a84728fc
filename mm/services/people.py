"""Who recommends films: one user's people, four of them quick recommenders that stay."""

import contextlib
import re
from collections.abc import Iterable, Sequence

from peewee import JOIN, Expression, ModelSelect, fn

from mm.documents import PersonView
from mm.errors import Conflict, Invalid, NotFound, UserError
from mm.models import Movie, Person, Recommendation, chunks, fold
from mm.services import values
from mm.services.marks import later
from mm.services.writing import Write, bury, require_room, wake_films_of, write

# A person's id as a database takes it.
ID_MAX = 2**31 - 1
ID = re.compile(r"[1-9][0-9]{0,9}")
# Of what a film shows of who recommended it.
SHOWN = {"name", "color", "emoji"}


def listing(user_id: str) -> list[PersonView]:
    """By name, whatever its case."""
    return [_view(person) for person in _counted(user_id).order_by(Person.name_key)]


def view(person: Person) -> PersonView:
    return _view(_counted(person.user_id).where(Person.id == person.id).get())


def views(user_id: str, ids: list[int]) -> list[PersonView]:
    """Those of this user's people that have these ids, in the order of the ids."""
    parts = (_counted(user_id).where(Person.id.in_(part)) for part in chunks(ids))
    found = {person.id: _view(person) for rows in parts for person in rows}
    return [found[person_id] for person_id in ids if person_id in found]


def find(user_id: str, name: str) -> Person:
    """By name alone: a name that is a number is nobody's id. Raises NotFound."""
    person = None
    with contextlib.suppress(Invalid):
        person = _named(user_id, values.name(name))
    if person is None:
        raise NotFound("Person not found")
    return person


def by_id(user_id: str, person_id: str | int) -> Person:
    """A text is an id only as the id itself is written, "9" and not "009". Raises NotFound."""
    text = str(person_id)
    person = None
    if ID.fullmatch(text) and int(text) <= ID_MAX:
        person = Person.get_or_none((Person.user == user_id) & (Person.id == int(text)))
    if person is None:
        raise NotFound("Person not found")
    return person


def by_name_or_id(user_id: str, text: str) -> Person:
    """Raises NotFound."""
    with contextlib.suppress(NotFound):
        return find(user_id, text)
    return by_id(user_id, text)


def create(
    user_id: str,
    name: str,
    is_trusted: bool | None = None,
    color: str | None = None,
    emoji: str | None = None,
    at: float | None = None,
) -> Person:
    """Raises Invalid for what cannot be a name, colour or emoji, and Conflict for a name in use, in whatever case."""
    name = values.name(name)
    details = _checked({"is_trusted": is_trusted, "color": color, "emoji": emoji})
    with write(user_id, at) as made:
        _require_free(user_id, name)
        require_room(user_id, Person, "people")
        return Person.create(**_new(made, name), **details)


def obtain(made: Write, names: Sequence[str]) -> dict[str, Person]:
    """{name as it is given: person}, made where there is none of that name. The names must have
    passed `values.name`. A constant number of queries."""
    wanted: dict[str, str] = {}
    for name in names:
        wanted.setdefault(fold(name), name)
    known = _by_key(made.user_id, wanted)
    new = [_new(made, name) for key, name in wanted.items() if key not in known]
    if new:
        require_room(made.user_id, Person, "people", len(new))
        Person.insert_many(new).execute()
        known = _by_key(made.user_id, wanted)
    return {name: known[fold(name)] for name in names}


def with_ids(user_id: str, ids: Sequence[int]) -> dict[int, Person]:
    """{id: person}. Raises NotFound where one of them is nobody's."""
    usable = [person_id for person_id in ids if 0 < person_id <= ID_MAX]
    rows = Person.select().where((Person.user == user_id) & Person.id.in_(usable))
    found = {person.id: person for person in rows}
    if not found.keys() >= set(ids):
        raise NotFound("Person not found")
    return found


def change(user_id: str, person: str | int, changes: dict, at: float | None = None) -> Person:
    """Set those of name, is_trusted, color and emoji that `changes` has; only an emoji can be cleared with None.
    `person`: a name, or an id as a number.

    Raises NotFound, Invalid, or Conflict for another person's name.
    """
    details = _checked(changes)
    with write(user_id, at) as made:
        found = _chosen(user_id, person)
        if name := details.get("name"):
            _require_free(user_id, name, besides=found.id)
            details["name_key"] = fold(name)
        # A form sends everything again; the films need to be sent again only for what they show.
        shows = any(getattr(found, field) != details[field] for field in SHOWN & details.keys())
        mine = Person.id == found.id
        marks = {"last_modified": later(made.at, found), "updated_at": made.updated_at}
        Person.update(**details, **marks).where(mine).execute()
        if shows:
            wake_films_of(made, found.id)
        return Person.get_by_id(found.id)


def delete(user_id: str, person: str | int, at: float | None = None) -> None:
    """Their votes go too. `person` as for `change`. Raises NotFound, and UserError for a quick recommender."""
    with write(user_id, at) as made:
        found = _chosen(user_id, person)
        if found.quick_key:
            raise UserError("Quick recommenders cannot be deleted")
        wake_films_of(made, found.id)
        Person.delete().where(Person.id == found.id).execute()
        bury(made, "person", str(found.id), found.name_key)


def recount(made: Write, who: Expression) -> None:
    """Tell clients once more of those for whom `who` holds: their movie_count is another one."""
    Person.update(updated_at=made.updated_at).where((Person.user == made.user_id) & who).execute()


def _chosen(user_id: str, person: str | int) -> Person:
    return find(user_id, person) if isinstance(person, str) else by_id(user_id, person)


def _named(user_id: str, name: str) -> Person | None:
    return Person.get_or_none((Person.user == user_id) & (Person.name_key == fold(name)))


def _checked(changes: dict) -> dict:
    """The fields of `changes` that are given, as they will be stored."""
    given = {
        "name": values.name(changes["name"]) if changes.get("name") is not None else None,
        "is_trusted": values.flag(changes.get("is_trusted"), "is_trusted"),
        "color": values.color(changes.get("color")),
    }
    given = {field: value for field, value in given.items() if value is not None}
    return given | ({"emoji": values.text(changes["emoji"], "emoji")} if "emoji" in changes else {})


def _require_free(user_id: str, name: str, besides: int | None = None) -> None:
    holder = _named(user_id, name)
    if holder is not None and holder.id != besides:
        raise Conflict("Person already exists")


def _by_key(user_id: str, keys: Iterable[str]) -> dict[str, Person]:
    rows = Person.select().where((Person.user == user_id) & Person.name_key.in_(list(keys)))
    return {person.name_key: person for person in rows}


def _new(made: Write, name: str) -> dict:
    """The columns of a new person, but for those that have a default."""
    return {
        "user": made.user_id,
        "name": name,
        "name_key": fold(name),
        "last_modified": made.at,
        "updated_at": made.updated_at,
    }


def _counted(user_id: str) -> ModelSelect:
    """With the number of their films that are not deleted."""
    return (
        Person.select(Person, fn.COUNT(Movie.id).alias("movie_count"))
        .join(Recommendation, JOIN.LEFT_OUTER)
        .join(Movie, JOIN.LEFT_OUTER, on=(Movie.id == Recommendation.movie) & (Movie.status != "deleted"))
        .where(Person.user == user_id)
        .group_by(Person.id)
    )


def _view(person) -> PersonView:
    return PersonView(person.id, person.name, person.user_id, person.is_trusted, person.color, person.emoji,
                      person.quick_key, person.last_modified, person.movie_count)  # fmt: skip

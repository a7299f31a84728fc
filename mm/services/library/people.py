"""Who recommends films: one user's people, four of them quick recommenders that stay."""

import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from peewee import JOIN, Case, Expression, ModelSelect, fn

from mm.database import chunks, db, fold
from mm.errors import ConflictError, InvalidError, NotFoundError, UserError
from mm.models import QUICK_RECOMMENDERS, CustomList, Movie, Person, Recommendation, Title, Watch
from mm.schemas import PersonView
from mm.services import validation
from mm.services.library.changes import Write, bury, later, require_room, wake_films_of, write
from mm.services.library.paging import Position

# A person's id as a database takes it.
ID_MAX = 2**31 - 1
ID = re.compile(r"[1-9][0-9]{0,9}")
# Of what a film shows of who recommended it.
SHOWN = {"name", "color", "emoji"}
# A suggestion with this rating of mine or a better one was a hit.
HIT = 7.0
# The order of a person's films, in positions.
LATEST_FIRST = "recommended"
QUICK_ORDER = {quick_key: place for place, (quick_key, *_) in enumerate(QUICK_RECOMMENDERS)}


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
    """By name alone: a name that is a number is nobody's id. Raises NotFoundError."""
    person = None
    with contextlib.suppress(InvalidError):
        person = _named(user_id, validation.name(name))
    if person is None:
        raise NotFoundError("Person not found")
    return person


def by_id(user_id: str, person_id: str | int) -> Person:
    """A text is an id only as the id itself is written, "9" and not "009". Raises NotFoundError."""
    text = str(person_id)
    person = None
    if ID.fullmatch(text) and int(text) <= ID_MAX:
        person = Person.get_or_none((Person.user == user_id) & (Person.id == int(text)))
    if person is None:
        raise NotFoundError("Person not found")
    return person


def by_name_or_id(user_id: str, text: str) -> Person:
    """Raises NotFoundError."""
    with contextlib.suppress(NotFoundError):
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
    """Raises InvalidError for what cannot be a name, colour or emoji, and ConflictError for a name in use, in
    whatever case."""
    name = validation.name(name)
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
    """{id: person}. Raises NotFoundError where one of them is nobody's."""
    usable = [person_id for person_id in ids if 0 < person_id <= ID_MAX]
    rows = Person.select().where((Person.user == user_id) & Person.id.in_(usable))
    found = {person.id: person for person in rows}
    if not found.keys() >= set(ids):
        raise NotFoundError("Person not found")
    return found


def change(user_id: str, person: str | int, changes: dict, at: float | None = None) -> Person:
    """Set those of name, is_trusted, color and emoji that `changes` has; only an emoji can be
    cleared with None. `person`: a name, or an id as a number.

    Raises NotFoundError, InvalidError, or ConflictError for another person's name.
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
    """Their votes go too. `person` as for `change`. Raises NotFoundError, and UserError for a quick
    recommender."""
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
        "name": validation.name(changes["name"]) if changes.get("name") is not None else None,
        "is_trusted": validation.flag(changes.get("is_trusted"), "is_trusted"),
        "color": validation.color(changes.get("color")),
    }
    given = {field: value for field, value in given.items() if value is not None}
    return given | (
        {"emoji": validation.trimmed_text(changes["emoji"], "emoji")} if "emoji" in changes else {}
    )


def _require_free(user_id: str, name: str, besides: int | None = None) -> None:
    holder = _named(user_id, name)
    if holder is not None and holder.id != besides:
        raise ConflictError("Person already exists")


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
        .join(
            Movie,
            JOIN.LEFT_OUTER,
            on=(Movie.id == Recommendation.movie) & (Movie.status != "deleted"),
        )
        .where(Person.user == user_id)
        .group_by(Person.id)
    )


def _view(person) -> PersonView:
    return PersonView(
        person.id,
        person.name,
        person.user_id,
        person.is_trusted,
        person.color,
        person.emoji,
        person.quick_key,
        person.last_modified,
        person.movie_count,
    )


class Standing(NamedTuple):
    """`films` have a vote of this person, up or down, and are not deleted; of those that were
    suggested (up) `watched` were watched and `rated` have a rating of mine, `hits` of them a good
    one."""

    person: Person
    films: int
    watched: int
    rated: int
    hits: int
    average: float | None


class Voted(NamedTuple):
    """A film with a vote of a person."""

    imdb_id: str
    title: str | None
    year: int | None
    poster_path: str | None
    status: str
    list_name: str | None
    is_up: bool
    date_recommended: float
    my_rating: float | None


def standings(user_id: str, show: str = "all") -> list[Standing]:
    """Who has the most films first. `show`: all, trusted or quick."""
    chosen = _standings().where(Person.user == user_id)
    if show == "trusted":
        chosen = chosen.where(Person.is_trusted)
    if show == "quick":
        chosen = chosen.where(Person.quick_key.is_null(False))
    return [
        _standing(person) for person in chosen.order_by(fn.COUNT(Movie.id).desc(), Person.name_key)
    ]


def standing(person: Person) -> Standing:
    return _standing(_standings().where(Person.id == person.id).get())


def by_last_use(user_id: str) -> list[Person]:
    """The quick four, then who recommended last."""
    used = fn.MAX(Recommendation.date_recommended)
    people = (
        Person.select(Person)
        .join(Recommendation, JOIN.LEFT_OUTER)
        .where(Person.user == user_id)
        .group_by(Person.id)
        .order_by(used.desc(nulls="LAST"), Person.name_key)
    )
    return sorted(people, key=lambda person: QUICK_ORDER.get(person.quick_key, len(QUICK_ORDER)))


def films_of(
    person: Person, offset: int, limit: int, after: Position | None = None
) -> tuple[list[Voted], Position | None]:
    """At most `limit` films, the last recommended first, without the deleted ones: those after a
    position, or else those from `offset` on. Also where the next page begins, None on the last."""
    rows = (
        Recommendation.select(
            Recommendation.id,
            Movie.title,
            Title.title,
            Title.year,
            Title.poster_path,
            Movie.status,
            CustomList.name,
            Recommendation.vote_type,
            Recommendation.date_recommended,
            Watch.my_rating,
        )
        .join(Movie)
        .join(Title)
        .join(CustomList, JOIN.LEFT_OUTER, on=Movie.custom_list == CustomList.pk)
        .join(Watch, JOIN.LEFT_OUTER, on=_is_latest_watch())
        .where((Recommendation.person == person.id) & (Movie.status != "deleted"))
        .order_by(Recommendation.date_recommended.desc(), Recommendation.id)
        .offset(offset)
        # One more than is shown tells whether there is another page.
        .limit(limit + 1)
    )
    if after:
        date, is_next = Recommendation.date_recommended, Recommendation.id > after.id
        rows = rows.where((date <= after.key) & ((date < after.key) | is_next))
    found = [(vote_id, Voted(*row)) for vote_id, *row in db.execute(rows)]
    shown = [film for _, film in found[:limit]]
    if len(found) <= limit:
        return shown, None
    last_id, last = found[limit - 1]
    return shown, Position(LATEST_FIRST, last.date_recommended, last_id)


def _standings() -> ModelSelect:
    suggested = Recommendation.vote_type & Movie.id.is_null(False)
    watched = suggested & (Watch.id.is_null(False) | (Movie.status == "watched"))
    rating = Case(None, [(suggested, Watch.my_rating)])
    return (
        Person.select(
            Person,
            fn.COUNT(Movie.id).alias("films"),
            _count(watched).alias("watched"),
            fn.COUNT(rating).alias("rated"),
            _count(suggested & (Watch.my_rating >= HIT)).alias("hits"),
            fn.AVG(rating).alias("average"),
        )
        .join(Recommendation, JOIN.LEFT_OUTER)
        .join(
            Movie,
            JOIN.LEFT_OUTER,
            on=(Movie.id == Recommendation.movie) & (Movie.status != "deleted"),
        )
        .join(Watch, JOIN.LEFT_OUTER, on=_is_latest_watch())
        .group_by(Person.id)
    )


def _count(condition):
    return fn.COUNT(Case(None, [(condition, 1)]))


def _is_latest_watch():
    other = Watch.alias()
    latest = other.select(fn.MAX(other.date_watched)).where(other.movie == Movie.id)
    return (Watch.movie == Movie.id) & (Watch.date_watched == latest)


def _standing(row) -> Standing:
    return Standing(row, row.films, row.watched, row.rated, row.hits, row.average)

"""Who recommends films: one user's people, four of them quick
recommenders that stay."""

import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from peewee import JOIN, Case, Expression, Function, ModelSelect, fn

from mm.database import chunks, db, fold
from mm.errors import ConflictError, InvalidError, NotFoundError, UserError
from mm.models import QUICK_RECOMMENDERS, CustomList, Movie, Person, Recommendation, Title, Watch
from mm.schemas import PersonView
from mm.services import shown_titles, validation
from mm.services.library import watches
from mm.services.library.changes import (
    Write,
    add_tombstones,
    later,
    mark_films_changed,
    require_room,
    write,
)
from mm.services.library.paging import Position

# The largest id that a database column takes.
ID_MAX = 2**31 - 1
ID = re.compile(r"[1-9][0-9]{0,9}")
# What a film shows of the people who recommended it.
SHOWN = {"name", "color", "emoji"}
# A recommended film that I rated like this or better was a hit.
HIT = 7.0
# The name of the order in which a person's films are paged.
LATEST_FIRST = "recommended"
QUICK_ORDER = {quick_key: place for place, (quick_key, *_) in enumerate(QUICK_RECOMMENDERS)}


class RecommenderStats(NamedTuple):
    """`films` have a vote of this person, up or down, and are not deleted. Of those
    with a vote up, `watched` were watched and `rated` have a rating, `hits` of them
    HIT or better; `average` is that of the ratings. A film's rating is the one that
    was given last."""

    person: Person
    films: int
    watched: int
    rated: int
    hits: int
    average: float | None


class VotedFilm(NamedTuple):
    """A film with one person's vote and the rating that I gave it last."""

    imdb_id: str
    title: str | None
    year: int | None
    poster_path: str | None
    status: str
    list_name: str | None
    is_up: bool
    date_recommended: float
    my_rating: float | None


def listing(user_id: str) -> list[PersonView]:
    """By name, whatever its case."""
    return [_view(person) for person in _counted(user_id).order_by(Person.name_key)]


def view(person: Person) -> PersonView:
    return _view(_counted(person.user_id).where(Person.id == person.id).get())


def views(user_id: str, ids: list[int]) -> list[PersonView]:
    """Those of this user's people that have these ids, in the order of the ids."""
    batches = (_counted(user_id).where(Person.id.in_(batch)) for batch in chunks(ids))
    found = {person.id: _view(person) for rows in batches for person in rows}
    return [found[person_id] for person_id in ids if person_id in found]


def find(user_id: str, name: str) -> Person:
    """By name alone: a number is a name too, and not an id. Raises NotFoundError."""
    person = None
    with contextlib.suppress(InvalidError):
        person = _named(user_id, validation.name(name))
    if person is None:
        raise NotFoundError("Person not found")
    return person


def by_id(user_id: str, person_id: str | int) -> Person:
    """A text is an id only as the id itself is written, "9" and not "009".
    Raises NotFoundError."""
    text = str(person_id)
    person = None
    if ID.fullmatch(text) and int(text) <= ID_MAX:
        person = Person.get_or_none((Person.user == user_id) & (Person.id == int(text)))
    if person is None:
        raise NotFoundError("Person not found")
    return person


def by_name_or_id(user_id: str, text: str) -> Person:
    """By name, or else by id. Raises NotFoundError."""
    with contextlib.suppress(NotFoundError):
        return find(user_id, text)
    return by_id(user_id, text)


def by_last_use(user_id: str) -> list[Person]:
    """The quick recommenders, then the others, who recommended last first."""
    last_used = fn.MAX(Recommendation.date_recommended)
    people = (
        Person.select(Person)
        .join(Recommendation, JOIN.LEFT_OUTER)
        .where(Person.user == user_id)
        .group_by(Person.id)
        .order_by(last_used.desc(nulls="LAST"), Person.name_key)
    )
    return sorted(people, key=lambda person: QUICK_ORDER.get(person.quick_key, len(QUICK_ORDER)))


def create(
    user_id: str,
    name: str,
    is_trusted: bool | None = None,
    color: str | None = None,
    emoji: str | None = None,
    at: float | None = None,
) -> Person:
    """Raises InvalidError for a bad name, colour or emoji, and ConflictError for a
    name in use, whatever its case."""
    name = validation.name(name)
    details = _checked({"is_trusted": is_trusted, "color": color, "emoji": emoji})
    with write(user_id, at) as change:
        _require_free(user_id, name)
        require_room(user_id, Person, "people")
        return Person.create(**_new(change, name), **details)


def get_or_create(change: Write, persons: Iterable[str | int]) -> list[Person]:
    """The person of each id or name, in the order given; a person is created for an
    unknown name. The names must be valid. Raises NotFoundError for an unknown id.
    A constant number of queries."""
    persons = list(persons)
    ids = {person for person in persons if isinstance(person, int)}
    names: dict[str, str] = {}
    for person in persons:
        if isinstance(person, str):
            names.setdefault(fold(person), person)
    known_ids = _by(Person.id, change.user_id, [key for key in ids if 0 < key <= ID_MAX])
    if known_ids.keys() != ids:
        raise NotFoundError("Person not found")
    known_names = _by(Person.name_key, change.user_id, list(names))
    new = [_new(change, name) for key, name in names.items() if key not in known_names]
    if new:
        require_room(change.user_id, Person, "people", len(new))
        Person.insert_many(new).execute()
        known_names = _by(Person.name_key, change.user_id, list(names))
    return [
        known_ids[person] if isinstance(person, int) else known_names[fold(person)]
        for person in persons
    ]


def change(user_id: str, person_id: int, changes: dict, at: float | None = None) -> Person:
    """Set those of name, is_trusted, color and emoji that `changes` has; only an
    emoji can be cleared with None.

    Raises NotFoundError, InvalidError, or ConflictError for another person's name.
    """
    details = _checked(changes)
    with write(user_id, at) as change:
        person = by_id(user_id, person_id)
        if name := details.get("name"):
            _require_free(user_id, name, besides=person.id)
            details["name_key"] = fold(name)
        # A form sends all fields; the films are sent again only where what they
        # show has changed.
        is_shown = any(getattr(person, field) != details[field] for field in SHOWN & details.keys())
        stamps = {"last_modified": later(change.at, person), "updated_at": change.updated_at}
        Person.update(**details, **stamps).where(Person.id == person.id).execute()
        if is_shown:
            mark_films_changed(change, person.id)
        return Person.get_by_id(person.id)


def delete(user_id: str, person_id: int, at: float | None = None) -> None:
    """Their votes go too. Raises NotFoundError, and UserError for a
    quick recommender."""
    with write(user_id, at) as change:
        person = by_id(user_id, person_id)
        if person.quick_key:
            raise UserError("Quick recommenders cannot be deleted")
        mark_films_changed(change, person.id)
        Person.delete().where(Person.id == person.id).execute()
        add_tombstones(change, "person", str(person.id), name_key=person.name_key)


def all_stats(user_id: str, show: str = "all") -> list[RecommenderStats]:
    """Who has the most films first. `show`: all, trusted or quick."""
    rows = _with_stats().where(Person.user == user_id)
    if show == "trusted":
        rows = rows.where(Person.is_trusted)
    if show == "quick":
        rows = rows.where(Person.quick_key.is_null(False))
    return list(map(_stats, rows.order_by(fn.COUNT(Movie.id).desc(), Person.name_key)))


def stats(person: Person) -> RecommenderStats:
    """Raises NotFoundError where the person was deleted since they were read."""
    row = _with_stats().where(Person.id == person.id).first()
    if row is None:
        raise NotFoundError("Person not found")
    return _stats(row)


def voted_films(
    person: Person, offset: int, limit: int, after: Position | None = None
) -> tuple[list[VotedFilm], Position | None]:
    """At most `limit` films, the last recommended first, without the deleted ones:
    those after a position, or else those from `offset` on. Also where the next page
    begins, None on the last."""
    rows = (
        Recommendation.select(
            Recommendation.id,
            Movie.title,
            shown_titles.TITLE,
            shown_titles.YEAR,
            Title.poster_path,
            Movie.status,
            CustomList.name,
            Recommendation.vote_type,
            Recommendation.date_recommended,
            watches.rating_given(),
        )
        .join(Movie)
        .join(Title)
        .join(CustomList, JOIN.LEFT_OUTER, on=Movie.custom_list == CustomList.pk)
        .where((Recommendation.person == person.id) & (Movie.status != "deleted"))
        .order_by(Recommendation.date_recommended.desc(), Recommendation.id)
        .offset(offset)
        # One more than is shown tells whether there is another page.
        .limit(limit + 1)
    )
    if after:
        date, is_next = Recommendation.date_recommended, Recommendation.id > after.id
        rows = rows.where((date <= after.key) & ((date < after.key) | is_next))
    found = [(vote_id, VotedFilm(*row)) for vote_id, *row in db.execute(rows)]
    films = [film for _, film in found[:limit]]
    if len(found) <= limit:
        return films, None
    last_id, last = found[limit - 1]
    return films, Position(LATEST_FIRST, last.date_recommended, last_id)


def _named(user_id: str, name: str) -> Person | None:
    return Person.get_or_none((Person.user == user_id) & (Person.name_key == fold(name)))


def _require_free(user_id: str, name: str, besides: int | None = None) -> None:
    holder = _named(user_id, name)
    if holder is not None and holder.id != besides:
        raise ConflictError("Person already exists")


def _checked(changes: dict) -> dict:
    """The fields of `changes` that are given, as they will be stored."""
    values = {
        "name": validation.name(changes["name"]) if changes.get("name") is not None else None,
        "is_trusted": validation.flag(changes.get("is_trusted"), "is_trusted"),
        "color": validation.color(changes.get("color")),
    }
    values = {field: value for field, value in values.items() if value is not None}
    if "emoji" in changes:
        values["emoji"] = validation.trimmed_text(changes["emoji"], "emoji")
    return values


def _by(column, user_id: str, values: Sequence) -> dict:
    """{value of the column: person} of this user's people who have one of these
    values."""
    if not values:
        return {}
    rows = Person.select().where((Person.user == user_id) & column.in_(values))
    return {getattr(person, column.name): person for person in rows}


def _new(change: Write, name: str) -> dict:
    """The columns of a new person, but for those that have a default."""
    return {
        "user": change.user_id,
        "name": name,
        "name_key": fold(name),
        "last_modified": change.at,
        "updated_at": change.updated_at,
    }


def _counted(user_id: str) -> ModelSelect:
    """With the number of their films that are not deleted."""
    return (
        Person.select(Person, fn.COUNT(Movie.id).alias("movie_count"))
        .join(Recommendation, JOIN.LEFT_OUTER)
        .join(Movie, JOIN.LEFT_OUTER, on=_is_film_of_vote())
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


def _with_stats() -> ModelSelect:
    is_up = Recommendation.vote_type & Movie.id.is_null(False)
    was_seen = fn.EXISTS(Watch.select(Watch.id).where(Watch.movie == Movie.id))
    is_watched = is_up & ((Movie.status == "watched") | was_seen)
    rating = Case(None, [(is_up, Watch.my_rating)])
    return (
        Person.select(
            Person,
            fn.COUNT(Movie.id).alias("films"),
            _count(is_watched).alias("watched"),
            fn.COUNT(rating).alias("rated"),
            _count(is_up & (Watch.my_rating >= HIT)).alias("hits"),
            fn.AVG(rating).alias("average"),
        )
        .join(Recommendation, JOIN.LEFT_OUTER)
        .join(Movie, JOIN.LEFT_OUTER, on=_is_film_of_vote())
        .join(Watch, JOIN.LEFT_OUTER, on=Watch.id == watches.of_last_rated(Watch.id))
        .group_by(Person.id)
    )


def _is_film_of_vote() -> Expression:
    return (Movie.id == Recommendation.movie) & (Movie.status != "deleted")


def _count(condition: Expression) -> Function:
    return fn.COUNT(Case(None, [(condition, 1)]))


def _stats(row) -> RecommenderStats:
    return RecommenderStats(row, row.films, row.watched, row.rated, row.hits, row.average)

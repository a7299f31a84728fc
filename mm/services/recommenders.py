"""How good people's suggestions are, and in which order to offer them: one query each, however many there are."""

from typing import NamedTuple

from peewee import JOIN, Case, ModelSelect, fn

from mm.models import QUICK_RECOMMENDERS, CustomList, Movie, Person, Recommendation, Title, Watch, db
from mm.services.positions import Position

# A suggestion with this rating of mine or a better one was a hit.
HIT = 7.0
# The order of a person's films, in positions.
LATEST_FIRST = "recommended"
QUICK_ORDER = {quick_key: place for place, (quick_key, *_) in enumerate(QUICK_RECOMMENDERS)}


class Standing(NamedTuple):
    """`films` have a vote of this person, up or down, and are not deleted; of those that were suggested (up) `watched`
    were watched and `rated` have a rating of mine, `hits` of them a good one."""

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
    return [_standing(person) for person in chosen.order_by(fn.COUNT(Movie.id).desc(), Person.name_key)]


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
        Person.select(Person, fn.COUNT(Movie.id).alias("films"), _count(watched).alias("watched"),
                      fn.COUNT(rating).alias("rated"), _count(suggested & (Watch.my_rating >= HIT)).alias("hits"),
                      fn.AVG(rating).alias("average"))
        .join(Recommendation, JOIN.LEFT_OUTER)
        .join(Movie, JOIN.LEFT_OUTER, on=(Movie.id == Recommendation.movie) & (Movie.status != "deleted"))
        .join(Watch, JOIN.LEFT_OUTER, on=_is_latest_watch())
        .group_by(Person.id)
    )  # fmt: skip


def _count(condition):
    return fn.COUNT(Case(None, [(condition, 1)]))


def _is_latest_watch():
    other = Watch.alias()
    latest = other.select(fn.MAX(other.date_watched)).where(other.movie == Movie.id)
    return (Watch.movie == Movie.id) & (Watch.date_watched == latest)


def _standing(row) -> Standing:
    return Standing(row, row.films, row.watched, row.rated, row.hits, row.average)

"""One user's films as the library page shows them: filtered, counted and
sorted in the database."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from peewee import (
    JOIN,
    SQL,
    Asc,
    Case,
    Desc,
    ModelSelect,
    Node,
    Select,
    SqliteDatabase,
    Value,
    fn,
)

from mm.database import db, fold
from mm.models import CustomList, Movie, Person, Recommendation, Title, Watch
from mm.services.library import paging, watches
from mm.services.library.paging import Position

VISIBLE = ("toWatch", "watched", "custom")
STATUS_LABELS = {
    "toWatch": "To watch",
    "watched": "Watched",
    "custom": "On a list",
    "deleted": "Deleted",
}
TABS = ("toWatch", "watched", "all", "deleted")
SORTS = ("added", "watched", "my_rating", "imdb", "year", "title")
# The other orders have the latest and the best first.
ASCENDING = ("title",)
FILTERS = ("q", "kind", "genre", "decade", "person", "trusted", "rating")
TEXT_MAX = 200
# What each parameter of the address may be; any other value is ignored.
ALLOWED = {
    "status": "|".join(TABS),
    "list": r"[^/\0]+",
    "q": r"[^\0]+",
    "kind": "movie|tv",
    "genre": r"[^\0]+",
    "decade": r"(18|19|20|21)[0-9]0",
    "person": "[0-9]{1,9}",
    "trusted": "1",
    "rating": r"[1-9](\.[0-9])?|10(\.0)?",
    "sort": "|".join(SORTS),
    "size": "s|m|l",
}
# Each word is a condition of the query, and SQLite refuses one that is
# nested too deeply.
SEARCH_WORDS = 20
# Below every date, rating and year.
LEAST = -1e308


class Vote(NamedTuple):
    name: str
    color: str
    emoji: str | None
    is_up: bool


class Card(NamedTuple):
    """A film as the grid shows it."""

    id: int
    imdb_id: str
    status: str
    list_id: str | None
    list_name: str | None
    title: str | None
    year: int | None
    poster_path: str | None
    imdb_rating: float | None
    tmdb_state: str
    tmdb_reason: str | None
    date_watched: float | None
    my_rating: float | None
    votes: tuple[Vote, ...] = ()


class Tab(NamedTuple):
    """`status` and `list_id` are the parameters that lead there; `films` counts
    those that pass the filters."""

    name: str
    status: str
    list_id: str
    films: int


@dataclass(frozen=True)
class LibraryQuery:
    """What an address of the library asks for: each field is a query parameter,
    empty where it is not given."""

    status: str = ""
    list: str = ""
    q: str = ""
    kind: str = ""
    genre: str = ""
    decade: str = ""
    person: str = ""
    trusted: str = ""
    rating: str = ""
    sort: str = "added"
    size: str = "m"

    def params(self, **changes: str) -> dict:
        """The parameters of this query with `changes`, without those that
        have their default."""
        changed = asdict(replace(self, **changes))
        return {name: value for name, value in changed.items() if value != getattr(DEFAULT, name)}

    @property
    def filters(self) -> dict[str, str]:
        """The parameters that leave films out, but for the tab."""
        return {name: value for name, value in self.params().items() if name in FILTERS}

    def shows(self, card: Card) -> bool:
        """Whether the film is in this query's tab; the filters are not looked at."""
        if self.list:
            return card.list_id == self.list
        if self.status == "all":
            return card.status in VISIBLE
        return card.status == self.status


DEFAULT = LibraryQuery()


@dataclass(frozen=True)
class LibraryPage:
    """One page of films. `query` names the tab that is shown; `total` films are in
    it; the next page begins after `end`, None on the last one; `has_films` tells
    whether the library has any film at all; `person` is the name of the person
    whose films are asked for."""

    query: LibraryQuery
    tabs: list[Tab]
    total: int
    cards: list[Card]
    end: Position | None
    has_films: bool
    person: str | None


def parse(args: Mapping[str, str]) -> LibraryQuery:
    """From an address or a saved view; what cannot be used is left out."""
    given = {name: args.get(name, "").strip()[:TEXT_MAX] for name in ALLOWED}
    usable = {name: text for name, text in given.items() if re.fullmatch(ALLOWED[name], text)}
    return LibraryQuery(**usable)


def parse_position(args: Mapping[str, str], query: LibraryQuery) -> Position | None:
    """The position that an address names with `after`; None where the
    query has no such one."""
    key_type = str if query.sort in ASCENDING else float
    return paging.parse(args.get("after", ""), query.sort, key_type)


def page(
    user_id: str,
    query: LibraryQuery,
    offset: int,
    limit: int,
    after: Position | None = None,
) -> LibraryPage:
    """At most `limit` films: those from `offset` on, or else those
    after a position, which neither skips nor repeats a film when others
    come or go meanwhile.

    At most seven queries, however many films there are.
    """
    lists = list(
        CustomList.select()
        .where(CustomList.user == user_id)
        .order_by(CustomList.position, CustomList.id)
    )
    columns = (Movie.status, Movie.custom_list, fn.COUNT(Movie.id))
    filtered = _filtered(Movie.select(*columns), user_id, query, _needs_title(query))
    rows = db.execute(filtered.group_by(Movie.status, Movie.custom_list))
    counts = Counter({(status, list_pk): count for status, list_pk, count in rows})
    has_films = bool(counts) or (
        bool(query.filters) and Movie.select().where(Movie.user == user_id).exists()
    )
    if query.list in [row.id for row in lists]:
        query = replace(query, status="")
    else:
        first = "toWatch" if counts["toWatch", None] or not counts else "all"
        query = replace(query, list="", status=query.status or first)
    tabs = _tabs(counts, lists)
    tab = (query.status, query.list)
    total = next(row.films for row in tabs if (row.status, row.list_id) == tab)
    positions = []
    if offset < total:
        # One more than is shown tells whether there is another page.
        positions = _positions(user_id, query, lists, offset, limit + 1, after)
    shown = positions[:limit]
    end = shown[-1] if shown and len(positions) > limit else None
    person = None
    if query.person:
        asked_for = (Person.user == user_id) & (Person.id == int(query.person))
        person = Person.select(Person.name).where(asked_for).scalar()
    cards = _cards([position.id for position in shown])
    return LibraryPage(query, tabs, total, cards, end, has_films, person)


def card(user_id: str, imdb_id: str) -> Card | None:
    row = Movie.get_or_none((Movie.user == user_id) & (Movie.title == imdb_id))
    return next(iter(_cards([row.id])), None) if row else None


def facets(user_id: str) -> tuple[list[str], list[int]]:
    """The genres and the decades of this user's films that are not deleted."""
    rows = (
        Movie.select(Title.genres, Title.year)
        .join(Title)
        .where((Movie.user == user_id) & Movie.status.in_(VISIBLE))
        .group_by(Title.genres, Title.year)
        .tuples()
    )
    genres: set[str] = set()
    decades: set[int] = set()
    for names, year in db.execute(rows):
        genres.update(json.loads(names) if isinstance(names, str) else names)
        if year is not None:
            decades.add(year // 10 * 10)
    return sorted(genres), sorted(decades, reverse=True)


def is_waiting(user_id: str) -> bool:
    """Whether any of this user's films has yet to be looked up."""
    film = Movie.select(Movie.id).where((Movie.user == user_id) & (Movie.title == Title.imdb_id))
    return Title.select().where(Title.tmdb_state.in_(("stub", "failed")) & fn.EXISTS(film)).exists()


def search(films: ModelSelect, text: str) -> ModelSelect:
    """Those of the films, joined with their titles, that have each of the
    first SEARCH_WORDS words of the text in their title, people or genres,
    or as their imdb_id."""
    for word in list(dict.fromkeys(fold(text).split()))[:SEARCH_WORDS]:
        films = films.where(Title.search_text.contains(word) | (Title.imdb_id == word))
    return films


def _tabs(counts: Counter, lists: list[CustomList]) -> list[Tab]:
    """`counts` by (status, the list's pk)."""
    by_status: Counter = Counter()
    for (status, _), count in counts.items():
        by_status[status] += count
    return [
        Tab(STATUS_LABELS["toWatch"], "toWatch", "", by_status["toWatch"]),
        Tab(STATUS_LABELS["watched"], "watched", "", by_status["watched"]),
        *(Tab(row.name, "", row.id, counts["custom", row.pk]) for row in lists),
        Tab("All", "all", "", sum(by_status[status] for status in VISIBLE)),
        Tab(STATUS_LABELS["deleted"], "deleted", "", by_status["deleted"]),
    ]


def _positions(
    user_id: str,
    query: LibraryQuery,
    lists: list[CustomList],
    offset: int,
    limit: int,
    after: Position | None,
) -> list[Position]:
    """Sort keys and ids alone: rows that are passed over cost only their
    place in an index."""
    needs_title = _needs_title(query) or query.sort in ("imdb", "year", "title")
    key = _sort_key(query.sort)
    films = _filtered(Movie.select(key, Movie.id), user_id, query, needs_title)
    if query.list:
        list_pk = next(row.pk for row in lists if row.id == query.list)
        films = films.where((Movie.status == "custom") & (Movie.custom_list == list_pk))
    elif query.status == "all":
        films = films.where(Movie.status.in_(VISIBLE))
    else:
        # These films are on no list: said so that the index of status, list
        # and date serves.
        films = films.where((Movie.status == query.status) & Movie.custom_list.is_null())
    if after:
        # Of equal keys the larger id is first. Put so that an index of the key serves.
        is_next = Movie.id < after.id
        if query.sort in ASCENDING:
            follows = (key >= after.key) & ((key > after.key) | is_next)
        else:
            follows = (key <= after.key) & ((key < after.key) | is_next)
        films = films.where(follows)
    order = (Asc if query.sort in ASCENDING else Desc)(key)
    rows = films.order_by(order, Movie.id.desc()).offset(offset).limit(limit)
    return [Position(query.sort, *row) for row in db.execute(rows)]


def _needs_title(query: LibraryQuery) -> bool:
    return bool(query.q or query.kind or query.genre or query.decade)


def _filtered(
    films: ModelSelect, user_id: str, query: LibraryQuery, with_title: bool
) -> ModelSelect:
    films = films.where(Movie.user == user_id)
    if with_title:
        films = films.join(Title)
    films = search(films, query.q)
    if query.kind:
        films = films.where(fn.COALESCE(Movie.media_type, Title.media_type) == query.kind)
    if query.genre:
        # By the values of the JSON array: its text may spell a letter as \u00f6. Both functions
        # have a column `value`: SQLite's is called so, PostgreSQL's takes the alias.
        is_sqlite = isinstance(db.obj, SqliteDatabase)
        values = fn.json_each if is_sqlite else fn.jsonb_array_elements_text
        genres = Select([values(Title.genres).alias("value")], [SQL("1")])
        films = films.where(fn.EXISTS(genres.where(SQL("value") == query.genre)))
    if query.decade:
        films = films.where(Title.year.between(int(query.decade), int(query.decade) + 9))
    if query.person or query.trusted:
        votes = Recommendation.select(Recommendation.movie).where(Recommendation.vote_type)
        if query.person:
            votes = votes.where(Recommendation.person == int(query.person))
        if query.trusted:
            votes = votes.join(Person).where(Person.is_trusted)
        films = films.where(Movie.id.in_(votes))
    if query.rating:
        films = films.where(watches.of_latest(Watch.my_rating) >= float(query.rating))
    return films


def _sort_key(sort: str) -> Node:
    """What the films are ordered by, never null: the films that lack it are put
    last."""
    # The folded text begins with the title; cut, because it stands in the
    # next page's address.
    title = Value("0").concat(fn.SUBSTR(Title.search_text, 1, paging.TEXT_MAX - 1))
    return {
        "added": Movie.date_added,
        "watched": fn.COALESCE(watches.of_latest(Watch.date_watched), LEAST),
        "my_rating": fn.COALESCE(watches.of_latest(Watch.my_rating), LEAST),
        "imdb": fn.COALESCE(Title.imdb_rating, LEAST),
        "year": fn.COALESCE(Title.year, LEAST),
        "title": Case(None, [(Title.title.is_null(), "1")], title),
    }[sort]


def _cards(ids: list[int]) -> list[Card]:
    """In the order of the ids."""
    if not ids:
        return []
    rows = (
        Movie.select(
            Movie.id,
            Movie.title,
            Movie.status,
            CustomList.id,
            CustomList.name,
            Title.title,
            Title.year,
            Title.poster_path,
            Title.imdb_rating,
            Title.tmdb_state,
            Title.tmdb_reason,
            watches.of_latest(Watch.date_watched),
            watches.of_latest(Watch.my_rating),
        )
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where(Movie.id.in_(ids))
    )
    cards = {movie_id: Card(movie_id, *row) for movie_id, *row in db.execute(rows)}
    rows = (
        Recommendation.select(
            Recommendation.movie, Person.name, Person.color, Person.emoji, Recommendation.vote_type
        )
        .join(Person)
        .where(Recommendation.movie.in_(ids))
        .order_by(Recommendation.vote_type.desc(), Recommendation.date_recommended)
    )
    votes: dict[int, list[Vote]] = {movie_id: [] for movie_id in ids}
    for movie_id, name, color, emoji, is_up in db.execute(rows):
        votes[movie_id].append(Vote(name, color, emoji, bool(is_up)))
    return [
        cards[movie_id]._replace(votes=tuple(votes[movie_id]))
        for movie_id in ids
        if movie_id in cards
    ]

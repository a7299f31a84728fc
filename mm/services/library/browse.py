"""One user's films as the library page shows them: filtered, counted and
sorted in the database."""

import json
import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from peewee import (
    JOIN,
    SQL,
    Asc,
    Desc,
    Expression,
    ModelSelect,
    Node,
    Select,
    SqliteDatabase,
    Value,
    fn,
)

from mm.database import db, fold
from mm.models import CustomList, ListFilm, Movie, Person, Recommendation, Title, Watch
from mm.services import shown_titles, validation
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
SORT_LABELS = {
    "added": "Added",
    "watched": "Watched",
    "my_rating": "My rating",
    "imdb": "IMDb rating",
    "year": "Year",
    "title": "Title",
}
SORTS = tuple(SORT_LABELS)
# A list's own order, on its tab only.
LIST_ORDER = "order"
LIST_SORT_LABELS = {LIST_ORDER: "List order"}
SIZE_LABELS = {"s": "Small", "m": "Medium", "l": "Large"}
SIZES = tuple(SIZE_LABELS)
KIND_LABELS = {"movie": "Films", "tv": "Series"}
# The other orders have the latest and the best first.
ASCENDING = ("title", LIST_ORDER)
# A film passes with any of the values, and with none of the excluded ones.
SEVERAL = ("kind", "genre", "decade", "person")
EXCLUDED = ("not_kind", "not_genre", "not_decade", "not_person", "not_list")
FILTERS = ("q", *SEVERAL, "trusted", "rating", *EXCLUDED)
TEXT_MAX = 200
# Values of one filter, as many as a saved view may hold.
VALUES_MAX = validation.FILTERS_MAX
# What each value of a parameter of the address may be; any other is ignored.
ALLOWED = {
    "status": "|".join(TABS),
    "list": r"[^/\0]+",
    "q": r"[^\0]+",
    "kind": "|".join(KIND_LABELS),
    "genre": r"[^\0]+",
    "decade": r"(18|19|20|21)[0-9]0",
    "person": "[0-9]{1,9}",
    "trusted": "1",
    "rating": r"[1-9](\.[0-9])?|10(\.0)?",
    "sort": "|".join((*SORTS, LIST_ORDER)),
    "size": "|".join(SIZES),
}
ALLOWED |= {name: ALLOWED[name.removeprefix("not_")] for name in EXCLUDED}
# Each word is a condition of the query, and SQLite refuses one that is
# nested too deeply.
SEARCH_WORDS = 20
# Below every date, rating and year.
LEAST = -1e308


Values = tuple[str, ...]
Pairs = list[tuple[str, str]]


class Vote(NamedTuple):
    name: str
    color: str
    emoji: str | None
    is_up: bool


class Card(NamedTuple):
    """A film as the grid shows it. `list_name` is that of its status custom, `list_ids`
    are those of all lists that it is on; `my_rating` is the one that was given last.
    Without `has_details` the title and the year are the user's own, if there are any."""

    id: int
    imdb_id: str
    status: str
    list_name: str | None
    title: str | None
    year: int | None
    has_details: bool
    poster_path: str | None
    imdb_rating: float | None
    tmdb_state: str
    tmdb_reason: str | None
    date_watched: float | None
    my_rating: float | None
    votes: tuple[Vote, ...] = ()
    list_ids: tuple[str, ...] = ()

    @property
    def lacks(self) -> str:
        """What a look-up may bring: "details", or "poster" where the catalogue describes it."""
        if not self.has_details:
            return "details"
        return "poster" if self.tmdb_state == "stub" and not self.poster_path else ""


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
    empty where it is not given. The values of SEVERAL and EXCLUDED are sorted."""

    status: str = ""
    list: str = ""
    q: str = ""
    kind: Values = ()
    genre: Values = ()
    decade: Values = ()
    person: Values = ()
    trusted: str = ""
    rating: str = ""
    not_kind: Values = ()
    not_genre: Values = ()
    not_decade: Values = ()
    not_person: Values = ()
    not_list: Values = ()
    sort: str = "added"
    size: str = "m"

    def changed(self, **changes: Any) -> "LibraryQuery":
        query = replace(self, **changes)
        has_order = query.sort != LIST_ORDER or query.list
        return query if has_order else replace(query, sort=DEFAULT.sort)

    def params(self, **changes: str | Values) -> dict:
        """The parameters of this query with `changes`, without those that have their
        default; several values are a list, for an address that repeats the parameter."""
        params = {}
        for name, value in asdict(self.changed(**changes)).items():
            if value != getattr(DEFAULT, name):
                is_one = isinstance(value, str) or len(value) == 1
                params[name] = "".join(value) if is_one else [*value]
        return params

    def without(self, name: str, value: str) -> dict:
        """The parameters without this value of a filter; its other values stay."""
        now = getattr(self, name)
        rest = "" if isinstance(now, str) else tuple(other for other in now if other != value)
        return self.params(**{name: rest})

    @property
    def address(self) -> dict:
        """As `params`, and never empty: an address without a query opens as its user has chosen
        (`usual`)."""
        return self.params() or {"sort": self.sort, "size": self.size}

    @property
    def unfiltered(self) -> dict:
        """The parameters of the same tab, order and size without any filter."""
        return self.params(**{name: getattr(DEFAULT, name) for name in FILTERS})

    @property
    def pairs(self) -> Pairs:
        """The parameters, each value by itself, as a form sends them."""
        params = self.params().items()
        return [
            (name, each)
            for name, value in params
            for each in ([value] if isinstance(value, str) else value)
        ]

    @property
    def filters(self) -> Pairs:
        """Those of the pairs that leave films out, but for the tab."""
        return [(name, value) for name, value in self.pairs if name in FILTERS]

    def shows(self, card: Card) -> bool:
        """Whether the film is in this query's tab; the filters are not looked at."""
        if self.list:
            return self.list in card.list_ids and card.status in VISIBLE
        if self.status == "all":
            return card.status in VISIBLE
        return card.status == self.status


DEFAULT = LibraryQuery()


@dataclass(frozen=True)
class LibraryPage:
    """One page of films. `query` names the tab that is shown; `total` films are in
    it; the next page begins after `end`, None on the last one; `has_films` tells
    whether the library has any film at all; `people` are the names, by id, of the
    people whom the filters name."""

    query: LibraryQuery
    tabs: list[Tab]
    total: int
    cards: list[Card]
    end: Position | None
    has_films: bool
    people: dict[str, str]


def parse(args: Mapping[str, str | list[str]]) -> LibraryQuery:
    """From a saved view, or from an address as `args.to_dict(flat=False)`. What cannot be
    used is left out; of several values for what takes one, the first counts."""
    query: dict[str, str | Values] = {}
    for name, pattern in ALLOWED.items():
        given = args.get(name) or []
        texts = [text.strip()[:TEXT_MAX] for text in ([given] if isinstance(given, str) else given)]
        usable = [text for text in texts if re.fullmatch(pattern, text)]
        if name in (*SEVERAL, *EXCLUDED):
            query[name] = tuple(sorted(set(usable))[:VALUES_MAX])
        elif usable:
            query[name] = usable[0]
    return LibraryQuery().changed(**query)


def parse_position(args: Mapping[str, str], query: LibraryQuery) -> Position | None:
    """The position that an address names with `after`; None where the
    query has no such one."""
    key_type = str if query.sort == "title" else float
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

    At most eight queries, however many films there are.
    """
    lists = _lists(user_id)
    counts, on_lists = _counts(user_id, query, bool(lists))
    has_films = bool(counts) or (
        bool(query.filters) and Movie.select().where(Movie.user == user_id).exists()
    )
    query = _in_its_tab(query, counts, lists)
    tabs = _tabs(counts, on_lists, lists)
    tab = (query.status, query.list)
    total = next(row.films for row in tabs if (row.status, row.list_id) == tab)
    found = []
    if offset < total:
        # One more than is shown tells whether there is another page.
        found = _find(user_id, query, lists, offset, limit + 1, after)
    shown = found[:limit]
    end = shown[-1][1] if shown and len(found) > limit else None
    people: dict[str, str] = {}
    if asked_for := {*query.person, *query.not_person}:
        theirs = (Person.user == user_id) & Person.id.in_([int(key) for key in asked_for])
        rows = db.execute(Person.select(Person.id, Person.name).where(theirs))
        people = {str(person_id): name for person_id, name in rows}
    cards = _cards([movie_id for movie_id, _ in shown])
    return LibraryPage(query, tabs, total, cards, end, has_films, people)


def everything(user_id: str, query: LibraryQuery) -> tuple[LibraryQuery, str, array]:
    """The query of the tab that `page` would show, the name of its list, empty for another tab, and
    the ids of all its films in their order.

    One statement reads the order, so that each film is there once whatever changes meanwhile.
    """
    lists = _lists(user_id)
    is_open = query.status or query.list in [row.id for row in lists]
    counts = Counter() if is_open else _counts(user_id, query, bool(lists))[0]
    query = _in_its_tab(query, counts, lists)
    name = next((row.name for row in lists if row.id == query.list), "")
    rows = db.execute(_in_order(user_id, query, lists, None))
    return query, name, array("q", (movie_id for movie_id, *_ in rows))


def card(user_id: str, imdb_id: str) -> Card | None:
    row = Movie.get_or_none((Movie.user == user_id) & (Movie.title == imdb_id))
    return next(iter(_cards([row.id])), None) if row else None


def facets(user_id: str) -> tuple[list[str], list[int]]:
    """The genres and the decades of this user's films that are not deleted."""
    rows = (
        Movie.select(Title.genres, shown_titles.YEAR)
        .join(Title)
        .where((Movie.user == user_id) & Movie.status.in_(VISIBLE))
        .group_by(Title.genres, shown_titles.YEAR)
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
    first SEARCH_WORDS words of the text in their title, people or genres, in
    the user's own title or note, or as their imdb_id."""
    for word in list(dict.fromkeys(fold(text).split()))[:SEARCH_WORDS]:
        films = films.where(
            Title.search_text.contains(word)
            | Movie.search_text.contains(word)
            | (Title.imdb_id == word)
        )
    return films


def _lists(user_id: str) -> list[CustomList]:
    rows = CustomList.select().where(CustomList.user == user_id)
    return list(rows.order_by(CustomList.position, CustomList.id))


def _in_its_tab(query: LibraryQuery, counts: Counter, lists: list[CustomList]) -> LibraryQuery:
    """With the tab that is shown: films to watch first, where none is asked for that there is.
    `counts` of the films that pass, by status."""
    if query.list in [row.id for row in lists]:
        return replace(query, status="")
    first = "toWatch" if counts["toWatch"] or not counts else "all"
    return query.changed(list="", status=query.status or first)


def _tabs(counts: Counter, on_lists: Counter, lists: list[CustomList]) -> list[Tab]:
    """`counts` by status, `on_lists` by the list's pk."""
    return [
        Tab(STATUS_LABELS["toWatch"], "toWatch", "", counts["toWatch"]),
        Tab(STATUS_LABELS["watched"], "watched", "", counts["watched"]),
        *(Tab(row.name, "", row.id, on_lists[row.pk]) for row in lists),
        Tab("All", "all", "", sum(counts[status] for status in VISIBLE)),
        Tab(STATUS_LABELS["deleted"], "deleted", "", counts["deleted"]),
    ]


def _counts(user_id: str, query: LibraryQuery, has_lists: bool) -> tuple[Counter, Counter]:
    """Of the films that pass the filters: {status: films}, and {list's pk: films on it
    that are not deleted}."""
    films = Movie.select(Movie.id, Movie.status)
    films = _filtered(films, user_id, query, _needs_title(query))
    if not (query.filters and has_lists):
        films = films.select(Movie.status, fn.COUNT(Movie.id)).group_by(Movie.status)
        on_lists = _counts_of_lists(user_id) if has_lists else Counter()
        return Counter(dict(db.execute(films))), on_lists
    # One query for both, because passing the filters is what takes time.
    passing = films.cte("passing", columns=("id", "status"))
    of_status = Select([passing], [passing.c.status, SQL("0"), fn.COUNT(passing.c.id)])
    of_list = Select([passing], [SQL("''"), ListFilm.custom_list, fn.COUNT(passing.c.id)])
    # CROSS makes SQLite begin with the films: all lists of all users may be many more.
    on_list = of_list.join(ListFilm, JOIN.CROSS).where(ListFilm.movie == passing.c.id)
    visible = on_list.where(passing.c.status.in_(VISIBLE)).group_by(ListFilm.custom_list)
    both = of_status.group_by(passing.c.status).union_all(visible).with_cte(passing)
    by_status: Counter = Counter()
    by_list: Counter = Counter()
    for status, list_pk, count in db.execute(both):
        if status:
            by_status[status] = count
        else:
            by_list[list_pk] = count
    return by_status, by_list


def _counts_of_lists(user_id: str) -> Counter:
    """{list's pk: films}, from indexes alone: all, less the deleted ones, which are few."""
    films = ListFilm.select(ListFilm.custom_list, fn.COUNT(ListFilm.id))
    films = films.group_by(ListFilm.custom_list)
    own = CustomList.select(CustomList.pk).where(CustomList.user == user_id)
    deleted = (Movie.user == user_id) & (Movie.status == "deleted")
    counts = Counter(dict(db.execute(films.where(ListFilm.custom_list.in_(own)))))
    return counts - Counter(dict(db.execute(films.join(Movie).where(deleted))))


def _find(
    user_id: str,
    query: LibraryQuery,
    lists: list[CustomList],
    offset: int,
    limit: int,
    after: Position | None,
) -> list[tuple[int, Position]]:
    """The films' ids and their positions alone: rows that are passed over cost only
    their place in an index."""
    rows = _in_order(user_id, query, lists, after).offset(offset).limit(limit)
    return [(movie_id, Position(query.sort, *row)) for movie_id, *row in db.execute(rows)]


def _in_order(
    user_id: str, query: LibraryQuery, lists: list[CustomList], after: Position | None
) -> ModelSelect:
    """Each film's id, sort key and what decides among equal keys."""
    needs_title = _needs_title(query) or query.sort in ("imdb", "year", "title")
    key = _sort_key(query.sort)
    # Decides among equal keys.
    among = ListFilm.id if query.sort == LIST_ORDER else Movie.id
    films = _filtered(Movie.select(Movie.id, key, among), user_id, query, needs_title)
    if query.list:
        list_pk = next(row.pk for row in lists if row.id == query.list)
        films = films.join_from(Movie, ListFilm).where(ListFilm.custom_list == list_pk)
        films = films.where(Movie.status.in_(VISIBLE))
    elif query.status == "all":
        films = films.where(Movie.status.in_(VISIBLE))
    else:
        # These films have no list of the status custom: said so that the index of
        # status, list and date serves.
        films = films.where((Movie.status == query.status) & Movie.custom_list.is_null())
    if after:
        # Put so that an index of the key serves.
        is_next = among > after.id if query.sort == LIST_ORDER else among < after.id
        if query.sort in ASCENDING:
            follows = (key >= after.key) & ((key > after.key) | is_next)
        else:
            follows = (key <= after.key) & ((key < after.key) | is_next)
        films = films.where(follows)
    order = (Asc if query.sort in ASCENDING else Desc)(key)
    # A list has the film first that was put there first, the other orders the newest.
    tie = among.asc() if query.sort == LIST_ORDER else among.desc()
    return films.order_by(order, tie)


def _needs_title(query: LibraryQuery) -> bool:
    names = [name for name, _ in query.filters]
    return any(name.removeprefix("not_") in ("q", "kind", "genre", "decade") for name in names)


def _filtered(
    films: ModelSelect, user_id: str, query: LibraryQuery, with_title: bool
) -> ModelSelect:
    films = films.where(Movie.user == user_id)
    if with_title:
        films = films.join(Title)
    films = search(films, query.q)
    # Where a film has no value, it has none of the excluded ones.
    kind = fn.COALESCE(Movie.media_type, Title.media_type, "")
    decade = fn.COALESCE(shown_titles.YEAR, 0) / 10 * 10
    votes = Recommendation.select(Recommendation.movie).where(Recommendation.vote_type)
    if query.kind:
        films = films.where(kind.in_(query.kind))
    if query.not_kind:
        films = films.where(kind.not_in(query.not_kind))
    if query.genre:
        films = films.where(_has_genre(query.genre))
    if query.not_genre:
        films = films.where(~_has_genre(query.not_genre))
    if query.decade:
        films = films.where(decade.in_(_numbers(query.decade)))
    if query.not_decade:
        films = films.where(decade.not_in(_numbers(query.not_decade)))
    if query.person or query.trusted:
        wanted = votes
        if query.person:
            wanted = wanted.where(Recommendation.person.in_(_numbers(query.person)))
        if query.trusted:
            wanted = wanted.join(Person).where(Person.is_trusted)
        films = films.where(Movie.id.in_(wanted))
    if query.not_person:
        unwanted = votes.where(Recommendation.person.in_(_numbers(query.not_person)))
        films = films.where(Movie.id.not_in(unwanted))
    if query.not_list:
        those = (CustomList.user == user_id) & CustomList.id.in_(query.not_list)
        on_them = ListFilm.select(ListFilm.movie).join(CustomList).where(those)
        films = films.where(Movie.id.not_in(on_them))
    if query.rating:
        films = films.where(watches.rating_given() >= float(query.rating))
    return films


def _has_genre(genres: Values) -> Expression:
    """Any of them, by the values of the JSON array: its text may spell a letter as \u00f6. Both
    functions have a column `value`: SQLite's is called so, PostgreSQL's takes the alias."""
    is_sqlite = isinstance(db.obj, SqliteDatabase)
    values = fn.json_each if is_sqlite else fn.jsonb_array_elements_text
    rows = Select([values(Title.genres).alias("value")], [SQL("1")])
    return fn.EXISTS(rows.where(SQL("value").in_(genres)))


def _numbers(texts: Values) -> list[int]:
    return [int(text) for text in texts]


def _sort_key(sort: str) -> Node:
    """What the films are ordered by, never null: the films that lack it are put
    last."""
    # Cut, because it stands in the next page's address.
    title = Value("0").concat(fn.SUBSTR(shown_titles.FOLDED, 1, paging.TEXT_MAX - 1))
    return {
        "added": Movie.date_added,
        "watched": fn.COALESCE(watches.of_latest(Watch.date_watched), LEAST),
        "my_rating": fn.COALESCE(watches.rating_given(), LEAST),
        "imdb": fn.COALESCE(Title.imdb_rating, LEAST),
        "year": fn.COALESCE(shown_titles.YEAR, LEAST),
        "title": fn.COALESCE(title, "1"),
        LIST_ORDER: ListFilm.position,
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
            CustomList.name,
            shown_titles.TITLE,
            shown_titles.YEAR,
            Title.title.is_null(False),
            Title.poster_path,
            Title.imdb_rating,
            Title.tmdb_state,
            Title.tmdb_reason,
            watches.of_latest(Watch.date_watched),
            watches.rating_given(),
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
    on_lists: dict[int, list[str]] = {movie_id: [] for movie_id in ids}
    rows = ListFilm.select(ListFilm.movie, CustomList.id).join(CustomList)
    for movie_id, list_id in db.execute(rows.where(ListFilm.movie.in_(ids))):
        on_lists[movie_id].append(list_id)
    return [
        cards[movie_id]._replace(votes=tuple(votes[movie_id]), list_ids=tuple(on_lists[movie_id]))
        for movie_id in ids
        if movie_id in cards
    ]

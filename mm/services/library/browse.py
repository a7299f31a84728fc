"""One user's films as the library page shows them: chosen, counted and sorted in the database."""

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
    Expression,
    ModelSelect,
    Node,
    Select,
    SqliteDatabase,
    Value,
    fn,
)

from mm.database import db, fold
from mm.errors import NotFoundError
from mm.models import CustomList, Movie, Person, Recommendation, Title, Watch
from mm.services import validation
from mm.services.library import paging
from mm.services.library.paging import Position

VISIBLE = ("toWatch", "watched", "custom")
TABS = ("toWatch", "watched", "all", "deleted")
SORTS = ("added", "watched", "my_rating", "imdb", "year", "title")
TEXT_MAX = 200
# What each parameter of the address may be; whatever else stands there is left out.
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
# Not the providers' bodies, which are long.
TITLE = (
    Title.imdb_id,
    Title.tmdb_id,
    Title.media_type,
    Title.title,
    Title.original_title,
    Title.year,
    Title.runtime,
    Title.genres,
    Title.directors,
    Title.cast,
    Title.overview,
    Title.poster_path,
    Title.imdb_rating,
    Title.rotten_tomatoes,
    Title.metacritic,
    Title.tmdb_state,
    Title.tmdb_reason,
    Title.tmdb_retry_at,
    Title.tmdb_fetched_at,
    Title.omdb_state,
    Title.omdb_reason,
)
SEARCH_WORDS = 20


@dataclass(frozen=True)
class View:
    """The library as one address shows it; every field is a query parameter, empty where it says
    nothing."""

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
        """The parameters of this view, or of one that differs by `changes`, without those that say
        nothing."""
        other = replace(self, **changes)
        return {
            name: value
            for name, value in asdict(other).items()
            if value != getattr(EVERYTHING, name)
        }

    def shows(self, card: "Card") -> bool:
        """Whether the film is in this view's tab; the filters are not looked at."""
        if self.list:
            return card.list_id == self.list
        if self.status == "all":
            return card.status in VISIBLE
        return card.status == self.status

    @property
    def filters(self) -> dict[str, str]:
        """Those parameters that leave films out, but for the tab."""
        return {name: value for name, value in self.params().items() if name in FILTERS}


EVERYTHING = View()


FILTERS = ("q", "kind", "genre", "decade", "person", "trusted", "rating")


# The other orders have the latest and the best first.
ASCENDING = ("title",)


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
    """`params` lead there from the view at hand."""

    name: str
    status: str
    list_id: str
    films: int


@dataclass(frozen=True)
class Shelf:
    """One page of films. `view` has its tab settled; `total` films are in the tab; `after` is where
    the next page begins, None on the last one; `held` says whether the library holds any film at
    all; `person` is the name of who is filtered by."""

    view: View
    tabs: list[Tab]
    total: int
    cards: list[Card]
    after: Position | None
    held: bool
    person: str | None


def parse(args: Mapping[str, str]) -> View:
    """From an address or a saved view; what cannot be used is left out."""
    given = {name: args.get(name, "").strip()[:TEXT_MAX] for name in ALLOWED}
    return View(
        **{
            name: value
            for name, value in given.items()
            if value and re.fullmatch(ALLOWED[name], value)
        }
    )


def place(args: Mapping[str, str], view: View) -> Position | None:
    """The position that an address names with `after`; None where this view has no such one."""
    key = str if view.sort in ASCENDING else float
    return paging.parse(args.get("after", ""), view.sort, key)


def shelf(
    user_id: str,
    view: View,
    offset: int,
    limit: int,
    after: Position | None = None,
) -> Shelf:
    """At most `limit` films: those after a position, which leaves out none and shows none twice
    when films before it come or go meanwhile, or else those from `offset` on.

    At most seven queries, however many films there are.
    """
    lists = list(
        CustomList.select()
        .where(CustomList.user == user_id)
        .order_by(CustomList.position, CustomList.id)
    )
    counts = _counts(user_id, view)
    held = bool(counts) or (
        bool(view.filters) and Movie.select().where(Movie.user == user_id).exists()
    )
    view = _settled(view, counts, lists)
    tabs = _tabs(counts, lists)
    total = next(tab.films for tab in tabs if (tab.status, tab.list_id) == (view.status, view.list))
    rows = []
    if offset < total:
        # One more than is shown tells whether there is another page.
        rows = _page(user_id, view, lists, offset, limit + 1, after)
    shown = rows[:limit]
    following = shown[-1] if shown and len(rows) > limit else None
    cards = _cards([position.id for position in shown])
    return Shelf(view, tabs, total, cards, following, held, _person(user_id, view))


def card(user_id: str, imdb_id: str) -> Card | None:
    mine = Movie.select(Movie.id).where((Movie.user == user_id) & (Movie.title == imdb_id)).tuples()
    return next(iter(_cards([movie_id for (movie_id,) in mine])), None)


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
    for some, year in db.execute(rows):
        genres.update(json.loads(some) if isinstance(some, str) else some)
        decades.update([] if year is None else [year // 10 * 10])
    return sorted(genres), sorted(decades, reverse=True)


def is_waiting(user_id: str) -> bool:
    """Whether any of this user's films has yet to be looked up."""
    mine = Movie.select(Movie.id).where((Movie.user == user_id) & (Movie.title == Title.imdb_id))
    return Title.select().where(Title.tmdb_state.in_(("stub", "failed")) & fn.EXISTS(mine)).exists()


def _counts(user_id: str, view: View) -> Counter:
    """By (status, the list's pk)."""
    columns = (Movie.status, Movie.custom_list, fn.COUNT(Movie.id))
    chosen = _filtered(Movie.select(*columns), user_id, view, _needs_title(view))
    rows = db.execute(chosen.group_by(Movie.status, Movie.custom_list))
    return Counter({(status, pk): count for status, pk, count in rows})


def _settled(view: View, counts: Counter, lists: list[CustomList]) -> View:
    """The tab: the list, where there is still such a one; else what is to be watched, or where
    nothing is, all."""
    if view.list in [row.id for row in lists]:
        return replace(view, status="")
    some_to_watch = counts["toWatch", None] or not counts
    return replace(view, list="", status=view.status or ("toWatch" if some_to_watch else "all"))


def _tabs(counts: Counter, lists: list[CustomList]) -> list[Tab]:
    def of(status: str) -> int:
        return sum(count for (found, _), count in counts.items() if found == status)

    to_watch, watched = (
        Tab("To watch", "toWatch", "", of("toWatch")),
        Tab("Watched", "watched", "", of("watched")),
    )
    everything = Tab("All", "all", "", sum(map(of, VISIBLE)))
    own = [Tab(row.name, "", row.id, counts["custom", row.pk]) for row in lists]
    return [to_watch, watched, *own, everything, Tab("Deleted", "deleted", "", of("deleted"))]


def _person(user_id: str, view: View) -> str | None:
    if not view.person:
        return None
    mine = (Person.user == user_id) & (Person.id == int(view.person))
    return Person.select(Person.name).where(mine).scalar()


def _page(
    user_id: str,
    view: View,
    lists: list[CustomList],
    offset: int,
    limit: int,
    after: Position | None,
) -> list[Position]:
    """Sort keys and ids alone: rows that are passed over cost only their place in an index."""
    needs_title = _needs_title(view) or view.sort in ("imdb", "year", "title")
    key = _sort_key(view.sort)
    chosen = _filtered(Movie.select(key, Movie.id), user_id, view, needs_title)
    chosen = chosen.where(_in_tab(view, lists))
    if after:
        chosen = chosen.where(_follows(after))
    order = (Asc if view.sort in ASCENDING else Desc)(key)
    rows = chosen.order_by(order, Movie.id.desc()).offset(offset).limit(limit)
    return [Position(view.sort, *row) for row in db.execute(rows)]


def _in_tab(view: View, lists: list[CustomList]) -> Expression:
    if view.list:
        pk = next(row.pk for row in lists if row.id == view.list)
        return (Movie.status == "custom") & (Movie.custom_list == pk)
    if view.status == "all":
        return Movie.status.in_(VISIBLE)
    # So that the index of status, list and date serves.
    return (Movie.status == view.status) & Movie.custom_list.is_null()


def _needs_title(view: View) -> bool:
    return bool(view.q or view.kind or view.genre or view.decade)


def _filtered(chosen: ModelSelect, user_id: str, view: View, with_title: bool) -> ModelSelect:
    chosen = chosen.where(Movie.user == user_id)
    if with_title:
        chosen = chosen.join(Title)
    for word in search_words(view.q):
        chosen = chosen.where(Title.search_text.contains(word) | (Title.imdb_id == word))
    if view.kind:
        chosen = chosen.where(fn.COALESCE(Movie.media_type, Title.media_type) == view.kind)
    if view.genre:
        chosen = chosen.where(_has_genre(view.genre))
    if view.decade:
        chosen = chosen.where(Title.year.between(int(view.decade), int(view.decade) + 9))
    if view.person or view.trusted:
        chosen = chosen.where(Movie.id.in_(_recommended(view)))
    if view.rating:
        chosen = chosen.where(_of_latest_watch(Watch.my_rating) >= float(view.rating))
    return chosen


def _recommended(view: View) -> ModelSelect:
    votes = Recommendation.select(Recommendation.movie).where(Recommendation.vote_type)
    if view.person:
        votes = votes.where(Recommendation.person == int(view.person))
    return votes.join(Person).where(Person.is_trusted) if view.trusted else votes


def _has_genre(genre: str) -> Expression:
    """By the values of the JSON array: its text may spell a letter as \\u00f6."""
    is_sqlite = isinstance(db.obj, SqliteDatabase)
    values = fn.json_each if is_sqlite else fn.jsonb_array_elements_text
    # Both have a column `value`: SQLite's is called so, PostgreSQL's takes the alias.
    rows = Select([values(Title.genres).alias("value")], [SQL("1")])
    return fn.EXISTS(rows.where(SQL("value") == genre))


def _sort_key(sort: str) -> Node:
    """What the films are ordered by, never null: the films that lack it are put last."""
    return {
        "added": Movie.date_added,
        "watched": fn.COALESCE(_of_latest_watch(Watch.date_watched), LEAST),
        "my_rating": fn.COALESCE(_of_latest_watch(Watch.my_rating), LEAST),
        "imdb": fn.COALESCE(Title.imdb_rating, LEAST),
        "year": fn.COALESCE(Title.year, LEAST),
        "title": _title_key(),
    }[sort]


def _title_key() -> Node:
    """The folded text begins with the title; cut, because it stands in the next page's address."""
    text = Value("0").concat(fn.SUBSTR(Title.search_text, 1, paging.TEXT_MAX - 1))
    return Case(None, [(Title.title.is_null(), "1")], text)


def _follows(after: Position) -> Expression:
    """Whether a film comes after the position; of equal keys the larger id is first. Put so that an
    index of the key serves."""
    key, is_next = _sort_key(after.sort), Movie.id < after.id
    if after.sort in ASCENDING:
        return (key >= after.key) & ((key > after.key) | is_next)
    return (key <= after.key) & ((key < after.key) | is_next)


def _of_latest_watch(column) -> ModelSelect:
    latest = Watch.select(column).where(Watch.movie == Movie.id)
    return latest.order_by(Watch.date_watched.desc()).limit(1)


def _cards(ids: list[int]) -> list[Card]:
    """In the order of the ids."""
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
            _of_latest_watch(Watch.date_watched),
            _of_latest_watch(Watch.my_rating),
        )
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where(Movie.id.in_(ids))
    )
    found = {row[0]: Card(*row) for row in db.execute(rows)} if ids else {}
    votes = _votes(ids) if ids else {}
    return [found[key]._replace(votes=tuple(votes.get(key, ()))) for key in ids if key in found]


def _votes(ids: list[int]) -> dict[int, list[Vote]]:
    rows = (
        Recommendation.select(
            Recommendation.movie, Person.name, Person.color, Person.emoji, Recommendation.vote_type
        )
        .join(Person)
        .where(Recommendation.movie.in_(ids))
        .order_by(Recommendation.vote_type.desc(), Recommendation.date_recommended)
    )
    found: dict[int, list[Vote]] = {}
    for movie_id, name, color, emoji, is_up in db.execute(rows):
        found.setdefault(movie_id, []).append(Vote(name, color, emoji, bool(is_up)))
    return found


@dataclass(frozen=True)
class Film:
    """`movie` with its title and list; watches with the latest first, votes with their persons."""

    movie: Movie
    watches: list[Watch]
    votes: list[Recommendation]

    @property
    def title(self) -> Title:
        return self.movie.title

    @property
    def seen(self) -> Watch | None:
        return self.watches[0] if self.watches else None


def film(user_id: str, imdb_id: str) -> Film:
    """Three queries. Raises NotFoundError."""
    movie = (
        Movie.select(Movie, CustomList, *TITLE)
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where((Movie.user == user_id) & (Movie.title == validation.imdb_id_or_404(imdb_id)))
        .first()
    )
    if movie is None:
        raise NotFoundError(
            "This film is not in your library. It may have been deleted in another window."
        )
    watches = Watch.select().where(Watch.movie == movie.id).order_by(Watch.date_watched.desc())
    votes = (
        Recommendation.select(Recommendation, Person)
        .join(Person)
        .where(Recommendation.movie == movie.id)
        .order_by(
            Recommendation.vote_type.desc(), Recommendation.date_recommended, Recommendation.id
        )
    )
    return Film(movie, list(watches), list(votes))


def others_of(user_id: str, film: Film) -> list[tuple[Person, int]]:
    """Who recommended this film, each with how many other films of theirs are still to be watched;
    none without. One query."""
    people = [vote.person for vote in film.votes if vote.vote_type]
    rows = (
        Recommendation.select(Recommendation.person, fn.COUNT(Movie.id))
        .join(Movie)
        .where(
            Recommendation.person.in_([person.id for person in people])
            & Recommendation.vote_type
            & (Movie.user == user_id)
            & (Movie.status == "toWatch")
            & (Movie.id != film.movie.id)
        )
        .group_by(Recommendation.person)
    )
    counts = dict(db.execute(rows)) if people else {}
    return [(person, counts[person.id]) for person in people if person.id in counts]


def search_words(text: str) -> list[str]:
    """The words a film must have, each once. At most SEARCH_WORDS: each is a condition of the
    query, and SQLite refuses one that is nested too deeply."""
    return list(dict.fromkeys(fold(text).split()))[:SEARCH_WORDS]

"""A plan in its parts: a step for each row of a file that could be used, and the library it was
compared with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, field

from mm.schemas import Conflicts, Kind, ListedFilm, Mode, Outcome, Problem
from mm.services.ranking_order import Ranked

SKIPPED = "already in your library"
OLDER = "your library’s version is as new or newer"
LEFT_OUT = "left out by you"
UNREADABLE = "unreadable in the file"
NOT_SAID = "the file does not say"
NEEDED = "something that stays needs it"
# {name: [from, to]}.
Fields = Mapping[str, list]
# Outcomes that write something.
WRITTEN = ("new", "changed", "removed")
# Warnings of one kind that are given one by one.
WARNINGS_EACH = 10


class Warnings:
    """What the user should know about a file: the first few of each kind, and how many more."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}
        self._more: Counter[str] = Counter()

    def add(self, kind: str, text: str) -> None:
        texts = self._kinds.setdefault(kind, [])
        if len(texts) < WARNINGS_EACH:
            texts.append(text)
        else:
            self._more[kind] += 1

    def lines(self) -> list[str]:
        lines = []
        for kind, texts in self._kinds.items():
            lines += texts
            if more := self._more[kind]:
                lines.append(f"And {more:,} more like the last one.")
        return lines


# In each step, `row_id` is the key of the library's row, None for a new one. `values` is a struct
# of `values`: the row's owned columns as they will be. `fields` maps the name of each that changes
# to [from, to]. gc=False as in `reader`.


class PersonStep(Struct, gc=False):
    """`key` is the folded name the person will have, `file_key` the one in the file."""

    outcome: Outcome
    key: str
    row_id: int | None
    values: Any
    fields: Fields
    reason: str | None = None
    file_key: str = ""


class ListStep(Struct, gc=False):
    """`id` is the one the list will have: not the file's where a list was joined by name."""

    outcome: Outcome
    id: str
    row_id: int | None
    values: Any
    fields: Fields
    reason: str | None = None


class ViewStep(Struct, gc=False):
    outcome: Outcome
    row_id: str | None
    values: Any
    fields: Fields
    reason: str | None = None


class VoteStep(Struct, gc=False):
    outcome: Outcome
    person_key: str
    person_name: str
    values: Any
    fields: Fields
    reason: str | None = None


class WatchStep(Struct, gc=False):
    outcome: Outcome
    values: Any
    fields: Fields
    reason: str | None = None


class Hint(NamedTuple):
    title: str | None
    year: int | None


NO_HINT = Hint(None, None)


class FilmStep(Struct, gc=False):
    """`list_id` is the id of the list with which the film will have the status custom. `hint` is
    what it takes from the file, whatever the outcome: taking a hint is no change."""

    outcome: Outcome
    imdb_id: str
    row_id: int | None
    values: Any
    list_id: str | None
    fields: Fields
    votes: Sequence[VoteStep] = ()
    watches: Sequence[WatchStep] = ()
    reason: str | None = None
    hint: Hint | None = None


class ListFilmStep(Struct, gc=False):
    """A film's place on a list. Positions count from 1."""

    outcome: Outcome
    list_id: str
    list_name: str
    imdb_id: str
    fields: Fields
    reason: str | None = None


class RankingStep(Struct, gc=False):
    outcome: Outcome
    imdb_id: str
    fields: Fields
    reason: str | None = None


def vote_key(imdb_id: str, person_key: str) -> str:
    """Of a schemas.Change."""
    return f"{imdb_id}/{person_key}"


def watch_key(imdb_id: str, date_watched: float) -> str:
    return f"{imdb_id}/{float(date_watched)!r}"


def list_film_key(list_id: str, imdb_id: str) -> str:
    return f"{list_id}/{imdb_id}"


class NotTaken(NamedTuple):
    """A new row that was left out by hand. `key` and `label` as in schemas.Change."""

    kind: Kind
    key: str
    label: str


class Plan(Struct):
    """Exactly what `apply` will do, for the library as it was at `library_version`. `ranked` is the
    whole ranking as it will be, and `rankings` are the steps that lead there. `on_lists` has all
    films of each list that gets others or another order, by its id; `list_films` are the steps.
    `left_out` are rows that stay as they are, as kind:key of schemas.Change; `labels` name the rows
    of the file that have errors, by their paths."""

    user_id: str
    library_version: int
    conflicts: Conflicts
    people: list[PersonStep]
    lists: list[ListStep]
    views: list[ViewStep]
    films: list[FilmStep]
    errors: list[Problem]
    warnings: list[str]
    # Gathered while planning, then added to `warnings`.
    noticed: Warnings = field(default_factory=Warnings)
    rankings: list[RankingStep] = []
    ranked: list[Ranked] = []
    list_films: list[ListFilmStep] = []
    on_lists: dict[str, list[ListedFilm]] = {}
    mode: Mode = "merge"
    left_out: frozenset[str] = frozenset()
    not_taken: list[NotTaken] = []
    labels: dict[str, str] = {}

    def is_left_out(self, kind: Kind, key: str) -> bool:
        return bool(self.left_out) and f"{kind}:{key}" in self.left_out

    def leave_out_new(self, kind: Kind, key: str, label: str) -> bool:
        """Whether this new row was left out by hand, which is noted then."""
        if not self.is_left_out(kind, key):
            return False
        self.not_taken.append(NotTaken(kind, key, label))
        return True

    def films_written(self) -> int:
        return sum(film.outcome in WRITTEN for film in self.films)

    def is_empty(self) -> bool:
        """Nothing would be written."""
        groups: tuple[list, ...] = (
            self.people,
            self.lists,
            self.views,
            self.films,
            self.list_films,
            self.rankings,
        )
        writes = any(step.outcome in WRITTEN for steps in groups for step in steps)
        return not writes and all(film.hint is None for film in self.films)


class LibraryPerson(Struct, gc=False):
    """`final_key` is the folded name they will have, once that is known."""

    id: int
    key: str
    quick_key: str | None
    values: Any
    final_key: str = ""


class LibraryList(Struct, gc=False):
    pk: int
    id: str
    values: Any


class LibraryView(Struct, gc=False):
    id: str
    values: Any


class LibraryFilm(Struct, gc=False):
    """`has_title` and `has_year`: the server itself knows them, so that no hint is shown."""

    id: int
    values: Any
    list_id: str | None
    hint: Hint
    has_title: bool
    has_year: bool


class Library(Struct):
    """The library's rows, by what a file can find them by: people by id, lists by pk, views by
    folded name, films by imdb_id; votes as (person id, values) and watches by movie id; the films
    of a list by its id, in order."""

    people: dict[int, LibraryPerson]
    lists: dict[int, LibraryList]
    views: dict[str, LibraryView]
    films: dict[str, LibraryFilm]
    votes: dict[int, list[tuple[int, Any]]]
    watches: dict[int, list[Any]]
    list_films: dict[str, list[ListedFilm]]
    rankings: dict[str, Ranked]
    # Those that a replace removes.
    gone_people: dict[int, LibraryPerson] = {}
    gone_lists: dict[int, LibraryList] = {}


def refusal(conflicts: Conflicts, mine: Any, from_file: Any) -> str | None:
    """Why the library's values stay, or None where the file's are taken."""
    if conflicts == "skip":
        return SKIPPED
    if conflicts == "newest" and from_file.last_modified <= mine.last_modified:
        return OLDER
    return None

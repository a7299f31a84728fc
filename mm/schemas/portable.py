"""The v2 document as we write it, and what an import would do and did. Key order is the order of
the fields."""

import re
from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

VERSION = 2
# The beginning of a path into the file.
ROW = re.compile(r"[a-z_]+\[([0-9]+)\]")
# Raised whenever the same library is written as another file. It stands in a backup's sidecar (that
# of 0.1.0 has none): a backup of another format cannot be compared byte for byte with an export.
FORMAT = 3

Status = Literal["toWatch", "watched", "custom", "deleted"]
Conflicts = Literal["overwrite", "newest", "skip"]
# Replace: the library becomes what the file says, deletions included.
Mode = Literal["merge", "replace"]
Kind = Literal["person", "list", "movie", "vote", "watch", "view", "ranking", "list_film"]
Outcome = Literal["new", "changed", "same", "kept", "rejected", "removed"]


# gc=False for the rows of which a library has many, as in schemas/movies.


class Vote(Struct, gc=False):
    person_name: str
    date_recommended: float
    vote_type: bool


class WatchEntry(Struct, gc=False):
    """`day_known` false: `date_watched` is when it was noted down."""

    date_watched: float
    my_rating: float | None
    note: str | None
    day_known: bool


class MovieEntry(Struct, gc=False):
    """`title` and `year` make the file readable: the server's own, else the film's hint. `watches`
    only where a film was watched more than once, oldest first; `watch_history` is the last of
    them."""

    imdb_id: str
    title: str | None
    year: int | None
    media_type: str | None
    status: Status
    custom_list_id: str | None
    date_added: float
    last_modified: float
    note: str | None
    recommendations: list[Vote]
    watch_history: WatchEntry | None
    watches: list[WatchEntry] | UnsetType = UNSET


class PersonEntry(Struct):
    name: str
    is_trusted: bool
    color: str
    emoji: str | None
    quick_key: str | None
    last_modified: float


class ListedFilm(Struct, gc=False):
    imdb_id: str
    note: str | None


class ListEntry(Struct):
    """`films` in the list's own order, deleted ones too."""

    id: str
    name: str
    color: str
    icon: str
    position: int
    created_at: float
    last_modified: float
    description: str | None
    films: list[ListedFilm]


# One text, or several in order: any of them, or with a filter such as not_genre none of them.
FilterValue = str | list[str]


class ViewEntry(Struct):
    """A saved view: `filters` are the parameters of the library's address. A person stands there by
    name."""

    name: str
    filters: dict[str, FilterValue]
    position: int
    last_modified: float


class RankingEntry(Struct):
    """A watched film's place: `position` from 1 within the liked films, or within the others."""

    imdb_id: str
    liked: bool
    position: int
    ranked_at: float


class Document(Struct):
    version: int
    exported_at: float
    movies: list[MovieEntry]
    people: list[PersonEntry]
    lists: list[ListEntry]
    views: list[ViewEntry]
    rankings: list[RankingEntry]


class Counts(Struct):
    movies: int
    people: int
    lists: int


# What an import would do, and did.


class Problem(Struct):
    """`path` points into the file, as in movies[3].watch_history.my_rating, which is in `row` 4 of
    the movies."""

    path: str
    reason: str
    row: int | None = None

    def __post_init__(self) -> None:
        if match := ROW.match(self.path):
            self.row = int(match[1]) + 1


class Change(Struct):
    """What happens to one row. `label` and `year` are for people; `key` identifies the row within
    its kind; `fields` maps a name to [from, to]; `reason` says why a row is kept or rejected.
    `path` is the place in the file of a rejected one, `row` its place in its section, from 1."""

    kind: Kind
    outcome: Outcome
    label: str
    fields: dict[str, list] = {}
    reason: str | None = None
    path: str | None = None
    key: str = ""
    year: int | None = None
    row: int | None = None


class PlanView(Struct):
    """The plan in words and numbers: `counts[kind][outcome]`, and a row for each change that is not
    `same`."""

    mode: Mode
    conflicts: Conflicts
    library_version: int
    counts: dict[str, dict[str, int]]
    changes: list[Change]
    errors: list[Problem]
    warnings: list[str]


class ImportResult(Struct):
    """`problems` has a row for each entry of the file that was left out, `errors` the same as
    sentences: "movies[3].status: …". `movies_imported` and the others count what was written, and
    `removed_counts` what a replace removed."""

    success: bool
    movies_imported: int
    people_imported: int
    lists_imported: int
    imported_counts: Counts
    imdb_ids_needing_enrichment: list[str]
    errors: list[str]
    problems: list[Problem]
    warnings: list[str]
    safety_backup: str | None
    mode: Mode = "merge"
    removed_counts: Counts = field(default_factory=lambda: Counts(0, 0, 0))

"""A plan in its parts: a step for each row of a file that could be used, and the library it was
compared with."""

from collections import Counter

from msgspec import Struct, field

from mm.schemas import Conflicts, Outcome, Problem
from mm.services.ranking_order import Ranked

SKIPPED = "already in your library"
OLDER = "your library’s version is as new or newer"
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


# In each step, `row_id` is the key of the library's row, None for a new one. `values` holds the
# row's owned columns as they will be, by name; `fields` maps the name of each that changes to
# [from, to].


class PersonStep(Struct):
    """`key` is the folded name the person will have."""

    outcome: Outcome
    key: str
    row_id: int | None
    values: dict
    fields: dict[str, list]
    reason: str | None = None


class ListStep(Struct):
    """`id` is the one the list will have: not the file's where a list was joined by name."""

    outcome: Outcome
    id: str
    row_id: int | None
    values: dict
    fields: dict[str, list]
    reason: str | None = None


class ViewStep(Struct):
    outcome: Outcome
    row_id: str | None
    values: dict
    fields: dict[str, list]
    reason: str | None = None


class VoteStep(Struct):
    outcome: Outcome
    person_key: str
    person_name: str
    date_recommended: float
    vote_type: bool
    fields: dict[str, list]


class WatchStep(Struct):
    outcome: Outcome
    values: dict
    fields: dict[str, list]


class FilmStep(Struct):
    """`values["list_id"]` is the id of the list the film will be on."""

    outcome: Outcome
    imdb_id: str
    row_id: int | None
    values: dict
    fields: dict[str, list]
    votes: list[VoteStep]
    watches: list[WatchStep]
    reason: str | None = None


class RankingStep(Struct):
    outcome: Outcome
    imdb_id: str
    fields: dict[str, list]
    reason: str | None = None


class Plan(Struct):
    """Exactly what `apply` will do, for the library as it was at `library_version`. `ranked` is the
    whole ranking as it will be; `rankings` are the steps that lead there."""

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

    def is_empty(self) -> bool:
        """Nothing would be written."""
        groups: tuple[list, ...] = (self.people, self.lists, self.views, self.films, self.rankings)
        return not any(step.outcome in ("new", "changed") for steps in groups for step in steps)


class Library(Struct):
    """The library's rows, by what a file can find them by: people by id, lists by pk, views by
    folded name, films by imdb_id; votes by movie id and person id; watches by movie id and date."""

    people: dict[int, dict]
    lists: dict[int, dict]
    views: dict[str, dict]
    films: dict[str, dict]
    votes: dict[int, dict[int, tuple[float, bool]]]
    watches: dict[int, dict[float, dict]]
    rankings: dict[str, Ranked]


def refusal(conflicts: Conflicts, existing: dict, file_modified: float) -> str | None:
    """Why the library's row stays, or None where the file's values are taken."""
    if conflicts == "skip":
        return SKIPPED
    if conflicts == "newest" and file_modified <= existing["last_modified"]:
        return OLDER
    return None


def changes(existing: dict, values: dict) -> dict[str, list]:
    return {
        name: [existing[name], value] for name, value in values.items() if existing[name] != value
    }

"""A plan in its parts: a step for each row of a file that could be used, and the library it was compared with."""

from msgspec import Struct

from mm.documents import Conflicts, Outcome, Problem

SKIPPED = "already in the library"
OLDER = "the library's is as new or newer"


class PersonStep(Struct):
    """`key` is the folded name the person will have; `fields` maps a name to [from, to]; `mine` is null for a new
    person."""

    outcome: Outcome
    key: str
    mine: int | None
    values: dict
    fields: dict[str, list]
    reason: str | None = None


class ListStep(Struct):
    """`id` is the one the list will have, which is not the file's where a list was joined by name."""

    outcome: Outcome
    id: str
    mine: int | None
    values: dict
    fields: dict[str, list]
    reason: str | None = None


class ViewStep(Struct):
    outcome: Outcome
    mine: str | None
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
    date_watched: float
    my_rating: float | None
    fields: dict[str, list]


class FilmStep(Struct):
    """`values["list_id"]` is the id the list will have."""

    outcome: Outcome
    imdb_id: str
    mine: int | None
    values: dict
    fields: dict[str, list]
    votes: list[VoteStep]
    watches: list[WatchStep]
    reason: str | None = None


class Plan(Struct):
    """Exactly what `apply` will do, for the library as it was at `library_version`."""

    user_id: str
    library_version: int
    conflicts: Conflicts
    people: list[PersonStep]
    lists: list[ListStep]
    views: list[ViewStep]
    films: list[FilmStep]
    errors: list[Problem]
    warnings: list[str]

    def is_empty(self) -> bool:
        """Nothing would be written."""
        groups: tuple[list, ...] = (self.people, self.lists, self.views, self.films)
        return not any(step.outcome in ("new", "changed") for steps in groups for step in steps)


class Library(Struct):
    """The rows that are there, by what a file can find them by."""

    people: dict[int, dict]
    lists: dict[int, dict]
    views: dict[str, dict]
    films: dict[str, dict]
    votes: dict[int, dict[int, tuple[float, bool]]]
    watches: dict[int, dict[float, float | None]]


def refusal(conflicts: Conflicts, mine: dict, file_modified: float) -> str | None:
    """Why the library's row stays, or None where the file's values are taken."""
    if conflicts == "skip":
        return SKIPPED
    if conflicts == "newest" and file_modified <= mine["last_modified"]:
        return OLDER
    return None


def changes(mine: dict, values: dict) -> dict[str, list]:
    return {name: [mine[name], value] for name, value in values.items() if mine[name] != value}


def given_values(**values) -> dict:
    """Null never clears anything."""
    return {name: value for name, value in values.items() if value is not None}

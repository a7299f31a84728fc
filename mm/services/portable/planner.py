"""What an import would do to each row, computed without writing.

Merge, the rule for a row that is in the file and in the library: *overwrite* takes the
file's values, *newest* takes them where the file's last_modified is larger (else
only votes of people without one are added), *skip* leaves the row as it is. Null
never clears anything. A row's last_modified is the file's where its values were
taken. `replacing` has the rules of a replace.
"""

from collections import Counter
from collections.abc import Iterable, Sized

from peewee import Database

from mm.database import db, snapshot
from mm.errors import UnusableFileError
from mm.models import User
from mm.schemas import Conflicts, Kind, Mode
from mm.services import validation
from mm.services.portable import films, library_rows, list_films, replacing
from mm.services.portable.matching import plan_lists, plan_people, plan_views
from mm.services.portable.plans import (
    FilmStep,
    Library,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
)
from mm.services.portable.rankings import plan_rankings
from mm.services.portable.reader import KINDS, Incoming

Step = FilmStep | PersonStep | ListStep | ViewStep


def plan(
    user_id: str,
    incoming: Incoming,
    conflicts: Conflicts = "overwrite",
    database: Database | None = None,
    mode: Mode = "merge",
    left_out: frozenset[str] = frozenset(),
) -> Plan:
    """Merge: nothing is removed, and rows that are in both go by `conflicts`. Replace: the library
    becomes what the file says. `left_out`: rows to leave as they are, as kind:key of their Change,
    and row:path of a row in the file that cannot be read and names nothing.

    Reads the library once, in one snapshot. Raises UnusableFileError where the library would grow
    past what an import takes, or where a replace cannot know what a row stands for."""
    database = database or db.obj
    with snapshot(database):
        version = User.select(User.library_version).where(User.id == user_id).scalar(database)
        library = library_rows.read(database, user_id)
    plan = Plan(
        user_id=user_id,
        library_version=version,
        conflicts=conflicts if mode == "merge" else "overwrite",
        people=[],
        lists=[],
        views=[],
        films=[],
        errors=list(incoming.errors),
        warnings=list(incoming.warnings),
        mode=mode,
        left_out=left_out,
        labels=dict(incoming.labels),
    )
    if mode == "replace":
        replacing.plan_replace(plan, library, incoming)
    else:
        _plan_merge(plan, library, incoming)
    _refuse_too_many(plan, library)
    list_films.refuse_too_many(plan, library)
    plan.warnings += plan.noticed.lines()
    return plan


def _plan_merge(plan: Plan, library: Library, incoming: Incoming) -> None:
    list_of = plan_lists(plan, library, incoming)
    usable = []
    for film in incoming.films:
        existing = library.films.get(film.imdb_id)
        if plan.is_left_out("movie", film.imdb_id):
            films.leave_out(plan, existing, film)
        elif film.list_id is None or film.list_id in list_of:
            usable.append(film)
        elif plan.is_left_out("list", film.list_id):
            usable.append(films.without_list(film))
        else:
            films.reject_for_its_list(plan, film)
    # Skipped films bring no votes, and so nobody who voted.
    skipped = library.films if plan.conflicts == "skip" else {}
    voted = [film for film in usable if film.imdb_id not in skipped]
    person_of = plan_people(plan, library, incoming, voted)
    for index, film in enumerate(usable):
        if film.imdb_id not in skipped:
            usable[index] = films.join_votes(plan, film, person_of)
    plan_views(plan, library, incoming, person_of, list_of)
    for film in usable:
        plan.films.append(films.merged_film(plan, library, film, person_of, list_of))
    list_films.plan_list_films(plan, library, incoming.lists, usable, list_of)
    plan_rankings(plan, library, incoming)


def _refuse_too_many(plan: Plan, library: Library) -> None:
    """A library that grew past what an import takes could not be restored."""
    parts: tuple[tuple[str, Sized, Iterable[Step]], ...] = (
        ("films", library.films, plan.films),
        ("people", library.people, plan.people),
        ("lists", library.lists, plan.lists),
        ("saved views", library.views, plan.views),
    )
    most = validation.FILMS_MAX
    for words, existing, steps in parts:
        outcomes = Counter(step.outcome for step in steps)
        total = len(existing) + outcomes["new"] - outcomes["removed"]
        if outcomes["new"] and total > most:
            raise UnusableFileError(
                f"Your library would have {total:,} {words}; the limit is {most:,}."
            )


def count(plan: Plan) -> dict[str, dict[str, int]]:
    """`{kind: {outcome: n}}`, every outcome that occurs."""
    counts = {
        "movie": _tally(plan.films),
        "person": _tally(plan.people),
        "list": _tally(plan.lists),
        "view": _tally(plan.views),
        "vote": _tally(vote for film in plan.films for vote in film.votes),
        "watch": _tally(watch for film in plan.films for watch in film.watches),
        "ranking": _tally(plan.rankings),
        "list_film": _tally(plan.list_films),
    }
    for row in plan.not_taken:
        counts[row.kind]["kept"] = counts[row.kind].get("kept", 0) + 1
    for problem in plan.errors:
        kind = kind_of(problem.path)
        counts[kind]["rejected"] = counts[kind].get("rejected", 0) + 1
    return counts


def _tally(steps: Iterable) -> dict[str, int]:
    return dict(Counter(step.outcome for step in steps))


def kind_of(path: str) -> Kind:
    """Of the row that this path of the file points to."""
    if ".recommendations" in path:
        return "vote"
    if ".films[" in path:
        return "list_film"
    return KINDS.get(path.partition("[")[0], "movie")

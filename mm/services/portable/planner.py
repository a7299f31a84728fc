"""What an import would do to each row, computed without writing.

The rule for a row that is in the file and in the library: *overwrite* takes the
file's values, *newest* takes them where the file's last_modified is larger (else
only votes of people without one are added), *skip* leaves the row as it is. Null
never clears anything. A row's last_modified is the file's where its values were
taken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sized

from msgspec import structs
from peewee import Database

from mm.database import db, snapshot
from mm.errors import UnusableFileError
from mm.models import (
    Movie,
    User,
)
from mm.schemas import Conflicts, Outcome, Problem
from mm.services import validation
from mm.services.portable import library_rows, list_films
from mm.services.portable.matching import plan_lists, plan_people, plan_views
from mm.services.portable.plans import (
    NO_HINT,
    SKIPPED,
    FilmStep,
    Hint,
    Library,
    LibraryFilm,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    VoteStep,
    refusal,
)
from mm.services.portable.rankings import plan_rankings
from mm.services.portable.reader import FileFilm, FileVote, Incoming
from mm.services.portable.values import (
    NOTHING,
    differences,
    is_given,
    merged,
    of_new_row,
)
from mm.services.portable.watches import plan_watches

Step = FilmStep | PersonStep | ListStep | ViewStep

# section of the file -> what its rows are
KINDS = {
    "movies": "movie",
    "people": "person",
    "lists": "list",
    "views": "view",
    "rankings": "ranking",
}


def plan(
    user_id: str,
    incoming: Incoming,
    conflicts: Conflicts = "overwrite",
    database: Database | None = None,
) -> Plan:
    """Merge: nothing is removed. Reads the library once, in one snapshot. Raises
    UnusableFileError where the library would grow past what an import takes."""
    database = database or db.obj
    with snapshot(database):
        version = User.select(User.library_version).where(User.id == user_id).scalar(database)
        library = library_rows.read(database, user_id)
    plan = Plan(
        user_id=user_id,
        library_version=version,
        conflicts=conflicts,
        people=[],
        lists=[],
        views=[],
        films=[],
        errors=list(incoming.errors),
        warnings=list(incoming.warnings),
    )
    list_of = plan_lists(plan, library, incoming)
    films = []
    for film in incoming.films:
        if film.list_id is None or film.list_id in list_of:
            films.append(film)
        else:
            reason = f"list {film.list_id[:80]!r} doesn’t exist"
            plan.errors.append(Problem(f"{film.path}.custom_list_id", reason))
    # Skipped films bring no votes, and so nobody who voted.
    skipped = library.films if conflicts == "skip" else {}
    voted = [film for film in films if film.imdb_id not in skipped]
    person_of = plan_people(plan, library, incoming.people, voted)
    for index, film in enumerate(films):
        if film.imdb_id not in skipped:
            films[index] = _join_votes(plan, film, person_of)
    plan_views(plan, library, incoming.views, person_of, list_of)
    for film in films:
        plan.films.append(_film_step(plan, library, film, person_of, list_of))
    _refuse_too_many(plan, library)
    list_films.plan_list_films(plan, library, incoming.lists, films, list_of)
    list_films.refuse_too_many(plan, library)
    plan_rankings(plan, library, incoming)
    plan.warnings += plan.noticed.lines()
    return plan


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
        new = sum(step.outcome == "new" for step in steps)
        if new and len(existing) + new > most:
            total = len(existing) + new
            raise UnusableFileError(
                f"Your library would have {total:,} {words}; the limit is {most:,}."
            )


# Films.


def _join_votes(plan: Plan, film: FileFilm, person_of: dict[str, str]) -> FileFilm:
    """Two names of the file may be one person of the library, who votes once. The
    film of the file stays as it is: another plan may be made of it."""
    first: dict[str, str] = {}
    for vote in film.votes or ():
        name = first.setdefault(person_of[vote.key], vote.person_name)
        if name != vote.person_name:
            reason = f"{vote.person_name!r} and {name!r} are the same person in your library"
            plan.errors.append(Problem(f"{film.path}.recommendations", reason))
    if len(first) == len(film.votes or ()):
        return film
    votes = (vote for vote in film.votes or () if first[person_of[vote.key]] == vote.person_name)
    return structs.replace(film, votes=tuple(votes))


def _film_step(
    plan: Plan, library: Library, film: FileFilm, person_of: dict[str, str], list_of: dict[str, str]
) -> FilmStep:
    list_id = list_of[film.list_id] if film.list_id is not None else None
    existing = library.films.get(film.imdb_id)
    if existing is None:
        return _new_film(film, list_id, person_of)
    mine, imdb_id, row_id = existing.values, film.imdb_id, existing.id
    votes = _vote_steps(plan, library, row_id, film, person_of)
    if reason := refusal(plan.conflicts, mine, film.values):
        # *newest* still adds the votes of people who have none.
        added = () if reason == SKIPPED else tuple(vote for vote in votes if vote.outcome == "new")
        outcome: Outcome = "changed" if added else "kept"
        return FilmStep(
            outcome,
            imdb_id,
            row_id,
            mine,
            existing.list_id,
            NOTHING,
            added,
            reason=reason,
            hint=_hint(existing, film, is_taken=False),
        )
    final = merged(mine, film.values)
    if not is_given(film.values.status):
        list_id = existing.list_id
    fields = differences(mine, final)
    if list_id != existing.list_id:
        fields = {**fields, "list_id": [existing.list_id, list_id]}
    steps = tuple(votes)
    watches = plan_watches(library.watches.get(row_id, ()), film.watches or ())
    below = {vote.outcome for vote in steps} | {watch.outcome for watch in watches}
    outcome = "changed" if fields or below - {"same"} else "same"
    hint = _hint(existing, film, is_taken=True)
    return FilmStep(outcome, imdb_id, row_id, final, list_id, fields, steps, watches, hint=hint)


def _new_film(film: FileFilm, list_id: str | None, person_of: dict[str, str]) -> FilmStep:
    votes = film.votes or ()
    dates = (vote.values.date_recommended for vote in votes)
    first_vote = min(filter(is_given, dates), default=film.values.last_modified)
    status = "watched" if film.watches else "toWatch"
    values = of_new_row(Movie, film.values, status=status, date_added=first_vote)
    return FilmStep(
        "new",
        film.imdb_id,
        None,
        values,
        list_id,
        NOTHING,
        tuple(_new_vote(vote, film, person_of) for vote in votes),
        plan_watches((), film.watches or ()),
        hint=_taken(NO_HINT, Hint(film.title or None, film.year or None)),
    )


def _hint(existing: LibraryFilm, film: FileFilm, is_taken: bool) -> Hint | None:
    """What the film takes, for each of the two only where the server does not know it, and where
    the film has none or `is_taken`: the rule takes the file's values."""
    title, year = existing.hint
    if film.title and not existing.has_title and (is_taken or title is None):
        title = film.title
    if film.year and not existing.has_year and (is_taken or year is None):
        year = film.year
    return _taken(existing.hint, Hint(title, year))


def _taken(mine: Hint, hint: Hint) -> Hint | None:
    return hint if hint != mine else None


def _new_vote(vote: FileVote, film: FileFilm, person_of: dict[str, str]) -> VoteStep:
    values = vote.values
    if not is_given(values.date_recommended):
        date = film.values.date_added
        date = date if is_given(date) else film.values.last_modified
        values = structs.replace(values, date_recommended=date)
    return VoteStep("new", person_of[vote.key], vote.person_name, values, NOTHING)


def _vote_steps(
    plan: Plan,
    library: Library,
    movie_id: int,
    film: FileFilm,
    person_of: dict[str, str],
) -> Iterator[VoteStep]:
    """Votes are united; the same person's takes the file's. New ones are rejected
    once the film has as many as a file may hold: it could not be restored."""
    existing = {
        library.people[person_id].final_key: values
        for person_id, values in library.votes.get(movie_id, ())
    }
    most, room = validation.VOTES_MAX, validation.VOTES_MAX - len(existing)
    for vote in film.votes or ():
        mine = existing.get(person_of[vote.key])
        if mine is not None:
            final = merged(mine, vote.values)
            fields = differences(mine, final)
            outcome: Outcome = "changed" if fields else "same"
            yield VoteStep(outcome, person_of[vote.key], vote.person_name, final, fields)
        elif room > 0:
            room -= 1
            yield _new_vote(vote, film, person_of)
        else:
            reason = f"{vote.person_name!r}: a film can have {most:,} recommendations"
            plan.errors.append(Problem(f"{film.path}.recommendations", reason))


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
    for problem in plan.errors:
        kind = kind_of(problem.path)
        counts[kind]["rejected"] = counts[kind].get("rejected", 0) + 1
    return counts


def _tally(steps: Iterable) -> dict[str, int]:
    return dict(Counter(step.outcome for step in steps))


def kind_of(path: str) -> str:
    """Of the row that this path of the file points to."""
    if ".recommendations" in path:
        return "vote"
    if ".films[" in path:
        return "list_film"
    return KINDS.get(path.partition("[")[0], "movie")

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

from mm.database import db, fold, snapshot
from mm.errors import UnusableFileError
from mm.models import (
    OWNED,
    CustomList,
    Movie,
    Person,
    Recommendation,
    SavedView,
    User,
    Watch,
    new_values,
)
from mm.schemas import Conflicts, Outcome, Problem
from mm.services import ranking_order, validation
from mm.services.portable.matching import plan_lists, plan_people, plan_views
from mm.services.portable.plans import (
    SKIPPED,
    FilmStep,
    Library,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    VoteStep,
    WatchStep,
    changes,
    refusal,
)
from mm.services.portable.rankings import plan_rankings
from mm.services.portable.reader import FileFilm, FileVote, Incoming

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
        library = _library(database, user_id)
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


def _library(database: Database, user_id: str) -> Library:
    def rows(query) -> list[dict]:
        return list(query.dicts().execute(database))

    in_order = (CustomList.position, CustomList.id)
    people = rows(Person.select().where(Person.user == user_id))
    lists = rows(CustomList.select().where(CustomList.user == user_id).order_by(*in_order))
    views = rows(SavedView.select().where(SavedView.user == user_id))
    films = rows(
        Movie.select(Movie, CustomList.id.alias("list_id"))
        .left_outer_join(CustomList)
        .where(Movie.user == user_id)
    )
    votes: dict[int, dict[int, tuple[float, bool]]] = {}
    for row in rows(Recommendation.select().join(Movie).where(Movie.user == user_id)):
        vote = (row["date_recommended"], row["vote_type"])
        votes.setdefault(row["movie"], {})[row["person"]] = vote
    watches: dict[int, dict[float, dict]] = {}
    columns = (Watch.movie, *OWNED[Watch])
    for row in rows(Watch.select(*columns).join(Movie).where(Movie.user == user_id)):
        watches.setdefault(row["movie"], {})[row["date_watched"]] = row
    return Library(
        people={row["id"]: row for row in people},
        lists={row["pk"]: row for row in lists},
        views={fold(row["name"]): row for row in views},
        films={row["title"]: row for row in films},
        votes=votes,
        watches=watches,
        rankings={film.imdb_id: film for film in ranking_order.read(database, user_id)},
    )


# Films.


def _join_votes(plan: Plan, film: FileFilm, person_of: dict[str, str]) -> FileFilm:
    """Two names of the file may be one person of the library, who votes once. The
    film of the file stays as it is: another plan may be made of it."""
    first: dict[str, str] = {}
    for vote in film.votes:
        name = first.setdefault(person_of[vote.key], vote.person_name)
        if name != vote.person_name:
            reason = f"{vote.person_name!r} and {name!r} are the same person in your library"
            plan.errors.append(Problem(f"{film.path}.recommendations", reason))
    votes = [vote for vote in film.votes if first[person_of[vote.key]] == vote.person_name]
    return film if len(votes) == len(film.votes) else structs.replace(film, votes=votes)


def _film_step(
    plan: Plan, library: Library, film: FileFilm, person_of: dict[str, str], list_of: dict[str, str]
) -> FilmStep:
    list_id = list_of[film.list_id] if film.list_id is not None else None
    existing = library.films.get(film.imdb_id)
    if existing is None:
        dates = [vote.date_recommended for vote in film.votes if vote.date_recommended is not None]
        defaults = {
            "status": "watched" if film.watches else "toWatch",
            "date_added": min(dates, default=film.values["last_modified"]),
            "list_id": list_id,
        }
        steps = [_new_vote(vote, film, person_of) for vote in film.votes]
        watches = list(_watch_steps({}, film.watches))
        values = new_values(Movie, defaults | film.values)
        return FilmStep("new", film.imdb_id, None, values, {}, steps, watches)
    movie_id = existing["id"]
    votes = _vote_steps(plan, library, movie_id, film, person_of)
    if reason := refusal(plan.conflicts, existing, film.values["last_modified"]):
        # *newest* still adds the votes of people who have none.
        added = [] if reason == SKIPPED else [vote for vote in votes if vote.outcome == "new"]
        outcome: Outcome = "changed" if added else "kept"
        return FilmStep(outcome, film.imdb_id, movie_id, existing, {}, added, [], reason)
    values = dict(film.values)
    if "status" in values:
        values["list_id"] = list_id
    fields = changes(existing, values)
    steps = list(votes)
    watches = list(_watch_steps(library.watches.get(movie_id, {}), film.watches))
    below = {vote.outcome for vote in steps} | {watch.outcome for watch in watches}
    outcome = "changed" if fields or below - {"same"} else "same"
    return FilmStep(outcome, film.imdb_id, movie_id, existing | values, fields, steps, watches)


def _new_vote(vote: FileVote, film: FileFilm, person_of: dict[str, str]) -> VoteStep:
    date = vote.date_recommended
    if date is None:
        date = film.values.get("date_added", film.values["last_modified"])
    return VoteStep("new", person_of[vote.key], vote.person_name, date, vote.vote_type, {})


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
        library.people[person_id]["final_key"]: vote
        for person_id, vote in library.votes.get(movie_id, {}).items()
    }
    most, room = validation.VOTES_MAX, validation.VOTES_MAX - len(existing)
    for vote in film.votes:
        step = _new_vote(vote, film, person_of)
        if step.person_key in existing:
            date_recommended, vote_type = existing[step.person_key]
            if vote.date_recommended is None:
                step.date_recommended = date_recommended
            was = {"date_recommended": date_recommended, "vote_type": bool(vote_type)}
            values = {"date_recommended": step.date_recommended, "vote_type": step.vote_type}
            step.fields = changes(was, values)
            step.outcome = "changed" if step.fields else "same"
        elif room > 0:
            room -= 1
        else:
            reason = f"{vote.person_name!r}: a film can have {most:,} recommendations"
            plan.errors.append(Problem(f"{film.path}.recommendations", reason))
            continue
        yield step


def _watch_steps(existing: dict[float, dict], watches: dict[float, dict]) -> Iterator[WatchStep]:
    """Watches are united by date."""
    for date, values in watches.items():
        if date not in existing:
            yield WatchStep("new", new_values(Watch, values), {})
        else:
            fields = changes(existing[date], values)
            yield WatchStep("changed" if fields else "same", existing[date] | values, fields)


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
    return KINDS.get(path.partition("[")[0], "movie")

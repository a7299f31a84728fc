"""What an import would do to each row, computed without writing.

The rule for a row that is in the file and in the library: *overwrite* takes the file's values,
*newest* takes them where the file's last_modified is larger (else only votes of people without one
are added), *skip* leaves the row as it is. Null never clears anything. A row's last_modified is the
file's where its values were taken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sized

from msgspec import structs
from peewee import Database

from mm.database import db, fold, snapshot
from mm.errors import UnusableFileError
from mm.models import CustomList, Movie, Person, Recommendation, SavedView, User, Watch
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
    given_values,
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
    """Merge: nothing is removed. Reads the library once, in one snapshot."""
    database = database or db.obj
    with snapshot(database):
        version = User.select(User.library_version).where(User.id == user_id).scalar(database)
        library = _library(database, user_id)
    made = Plan(
        user_id, version, conflicts, [], [], [], [], list(incoming.errors), list(incoming.warnings)
    )
    list_of = plan_lists(made, library, incoming)
    films = [film for film in incoming.films if _list_is_known(made, film, list_of)]
    # Skipped films bring no votes, and so nobody who voted.
    skipped = library.films if conflicts == "skip" else {}
    voted = [film for film in films if film.imdb_id not in skipped]
    person_of = plan_people(made, library, incoming.people, voted)
    for index, film in enumerate(films):
        if film.imdb_id not in skipped:
            films[index] = _join_votes(made, film, person_of)
    plan_views(made, library, incoming.views, person_of, list_of)
    for film in films:
        made.films.append(_film_step(made, library, film, person_of, list_of))
    _refuse_too_many(made, library)
    plan_rankings(made, library, incoming)
    made.warnings += made.noticed.lines()
    return made


def _refuse_too_many(made: Plan, library: Library) -> None:
    """A library that grew past what an import takes could not be restored."""
    parts: tuple[tuple[str, Sized, Iterable[Step]], ...] = (
        ("films", library.films, made.films),
        ("people", library.people, made.people),
        ("lists", library.lists, made.lists),
        ("saved views", library.views, made.views),
    )
    most = validation.FILMS_MAX
    for words, there, steps in parts:
        new = sum(step.outcome == "new" for step in steps)
        if new and len(there) + new > most:
            total = len(there) + new
            raise UnusableFileError(
                f"The library would hold {total:,} {words}; the limit is {most:,}."
            )


def _library(database: Database, user_id: str) -> Library:
    def rows(query) -> list[dict]:
        return list(query.dicts().execute(database))

    people = rows(Person.select().where(Person.user == user_id))
    in_order = (CustomList.position, CustomList.id)
    lists = rows(CustomList.select().where(CustomList.user == user_id).order_by(*in_order))
    films = rows(
        Movie.select(Movie, CustomList.id.alias("list_id"))
        .left_outer_join(CustomList)
        .where(Movie.user == user_id)
    )
    votes: dict[int, dict[int, tuple[float, bool]]] = {}
    for row in rows(Recommendation.select().join(Movie).where(Movie.user == user_id)):
        votes.setdefault(row["movie"], {})[row["person"]] = (
            row["date_recommended"],
            row["vote_type"],
        )
    watches: dict[int, dict[float, float | None]] = {}
    for row in rows(Watch.select().join(Movie).where(Movie.user == user_id)):
        watches.setdefault(row["movie"], {})[row["date_watched"]] = row["my_rating"]
    return Library(
        people={row["id"]: row for row in people},
        lists={row["pk"]: row for row in lists},
        views={
            fold(row["name"]): row
            for row in rows(SavedView.select().where(SavedView.user == user_id))
        },
        films={row["title"]: row for row in films},
        votes=votes,
        watches=watches,
        rankings={film.imdb_id: film for film in ranking_order.read(database, user_id)},
    )


# Films.


def _list_is_known(made: Plan, film: FileFilm, list_of: dict[str, str]) -> bool:
    if film.list_id is None or film.list_id in list_of:
        return True
    reason = f"{film.list_id[:80]!r} is no list of the file or of the library"
    made.errors.append(Problem(f"{film.path}.custom_list_id", reason))
    return False


def _join_votes(made: Plan, film: FileFilm, person_of: dict[str, str]) -> FileFilm:
    """Two names of the file may be one person of the library, who votes once. The film of the file
    stays as it is: another plan may be made of it."""
    first: dict[str, str] = {}
    for vote in film.votes:
        if first.setdefault(person_of[vote.key], vote.person_name) != vote.person_name:
            reason = f"{vote.person_name!r} and {first[person_of[vote.key]]!r} are one person of yours, who votes once"
            made.errors.append(Problem(f"{film.path}.recommendations", reason))
    votes = [vote for vote in film.votes if first[person_of[vote.key]] == vote.person_name]
    return film if len(votes) == len(film.votes) else structs.replace(film, votes=votes)


def _film_step(
    made: Plan, library: Library, film: FileFilm, person_of: dict[str, str], list_of: dict[str, str]
) -> FilmStep:
    list_id = list_of[film.list_id] if film.list_id is not None else None
    mine = library.films.get(film.imdb_id)
    if mine is None:
        return _new_film(film, list_id, person_of)
    if reason := refusal(made.conflicts, mine, film.last_modified):
        return _kept_film(made, library, mine, film, person_of, reason)
    return _known_film(made, library, mine, film, list_id, person_of)


def _new_film(film: FileFilm, list_id: str | None, person_of: dict[str, str]) -> FilmStep:
    voted = [vote.date_recommended for vote in film.votes if vote.date_recommended is not None]
    values = {
        "media_type": film.media_type,
        "status": film.status or ("watched" if film.watches else "toWatch"),
        "list_id": list_id,
        "date_added": _first_given(film.date_added, min(voted, default=None), film.last_modified),
        "last_modified": film.last_modified,
    }
    votes = [_new_vote(vote, film, person_of) for vote in film.votes]
    watches = [WatchStep("new", date, rating, {}) for date, rating in film.watches.items()]
    return FilmStep("new", film.imdb_id, None, values, {}, votes, watches)


def _first_given(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _new_vote(vote: FileVote, film: FileFilm, person_of: dict[str, str]) -> VoteStep:
    date = _first_given(vote.date_recommended, film.date_added, film.last_modified)
    return VoteStep("new", person_of[vote.key], vote.person_name, date, vote.vote_type, {})


def _kept_film(
    made: Plan,
    library: Library,
    mine: dict,
    film: FileFilm,
    person_of: dict[str, str],
    reason: str,
) -> FilmStep:
    """*newest* still adds the votes of people who have none."""
    votes: list[VoteStep] = []
    if reason != SKIPPED:
        steps = _vote_steps(made, library, mine["id"], film, person_of)
        votes = [vote for vote in steps if vote.outcome == "new"]
    return FilmStep(
        "changed" if votes else "kept", film.imdb_id, mine["id"], mine, {}, votes, [], reason
    )


def _known_film(
    made: Plan,
    library: Library,
    mine: dict,
    film: FileFilm,
    list_id: str | None,
    person_of: dict[str, str],
) -> FilmStep:
    given = given_values(media_type=film.media_type, status=film.status, date_added=film.date_added)
    given["last_modified"] = film.last_modified
    if film.status is not None:
        given["list_id"] = list_id
    fields = changes(mine, given)
    votes = list(_vote_steps(made, library, mine["id"], film, person_of))
    watches = list(_watch_steps(library.watches.get(mine["id"], {}), film.watches))
    below = {vote.outcome for vote in votes} | {watch.outcome for watch in watches}
    outcome: Outcome = "changed" if fields or below - {"same"} else "same"
    return FilmStep(outcome, film.imdb_id, mine["id"], mine | given, fields, votes, watches)


def _vote_steps(
    made: Plan,
    library: Library,
    movie_id: int,
    film: FileFilm,
    person_of: dict[str, str],
) -> Iterator[VoteStep]:
    """Votes are united; the same person's takes the file's. New ones are rejected once the film has
    as many as a file may hold: it could not be restored."""
    votes = library.votes.get(movie_id, {})
    there = {library.people[person]["final_key"]: vote for person, vote in votes.items()}
    most, room = validation.VOTES_MAX, validation.VOTES_MAX - len(there)
    for vote in film.votes:
        step = _new_vote(vote, film, person_of)
        if step.person_key in there:
            _compare_vote(step, vote, *there[step.person_key])
        elif room > 0:
            room -= 1
        else:
            reason = f"{vote.person_name!r}: a film takes {most:,} recommendations at most"
            made.errors.append(Problem(f"{film.path}.recommendations", reason))
            continue
        yield step


def _compare_vote(step: VoteStep, vote: FileVote, date_recommended: float, vote_type: bool) -> None:
    if vote.date_recommended is None:
        step.date_recommended = date_recommended
    mine = {"date_recommended": date_recommended, "vote_type": bool(vote_type)}
    step.fields = changes(
        mine, {"date_recommended": step.date_recommended, "vote_type": step.vote_type}
    )
    step.outcome = "changed" if step.fields else "same"


def _watch_steps(
    mine: dict[float, float | None], watches: dict[float, float | None]
) -> Iterator[WatchStep]:
    """Watches are united by date."""
    for date, rating in watches.items():
        if date not in mine:
            yield WatchStep("new", date, rating, {})
        elif rating is None or rating == mine[date]:
            yield WatchStep("same", date, mine[date], {})
        else:
            yield WatchStep("changed", date, rating, {"my_rating": [mine[date], rating]})


def count(made: Plan) -> dict[str, dict[str, int]]:
    """`{kind: {outcome: n}}`, every outcome that occurs."""
    counts = {
        "movie": _tally(made.films),
        "person": _tally(made.people),
        "list": _tally(made.lists),
        "view": _tally(made.views),
        "vote": _tally(vote for film in made.films for vote in film.votes),
        "watch": _tally(watch for film in made.films for watch in film.watches),
        "ranking": _tally(made.rankings),
    }
    for problem in made.errors:
        kind = kind_of(problem.path)
        counts[kind]["rejected"] = counts[kind].get("rejected", 0) + 1
    return counts


def _tally(steps: Iterable) -> dict[str, int]:
    return dict(Counter(step.outcome for step in steps))


def kind_of(path: str) -> str:
    if ".recommendations" in path:
        return "vote"
    return KINDS.get(path.partition("[")[0], "movie")

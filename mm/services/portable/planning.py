"""What an import would do to each row, computed without writing.

The rule for a row that is in the file and in the library: *overwrite* takes the file's values, *newest* takes them
where the file's last_modified is larger (else only votes of people without one are added), *skip* leaves the row as
it is.
Null never clears anything. A row's last_modified is the file's where its values were taken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct
from peewee import Database

from mm import models
from mm.documents import Conflicts, Outcome, Problem
from mm.errors import Invalid
from mm.models import (
    LIST_COLOR,
    LIST_ICON,
    PERSON_COLOR,
    CustomList,
    Movie,
    Person,
    Recommendation,
    SavedView,
    User,
    Watch,
    db,
    fold,
)
from mm.services.portable.reading import FILMS_MAX, FileFilm, FileList, FilePerson, FileView, FileVote, Incoming

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


class _Library(Struct):
    """The rows that are there, by what a file can find them by."""

    people: dict[int, dict]
    lists: dict[int, dict]
    views: dict[str, dict]
    films: dict[str, dict]
    votes: dict[int, dict[int, tuple[float, bool]]]
    watches: dict[int, dict[float, float | None]]


def plan(
    user_id: str, incoming: Incoming, conflicts: Conflicts = "overwrite", database: Database | None = None
) -> Plan:
    """Merge: nothing is removed. Reads the library once, in one snapshot."""
    database = database or db.obj
    with models.snapshot(database):
        version = User.select(User.library_version).where(User.id == user_id).scalar(database)
        library = _library(database, user_id)
    made = Plan(user_id, version, conflicts, [], [], [], [], list(incoming.errors), list(incoming.warnings))
    _refuse_too_many(library, incoming)
    list_of = _plan_lists(made, library, incoming)
    films = [film for film in incoming.films if _list_is_known(made, film, list_of)]
    # Skipped films bring no votes, and so nobody who voted.
    voted = [film for film in films if conflicts != "skip" or film.imdb_id not in library.films]
    person_of = _plan_people(made, library, incoming.people, voted)
    for film in voted:
        _join_votes(made, film, person_of)
    made.views = [_view_step(made, library.views.get(row.key), row, n) for n, row in enumerate(incoming.views)]
    for film in films:
        made.films.append(_film_step(made, library, film, person_of, list_of))
    return made


def _refuse_too_many(library: _Library, incoming: Incoming) -> None:
    """A library that grew past what an import takes could not be restored."""
    total = len(library.films.keys() | {film.imdb_id for film in incoming.films})
    if total > FILMS_MAX:
        raise Invalid(f"The library would hold {total:,} films; the limit is {FILMS_MAX:,}.")


def _library(database: Database, user_id: str) -> _Library:
    def rows(query) -> list[dict]:
        return list(query.dicts().execute(database))

    people = rows(Person.select().where(Person.user == user_id))
    in_order = (CustomList.position, CustomList.id)
    lists = rows(CustomList.select().where(CustomList.user == user_id).order_by(*in_order))
    films = rows(
        Movie.select(Movie, CustomList.id.alias("list_id"))
        .left_outer_join(CustomList)
        .where(Movie.user == user_id)
    )  # fmt: skip
    votes: dict[int, dict[int, tuple[float, bool]]] = {}
    for row in rows(Recommendation.select().join(Movie).where(Movie.user == user_id)):
        votes.setdefault(row["movie"], {})[row["person"]] = (row["date_recommended"], row["vote_type"])
    watches: dict[int, dict[float, float | None]] = {}
    for row in rows(Watch.select().join(Movie).where(Movie.user == user_id)):
        watches.setdefault(row["movie"], {})[row["date_watched"]] = row["my_rating"]
    return _Library(
        people={row["id"]: row for row in people},
        lists={row["pk"]: row for row in lists},
        views={fold(row["name"]): row for row in rows(SavedView.select().where(SavedView.user == user_id))},
        films={row["title"]: row for row in films},
        votes=votes,
        watches=watches,
    )


def _refusal(conflicts: Conflicts, mine: dict, file_modified: float) -> str | None:
    """Why the library's row stays, or None where the file's values are taken."""
    if conflicts == "skip":
        return SKIPPED
    if conflicts == "newest" and file_modified <= mine["last_modified"]:
        return OLDER
    return None


def _changes(mine: dict, values: dict) -> dict[str, list]:
    return {name: [mine[name], value] for name, value in values.items() if mine[name] != value}


def _given(**values) -> dict:
    """Null never clears anything."""
    return {name: value for name, value in values.items() if value is not None}


# People.


def _plan_people(made: Plan, library: _Library, rows: list[FilePerson], films: list[FileFilm]) -> dict[str, str]:
    """Adds the steps; returns the key that each name of the file's votes stands for."""
    joined = _join_people(library, rows)
    keys = _final_keys(made, library, rows, joined)
    for person, key in keys.items():
        library.people[person]["final_key"] = key
    taken = set(keys.values())
    for row in rows:
        if row.path not in joined and row.key in taken:
            made.warnings.append(f"{row.path}: {row.name!r} is already another row's person; its votes were joined.")
        else:
            made.people.append(_person_step(made, library.people.get(joined.get(row.path, 0)), row))
    person_of = {row.key: row.key for row in rows}
    person_of |= {row.key: library.people[joined[row.path]]["final_key"] for row in rows if row.path in joined}
    _add_voters(made, films, person_of, taken)
    return person_of


def _join_people(library: _Library, rows: list[FilePerson]) -> dict[str, int]:
    """The library's person for each row that finds one: by quick_key, then by name."""
    by_quick = {mine["quick_key"]: key for key, mine in library.people.items() if mine["quick_key"]}
    by_name = {mine["name_key"]: key for key, mine in library.people.items()}
    joined: dict[str, int] = {}
    for row in rows:
        if row.quick_key in by_quick:
            joined[row.path] = by_quick.pop(row.quick_key)
    taken = set(joined.values())
    for row in rows:
        if row.path not in joined and row.key in by_name and by_name[row.key] not in taken:
            joined[row.path] = by_name[row.key]
    return joined


def _final_keys(made: Plan, library: _Library, rows: list[FilePerson], joined: dict[str, int]) -> dict[int, str]:
    """The folded name each of the library's people will have.

    A rename onto a name that another person keeps is not granted; that may free or block further ones (two quick
    recommenders that swapped names), so it is settled in rounds.
    """
    wanted = {joined[row.path]: row for row in rows if row.path in joined}
    wanted = {person: row for person, row in wanted.items() if _takes(made, library, person, row)}
    while True:
        keys = {person: mine["name_key"] for person, mine in library.people.items() if person not in wanted}
        taken = set(keys.values())
        denied = [person for person, row in wanted.items() if row.key in taken]
        if not denied:
            return keys | {person: row.key for person, row in wanted.items()}
        for person in denied:
            row = wanted.pop(person)
            name = library.people[person]["name"]
            made.warnings.append(f"{row.path}.name: {row.name!r} is another person of yours; {name!r} keeps its name.")


def _takes(made: Plan, library: _Library, person: int, row: FilePerson) -> bool:
    return _refusal(made.conflicts, library.people[person], row.last_modified) is None


def _person_step(made: Plan, mine: dict | None, row: FilePerson) -> PersonStep:
    given = _given(is_trusted=row.is_trusted, color=row.color, emoji=row.emoji)
    if mine is None:
        defaults = {"is_trusted": False, "color": PERSON_COLOR, "emoji": None}
        values = {**defaults, **given, "name": row.name, "last_modified": row.last_modified}
        return PersonStep("new", row.key, None, values, {})
    if reason := _refusal(made.conflicts, mine, row.last_modified):
        return PersonStep("kept", mine["name_key"], mine["id"], {}, {}, reason)
    key = mine["final_key"]
    # A name that was not granted stays; one that was is taken as the file spells it.
    name = row.name if key == row.key else mine["name"]
    fields = _changes(mine, {**given, "name": name, "last_modified": row.last_modified})
    values = {**mine, **given, "name": name, "last_modified": row.last_modified}
    return PersonStep("changed" if fields else "same", key, mine["id"], values, fields)


def _add_voters(made: Plan, films: list[FileFilm], person_of: dict[str, str], taken: set[str]) -> None:
    """People that only votes name: the library's, else new ones."""
    for film in films:
        for vote in film.votes:
            if vote.key in person_of:
                continue
            person_of[vote.key] = vote.key
            if vote.key not in taken:
                values = {"name": vote.person_name, "is_trusted": False, "color": PERSON_COLOR, "emoji": None,
                          "last_modified": film.last_modified}  # fmt: skip
                made.people.append(PersonStep("new", vote.key, None, values, {}))


# Lists.


def _plan_lists(made: Plan, library: _Library, incoming: Incoming) -> dict[str, str]:
    """Adds the steps; returns the library's id for each list id that a film of the file may name."""
    joined = _join_lists(library, incoming.lists)
    list_of = {mine["id"]: mine["id"] for mine in library.lists.values()}
    for position, row in enumerate(incoming.lists):
        step = _list_step(made, library.lists.get(joined.get(row.path, 0)), row, position)
        made.lists.append(step)
        list_of[row.id] = step.id
    return list_of


def _join_lists(library: _Library, rows: list[FileList]) -> dict[str, int]:
    """By id, else by name onto a list that no other row has joined: two lists of one name stay two."""
    by_id = {mine["id"]: pk for pk, mine in library.lists.items()}
    joined = {row.path: by_id[row.id] for row in rows if row.id in by_id}
    free: dict[str, list[int]] = {}
    for pk, mine in library.lists.items():
        if pk not in joined.values():
            free.setdefault(fold(mine["name"]), []).append(pk)
    for row in rows:
        if row.path not in joined and free.get(fold(row.name)):
            joined[row.path] = free[fold(row.name)].pop(0)
    return joined


def _list_step(made: Plan, mine: dict | None, row: FileList, position: int) -> ListStep:
    given = _given(color=row.color, icon=row.icon, position=row.position, created_at=row.created_at)
    given |= {"name": row.name, "last_modified": row.last_modified}
    if mine is None:
        defaults = {"color": LIST_COLOR, "icon": LIST_ICON, "position": position, "created_at": row.last_modified}
        return ListStep("new", row.id, None, defaults | given, {})
    if reason := _refusal(made.conflicts, mine, row.last_modified):
        return ListStep("kept", mine["id"], mine["pk"], {}, {}, reason)
    fields = _changes(mine, given)
    return ListStep("changed" if fields else "same", mine["id"], mine["pk"], mine | given, fields)


def _view_step(made: Plan, mine: dict | None, row: FileView, position: int) -> ViewStep:
    given = _given(position=row.position) | {
        "name": row.name,
        "filters": row.filters,
        "last_modified": row.last_modified,
    }
    if mine is None:
        return ViewStep("new", None, {"position": position} | given, {})
    if reason := _refusal(made.conflicts, mine, row.last_modified):
        return ViewStep("kept", mine["id"], mine, {}, reason)
    fields = _changes(mine, given)
    return ViewStep("changed" if fields else "same", mine["id"], mine | given, fields)


# Films.


def _list_is_known(made: Plan, film: FileFilm, list_of: dict[str, str]) -> bool:
    if film.list_id is None or film.list_id in list_of:
        return True
    reason = f"{film.list_id[:80]!r} is no list of the file or of the library"
    made.errors.append(Problem(f"{film.path}.custom_list_id", reason))
    return False


def _join_votes(made: Plan, film: FileFilm, person_of: dict[str, str]) -> None:
    """Two names of the file may be one person of the library, who votes once."""
    first: dict[str, str] = {}
    for vote in film.votes:
        if first.setdefault(person_of[vote.key], vote.person_name) != vote.person_name:
            reason = f"{vote.person_name!r} and {first[person_of[vote.key]]!r} are one person of yours, who votes once"
            made.errors.append(Problem(f"{film.path}.recommendations", reason))
    film.votes = [vote for vote in film.votes if first[person_of[vote.key]] == vote.person_name]


def _film_step(
    made: Plan, library: _Library, film: FileFilm, person_of: dict[str, str], list_of: dict[str, str]
) -> FilmStep:
    list_id = list_of[film.list_id] if film.list_id is not None else None
    mine = library.films.get(film.imdb_id)
    if mine is None:
        return _new_film(film, list_id, person_of)
    if reason := _refusal(made.conflicts, mine, film.last_modified):
        return _kept_film(library, mine, film, person_of, reason)
    return _known_film(library, mine, film, list_id, person_of)


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


def _kept_film(library: _Library, mine: dict, film: FileFilm, person_of: dict[str, str], reason: str) -> FilmStep:
    """*newest* still adds the votes of people who have none."""
    votes: list[VoteStep] = []
    if reason != SKIPPED:
        votes = [vote for vote in _vote_steps(library, mine["id"], film, person_of) if vote.outcome == "new"]
    return FilmStep("changed" if votes else "kept", film.imdb_id, mine["id"], mine, {}, votes, [], reason)


def _known_film(
    library: _Library, mine: dict, film: FileFilm, list_id: str | None, person_of: dict[str, str]
) -> FilmStep:
    given = _given(media_type=film.media_type, status=film.status, date_added=film.date_added)
    given["last_modified"] = film.last_modified
    if film.status is not None:
        given["list_id"] = list_id
    fields = _changes(mine, given)
    votes = list(_vote_steps(library, mine["id"], film, person_of))
    watches = list(_watch_steps(library.watches.get(mine["id"], {}), film.watches))
    below = {vote.outcome for vote in votes} | {watch.outcome for watch in watches}
    outcome: Outcome = "changed" if fields or below - {"same"} else "same"
    return FilmStep(outcome, film.imdb_id, mine["id"], mine | given, fields, votes, watches)


def _vote_steps(library: _Library, movie_id: int, film: FileFilm, person_of: dict[str, str]) -> Iterator[VoteStep]:
    """Votes are united; the same person's takes the file's."""
    votes = library.votes.get(movie_id, {})
    there = {library.people[person]["final_key"]: vote for person, vote in votes.items()}
    for vote in film.votes:
        step = _new_vote(vote, film, person_of)
        if step.person_key in there:
            _compare_vote(step, vote, *there[step.person_key])
        yield step


def _compare_vote(step: VoteStep, vote: FileVote, date_recommended: float, vote_type: bool) -> None:
    if vote.date_recommended is None:
        step.date_recommended = date_recommended
    mine = {"date_recommended": date_recommended, "vote_type": bool(vote_type)}
    step.fields = _changes(mine, {"date_recommended": step.date_recommended, "vote_type": step.vote_type})
    step.outcome = "changed" if step.fields else "same"


def _watch_steps(mine: dict[float, float | None], watches: dict[float, float | None]) -> Iterator[WatchStep]:
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
    return {"movies": "movie", "people": "person", "lists": "list", "views": "view"}.get(
        path.partition("[")[0], "movie"
    )

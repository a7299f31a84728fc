"""Undo: the rows of a user's own data as they were before something was done, kept for ten minutes.

A film is kept with its watches, its votes and its list, a person with their votes, a list with its films. Votes go by
the person's id and films by their imdb_id, because rows that are put back may get other keys.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mm import clock, models
from mm.errors import Conflict, NotFound
from mm.models import CustomList, Movie, Person, Recommendation, UndoStep, Watch, chunks, db
from mm.services import lists, people, values
from mm.services.writing import Write, bury, unbury, wake_films_of, write

KEPT_SECONDS = 600
MOVIE = (Movie.media_type, Movie.status, Movie.date_added, Movie.last_modified)
LIST = ("id", "name", "color", "icon", "position", "created_at", "last_modified")
PERSON = ("name", "name_key", "is_trusted", "color", "emoji", "quick_key", "last_modified")


@dataclass
class Step:
    """`token` is there after the block, unless nothing was changed."""

    token: str | None = None


@contextlib.contextmanager
def step(
    user_id: str, imdb_ids: Iterable[str] = (), person_id: int | None = None, list_id: str | None = None
) -> Iterator[Step]:
    """One transaction around the verbs that change these rows. No look-ups inside: it holds the database's write lock.

    Raises Invalid for what cannot be an imdb_id; whatever is raised in the block undoes the block.
    """
    taken = Step()
    with db.atomic():
        films = [*map(values.imdb_id, imdb_ids), *_members(user_id, list_id)]
        of = (films, [] if person_id is None else [person_id], [] if list_id is None else [list_id])
        before = _rows(user_id, *of)
        yield taken
        after = _rows(user_id, *of)
        if before != after:
            taken.token = _keep(user_id, before, after)


def back(user_id: str, token: str) -> None:
    """Put the rows back as they were; what hung on something that was deleted since stays away.

    Raises NotFound after ten minutes or a second time, and Conflict where the rows were changed since.
    """
    with write(user_id) as made:
        kept = _kept(user_id, token)
        before: dict = kept.rows
        of = (before["films"], map(int, before["people"]), before["lists"])
        now = _rows(user_id, *of)
        if _digest(now) != kept.after:
            raise Conflict("This was changed again since, so it was left as it is now.")
        for list_id, row in _differing(before, now, "lists"):
            _put_list(made, list_id, row)
        for person_id, row in _differing(before, now, "people"):
            _put_person(made, int(person_id), row)
        # A list or a person that was put back has already changed films.
        _put_films(made, before["films"])
        models.spread_updates(db.obj, user_id, made.updated_at)
        kept.delete_instance()


def _keep(user_id: str, before: dict, after: dict) -> str:
    now = clock.now()
    UndoStep.delete().where(UndoStep.created_at < now - KEPT_SECONDS).execute()
    token = secrets.token_urlsafe(16)
    UndoStep.create(token=token, user=user_id, rows=before, after=_digest(after), created_at=now)
    return token


def _kept(user_id: str, token: str) -> UndoStep:
    since = UndoStep.created_at >= clock.now() - KEPT_SECONDS
    kept = UndoStep.get_or_none((UndoStep.token == token) & (UndoStep.user == user_id) & since)
    if kept is None:
        raise NotFound("This can no longer be undone: ten minutes are over, or it was undone already.")
    return kept


def _digest(rows: dict) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _differing(before: dict, now: dict, kind: str) -> list[tuple[str, dict | None]]:
    return [(key, row) for key, row in before[kind].items() if row != now[kind][key]]


# Reading. What is not there is None.


def _rows(user_id: str, imdb_ids: Iterable[str], person_ids: Iterable[int], list_ids: Iterable[str]) -> dict:
    """As JSON takes them: {"films": {imdb_id: row}, "people": {id: row}, "lists": {id: row}}."""
    return {
        "films": _films(user_id, imdb_ids),
        "people": {str(key): _person(user_id, key) for key in person_ids},
        "lists": {key: _list(user_id, key) for key in list_ids},
    }


def _films(user_id: str, imdb_ids: Iterable[str]) -> dict[str, dict | None]:
    found: dict[str, dict | None] = dict.fromkeys(imdb_ids)
    by_pk: dict[int, dict] = {}
    for part in chunks(found):
        rows = Movie.select(Movie.id, Movie.title, CustomList.id, *MOVIE).left_outer_join(CustomList)
        for pk, imdb_id, list_id, *movie in rows.where((Movie.user == user_id) & Movie.title.in_(part)).tuples():
            found[imdb_id] = by_pk[pk] = {"movie": movie, "list": list_id, "watches": [], "votes": []}
    for part in chunks(by_pk):
        watches = Watch.select(Watch.movie, Watch.date_watched, Watch.my_rating).where(Watch.movie.in_(part))
        votes = Recommendation.select(Recommendation.movie, Recommendation.person, Recommendation.date_recommended,
                                      Recommendation.vote_type).where(Recommendation.movie.in_(part))  # fmt: skip
        for pk, *watch in watches.order_by(Watch.date_watched).tuples():
            by_pk[pk]["watches"].append(watch)
        for pk, *vote in votes.order_by(Recommendation.person).tuples():
            by_pk[pk]["votes"].append(vote)
    return found


def _person(user_id: str, person_id: int) -> dict | None:
    person = Person.get_or_none((Person.id == person_id) & (Person.user == user_id))
    if person is None:
        return None
    votes = (
        Recommendation.select(Movie.title, Recommendation.date_recommended, Recommendation.vote_type)
        .join(Movie)
        .where(Recommendation.person == person_id)
        .order_by(Movie.title)
    )
    return {"person": {name: getattr(person, name) for name in PERSON}, "votes": [list(row) for row in votes.tuples()]}


def _list(user_id: str, list_id: str) -> dict | None:
    row = CustomList.get_or_none((CustomList.id == list_id) & (CustomList.user == user_id))
    return {name: getattr(row, name) for name in LIST} if row else None


def _members(user_id: str, list_id: str | None) -> list[str]:
    on_it = Movie.select(Movie.title).join(CustomList).where((CustomList.id == list_id) & (Movie.user == user_id))
    return [imdb_id for (imdb_id,) in on_it.tuples()] if list_id is not None else []


# Putting back.


def _put_list(made: Write, list_id: str, row: dict | None) -> None:
    if row is None:
        return lists.delete(made.user_id, list_id)
    unbury(made, "list", list_id)
    mine = (CustomList.user == made.user_id) & (CustomList.id == list_id)
    if not CustomList.update(**row, updated_at=made.updated_at).where(mine).execute():
        CustomList.create(user=made.user_id, **row, updated_at=made.updated_at)
    return None


def _put_person(made: Write, person_id: int, row: dict | None) -> None:
    if row is None:
        return people.delete(made.user_id, person_id)
    _require_free(made.user_id, person_id, row["person"])
    marked = {**row["person"], "updated_at": made.updated_at}
    mine = (Person.id == person_id) & (Person.user == made.user_id)
    if not Person.update(**marked).where(mine).execute():
        # Under the old id, which the sync feed's clients know and nobody else was given.
        Person.create(id=person_id, user=made.user_id, **marked)
        unbury(made, "person", str(person_id))
        _put_votes_of(person_id, made.user_id, row["votes"])
    return wake_films_of(made, person_id)


def _require_free(user_id: str, person_id: int, row: dict) -> None:
    others = Person.select().where((Person.user == user_id) & (Person.id != person_id))
    if others.where(Person.name_key == row["name_key"]).exists():
        raise Conflict(f"Somebody else is called {row['name']} by now, so this was left as it is.")


def _put_votes_of(person_id: int, user_id: str, votes: list) -> None:
    pks = _pks(user_id, [imdb_id for imdb_id, *_ in votes])
    rows = [(pks[imdb_id], person_id, *vote) for imdb_id, *vote in votes if imdb_id in pks]
    fields = [Recommendation.movie, Recommendation.person, Recommendation.date_recommended, Recommendation.vote_type]
    models.insert_rows(db.obj, fields, rows, ignore=True)


def _put_films(made: Write, films: dict[str, dict | None]) -> None:
    now = _films(made.user_id, films)
    differing = {imdb_id: row for imdb_id, row in films.items() if row != now[imdb_id]}
    _put_movies(made, differing, now)
    back = {imdb_id: row for imdb_id, row in differing.items() if row is not None}
    pks = _pks(made.user_id, back)
    _replace_watches({pks[imdb_id]: row["watches"] for imdb_id, row in back.items()})
    known = {pk for (pk,) in Person.select(Person.id).where(Person.user == made.user_id).tuples()}
    _replace_votes({pks[imdb_id]: [v for v in row["votes"] if v[0] in known] for imdb_id, row in back.items()})


def _put_movies(made: Write, films: dict[str, dict | None], now: dict[str, dict | None]) -> None:
    pks = dict(CustomList.select(CustomList.id, CustomList.pk).where(CustomList.user == made.user_id).tuples())
    # As an import's, the rows' own last_modified does not tell that they were written now.
    columns = [*MOVIE, Movie.custom_list, Movie.updated_at, Movie.imported_at]
    marks = (made.updated_at, made.updated_at)
    rows = {key: (*_movie(row, pks), *marks, made.user_id, key) for key, row in films.items() if row}
    models.update_rows(db.obj, columns, [Movie.user, Movie.title], (rows[key] for key in rows if now[key]))
    new = [key for key in rows if not now[key]]
    models.insert_rows(db.obj, [*columns, Movie.user, Movie.title], (rows[key] for key in new))
    for imdb_id in new:
        unbury(made, "movie", imdb_id)
    gone = [key for key in films if key not in rows]
    for part in chunks(gone):
        Movie.delete().where((Movie.user == made.user_id) & Movie.title.in_(part)).execute()
    for imdb_id in gone:
        bury(made, "movie", imdb_id)


def _movie(row: dict, pks: dict[str, int]) -> list:
    """The columns of MOVIE and the list; where that is gone, the film goes where its deletion would have put it."""
    media_type, status, *dates = row["movie"]
    pk = pks.get(row["list"])
    if status == "custom" and pk is None:
        status = "watched" if row["watches"] else "toWatch"
    return [media_type, status, *dates, pk]


def _pks(user_id: str, imdb_ids: Iterable[str]) -> dict[str, int]:
    mine = Movie.select(Movie.title, Movie.id).where(Movie.user == user_id)
    return {key: pk for part in chunks(imdb_ids) for key, pk in mine.where(Movie.title.in_(part)).tuples()}


def _replace_watches(watches: dict[int, list]) -> None:
    for part in chunks(watches):
        Watch.delete().where(Watch.movie.in_(part)).execute()
    rows = ((pk, *watch) for pk in watches for watch in watches[pk])
    models.insert_rows(db.obj, [Watch.movie, Watch.date_watched, Watch.my_rating], rows)


def _replace_votes(votes: dict[int, list]) -> None:
    for part in chunks(votes):
        Recommendation.delete().where(Recommendation.movie.in_(part)).execute()
    rows = ((pk, *vote) for pk in votes for vote in votes[pk])
    fields = [Recommendation.movie, Recommendation.person, Recommendation.date_recommended, Recommendation.vote_type]
    models.insert_rows(db.obj, fields, rows)

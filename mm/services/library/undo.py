"""Undo: the rows of a user's own data as they were before something was done, kept for ten minutes.

A film is kept with its watches, its votes, its list and its place in the ranking, a person with
their votes, a list with the places of its films. Votes go by the person's id and films by their
imdb_id, because rows that are put back may get other keys.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from peewee import Expression, fn

from mm import clock, models
from mm.database import chunks, db, insert_rows, update_rows
from mm.errors import ConflictError, NotFoundError
from mm.models import (
    OWNED,
    CustomList,
    Movie,
    Person,
    Ranking,
    Recommendation,
    UndoStep,
    Watch,
    owned_names,
)
from mm.services import ranking_order, validation
from mm.services.library import lists, people
from mm.services.library.changes import (
    Write,
    add_tombstones,
    mark_films_changed,
    mark_people_changed,
    remove_tombstones,
    require_room,
    write,
)
from mm.services.ranking_order import Ranked

KEPT_SECONDS = 600
ROWS_MAX = 20_000
# A film's place on a list, or off it.
PLACE = (Movie.title, Movie.status, Movie.last_modified, CustomList.id)
# As an import's, the rows' own last_modified does not tell that they were written now.
WRITTEN = (Movie.updated_at, Movie.imported_at)
VOTE = (Recommendation.movie, Recommendation.person, *OWNED[Recommendation])
# A key is renamed when the rows below it change, so that steps of an older version are refused.
PARTS = {"films", "rankings", "people", "lists", "places", "has_votes"}


@dataclass
class Step:
    """`token` is set after the block, unless nothing was changed, or too much."""

    token: str | None = None


@contextlib.contextmanager
def step(
    user_id: str,
    imdb_ids: Iterable[str] = (),
    person_id: int | None = None,
    list_id: str | None = None,
    with_votes: bool = True,
) -> Iterator[Step]:
    """One transaction around the functions that change these rows. No look-ups inside: it holds the
    database's write lock. `with_votes`: keep the person's votes too, which may be many; needed
    where the person may be deleted. A change of more than ROWS_MAX rows cannot be undone: keeping
    them would hold the lock for seconds.

    Raises InvalidError for what cannot be an imdb_id; whatever is raised in the block undoes it.
    """
    kept = Step()
    with db.atomic():
        films = list(map(validation.imdb_id, imdb_ids))
        if _is_too_much(user_id, films, person_id if with_votes else None, list_id):
            yield kept
            return
        person_ids = [] if person_id is None else [person_id]
        list_ids = [] if list_id is None else [list_id]
        # Only their places: whatever happens to a list, the watches and votes of its films stay.
        members: dict[str, list | None] = {}
        if list_id is not None:
            on_it = (CustomList.id == list_id) & (Movie.user == user_id)
            rows = db.execute(Movie.select(*PLACE).join(CustomList).where(on_it))
            members = {imdb_id: place for imdb_id, *place in rows}
        before = _rows(user_id, films, person_ids, list_ids, members, with_votes)
        yield kept
        places = _places(user_id, members)
        after = _rows(user_id, films, person_ids, list_ids, places, with_votes)
        if before != after:
            UndoStep.delete().where(~_recent()).execute()
            kept.token, now = secrets.token_urlsafe(16), clock.now()
            values = {"rows": before, "after": _digest(after), "created_at": now}
            UndoStep.create(token=kept.token, user=user_id, **values)


def back(user_id: str, token: str) -> None:
    """Put the rows back as they were. What belonged to something that was deleted since stays away.

    Raises NotFoundError after ten minutes or a second time, and ConflictError where the rows were
    changed since.
    """
    with write(user_id) as change:
        mine = (UndoStep.token == token) & (UndoStep.user == user_id)
        kept = UndoStep.get_or_none(mine & _recent())
        if kept is None:
            raise NotFoundError(
                "This can no longer be undone: ten minutes have passed, or it was already undone."
            )
        if kept.rows.keys() != PARTS:
            raise NotFoundError("This can no longer be undone: the server was updated since.")
        before: dict = kept.rows
        person_ids = map(int, before["people"])
        places = _places(user_id, before["places"])
        with_votes = before["has_votes"]
        now = _rows(user_id, before["films"], person_ids, before["lists"], places, with_votes)
        if _digest(now) != kept.after:
            raise ConflictError("This can’t be undone: it was changed again since.")
        _put_lists(change, before, now)
        for person_id, row in _differing(before, now, "people"):
            _put_person(change, int(person_id), row, now["people"][person_id])
        # A list or a person that was put back has already changed films.
        _put_films(change, before["films"])
        _put_rankings(change, before["rankings"], now["rankings"])
        models.spread_updates(db.obj, user_id, change.updated_at)
        kept.delete_instance()


def _is_too_much(user_id: str, films: list, person_id: int | None, list_id: str | None) -> bool:
    mine = Movie.user == user_id
    rows = len(films)
    for part in chunks(films):
        those = Movie.select(Movie.id).where(mine & Movie.title.in_(part))
        rows += Recommendation.select().where(Recommendation.movie.in_(those)).count()
    if person_id is not None:
        rows += Recommendation.select().where(Recommendation.person == person_id).count()
    if list_id is not None:
        rows += Movie.select().join(CustomList).where((CustomList.id == list_id) & mine).count()
    return rows > ROWS_MAX


def sweep() -> None:
    """Steps that can no longer be taken back."""
    if UndoStep.select().where(~_recent()).exists():
        with db.atomic():
            UndoStep.delete().where(~_recent()).execute()


def _recent() -> Expression:
    """Not those dated in the future, by a clock that was ahead."""
    now = clock.now()
    return UndoStep.created_at.between(now - KEPT_SECONDS, now + KEPT_SECONDS)


def _digest(rows: dict) -> str:
    """Without the positions of a ranking: they change when other films are ranked."""
    kept = {**rows, "rankings": _unplaced(rows["rankings"])}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _unplaced(rankings: dict[str, list]) -> dict[str, list]:
    return {key: [liked, ranked_at] for key, (liked, _, ranked_at) in rankings.items()}


def _differing(before: dict, now: dict, kind: str) -> list[tuple[str, Any]]:
    return [(key, row) for key, row in before[kind].items() if row != now[kind][key]]


# Reading. What is not there is None.


def _rows(
    user_id: str,
    imdb_ids: Iterable[str],
    person_ids: Iterable[int],
    list_ids: Iterable[str],
    places: dict,
    with_votes: bool,
) -> dict:
    """As JSON takes them: {"films": {imdb_id: row}, "people": {id: row}, "lists": {id: row},
    "rankings": {imdb_id: [liked, position, ranked_at]}, "places": {imdb_id: row}}, and whether
    votes of the people are among them. The keys are PARTS."""
    films = _films(user_id, imdb_ids)
    rankings: dict[str, list] = {}
    shown = {*films, *places}
    ranked = Ranking.select().join(Movie).where(Movie.user == user_id)
    # Only where one of them is ranked is the whole order read, to count their positions.
    if any(ranked.where(Movie.title.in_(part)).exists() for part in chunks(shown)):
        order = ranking_order.read(db.obj, user_id)
        rankings = {imdb_id: list(place) for imdb_id, *place in order if imdb_id in shown}
    list_rows: dict[str, dict | None] = {}
    names = ("id", *owned_names(CustomList))
    for key in list_ids:
        row = CustomList.get_or_none((CustomList.id == key) & (CustomList.user == user_id))
        list_rows[key] = {name: getattr(row, name) for name in names} if row else None
    return {
        "films": films,
        "rankings": rankings,
        "people": {str(key): _person(user_id, key, with_votes) for key in person_ids},
        "lists": list_rows,
        "places": places,
        "has_votes": with_votes,
    }


def _films(user_id: str, imdb_ids: Iterable[str]) -> dict[str, dict | None]:
    films: dict[str, dict | None] = dict.fromkeys(imdb_ids)
    by_pk: dict[int, dict] = {}
    names = owned_names(Movie)
    columns = (Movie.id, Movie.title, CustomList.id, *OWNED[Movie])
    for part in chunks(films):
        rows = Movie.select(*columns).left_outer_join(CustomList)
        for pk, imdb_id, list_id, *values in rows.where(
            (Movie.user == user_id) & Movie.title.in_(part)
        ).tuples():
            film = {"movie": dict(zip(names, values, strict=True)), "list": list_id}
            films[imdb_id] = by_pk[pk] = {**film, "watches": [], "votes": []}
    for part in chunks(by_pk):
        watches = Watch.select(Watch.movie, *OWNED[Watch]).where(Watch.movie.in_(part))
        for pk, *watch in watches.order_by(Watch.date_watched).tuples():
            by_pk[pk]["watches"].append(watch)
        votes = Recommendation.select(*VOTE).where(Recommendation.movie.in_(part))
        for pk, *vote in votes.order_by(Recommendation.person).tuples():
            by_pk[pk]["votes"].append(vote)
    return films


def _person(user_id: str, person_id: int, with_votes: bool) -> dict | None:
    person = Person.get_or_none((Person.id == person_id) & (Person.user == user_id))
    if person is None:
        return None
    names = (*owned_names(Person), "name_key", "quick_key")
    columns = {name: getattr(person, name) for name in names}
    if not with_votes:
        return {"person": columns, "votes": []}
    votes = (
        Recommendation.select(Movie.title, *OWNED[Recommendation])
        .join(Movie)
        .where(Recommendation.person == person_id)
        .order_by(Movie.title)
    )
    return {"person": columns, "votes": [list(row) for row in votes.tuples()]}


def _places(user_id: str, imdb_ids: Iterable[str]) -> dict[str, list | None]:
    places: dict[str, list | None] = dict.fromkeys(imdb_ids)
    rows = Movie.select(*PLACE).left_outer_join(CustomList).where(Movie.user == user_id)
    for part in chunks(places):
        placed = db.execute(rows.where(Movie.title.in_(part)))
        places |= {imdb_id: place for imdb_id, *place in placed}
    return places


# Putting back.


def _put_lists(change: Write, before: dict, now: dict) -> None:
    """The lists, and after them the places of their films."""
    for list_id, row in _differing(before, now, "lists"):
        if row is None:
            lists.delete(change.user_id, list_id)
            continue
        remove_tombstones(change, "list", list_id)
        values = {**row, "updated_at": change.updated_at, "imported_at": change.updated_at}
        existing = (CustomList.user == change.user_id) & (CustomList.id == list_id)
        if not CustomList.update(**values).where(existing).execute():
            require_room(change.user_id, CustomList, "lists")
            CustomList.create(user=change.user_id, **values)
    pks = _list_pks(change.user_id)
    columns = (Movie.status, Movie.last_modified, Movie.custom_list, *WRITTEN)
    written = (change.updated_at, change.updated_at)
    places = (
        (status, last_modified, pks[list_id], *written, change.user_id, imdb_id)
        for imdb_id, (status, last_modified, list_id) in _differing(before, now, "places")
    )
    update_rows(db.obj, columns, [Movie.user, Movie.title], places)
    # They were not watched while they were on the list.
    unwatched = Movie.select(Movie.id).where(
        (Movie.user == change.user_id) & (Movie.status != "watched")
    )
    Ranking.delete().where(Ranking.movie.in_(unwatched)).execute()


def _put_person(change: Write, person_id: int, row: dict | None, now: dict | None) -> None:
    if row is None:
        people.delete(change.user_id, person_id)
        return
    person = row["person"]
    others = Person.select().where((Person.user == change.user_id) & (Person.id != person_id))
    if others.where(Person.name_key == person["name_key"]).exists():
        raise ConflictError(
            f"Somebody else is called {person['name']} by now, so this was left as it is."
        )
    values = {**person, "updated_at": change.updated_at, "imported_at": change.updated_at}
    if now is None:
        require_room(change.user_id, Person, "people")
        # Under the old id, which the sync feed's clients know and nobody else was given.
        Person.create(id=person_id, user=change.user_id, **values)
        remove_tombstones(change, "person", str(person_id))
        pks = _pks(change.user_id, [imdb_id for imdb_id, *_ in row["votes"]])
        votes = (
            (pks[imdb_id], person_id, *vote) for imdb_id, *vote in row["votes"] if imdb_id in pks
        )
        insert_rows(db.obj, VOTE, votes, ignore=True)
        # Others may have recommended the films since. Only a person who comes back adds votes:
        # those of a film that is put back were in the library together.
        most = validation.VOTES_MAX
        for part in chunks(pks.values()):
            votes_of = Recommendation.select(Recommendation.movie)
            by_film = votes_of.where(Recommendation.movie.in_(part)).group_by(Recommendation.movie)
            if by_film.having(fn.COUNT(Recommendation.id) > most).exists():
                raise ConflictError(
                    f"This can’t be undone: one of the films has new recommendations since, and "
                    f"the limit is {most:,}."
                )
    else:
        Person.update(**values).where(Person.id == person_id).execute()
    if now is None or any(person[field] != now["person"][field] for field in people.SHOWN):
        mark_films_changed(change, person_id)


def _list_pks(user_id: str) -> dict[str, int]:
    rows = CustomList.select(CustomList.id, CustomList.pk).where(CustomList.user == user_id)
    return dict(rows.tuples())


def _put_films(change: Write, films: dict[str, dict | None]) -> None:
    user_id = change.user_id
    now = _films(user_id, films)
    differing = {imdb_id: row for imdb_id, row in films.items() if row != now[imdb_id]}
    _put_movies(change, differing, now)
    back = {imdb_id: row for imdb_id, row in differing.items() if row is not None}
    pks = _pks(user_id, back)
    people_ids = {key for (key,) in Person.select(Person.id).where(Person.user == user_id).tuples()}
    for part in chunks(pks.values()):
        Watch.delete().where(Watch.movie.in_(part)).execute()
        Recommendation.delete().where(Recommendation.movie.in_(part)).execute()
    watches = ((pks[key], *watch) for key, row in back.items() for watch in row["watches"])
    insert_rows(db.obj, (Watch.movie, *OWNED[Watch]), watches)
    votes = (
        (pks[key], *vote)
        for key, row in back.items()
        for vote in row["votes"]
        if vote[0] in people_ids
    )
    insert_rows(db.obj, VOTE, votes)
    counted: set[int] = set()
    for imdb_id, row in differing.items():
        counted |= _counted_in(row) ^ _counted_in(now[imdb_id])
    for part in chunks(counted):
        mark_people_changed(change, Person.id.in_(part))


def _counted_in(row: dict | None) -> set[int]:
    """The people in whose movie_count the film is."""
    if row is None or row["movie"]["status"] == "deleted":
        return set()
    return {vote[0] for vote in row["votes"]}


def _put_movies(change: Write, films: dict[str, dict | None], now: dict[str, dict | None]) -> None:
    pks = _list_pks(change.user_id)
    rows: dict[str, tuple] = {}
    for imdb_id, row in films.items():
        if row is not None:
            values, pk = dict(row["movie"]), pks.get(row["list"])
            if values["status"] == "custom" and pk is None:
                # The list was deleted since: the film goes where that would have put it.
                values["status"] = "watched" if row["watches"] else "toWatch"
            written = (change.updated_at, change.updated_at)
            key = (change.user_id, imdb_id)
            rows[imdb_id] = (*(values[name] for name in owned_names(Movie)), pk, *written, *key)
    columns = (*OWNED[Movie], Movie.custom_list, *WRITTEN)
    changed = (rows[imdb_id] for imdb_id in rows if now[imdb_id])
    update_rows(db.obj, columns, [Movie.user, Movie.title], changed)
    new = [imdb_id for imdb_id in rows if not now[imdb_id]]
    if new:
        require_room(change.user_id, Movie, "films", len(new))
    insert_rows(db.obj, (*columns, Movie.user, Movie.title), (rows[imdb_id] for imdb_id in new))
    remove_tombstones(change, "movie", *new)
    gone = [imdb_id for imdb_id in films if imdb_id not in rows]
    for part in chunks(gone):
        deleted = (Movie.user == change.user_id) & Movie.title.in_(part)
        Movie.delete().where(deleted).execute()
    add_tombstones(change, "movie", *gone)


def _pks(user_id: str, imdb_ids: Iterable[str]) -> dict[str, int]:
    mine = Movie.select(Movie.title, Movie.id).where(Movie.user == user_id)
    return {
        key: pk
        for part in chunks(imdb_ids)
        for key, pk in mine.where(Movie.title.in_(part)).tuples()
    }


def _put_rankings(change: Write, before: dict[str, list], now: dict[str, list]) -> None:
    """Films that lost or changed their place go back to it; the others keep their order."""
    was, is_now = _unplaced(before), _unplaced(now)
    moved = {key for key in before.keys() | now.keys() if was.get(key) != is_now.get(key)}
    if not moved:
        return
    order = [row for row in ranking_order.read(db.obj, change.user_id) if row.imdb_id not in moved]
    groups = {liked: [row for row in order if row.liked == liked] for liked in (True, False)}
    back = [Ranked(key, *place) for key, place in before.items() if key in moved]
    for row in sorted(back, key=lambda row: row.position):
        groups[row.liked].insert(row.position - 1, row)
    ranking_order.replace(db.obj, change.user_id, [*groups[True], *groups[False]])

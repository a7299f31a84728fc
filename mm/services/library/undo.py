"""Undo: the rows of a user's own data as they were before something was done, kept for ten minutes.

A film is kept with its watches, its votes, its list and its place in the ranking, a person with
their votes, a list with the places of its films. Votes go by the person's id and films by their
imdb_id, because rows that are put back may get other keys.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from peewee import Expression, fn

from mm import clock, models
from mm.database import chunks, db, insert_rows, update_rows
from mm.errors import ConflictError, NotFoundError
from mm.models import CustomList, Movie, Person, Ranking, Recommendation, UndoStep, Watch
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
MOVIE = (Movie.media_type, Movie.status, Movie.date_added, Movie.last_modified)
PLACE = (Movie.title, Movie.status, Movie.last_modified, CustomList.id)
LIST = ("id", "name", "color", "icon", "position", "created_at", "last_modified")
PARTS = {"films", "rankings", "people", "lists", "places", "with_votes"}
PERSON = ("name", "name_key", "is_trusted", "color", "emoji", "quick_key", "last_modified")


@dataclass
class Step:
    """`token` is there after the block, unless nothing was changed, or too much."""

    token: str | None = None


@contextlib.contextmanager
def step(
    user_id: str,
    imdb_ids: Iterable[str] = (),
    person_id: int | None = None,
    list_id: str | None = None,
    with_votes: bool = True,
) -> Iterator[Step]:
    """One transaction around the verbs that change these rows. No look-ups inside: it holds the
    database's write lock. `with_votes`: keep the person's votes too, which may be many; needed
    where the person may be deleted. What is spread over more than ROWS_MAX rows cannot be taken
    back: keeping them would hold the lock for seconds.

    Raises InvalidError for what cannot be an imdb_id; whatever is raised in the block undoes the block.
    """
    taken = Step()
    with db.atomic():
        films = list(map(validation.imdb_id, imdb_ids))
        if _is_too_much(user_id, films, person_id if with_votes else None, list_id):
            yield taken
            return
        of = ([] if person_id is None else [person_id], [] if list_id is None else [list_id])
        members = _on_list(user_id, list_id)
        before = _rows(user_id, films, *of, members, with_votes)
        yield taken
        after = _rows(user_id, films, *of, _places(user_id, members), with_votes)
        if before != after:
            taken.token = _keep(user_id, before, after)


def back(user_id: str, token: str) -> None:
    """Put the rows back as they were; what hung on something that was deleted since stays away.

    Raises NotFoundError after ten minutes or a second time, and ConflictError where the rows were changed
    since.
    """
    with write(user_id) as made:
        kept = _kept(user_id, token)
        before: dict = kept.rows
        of = (before["films"], map(int, before["people"]), before["lists"])
        now = _rows(user_id, *of, _places(user_id, before["places"]), before["with_votes"])
        if _digest(now) != kept.after:
            raise ConflictError("This can’t be undone: it was changed again since.")
        for list_id, row in _differing(before, now, "lists"):
            _put_list(made, list_id, row)
        for person_id, row in _differing(before, now, "people"):
            _put_person(made, int(person_id), row, now["people"][person_id])
        _put_places(made, dict(_differing(before, now, "places")))
        # A list or a person that was put back has already changed films.
        _put_films(made, before["films"])
        _put_rankings(made, before["rankings"], now["rankings"])
        models.spread_updates(db.obj, user_id, made.updated_at)
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
    """One of the future was made while the clock was ahead."""
    now = clock.now()
    return UndoStep.created_at.between(now - KEPT_SECONDS, now + KEPT_SECONDS)


def _keep(user_id: str, before: dict, after: dict) -> str:
    UndoStep.delete().where(~_recent()).execute()
    token = secrets.token_urlsafe(16)
    UndoStep.create(
        token=token,
        user=user_id,
        rows=before,
        after=_digest(after),
        created_at=clock.now(),
    )
    return token


def _kept(user_id: str, token: str) -> UndoStep:
    mine = (UndoStep.token == token) & (UndoStep.user == user_id)
    kept = UndoStep.get_or_none(mine & _recent())
    if kept is None:
        raise NotFoundError(
            "This can no longer be undone: ten minutes have passed, or it was already undone."
        )
    if kept.rows.keys() != PARTS:
        raise NotFoundError("This can no longer be undone: the server was updated since.")
    return kept


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
    return {
        "films": films,
        "rankings": _rankings(user_id, [*films, *places]),
        "people": {str(key): _person(user_id, key, with_votes) for key in person_ids},
        "lists": {key: _list(user_id, key) for key in list_ids},
        "places": places,
        "with_votes": with_votes,
    }


def _films(user_id: str, imdb_ids: Iterable[str]) -> dict[str, dict | None]:
    found: dict[str, dict | None] = dict.fromkeys(imdb_ids)
    by_pk: dict[int, dict] = {}
    for part in chunks(found):
        rows = Movie.select(Movie.id, Movie.title, CustomList.id, *MOVIE).left_outer_join(
            CustomList
        )
        for pk, imdb_id, list_id, *movie in rows.where(
            (Movie.user == user_id) & Movie.title.in_(part)
        ).tuples():
            found[imdb_id] = by_pk[pk] = {
                "movie": movie,
                "list": list_id,
                "watches": [],
                "votes": [],
            }
    for part in chunks(by_pk):
        watches = Watch.select(Watch.movie, Watch.date_watched, Watch.my_rating).where(
            Watch.movie.in_(part)
        )
        votes = Recommendation.select(
            Recommendation.movie,
            Recommendation.person,
            Recommendation.date_recommended,
            Recommendation.vote_type,
        ).where(Recommendation.movie.in_(part))
        for pk, *watch in watches.order_by(Watch.date_watched).tuples():
            by_pk[pk]["watches"].append(watch)
        for pk, *vote in votes.order_by(Recommendation.person).tuples():
            by_pk[pk]["votes"].append(vote)
    return found


def _rankings(user_id: str, films: Collection[str]) -> dict[str, list]:
    """Of those that are ranked. Only then the whole order is read, to count their positions."""
    ranked = Ranking.select().join(Movie).where(Movie.user == user_id)
    if not any(ranked.where(Movie.title.in_(part)).exists() for part in chunks(films)):
        return {}
    order = ranking_order.read(db.obj, user_id)
    wanted = set(films)
    return {imdb_id: list(place) for imdb_id, *place in order if imdb_id in wanted}


def _person(user_id: str, person_id: int, with_votes: bool) -> dict | None:
    person = Person.get_or_none((Person.id == person_id) & (Person.user == user_id))
    if person is None:
        return None
    columns = {name: getattr(person, name) for name in PERSON}
    if not with_votes:
        return {"person": columns, "votes": []}
    votes = (
        Recommendation.select(
            Movie.title, Recommendation.date_recommended, Recommendation.vote_type
        )
        .join(Movie)
        .where(Recommendation.person == person_id)
        .order_by(Movie.title)
    )
    return {"person": columns, "votes": [list(row) for row in votes.tuples()]}


def _list(user_id: str, list_id: str) -> dict | None:
    row = CustomList.get_or_none((CustomList.id == list_id) & (CustomList.user == user_id))
    return {name: getattr(row, name) for name in LIST} if row else None


def _on_list(user_id: str, list_id: str | None) -> dict[str, list]:
    """{imdb_id: its place} of the films on the list. Whatever happens to a list, the watches and
    votes of its films stay as they are."""
    if list_id is None:
        return {}
    on_it = (CustomList.id == list_id) & (Movie.user == user_id)
    rows = db.execute(Movie.select(*PLACE).join(CustomList).where(on_it))
    return {imdb_id: place for imdb_id, *place in rows}


def _places(user_id: str, imdb_ids: Iterable[str]) -> dict[str, list | None]:
    found: dict[str, list | None] = dict.fromkeys(imdb_ids)
    rows = Movie.select(*PLACE).left_outer_join(CustomList).where(Movie.user == user_id)
    for part in chunks(found):
        those = db.execute(rows.where(Movie.title.in_(part)))
        found |= {imdb_id: place for imdb_id, *place in those}
    return found


# Putting back.


def _put_list(made: Write, list_id: str, row: dict | None) -> None:
    if row is None:
        return lists.delete(made.user_id, list_id)
    remove_tombstones(made, "list", list_id)
    mine = (CustomList.user == made.user_id) & (CustomList.id == list_id)
    marked = {**row, **_marks(made)}
    if not CustomList.update(**marked).where(mine).execute():
        require_room(made.user_id, CustomList, "lists")
        CustomList.create(user=made.user_id, **marked)
    return None


def _marks(made: Write) -> dict[str, float]:
    """As an import's, the rows' own last_modified does not tell that they were written now."""
    return {"updated_at": made.updated_at, "imported_at": made.updated_at}


def _put_person(made: Write, person_id: int, row: dict | None, now: dict | None) -> None:
    if row is None:
        return people.delete(made.user_id, person_id)
    _require_free(made.user_id, person_id, row["person"])
    marked = {**row["person"], **_marks(made)}
    if now is None:
        require_room(made.user_id, Person, "people")
        # Under the old id, which the sync feed's clients know and nobody else was given.
        Person.create(id=person_id, user=made.user_id, **marked)
        remove_tombstones(made, "person", str(person_id))
        _put_votes_of(person_id, made.user_id, row["votes"])
    else:
        Person.update(**marked).where(Person.id == person_id).execute()
    if now is None or any(row["person"][field] != now["person"][field] for field in people.SHOWN):
        mark_films_changed(made, person_id)
    return None


def _put_places(made: Write, places: dict[str, list]) -> None:
    """After the list itself."""
    pks = _list_pks(made.user_id)
    columns = [
        Movie.status,
        Movie.last_modified,
        Movie.custom_list,
        Movie.updated_at,
        Movie.imported_at,
    ]
    rows = (
        (
            status,
            last_modified,
            pks[list_id],
            made.updated_at,
            made.updated_at,
            made.user_id,
            imdb_id,
        )
        for imdb_id, (status, last_modified, list_id) in places.items()
    )
    update_rows(db.obj, columns, [Movie.user, Movie.title], rows)
    # They were not watched while they were on the list.
    unwatched = Movie.select(Movie.id).where(
        (Movie.user == made.user_id) & (Movie.status != "watched")
    )
    Ranking.delete().where(Ranking.movie.in_(unwatched)).execute()


def _list_pks(user_id: str) -> dict[str, int]:
    rows = CustomList.select(CustomList.id, CustomList.pk).where(CustomList.user == user_id)
    return dict(rows.tuples())


def _require_free(user_id: str, person_id: int, row: dict) -> None:
    others = Person.select().where((Person.user == user_id) & (Person.id != person_id))
    if others.where(Person.name_key == row["name_key"]).exists():
        raise ConflictError(
            f"Somebody else is called {row['name']} by now, so this was left as it is."
        )


def _put_votes_of(person_id: int, user_id: str, votes: list) -> None:
    pks = _pks(user_id, [imdb_id for imdb_id, *_ in votes])
    rows = [(pks[imdb_id], person_id, *vote) for imdb_id, *vote in votes if imdb_id in pks]
    fields = [
        Recommendation.movie,
        Recommendation.person,
        Recommendation.date_recommended,
        Recommendation.vote_type,
    ]
    insert_rows(db.obj, fields, rows, ignore=True)
    _require_room_for_votes(pks.values())


def _require_room_for_votes(movies: Iterable[int]) -> None:
    """Others may have recommended the films since. Only a person who comes back adds votes: those
    of a film that is put back were in the library together."""
    most = validation.VOTES_MAX
    for part in chunks(movies):
        votes = Recommendation.select(Recommendation.movie).where(Recommendation.movie.in_(part))
        full = votes.group_by(Recommendation.movie).having(fn.COUNT(Recommendation.id) > most)
        if full.exists():
            raise ConflictError(
                f"This can’t be undone: one of the films has new recommendations since, and the "
                f"limit is {most:,}."
            )


def _put_films(made: Write, films: dict[str, dict | None]) -> None:
    now = _films(made.user_id, films)
    differing = {imdb_id: row for imdb_id, row in films.items() if row != now[imdb_id]}
    _put_movies(made, differing, now)
    back = {imdb_id: row for imdb_id, row in differing.items() if row is not None}
    pks = _pks(made.user_id, back)
    _replace_watches({pks[imdb_id]: row["watches"] for imdb_id, row in back.items()})
    known = {pk for (pk,) in Person.select(Person.id).where(Person.user == made.user_id).tuples()}
    _replace_votes(
        {pks[imdb_id]: [v for v in row["votes"] if v[0] in known] for imdb_id, row in back.items()}
    )
    counted: set[int] = set()
    for imdb_id, row in differing.items():
        counted |= _counted_in(row) ^ _counted_in(now[imdb_id])
    for part in chunks(counted):
        mark_people_changed(made, Person.id.in_(part))


def _counted_in(row: dict | None) -> set[int]:
    """The people in whose movie_count the film is."""
    if row is None or row["movie"][1] == "deleted":
        return set()
    return {vote[0] for vote in row["votes"]}


def _put_movies(made: Write, films: dict[str, dict | None], now: dict[str, dict | None]) -> None:
    pks = _list_pks(made.user_id)
    columns = [*MOVIE, Movie.custom_list, Movie.updated_at, Movie.imported_at]
    marks = (made.updated_at, made.updated_at)
    rows = {
        key: (*_movie(row, pks), *marks, made.user_id, key) for key, row in films.items() if row
    }
    update_rows(db.obj, columns, [Movie.user, Movie.title], (rows[key] for key in rows if now[key]))
    new = [key for key in rows if not now[key]]
    if new:
        require_room(made.user_id, Movie, "films", len(new))
    insert_rows(db.obj, [*columns, Movie.user, Movie.title], (rows[key] for key in new))
    remove_tombstones(made, "movie", *new)
    gone = [key for key in films if key not in rows]
    for part in chunks(gone):
        Movie.delete().where((Movie.user == made.user_id) & Movie.title.in_(part)).execute()
    add_tombstones(made, "movie", *gone)


def _movie(row: dict, pks: dict[str, int]) -> list:
    """The columns of MOVIE and the list; where that is gone, the film goes where its deletion would
    have put it."""
    media_type, status, *dates = row["movie"]
    pk = pks.get(row["list"])
    if status == "custom" and pk is None:
        status = "watched" if row["watches"] else "toWatch"
    return [media_type, status, *dates, pk]


def _pks(user_id: str, imdb_ids: Iterable[str]) -> dict[str, int]:
    mine = Movie.select(Movie.title, Movie.id).where(Movie.user == user_id)
    return {
        key: pk
        for part in chunks(imdb_ids)
        for key, pk in mine.where(Movie.title.in_(part)).tuples()
    }


def _replace_watches(watches: dict[int, list]) -> None:
    for part in chunks(watches):
        Watch.delete().where(Watch.movie.in_(part)).execute()
    rows = ((pk, *watch) for pk in watches for watch in watches[pk])
    insert_rows(db.obj, [Watch.movie, Watch.date_watched, Watch.my_rating], rows)


def _replace_votes(votes: dict[int, list]) -> None:
    for part in chunks(votes):
        Recommendation.delete().where(Recommendation.movie.in_(part)).execute()
    rows = ((pk, *vote) for pk in votes for vote in votes[pk])
    fields = [
        Recommendation.movie,
        Recommendation.person,
        Recommendation.date_recommended,
        Recommendation.vote_type,
    ]
    insert_rows(db.obj, fields, rows)


def _put_rankings(made: Write, before: dict[str, list], now: dict[str, list]) -> None:
    """Films that lost or changed their place go back to it; the others keep their order."""
    was, is_now = _unplaced(before), _unplaced(now)
    moved = {key for key in before.keys() | now.keys() if was.get(key) != is_now.get(key)}
    if not moved:
        return
    order = [row for row in ranking_order.read(db.obj, made.user_id) if row.imdb_id not in moved]
    groups = {liked: [row for row in order if row.liked == liked] for liked in (True, False)}
    back = [Ranked(key, *place) for key, place in before.items() if key in moved]
    for row in sorted(back, key=lambda row: row.position):
        groups[row.liked].insert(row.position - 1, row)
    ranking_order.replace(db.obj, made.user_id, [*groups[True], *groups[False]])

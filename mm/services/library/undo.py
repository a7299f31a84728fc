"""Undo: the rows of a user's own data as they were before something was done, kept for ten minutes.

A film is kept with its watches, its votes, its lists and its place in the ranking, a person with
their votes, a list with its films in order and the places of those that have their status with it.
Votes go by the person's id and films by their imdb_id, because rows that are put back may get
other keys.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from peewee import Expression, Field, ModelSelect, fn

from mm import clock, models
from mm.database import chunks, db, insert_rows, update_rows
from mm.errors import ConflictError, NotFoundError
from mm.models import (
    OWNED,
    CustomList,
    ListFilm,
    Movie,
    Person,
    Ranking,
    Recommendation,
    UndoStep,
    Watch,
    owned_names,
)
from mm.services import ranking_order, validation
from mm.services.library import list_films, lists, people
from mm.services.library.changes import (
    Write,
    add_tombstones,
    mark_films_changed,
    mark_people_changed,
    remove_tombstones,
    require_list_room,
    require_room,
    write,
)
from mm.services.ranking_order import Ranked

KEPT_SECONDS = 600
ROWS_MAX = 20_000
# So many characters of notes count as a row.
NOTE_ROW = 1000
# What a user knows of a film; a hint is theirs too, and `search_text` is made of hint and note.
MOVIE = (*OWNED[Movie], Movie.hint_title, Movie.hint_year, Movie.search_text)
# Where a film stands: its status, with its list where that is custom.
PLACE = (Movie.title, Movie.status, Movie.last_modified, CustomList.id)
# As an import's, the rows' own last_modified does not tell that they were written now.
WRITTEN = (Movie.updated_at, Movie.imported_at)
VOTE = (Recommendation.movie, Recommendation.person, *OWNED[Recommendation])
# A key is renamed when the rows below it change, so that steps of an older version are refused.
PARTS = {
    "movies",
    "rankings",
    "people",
    "custom_lists",
    "list_films",
    "whole_lists",
    "places",
    "has_votes",
}


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
        before = _rows(user_id, films, person_ids, list_ids, list_ids, members, with_votes)
        yield kept
        places = _places(user_id, members)
        after = _rows(user_id, films, person_ids, list_ids, list_ids, places, with_votes)
        if _films_on(before, list_id) == _films_on(after, list_id):
            before, after = _without_whole_lists(before), _without_whole_lists(after)
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
        now = _rows(
            user_id,
            before["movies"],
            map(int, before["people"]),
            before["custom_lists"],
            before["whole_lists"],
            _places(user_id, before["places"]),
            before["has_votes"],
        )
        if _digest(now) != kept.after:
            raise ConflictError("This can’t be undone: it was changed again since.")
        _put_lists(change, before, now)
        for person_id, row in _differing(before, now, "people"):
            _put_person(change, int(person_id), row, now["people"][person_id])
        # A list or a person that was put back has already changed films.
        _put_films(change, before)
        _put_list_films(change, before, now)
        _put_rankings(change, before["rankings"], now["rankings"])
        models.spread_updates(db.obj, user_id, change.updated_at)
        kept.delete_instance()


def _is_too_much(user_id: str, films: list, person_id: int | None, list_id: str | None) -> bool:
    mine = Movie.user == user_id
    rows = len(films)
    for part in chunks(films):
        ours = mine & Movie.title.in_(part)
        those = Movie.select(Movie.id).where(ours)
        rows += _size_of_notes(Movie, ours)
        rows += Recommendation.select().where(Recommendation.movie.in_(those)).count()
        for table in (Watch, ListFilm):
            theirs = table.movie.in_(those)
            rows += table.select().where(theirs).count() + _size_of_notes(table, theirs)
    if person_id is not None:
        rows += Recommendation.select().where(Recommendation.person == person_id).count()
    if list_id is not None:
        rows += Movie.select().join(CustomList).where((CustomList.id == list_id) & mine).count()
        entries = _on_lists(user_id, ListFilm.id).where(CustomList.id == list_id)
        rows += entries.count() + _size_of_notes(ListFilm, ListFilm.id.in_(entries))
    return rows > ROWS_MAX


def _size_of_notes(table: type[Movie | Watch | ListFilm], condition: Expression) -> int:
    """In rows."""
    length = table.select(fn.SUM(fn.LENGTH(table.note))).where(condition).scalar()
    return int(length or 0) // NOTE_ROW


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
    """Without the positions in a ranking or on a list that is not kept whole: they change when
    other films are moved."""
    entries = [
        (list_id, imdb_id, position if list_id in rows["whole_lists"] else None, note)
        for list_id, imdb_id, position, note in rows["list_films"]
    ]
    entries.sort(key=lambda entry: entry[:2])
    kept = {**rows, "rankings": _unplaced(rows["rankings"]), "list_films": entries}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _unplaced(rankings: dict[str, list]) -> dict[str, list]:
    return {key: [liked, ranked_at] for key, (liked, _, ranked_at) in rankings.items()}


def _films_on(rows: dict, list_id: str | None) -> list[list]:
    return [entry for entry in rows["list_films"] if entry[0] == list_id]


def _without_whole_lists(rows: dict) -> dict:
    """Where the films of a list stay as they are, what happens to them later is no conflict."""
    entries = [entry for entry in rows["list_films"] if entry[1] in rows["movies"]]
    return {**rows, "list_films": entries, "whole_lists": []}


def _differing(before: dict, now: dict, kind: str) -> list[tuple[str, Any]]:
    return [(key, row) for key, row in before[kind].items() if row != now[kind][key]]


# Reading. What is not there is None.


def _rows(
    user_id: str,
    imdb_ids: Iterable[str],
    person_ids: Iterable[int],
    list_ids: Iterable[str],
    whole_lists: Iterable[str],
    places: dict,
    with_votes: bool,
) -> dict:
    """As JSON takes them: {"movies": {imdb_id: row}, "people": {id: row},
    "custom_lists": {id: row}, "rankings": {imdb_id: [liked, position, ranked_at]},
    "list_films": [[list's id, imdb_id, position, note]] of those films and of the lists that are
    kept whole, "whole_lists": [id], "places": {imdb_id: row}}, and whether votes of the people
    are among them. The keys are PARTS."""
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
    whole_lists = list(whole_lists)
    return {
        "movies": films,
        "rankings": rankings,
        "people": {str(key): _person(user_id, key, with_votes) for key in person_ids},
        "custom_lists": list_rows,
        "list_films": _list_films(user_id, films, whole_lists),
        "whole_lists": whole_lists,
        "places": places,
        "has_votes": with_votes,
    }


def _films(user_id: str, imdb_ids: Iterable[str]) -> dict[str, dict | None]:
    films: dict[str, dict | None] = dict.fromkeys(imdb_ids)
    by_pk: dict[int, dict] = {}
    names = [column.name for column in MOVIE]
    columns = (Movie.id, Movie.title, CustomList.id, *MOVIE)
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


def _list_films(user_id: str, imdb_ids: Iterable[str], whole_lists: Iterable[str]) -> list[list]:
    """In the order of each list."""
    columns = (CustomList.id, ListFilm.position, ListFilm.id, Movie.title, ListFilm.note)
    rows = _on_lists(user_id, *columns)
    asked = [rows.where(Movie.title.in_(part)) for part in chunks(imdb_ids)]
    asked += [rows.where(CustomList.id.in_(part)) for part in chunks(whole_lists)]
    found = {tuple(row) for query in asked for row in db.execute(query)}
    return [
        [list_id, imdb_id, position, note]
        for list_id, position, _, imdb_id, note in sorted(found, key=lambda row: row[:3])
    ]


def _on_lists(user_id: str, *columns: Field) -> ModelSelect:
    rows = ListFilm.select(*columns).join(CustomList).switch(ListFilm).join(Movie)
    return rows.where(CustomList.user == user_id)


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
    for list_id, row in _differing(before, now, "custom_lists"):
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
    """In the lists' order."""
    rows = CustomList.select(CustomList.id, CustomList.pk).where(CustomList.user == user_id)
    return dict(rows.order_by(CustomList.position, CustomList.id).tuples())


def _put_films(change: Write, before: dict) -> None:
    user_id, films = change.user_id, before["movies"]
    now = _films(user_id, films)
    differing = {imdb_id: row for imdb_id, row in films.items() if row != now[imdb_id]}
    _put_movies(change, differing, now, _entries(before))
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


def _put_movies(
    change: Write,
    films: dict[str, dict | None],
    now: dict[str, dict | None],
    entries: dict[tuple[str, str], list],
) -> None:
    pks = _list_pks(change.user_id)
    rows: dict[str, tuple] = {}
    for imdb_id, row in films.items():
        if row is not None:
            values, pk = dict(row["movie"]), pks.get(row["list"])
            if values["status"] == "custom" and pk is None:
                # The list was deleted since: the film goes where that would have put it.
                pk = next((pks[key] for key in pks if (key, imdb_id) in entries), None)
                if pk is None:
                    values["status"] = "watched" if row["watches"] else "toWatch"
            written = (change.updated_at, change.updated_at)
            key = (change.user_id, imdb_id)
            rows[imdb_id] = (*(values[column.name] for column in MOVIE), pk, *written, *key)
    columns = (*MOVIE, Movie.custom_list, *WRITTEN)
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


def _put_list_films(change: Write, before: dict, now: dict) -> None:
    """On the lists that still exist. A film that is put back there has its old position; the
    others keep theirs, but on a list that is kept whole."""
    was, is_now = _entries(before), _entries(now)
    for (list_id, imdb_id), entry in was.items():
        if list_id not in before["whole_lists"] and (list_id, imdb_id) in is_now:
            entry[0] = is_now[list_id, imdb_id][0]
    pks = _list_pks(change.user_id)
    differing = [key for key in {**was, **is_now} if was.get(key) != is_now.get(key)]
    films = _pks(change.user_id, {imdb_id for _, imdb_id in differing})
    _take_off(change.user_id, is_now.keys() - was.keys())
    there = [key for key in differing if key[0] in pks and key[1] in films]
    rows = {key: (*was[key], pks[key[0]], films[key[1]]) for key in there if key in was}
    values, keys = (ListFilm.position, ListFilm.note), (ListFilm.custom_list, ListFilm.movie)
    update_rows(db.obj, values, keys, (rows[key] for key in rows if key in is_now))
    new = [rows[key] for key in rows if key not in is_now]
    require_list_room(change.user_id, len(new))
    insert_rows(db.obj, (*values, *keys), new)
    joined = {films[key[1]] for key in there if key not in was or key not in is_now}
    # A list does not show a deleted film.
    turned = {
        imdb_id
        for imdb_id, row in before["movies"].items()
        if _is_shown(row) != _is_shown(now["movies"][imdb_id])
    }
    shown = [*differing, *(key for key in {**was, **is_now} if key[1] in turned)]
    list_films.mark_changed(change, {pks[key[0]] for key in shown if key[0] in pks}, joined)


def _is_shown(row: dict | None) -> bool:
    return row is not None and row["movie"]["status"] != "deleted"


def _take_off(user_id: str, entries: Set[tuple[str, str]]) -> None:
    for part in chunks({imdb_id for _, imdb_id in entries}):
        rows = _on_lists(user_id, ListFilm.id, CustomList.id, Movie.title)
        found = db.execute(rows.where(Movie.title.in_(part)))
        ids = [pk for pk, *key in found if tuple(key) in entries]
        for some in chunks(ids):
            ListFilm.delete().where(ListFilm.id.in_(some)).execute()


def _entries(rows: dict) -> dict[tuple[str, str], list]:
    """{(list's id, imdb_id): [position, note]}, in the order of each list."""
    return {(list_id, imdb_id): entry for list_id, imdb_id, *entry in rows["list_films"]}


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

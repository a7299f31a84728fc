"""Which films are on a list, and the rules between that and a film's status; all of it inside the
transaction of a verb.

A film of status custom has a `custom_list`, and is on that list like on any other. Taken off it, it
goes to the first of its other lists, else back to watched or to watch. Being on a list has no time
of its own: it raises the film's and the list's `updated_at` and never a last_modified.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from peewee import Case, Expression, ModelSelect, fn

from mm.database import chunks, db, delete_rows, insert_rows, update_rows
from mm.models import CustomList, ListFilm, Movie, Ranking, Watch
from mm.services import validation
from mm.services.library.changes import Write, require_list_room


def of_list(list_pk: int) -> ModelSelect:
    """The films of a list in its own order, without deleted ones."""
    return (
        Movie.select()
        .join(ListFilm)
        .where((ListFilm.custom_list == list_pk) & (Movie.status != "deleted"))
        .order_by(ListFilm.position, ListFilm.id)
    )


def ids_of_film(movie_id: int) -> set[int]:
    """The keys of the lists that the film is on."""
    rows = ListFilm.select(ListFilm.custom_list).where(ListFilm.movie == movie_id)
    return {list_pk for (list_pk,) in db.execute(rows)}


def add(
    change: Write,
    list_pk: int,
    movie_ids: Sequence[int],
    note: str | UnsetType | None = UNSET,
) -> None:
    """Put the films at the end of the list, those that are not on it yet, and set its note on each
    where one is given. The caller saves what the films' status becomes. Raises InvalidError for
    more than a library can hold."""
    on_list = ListFilm.custom_list == list_pk
    there: set[int] = set()
    for part in chunks(movie_ids):
        rows = ListFilm.select(ListFilm.movie).where(on_list & ListFilm.movie.in_(part))
        there.update(movie_id for (movie_id,) in db.execute(rows))
    new = [movie_id for movie_id in movie_ids if movie_id not in there]
    _put_last(change, [(list_pk, movie_id) for movie_id in new])
    if note is not UNSET:
        for part in chunks(movie_ids):
            ListFilm.update(note=note).where(on_list & ListFilm.movie.in_(part)).execute()
        mark_changed(change, [list_pk], movie_ids)


def make_custom(change: Write, list_pk: int, movie_ids: Sequence[int]) -> None:
    """The films get the status custom with this list: they leave the list that they had it with,
    and the ranking, and stay on all other lists."""
    for part in chunks(movie_ids):
        former = Movie.select(Movie.custom_list).where(Movie.id == ListFilm.movie)
        leaving = (
            ListFilm.movie.in_(part)
            & (ListFilm.custom_list == former)
            & (ListFilm.custom_list != list_pk)
        )
        lists = ListFilm.select(ListFilm.custom_list).where(leaving).distinct()
        mark_changed(change, [pk for (pk,) in db.execute(lists)], [])
        ListFilm.delete().where(leaving).execute()
        Movie.update(status="custom", custom_list=list_pk).where(Movie.id.in_(part)).execute()
        Ranking.delete().where(Ranking.movie.in_(part)).execute()
    add(change, list_pk, movie_ids)


def set_lists(change: Write, movie_id: int, list_pks: Sequence[int]) -> None:
    """Put the film on exactly these lists: at the end of those that it is not on yet."""
    is_on = ids_of_film(movie_id)
    _put_last(change, [(list_pk, movie_id) for list_pk in list_pks if list_pk not in is_on])
    _take_off(change, sorted(is_on.difference(list_pks)), [movie_id])


def remove(change: Write, list_pk: int, movie_ids: Sequence[int]) -> None:
    """Take the films off the list, and off the status custom with it."""
    _take_off(change, [list_pk], movie_ids)


def replace(change: Write, films: Mapping[int, Sequence[tuple[int, str | None]]]) -> None:
    """Of each of these lists, by its key, the films become exactly these, in this order: each the
    key of a film and the list's note on it. Films of status deleted, which a list does not show,
    stay on it behind the others. The caller looks whether there is room."""
    before = _entries(films)
    new, changed, gone = [], [], []
    for list_pk, rows in films.items():
        former = before.get(list_pk, {})
        shown = [(key, entry.note) for key, entry in former.items() if not entry.is_hidden]
        if shown == list(rows):
            continue
        named = {movie_id for movie_id, _ in rows}
        off = [movie_id for movie_id in former if movie_id not in named]
        hidden = [(key, former[key].note) for key in off if former[key].is_hidden]
        gone += [(list_pk, key) for key in off if not former[key].is_hidden]
        for place, (movie_id, note) in enumerate([*rows, *hidden]):
            was = former.get(movie_id)
            if was is None:
                new.append((list_pk, movie_id, place, note))
            elif (was.position, was.note) != (place, note):
                changed.append((place, note, list_pk, movie_id))
    pair = (ListFilm.custom_list, ListFilm.movie)
    delete_rows(db.obj, pair, gone)
    insert_rows(db.obj, (*pair, ListFilm.position, ListFilm.note), new)
    update_rows(db.obj, (ListFilm.position, ListFilm.note), pair, changed)
    _mark_replaced(change, before, new, changed, gone)


def _mark_replaced(
    change: Write,
    before: Mapping[int, Mapping[int, "_Entry"]],
    new: Sequence[tuple],
    changed: Sequence[tuple],
    gone: Sequence[tuple[int, int]],
) -> None:
    """The rows are as `replace` wrote them. A film of which only the place differs is as it was."""
    noted = {
        movie_id for _, note, list_pk, movie_id in changed if before[list_pk][movie_id].note != note
    }
    lists = {row[0] for row in (*new, *gone)} | {list_pk for _, _, list_pk, _ in changed}
    mark_changed(change, lists, noted | {row[1] for row in (*new, *gone)})
    for part in chunks({movie_id for _, movie_id in gone}):
        give_up(change, Movie.id.in_(part))


class _Entry(NamedTuple):
    position: int
    note: str | None
    is_hidden: bool


def _entries(list_pks: Iterable[int]) -> dict[int, dict[int, _Entry]]:
    """By the keys of the list and of the film, in the order of each list."""
    found: dict[int, dict[int, _Entry]] = {}
    columns = (ListFilm.custom_list, ListFilm.movie, ListFilm.position, ListFilm.note, Movie.status)
    for part in chunks(list_pks):
        rows = ListFilm.select(*columns).join(Movie).where(ListFilm.custom_list.in_(part))
        ordered = rows.order_by(ListFilm.position, ListFilm.id)
        for list_pk, movie_id, position, note, status in db.execute(ordered):
            entry = _Entry(position, note, status == "deleted")
            found.setdefault(list_pk, {})[movie_id] = entry
    return found


def _put_last(change: Write, entries: Sequence[tuple[int, int]]) -> None:
    """Entries that are new: the keys of a list and of a film."""
    require_list_room(change.user_id, len(entries))
    list_pks = {list_pk for list_pk, _ in entries}
    place = dict.fromkeys(list_pks, 0)
    for part in chunks(list_pks):
        rows = ListFilm.select(ListFilm.custom_list, fn.MAX(ListFilm.position))
        of_them = rows.where(ListFilm.custom_list.in_(part)).group_by(ListFilm.custom_list)
        place |= {list_pk: last + 1 for list_pk, last in db.execute(of_them)}
    rows = []
    for list_pk, movie_id in entries:
        rows.append((list_pk, movie_id, min(place[list_pk], validation.NUMBER_MAX)))
        place[list_pk] += 1
    insert_rows(db.obj, (ListFilm.custom_list, ListFilm.movie, ListFilm.position), rows)
    mark_changed(change, list_pks, {movie_id for _, movie_id in entries})


def _take_off(change: Write, list_pks: Sequence[int], movie_ids: Sequence[int]) -> None:
    for films in chunks(movie_ids):
        for part in chunks(list_pks):
            on_them = ListFilm.custom_list.in_(part) & ListFilm.movie.in_(films)
            entries = ListFilm.select(ListFilm.custom_list, ListFilm.movie).where(on_them)
            found = list(db.execute(entries))
            mark_changed(change, {pk for pk, _ in found}, {movie_id for _, movie_id in found})
            ListFilm.delete().where(on_them).execute()
        give_up(change, Movie.id.in_(films))


def give_up(change: Write, films: Expression) -> None:
    """Those of the films that are no longer on the list of their status custom get it with the
    first of their other lists; without any, they go back to watched if they have a watch, else to
    toWatch."""
    lists = ListFilm.select(ListFilm.custom_list).where(ListFilm.movie == Movie.id)
    first = lists.join(CustomList).order_by(CustomList.position, CustomList.id).limit(1)
    is_off = Movie.custom_list.is_null(False) & Movie.custom_list.not_in(lists)
    seen = fn.EXISTS(Watch.select(Watch.id).where(Watch.movie == Movie.id))
    # A phone may have taken it off before somebody else changed the film.
    newer = (Movie.last_modified > change.at, Movie.last_modified)
    (
        Movie.update(
            status=Case(None, [(fn.EXISTS(lists), "custom"), (seen, "watched")], "toWatch"),
            custom_list=first,
            last_modified=Case(None, [newer], change.at),
            updated_at=change.updated_at,
        )
        .where(films & is_off)
        .execute()
    )


def put_in_order(change: Write, list_pk: int, imdb_ids: Sequence[str]) -> None:
    """Films that are on the list and not named come after those that are, in the order they have;
    a film that is not on the list is ignored."""
    rows = (
        ListFilm.select(Movie.title, ListFilm.movie, ListFilm.position)
        .join(Movie)
        .where(ListFilm.custom_list == list_pk)
        .order_by(ListFilm.position, ListFilm.id)
    )
    films = {imdb_id: (movie_id, position) for imdb_id, movie_id, position in db.execute(rows)}
    order = [imdb_id for imdb_id in dict.fromkeys([*imdb_ids, *films]) if imdb_id in films]
    if order == list(films):
        return
    moved = [
        (place, list_pk, films[imdb_id][0])
        for place, imdb_id in enumerate(order)
        if films[imdb_id][1] != place
    ]
    update_rows(db.obj, [ListFilm.position], (ListFilm.custom_list, ListFilm.movie), moved)
    mark_changed(change, [list_pk], [])


def mark_changed(change: Write, list_pks: Collection[int], movie_ids: Collection[int]) -> None:
    """For the sync feed: a film's JSON names its lists, and a list is read anew with its films."""
    for part in chunks(list_pks):
        lists = CustomList.update(updated_at=change.updated_at)
        lists.where(CustomList.pk.in_(part)).execute()
    for part in chunks(movie_ids):
        films = Movie.update(updated_at=change.updated_at)
        films.where(Movie.id.in_(part)).execute()

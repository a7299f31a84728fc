"""Which films are on a list, and the rules between that and a film's status; all of it inside the
transaction of a verb.

A film of status custom has a `custom_list`, and is on that list like on any other. Taken off it, it
goes to the first of its other lists, else back to watched or to watch. Being on a list has no time
of its own: it raises the film's and the list's `updated_at` and never a last_modified.
"""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType
from peewee import Case, Expression, ModelSelect, fn

from mm.database import chunks, db, insert_rows, update_rows
from mm.models import CustomList, ListFilm, Movie, Watch
from mm.services import validation
from mm.services.library.changes import Write


def of_list(list_pk: int) -> ModelSelect:
    """The films of a list in its own order, without deleted ones."""
    return (
        Movie.select()
        .join(ListFilm)
        .where((ListFilm.custom_list == list_pk) & (Movie.status != "deleted"))
        .order_by(ListFilm.position, ListFilm.id)
    )


def add(
    change: Write,
    list_pk: int,
    movie_ids: Sequence[int],
    note: str | UnsetType | None = UNSET,
) -> None:
    """Put the films at the end of the list, those that are not on it yet, and set its note on each
    where one is given. The caller saves what the films' status becomes."""
    on_list = ListFilm.custom_list == list_pk
    there: set[int] = set()
    for part in chunks(movie_ids):
        rows = ListFilm.select(ListFilm.movie).where(on_list & ListFilm.movie.in_(part))
        there.update(movie_id for (movie_id,) in db.execute(rows))
    last = ListFilm.select(fn.MAX(ListFilm.position)).where(on_list).scalar()
    place = 0 if last is None else last + 1
    new = [movie_id for movie_id in movie_ids if movie_id not in there]
    rows = (
        (list_pk, movie_id, min(place + number, validation.NUMBER_MAX))
        for number, movie_id in enumerate(new)
    )
    insert_rows(db.obj, (ListFilm.custom_list, ListFilm.movie, ListFilm.position), rows)
    if note is not UNSET:
        for part in chunks(movie_ids):
            ListFilm.update(note=note).where(on_list & ListFilm.movie.in_(part)).execute()
    if new or note is not UNSET:
        mark_changed(change, [list_pk], movie_ids)


def make_custom(change: Write, list_pk: int, movie_ids: Sequence[int]) -> None:
    """The films get the status custom with this list: they leave the list that they had it with,
    and stay on all others."""
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
    add(change, list_pk, movie_ids)


def remove(change: Write, list_pk: int, movie_ids: Sequence[int]) -> None:
    """Take the films off the list; those whose status was custom with it get another status."""
    for part in chunks(movie_ids):
        give_up(change, list_pk, Movie.id.in_(part))
        on_list = (ListFilm.custom_list == list_pk) & ListFilm.movie.in_(part)
        ListFilm.delete().where(on_list).execute()
    mark_changed(change, [list_pk], movie_ids)


def give_up(change: Write, list_pk: int, films: Expression) -> None:
    """Those of the films that have the status custom with this list get it with the first of their
    other lists; without any, they go back to watched if they have a watch, else to toWatch."""
    other = (
        ListFilm.select(ListFilm.custom_list)
        .join(CustomList)
        .where((ListFilm.movie == Movie.id) & (ListFilm.custom_list != list_pk))
        .order_by(CustomList.position, CustomList.id)
        .limit(1)
    )
    seen = fn.EXISTS(Watch.select(Watch.id).where(Watch.movie == Movie.id))
    # A phone may have taken it off before somebody else changed the film.
    newer = (Movie.last_modified > change.at, Movie.last_modified)
    (
        Movie.update(
            status=Case(None, [(fn.EXISTS(other), "custom"), (seen, "watched")], "toWatch"),
            custom_list=other,
            last_modified=Case(None, [newer], change.at),
            updated_at=change.updated_at,
        )
        .where(films & (Movie.custom_list == list_pk))
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
    moved = [
        (place, films[imdb_id][0])
        for place, imdb_id in enumerate(order)
        if films[imdb_id][1] != place
    ]
    keys = (ListFilm.custom_list, ListFilm.movie)
    update_rows(db.obj, [ListFilm.position], keys, ((place, list_pk, key) for place, key in moved))
    if moved:
        mark_changed(change, [list_pk], [])


def mark_changed(change: Write, list_pks: Sequence[int], movie_ids: Sequence[int]) -> None:
    """For the sync feed: a film's JSON names its lists, and a list is read anew with its films."""
    for part in chunks(list_pks):
        lists = CustomList.update(updated_at=change.updated_at)
        lists.where(CustomList.pk.in_(part)).execute()
    for part in chunks(movie_ids):
        films = Movie.update(updated_at=change.updated_at)
        films.where(Movie.id.in_(part)).execute()

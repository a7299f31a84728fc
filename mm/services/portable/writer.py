"""Executing a plan in one transaction, or not at all."""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs
from msgspec.structs import astuple
from peewee import Database, Field

from mm import clock, models
from mm.database import chunks, db, delete_rows, fold, insert_rows, update_rows
from mm.errors import ConflictError
from mm.models import (
    OWNED,
    CustomList,
    ListFilm,
    Movie,
    Person,
    Recommendation,
    SavedView,
    Tombstone,
    User,
    Watch,
)
from mm.services import ranking_order, shown_titles
from mm.services.portable import filters, list_films
from mm.services.portable.plans import NO_HINT, WRITTEN, FilmStep, Plan

CHANGED = "Your library has changed since this plan was made. Review it again, then confirm."


def apply(plan: Plan, database: Database | None = None) -> None:
    """Do exactly what `plan` says; one that changes nothing does not count as a
    write. Raises ConflictError, with nothing written, when the library is no longer
    the one it was made for."""
    if plan.is_empty():
        return
    database = database or db.obj
    with database.atomic():
        unchanged = (User.id == plan.user_id) & (User.library_version == plan.library_version)
        count = User.update(library_version=User.library_version + 1).where(unchanged)
        if not count.execute(database):
            raise ConflictError(CHANGED)
        updated_at = models.next_update(database)
        _remove(database, plan, updated_at)
        _apply_people(database, plan, updated_at)
        _apply_lists(database, plan, updated_at)
        people = _ids(database, Person.name_key, Person.id, plan.user_id)
        _apply_views(database, plan, people, updated_at)
        _apply_films(database, plan, updated_at)
        movies = _ids(database, Movie.title, Movie.id, plan.user_id)
        _apply_votes(database, plan.films, movies, people)
        _apply_watches(database, plan.films, movies)
        _apply_list_films(database, plan, movies, updated_at)
        _mark_shown_elsewhere(database, plan, movies, people, updated_at)
        if any(step.outcome in WRITTEN for step in plan.rankings):
            ranking_order.replace(database, plan.user_id, plan.ranked)
        models.spread_updates(database, plan.user_id, updated_at)


def _remove(database: Database, plan: Plan, updated_at: float) -> None:
    """What hangs on a row goes with it. A removed film, person, list or view leaves a tombstone."""

    def removed(steps: Iterable) -> list:
        return [step for step in steps if step.outcome == "removed"]

    films, people, lists = removed(plan.films), removed(plan.people), removed(plan.lists)
    views = removed(plan.views)
    for key, steps in ((Movie.id, films), (Person.id, people), (CustomList.pk, lists)):
        for part in chunks(step.row_id for step in steps):
            key.model.delete().where(key.in_(part)).execute(database)
    for part in chunks(step.row_id for step in views):
        SavedView.delete().where(SavedView.id.in_(part)).execute(database)
    gone = [
        *(("movie", film.imdb_id, None) for film in films),
        *(("person", str(step.row_id), fold(step.values.name)) for step in people),
        *(("list", step.id, None) for step in lists),
        *(("view", step.row_id, None) for step in views),
    ]
    for kind in ("movie", "person", "list", "view"):
        keys = (key for of_kind, key, _ in gone if of_kind == kind)
        _remove_tombstones(database, plan.user_id, kind, keys)
    columns = (
        Tombstone.kind,
        Tombstone.key,
        Tombstone.name_key,
        Tombstone.user,
        Tombstone.deleted_at,
        Tombstone.updated_at,
    )
    marks = (plan.user_id, clock.now(), updated_at)
    insert_rows(database, columns, ((*row, *marks) for row in gone))


def _mark_shown_elsewhere(
    database: Database,
    plan: Plan,
    movies: dict[str, int],
    people: dict[str, int],
    updated_at: float,
) -> None:
    """A person's JSON has the number of their films, and a list is read with its films: deleted
    ones do not count."""
    turned = [
        movies[film.imdb_id]
        for film in plan.films
        if film.outcome == "changed" and "deleted" in film.fields.get("status", ())
    ]
    voters = {
        people.get(vote.person_key)
        for film in plan.films
        for vote in film.votes
        if vote.outcome in ("new", "removed")
    }
    lists: set[int] = set()
    for part in chunks(turned):
        votes = Recommendation.select(Recommendation.person)
        votes = votes.where(Recommendation.movie.in_(part)).distinct()
        voters.update(person_id for (person_id,) in database.execute(votes))
        places = ListFilm.select(ListFilm.custom_list).where(ListFilm.movie.in_(part)).distinct()
        lists.update(pk for (pk,) in database.execute(places))
    for part in chunks(voters - {None}):
        Person.update(updated_at=updated_at).where(Person.id.in_(part)).execute(database)
    for part in chunks(lists):
        CustomList.update(updated_at=updated_at).where(CustomList.pk.in_(part)).execute(database)


def _apply_people(database: Database, plan: Plan, updated_at: float) -> None:
    def rows(outcome: str) -> Iterator[tuple]:
        for step in plan.people:
            if step.outcome == outcome:
                row = (*astuple(step.values), step.key, updated_at, updated_at)
                yield (*row, step.row_id or plan.user_id)

    renamed = [step.row_id for step in plan.people if "name" in step.fields]
    # Two people may swap names, and a new one may take a name that is being given
    # up: clear the way first, with keys that no name can have, because names are
    # stripped.
    free = ((f" {person_id}", person_id) for person_id in renamed)
    update_rows(database, [Person.name_key], [Person.id], free)
    columns = (*OWNED[Person], Person.name_key, Person.updated_at, Person.imported_at)
    update_rows(database, columns, [Person.id], rows("changed"))
    insert_rows(database, (*columns, Person.user), rows("new"))
    # A film's JSON carries the names of those who recommended it.
    for part in chunks(renamed):
        films = Recommendation.select(Recommendation.movie).where(Recommendation.person.in_(part))
        Movie.update(updated_at=updated_at).where(Movie.id.in_(films)).execute(database)


def _apply_lists(database: Database, plan: Plan, updated_at: float) -> None:
    def rows(outcome: str) -> Iterator[tuple]:
        for step in plan.lists:
            if step.outcome == outcome:
                key = (step.id, plan.user_id) if step.row_id is None else (step.row_id,)
                yield (*astuple(step.values), updated_at, updated_at, *key)

    columns = (*OWNED[CustomList], CustomList.updated_at, CustomList.imported_at)
    update_rows(database, columns, [CustomList.pk], rows("changed"))
    insert_rows(database, (*columns, CustomList.id, CustomList.user), rows("new"))
    ids = (step.id for step in plan.lists if step.outcome == "new")
    _remove_tombstones(database, plan.user_id, "list", ids)


def _apply_views(database: Database, plan: Plan, people: dict[str, int], updated_at: float) -> None:
    """`people` has the id of each by their folded name."""
    ids = {key: str(person_id) for key, person_id in people.items()}

    def rows(outcome: str) -> Iterator[tuple]:
        for step in plan.views:
            if step.outcome == outcome:
                found = filters.replaced(step.values.filters, filters.OF_PEOPLE, ids.get)
                text = json.dumps(found, ensure_ascii=False)
                # A new view has an id that no view had before.
                key = (step.row_id,) if step.row_id else (str(uuid.uuid4()), plan.user_id)
                yield (*astuple(structs.replace(step.values, filters=text)), updated_at, *key)

    columns = (*OWNED[SavedView], SavedView.updated_at)
    insert_rows(database, (*columns, SavedView.id, SavedView.user), rows("new"))
    update_rows(database, columns, [SavedView.id], rows("changed"))


def _apply_films(database: Database, plan: Plan, updated_at: float) -> None:
    pks = _ids(database, CustomList.id, CustomList.pk, plan.user_id)

    def row(film: FilmStep) -> tuple:
        list_pk = pks[film.list_id] if film.list_id is not None else None
        return (*astuple(film.values), list_pk, updated_at, updated_at)

    columns = (*OWNED[Movie], Movie.custom_list, Movie.updated_at, Movie.imported_at)
    hint = (Movie.hint_title, Movie.hint_year)
    found_by = shown_titles.search_text
    new = [film.imdb_id for film in plan.films if film.outcome == "new"]
    models.ensure_titles(database, new)
    _remove_tombstones(database, plan.user_id, "movie", new)
    added = (
        (
            *row(film),
            *(film.hint or NO_HINT),
            found_by((film.hint or NO_HINT).title, film.values.note),
            film.imdb_id,
            plan.user_id,
        )
        for film in plan.films
        if film.outcome == "new"
    )
    keys = (Movie.title, Movie.user)
    insert_rows(database, (*columns, *hint, Movie.search_text, *keys), added)
    changed = ((*row(film), film.row_id) for film in plan.films if film.outcome == "changed")
    update_rows(database, columns, [Movie.id], changed)
    hinted = (
        (*film.hint, updated_at, film.row_id) for film in plan.films if film.hint and film.row_id
    )
    update_rows(database, (*hint, Movie.updated_at), [Movie.id], hinted)
    written = (film.row_id for film in plan.films if film.hint or "note" in dict(film.fields))
    for part in chunks(row_id for row_id in written if row_id):
        texts = Movie.select(Movie.hint_title, Movie.note, Movie.id).where(Movie.id.in_(part))
        rows = [(found_by(title, note), key) for title, note, key in database.execute(texts)]
        update_rows(database, [Movie.search_text], [Movie.id], rows)


def _apply_votes(
    database: Database,
    films: Sequence[FilmStep],
    movies: dict[str, int],
    people: dict[str, int],
) -> None:
    """`movies` has the id of each by its imdb_id, `people` by their folded name."""

    def rows(outcome: str) -> Iterator[tuple]:
        for film in films:
            for vote in film.votes:
                if vote.outcome == outcome:
                    key = (movies[film.imdb_id], people[vote.person_key])
                    yield (*astuple(vote.values), *key)

    columns, pair = OWNED[Recommendation], (Recommendation.movie, Recommendation.person)
    # Those of people and films that are gone went with them.
    gone = (
        (movies[film.imdb_id], people[vote.person_key])
        for film in films
        if film.outcome != "removed"
        for vote in film.votes
        if vote.outcome == "removed" and vote.person_key in people
    )
    delete_rows(database, pair, gone)
    insert_rows(database, (*columns, *pair), rows("new"))
    update_rows(database, columns, pair, rows("changed"))


def _apply_watches(database: Database, films: Sequence[FilmStep], movies: dict[str, int]) -> None:
    def rows(outcome: str) -> Iterator[tuple]:
        for film in films:
            for watch in film.watches:
                if watch.outcome == outcome:
                    # A film has one watch for each date.
                    key = () if outcome == "new" else (watch.values.date_watched,)
                    yield (*astuple(watch.values), movies[film.imdb_id], *key)

    columns, pair = OWNED[Watch], (Watch.movie, Watch.date_watched)
    gone = (
        (movies[film.imdb_id], watch.values.date_watched)
        for film in films
        if film.outcome != "removed"
        for watch in film.watches
        if watch.outcome == "removed"
    )
    delete_rows(database, pair, gone)
    insert_rows(database, (*columns, Watch.movie), rows("new"))
    update_rows(database, columns, pair, rows("changed"))


def _apply_list_films(
    database: Database, plan: Plan, movies: dict[str, int], updated_at: float
) -> None:
    pks = _ids(database, CustomList.id, CustomList.pk, plan.user_id)
    for list_id, films in plan.on_lists.items():
        list_films.replace(database, pks[list_id], films, movies)
    changed = ((updated_at, pks[list_id]) for list_id in plan.on_lists)
    update_rows(database, [CustomList.updated_at], [CustomList.pk], changed)
    # A film's JSON names its lists.
    moved = {step.imdb_id for step in plan.list_films if step.outcome in ("new", "removed")}
    keys = (movies[imdb_id] for imdb_id in moved if imdb_id in movies)
    update_rows(database, [Movie.updated_at], [Movie.id], ((updated_at, key) for key in keys))


def _ids(database: Database, name: Field, key: Field, user_id: str) -> dict:
    """The keys of a user's rows in the field's table, by this name of theirs."""
    table = name.model
    return dict(database.execute(table.select(name, key).where(table.user == user_id)))


def _remove_tombstones(database: Database, user_id: str, kind: str, keys: Iterable[str]) -> None:
    """The sync feed must not report these as deleted any longer."""
    if not Tombstone.select().where(Tombstone.user == user_id).limit(1).execute(database):
        return
    for part in chunks(keys):
        gone = (Tombstone.user == user_id) & (Tombstone.kind == kind) & Tombstone.key.in_(part)
        Tombstone.delete().where(gone).execute(database)

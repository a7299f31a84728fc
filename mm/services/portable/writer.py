"""Executing a plan in one transaction, or not at all."""

import json
import uuid
from collections.abc import Iterable

from peewee import Database

from mm import models
from mm.database import chunks, db, insert_rows, update_rows
from mm.errors import ConflictError
from mm.models import (
    OWNED,
    CustomList,
    Movie,
    Person,
    Recommendation,
    SavedView,
    Tombstone,
    User,
    Watch,
    owned_names,
)
from mm.services import ranking_order
from mm.services.portable.plans import FilmStep, Plan

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
        _apply_people(database, plan, updated_at)
        _apply_lists_and_views(database, plan, updated_at)
        films = [film for film in plan.films if film.outcome in ("new", "changed")]
        _apply_films(database, plan.user_id, films, updated_at)
        _apply_votes_and_watches(database, plan.user_id, films, updated_at)
        if any(step.outcome in ("new", "changed", "removed") for step in plan.rankings):
            ranking_order.replace(database, plan.user_id, plan.ranked)
        models.spread_updates(database, plan.user_id, updated_at)


def _apply_people(database: Database, plan: Plan, updated_at: float) -> None:
    names = owned_names(Person)
    rows: dict[str, list[tuple]] = {"new": [], "changed": []}
    renamed = []
    for step in plan.people:
        if step.outcome in rows:
            values = (step.values[name] for name in names)
            row = (*values, step.key, updated_at, updated_at)
            rows[step.outcome].append((*row, step.row_id or plan.user_id))
            if "name" in step.fields:
                renamed.append(step.row_id)
    # Two people may swap names, and a new one may take a name that is being given
    # up: clear the way first, with keys that no name can have, because names are
    # stripped.
    free = ((f" {person_id}", person_id) for person_id in renamed)
    update_rows(database, [Person.name_key], [Person.id], free)
    columns = (*OWNED[Person], Person.name_key, Person.updated_at, Person.imported_at)
    update_rows(database, columns, [Person.id], rows["changed"])
    insert_rows(database, (*columns, Person.user), rows["new"])
    # A film's JSON carries the names of those who recommended it.
    for part in chunks(renamed):
        films = Recommendation.select(Recommendation.movie).where(Recommendation.person.in_(part))
        Movie.update(updated_at=updated_at).where(Movie.id.in_(films)).execute(database)


def _apply_lists_and_views(database: Database, plan: Plan, updated_at: float) -> None:
    names = owned_names(CustomList)
    columns = (*OWNED[CustomList], CustomList.updated_at, CustomList.imported_at)
    new, changed = [], []
    for step in plan.lists:
        if step.outcome in ("new", "changed"):
            row = (*(step.values[name] for name in names), updated_at, updated_at)
            if step.outcome == "new":
                new.append((*row, step.id, plan.user_id))
            else:
                changed.append((*row, step.row_id))
    update_rows(database, columns, [CustomList.pk], changed)
    insert_rows(database, (*columns, CustomList.id, CustomList.user), new)
    ids = (step.id for step in plan.lists if step.outcome == "new")
    _remove_tombstones(database, plan.user_id, "list", ids)
    # A view's filter names a person; everyone has an id by now.
    people = _person_ids(database, plan.user_id)
    names = owned_names(SavedView)
    new, changed = [], []
    for view in plan.views:
        if view.outcome in ("new", "changed"):
            filters = dict(view.values["filters"])
            if "person" in filters:
                filters["person"] = str(people.get(filters["person"], 0))
            values = view.values | {"filters": json.dumps(filters, ensure_ascii=False)}
            row = (*(values[name] for name in names), updated_at)
            if view.outcome == "new":
                new.append((*row, str(uuid.uuid4()), plan.user_id))
            else:
                changed.append((*row, view.row_id))
    columns = (*OWNED[SavedView], SavedView.updated_at)
    insert_rows(database, (*columns, SavedView.id, SavedView.user), new)
    update_rows(database, columns, [SavedView.id], changed)


def _apply_films(
    database: Database, user_id: str, films: list[FilmStep], updated_at: float
) -> None:
    names = owned_names(Movie)
    lists = CustomList.select(CustomList.id, CustomList.pk).where(CustomList.user == user_id)
    pks = dict(database.execute(lists))
    rows: dict[str, list[tuple]] = {"new": [], "changed": []}
    for film in films:
        values = (film.values[name] for name in names)
        row = (*values, pks.get(film.values["list_id"]), updated_at, updated_at)
        key = (film.imdb_id, user_id) if film.row_id is None else (film.row_id,)
        rows[film.outcome].append((*row, *key))
    new = [film.imdb_id for film in films if film.outcome == "new"]
    models.ensure_titles(database, new)
    columns = (*OWNED[Movie], Movie.custom_list, Movie.updated_at, Movie.imported_at)
    insert_rows(database, (*columns, Movie.title, Movie.user), rows["new"])
    update_rows(database, columns, [Movie.id], rows["changed"])
    _remove_tombstones(database, user_id, "movie", new)


def _apply_votes_and_watches(
    database: Database, user_id: str, films: list[FilmStep], updated_at: float
) -> None:
    ids = Movie.select(Movie.title, Movie.id).where(Movie.user == user_id)
    movies = dict(database.execute(ids))
    people = _person_ids(database, user_id)
    names = owned_names(Recommendation)
    rows: dict[str, list[tuple]] = {"new": [], "changed": [], "same": []}
    for film in films:
        movie_id = movies[film.imdb_id]
        for vote in film.votes:
            values = (getattr(vote, name) for name in names)
            rows[vote.outcome].append((*values, movie_id, people[vote.person_key]))
    columns, pair = OWNED[Recommendation], (Recommendation.movie, Recommendation.person)
    insert_rows(database, (*columns, *pair), rows["new"])
    update_rows(database, columns, pair, rows["changed"])
    # A person's JSON carries how many films they recommended.
    for part in chunks({row[-1] for row in rows["new"]}):
        Person.update(updated_at=updated_at).where(Person.id.in_(part)).execute(database)
    # A film has one watch for each date.
    names = owned_names(Watch)
    rows = {"new": [], "changed": [], "same": []}
    for film in films:
        movie_id = movies[film.imdb_id]
        for watch in film.watches:
            row = (*(watch.values[name] for name in names), movie_id)
            key = () if watch.outcome == "new" else (watch.values["date_watched"],)
            rows[watch.outcome].append((*row, *key))
    columns = OWNED[Watch]
    insert_rows(database, (*columns, Watch.movie), rows["new"])
    update_rows(database, columns, [Watch.movie, Watch.date_watched], rows["changed"])


def _person_ids(database: Database, user_id: str) -> dict[str, int]:
    """By folded name."""
    people = Person.select(Person.name_key, Person.id).where(Person.user == user_id)
    return dict(database.execute(people))


def _remove_tombstones(database: Database, user_id: str, kind: str, keys: Iterable[str]) -> None:
    """The sync feed must not report these as deleted any longer."""
    if not Tombstone.select().where(Tombstone.user == user_id).limit(1).execute(database):
        return
    for part in chunks(keys):
        gone = (Tombstone.user == user_id) & (Tombstone.kind == kind) & Tombstone.key.in_(part)
        Tombstone.delete().where(gone).execute(database)

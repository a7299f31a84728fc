"""Executing a plan in one transaction, or not at all."""

import json
import uuid
from collections.abc import Iterable

from peewee import Database

from mm import models
from mm.database import chunks, db, insert_rows, update_rows
from mm.errors import ConflictError
from mm.models import CustomList, Movie, Person, Recommendation, SavedView, Tombstone, User, Watch
from mm.services import ranking_order
from mm.services.portable.plans import FilmStep, Plan

PERSON_FIELDS = (
    Person.name,
    Person.name_key,
    Person.is_trusted,
    Person.color,
    Person.emoji,
    Person.last_modified,
)
LIST_FIELDS = (
    CustomList.name,
    CustomList.color,
    CustomList.icon,
    CustomList.position,
    CustomList.created_at,
    CustomList.last_modified,
)
VIEW_FIELDS = (SavedView.name, SavedView.filters, SavedView.position, SavedView.last_modified)
MOVIE_FIELDS = (
    Movie.media_type,
    Movie.status,
    Movie.custom_list,
    Movie.date_added,
    Movie.last_modified,
)


def apply(plan: Plan, database: Database | None = None) -> None:
    """Do exactly what `plan` says; one that changes nothing does not count as a write. Raises
    ConflictError, with nothing written, when the library is no longer the one it was made for."""
    if plan.is_empty():
        return
    database = database or db.obj
    with database.atomic():
        _claim_version(database, plan)
        updated_at = models.next_update(database)
        _apply_people(database, plan, updated_at)
        _apply_lists(database, plan, updated_at)
        _apply_views(database, plan)
        films = [film for film in plan.films if film.outcome in ("new", "changed")]
        _apply_films(database, plan.user_id, films, updated_at)
        _apply_votes(database, plan.user_id, films, updated_at)
        _apply_watches(database, plan.user_id, films)
        if any(step.outcome in ("new", "changed", "removed") for step in plan.rankings):
            ranking_order.replace(database, plan.user_id, plan.ranked)
        models.spread_updates(database, plan.user_id, updated_at)


def _claim_version(database: Database, plan: Plan) -> None:
    """Counts this write, and refuses when another came between."""
    unchanged = (User.id == plan.user_id) & (User.library_version == plan.library_version)
    if not User.update(library_version=User.library_version + 1).where(unchanged).execute(database):
        raise ConflictError(
            "The library has changed since this plan was made. Look at the new plan and confirm again."
        )


def _apply_people(database: Database, plan: Plan, updated_at: float) -> None:
    new = [step for step in plan.people if step.outcome == "new"]
    changed = [step for step in plan.people if step.outcome == "changed"]
    marks = (Person.updated_at, Person.imported_at)
    # Two people may swap names, and a new one may take a name that is being given up: clear the way
    # first, with keys that no name can have, because names are stripped.
    renamed = [step for step in changed if "name" in step.fields]
    update_rows(
        database, [Person.name_key], [Person.id], ((f" {step.mine}", step.mine) for step in renamed)
    )
    update_rows(
        database,
        (*PERSON_FIELDS, *marks),
        [Person.id],
        ((*_person_row(step), updated_at, updated_at, step.mine) for step in changed),
    )
    insert_rows(
        database,
        (*PERSON_FIELDS, *marks, Person.user),
        ((*_person_row(step), updated_at, updated_at, plan.user_id) for step in new),
    )
    _wake_films_of(database, [step.mine for step in renamed], updated_at)


def _person_row(step) -> tuple:
    values = step.values
    return (
        values["name"],
        step.key,
        values["is_trusted"],
        values["color"],
        values["emoji"],
        values["last_modified"],
    )


def _wake_films_of(database: Database, people: list, updated_at: float) -> None:
    """A film's JSON carries the names of those who recommended it."""
    for some in chunks(people):
        films = Recommendation.select(Recommendation.movie).where(Recommendation.person.in_(some))
        Movie.update(updated_at=updated_at).where(Movie.id.in_(films)).execute(database)


def _apply_lists(database: Database, plan: Plan, updated_at: float) -> None:
    rows = {
        step.id: tuple(step.values.get(field.name) for field in LIST_FIELDS) for step in plan.lists
    }
    changed = [step for step in plan.lists if step.outcome == "changed"]
    new = [step for step in plan.lists if step.outcome == "new"]
    marks = (CustomList.updated_at, CustomList.imported_at)
    update_rows(
        database,
        (*LIST_FIELDS, *marks),
        [CustomList.pk],
        ((*rows[step.id], updated_at, updated_at, step.mine) for step in changed),
    )
    insert_rows(
        database,
        (*LIST_FIELDS, *marks, CustomList.id, CustomList.user),
        ((*rows[step.id], updated_at, updated_at, step.id, plan.user_id) for step in new),
    )
    _drop_tombstones(database, plan.user_id, "list", (step.id for step in new))


def _apply_views(database: Database, plan: Plan) -> None:
    rows = {"new": [], "changed": [], "same": [], "kept": []}  # type: ignore[var-annotated]
    people = dict(
        database.execute(
            Person.select(Person.name_key, Person.id).where(Person.user == plan.user_id)
        )
    )
    for step in plan.views:
        values = step.values
        filters = dict(values["filters"])
        if "person" in filters:
            filters["person"] = str(people.get(filters["person"], 0))
        text = json.dumps(filters, ensure_ascii=False)
        row = (values["name"], text, values["position"], values["last_modified"])
        rows[step.outcome].append((*row, step.mine or str(uuid.uuid4())))
    inserted = ((*row, plan.user_id) for row in rows["new"])
    insert_rows(database, (*VIEW_FIELDS, SavedView.id, SavedView.user), inserted)
    update_rows(database, VIEW_FIELDS, [SavedView.id], rows["changed"])


def _apply_films(
    database: Database, user_id: str, films: list[FilmStep], updated_at: float
) -> None:
    lists = dict(
        database.execute(
            CustomList.select(CustomList.id, CustomList.pk).where(CustomList.user == user_id)
        )
    )
    new = [film for film in films if film.outcome == "new"]
    marks = (Movie.updated_at, Movie.imported_at)
    models.ensure_titles(database, (film.imdb_id for film in new))
    insert_rows(
        database,
        (*MOVIE_FIELDS, *marks, Movie.title, Movie.user),
        ((*_movie_row(film, lists), updated_at, updated_at, film.imdb_id, user_id) for film in new),
    )
    update_rows(
        database,
        (*MOVIE_FIELDS, *marks),
        [Movie.id],
        (
            (*_movie_row(film, lists), updated_at, updated_at, film.mine)
            for film in films
            if film.outcome == "changed"
        ),
    )
    _drop_tombstones(database, user_id, "movie", (film.imdb_id for film in new))


def _movie_row(film: FilmStep, lists: dict[str, int]) -> tuple:
    values = film.values
    list_pk = lists.get(values["list_id"])
    return (
        values["media_type"],
        values["status"],
        list_pk,
        values["date_added"],
        values["last_modified"],
    )


def _apply_votes(
    database: Database, user_id: str, films: list[FilmStep], updated_at: float
) -> None:
    movies = _movie_ids(database, user_id)
    people = dict(
        database.execute(Person.select(Person.name_key, Person.id).where(Person.user == user_id))
    )
    rows: dict[str, list[tuple]] = {"new": [], "changed": [], "same": []}
    for film in films:
        movie_id = movies[film.imdb_id]
        for vote in film.votes:
            rows[vote.outcome].append(
                (vote.date_recommended, vote.vote_type, movie_id, people[vote.person_key])
            )
    values, key = (
        (Recommendation.date_recommended, Recommendation.vote_type),
        (Recommendation.movie, Recommendation.person),
    )
    insert_rows(database, (*values, *key), rows["new"])
    update_rows(database, values, key, rows["changed"])
    # A person's JSON carries how many films they recommended.
    for some in chunks({row[-1] for row in rows["new"]}):
        Person.update(updated_at=updated_at).where(Person.id.in_(some)).execute(database)


def _apply_watches(database: Database, user_id: str, films: list[FilmStep]) -> None:
    movies = _movie_ids(database, user_id)
    rows: dict[str, list[tuple]] = {"new": [], "changed": [], "same": []}
    for film in films:
        movie_id = movies[film.imdb_id]
        for watch in film.watches:
            rows[watch.outcome].append((watch.my_rating, movie_id, watch.date_watched))
    insert_rows(database, (Watch.my_rating, Watch.movie, Watch.date_watched), rows["new"])
    update_rows(database, [Watch.my_rating], [Watch.movie, Watch.date_watched], rows["changed"])


def _movie_ids(database: Database, user_id: str) -> dict[str, int]:
    return dict(database.execute(Movie.select(Movie.title, Movie.id).where(Movie.user == user_id)))


def _drop_tombstones(database: Database, user_id: str, kind: str, keys: Iterable[str]) -> None:
    """What is here again is no longer deleted."""
    if not Tombstone.select().where(Tombstone.user == user_id).limit(1).execute(database):
        return
    for some in chunks(keys):
        gone = (Tombstone.user == user_id) & (Tombstone.kind == kind) & Tombstone.key.in_(some)
        Tombstone.delete().where(gone).execute(database)

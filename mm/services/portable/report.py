"""A plan, and what became of it, as people and programs see them."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from mm import models
from mm.database import chunks, fold
from mm.models import Movie, Watch
from mm.schemas import Change, Counts, ImportResult, Kind
from mm.schemas import PlanView as View
from mm.services import shown_titles
from mm.services.catalogue import store
from mm.services.portable.planner import count, kind_of
from mm.services.portable.plans import (
    LEFT_OUT,
    FilmStep,
    ListFilmStep,
    ListStep,
    PersonStep,
    Plan,
    RankingStep,
    ViewStep,
    VoteStep,
    list_film_key,
    vote_key,
    watch_key,
)
from mm.services.portable.values import DEFAULTS, differences

Step = PersonStep | ListStep | ViewStep | FilmStep | VoteStep | ListFilmStep | RankingStep
# The row that a path of the file is in.
ROW = re.compile(r"\w+\[(\d+)\]")


class Title(NamedTuple):
    text: str
    year: int | None


def view(plan: Plan) -> View:
    """`changes` has every row but those that stay the same."""
    return View(
        mode=plan.mode,
        conflicts=plan.conflicts,
        library_version=plan.library_version,
        counts=count(plan),
        changes=list(changes(plan)),
        errors=plan.errors,
        warnings=plan.warnings,
    )


def result(plan: Plan, safety_backup: str | None) -> ImportResult:
    """What `apply` did. `movies_imported` counts films that were written; those
    that were the same are not."""
    written = count(plan)
    imported = {
        kind: tally.get("new", 0) + tally.get("changed", 0) for kind, tally in written.items()
    }
    removed = {kind: tally.get("removed", 0) for kind, tally in written.items()}
    counts = Counts(movies=imported["movie"], people=imported["person"], lists=imported["list"])
    # Every film of the file whose title is not yet filled, in the file's order.
    filled: set[str] = set()
    table = models.Title
    titles = table.select(table.imdb_id).where(table.tmdb_state == "ready")
    # A replace has steps for the library's other films too.
    films = [
        film.imdb_id
        for film in plan.films
        if film.outcome != "removed" and (plan.mode == "merge" or film.outcome != "kept")
    ]
    for part in chunks(films):
        ready = titles.where(table.imdb_id.in_(part))
        filled.update(imdb_id for (imdb_id,) in ready.tuples())
    unfilled = [imdb_id for imdb_id in films if imdb_id not in filled]
    return ImportResult(
        success=True,
        movies_imported=counts.movies,
        people_imported=counts.people,
        lists_imported=counts.lists,
        imported_counts=counts,
        imdb_ids_needing_enrichment=unfilled,
        errors=[f"{problem.path}: {problem.reason}" for problem in plan.errors],
        problems=plan.errors,
        warnings=plan.warnings,
        safety_backup=safety_backup,
        removed_counts=Counts(removed["movie"], removed["person"], removed["list"]),
    )


def changes(plan: Plan) -> Iterator[Change]:
    """A row for each step that changes something or is kept, one by one: there may
    be millions."""
    titles = _titles(plan)

    def shown(imdb_id: str) -> Title:
        return titles.get(imdb_id) or Title(imdb_id, None)

    for person in plan.people:
        yield from _change("person", person.values.name, person.file_key or person.key, person)
    for row in plan.lists:
        yield from _change("list", row.values.name, row.id, row)
    for view in plan.views:
        yield from _change("view", view.values.name, fold(view.values.name), view)
    for film in plan.films:
        yield from _of_film(film, shown(film.imdb_id))
    for place in plan.list_films:
        title = shown(place.imdb_id)
        label = f"{title.text} · {place.list_name}"
        key = list_film_key(place.list_id, place.imdb_id)
        yield from _change("list_film", label, key, place, title.year)
    for ranking in plan.rankings:
        title = shown(ranking.imdb_id)
        yield from _change("ranking", title.text, ranking.imdb_id, ranking, title.year)
    for kind, key, label in plan.not_taken:
        yield Change(kind, "kept", label, {}, LEFT_OUT, key=key)
    yield from _rejected(plan)


def _of_film(film: FilmStep, title: Title) -> Iterator[Change]:
    key, label = film.imdb_id, title.text
    yield from _change("movie", label, key, film, title.year)
    for vote in film.votes:
        if vote.outcome != "same":
            who = f"{vote.person_name} · {label}"
            yield from _change("vote", who, vote_key(key, vote.person_key), vote, title.year)
    for watch in film.watches:
        if watch.outcome == "same":
            continue
        # A new watch tells all that it holds, and one that goes all that is lost.
        fields = watch.fields
        if watch.outcome == "new":
            fields = differences(DEFAULTS[Watch], watch.values)
        elif watch.outcome == "removed":
            fields = differences(watch.values, DEFAULTS[Watch])
        yield Change(
            "watch",
            watch.outcome,
            label,
            dict(fields),
            watch.reason,
            key=watch_key(key, watch.values.date_watched),
            year=title.year,
        )


def _rejected(plan: Plan) -> Iterator[Change]:
    places: Counter[str] = Counter()
    for problem in plan.errors:
        path, reason = problem.path, problem.reason
        # One row may have several problems.
        places[path] += 1
        key = path if places[path] == 1 else f"{path} #{places[path]}"
        match = ROW.match(path)
        label = plan.labels.get(match[0]) if match else None
        number = int(match[1]) + 1 if match else None
        yield Change(kind_of(path), "rejected", label or path, {}, reason, path, key, row=number)


def _change(
    kind: Kind, label: str, key: str, step: Step, year: int | None = None
) -> Iterator[Change]:
    if step.outcome != "same":
        fields = dict(step.fields)
        yield Change(kind, step.outcome, label, fields, step.reason, key=key, year=year)


def _titles(plan: Plan) -> dict[str, Title]:
    """By imdb_id, of the films of the plan and of the library: as the server knows them, new ones
    also from the catalogue, else as the user or the file does."""
    hints = ((film.imdb_id, film.hint) for film in plan.films if film.hint)
    titles = {imdb_id: Title(hint.title, hint.year) for imdb_id, hint in hints if hint.title}
    mine = Movie.select(Movie.title, shown_titles.TITLE, shown_titles.YEAR).join(models.Title)
    rows = mine.where(Movie.user == plan.user_id)
    new = [film.imdb_id for film in plan.films if film.outcome == "new"]
    named = store.films_by_id(new).values()
    titles |= {film.imdb_id: Title(film.title, film.year) for film in named}
    titles |= {imdb_id: Title(title, year) for imdb_id, title, year in rows.tuples() if title}
    # Other users of this server may have the new ones.
    shared = models.Title.select(models.Title.imdb_id, models.Title.title, models.Title.year)
    shared = shared.where(models.Title.title.is_null(False))
    for part in chunks(new):
        rows = shared.where(models.Title.imdb_id.in_(part))
        titles |= {imdb_id: Title(title, year) for imdb_id, title, year in rows.tuples()}
    return titles

"""A plan, and what became of it, as people and programs see them."""

from collections.abc import Iterator

from mm.database import chunks
from mm.models import Movie, Title, Watch
from mm.schemas import Change, Counts, ImportResult
from mm.schemas import PlanView as View
from mm.services import shown_titles
from mm.services.portable.planner import count, kind_of
from mm.services.portable.plans import (
    FilmStep,
    ListFilmStep,
    ListStep,
    PersonStep,
    Plan,
    RankingStep,
    ViewStep,
)
from mm.services.portable.values import DEFAULTS, differences

Step = PersonStep | ListStep | ViewStep | FilmStep | ListFilmStep | RankingStep


def view(plan: Plan) -> View:
    """`changes` has every row but those that stay the same."""
    return View(
        mode="merge",
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
    counts = Counts(movies=imported["movie"], people=imported["person"], lists=imported["list"])
    # Every film of the file whose title is not yet filled, in the file's order.
    filled: set[str] = set()
    titles = Title.select(Title.imdb_id).where(Title.tmdb_state == "ready")
    for part in chunks(film.imdb_id for film in plan.films):
        ready = titles.where(Title.imdb_id.in_(part))
        filled.update(imdb_id for (imdb_id,) in ready.tuples())
    unfilled = [film.imdb_id for film in plan.films if film.imdb_id not in filled]
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
    )


def changes(plan: Plan) -> Iterator[Change]:
    """A row for each step that changes something or is kept, one by one: there may
    be millions."""
    titles = _titles(plan)
    for person in plan.people:
        yield from _change("person", person.values.name, person.values.name, person)
    for row in plan.lists:
        yield from _change("list", row.values.name, row.id, row)
    for view in plan.views:
        yield from _change("view", view.values.name, view.values.name, view)
    for film in plan.films:
        key = film.imdb_id
        label = titles.get(key) or key
        yield from _change("movie", label, key, film)
        for vote in film.votes:
            if vote.outcome != "same":
                who = f"{vote.person_name} · {label}"
                yield Change("vote", vote.outcome, who, dict(vote.fields), key=key)
        for watch in film.watches:
            if watch.outcome != "same":
                # A new watch tells all that it holds.
                fields = watch.fields or differences(DEFAULTS[Watch], watch.values)
                yield Change("watch", watch.outcome, label, dict(fields), key=key)
    for place in plan.list_films:
        label = f"{titles.get(place.imdb_id) or place.imdb_id} · {place.list_name}"
        yield from _change("list_film", label, place.imdb_id, place)
    for ranking in plan.rankings:
        label = titles.get(ranking.imdb_id) or ranking.imdb_id
        yield from _change("ranking", label, ranking.imdb_id, ranking)
    for problem in plan.errors:
        path, reason = problem.path, problem.reason
        yield Change(kind_of(path), "rejected", path, {}, reason, path, path)  # type: ignore[arg-type]


def _change(kind, label: str, key: str, step: Step) -> Iterator[Change]:
    if step.outcome != "same":
        yield Change(kind, step.outcome, label, dict(step.fields), step.reason, key=key)


def _titles(plan: Plan) -> dict[str, str]:
    """By imdb_id, of the films of the plan and of the library: as the server knows them, else
    as the user or the file does."""
    hints = ((film.imdb_id, film.hint.title) for film in plan.films if film.hint)
    titles = {imdb_id: title for imdb_id, title in hints if title}
    mine = Movie.select(Movie.title, shown_titles.TITLE).join(Title)
    rows = mine.where(Movie.user == plan.user_id)
    titles |= {imdb_id: title for imdb_id, title in rows.tuples() if title}
    # Other users of this server may have the new ones.
    known = Title.select(Title.imdb_id, Title.title).where(Title.title.is_null(False))
    for part in chunks(film.imdb_id for film in plan.films if film.outcome == "new"):
        titles |= dict(known.where(Title.imdb_id.in_(part)).tuples())
    return titles

"""What becomes of the films of a file, and of their votes and watches, in a merge; the new ones in
a replace too."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import UNSET, structs

from mm.models import Movie, Recommendation
from mm.schemas import Kind, Outcome, Problem
from mm.services import validation
from mm.services.portable.plans import (
    LEFT_OUT,
    NO_HINT,
    SKIPPED,
    WRITTEN,
    FilmStep,
    Hint,
    Library,
    LibraryFilm,
    NotTaken,
    Plan,
    VoteStep,
    WatchStep,
    refusal,
    vote_key,
    watch_key,
)
from mm.services.portable.reader import FileFilm, FileVote
from mm.services.portable.values import (
    DEFAULTS,
    NOTHING,
    differences,
    is_given,
    merged,
    of_new_row,
)
from mm.services.portable.watches import plan_watches

People = dict[str, str | None]
Step = TypeVar("Step", VoteStep, WatchStep)


def leave_out(plan: Plan, existing: LibraryFilm | None, film: FileFilm) -> None:
    """A film that was left out by hand."""
    if existing is None:
        plan.leave_out_new("movie", film.imdb_id, film.title or film.imdb_id)
        return
    plan.films.append(
        FilmStep(
            "kept",
            film.imdb_id,
            existing.id,
            existing.values,
            existing.list_id,
            NOTHING,
            reason=LEFT_OUT,
        )
    )


def without_list(film: FileFilm) -> FileFilm:
    """For a film whose list was left out by hand."""
    return structs.replace(film, list_id=None, values=structs.replace(film.values, status=UNSET))


def reject_for_its_list(plan: Plan, film: FileFilm) -> None:
    reason = f"list {(film.list_id or '')[:80]!r} doesn’t exist"
    plan.errors.append(Problem(f"{film.path}.custom_list_id", reason))
    plan.labels[film.path] = film.title or film.imdb_id


def join_votes(plan: Plan, film: FileFilm, person_of: People) -> FileFilm:
    """Two names of the file may be one person of the library, who votes once. The
    film of the file stays as it is: another plan may be made of it."""
    first: dict[str, str] = {}
    for vote in film.votes or ():
        key = person_of[vote.key]
        if key is None:
            key = vote_key(film.imdb_id, vote.key)
            plan.not_taken.append(NotTaken("vote", key, vote.person_name))
            continue
        name = first.setdefault(key, vote.person_name)
        if name != vote.person_name:
            reason = f"{vote.person_name!r} and {name!r} are the same person in your library"
            plan.errors.append(Problem(f"{film.path}.recommendations", reason))
            plan.labels[film.path] = film.title or film.imdb_id
    if len(first) == len(film.votes or ()):
        return film
    votes = (
        vote
        for vote in film.votes or ()
        if first.get(person_of[vote.key] or "") == vote.person_name
    )
    return structs.replace(film, votes=tuple(votes))


def merged_film(
    plan: Plan, library: Library, film: FileFilm, person_of: People, list_of: dict[str, str]
) -> FilmStep:
    list_id = list_of[film.list_id] if film.list_id is not None else None
    existing = library.films.get(film.imdb_id)
    if existing is None:
        return new_film(plan, film, list_id, person_of)
    mine, imdb_id, row_id = existing.values, film.imdb_id, existing.id
    votes = votes_taken(plan, imdb_id, _vote_steps(plan, library, row_id, film, person_of))
    if reason := refusal(plan.conflicts, mine, film.values):
        # *newest* still adds the votes of people who have none.
        added = () if reason == SKIPPED else tuple(vote for vote in votes if vote.outcome == "new")
        outcome: Outcome = "changed" if added else "kept"
        return FilmStep(
            outcome,
            imdb_id,
            row_id,
            mine,
            existing.list_id,
            NOTHING,
            added,
            reason=reason,
            hint=hint_of(existing, film, is_taken=False),
        )
    final = merged(mine, film.values)
    if not is_given(film.values.status):
        list_id = existing.list_id
    fields = differences(mine, final)
    if list_id != existing.list_id:
        fields = {**fields, "list_id": [existing.list_id, list_id]}
    steps = tuple(votes)
    watches = watches_taken(
        plan, imdb_id, plan_watches(library.watches.get(row_id, ()), film.watches or ())
    )
    below = {vote.outcome for vote in steps} | {watch.outcome for watch in watches}
    outcome = "changed" if fields or below - {"same", "kept"} else "same"
    hint = hint_of(existing, film, is_taken=True)
    return FilmStep(outcome, imdb_id, row_id, final, list_id, fields, steps, watches, hint=hint)


def new_film(plan: Plan, film: FileFilm, list_id: str | None, person_of: People) -> FilmStep:
    votes = film.votes or ()
    dates = (vote.values.date_recommended for vote in votes)
    first_vote = min(filter(is_given, dates), default=film.values.last_modified)
    status = "watched" if film.watches else "toWatch"
    values = of_new_row(Movie, film.values, status=status, date_added=first_vote)
    return FilmStep(
        "new",
        film.imdb_id,
        None,
        values,
        list_id,
        NOTHING,
        tuple(votes_taken(plan, film.imdb_id, (new_vote(vote, film, person_of) for vote in votes))),
        watches_taken(plan, film.imdb_id, plan_watches((), film.watches or ())),
        hint=_taken(NO_HINT, Hint(film.title or None, film.year or None)),
    )


def hint_of(existing: LibraryFilm, film: FileFilm, is_taken: bool) -> Hint | None:
    """What the film takes, for each of the two only where the server does not know it, and where
    the film has none or `is_taken`: the rule takes the file's values."""
    title, year = existing.hint
    if film.title and not existing.has_title and (is_taken or title is None):
        title = film.title
    if film.year and not existing.has_year and (is_taken or year is None):
        year = film.year
    return _taken(existing.hint, Hint(title, year))


def _taken(mine: Hint, hint: Hint) -> Hint | None:
    return hint if hint != mine else None


def new_vote(vote: FileVote, film: FileFilm, person_of: People) -> VoteStep:
    values = vote.values
    if not is_given(values.date_recommended):
        date = film.values.date_added
        date = date if is_given(date) else film.values.last_modified
        values = structs.replace(values, date_recommended=date)
    if not is_given(values.vote_type):
        values = structs.replace(values, vote_type=DEFAULTS[Recommendation].vote_type)
    return VoteStep("new", person_of[vote.key] or "", vote.person_name, values, NOTHING)


def _vote_steps(
    plan: Plan,
    library: Library,
    movie_id: int,
    film: FileFilm,
    person_of: People,
) -> Iterator[VoteStep]:
    """Votes are united; the same person's takes the file's. New ones are rejected
    once the film has as many as a file may hold: it could not be restored."""
    existing = {
        library.people[person_id].final_key: values
        for person_id, values in library.votes.get(movie_id, ())
    }
    most, room = validation.VOTES_MAX, validation.VOTES_MAX - len(existing)
    for vote in film.votes or ():
        key = person_of[vote.key] or ""
        mine = existing.get(key)
        if mine is not None:
            final = merged(mine, vote.values)
            fields = differences(mine, final)
            outcome: Outcome = "changed" if fields else "same"
            yield VoteStep(outcome, key, vote.person_name, final, fields)
        elif room > 0:
            room -= 1
            yield new_vote(vote, film, person_of)
        else:
            reason = f"{vote.person_name!r}: a film can have {most:,} recommendations"
            plan.errors.append(Problem(f"{film.path}.recommendations", reason))
            plan.labels[film.path] = film.title or film.imdb_id


def votes_taken(plan: Plan, imdb_id: str, steps: Iterable[VoteStep]) -> Iterable[VoteStep]:
    """Without the votes of one film that were left out by hand."""
    if not plan.left_out:
        return steps
    return (
        kept
        for step in steps
        if (kept := _unless_left_out(plan, "vote", vote_key(imdb_id, step.person_key), step))
    )


def watches_taken(plan: Plan, imdb_id: str, steps: Sequence[WatchStep]) -> tuple[WatchStep, ...]:
    if not plan.left_out:
        return tuple(steps)
    kept = (
        _unless_left_out(plan, "watch", watch_key(imdb_id, step.values.date_watched), step)
        for step in steps
    )
    return tuple(step for step in kept if step)


def _unless_left_out(plan: Plan, kind: Kind, key: str, step: Step) -> Step | None:
    if step.outcome not in WRITTEN or not plan.is_left_out(kind, key):
        return step
    if step.outcome == "new":
        name = step.person_name if isinstance(step, VoteStep) else ""
        plan.leave_out_new(kind, key, name or key)
        return None
    before = {name: old for name, (old, _) in step.fields.items()}
    values = structs.replace(step.values, **before)
    return structs.replace(step, outcome="kept", values=values, fields=NOTHING, reason=LEFT_OUT)

"""Replace: the library becomes what the file says, deletions included.

Null and [] clear. What the file does not say stays: the rows of a section that it lacks, and the
columns that a row does not name. A row that cannot be read removes nothing: what it names stays as
it is. What stays keeps what it names: a film its voters and the list of its status, a view the
people and lists of its filters.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, structs

from mm.errors import UnusableFileError
from mm.models import Watch
from mm.schemas import ListedFilm, Outcome, Problem
from mm.services import ranking_order
from mm.services.portable import films as film_steps
from mm.services.portable import filters
from mm.services.portable.list_films import claims_of
from mm.services.portable.matching import (
    join_people,
    plan_lists,
    plan_people,
    plan_views,
    taken,
)
from mm.services.portable.plans import (
    LEFT_OUT,
    NEEDED,
    NOT_SAID,
    UNREADABLE,
    WRITTEN,
    FilmStep,
    Hint,
    Library,
    LibraryFilm,
    ListFilmStep,
    ListStep,
    NotTaken,
    PersonStep,
    Plan,
    RankingStep,
    ViewStep,
    VoteStep,
    WatchStep,
    list_film_key,
)
from mm.services.portable.rankings import LEFT, is_taken
from mm.services.portable.reader import FileFilm, FileList, Incoming, Unread
from mm.services.portable.values import (
    NOTHING,
    differences,
    is_given,
    of_new_row,
    replaced,
)
from mm.services.ranking_order import Ranked


class _Kept(Struct):
    """What stays as it is, and why: films and rankings by imdb_id, people by id, lists by id, views
    by folded name. Votes by their film and films by their list: those of these keys, or with None
    all of them."""

    films: dict[str, str] = {}
    unread_people: set[int] = set()
    people: dict[int, str] = {}
    lists: dict[str, str] = {}
    views: dict[str, str] = {}
    rankings: dict[str, str] = {}
    votes: dict[str, set[str] | None] = {}
    votes_left_out: dict[str, set[str] | None] = {}
    list_films: dict[str, set[str] | None] = {}


def plan_replace(plan: Plan, library: Library, incoming: Incoming) -> None:
    """Adds all steps. Raises UnusableFileError where a row that cannot be read names nothing and
    was not left out by hand: it may stand for anything."""
    _refuse_unnamed(plan, incoming.unread)
    kept = _kept(plan, library, incoming)
    films = _usable_films(plan, library, incoming, kept)
    staying = _without_what_goes(plan, library, incoming, films, kept)
    list_of = plan_lists(plan, staying, incoming)
    names = _names_of_unread_people(staying, incoming.unread)
    person_of = plan_people(plan, staying, incoming, films, names, kept.unread_people)
    films = [film_steps.join_votes(plan, film, person_of) for film in films]
    plan_views(plan, staying, incoming, person_of, list_of)
    _add_other_people(plan, staying, kept)
    _add_other_lists(plan, staying, kept)
    _add_other_views(plan, staying, incoming, kept)
    voters = _voters(staying)
    for film in films:
        plan.films.append(_film(plan, staying, incoming, film, person_of, list_of, voters, kept))
    planned = {film.imdb_id for film in films}
    for imdb_id, row in staying.films.items():
        if imdb_id not in planned:
            plan.films.append(_other_film(plan, staying, incoming, imdb_id, row, voters, kept))
    _plan_list_films(plan, staying, incoming, films, list_of, kept)
    _plan_rankings(plan, staying, incoming, kept)


def _refuse_unnamed(plan: Plan, unread: Iterable[Unread]) -> None:
    unnamed = [
        row
        for row in unread
        if not row.names_something() and f"row:{row.path}" not in plan.left_out
    ]
    if not unnamed:
        return
    first = f"{unnamed[0].path}: {unnamed[0].reason}"
    count = len(unnamed)
    what = "1 row of this file can’t" if count == 1 else f"{count:,} rows of this file can’t"
    which = "it stands" if count == 1 else "they stand"
    them = "it" if count == 1 else "them"
    raise UnusableFileError(
        f"{what} be read, and nothing says what {which} for. First: {first}. Going back to this "
        f"file could delete what {which} for: correct {them}, or leave {them} out.",
        [Problem(row.path, row.reason) for row in unnamed],
    )


# What stays.


def _kept(plan: Plan, library: Library, incoming: Incoming) -> _Kept:
    kept = _Kept()
    people = library.people.values()
    for row in incoming.unread:
        if row.kind == "movie":
            kept.films |= dict.fromkeys(row.keys, UNREADABLE)
        elif row.kind == "person":
            kept.unread_people |= {
                person.id
                for person in people
                if person.key in row.keys or (row.quick_key and person.quick_key == row.quick_key)
            }
        elif row.kind == "list":
            kept.lists |= dict.fromkeys(row.keys, UNREADABLE)
        elif row.kind == "view":
            kept.views |= dict.fromkeys(row.keys, UNREADABLE)
        elif row.kind == "ranking":
            kept.rankings |= dict.fromkeys(row.keys, UNREADABLE)
        else:
            below = kept.votes if row.kind == "vote" else kept.list_films
            _keep_below(below, row.below or "", row.keys)
    kept.people = dict.fromkeys(kept.unread_people, UNREADABLE)
    names = {row.key for row in incoming.people}
    own_keys = {
        _own_key(person.id) if person.key in names else person.key: person.id for person in people
    }
    # A row of the file that is left out keeps the person it is.
    of_rows = join_people(library, incoming.people, kept.unread_people)
    own_keys |= {row.key: of_rows[row.path] for row in incoming.people if row.path in of_rows}
    for text in plan.left_out:
        kind, _, key = text.partition(":")
        if kind == "movie" and key in library.films:
            kept.films[key] = LEFT_OUT
        elif kind == "person" and key in own_keys:
            kept.people[own_keys[key]] = LEFT_OUT
        elif kind == "list":
            kept.lists[key] = LEFT_OUT
        elif kind == "view":
            kept.views[key] = LEFT_OUT
        elif kind == "ranking":
            kept.rankings[key] = LEFT_OUT
        elif kind == "vote":
            imdb_id, _, voter = key.partition("/")
            _keep_below(kept.votes_left_out, imdb_id, (voter,))
        elif kind == "list_film":
            # A list's id has no slash.
            list_id, _, imdb_id = key.partition("/")
            _keep_below(kept.list_films, list_id, (imdb_id,))
    if "people" not in incoming.sections:
        kept.people = dict.fromkeys(library.people, NOT_SAID) | kept.people
    if "lists" not in incoming.sections:
        ids = (row.id for row in library.lists.values())
        kept.lists = dict.fromkeys(ids, NOT_SAID) | kept.lists
    if "views" not in incoming.sections:
        kept.views = dict.fromkeys(library.views, NOT_SAID) | kept.views
    return kept


def _keep_below(kept: dict[str, set[str] | None], parent: str, keys: tuple[str, ...]) -> None:
    there = kept.setdefault(parent, set())
    if not keys:
        kept[parent] = None
    elif there is not None:
        there.update(keys)


def _own_key(person_id: int) -> str:
    """Of a person whose name is somebody else's in the file: no name begins with a space."""
    return f" {person_id}"


def _usable_films(plan: Plan, library: Library, incoming: Incoming, kept: _Kept) -> list[FileFilm]:
    """Without those of films that stay as they are."""
    lists = {row.id for row in library.lists.values()}
    lists |= {row.id for row in incoming.lists if not plan.is_left_out("list", row.id)}
    usable = []
    for film in incoming.films:
        if film.imdb_id in kept.films and film.imdb_id in library.films:
            continue
        if plan.is_left_out("movie", film.imdb_id):
            film_steps.leave_out(plan, None, film)
        elif film.list_id is None or film.list_id in lists:
            usable.append(film)
        elif plan.is_left_out("list", film.list_id):
            usable.append(film_steps.without_list(film))
        else:
            film_steps.reject_for_its_list(plan, film)
            if film.imdb_id in library.films:
                kept.films[film.imdb_id] = UNREADABLE
    return usable


def _without_what_goes(
    plan: Plan, library: Library, incoming: Incoming, films: list[FileFilm], kept: _Kept
) -> Library:
    """The library without the people and lists that go: their names are free."""
    joined = set(join_people(library, incoming.people, kept.unread_people).values())
    of_rows = {row.key for row in incoming.people}
    # People that only votes name.
    named = {vote.key for film in films for vote in film.votes or ()} - of_rows
    listed = {row.id for row in incoming.lists} - kept.lists.keys()
    listed |= {film.list_id for film in films if film.list_id is not None}
    people, lists = _needed(library, incoming, films, kept)
    gone_people, gone_lists = {}, {}
    for person in library.people.values():
        if person.id in joined or person.id in kept.people:
            continue
        if person.quick_key:
            kept.people[person.id] = NOT_SAID
        elif person.id in people:
            kept.people[person.id] = NEEDED
        elif person.key not in named:
            gone_people[person.id] = person
            person.final_key = _own_key(person.id) if person.key in of_rows else person.key
    for row in library.lists.values():
        if row.id in listed or row.id in kept.lists:
            continue
        if row.id in lists:
            kept.lists[row.id] = NEEDED
        else:
            gone_lists[row.pk] = row
    return structs.replace(
        library,
        people={key: row for key, row in library.people.items() if key not in gone_people},
        lists={key: row for key, row in library.lists.items() if key not in gone_lists},
        gone_people=gone_people,
        gone_lists=gone_lists,
    )


def _needed(
    library: Library, incoming: Incoming, films: list[FileFilm], kept: _Kept
) -> tuple[set[int], set[str]]:
    """The people and lists that are named by what stays."""
    people: set[int] = set()
    lists: set[str] = set()
    from_file = {film.imdb_id: film for film in films}
    for imdb_id, row in library.films.items():
        film = from_file.get(imdb_id)
        if film is None and imdb_id not in kept.films and "movies" in incoming.sections:
            continue
        votes = library.votes.get(row.id, ())
        if film is None or film.votes is None or kept.votes.get(imdb_id, ()) is None:
            people.update(person_id for person_id, _ in votes)
        elif keys := (kept.votes.get(imdb_id) or set()) | (
            kept.votes_left_out.get(imdb_id) or set()
        ):
            people.update(
                person_id
                for person_id, _ in votes
                if library.people[person_id].key in keys or _own_key(person_id) in keys
            )
        if row.list_id is not None and (film is None or not is_given(film.values.status)):
            lists.add(row.list_id)
    # A view in the file without filters keeps its own.
    silent = {view.key for view in incoming.views if not is_given(view.values.filters)}
    by_text = {str(person_id): person_id for person_id in library.people}
    for key, view in library.views.items():
        if key in kept.views or key in silent:
            texts = _texts(view.values.filters, filters.OF_PEOPLE)
            people.update(by_text[text] for text in texts if text in by_text)
            lists.update(_texts(view.values.filters, filters.OF_LISTS))
    mine = {row.id: key for key, row in library.lists.items()}
    lists.update(
        list_id
        for list_id, keys in kept.list_films.items()
        if list_id in mine
        and keys
        and any(film.imdb_id in keys for film in library.list_films.get(list_id, ()))
    )
    return people, lists


def _texts(found: dict, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from filters.texts(found.get(name, []))


# People, lists and views that are not in the file.


def _names_of_unread_people(library: Library, unread: Iterable[Unread]) -> dict[str, str]:
    """The quick recommenders by the names that the file has for them, of rows that cannot be
    read."""
    quick = {row.quick_key: row.key for row in library.people.values() if row.quick_key}
    return {
        key: quick[row.quick_key]
        for row in unread
        if row.kind == "person" and row.quick_key in quick
        for key in row.keys
    }


def _add_other_people(plan: Plan, library: Library, kept: _Kept) -> None:
    there = {step.row_id for step in plan.people}
    of_rows = {step.file_key for step in plan.people}
    for person in library.people.values():
        if person.id not in there:
            reason = kept.people.get(person.id)
            outcome: Outcome = "kept" if reason else "same"
            step = PersonStep(outcome, person.key, person.id, person.values, NOTHING, reason)
            if person.key in of_rows:
                step.file_key = _own_key(person.id)
            plan.people.append(step)
    for person in library.gone_people.values():
        plan.people.append(
            PersonStep("removed", person.final_key, person.id, person.values, NOTHING)
        )


def _add_other_lists(plan: Plan, library: Library, kept: _Kept) -> None:
    there = {step.row_id for step in plan.lists}
    for row in library.lists.values():
        if row.pk not in there:
            reason = kept.lists.get(row.id, NEEDED)
            plan.lists.append(ListStep("kept", row.id, row.pk, row.values, NOTHING, reason))
    for row in library.gone_lists.values():
        plan.lists.append(ListStep("removed", row.id, row.pk, row.values, NOTHING))


def _add_other_views(plan: Plan, library: Library, incoming: Incoming, kept: _Kept) -> None:
    there = {row.key for row in incoming.views}
    for key, view in library.views.items():
        if key in there:
            continue
        reason = kept.views.get(key)
        outcome: Outcome = "kept" if reason else "removed"
        plan.views.append(ViewStep(outcome, view.id, view.values, NOTHING, reason))


# Films.


def _voters(library: Library) -> dict[int, tuple[str, str]]:
    """The key and the name of each person, by id."""
    everybody = library.people | library.gone_people
    return {key: (row.final_key, row.values.name) for key, row in everybody.items()}


def _film(
    plan: Plan,
    library: Library,
    incoming: Incoming,
    film: FileFilm,
    person_of: film_steps.People,
    list_of: dict[str, str],
    voters: dict[int, tuple[str, str]],
    kept: _Kept,
) -> FilmStep:
    list_id = list_of[film.list_id] if film.list_id is not None else None
    existing = library.films.get(film.imdb_id)
    if existing is None:
        return film_steps.new_film(plan, film, list_id, person_of)
    mine = existing.values
    final = taken(plan, incoming, mine, film)
    if not is_given(film.values.status):
        list_id = existing.list_id
    fields = differences(mine, final)
    if list_id != existing.list_id:
        fields = {**fields, "list_id": [existing.list_id, list_id]}
    own_votes = library.votes.get(existing.id, ())
    if film.votes is None:
        votes = tuple(_votes_as_they_are(own_votes, voters, "kept", NOT_SAID))
    else:
        steps = _votes(film, own_votes, person_of, voters, kept.votes.get(film.imdb_id, set()))
        votes = tuple(film_steps.votes_taken(plan, film.imdb_id, steps))
    own_watches = library.watches.get(existing.id, ())
    if film.watches is None:
        watches = tuple(_watches_as_they_are(own_watches, "kept", NOT_SAID))
    else:
        moments = tuple(_watches(own_watches, film.watches))
        watches = film_steps.watches_taken(plan, film.imdb_id, moments)
    is_changed = any(step.outcome in WRITTEN for steps in (votes, watches) for step in steps)
    return FilmStep(
        "changed" if fields or is_changed else "same",
        film.imdb_id,
        existing.id,
        final,
        list_id,
        fields,
        votes,
        watches,
        hint=_hint(existing, film),
    )


def _other_film(
    plan: Plan,
    library: Library,
    incoming: Incoming,
    imdb_id: str,
    row: LibraryFilm,
    voters: dict[int, tuple[str, str]],
    kept: _Kept,
) -> FilmStep:
    """A film that is not in the file, or stays as it is."""
    reason = kept.films.get(imdb_id)
    if reason is None and "movies" not in incoming.sections:
        reason = NOT_SAID
    outcome: Outcome = "kept" if reason else "removed"
    votes = _votes_as_they_are(library.votes.get(row.id, ()), voters, outcome, reason)
    watches = _watches_as_they_are(library.watches.get(row.id, ()), outcome, reason)
    return FilmStep(
        outcome,
        imdb_id,
        row.id,
        row.values,
        row.list_id,
        NOTHING,
        tuple(votes),
        tuple(watches),
        reason,
    )


def _hint(existing: LibraryFilm, film: FileFilm) -> Hint | None:
    """The film's hint as the file has it, each of the two only where the server does not know it;
    None where nothing changes."""
    title, year = existing.hint
    if film.title is None or isinstance(film.title, str):
        title = title if existing.has_title else film.title
    if film.year is None or isinstance(film.year, int):
        year = year if existing.has_year else film.year
    hint = Hint(title, year)
    return hint if hint != existing.hint else None


def _votes_as_they_are(
    votes: Iterable[tuple[int, Any]],
    voters: dict[int, tuple[str, str]],
    outcome: Outcome,
    reason: str | None,
) -> Iterator[VoteStep]:
    for person_id, values in votes:
        key, name = voters[person_id]
        yield VoteStep(outcome, key, name, values, NOTHING, reason)


def _watches_as_they_are(
    watches: Iterable[Any], outcome: Outcome, reason: str | None
) -> Iterator[WatchStep]:
    for values in watches:
        yield WatchStep(outcome, values, NOTHING, reason)


def _votes(
    film: FileFilm,
    own: Iterable[tuple[int, Any]],
    person_of: film_steps.People,
    voters: dict[int, tuple[str, str]],
    kept: set[str] | None,
) -> Iterator[VoteStep]:
    """`kept` are the keys of those whose vote stays, None for all."""
    mine = {voters[person_id]: values for person_id, values in own}
    by_key = {key: values for (key, _), values in mine.items()}
    wanted = set()
    for vote in film.votes or ():
        key = person_of[vote.key] or ""
        wanted.add(key)
        if key not in by_key:
            yield film_steps.new_vote(vote, film, person_of)
            continue
        final = replaced(by_key[key], vote.values)
        fields = differences(by_key[key], final)
        outcome: Outcome = "changed" if fields else "same"
        yield VoteStep(outcome, key, vote.person_name, final, fields)
    stay = None if kept is None else {*kept, *(person_of.get(key) for key in kept)}
    for (key, name), values in mine.items():
        if key in wanted:
            continue
        stays = stay is None or key in stay
        if stays:
            yield VoteStep("kept", key, name, values, NOTHING, UNREADABLE)
        else:
            yield VoteStep("removed", key, name, values, NOTHING)


def _watches(own: Iterable[Any], watches: Iterable[Any]) -> Iterator[WatchStep]:
    """Watches are the same where their dates are."""
    mine = {watch.date_watched: watch for watch in own}
    for watch in watches:
        existing = mine.pop(watch.date_watched, None)
        if existing is None:
            yield WatchStep("new", of_new_row(Watch, watch), NOTHING)
            continue
        final = replaced(existing, watch)
        fields = differences(existing, final)
        yield WatchStep("changed" if fields else "same", final, fields)
    yield from _watches_as_they_are(mine.values(), "removed", None)


# Lists.


def _plan_list_films(
    plan: Plan,
    library: Library,
    incoming: Incoming,
    films: list[FileFilm],
    list_of: dict[str, str],
    kept: _Kept,
) -> None:
    steps = {film.imdb_id: film for film in plan.films if film.outcome != "removed"}
    given = {row.id: row for row in incoming.lists}
    has_status_with = {imdb_id: film.list_id for imdb_id, film in steps.items()}
    claims = claims_of(plan, films, list_of)
    for step in plan.lists:
        mine = library.list_films.get(step.id, [])
        if step.outcome == "removed":
            _add_steps(plan, step, mine, [], {})
            continue
        row = given.get(step.id) if step.outcome != "kept" else None
        if row is None or row.films is None:
            final = [film for film in mine if _still_on(step.id, library, steps.get(film.imdb_id))]
            reasons = dict.fromkeys((film.imdb_id for film in final), step.reason or NOT_SAID)
        else:
            final, reasons = _as_given(plan, row, mine, steps, kept)
        _append(final, claims.get(step.id, ()))
        # A film that stays as it is has its list.
        _append(final, (film for film in mine if has_status_with.get(film.imdb_id) == step.id))
        _add_steps(plan, step, mine, final, reasons)


def _append(films: list[ListedFilm], more: Iterable[ListedFilm]) -> None:
    there = {film.imdb_id for film in films}
    films += (film for film in more if film.imdb_id not in there)


def _still_on(list_id: str, library: Library, step: FilmStep | None) -> bool:
    """Of a list whose films the file does not name: a film leaves it with the library, or when it
    had its status with this list and the file gives it another."""
    if step is None:
        return False
    had = library.films[step.imdb_id].list_id
    return had != list_id or step.list_id == list_id


def _as_given(
    plan: Plan,
    row: FileList,
    mine: list[ListedFilm],
    steps: dict[str, FilmStep],
    kept: _Kept,
) -> tuple[list[ListedFilm], dict[str, str]]:
    """The films of a list as the file has them, after them those that stay; and why those do."""
    own = {film.imdb_id: film for film in mine}
    final: dict[str, ListedFilm] = {}
    for film in row.films or ():
        imdb_id = film.imdb_id
        key = list_film_key(row.id, imdb_id)
        if plan.is_left_out("list_film", key) and imdb_id in own:
            final[imdb_id] = own[imdb_id]
        elif plan.leave_out_new("list_film", key, imdb_id):
            pass
        elif imdb_id in steps:
            note = film.note
            if not isinstance(note, str) and note is not None:
                note = own[imdb_id].note if imdb_id in own else None
            final[imdb_id] = ListedFilm(imdb_id, note or None)
        elif plan.is_left_out("movie", imdb_id):
            plan.not_taken.append(NotTaken("list_film", key, imdb_id))
        else:
            reason = f"{imdb_id} is not among the films of the file"
            plan.errors.append(Problem(f"{row.path}.films[{film.index}]", reason))
            plan.labels[row.path] = row.values.name
    named = kept.list_films.get(row.id, set())
    reasons = {}
    for own_film in mine:
        imdb_id = own_film.imdb_id
        is_left_out = plan.is_left_out("list_film", list_film_key(row.id, imdb_id))
        if is_left_out:
            reasons[imdb_id] = LEFT_OUT
        elif named is None or imdb_id in named:
            reasons[imdb_id] = UNREADABLE
        elif imdb_id in kept.films:
            reasons[imdb_id] = kept.films[imdb_id]
        if imdb_id in reasons and imdb_id in steps:
            final.setdefault(imdb_id, own_film)
    return list(final.values()), reasons


def _add_steps(
    plan: Plan,
    step: ListStep,
    mine: list[ListedFilm],
    final: list[ListedFilm],
    reasons: dict[str, str],
) -> None:
    """A film has moved where its place among the films that stay is another."""
    name = step.values.name
    before = {film.imdb_id: (place, film.note) for place, film in enumerate(mine, start=1)}
    after = {film.imdb_id for film in final}
    stayed = [film.imdb_id for film in mine if film.imdb_id in after]
    ordered = [film.imdb_id for film in final if film.imdb_id in before]
    moved = {new for old, new in zip(stayed, ordered, strict=True) if old != new}
    changes = []
    for place, film in enumerate(final, start=1):
        imdb_id = film.imdb_id
        if imdb_id not in before:
            fields: dict[str, list] = {"position": [None, place]}
            if film.note is not None:
                fields["note"] = [None, film.note]
            changes.append(ListFilmStep("new", step.id, name, imdb_id, fields))
            continue
        old_place, old_note = before[imdb_id]
        fields = {"position": [old_place, place]} if imdb_id in moved else {}
        if old_note != film.note:
            fields["note"] = [old_note, film.note]
        reason = reasons.get(imdb_id)
        outcome: Outcome = "changed" if fields else "kept" if reason else "same"
        changes.append(ListFilmStep(outcome, step.id, name, imdb_id, fields, reason))
    changes += (
        ListFilmStep("removed", step.id, name, film.imdb_id, NOTHING)
        for film in mine
        if film.imdb_id not in after
    )
    plan.list_films += changes
    if step.outcome != "removed" and any(change.outcome in WRITTEN for change in changes):
        plan.on_lists[step.id] = final


# Rankings.


def _plan_rankings(plan: Plan, library: Library, incoming: Incoming, kept: _Kept) -> None:
    films = {film.imdb_id: film for film in plan.films if film.outcome != "removed"}
    statuses = {imdb_id: film.values.status for imdb_id, film in films.items()}
    order: list[Ranked] = []
    for row in sorted(incoming.rankings, key=lambda row: row.position):
        stays = row.imdb_id in kept.rankings or row.imdb_id in kept.films
        if stays and row.imdb_id in library.films:
            continue
        if not is_taken(plan, library, row, statuses, films):
            continue
        existing = library.rankings.get(row.imdb_id)
        ranked_at = row.ranked_at
        if ranked_at is None:
            ranked_at = existing.ranked_at if existing else incoming.exported_at
        order.append(Ranked(row.imdb_id, row.liked, row.position, ranked_at))
    placed = {film.imdb_id for film in order}
    reasons = kept.rankings | {
        imdb_id: reason for imdb_id, reason in kept.films.items() if imdb_id not in kept.rankings
    }
    if "rankings" not in incoming.sections:
        reasons = dict.fromkeys(library.rankings, NOT_SAID) | reasons
    order += (
        film
        for imdb_id, film in library.rankings.items()
        if imdb_id in reasons and imdb_id not in placed and statuses.get(imdb_id) == "watched"
    )
    plan.ranked = list(ranking_order.numbered(order))
    final = {film.imdb_id: film for film in plan.ranked}
    for film in plan.ranked:
        existing = library.rankings.get(film.imdb_id)
        values = film._asdict()
        del values["imdb_id"]
        if existing is None:
            fields = {name: [None, value] for name, value in values.items()}
            plan.rankings.append(RankingStep("new", film.imdb_id, fields))
            continue
        fields = {
            name: [getattr(existing, name), value]
            for name, value in values.items()
            if getattr(existing, name) != value
        }
        reason = None if film.imdb_id in placed else reasons.get(film.imdb_id)
        outcome: Outcome = "changed" if fields else "kept" if reason else "same"
        plan.rankings.append(RankingStep(outcome, film.imdb_id, fields, reason))
    for imdb_id in library.rankings:
        if imdb_id not in final:
            reason = LEFT if imdb_id in films and statuses[imdb_id] != "watched" else None
            plan.rankings.append(RankingStep("removed", imdb_id, {}, reason))

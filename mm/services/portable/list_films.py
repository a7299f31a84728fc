"""The films of each list and their order: read as a whole, joined with those of a file, written.

*overwrite* takes the order of a file that gives one and puts after it what the file lacks; *newest*
and *skip* keep the library's order and put after it what the library lacks. No film is taken off a
list. The list's note on a film follows the rule of the list's own row.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set

from peewee import Database

from mm.database import insert_rows
from mm.errors import UnusableFileError
from mm.models import CustomList, ListFilm, Movie
from mm.schemas import ListedFilm, Problem
from mm.services import validation
from mm.services.portable.plans import Library, ListFilmStep, NotTaken, Plan, list_film_key
from mm.services.portable.reader import FileFilm, FileList
from mm.services.portable.values import NOTHING


def read(database: Database, user_id: str) -> dict[str, list[ListedFilm]]:
    """By list id, in the list's own order."""
    rows = (
        ListFilm.select(CustomList.id, Movie.title, ListFilm.note)
        .join(CustomList)
        .switch(ListFilm)
        .join(Movie)
        .where(CustomList.user == user_id)
        .order_by(ListFilm.position, ListFilm.id)
    )
    films: dict[str, list[ListedFilm]] = {}
    for list_id, *film in database.execute(rows):
        films.setdefault(list_id, []).append(ListedFilm(*film))
    return films


def replace(
    database: Database, list_pk: int, films: Sequence[ListedFilm], movies: dict[str, int]
) -> None:
    """Replace all films of a list. `movies` has the id of each by its imdb_id."""
    ListFilm.delete().where(ListFilm.custom_list == list_pk).execute(database)
    columns = (ListFilm.custom_list, ListFilm.movie, ListFilm.position, ListFilm.note)
    rows = (
        (list_pk, movies[film.imdb_id], position, film.note) for position, film in enumerate(films)
    )
    insert_rows(database, columns, rows)


def plan_list_films(
    plan: Plan,
    library: Library,
    rows: Sequence[FileList],
    films: Iterable[FileFilm],
    list_of: dict[str, str],
) -> None:
    """Adds the steps and the orders that come of them. `films` are those of the file that can be
    used; call when they and the lists are planned."""
    given = {
        list_of[row.id]: row
        for row in rows
        if row.id in list_of and not plan.is_left_out("list", list_of[row.id])
    }
    claims = claims_of(plan, films, list_of)
    if not given and not claims:
        return
    known = library.films.keys() | {film.imdb_id for film in plan.films}
    names = {row.id: row.values.name for row in library.lists.values()}
    steps = {step.id: step for step in plan.lists}
    for list_id in given | claims:
        mine = library.list_films.get(list_id, [])
        row, step = given.get(list_id), steps.get(list_id)
        on_list = {film.imdb_id for film in mine}
        claimed = {film.imdb_id for film in claims[list_id]}
        ordered = _given(plan, list_id, row, known, on_list, claimed) if row else {}
        theirs = ordered | {
            film.imdb_id: film for film in claims[list_id] if film.imdb_id not in ordered
        }
        takes_order = plan.conflicts == "overwrite" and bool(ordered)
        takes_notes = step is not None and step.outcome != "kept"
        final = _joined(mine, theirs, takes_order, takes_notes)
        name = step.values.name if step else names[list_id]
        changes = list(_steps(list_id, name, mine, theirs, final, step.reason if step else None))
        plan.list_films += changes
        if any(change.outcome in ("new", "changed") for change in changes):
            plan.on_lists[list_id] = final


def refuse_too_many(plan: Plan, library: Library) -> None:
    """As the planner does for films, people and lists."""
    outcomes = Counter(step.outcome for step in plan.list_films)
    total = sum(map(len, library.list_films.values())) + outcomes["new"] - outcomes["removed"]
    if outcomes["new"] and total > validation.LIST_FILMS_MAX:
        most = f"{validation.LIST_FILMS_MAX:,}"
        raise UnusableFileError(f"There would be {total:,} films on lists; the limit is {most}.")


def claims_of(
    plan: Plan, films: Iterable[FileFilm], list_of: dict[str, str]
) -> dict[str, list[ListedFilm]]:
    """By list id, the films that have the status custom with it: they are on that list, whether or
    not the file names them there."""
    claims: dict[str, list[ListedFilm]] = defaultdict(list)
    on_list = {film.imdb_id: list_of[film.list_id] for film in films if film.list_id is not None}
    claiming = (film for film in plan.films if film.imdb_id in on_list and film.reason is None)
    for film in sorted(claiming, key=lambda film: (film.values.date_added, film.imdb_id)):
        claims[on_list[film.imdb_id]].append(ListedFilm(film.imdb_id, None))
    return claims


def _given(
    plan: Plan,
    list_id: str,
    row: FileList,
    known: Set[str],
    mine: Set[str],
    claimed: Set[str],
) -> dict[str, ListedFilm]:
    """The films that a list of the file names, in its order, without those that are nowhere or
    were left out by hand. `mine` are on the library's list, `claimed` have their status with it."""
    films = {}
    for film in row.films or ():
        key = list_film_key(list_id, film.imdb_id)
        if film.imdb_id not in claimed and plan.is_left_out("list_film", key):
            if film.imdb_id not in mine:
                plan.leave_out_new("list_film", key, film.imdb_id)
        elif film.imdb_id not in known and plan.is_left_out("movie", film.imdb_id):
            plan.not_taken.append(NotTaken("list_film", key, film.imdb_id))
        elif film.imdb_id in known:
            films[film.imdb_id] = ListedFilm(film.imdb_id, film.note or None)
        else:
            reason = f"{film.imdb_id} is in neither the file nor the library"
            plan.errors.append(Problem(f"{row.path}.films[{film.index}]", reason))
            plan.labels[row.path] = row.values.name
    return films


def _joined(
    mine: Sequence[ListedFilm],
    theirs: dict[str, ListedFilm],
    takes_order: bool,
    takes_notes: bool,
) -> list[ListedFilm]:
    """The films as they will be. Without `takes_notes` mine stay where I have the film."""
    own = {film.imdb_id: film for film in mine}
    films = theirs | own
    if takes_notes:
        films |= {imdb_id: film for imdb_id, film in theirs.items() if film.note is not None}
    order = [*theirs, *own] if takes_order else [*own, *theirs]
    return [films[imdb_id] for imdb_id in dict.fromkeys(order)]


def _steps(
    list_id: str,
    name: str,
    mine: Sequence[ListedFilm],
    theirs: dict[str, ListedFilm],
    final: Sequence[ListedFilm],
    reason: str | None,
) -> Iterable[ListFilmStep]:
    before = {film.imdb_id: (place, film.note) for place, film in enumerate(mine, start=1)}
    for place, film in enumerate(final, start=1):
        imdb_id = film.imdb_id
        if imdb_id not in theirs:
            continue
        old_place, old_note = before.get(imdb_id, (None, None))
        fields: dict[str, list] = {"position": [old_place, place], "note": [old_note, film.note]}
        fields = {key: [old, new] for key, (old, new) in fields.items() if old != new}
        if imdb_id not in before:
            yield ListFilmStep("new", list_id, name, imdb_id, fields)
        elif fields:
            yield ListFilmStep("changed", list_id, name, imdb_id, fields)
        elif theirs[imdb_id].note in (None, film.note):
            yield ListFilmStep("same", list_id, name, imdb_id, NOTHING)
        else:
            yield ListFilmStep("kept", list_id, name, imdb_id, NOTHING, reason)

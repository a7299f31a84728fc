"""What a replace leaves as it is, beyond what the file says, and what goes.

What a row names that cannot be read, what was left out by hand, and the rows of a section that the
file does not have. What stays keeps what it names: a film its voters and the list of its status, a
view the people and lists of its filters.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct, structs

from mm.errors import UnusableFileError
from mm.schemas import Problem
from mm.services.portable import filters
from mm.services.portable.matching import join_people
from mm.services.portable.plans import (
    LEFT_OUT,
    NEEDED,
    NOT_SAID,
    UNREADABLE,
    Library,
    Plan,
)
from mm.services.portable.reader import FileFilm, Incoming, Unread
from mm.services.portable.values import is_given


class Kept(Struct):
    """What stays as it is, and why: films and rankings by imdb_id, people by id, lists by id, views
    by folded name. Votes by their film and films by their list: those of these keys, or with None
    all of them. `unread_people` are those that rows name which cannot be read."""

    films: dict[str, str] = {}
    unread_people: set[int] = set()
    people: dict[int, str] = {}
    lists: dict[str, str] = {}
    views: dict[str, str] = {}
    rankings: dict[str, str] = {}
    votes: dict[str, set[str] | None] = {}
    votes_left_out: dict[str, set[str] | None] = {}
    list_films: dict[str, set[str] | None] = {}


def refuse_unnamed(plan: Plan, unread: Iterable[Unread]) -> None:
    """Raises UnusableFileError with each row that names nothing and was not left out by hand."""
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
        f"{what} be read, and nothing says what {which} for. First: {first}. Replacing your "
        f"library by this file could delete what {which} for: correct {them}, or leave {them} out.",
        [Problem(row.path, row.reason) for row in unnamed],
    )


def find(plan: Plan, library: Library, incoming: Incoming) -> Kept:
    """What stays for its own sake; `without_what_goes` adds what that needs."""
    kept = Kept()
    people = library.people.values()
    # No name begins with a space.
    by_name = {f" {person.quick_key}": person.id for person in people if person.quick_key}
    by_name |= {person.key: person.id for person in people}
    for row in incoming.unread:
        if row.kind == "movie":
            kept.films |= dict.fromkeys(row.keys, UNREADABLE)
        elif row.kind == "person":
            names = (*row.keys, f" {row.quick_key}")
            kept.unread_people.update(by_name[name] for name in names if name in by_name)
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
    of_rows = {row.key for row in incoming.people}
    own_keys = {
        own_key(person.id) if person.key in of_rows else person.key: person.id for person in people
    }
    # A row of the file that is left out keeps the person it is.
    joined = join_people(library, incoming.people, kept.unread_people)
    own_keys |= {row.key: joined[row.path] for row in incoming.people if row.path in joined}
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


def own_key(person_id: int) -> str:
    """Of a person whose name is somebody else's in the file: no name begins with a space."""
    return f" {person_id}"


def without_what_goes(
    plan: Plan, library: Library, incoming: Incoming, films: list[FileFilm], kept: Kept
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
            person.final_key = own_key(person.id) if person.key in of_rows else person.key
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
    library: Library, incoming: Incoming, films: list[FileFilm], kept: Kept
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
                if library.people[person_id].key in keys or own_key(person_id) in keys
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


def names_of_unread_people(library: Library, unread: Iterable[Unread]) -> dict[str, str]:
    """The quick recommenders by the names that the file has for them, of rows that cannot be
    read."""
    quick = {row.quick_key: row.key for row in library.people.values() if row.quick_key}
    return {
        key: quick[row.quick_key]
        for row in unread
        if row.kind == "person" and row.quick_key in quick
        for key in row.keys
    }

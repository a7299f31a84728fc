"""Which person, list and view of the library a file's row is, and what becomes of it."""

from collections import defaultdict, deque

from mm.database import fold
from mm.models import LIST_COLOR, LIST_ICON, PERSON_COLOR
from mm.services.portable.plans import (
    Library,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    changes,
    given_values,
    refusal,
)
from mm.services.portable.reader import FileFilm, FileList, FilePerson, FileView, Incoming

# People.


def plan_people(
    made: Plan, library: Library, rows: list[FilePerson], films: list[FileFilm]
) -> dict[str, str]:
    """Adds the steps; returns the key that each name of the file's votes stands for."""
    joined = _join_people(library, rows)
    keys = _final_keys(made, library, rows, joined)
    for person, key in keys.items():
        library.people[person]["final_key"] = key
    taken = set(keys.values())
    for row in rows:
        if row.path not in joined and row.key in taken:
            why = f"{row.name!r} is already another row's person; its votes were joined."
            made.noticed.add("joined", f"{row.path}: {why}")
        else:
            made.people.append(_person_step(made, library.people.get(joined.get(row.path, 0)), row))
    person_of = {row.key: row.key for row in rows}
    person_of |= {
        row.key: library.people[joined[row.path]]["final_key"] for row in rows if row.path in joined
    }
    _add_voters(made, films, person_of, taken)
    return person_of


def _join_people(library: Library, rows: list[FilePerson]) -> dict[str, int]:
    """The library's person for each row that finds one: by quick_key, then by name."""
    by_quick = {mine["quick_key"]: key for key, mine in library.people.items() if mine["quick_key"]}
    by_name = {mine["name_key"]: key for key, mine in library.people.items()}
    joined: dict[str, int] = {}
    for row in rows:
        if row.quick_key in by_quick:
            joined[row.path] = by_quick.pop(row.quick_key)
    taken = set(joined.values())
    for row in rows:
        if row.path not in joined and row.key in by_name and by_name[row.key] not in taken:
            joined[row.path] = by_name[row.key]
    return joined


def _final_keys(
    made: Plan, library: Library, rows: list[FilePerson], joined: dict[str, int]
) -> dict[int, str]:
    """The folded name each of the library's people will have.

    A rename onto a name that another person keeps is not granted; that may free or block further
    ones (two quick recommenders that swapped names), so it is settled in rounds.
    """
    wanted = {joined[row.path]: row for row in rows if row.path in joined}
    wanted = {person: row for person, row in wanted.items() if _takes(made, library, person, row)}
    while True:
        keys = {
            person: mine["name_key"]
            for person, mine in library.people.items()
            if person not in wanted
        }
        taken = set(keys.values())
        denied = [person for person, row in wanted.items() if row.key in taken]
        if not denied:
            return keys | {person: row.key for person, row in wanted.items()}
        for person in denied:
            row = wanted.pop(person)
            name = library.people[person]["name"]
            why = f"{row.name!r} is another person of yours; {name!r} keeps its name."
            made.noticed.add("renamed", f"{row.path}.name: {why}")


def _takes(made: Plan, library: Library, person: int, row: FilePerson) -> bool:
    return refusal(made.conflicts, library.people[person], row.last_modified) is None


def _person_step(made: Plan, mine: dict | None, row: FilePerson) -> PersonStep:
    given = given_values(is_trusted=row.is_trusted, color=row.color, emoji=row.emoji)
    if mine is None:
        defaults = {"is_trusted": False, "color": PERSON_COLOR, "emoji": None}
        values = {**defaults, **given, "name": row.name, "last_modified": row.last_modified}
        return PersonStep("new", row.key, None, values, {})
    if reason := refusal(made.conflicts, mine, row.last_modified):
        return PersonStep("kept", mine["name_key"], mine["id"], {}, {}, reason)
    key = mine["final_key"]
    # A name that was not granted stays; one that was is taken as the file spells it.
    name = row.name if key == row.key else mine["name"]
    fields = changes(mine, {**given, "name": name, "last_modified": row.last_modified})
    values = {**mine, **given, "name": name, "last_modified": row.last_modified}
    return PersonStep("changed" if fields else "same", key, mine["id"], values, fields)


def _add_voters(
    made: Plan, films: list[FileFilm], person_of: dict[str, str], taken: set[str]
) -> None:
    """People that only votes name: the library's, else new ones."""
    for film in films:
        for vote in film.votes:
            if vote.key in person_of:
                continue
            person_of[vote.key] = vote.key
            if vote.key not in taken:
                values = {
                    "name": vote.person_name,
                    "is_trusted": False,
                    "color": PERSON_COLOR,
                    "emoji": None,
                    "last_modified": film.last_modified,
                }
                made.people.append(PersonStep("new", vote.key, None, values, {}))


# Lists.


def plan_lists(made: Plan, library: Library, incoming: Incoming) -> dict[str, str]:
    """Adds the steps; returns the library's id for each list id that a film of the file may name."""
    joined = _join_lists(library, incoming.lists)
    list_of = {mine["id"]: mine["id"] for mine in library.lists.values()}
    for position, row in enumerate(incoming.lists):
        step = _list_step(made, library.lists.get(joined.get(row.path, 0)), row, position)
        made.lists.append(step)
        list_of[row.id] = step.id
    return list_of


def _join_lists(library: Library, rows: list[FileList]) -> dict[str, int]:
    """By id, else by name onto a list that no other row has joined: two lists of one name stay two."""
    by_id = {mine["id"]: pk for pk, mine in library.lists.items()}
    joined = {row.path: by_id[row.id] for row in rows if row.id in by_id}
    taken = set(joined.values())
    free: dict[str, deque[int]] = defaultdict(deque)
    for pk, mine in library.lists.items():
        if pk not in taken:
            free[fold(mine["name"])].append(pk)
    for row in rows:
        if row.path not in joined and free.get(fold(row.name)):
            joined[row.path] = free[fold(row.name)].popleft()
    return joined


def _list_step(made: Plan, mine: dict | None, row: FileList, position: int) -> ListStep:
    given = given_values(
        color=row.color, icon=row.icon, position=row.position, created_at=row.created_at
    )
    given |= {"name": row.name, "last_modified": row.last_modified}
    if mine is None:
        defaults = {
            "color": LIST_COLOR,
            "icon": LIST_ICON,
            "position": position,
            "created_at": row.last_modified,
        }
        return ListStep("new", row.id, None, defaults | given, {})
    if reason := refusal(made.conflicts, mine, row.last_modified):
        return ListStep("kept", mine["id"], mine["pk"], {}, {}, reason)
    fields = changes(mine, given)
    return ListStep("changed" if fields else "same", mine["id"], mine["pk"], mine | given, fields)


# Views.


def plan_views(
    made: Plan,
    library: Library,
    rows: list[FileView],
    person_of: dict[str, str],
    list_of: dict[str, str],
) -> None:
    """Adds the steps. A view may show one person's films or one list's: in a file by name and the
    file's id."""
    keys = {step.key for step in made.people} | {
        mine["final_key"] for mine in library.people.values()
    }
    for mine in library.views.values():
        mine["filters"] = _by_key(mine["filters"], library)
    for position, row in enumerate(rows):
        filters = dict(row.filters)
        person = fold(filters.get("person", ""))
        _put_or_drop(
            made, row, filters, "person", person_of.get(person, person if person in keys else None)
        )
        _put_or_drop(made, row, filters, "list", list_of.get(filters.get("list", "")))
        made.views.append(_view_step(made, library.views.get(row.key), row, filters, position))


def _by_key(filters: dict[str, str], library: Library) -> dict[str, str]:
    """As they are compared: people by the names they will have, which ids do not outlive."""
    person = library.people.get(int(filters.get("person", 0)))
    return filters | {"person": person["final_key"]} if person else filters


def _put_or_drop(
    made: Plan, row: FileView, filters: dict[str, str], name: str, value: str | None
) -> None:
    if name not in filters:
        return
    if value is None:
        why = "nothing here is called that; the view was taken without."
        made.noticed.add("filters", f"{row.path}.filters.{name}: {why}")
        del filters[name]
    else:
        filters[name] = value


def _view_step(
    made: Plan, mine: dict | None, row: FileView, filters: dict[str, str], position: int
) -> ViewStep:
    given = given_values(position=row.position)
    given |= {"name": row.name, "filters": filters, "last_modified": row.last_modified}
    if mine is None:
        return ViewStep("new", None, {"position": position} | given, {})
    if reason := refusal(made.conflicts, mine, row.last_modified):
        return ViewStep("kept", mine["id"], mine, {}, reason)
    fields = changes(mine, given)
    return ViewStep("changed" if fields else "same", mine["id"], mine | given, fields)

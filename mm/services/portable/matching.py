"""Which person, list or view of the library a row is, and what becomes of it."""

from collections import defaultdict, deque

from mm.database import fold
from mm.models import CustomList, Person, SavedView, new_values
from mm.schemas import Outcome
from mm.services.portable.plans import (
    Library,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    changes,
    refusal,
)
from mm.services.portable.reader import FileFilm, FilePerson, FileView, Incoming

# People.


def plan_people(
    plan: Plan, library: Library, rows: list[FilePerson], films: list[FileFilm]
) -> dict[str, str]:
    """Adds the steps; returns the key of the person that each name stands for."""
    # A row is the library's person with its quick_key, else the one with its name.
    people = library.people.items()
    by_quick_key = {row["quick_key"]: person_id for person_id, row in people if row["quick_key"]}
    by_name = {row["name_key"]: person_id for person_id, row in people}
    joined: dict[str, int] = {}
    for row in rows:
        if row.quick_key in by_quick_key:
            joined[row.path] = by_quick_key.pop(row.quick_key)
    claimed = set(joined.values())
    for row in rows:
        if row.path not in joined and row.key in by_name and by_name[row.key] not in claimed:
            joined[row.path] = by_name[row.key]
    keys = _final_keys(plan, library, rows, joined)
    for person_id, key in keys.items():
        library.people[person_id]["final_key"] = key
    taken = set(keys.values())
    for row in rows:
        if row.path not in joined and row.key in taken:
            name = row.values["name"]
            why = f"{name!r} is already another row's person; their votes were combined."
            plan.noticed.add("joined", f"{row.path}: {why}")
        else:
            existing = library.people.get(joined.get(row.path, 0))
            plan.people.append(_person_step(plan, existing, row))
    person_of = {row.key: row.key for row in rows}
    person_of |= {
        row.key: library.people[joined[row.path]]["final_key"] for row in rows if row.path in joined
    }
    # People that only votes name: the library's, else new ones.
    for film in films:
        for vote in film.votes:
            if vote.key in person_of:
                continue
            person_of[vote.key] = vote.key
            if vote.key not in taken:
                last_modified = film.values["last_modified"]
                given = {"name": vote.person_name, "last_modified": last_modified}
                values = new_values(Person, given)
                plan.people.append(PersonStep("new", vote.key, None, values, {}))
    return person_of


def _final_keys(
    plan: Plan, library: Library, rows: list[FilePerson], joined: dict[str, int]
) -> dict[int, str]:
    """The folded name each of the library's people will have.

    A rename onto a name that another person keeps is not granted; that may free or
    block further ones (two quick recommenders that swapped names), so it is settled
    in rounds.
    """
    renaming = {joined[row.path]: row for row in rows if row.path in joined}
    for person_id, row in list(renaming.items()):
        if refusal(plan.conflicts, library.people[person_id], row.values["last_modified"]):
            del renaming[person_id]
    while True:
        keys = {
            person_id: existing["name_key"]
            for person_id, existing in library.people.items()
            if person_id not in renaming
        }
        taken = set(keys.values())
        denied = [person_id for person_id, row in renaming.items() if row.key in taken]
        if not denied:
            return keys | {person_id: row.key for person_id, row in renaming.items()}
        for person_id in denied:
            row = renaming.pop(person_id)
            wanted, kept = row.values["name"], library.people[person_id]["name"]
            why = f"{wanted!r} is already someone else in your library; {kept!r} keeps this name."
            plan.noticed.add("renamed", f"{row.path}.name: {why}")


def _person_step(plan: Plan, existing: dict | None, row: FilePerson) -> PersonStep:
    if existing is None:
        return PersonStep("new", row.key, None, new_values(Person, row.values), {})
    row_id = existing["id"]
    if reason := refusal(plan.conflicts, existing, row.values["last_modified"]):
        return PersonStep("kept", existing["name_key"], row_id, {}, {}, reason)
    key = existing["final_key"]
    # A name not granted stays; a granted one is taken as the file spells it.
    values = row.values if key == row.key else row.values | {"name": existing["name"]}
    fields = changes(existing, values)
    return PersonStep("changed" if fields else "same", key, row_id, existing | values, fields)


# Lists.


def plan_lists(plan: Plan, library: Library, incoming: Incoming) -> dict[str, str]:
    """Adds the steps; returns the library's id for each list id a film may name."""
    # A row is the library's list with its id, else one with its name that no other
    # row has joined: two lists of one name stay two.
    by_id = {existing["id"]: pk for pk, existing in library.lists.items()}
    joined = {row.path: by_id[row.id] for row in incoming.lists if row.id in by_id}
    taken = set(joined.values())
    free: dict[str, deque[int]] = defaultdict(deque)
    for pk, candidate in library.lists.items():
        if pk not in taken:
            free[fold(candidate["name"])].append(pk)
    for row in incoming.lists:
        name = fold(row.values["name"])
        if row.path not in joined and free.get(name):
            joined[row.path] = free[name].popleft()
    list_of = {list_id: list_id for list_id in by_id}
    for position, row in enumerate(incoming.lists):
        existing = library.lists.get(joined.get(row.path, 0))
        last_modified = row.values["last_modified"]
        if existing is None:
            given = {"position": position, "created_at": last_modified} | row.values
            step = ListStep("new", row.id, None, new_values(CustomList, given), {})
        elif reason := refusal(plan.conflicts, existing, last_modified):
            step = ListStep("kept", existing["id"], existing["pk"], {}, {}, reason)
        else:
            fields = changes(existing, row.values)
            outcome: Outcome = "changed" if fields else "same"
            values = existing | row.values
            step = ListStep(outcome, existing["id"], existing["pk"], values, fields)
        plan.lists.append(step)
        list_of[row.id] = step.id
    return list_of


# Views.


def plan_views(
    plan: Plan,
    library: Library,
    rows: list[FileView],
    person_of: dict[str, str],
    list_of: dict[str, str],
) -> None:
    """Adds the steps. A view may show one person's films or one list's: in a file
    by name and by the file's id."""
    keys = {step.key for step in plan.people}
    keys |= {person["final_key"] for person in library.people.values()}
    for saved in library.views.values():
        # Compared by the names people will have: ids mean nothing elsewhere.
        person = library.people.get(int(saved["filters"].get("person", 0)))
        if person:
            saved["filters"] = saved["filters"] | {"person": person["final_key"]}
    for position, row in enumerate(rows):
        filters = dict(row.values["filters"])
        key = fold(filters.get("person", ""))
        person_key = person_of.get(key, key if key in keys else None)
        _put_or_drop(plan, row, filters, "person", person_key)
        _put_or_drop(plan, row, filters, "list", list_of.get(filters.get("list", "")))
        values = row.values | {"filters": filters}
        existing = library.views.get(row.key)
        if existing is None:
            given = {"position": position} | values
            step = ViewStep("new", None, new_values(SavedView, given), {})
        elif reason := refusal(plan.conflicts, existing, values["last_modified"]):
            step = ViewStep("kept", existing["id"], existing, {}, reason)
        else:
            fields = changes(existing, values)
            outcome: Outcome = "changed" if fields else "same"
            step = ViewStep(outcome, existing["id"], existing | values, fields)
        plan.views.append(step)


def _put_or_drop(
    plan: Plan, row: FileView, filters: dict[str, str], name: str, value: str | None
) -> None:
    if name not in filters:
        return
    if value is None:
        why = "not found; the view was imported without this filter."
        plan.noticed.add("filters", f"{row.path}.filters.{name}: {why}")
        del filters[name]
    else:
        filters[name] = value

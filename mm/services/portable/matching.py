"""Which person, list or view of the library a row is, and what becomes of it.

A replace calls these with a library without the people and lists that it removes, so that their
names are free.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

from msgspec import UNSET, structs

from mm.database import fold
from mm.models import CustomList, Person, SavedView
from mm.schemas import Outcome
from mm.services.portable import filters
from mm.services.portable.plans import (
    LEFT_OUT,
    Library,
    LibraryPerson,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    refusal,
)
from mm.services.portable.reader import (
    FileFilm,
    FileList,
    FilePerson,
    FileView,
    Incoming,
)
from mm.services.portable.values import (
    NOTHING,
    PersonValues,
    differences,
    merged,
    of_new_row,
    replaced,
)


def taken(
    plan: Plan,
    incoming: Incoming,
    mine: Any,
    row: FileFilm | FilePerson | FileList | FileView,
) -> Any:
    """The library's values with those that the file's row gives."""
    if plan.mode == "merge":
        return merged(mine, row.values)
    if row.path in incoming.undated:
        return replaced(mine, structs.replace(row.values, last_modified=UNSET))
    return replaced(mine, row.values)


# People.


def join_people(
    library: Library, rows: list[FilePerson], apart: Set[int] = frozenset()
) -> dict[str, int]:
    """The id of the library's person that each row is, by its path: the one with its quick_key,
    else the one with its name. Those in `apart` are none of them."""
    people = [(key, row) for key, row in library.people.items() if key not in apart]
    by_quick_key = {row.quick_key: person_id for person_id, row in people if row.quick_key}
    by_name = {row.key: person_id for person_id, row in people}
    joined: dict[str, int] = {}
    for row in rows:
        if row.quick_key in by_quick_key:
            joined[row.path] = by_quick_key.pop(row.quick_key)
    claimed = set(joined.values())
    for row in rows:
        if row.path not in joined and row.key in by_name and by_name[row.key] not in claimed:
            joined[row.path] = by_name[row.key]
    return joined


def plan_people(
    plan: Plan,
    library: Library,
    incoming: Incoming,
    films: list[FileFilm],
    other_names: Mapping[str, str] = MappingProxyType({}),
    apart: Set[int] = frozenset(),
) -> dict[str, str | None]:
    """Adds the steps; returns the key of the person that each name stands for: None for a new
    person who was left out by hand. `other_names` are further ones that are known; `apart` are
    people that no row is."""
    rows = incoming.people
    joined = join_people(library, rows, apart)
    keys = _final_keys(plan, library, rows, joined)
    for person_id, key in keys.items():
        library.people[person_id].final_key = key
    in_use = set(keys.values())
    person_of: dict[str, str | None] = {**other_names, **{row.key: row.key for row in rows}}
    for row in rows:
        name = row.values.name
        if row.path not in joined and row.key in in_use:
            why = f"{name!r} is already another row's person; their votes were combined."
            plan.noticed.add("joined", f"{row.path}: {why}")
        elif row.path in joined:
            existing = library.people[joined[row.path]]
            plan.people.append(_person_step(plan, incoming, existing, row))
        elif plan.leave_out_new("person", row.key, name):
            person_of[row.key] = None
        else:
            values = of_new_row(Person, row.values)
            step = PersonStep("new", row.key, None, values, NOTHING, file_key=row.key)
            plan.people.append(step)
    person_of |= {
        row.key: library.people[joined[row.path]].final_key for row in rows if row.path in joined
    }
    # People that only votes name: the library's, else new ones.
    for film in films:
        for vote in film.votes or ():
            if vote.key in person_of:
                continue
            person_of[vote.key] = vote.key
            if vote.key in in_use:
                continue
            if plan.leave_out_new("person", vote.key, vote.person_name):
                person_of[vote.key] = None
            else:
                last_modified = film.values.last_modified
                given = PersonValues(name=vote.person_name, last_modified=last_modified)
                values = of_new_row(Person, given)
                plan.people.append(PersonStep("new", vote.key, None, values, NOTHING))
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
        mine = library.people[person_id].values
        is_left_out = plan.is_left_out("person", row.key)
        if is_left_out or refusal(plan.conflicts, mine, row.values):
            del renaming[person_id]
    while True:
        keys = {
            person_id: existing.key
            for person_id, existing in library.people.items()
            if person_id not in renaming
        }
        in_use = set(keys.values())
        denied = [person_id for person_id, row in renaming.items() if row.key in in_use]
        if not denied:
            return keys | {person_id: row.key for person_id, row in renaming.items()}
        for person_id in denied:
            row = renaming.pop(person_id)
            wanted, kept = row.values.name, library.people[person_id].values.name
            why = f"{wanted!r} is already someone else in your library; {kept!r} keeps this name."
            plan.noticed.add("renamed", f"{row.path}.name: {why}")


def _person_step(
    plan: Plan, incoming: Incoming, existing: LibraryPerson, row: FilePerson
) -> PersonStep:
    mine = existing.values
    reason = refusal(plan.conflicts, mine, row.values)
    if plan.is_left_out("person", row.key):
        reason = LEFT_OUT
    if reason:
        return PersonStep("kept", existing.key, existing.id, mine, NOTHING, reason, row.key)
    key = existing.final_key
    final = taken(plan, incoming, mine, row)
    # A name not granted stays; a granted one is taken as the file spells it.
    if key != row.key:
        final = structs.replace(final, name=mine.name)
    fields = differences(mine, final)
    outcome: Outcome = "changed" if fields else "same"
    return PersonStep(outcome, key, existing.id, final, fields, file_key=row.key)


# Lists.


def plan_lists(plan: Plan, library: Library, incoming: Incoming) -> dict[str, str]:
    """Adds the steps; returns the library's id for each list id a film may name."""
    by_id = {existing.id: pk for pk, existing in library.lists.items()}
    joined = {row.path: by_id[row.id] for row in incoming.lists if row.id in by_id}
    if plan.mode == "merge":
        _join_by_name(library, incoming.lists, joined)
    list_of = {list_id: list_id for list_id in by_id}
    for position, row in enumerate(incoming.lists):
        existing = library.lists.get(joined.get(row.path, 0))
        if existing is None:
            if plan.leave_out_new("list", row.id, row.values.name):
                continue
            created_at = row.values.last_modified
            values = of_new_row(CustomList, row.values, position=position, created_at=created_at)
            step = ListStep("new", row.id, None, values, NOTHING)
        elif plan.is_left_out("list", existing.id):
            mine = existing.values
            step = ListStep("kept", existing.id, existing.pk, mine, NOTHING, LEFT_OUT)
        elif reason := refusal(plan.conflicts, existing.values, row.values):
            step = ListStep("kept", existing.id, existing.pk, existing.values, NOTHING, reason)
        else:
            values = taken(plan, incoming, existing.values, row)
            fields = differences(existing.values, values)
            outcome: Outcome = "changed" if fields else "same"
            step = ListStep(outcome, existing.id, existing.pk, values, fields)
        plan.lists.append(step)
        list_of[row.id] = step.id
    return list_of


def _join_by_name(library: Library, rows: list[FileList], joined: dict[str, int]) -> None:
    """With a list of that name that no other row has joined: two lists of one name stay two."""
    claimed = set(joined.values())
    free: dict[str, deque[int]] = defaultdict(deque)
    for pk, candidate in library.lists.items():
        if pk not in claimed:
            free[fold(candidate.values.name)].append(pk)
    for row in rows:
        name = fold(row.values.name)
        if row.path not in joined and free.get(name):
            joined[row.path] = free[name].popleft()


# Views.


def plan_views(
    plan: Plan,
    library: Library,
    incoming: Incoming,
    person_of: dict[str, str | None],
    list_of: dict[str, str],
) -> None:
    """Adds the steps. People stand in a file's filters by name and lists by the
    file's id; in a plan, people by their folded names and lists by the library's id."""
    keys = {step.key for step in plan.people}
    keys |= {row.final_key for row in library.people.values()}
    everybody = (library.people | library.gone_people).values()
    people = {str(row.id): row.final_key for row in everybody}
    lists = {row.id: row.id for row in (library.lists | library.gone_lists).values()}

    def key_of(name: str) -> str | None:
        key = fold(name)
        return person_of.get(key, key if key in keys else None)

    for position, row in enumerate(incoming.views):

        def missing(name: str, text: str, path: str = row.path) -> None:
            why = f"{text!r} was not found; the view was imported without it."
            plan.noticed.add("filters", f"{path}.filters.{name}: {why}")

        values = row.values
        if values.filters:
            found = filters.replaced(values.filters, filters.OF_PEOPLE, key_of, missing)
            found = filters.replaced(found, filters.OF_LISTS, list_of.get, missing)
            values = structs.replace(values, filters=found)
        existing = library.views.get(row.key)
        if existing is None:
            if plan.leave_out_new("view", row.key, row.values.name):
                continue
            new = of_new_row(SavedView, values, filters={}, position=position)
            plan.views.append(ViewStep("new", None, new, NOTHING))
            continue
        # Without people and lists that are gone.
        found = filters.replaced(existing.values.filters, filters.OF_PEOPLE, people.get)
        found = filters.replaced(found, filters.OF_LISTS, lists.get)
        mine = structs.replace(existing.values, filters=found)
        reason = refusal(plan.conflicts, mine, values)
        if plan.is_left_out("view", row.key):
            reason = LEFT_OUT
        if reason:
            plan.views.append(ViewStep("kept", existing.id, mine, NOTHING, reason))
            continue
        final = taken(plan, incoming, mine, structs.replace(row, values=values))
        fields = differences(mine, final)
        outcome: Outcome = "changed" if fields else "same"
        plan.views.append(ViewStep(outcome, existing.id, final, fields))

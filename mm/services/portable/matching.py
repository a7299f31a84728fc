"""Which person, list or view of the library a row is, and what becomes of it."""

from collections import defaultdict, deque

from msgspec import structs

from mm.database import fold
from mm.models import QUICK_RECOMMENDERS, CustomList, Person, SavedView
from mm.schemas import Outcome
from mm.services.portable import filters
from mm.services.portable.plans import (
    Library,
    LibraryPerson,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    refusal,
)
from mm.services.portable.reader import FileFilm, FilePerson, FileView, Incoming
from mm.services.portable.values import (
    NOTHING,
    PersonValues,
    differences,
    merged,
    of_new_row,
)

QUICK_EMOJI = {key: emoji for key, _, _, emoji in QUICK_RECOMMENDERS}

# People.


def plan_people(
    plan: Plan, library: Library, rows: list[FilePerson], films: list[FileFilm]
) -> dict[str, str]:
    """Adds the steps; returns the key of the person that each name stands for."""
    # A row is the library's person with its quick_key, else the one with its name.
    people = library.people.items()
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
    keys = _final_keys(plan, library, rows, joined)
    for person_id, key in keys.items():
        library.people[person_id].final_key = key
    taken = set(keys.values())
    for row in rows:
        if row.path not in joined and row.key in taken:
            name = row.values.name
            why = f"{name!r} is already another row's person; their votes were combined."
            plan.noticed.add("joined", f"{row.path}: {why}")
        else:
            existing = library.people.get(joined.get(row.path, 0))
            plan.people.append(_person_step(plan, existing, row))
    person_of = {row.key: row.key for row in rows}
    person_of |= {
        row.key: library.people[joined[row.path]].final_key for row in rows if row.path in joined
    }
    # People that only votes name: the library's, else new ones.
    for film in films:
        for vote in film.votes or ():
            if vote.key in person_of:
                continue
            person_of[vote.key] = vote.key
            if vote.key not in taken:
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
        if refusal(plan.conflicts, library.people[person_id].values, row.values):
            del renaming[person_id]
    while True:
        keys = {
            person_id: existing.key
            for person_id, existing in library.people.items()
            if person_id not in renaming
        }
        taken = set(keys.values())
        denied = [person_id for person_id, row in renaming.items() if row.key in taken]
        if not denied:
            return keys | {person_id: row.key for person_id, row in renaming.items()}
        for person_id in denied:
            row = renaming.pop(person_id)
            wanted, kept = row.values.name, library.people[person_id].values.name
            why = f"{wanted!r} is already someone else in your library; {kept!r} keeps this name."
            plan.noticed.add("renamed", f"{row.path}.name: {why}")


def _person_step(plan: Plan, existing: LibraryPerson | None, row: FilePerson) -> PersonStep:
    if existing is None:
        return PersonStep("new", row.key, None, of_new_row(Person, row.values), NOTHING)
    mine = existing.values
    if reason := refusal(plan.conflicts, mine, row.values):
        return PersonStep("kept", existing.key, existing.id, mine, NOTHING, reason)
    key = existing.final_key
    final = merged(mine, row.values)
    # A name not granted stays; a granted one is taken as the file spells it.
    if key != row.key:
        final = structs.replace(final, name=mine.name)
    # A quick recommender is born with an emoji: a file that has none took that away.
    if row.values.emoji is None and mine.emoji == QUICK_EMOJI.get(existing.quick_key or ""):
        final = structs.replace(final, emoji=None)
    fields = differences(mine, final)
    return PersonStep("changed" if fields else "same", key, existing.id, final, fields)


# Lists.


def plan_lists(plan: Plan, library: Library, incoming: Incoming) -> dict[str, str]:
    """Adds the steps; returns the library's id for each list id a film may name."""
    # A row is the library's list with its id, else one with its name that no other
    # row has joined: two lists of one name stay two.
    by_id = {existing.id: pk for pk, existing in library.lists.items()}
    joined = {row.path: by_id[row.id] for row in incoming.lists if row.id in by_id}
    taken = set(joined.values())
    free: dict[str, deque[int]] = defaultdict(deque)
    # By id: an import may change their positions, and must not choose another one then.
    for pk, candidate in sorted(library.lists.items(), key=lambda item: item[1].id):
        if pk not in taken:
            free[fold(candidate.values.name)].append(pk)
    for row in incoming.lists:
        name = fold(row.values.name)
        if row.path not in joined and free.get(name):
            joined[row.path] = free[name].popleft()
    list_of = {list_id: list_id for list_id in by_id}
    for position, row in enumerate(incoming.lists):
        existing = library.lists.get(joined.get(row.path, 0))
        if existing is None:
            created_at = row.values.last_modified
            values = of_new_row(CustomList, row.values, position=position, created_at=created_at)
            step = ListStep("new", row.id, None, values, NOTHING)
        elif reason := refusal(plan.conflicts, existing.values, row.values):
            step = ListStep("kept", existing.id, existing.pk, existing.values, NOTHING, reason)
        else:
            values = merged(existing.values, row.values)
            fields = differences(existing.values, values)
            outcome: Outcome = "changed" if fields else "same"
            step = ListStep(outcome, existing.id, existing.pk, values, fields)
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
    """Adds the steps. People stand in a file's filters by name and lists by the
    file's id; in a plan, people by their folded names and lists by the library's id."""
    keys = {step.key for step in plan.people}
    people = {str(row.id): row.final_key for row in library.people.values()}
    lists = {row.id: row.id for row in library.lists.values()}
    keys.update(people.values())

    def key_of(name: str) -> str | None:
        key = fold(name)
        return person_of.get(key, key if key in keys else None)

    for position, row in enumerate(rows):

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
            new = of_new_row(SavedView, values, filters={}, position=position)
            plan.views.append(ViewStep("new", None, new, NOTHING))
            continue
        # Without people and lists that are gone.
        found = filters.replaced(existing.values.filters, filters.OF_PEOPLE, people.get)
        found = filters.replaced(found, filters.OF_LISTS, lists.get)
        mine = structs.replace(existing.values, filters=found)
        if reason := refusal(plan.conflicts, mine, values):
            plan.views.append(ViewStep("kept", existing.id, mine, NOTHING, reason))
            continue
        final = merged(mine, values)
        fields = differences(mine, final)
        outcome: Outcome = "changed" if fields else "same"
        plan.views.append(ViewStep(outcome, existing.id, final, fields))

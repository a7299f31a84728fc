"""What an import of a collection would do, item by item: computed without writing, shown as a
preview, and then done exactly so."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import msgspec
from msgspec import Struct

from mm import clock, files, models
from mm.database import db, fold
from mm.errors import ConflictError, InvalidError
from mm.models import User
from mm.schemas import (
    CollectionConflict,
    CollectionKind,
    CollectionPreview,
    CollectionResult,
    ImportedItem,
    ItemError,
    ItemOutcome,
    Mode,
    PlannedItem,
    Resolution,
)
from mm.schemas.types import TEXT_MAX
from mm.services import portable
from mm.services.collections import lists, people, settings, views
from mm.services.collections.envelope import Received, shown
from mm.services.collections.items import Entry, Here, Kind
from mm.services.library.changes import Write, write
from mm.services.validation import FieldError
from mm.spoken import plural

KINDS: dict[CollectionKind, Kind] = {
    "people": people,
    "lists": lists,
    "views": views,
    "settings": settings,
}
RESOLUTIONS: tuple[Resolution, ...] = ("skip", "rename", "overwrite")
# What each resolution makes of an item.
OUTCOMES: dict[Resolution, ItemOutcome] = {
    "skip": "skipped",
    "rename": "renamed",
    "overwrite": "overwritten",
}
TAKEN: tuple[ItemOutcome, ...] = ("imported", "renamed", "overwritten")
NO_RENAME = "a {} cannot be renamed: skip or overwrite it"
TWICE = "the file has this name twice"


class Step(Struct):
    """What happens to one item. `name`: in the file; `here`: mine of that name; `entry`: what is
    taken, with the name that it will have; None where it cannot be used."""

    name: str
    outcome: ItemOutcome
    here: Here | None = None
    entry: Entry | None = None
    resolution: Resolution | None = None
    error: str | None = None
    differences: list[str] = []


class CollectionPlan(Struct):
    """`steps` in the file's order. `library_version`: of the library that it was made for."""

    user_id: str
    kind: CollectionKind
    library_version: int
    steps: list[Step]
    version_warning: str | None
    warnings: list[str]
    # Nothing that is not in the file is removed from a library.
    mode: Mode = "merge"

    def is_empty(self) -> bool:
        return not any(step.outcome in TAKEN for step in self.steps)

    def films_written(self) -> int:
        """For the history: a collection changes no film."""
        return 0


def plan(
    user_id: str,
    received: Received,
    resolutions: Mapping[str, str] | None = None,
    bulk_resolution: str | None = None,
) -> CollectionPlan:
    """`resolutions`: by an item's name in the file, whatever its case; `bulk_resolution` for the
    others, by default skip. Raises InvalidError for an unknown resolution, or where the library has
    no room for the items."""
    chosen = _Choices(resolutions or {}, bulk_resolution)
    kind = KINDS[received.kind]
    version = User.get_by_id(user_id).library_version
    steps = [_read(kind, row, number) for number, row in enumerate(received.items, 1)]
    mine = _by_name(kind.here(user_id))
    if not kind.NAMES_REPEAT:
        _reject_repeated(steps)
    _meet(kind, steps, mine)
    names = _Names([*mine, *(fold(step.name) for step in steps)])
    for step in steps:
        _resolve(kind, step, chosen, names)
    taken = [step.entry for step in steps if step.entry and step.outcome in TAKEN]
    kind.look_at(user_id, taken)
    for step in steps:
        if step.here and step.entry:
            # Under its name in the file, also where it is renamed: an overwrite would take that.
            named = msgspec.structs.replace(step.entry, name=step.name)
            step.differences = kind.differences(named, step.here)
    return CollectionPlan(
        user_id, received.kind, version, steps, received.version_warning, received.warnings
    )


def preview(plan: CollectionPlan) -> CollectionPreview:
    return CollectionPreview(
        total_items=len(plan.steps),
        new_items=sum(step.here is None and step.error is None for step in plan.steps),
        conflicts=[
            CollectionConflict(step.name, step.here.id, step.here.name, step.resolution)
            for step in plan.steps
            if step.here and step.resolution
        ],
        errors=_errors(plan),
        version_warning=plan.version_warning,
        warnings=plan.warnings,
        items=[_planned(step) for step in plan.steps],
    )


def digest(plan: CollectionPlan) -> str:
    """Of what the user was shown: the same plan of an unchanged library has the same."""
    return files.digest(msgspec.json.encode(preview(plan)))


def apply(plan: CollectionPlan, safety_backup: str | None = None) -> CollectionResult:
    """In one transaction. Raises ConflictError where the library has changed since."""
    kind = KINDS[plan.kind]
    with db.atomic():
        if User.get_by_id(plan.user_id).library_version != plan.library_version:
            raise ConflictError(portable.CHANGED)
        ids = {} if plan.is_empty() else _write(kind, plan)
    counts = Counter(step.outcome for step in plan.steps)
    return CollectionResult(
        total_items=len(plan.steps),
        imported=counts["imported"],
        skipped=counts["skipped"],
        overwritten=counts["overwritten"],
        renamed=counts["renamed"],
        errors=counts["error"],
        error_details=_errors(plan),
        imported_items=[
            ImportedItem(step.name, step.entry.name, ids[place], step.outcome)
            for place, step in enumerate(plan.steps)
            if step.entry and place in ids
        ],
        version_warning=plan.version_warning,
        warnings=plan.warnings,
        safety_backup=safety_backup,
    )


class _Choices:
    """What the user chose for the names that are here already."""

    def __init__(self, resolutions: Mapping[str, str], bulk: str | None):
        for value in (*resolutions.values(), *([bulk] if bulk is not None else [])):
            if value not in RESOLUTIONS:
                raise InvalidError(
                    f"unknown resolution: {shown(value)} (expected skip, rename or overwrite)"
                )
        self._exact = resolutions
        self._folded = {fold(name): value for name, value in resolutions.items()}
        self._bulk = bulk or "skip"

    def of(self, name: str) -> Resolution:
        chosen = self._exact.get(name) or self._folded.get(fold(name)) or self._bulk
        return next(known for known in RESOLUTIONS if known == chosen)


class _Names:
    """The names that are taken, here or by the file."""

    def __init__(self, folded: Iterable[str]):
        self._taken = set(folded)
        # The last number that was tried for what stands before it: nobody tries thousands again.
        self._tried: Counter[str] = Counter()

    def free(self, name: str) -> str:
        """ "Name (1)", or the first number that is free. A long name becomes shorter for it, and
        then two names may share their numbers."""
        digits = 0
        while True:
            digits += 1
            room = TEXT_MAX - len(" ()") - digits
            start = name[:room].rstrip()
            key = f"{digits} {fold(start)}"
            for number in range(max(self._tried[key] + 1, 10 ** (digits - 1)), 10**digits):
                self._tried[key] = number
                renamed = f"{start} ({number})"
                if fold(renamed) not in self._taken:
                    self._taken.add(fold(renamed))
                    return renamed


def _read(kind: Kind, row: Any, number: int) -> Step:
    name = f"Item {number:,}"
    if not isinstance(row, dict):
        return Step(name, "error", error="expected an object")
    if isinstance(row.get("name"), str):
        name = "".join(filter(str.isprintable, row["name"])).strip()[:TEXT_MAX] or name
    try:
        entry = kind.read(row)
    except FieldError as error:
        return Step(name, "error", error=f"{error.path}: {error.reason}")
    return Step(entry.name, "imported", entry=entry)


def _by_name(rows: Iterable[Here]) -> dict[str, list[Here]]:
    found: dict[str, list[Here]] = {}
    for row in rows:
        found.setdefault(fold(row.name), []).append(row)
    return found


def _reject_repeated(steps: Sequence[Step]) -> None:
    """The first stands."""
    seen: set[str] = set()
    for step in steps:
        if step.entry is None:
            continue
        if fold(step.name) in seen:
            step.outcome, step.entry, step.error = "error", None, TWICE
        seen.add(fold(step.name))


def _meet(kind: Kind, steps: Sequence[Step], mine: Mapping[str, list[Here]]) -> None:
    """The first of a name meets my first of that name, the second my second. Where I have fewer,
    the others are new."""
    met: Counter[str] = Counter()
    for step in steps:
        if step.entry is None or not (same := mine.get(fold(step.name))):
            continue
        place = met[fold(step.name)]
        met[fold(step.name)] += 1
        if place < len(same):
            step.here = same[place]
        if len(same) > 1 or place:
            have = plural(len(same), kind.NOUN, kind.NOUNS)
            which = f"this meets number {place + 1:,}" if step.here else "this is one more"
            step.entry.notes.append(f"You have {have} of this name: {which}.")


def _resolve(kind: Kind, step: Step, chosen: _Choices, names: _Names) -> None:
    if step.here is None or step.entry is None:
        return
    step.resolution = resolution = chosen.of(step.name)
    step.outcome = OUTCOMES[resolution]
    if resolution == "rename" and not kind.CAN_RENAME:
        step.outcome, step.error = "error", NO_RENAME.format(kind.NOUN)
    elif resolution == "rename":
        step.entry.name = names.free(step.name)
    elif resolution == "overwrite" and step.here.protected:
        step.outcome, step.error = "error", step.here.protected
    elif resolution == "overwrite":
        step.entry.overwrites = step.here


def _write(kind: Kind, plan: CollectionPlan) -> dict[int, int | str]:
    """The ids of what was taken, by its place in the file."""
    taken = [
        (place, step.entry, step.here)
        for place, step in enumerate(plan.steps)
        if step.entry and step.outcome in TAKEN
    ]
    new = [(place, entry) for place, entry, _ in taken if _is_new(plan.steps[place])]
    met = [(entry, here) for place, entry, here in taken if here and not _is_new(plan.steps[place])]
    with write(plan.user_id) if kind.IN_LIBRARY else nullcontext() as change:
        # What is no part of the library has no write of it.
        change = change or Write(plan.user_id, clock.now(), 0.0)
        # A film that comes back with a new list is taken off mine where the file says so.
        made = kind.create(change, [entry for _, entry in new])
        kind.overwrite(change, met)
        if kind.IN_LIBRARY:
            models.spread_updates(db.obj, plan.user_id, change.updated_at)
    ids = {place: here.id for place, _, here in taken if here}
    return ids | {place: new_id for (place, _), new_id in zip(new, made, strict=True)}


def _is_new(step: Step) -> bool:
    return step.outcome in ("imported", "renamed")


def _errors(plan: CollectionPlan) -> list[ItemError]:
    return [ItemError(step.name, step.error) for step in plan.steps if step.error]


def _planned(step: Step) -> PlannedItem:
    return PlannedItem(
        name=step.name,
        outcome=step.outcome,
        new_name=step.entry.name if step.entry and step.outcome == "renamed" else None,
        existing_id=step.here.id if step.here else None,
        existing_name=step.here.name if step.here else None,
        differences=step.differences,
        notes=step.entry.notes if step.entry else [],
        error=step.error,
    )

"""What the pages of portable collections show: where each kind belongs, and the steps of an import
in their groups."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flask import request, url_for
from flask_login import current_user

from mm import auth
from mm.database import fold
from mm.models import Job
from mm.routes.contexts import enrichment_context, progress_context
from mm.schemas import CollectionKind, ItemOutcome
from mm.services.backup import history, uploads
from mm.services.collections import envelope, importing, plans, settings
from mm.services.collections.plans import CollectionPlan, Step

# Rows of a group that are on the page, and those that can be ticked for an export.
ROWS = 200
CHOICES = 1000


class Place(NamedTuple):
    """`things`: what the items are called; `page`: where they are looked after, and its endpoint;
    `about`: what of them is in a file."""

    things: str
    page: str
    endpoint: str
    about: str
    none_yet: str


PLACES: dict[CollectionKind, Place] = {
    "people": Place(
        "people",
        "People",
        "people.index",
        "Their names, faces and colours, and whom you trust. Pinned recommenders stay here: every "
        "account has its own.",
        "Add someone who recommends films to you, and you can share them as a file.",
    ),
    "lists": Place(
        "lists",
        "Lists",
        "lists.index",
        "With their films in order, and your notes on them.",
        "Create a list, and you can share it as a file.",
    ),
    "views": Place(
        "saved views",
        "Library",
        "library.index",
        "With their filters. People and lists in them travel by name.",
        "Filter your library and save the view, and you can share it as a file.",
    ),
    "settings": Place(
        "settings",
        "Account",
        "account.show",
        "How long backups are kept, how dates look, and how the library opens. No address and no "
        "key is in the file.",
        "Your settings appear here.",
    ),
}
# In the order of the page: what happens to one item, and to several.
OUTCOMES: dict[ItemOutcome, tuple[str, str]] = {
    "imported": ("is imported", "are imported"),
    "renamed": ("is renamed", "are renamed"),
    "overwritten": ("replaces yours", "replace yours"),
    "skipped": ("is skipped", "are skipped"),
    "error": ("cannot be used", "cannot be used"),
}
# The badges of a result, and how good each of them is.
BADGES = {
    "imported": "good",
    "skipped": "",
    "overwritten": "warn",
    "renamed": "warn",
    "errors": "bad",
}


class Row(NamedTuple):
    """An item of the file on the page. `number`: its place in the file; `label`: its name on the
    page; `follows`: the choice for another item of the same name counts for this one too."""

    number: int
    step: Step
    label: str
    follows: bool


class Group(NamedTuple):
    rows: list[Row]
    total: int

    @property
    def more(self) -> int:
        return self.total - len(self.rows)


def kind_context(kind: CollectionKind) -> dict:
    home = PLACES[kind]
    section = home.endpoint.partition(".")[0]
    return {"kind": kind, "home": home, "section": section, "rules": plans.KINDS[kind]}


def index_context(
    kind: CollectionKind, export_problem: str = "", ticked: Iterable[str] = ()
) -> dict:
    """`ticked`: the ids that stay ticked beside a problem."""
    choices = plans.KINDS[kind].choices(current_user.id)
    job = importing.waiting(current_user.id, kind)
    return {
        **kind_context(kind),
        **upload_context(),
        "choices": choices[:CHOICES],
        "total": len(choices),
        "ticked": frozenset(ticked),
        "export_problem": export_problem,
        "waiting": job,
        "until": job.created_at + uploads.KEEP_SECONDS if job else None,
    }


def upload_context(problem: str = "", elsewhere: tuple[str, str, str] | None = None) -> dict:
    """`problem`: why the file cannot be used; `elsewhere`: as of `elsewhere_of`."""
    return {
        "upload_problem": problem,
        "elsewhere": elsewhere,
        "file_max": envelope.FILE_MAX,
        "too_large": envelope.TOO_LARGE,
    }


def elsewhere_of(error: envelope.OtherKindError) -> tuple[str, str, str]:
    """What the file holds, the page where that is imported, and its address."""
    if error.found is None:
        return "a whole library", "Data & Backup", url_for("backups.index", _anchor="import")
    place = PLACES[error.found]
    return place.things, place.page, url_for("collections.index", kind=error.found)


def sent_choices(job: Job, plan: CollectionPlan) -> tuple[dict[str, str], str | None]:
    """As of `importing.chosen`: one choice for all, or those of the items that are on the page."""
    if "all" in request.form:
        return {}, request.form["all"]
    bulk = importing.chosen(job)[1]
    resolutions = {}
    for number, step in enumerate(plan.steps):
        one = request.form.get(f"resolution-{number}")
        if one and one != (bulk or "skip"):
            resolutions[step.name] = one
    return resolutions, bulk


def preview_context(job: Job, plan: CollectionPlan, notice: str = "") -> dict:
    met, new, unusable = _groups(plan)
    return {
        **kind_context(plan.kind),
        "job": job,
        "plan": plan,
        "digest": plans.digest(plan),
        "notice": notice,
        "sentence": _sentence(plan.kind, met.total, new.total, unusable.total),
        "also": _outcomes(plan.steps),
        "taken": sum(step.outcome in plans.TAKEN for step in plan.steps),
        "met": met,
        "new": new,
        "unusable": unusable,
        "resolutions": [
            each for each in plans.RESOLUTIONS if each != "rename" or _can_rename(plan.kind)
        ],
    }


def job_context(job: Job) -> dict:
    """Of an import that was confirmed."""
    context = {
        **kind_context(job.params["kind"]),
        **progress_context(job),
        "result": job.result or {},
        "badges": BADGES,
        "most": ROWS,
    }
    if job.state == "done":
        context["undo"] = history.safety_copy_of(job, auth.account())
        if job.params["kind"] == "lists":  # their films may be new here
            context |= enrichment_context()
    return context


def _groups(plan: CollectionPlan) -> tuple[Group, Group, Group]:
    """What meets something that is here, what is new, and what cannot be used."""
    rows: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    totals: Counter[int] = Counter()
    named: set[str] = set()
    for number, step in enumerate(plan.steps):
        group = 2 if step.entry is None else 0 if step.here else 1
        totals[group] += 1
        if len(rows[group]) < ROWS:
            follows = group == 0 and fold(step.name) in named
            rows[group].append(Row(number, step, _label(plan.kind, step), follows))
        if group == 0:
            named.add(fold(step.name))
    met, new, unusable = (Group(each, totals[place]) for place, each in enumerate(rows))
    return met, new, unusable


def _label(kind: CollectionKind, step: Step) -> str:
    """A file names a setting as programs do."""
    known = settings.SETTINGS.get(step.name) if kind == "settings" else None
    return known.label if known else step.name


def _sentence(kind: CollectionKind, met: int, new: int, unusable: int) -> str:
    """Such as “3 new, 2 already here, 1 cannot be used.”"""
    if not met + new + unusable:
        return f"This file has no {PLACES[kind].things}."
    parts = [(new, "new"), (met, "already here"), (unusable, "cannot be used")]
    return ", ".join(f"{count:,} {words}" for count, words in parts if count) + "."


def _outcomes(steps: Sequence[Step]) -> str:
    """What happens with the choices as they are: “3 are imported, 1 is renamed.”"""
    counts = Counter(step.outcome for step in steps)
    words = [
        f"{counts[outcome]:,} {OUTCOMES[outcome][counts[outcome] > 1]}"
        for outcome in OUTCOMES
        if counts[outcome]
    ]
    return f"With these choices: {', '.join(words)}." if words else ""


def _can_rename(kind: CollectionKind) -> bool:
    return plans.KINDS[kind].CAN_RENAME

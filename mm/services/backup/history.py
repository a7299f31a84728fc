"""What was done with a library's files, in one table: backups, imports, restores and undos.

The folder tells of backups, and by its safety copies of what they were made before. The job rows of
the last days know more: how it ended, and what was left out. Nothing is listed twice.
"""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import NamedTuple

from msgspec import Struct

from mm import clock, config, spoken
from mm.dates import PLAIN, Style
from mm.models import Job, User
from mm.schemas import BackupEntry, Before
from mm.services.backup import backups, imports, ledger, undoing, uploads
from mm.services.backup import files as backup_files

PAGE_SIZE = 30
LABELS = {
    "scheduled": "Automatic",
    "manual": "Made by hand",
    "before-import": "Before an import",
    "before-restore": "Before a restore",
    "uploaded": "Uploaded",
}
# The kinds of job that change a library.
ACTIONS = ("import", "restore", "undo")


class Run(Struct):
    """An import, a restore or an undo that has ended. `job_id` is None where the job's row is gone,
    or there was none (API, command line). `films`: how many were added, changed or removed, None
    where nobody noted it. `failed`: why it failed. `safety_copy`: the name of the backup made
    before it, while one can go back to it."""

    action: str
    job_id: str | None
    films: int | None
    left_out: int
    failed: str
    safety_copy: str | None


class Row(NamedTuple):
    """One line: either of a `backup` or of a `run`. `at` is None for what has no time."""

    at: float | None
    title: str
    backup: BackupEntry | None = None
    run: Run | None = None


class Page(NamedTuple):
    """`total`: rows of all pages. `backups`: how many of them there are, unknown files not
    counted."""

    rows: list[Row]
    number: int
    pages: int
    total: int
    backups: int


class Waiting(NamedTuple):
    """A plan that waits for its user. `title`: of the file, or of what would be done."""

    job: Job
    title: str
    until: float


def page(user: User, number: int = 1, style: Style = PLAIN) -> Page:
    """Newest first, PAGE_SIZE at a time; the nearest page that there is. `style`: of the dates in
    titles. Raises UnavailableError where the folder may not be read."""
    entries = backups.listing(user.id)
    ended = _runs(user, entries, style)
    rows = [Row(entry.created_at, _label(entry), backup=entry) for entry in entries]
    # At the same moment, what was done comes after the copy made before it.
    rows = sorted(rows + ended, key=lambda row: (row.at or 0, row.run is not None), reverse=True)
    pages = max(1, -(-len(rows) // PAGE_SIZE))
    number = min(max(number, 1), pages)
    first = (number - 1) * PAGE_SIZE
    ours = sum(entry.state != "foreign" for entry in entries)
    return Page(rows[first : first + PAGE_SIZE], number, pages, len(rows), ours)


def waiting(user_id: str, style: Style = PLAIN) -> Waiting | None:
    """The plan that its user has yet to confirm."""
    mine = (Job.user == user_id) & (Job.state == uploads.WAITING) & Job.kind.in_(uploads.KINDS)
    job = Job.select().where(mine).order_by(Job.created_at.desc()).first()
    if job is None:
        return None
    source = _source(job)
    title = source if job.kind == "import" and source else title_of(job, style)
    return Waiting(job, title, job.created_at + uploads.KEEP_SECONDS)


def title_of(job: Job, style: Style = PLAIN, befores: Mapping[str, Before] | None = None) -> str:
    """Such as "Import of library.json" or "Restore of Friday’s backup". `befores`: what each safety
    copy precedes, by its name; where it is not given, it is looked up."""
    if befores is None:
        found = _before(job) if job.kind == "undo" else None
        befores = {job.params["filename"]: found} if found else {}
    return _capitalised(_noun(job.kind, _mode(job), _source(job), befores, style))


def safety_copy_of(job: Job, user: User) -> str | None:
    """The backup made before a job that is done, while it can be gone back to."""
    filename = (job.result or {}).get("safety_backup")
    offered = {undoable.filename for undoable in undoing.available(user)} if filename else set()
    return filename if filename in offered else None


def left_out_of(job: Job) -> list[dict]:
    """Rows of path and reason. Imports of version 0.1 kept them under `errors`. A collection's page
    names its own."""
    if job.kind not in ACTIONS:
        return []
    result = job.result or {}
    return result.get("problems") or result.get("errors") or []


def name_of(filename: str, style: Style = PLAIN) -> str:
    """A backup in the middle of a sentence: "Friday’s backup", "the backup of 3 March"."""
    try:
        day = date.fromisoformat(filename[:10])
    except ValueError:
        return filename
    zone = config.current.zone
    noon = datetime.combine(day, time(12), zone).timestamp()
    now = clock.now()
    said = spoken.past_day(noon, now, zone, style)
    return f"the backup of {said}" if spoken.is_date(said) else f"{said}’s backup"


def _runs(user: User, entries: list[BackupEntry], style: Style) -> list[Row]:
    copies = {entry.filename: entry for entry in entries if entry.before}
    befores = {name: entry.before for name, entry in copies.items() if entry.before}
    offered = {undoable.filename for undoable in undoing.available(user)} if copies else set()
    told: set[str] = set()
    rows = []
    mine = Job.select().where((Job.user == user.id) & Job.kind.in_(ACTIONS))
    for job in mine:
        made = _copies_made_by(job, copies)
        told.update(made)
        if job.state in uploads.ENDED:
            result = job.result or {}
            copy = result.get("safety_backup")
            run = Run(
                action=job.kind,
                job_id=job.id,
                films=_films(result),
                left_out=len(left_out_of(job)),
                failed=job.message if job.state == "failed" else "",
                safety_copy=copy if copy in offered else None,
            )
            rows.append(Row(job.finished_at, title_of(job, style, befores), run=run))
    written = ledger.written(user.id)
    for name, before in befores.items():
        # Where nobody noted that it was done, the library was never written.
        done_at = before.done_at or written.get(name)
        if name not in told and done_at is not None:
            noun = _noun(before.action, before.mode, before.source, befores, style)
            copy = name if name in offered else None
            run = Run(before.action, None, before.films, 0, "", copy)
            rows.append(Row(done_at, _capitalised(noun), run=run))
    return rows


def _films(result: dict) -> int | None:
    if "movies_imported" not in result:
        return None
    removed = result.get("removed_counts") or {"movies": 0}
    return result["movies_imported"] + removed["movies"]


def _copies_made_by(job: Job, copies: Mapping[str, BackupEntry]) -> set[str]:
    """A library is worked on by one at a time, so the copies made while the job ran are its own;
    also where it failed, goes on, or waits again. One that was killed began before its last
    start."""
    begun = job.started_at if job.started_at and job.starts <= 1 else job.created_at
    if job.state == "queued" or (job.state == uploads.WAITING and not job.message):
        begun = float("inf")
    ended = job.finished_at or float("inf")
    made = {name for name, entry in copies.items() if begun <= (entry.created_at or 0) <= ended}
    named = (job.result or {}).get("safety_backup")
    return made | {named} if named else made


def _mode(job: Job) -> str:
    """What was done before there were modes merged."""
    if job.result:
        return job.result.get("mode", "merge")
    return job.params.get("mode", imports.OPENING[job.kind][0])


def _source(job: Job) -> str | None:
    return job.params.get("filename") or job.params.get("source")


def _before(job: Job) -> Before | None:
    path = backup_files.folder_of(job.user_id) / job.params["filename"]
    sidecar = backup_files.read_sidecar(path) if backup_files.kind_of(path.name) else None
    return sidecar.before if sidecar else None


def _noun(
    action: str, mode: str, source: str | None, befores: Mapping[str, Before], style: Style
) -> str:
    """ "restore of Friday’s backup". A merge brings back what is missing, and is never called a
    restore."""
    if action == "undo":
        return f"undo of {_undone(source, befores, style)}"
    if action == "import":
        verb = "import of" if mode == "merge" else "replacement with"
        return f"{verb} {source or 'a file'}"
    verb = "restore of" if mode == "replace" else "merge of"
    return f"{verb} {name_of(source, style)}" if source else f"{verb} a backup"


def _undone(safety_copy: str | None, befores: Mapping[str, Before], style: Style) -> str:
    before = befores.get(safety_copy or "")
    if before and before.action == "undo":
        return "an undo"
    if before:
        return "the " + _noun(before.action, before.mode, before.source, befores, style)
    kind = backup_files.kind_of(safety_copy or "")
    return "an import" if kind == "before-import" else "a restore"


def _label(entry: BackupEntry) -> str:
    if entry.before and entry.before.action == "undo":
        return "Before an undo"
    return LABELS.get(entry.kind or "", entry.filename)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]

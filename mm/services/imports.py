"""The way in for a file or a backup: received, planned, confirmed, and applied with a safety backup before it."""

import contextlib
from pathlib import Path
from typing import IO

import msgspec

from mm import clock, config
from mm.documents import Conflicts, ImportResult, PlanView
from mm.errors import Conflict, NotFound, TooLarge
from mm.models import CustomList, Job, Movie, Person, SavedView, User, db
from mm.services import archive, backup_files, backups, jobs, locks, portable
from mm.services.portable import FILE_MAX, Incoming, Plan

SAFETY = {"import": "before-import", "restore": "before-restore"}
TRIES = 3
KEEP_UPLOADS_SECONDS = 86400
WAITING = "waiting"
NOT_WAITING = "This was confirmed already, or withdrawn."
GONE = "That file is no longer waiting: files are kept for 24 hours. Choose it again."


# At once: the API and the command line.


def import_bytes(
    user: User, data: bytes, conflicts: Conflicts = "overwrite", dry_run: bool = False
) -> ImportResult | PlanView:
    """Raises Invalid or TooLarge for a file that cannot be used, Busy (409), NoRoom (507); nothing is then changed."""
    return _at_once(user, data, conflicts, dry_run, "import")


def restore_backup(
    user: User, filename: str, conflicts: Conflicts = "overwrite", dry_run: bool = False
) -> ImportResult | PlanView:
    """As `import_bytes`, from one of the user's backup files."""
    return _at_once(user, backup_files.read(user.id, filename), conflicts, dry_run, "restore")


def _at_once(user: User, data: bytes, conflicts: Conflicts, dry_run: bool, kind: str) -> ImportResult | PlanView:
    incoming = portable.read(data, own=kind == "restore")
    if dry_run:
        return portable.view(portable.plan(user.id, incoming, conflicts))
    with backups.holding(user.id):
        for _ in range(TRIES):
            plan = portable.plan(user.id, incoming, conflicts)
            safety_backup = _prepare(user, plan, kind)
            try:
                portable.apply(plan)
            except Conflict:  # a phone wrote in between, and nobody has seen this plan: make another
                continue
            return portable.result(plan, safety_backup)
    raise Conflict("The library kept changing while it was imported. Nothing was changed; try again.")


# Step by step: the pages. The file waits in data/tmp with the job that owns it.


def receive(user: User, stream: IO[bytes]) -> Job:
    """An uploaded file, checked and kept for 24 hours. Raises TooLarge or Invalid, with nothing kept."""
    data = stream.read(FILE_MAX + 1)
    if len(data) > FILE_MAX:
        raise TooLarge(f"The file is larger than {FILE_MAX >> 20} MiB.")
    return _wait(user, data, "import", {})


def offer(user: User, filename: str) -> Job:
    """One of the user's backups. A copy waits, so that the plan that was shown is the one that is done."""
    return _wait(user, backup_files.read(user.id, filename), "restore", {"filename": filename})


def _wait(user: User, data: bytes, kind: str, params: dict) -> Job:
    portable.read(data, own=kind == "restore")
    folder = config.current.tmp_dir
    archive.require_room(folder, len(data))
    job = jobs.create(kind, user.id, params, state=WAITING)
    with archive.draft(folder) as draft:
        archive.write(draft, data)
        draft.rename(_file_of(job))
    return job


def preview(job: Job, conflicts: Conflicts = "overwrite") -> PlanView:
    """What confirming would do now. Raises NotFound when the file is gone."""
    return portable.view(portable.plan(job.user_id, _incoming(job), conflicts))


def confirm(job: Job, conflicts: Conflicts, library_version: int) -> Job:
    """Queue exactly the plan that was shown for `library_version`; the caller enqueues the job. Raises Conflict when
    the library has changed since, or while something else works on it."""
    if Job.get_by_id(job.id).state != WAITING:
        raise Conflict(NOT_WAITING)
    backups.require_idle(job.user_id)
    _require_version(User.get_by_id(job.user_id).library_version, library_version)
    params = {**job.params, "conflicts": conflicts, "library_version": library_version}
    waiting = (Job.id == job.id) & (Job.state == WAITING)
    with db.atomic():
        if not Job.update(state="queued", params=params, created_at=clock.now()).where(waiting).execute():
            raise Conflict(NOT_WAITING)
    return Job.get_by_id(job.id)


def discard(job: Job) -> None:
    """Withdraw a file that waits for its confirmation."""
    with db.atomic():
        Job.delete().where((Job.id == job.id) & (Job.state == WAITING)).execute()
    if not Job.select().where(Job.id == job.id).exists():
        _file_of(job).unlink(missing_ok=True)


def run(job: Job) -> dict:
    """The work of a job of kind import or restore; the ImportResult as builtins."""
    try:
        with backups.holding(job.user_id):
            result = _run_held(job)
    except locks.Busy as busy:
        raise jobs.Stopped from busy
    _file_of(job).unlink(missing_ok=True)
    return result


def _run_held(job: Job) -> dict:
    user = User.get_by_id(job.user_id)
    jobs.progress(job, 0, 4, "Reading the file")
    incoming = _incoming(job)
    jobs.progress(job, 1, 4, "Comparing it with your library")
    plan = portable.plan(user.id, incoming, job.params["conflicts"])
    _require_version(plan.library_version, job.params["library_version"])
    jobs.progress(job, 2, 4, "Making a safety backup")
    safety_backup = _prepare(user, plan, job.kind)
    jobs.progress(job, 3, 4, "Writing your library")
    result = msgspec.to_builtins(portable.result(plan, safety_backup))
    # One transaction: a worker that dies right after the import must not do it, or call it failed, a second time.
    with db.atomic():
        portable.apply(plan)
        Job.update(state="done", done=4, result=result, finished_at=clock.now()).where(Job.id == job.id).execute()
    return result


def sweep() -> None:
    """Files that nobody confirmed within a day, and their jobs."""
    before = clock.now() - KEEP_UPLOADS_SECONDS
    with db.atomic():
        Job.delete().where((Job.state == WAITING) & (Job.created_at < before)).execute()
    kept = {row.id for row in Job.select(Job.id).where(Job.state.in_((WAITING, *jobs.ACTIVE)))}
    for path in config.current.tmp_dir.iterdir():
        if path.stem not in kept and _age(path) > KEEP_UPLOADS_SECONDS:
            path.unlink(missing_ok=True)


def is_empty(user: User) -> bool:
    """Nothing but the quick recommenders that every account is born with, as they were born."""
    user_id = user.id
    own = Person.quick_key.is_null() | (Person.last_modified != user.created_at)
    held = (
        Movie.select().where(Movie.user == user_id),
        CustomList.select().where(CustomList.user == user_id),
        Person.select().where((Person.user == user_id) & own),
        SavedView.select().where(SavedView.user == user_id),
    )
    return not any(rows.exists() for rows in held)


def _prepare(user: User, plan: Plan, kind: str) -> str | None:
    """The name of the safety backup; none is needed where nothing can be lost. Raises NoRoom or Unavailable."""
    if plan.is_empty() or is_empty(user):
        return None
    return backups.create_held(user, SAFETY[kind]).filename  # type: ignore[arg-type]


def _require_version(now: int, planned: int) -> None:
    if now != planned:
        raise Conflict("The library has changed since this plan was made. Look at the new plan and confirm again.")


def _incoming(job: Job) -> Incoming:
    try:
        data = _file_of(job).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(GONE) from error
    return portable.read(data, own=job.kind == "restore")


def _file_of(job: Job) -> Path:
    return config.current.tmp_dir / f"{job.id}.json"


def _age(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return clock.now() - path.stat().st_mtime
    return 0.0

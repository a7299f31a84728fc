"""The way of a file or a backup into the library: planned, confirmed, and applied with a safety
backup before it."""

import contextlib
import time

import msgspec

from mm import locks, log
from mm.database import db
from mm.errors import ConflictError, NoRoomError
from mm.models import Job, User
from mm.schemas import Conflicts, ImportResult, PlanView
from mm.services import jobs, portable
from mm.services.backup import backups, large_files, safety, uploads
from mm.services.backup import files as backup_files
from mm.services.portable import Incoming, Plan

# So often the library may change under an import before nobody else may write.
TRIES = 2
CHANGED_MEANWHILE = "Your library changed before this started. Nothing was written."
SEE_THE_NEW_PLAN = " Review the new plan."
NO_ROOM_YET = " Nothing was written. Free some space, then confirm again. The file is still here."
NEWER_WAITS = " A newer upload has replaced it."
MORE_CHANGES = "Your library changed again before this was imported. The rule you chose decided."


# At once: the API and the command line.


def import_bytes(user: User, data: bytes, conflicts: Conflicts = "overwrite") -> ImportResult:
    """Raises UnusableFileError or TooLargeError for a file that cannot be used, BusyError,
    NoRoomError, and UnavailableError while another large file is read; nothing is then changed."""
    with uploads.refusal_logged(user.id, "import"):
        return _at_once(user, data, conflicts, "import")


def restore_backup(user: User, filename: str, conflicts: Conflicts = "overwrite") -> ImportResult:
    """As `import_bytes`, from one of the user's backup files."""
    with uploads.refusal_logged(user.id, "restore"):
        data = backup_files.read(user.id, filename)
        return _at_once(user, data, conflicts, "restore")


def plan_bytes(user: User, data: bytes, conflicts: Conflicts = "overwrite") -> Plan:
    """What `import_bytes` would do now. Raises as it does for the file."""
    return portable.plan(user.id, large_files.read(data, user.id), conflicts)


def plan_backup(user: User, filename: str, conflicts: Conflicts = "overwrite") -> Plan:
    """As `plan_bytes`, of `restore_backup`."""
    data = backup_files.read(user.id, filename)
    return portable.plan(user.id, large_files.read(data, user.id, trusted=True), conflicts)


def _at_once(user: User, data: bytes, conflicts: Conflicts, kind: str) -> ImportResult:
    incoming = large_files.read(data, user.id, trusted=kind == "restore")
    begun = time.monotonic()
    with (
        backups.holding(user.id, sentence=jobs.KINDS[kind].went_wrong),
        safety.backed_up(user, kind, len(data)) as back_up,
    ):
        result = _merge(user, incoming, conflicts, back_up)
    _log_done(kind, user.id, result, time.monotonic() - begun)
    return result


# Step by step, for the pages: `uploads` keeps the file, its plan is shown, and the worker does it.


def preview(job: Job, conflicts: Conflicts = "overwrite") -> PlanView:
    """What confirming would do now. Raises NotFoundError when the file is gone."""
    trusted = job.kind == "restore"
    incoming = large_files.read(uploads.data_of(job), job.user_id, trusted)
    return portable.view(portable.plan(job.user_id, incoming, conflicts))


def confirm(job: Job, conflicts: Conflicts, library_version: int, anyway: bool = False) -> Job:
    """Queue exactly the plan that was shown for `library_version`; the caller enqueues the job.
    `anyway`: the plan by then, if the library changes meanwhile. Raises ConflictError when the
    library has changed since, or while something else works on it."""
    if not uploads.is_waiting(job):
        raise ConflictError(uploads.NOT_WAITING)
    backups.require_idle(job.user_id)
    if not anyway:
        _require_version(User.get_by_id(job.user_id).library_version, library_version)
    choice = {"conflicts": conflicts, "library_version": library_version, "anyway": anyway}
    return uploads.queue(job, {**job.params, **choice})


def run(job: Job) -> dict:
    """The work of a job of kind import or restore; the ImportResult as builtins. Raises
    jobs.UnconfirmedError when the library is no longer the one whose plan was confirmed, or when
    there is no room: the file stays, and can be confirmed again."""
    try:
        with backups.holding(job.user_id, sentence=jobs.KINDS[job.kind].went_wrong):
            result = _run_held(job)
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    except ConflictError as changed:
        log.info("import.unconfirmed", user=job.user_id, job=job.id)
        raise _back_to_its_user(job, CHANGED_MEANWHILE, SEE_THE_NEW_PLAN) from changed
    except NoRoomError as full:
        raise _back_to_its_user(job, full.message, NO_ROOM_YET) from full
    uploads.delete(job)
    return result


def failed(job: Job, _message: str) -> None:
    """The file of a job that has failed is of no more use."""
    uploads.delete(job)


def _back_to_its_user(job: Job, why: str, what_next: str) -> Exception:
    """Each user has one waiting file: where a newer one waits, this one has failed."""
    waiting = (Job.user == job.user_id) & (Job.state == uploads.WAITING)
    if Job.select().where(waiting).exists():
        return ConflictError(why + NEWER_WAITS)
    return jobs.UnconfirmedError(why + what_next)


def _run_held(job: Job) -> dict:
    begun = time.monotonic()
    user = User.get_by_id(job.user_id)
    conflicts = job.params["conflicts"]
    jobs.progress(job, 0, 4, "Reading the file")
    data = uploads.data_of(job)
    incoming = large_files.read(data, user.id, trusted=job.kind == "restore", is_patient=True)
    with safety.backed_up(user, job.kind, len(data)) as back_up:
        jobs.progress(job, 1, 4, "Comparing it with your library")
        if job.params.get("anyway"):
            result = _merge(user, incoming, conflicts, back_up, job)
        else:
            plan = portable.plan(user.id, incoming, conflicts)
            _require_version(plan.library_version, job.params["library_version"])
            jobs.progress(job, 2, 4, "Making a safety backup")
            filename = back_up(plan)
            jobs.progress(job, 3, 4, "Writing your library")
            result = _apply(plan, filename, job)
    _log_done(job.kind, user.id, result, time.monotonic() - begun)
    return _stored(result)


# Both.


def _merge(
    user: User,
    incoming: Incoming,
    conflicts: Conflicts,
    back_up: safety.BackUp,
    job: Job | None = None,
) -> ImportResult:
    """Merge the file into the library as it is by then."""
    for _ in range(TRIES):
        plan = portable.plan(user.id, incoming, conflicts)
        filename = back_up(plan)
        # A phone may write in between, and then both are made anew.
        with contextlib.suppress(ConflictError):
            return _apply(plan, filename, job)
    log.info("import.locked_library", user=user.id)
    # Somebody writes several times a second: they wait until this is done.
    with db.atomic():
        plan = portable.plan(user.id, incoming, conflicts)
        return _apply(plan, back_up(plan, verify_later=True), job)


def _apply(plan: Plan, safety_backup: str | None, job: Job | None) -> ImportResult:
    """One transaction with the end of the job: a worker that dies right after the import must not
    do it, or call it failed, a second time."""
    result = portable.result(plan, safety_backup)
    if job and plan.library_version != job.params["library_version"]:
        result.warnings.append(MORE_CHANGES)
    with db.atomic():
        portable.apply(plan)
        if job:
            jobs.finish(job, _stored(result))
    return result


def _stored(result: ImportResult) -> dict:
    """Without `errors`: they say the same as `problems`, and there may be 100,000."""
    stored = msgspec.to_builtins(result)
    del stored["errors"]
    return stored


def _require_version(current: int, planned: int) -> None:
    if current != planned:
        raise ConflictError(portable.CHANGED)


def _log_done(kind: str, user_id: str, result: ImportResult, seconds: float) -> None:
    log.info(
        f"{kind}.done",
        user=user_id,
        films=result.movies_imported,
        people=result.people_imported,
        lists=result.lists_imported,
        left_out=len(result.errors),
        seconds=seconds,
    )

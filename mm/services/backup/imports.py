"""The way of a file or a backup into the library: planned, confirmed, and applied with a safety
backup before it."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from mm import clock, locks, log, models
from mm.database import db
from mm.errors import ConflictError, NoRoomError, UnusableFileError
from mm.models import Job, User
from mm.schemas import Action, Conflicts, ImportResult, Mode
from mm.services import jobs, portable
from mm.services.backup import (
    backups,
    changed_since,
    large_files,
    ledger,
    safety,
    stored_plans,
    uploads,
)
from mm.services.backup import files as backup_files
from mm.services.backup.stored_plans import PlanSummary
from mm.services.portable import Incoming, Plan

# Of a whole library, or of a collection.
AnyPlan = TypeVar("AnyPlan", bound=safety.AnyPlan)
Result = TypeVar("Result")
# So often the library may change under an import before nobody else may write.
TRIES = 2
CHANGED_MEANWHILE = "{} changed before this started. Nothing was written."
PLAN_LOST_MEANWHILE = "The stored plan was gone or changed. Nothing was written."
SEE_THE_NEW_PLAN = " Review the new plan."
REVIEW = "Review the new plan, then confirm."
CHANGED_SINCE = f"{{}} changed since this plan was made. {REVIEW}"
ANOTHER_PLAN = "Another plan was made since you looked at this one. Review it, then confirm."
PLAN_LOST = "The stored plan was gone or changed, so it was made anew. Review it, then confirm."
NO_ROOM_YET = " Nothing was written. Free some space, then confirm again. The file is still here."
NEWER_WAITS = " A newer upload has replaced it."
MORE_CHANGES = "Your library changed again before this was imported. The rule you chose decided."
# How each kind of job opens. A restore goes back; what it would only bring back stays mine.
OPENING: dict[str, tuple[Mode, Conflicts]] = {
    "import": ("merge", "overwrite"),
    "restore": ("replace", "skip"),
    "undo": ("replace", "overwrite"),
}


# At once: the API and the command line.


def import_bytes(
    user: User,
    data: bytes,
    conflicts: Conflicts = "overwrite",
    mode: Mode = "merge",
    source: str | None = None,
    library_version: int | None = None,
) -> ImportResult:
    """`source`: the file's name. `library_version`: of the plan that the user has confirmed, where
    there was one.

    Raises UnusableFileError or TooLargeError for a file that cannot be used, BusyError,
    NoRoomError, UnavailableError while another large file is read, and ConflictError where the
    library is no longer at `library_version`; nothing is then changed."""
    with uploads.refusal_logged(user.id, "import"):
        name = uploads.source_name(source)
        return at_once(user, data, "import", conflicts, mode, name, library_version)


def restore_backup(
    user: User,
    filename: str,
    conflicts: Conflicts = "overwrite",
    mode: Mode = "merge",
    library_version: int | None = None,
) -> ImportResult:
    """As `import_bytes`, from one of the user's backup files."""
    with uploads.refusal_logged(user.id, "restore"):
        data = backup_files.read(user.id, filename)
        return at_once(user, data, "restore", conflicts, mode, filename, library_version)


def plan_bytes(
    user: User, data: bytes, conflicts: Conflicts = "overwrite", mode: Mode = "merge"
) -> Plan:
    """What `import_bytes` would do now. Raises as it does for the file."""
    return portable.plan(user.id, large_files.read(data, user.id), conflicts, mode=mode)


def plan_backup(
    user: User, filename: str, conflicts: Conflicts = "overwrite", mode: Mode = "merge"
) -> Plan:
    """As `plan_bytes`, of `restore_backup`."""
    data = backup_files.read(user.id, filename)
    trusted = backup_files.is_ours(filename)
    return portable.plan(user.id, large_files.read(data, user.id, trusted), conflicts, mode=mode)


def at_once(
    user: User,
    data: bytes,
    action: Action,
    conflicts: Conflicts,
    mode: Mode,
    source: str | None,
    library_version: int | None = None,
) -> ImportResult:
    """As `import_bytes`, of a file that was read already."""
    trusted = action != "import" and backup_files.is_ours(source)
    incoming = large_files.read(data, user.id, trusted)
    begun = time.monotonic()
    with backups.holding(user.id, sentence=jobs.KINDS[action].went_wrong):
        with safety.backed_up(user, action, len(data), source) as back_up:
            result = _as_it_is_by_then(user, incoming, conflicts, mode, back_up, library_version)
        safety.complete(user.id, result.safety_backup)
    _log_done(action, user.id, result, time.monotonic() - begun)
    return result


# Step by step, for the pages: `uploads` keeps the file, its plan is stored and shown, and the
# worker does that plan.


def prepare(
    job: Job,
    mode: Mode | None = None,
    conflicts: Conflicts | None = None,
    left_out: Iterable[str] | None = None,
    fixes: dict[str, Any] | None = None,
) -> PlanSummary:
    """Make the plan of a waiting file anew and store it. What is not given stays as it was chosen
    before: at first as the kind of job opens, with nothing left out or fixed. `left_out` and
    `fixes` are as in `portable.plan` and `portable.read`.

    Raises NotFoundError when the file is gone, ConflictError when it no longer waits, and
    UnusableFileError where this file cannot be used in this mode.
    """
    chosen_mode, rule = _choice(job)
    mode, rule = mode or chosen_mode, conflicts or rule
    kept_out = sorted(job.params.get("left_out", []) if left_out is None else set(left_out))
    typed = job.params.get("fixes", {}) if fixes is None else fixes
    incoming = _incoming(job, uploads.data_of(job), typed)
    user_id, out = job.user_id, frozenset(kept_out)
    seen_until = changed_since.mark(user_id)
    plan = portable.plan(user_id, incoming, rule, mode=mode, left_out=out)
    other: Mode = "merge" if mode == "replace" else "replace"
    counts, problem = None, None
    if job.kind != "undo":
        try:
            alternative = portable.plan(user_id, incoming, rule, mode=other, left_out=out)
            counts = portable.count(alternative)
        except UnusableFileError as error:
            problem = error.message
    since = job.params.get("since")
    job.params = {**job.params, "left_out": kept_out, "fixes": typed, "seen_until": seen_until}
    return stored_plans.store(
        job,
        plan,
        conflicts=rule,
        exported_at=incoming.exported_at,
        other_counts=counts,
        other_problem=problem,
        since=changed_since.also_undone(user_id, **since) if since else None,
    )


def shown(job: Job) -> PlanSummary:
    """The stored plan of a waiting file, made now where there is none. Raises as `prepare`."""
    try:
        return stored_plans.summary(job)
    except stored_plans.GoneError:
        return prepare(job)


def other_counts(job: Job) -> dict[str, dict[str, int]] | None:
    """Of the plan in the other mode, with the same rule; None where that is refused."""
    return stored_plans.summary(job).other_counts


def confirm(job: Job, plan_id: str, anyway: bool = False) -> Job:
    """Queue exactly the stored plan of this id; the caller enqueues the job. `anyway`: the plan by
    then, if the library changes meanwhile; only of a merge, since a replace would remove what its
    user has not seen.

    Raises ConflictError where the plan is no longer true, with a new one made, or while something
    else works on the library.
    """
    if not uploads.is_waiting(job):
        raise ConflictError(uploads.NOT_WAITING)
    backups.require_idle(job.user_id)
    with stored_plans.settled(job):
        job.params = Job.get_by_id(job.id).params
        problem = _not_confirmable(job, plan_id, anyway)
        if problem is None:
            return uploads.queue(job, {**job.params, "anyway": anyway and _is_merge(job)})
    if problem != ANOTHER_PLAN:
        prepare(job)
    raise ConflictError(problem)


def _not_confirmable(job: Job, plan_id: str, anyway: bool) -> str | None:
    kept = job.params.get("plan", {})
    if kept.get("id") != plan_id:
        return ANOTHER_PLAN if kept else PLAN_LOST
    uploads.data_of(job)
    try:
        stored_plans.require_unchanged(job)
    except stored_plans.GoneError:
        return PLAN_LOST
    version = User.get_by_id(job.user_id).library_version
    is_true = version == job.params["library_version"] and not _is_from_before_a_restore(job)
    if not is_true and not (anyway and _is_merge(job)):
        return CHANGED_SINCE.format(_changed_since(job))
    return None


def _is_from_before_a_restore(job: Job) -> bool:
    """Of the whole server, after which the library may have the same library_version again. What
    the user agreed to was of another library."""
    return job.params.get("seen_until", 0.0) < models.epoch()


def run(job: Job) -> dict:
    """The work of a job of kind import, restore or undo; the ImportResult as builtins. Raises
    jobs.UnconfirmedError when the library or the stored plan is no longer the one that was
    confirmed, or when there is no room: the file stays, and can be confirmed again."""
    try:
        with backups.holding(job.user_id, sentence=jobs.KINDS[job.kind].went_wrong):
            result = _run_held(job)
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    except ConflictError as changed:
        log.info("import.unconfirmed", user=job.user_id, job=job.id)
        why = CHANGED_MEANWHILE.format(_changed_since(job))
        raise _with_a_new_plan(job, why) from changed
    except stored_plans.GoneError as gone:
        log.warning("import.plan_lost", user=job.user_id, job=job.id)
        raise _with_a_new_plan(job, PLAN_LOST_MEANWHILE) from gone
    except NoRoomError as full:
        raise back_to_its_user(job, full.message, NO_ROOM_YET) from full
    uploads.delete(job)
    return result


def failed(job: Job, _message: str) -> None:
    """The file of a job that has failed is of no more use."""
    uploads.delete(job)


def _with_a_new_plan(job: Job, why: str) -> Exception:
    """Where the new plan finds no room, it is made when its user looks at it."""
    if not _newer_waits(job):
        with contextlib.suppress(NoRoomError):
            prepare(job)
    return back_to_its_user(job, why, SEE_THE_NEW_PLAN)


def back_to_its_user(job: Job, why: str, what_next: str = "") -> Exception:
    """To be raised by the work of a job whose file is to be confirmed again. Each user has one
    waiting file: where a newer one waits, this one has failed."""
    if _newer_waits(job):
        return ConflictError(why + NEWER_WAITS)
    return jobs.UnconfirmedError(why + what_next)


def _newer_waits(job: Job) -> bool:
    waiting = (Job.user == job.user_id) & (Job.state == uploads.WAITING)
    return Job.select().where(waiting).exists()


def _run_held(job: Job) -> dict:
    begun = time.monotonic()
    user = User.get_by_id(job.user_id)
    anyway = bool(job.params.get("anyway"))
    jobs.progress(job, 0, 4, "Reading the plan")
    data = uploads.data_of(job)
    with safety.backed_up(user, job.kind, len(data), job.params.get("source")) as back_up:
        try:
            result = _do_stored(job, user, back_up)
        except ConflictError:
            if not anyway:
                raise
            jobs.progress(job, 1, 4, "Comparing it with your library")
            incoming = _incoming(job, data, job.params.get("fixes", {}))
            rule = job.params["conflicts"]
            result = _as_it_is_by_then(user, incoming, rule, "merge", back_up, job=job)
    safety.complete(user.id, result.safety_backup)
    _log_done(job.kind, user.id, result, time.monotonic() - begun)
    return _stored(result)


def _do_stored(job: Job, user: User, back_up: safety.BackUp) -> ImportResult:
    """Exactly the plan that was confirmed. Raises ConflictError where it is no longer true."""
    _require_version(user.library_version, job.params["library_version"])
    if _is_from_before_a_restore(job):
        raise ConflictError(portable.CHANGED)
    plan = stored_plans.load(job)
    jobs.progress(job, 2, 4, "Making a safety backup")
    filename = back_up(plan)
    jobs.progress(job, 3, 4, "Writing your library")
    return _apply(plan, filename, job)


def _incoming(job: Job, data: bytes, fixes: dict[str, Any]) -> Incoming:
    """In the worker, nobody waits for the answer."""
    is_patient = job.state == "running"
    trusted = job.kind != "import" and backup_files.is_ours(job.params.get("filename"))
    return large_files.read(data, job.user_id, trusted, is_patient, fixes)


def _choice(job: Job) -> tuple[Mode, Conflicts]:
    mode, conflicts = OPENING[job.kind]
    return job.params.get("mode", mode), job.params.get("conflicts", conflicts)


def _is_merge(job: Job) -> bool:
    return _choice(job)[0] == "merge"


def _changed_since(job: Job) -> str:
    """What changed since the plan was made, by name."""
    moment = job.params.get("seen_until", clock.now())
    return changed_since.sentence(changed_since.names(job.user_id, moment, at_least_one=True))


# Both.


def _as_it_is_by_then(
    user: User,
    incoming: Incoming,
    conflicts: Conflicts,
    mode: Mode,
    back_up: safety.BackUp,
    library_version: int | None = None,
    job: Job | None = None,
) -> ImportResult:
    """Plan and apply, with the library as it is by then."""
    left_out = frozenset(job.params.get("left_out", ())) if job else frozenset()

    def make() -> Plan:
        plan = portable.plan(user.id, incoming, conflicts, mode=mode, left_out=left_out)
        if library_version is not None:
            _require_version(plan.library_version, library_version)
        return plan

    def apply(plan: Plan, safety_backup: str | None) -> ImportResult:
        return _apply(plan, safety_backup, job)

    return backed_up_and_applied(user.id, make, back_up, apply)


def backed_up_and_applied(
    user_id: str,
    make: Callable[[], AnyPlan],
    back_up: safety.BackUp,
    apply: Callable[[AnyPlan, str | None], Result],
) -> Result:
    """Make a plan, the safety backup from before it, and apply the plan with that backup's name.
    `apply` raises ConflictError where the library has changed since `make`."""
    for _ in range(TRIES):
        plan = make()
        filename = back_up(plan)
        # A phone may write in between, and then both are made anew.
        with contextlib.suppress(ConflictError):
            return apply(plan, filename)
    log.info("import.locked_library", user=user_id)
    # Somebody writes several times a second: they wait until this is done.
    with db.atomic():
        plan = make()
        return apply(plan, back_up(plan, verify_later=True))


def _apply(plan: Plan, safety_backup: str | None, job: Job | None) -> ImportResult:
    """One transaction with the end of the job: a worker that dies right after the import must not
    do it, or call it failed, a second time. And with the note that the safety copy is one from
    before something that was really done."""
    result = portable.result(plan, safety_backup)
    result.mode = plan.mode
    if job and plan.library_version != job.params["library_version"]:
        result.warnings.append(MORE_CHANGES)
    with db.atomic():
        portable.apply(plan)
        if not plan.is_empty():
            note_written(plan.user_id, safety_backup)
        if job:
            jobs.finish(job, _stored(result))
    return result


def note_written(user_id: str, safety_backup: str | None) -> None:
    """In the transaction that writes the library: from now on its copy can be gone back to, or,
    where there is none, an earlier one is no longer the last."""
    ledger.record_written(user_id, safety_backup or ledger.NO_COPY, changed_since.mark(user_id))


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

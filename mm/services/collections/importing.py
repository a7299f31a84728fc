"""The way of a collection into the library: kept while its user looks at the preview, and taken
with a safety backup before it, as an import of a whole library is."""

import time
from collections.abc import Mapping
from typing import IO

import msgspec

from mm import config, locks, log
from mm.database import db
from mm.errors import ConflictError, NoRoomError, NotFoundError
from mm.models import Job, User
from mm.schemas import CollectionKind, CollectionResult
from mm.services import jobs
from mm.services.backup import backups, imports, large_files, quotas, safety, uploads
from mm.services.collections import envelope, plans
from mm.services.collections.envelope import Received
from mm.services.collections.plans import CollectionPlan

JOB = "collection"
CHANGED_SINCE = "Your library changed since this preview was made. Check it, then confirm again."


def at_once(
    user: User,
    received: Received,
    resolutions: Mapping[str, str] | None = None,
    bulk_resolution: str | None = None,
    source: str | None = None,
    agreed: str | None = None,
) -> CollectionResult:
    """`source`: the file's name; `agreed`: the digest of the preview that the user has confirmed.

    Raises InvalidError, BusyError, NoRoomError, ConflictError where something else would happen
    than `agreed`, and UnavailableError where too many large files wait; nothing is changed then."""
    with uploads.refusal_logged(user.id, JOB), large_files.in_turn(received.size, user.id):
        name = uploads.source_name(source)
        return _run(user, received, resolutions, bulk_resolution, name, agreed)


def plan(
    user_id: str,
    received: Received,
    resolutions: Mapping[str, str] | None = None,
    bulk_resolution: str | None = None,
) -> CollectionPlan:
    """What `at_once` would do now. Raises InvalidError, and UnavailableError as it does."""
    with large_files.in_turn(received.size, user_id):
        return plans.plan(user_id, received, resolutions, bulk_resolution)


# Step by step, for the pages: the file waits with a job of its user.


def receive(user: User, kind: CollectionKind, stream: IO[bytes], name: str | None = None) -> Job:
    """An uploaded file, checked and kept for 24 hours in place of any earlier upload. Raises
    TooLargeError, UnusableFileError, NoRoomError, or UnavailableError where too many large files
    wait, with nothing kept."""
    with uploads.refusal_logged(user.id, JOB):
        data = stream.read(envelope.FILE_MAX + 1)
        with large_files.in_turn(len(data), user.id):
            plans.plan(user.id, envelope.read(kind, data))
        quotas.require_reserve(config.current.tmp_dir, len(data))
        params = {"kind": kind, "source": uploads.source_name(name)}
        return uploads.keep(user, data, JOB, params)


def find(job_id: str, user_id: str, kind: CollectionKind) -> Job:
    """Raises NotFoundError when it is gone, or of another kind."""
    job = uploads.find(job_id, user_id, (JOB,))
    if job.params.get("kind") != kind:
        raise NotFoundError(uploads.GONE)
    return job


def waiting(user_id: str, kind: CollectionKind) -> Job | None:
    """The file of this kind that its user has yet to confirm; there is one at most."""
    mine = (Job.user == user_id) & (Job.kind == JOB) & (Job.state == uploads.WAITING)
    job = Job.select().where(mine).order_by(Job.created_at.desc()).first()
    return job if job and job.params.get("kind") == kind else None


def chosen(job: Job) -> tuple[dict[str, str], str | None]:
    """What its user has chosen: the resolutions by name, and the one for all others."""
    return job.params.get("resolutions", {}), job.params.get("bulk")


def planned(job: Job) -> CollectionPlan:
    """The plan of a waiting file as its user has chosen, for the library as it is now. Raises
    NotFoundError when the file is gone, and UnavailableError where too many large files wait."""
    return _plan_of(job, *chosen(job))


def choose(
    job: Job, resolutions: Mapping[str, str], bulk_resolution: str | None = None
) -> CollectionPlan:
    """Keep what the user chose, and plan anew. Raises InvalidError for an unknown resolution, and
    ConflictError where the file waits no longer."""
    plan = _plan_of(job, resolutions, bulk_resolution)
    job.params = {**job.params, "resolutions": dict(resolutions), "bulk": bulk_resolution}
    with db.atomic():
        waiting = (Job.id == job.id) & (Job.state == uploads.WAITING)
        if not Job.update(params=job.params).where(waiting).execute():
            raise ConflictError(uploads.NOT_WAITING)
    return plan


def confirm(job: Job, agreed: str) -> Job:
    """Queue the import; `agreed` is the digest of the preview that was shown. Raises ConflictError
    where it is no longer true, or the file waits no longer."""
    backups.require_idle(job.user_id)
    if plans.digest(planned(job)) != agreed:
        raise ConflictError(CHANGED_SINCE)
    return uploads.queue(job, {**job.params, "agreed": agreed})


def is_large(job: Job) -> bool:
    """Whether the import of this file may take longer than somebody waits for a page."""
    try:
        return uploads.path_of(job).stat().st_size >= large_files.LARGE_FILE
    except FileNotFoundError:  # it is done already
        return False


def run(job: Job) -> dict:
    """The work of a job of kind collection; the CollectionResult as builtins. Raises
    jobs.UnconfirmedError where something else would happen than what was confirmed, or when there
    is no room: the file stays, and can be confirmed again."""
    user = User.get_by_id(job.user_id)
    data = uploads.data_of(job)
    source, agreed = job.params.get("source"), job.params.get("agreed")
    try:
        # Nobody waits for an answer.
        with large_files.in_turn(len(data), user.id, is_patient=True):
            received = envelope.read(job.params["kind"], data)
            result = _run(user, received, *chosen(job), source, agreed, job)
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    except ConflictError as changed:
        raise imports.back_to_its_user(job, changed.message) from changed
    except NoRoomError as full:
        raise imports.back_to_its_user(job, full.message, imports.NO_ROOM_YET) from full
    uploads.delete(job)
    return msgspec.to_builtins(result)


def failed(job: Job, _message: str) -> None:
    """The file of a job that has failed is of no more use."""
    uploads.delete(job)


def _plan_of(job: Job, resolutions: Mapping[str, str], bulk: str | None) -> CollectionPlan:
    data = uploads.data_of(job)
    with large_files.in_turn(len(data), job.user_id):
        return plans.plan(job.user_id, envelope.read(job.params["kind"], data), resolutions, bulk)


def _run(
    user: User,
    received: Received,
    resolutions: Mapping[str, str] | None,
    bulk_resolution: str | None,
    source: str | None,
    agreed: str | None,
    job: Job | None = None,
) -> CollectionResult:
    begun = time.monotonic()

    def make() -> CollectionPlan:
        plan = plans.plan(user.id, received, resolutions, bulk_resolution)
        if agreed is not None and plans.digest(plan) != agreed:
            raise ConflictError(CHANGED_SINCE)
        return plan

    def apply(plan: CollectionPlan, safety_backup: str | None = None) -> CollectionResult:
        return _apply(plan, safety_backup, job)

    with backups.holding(user.id, sentence=jobs.KINDS[JOB].went_wrong):
        if not plans.KINDS[received.kind].IN_LIBRARY:
            with db.atomic():
                result = apply(make())
        else:
            # The items take about as much in the database.
            with safety.backed_up(user, "import", received.size, source) as back_up:
                result = imports.backed_up_and_applied(user.id, make, back_up, apply)
            safety.complete(user.id, result.safety_backup)
    log.info(
        "collection.done",
        user=user.id,
        kind=received.kind,
        imported=result.imported,
        overwritten=result.overwritten,
        renamed=result.renamed,
        left_out=result.errors,
        seconds=time.monotonic() - begun,
    )
    return result


def _apply(plan: CollectionPlan, safety_backup: str | None, job: Job | None) -> CollectionResult:
    """One transaction with the end of the job, and with the note of what can be undone now."""
    with db.atomic():
        result = plans.apply(plan, safety_backup)
        if plans.KINDS[plan.kind].IN_LIBRARY and not plan.is_empty():
            imports.note_written(plan.user_id, safety_backup)
        if job:
            jobs.finish(job, msgspec.to_builtins(result))
    return result

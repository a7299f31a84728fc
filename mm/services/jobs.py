"""Long work as rows: progress that survives a reload and a restart.

The row is the queue. Whoever runs a job holds the lock `job-ID`; a row that says `running` while
nobody holds that lock belonged to a process that died.
"""

import time
from collections.abc import Callable, Iterable

from peewee import Expression, Field

from mm import clock, disk, locks, log
from mm.database import db
from mm.errors import NotFoundError, UserError
from mm.models import Job

DAY = 86400
KEEP_SECONDS = 7 * DAY
ACTIVE = ("queued", "running")
# A queued row this old was lost between the database and the queue, or its worker was not running.
REQUEUE_AFTER = 60
# How often a job that dies with its process is started before it is given up.
STARTS = 10
GIVEN_UP = f"Given up: the worker stopped {STARTS} times while doing this."
# When a worker that found a job's library in use looks again; two looks closer together are two
# copies of one task, and one of them ends.
AGAIN_SECONDS = 3
SAME_LOOK_SECONDS = 2.5


Work = Callable[[Job], dict | None]
Failed = Callable[[Job, str], None]


class Stopped(Exception):
    """The worker is shutting down, or what the job needs is in use: the job goes back to the queue
    and is repeated."""


class Unconfirmed(Exception):
    """What the job's user confirmed is no longer so: the job waits for them again. The message says
    why."""


def create(
    kind: str, user_id: str | None = None, params: dict | None = None, state: str = "queued"
) -> Job:
    """`state` "waiting" is for a job that a user has yet to confirm."""
    return Job.create(
        kind=kind, user=user_id, params=params or {}, state=state, created_at=clock.now()
    )


def create_unless_active(kind: str) -> Job | None:
    """A job of the server's; None where one is active. Two who look at once make one."""
    with db.atomic():
        return None if active(kind) else create(kind)


def create_many(kind: str, user_ids: Iterable[str], params: dict) -> list[Job]:
    """A job for each user, in one statement a few hundred."""
    now = clock.now()
    made = [Job(kind=kind, user=user_id, params=params, created_at=now) for user_id in user_ids]
    with db.atomic():
        Job.bulk_create(made, batch_size=500)
    return made


def get(job_id: str, user_id: str) -> Job:
    """A job of this user; NotFoundError for any other."""
    job = Job.get_or_none((Job.id == job_id) & (Job.user == user_id))
    if job is None:
        words = "That job is gone: jobs are kept for 7 days, uploads until a newer one takes over."
        raise NotFoundError(words)
    return job


def active(kind: str, user_id: str | None = None) -> Job | None:
    """The newest queued or running job of a kind (of one user)."""
    jobs = (
        Job.select()
        .where((Job.kind == kind) & Job.state.in_(ACTIVE))
        .order_by(Job.created_at.desc())
    )
    return (jobs.where(Job.user == user_id) if user_id else jobs).first()


def progress(job: Job, done: int, total: int, message: str = "") -> None:
    Job.update(done=done, total=total, message=message).where(Job.id == job.id).execute()


def run(job_id: str, work: Work, failed: Failed | None = None) -> bool:
    """Run `work(job)` under the job's lock, and record its result or its failure on the row;
    `failed(job, message)` is told of a failure. True when the job is still to be done: it was
    stopped, or what it needs is in use.

    Does nothing for a job that is finished or that another process runs, so a task delivered twice
    is harmless.
    """
    try:
        with locks.hold(f"job-{job_id}"):
            job = _claim(job_id)
            return job is not None and _run_held(job, work, failed or _nobody_to_tell)
    except locks.BusyError:
        # Somebody runs it, or only looks whether somebody does.
        return Job.select().where((Job.id == job_id) & (Job.state == "queued")).exists()


def _claim(job_id: str) -> Job | None:
    mine = (Job.id == job_id) & Job.state.in_(ACTIVE)
    claim = Job.update(state="running", starts=Job.starts + 1, started_at=clock.now()).where(mine)
    with db.atomic():
        return next(iter(claim.returning(Job).execute()), None)


def _run_held(job: Job, work: Work, failed: Failed) -> bool:
    begun = time.monotonic()
    try:
        result = work(job)
    except (Stopped, locks.BusyError):
        _update(job, state="queued", starts=job.starts - 1)
        return True
    except Unconfirmed as why:
        _update(job, state="waiting", message=str(why), done=0, total=0, starts=0, started_at=None)
    except UserError as error:
        log.warning(f"{job.kind}.failed", user=job.user_id, job=job.id, reason=type(error).__name__)
        fail(job, error.message)
        failed(job, error.message)
    except Exception as error:
        if full := disk.is_full(error):
            message = disk.FULL
            log.warning(f"{job.kind}.failed", user=job.user_id, job=job.id, reason="disk full")
        else:
            code = log.unexpected(f"{job.kind}.failed", error, user=job.user_id, job=job.id)
            message = went_wrong(code)
        fail(job, message)
        failed(job, message)
        if not full:
            raise
    else:
        _update(job, state="done", result=result, finished_at=clock.now())
        log.debug("job.done", kind=job.kind, job=job.id, seconds=time.monotonic() - begun)
    return False


def is_done(job_id: str) -> bool:
    return Job.select().where((Job.id == job_id) & (Job.state == "done")).exists()


def went_wrong(code: str) -> str:
    """What a user is told of an error that nobody foresaw."""
    return f"Something went wrong on the server. Your library was not changed. (code {code})"


def fail(job: Job, message: str) -> None:
    """A job that has recorded its success keeps it, whatever went wrong while it tidied up."""
    with db.atomic():
        ended = Job.update(state="failed", message=message, finished_at=clock.now())
        ended.where((Job.id == job.id) & (Job.state != "done")).execute()


def goes_on_trying(job_id: str) -> bool:
    """Note that what this job needs is in use. False for a second copy of a task that tries: it
    shall end, or every copy that was ever made would go on for as long as the job waits."""
    now = clock.now()
    mine = (
        (Job.id == job_id)
        & (Job.state == "queued")
        & _not_since(Job.tried_at, now - SAME_LOOK_SECONDS)
    )
    with db.atomic():
        return bool(Job.update(tried_at=now).where(mine).execute())


def recover() -> tuple[list[Job], list[Job]]:
    """Running jobs whose process died: those back in state queued, for the caller to enqueue, and
    those that took their process down each time, which are failed with that reason."""
    lost, given_up = [], []
    for job in list(Job.select().where(Job.state == "running")):
        try:
            with locks.hold(f"job-{job.id}"):
                if job.starts >= STARTS and _leave(
                    job, state="failed", message=GIVEN_UP, finished_at=clock.now()
                ):
                    given_up.append(job)
                    log.error(f"{job.kind}.given_up", user=job.user_id, job=job.id)
                elif job.starts < STARTS and _leave(job, state="queued"):
                    lost.append(job)
        except locks.BusyError:
            continue
    return lost, given_up


def _leave(job: Job, **values) -> bool:
    """False where the job has ended since it was looked at."""
    with db.atomic():
        return bool(
            Job.update(**values).where((Job.id == job.id) & (Job.state == "running")).execute()
        )


def waiting_for_a_worker(seconds: float = REQUEUE_AFTER) -> list[Job]:
    """Queued rows that no task has tried for so long that it was probably lost. Enqueuing one twice
    is harmless."""
    before = clock.now() - seconds
    old = _not_since(Job.created_at, before) & _not_since(Job.tried_at, before)
    return list(Job.select().where((Job.state == "queued") & old).order_by(Job.created_at))


def _not_since(field: Field, moment: float) -> Expression:
    """A time of the future was written while the clock was wrong."""
    return field.is_null() | (field <= moment) | (field > clock.now())


def sweep() -> None:
    """Drop finished and abandoned rows after a week, and those that a clock that was ahead made."""
    now = clock.now()
    old = (Job.created_at < now - KEEP_SECONDS) | (Job.created_at > now + DAY)
    Job.delete().where(old & Job.state.not_in(ACTIVE)).execute()


def _nobody_to_tell(job: Job, message: str) -> None:
    """The row says it all."""


def _update(job: Job, **values) -> None:
    with db.atomic():
        Job.update(**values).where(Job.id == job.id).execute()

"""Long work as rows: progress that survives a reload and a restart.

The row is the queue. Whoever runs a job holds the lock `job-ID`; a row that says `running` while nobody holds that
lock belonged to a process that died.
"""

from collections.abc import Callable

from mm import clock
from mm.errors import NotFound, UserError
from mm.models import Job, db
from mm.services import locks

KEEP_SECONDS = 7 * 86400
ACTIVE = ("queued", "running")
# A queued row this old was lost between the database and the queue, or its worker was not running.
REQUEUE_AFTER = 90
# How often a job that dies with its process is started before it is given up.
STARTS = 3


class Stopped(Exception):
    """The worker is shutting down; the job goes back to the queue and is repeated at the next start."""


def create(kind: str, user_id: str | None = None, params: dict | None = None, state: str = "queued") -> Job:
    """`state` "waiting" is for a job that a user has yet to confirm."""
    return Job.create(kind=kind, user=user_id, params=params or {}, state=state, created_at=clock.now())


def get(job_id: str, user_id: str) -> Job:
    """A job of this user; NotFound for any other."""
    job = Job.get_or_none((Job.id == job_id) & (Job.user == user_id))
    if job is None:
        raise NotFound("That job is gone. Jobs are kept for 7 days.")
    return job


def active(kind: str, user_id: str | None = None) -> Job | None:
    """The newest queued or running job of a kind (of one user)."""
    jobs = Job.select().where((Job.kind == kind) & Job.state.in_(ACTIVE)).order_by(Job.created_at.desc())
    return (jobs.where(Job.user == user_id) if user_id else jobs).first()


def progress(job: Job, done: int, total: int, message: str = "") -> None:
    Job.update(done=done, total=total, message=message).where(Job.id == job.id).execute()


def run(job_id: str, work: Callable[[Job], dict | None]) -> None:
    """Run `work(job)` under the job's lock, and record its result or its failure on the row.

    Does nothing for a job that is finished or that another process runs, so a task delivered twice is harmless.
    """
    try:
        with locks.hold(f"job-{job_id}"):
            job = Job.get_or_none((Job.id == job_id) & Job.state.in_(ACTIVE))
            if job is not None:
                _run_held(job, work)
    except locks.Busy:
        return


def _run_held(job: Job, work: Callable[[Job], dict | None]) -> None:
    starts = job.params.get("starts", 0) + 1
    job.params = {**job.params, "starts": starts}
    _update(job, state="running", started_at=clock.now(), params=job.params)
    try:
        result = work(job)
    except Stopped:
        _update(job, state="queued", params={**job.params, "starts": starts - 1})
    except UserError as error:
        _update(job, state="failed", message=error.message, finished_at=clock.now())
    except Exception as error:
        _update(job, state="failed", message=f"Unexpected error: {error}", finished_at=clock.now())
        raise
    else:
        _update(job, state="done", result=result, finished_at=clock.now())


def recover() -> list[Job]:
    """Jobs whose process died or whose task was lost, back in state queued, for the caller to enqueue; a job that
    took its process down each time is failed with that reason."""
    lost = []
    for job in Job.select().where(Job.state.in_(ACTIVE)):
        stale = job.state == "running" or job.created_at < clock.now() - REQUEUE_AFTER
        if not stale or locks.is_held(f"job-{job.id}"):
            continue
        if job.params.get("starts", 0) >= STARTS:
            reason = f"Given up: the worker stopped {STARTS} times while doing this."
            _update(job, state="failed", message=reason, finished_at=clock.now())
        else:
            _update(job, state="queued")
            lost.append(job)
    return lost


def sweep() -> None:
    """Drop finished and abandoned rows after a week."""
    Job.delete().where(Job.created_at < clock.now() - KEEP_SECONDS).where(Job.state.not_in(ACTIVE)).execute()


def _update(job: Job, **values) -> None:
    with db.atomic():
        Job.update(**values).where(Job.id == job.id).execute()

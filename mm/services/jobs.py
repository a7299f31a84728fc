"""Long work as rows: progress that survives a reload and a restart.

The row is the queue. Whoever runs a job holds the lock `job-ID`; a row that says `running` while
nobody holds that lock belonged to a process that died.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from peewee import JOIN, Expression, Field, ModelSelect, fn

from mm import clock, disk, locks, log, maintenance
from mm.clock import DAY
from mm.database import db
from mm.errors import NotFoundError, UserError
from mm.models import Job, User

KEEP_SECONDS = 7 * DAY
ACTIVE = ("queued", "running")
# A queued row this old was lost between the database and the queue, or its worker was not running.
REQUEUE_AFTER = 60
# How often a job that dies with its process is started before it is given up.
STARTS = 10
GIVEN_UP = f"Gave up: the worker stopped {STARTS} times while doing this."
# How long a worker waits that found a job's library in use. Two tries closer together are two
# copies of one task, and one of them ends.
RETRY_SECONDS = 3
RETRIES_APART_SECONDS = 2.5


Work = Callable[[Job], dict | None]
Failed = Callable[[Job, str], None]


class Words(NamedTuple):
    """The headings of a job's page: its title, then while the job runs, and how it ended."""

    heading: str
    doing: str
    done: str
    failed: str


class Kind(NamedTuple):
    """What the program knows of a kind of job, but for its work, which is in `tasks.WORK`.

    `noun` begins a sentence. `words` are None for jobs without a page: health names those that
    failed.
    """

    noun: str
    words: Words | None = None
    # Minutes or hours that nobody waits for: leaves one of the worker's threads to the rest.
    is_long: bool = False
    # Somebody looks at its progress: goes before a night's backups.
    is_awaited: bool = False
    # Titles to be looked up may be new afterwards.
    adds_titles: bool = False
    # What is told of an error that nobody foresaw, before the code of its log entry.
    went_wrong: str = "Something went wrong on the server. Your library was not changed."
    # Work on the whole server: belongs to nobody, and its page is for administrators.
    is_of_server: bool = False


KINDS = {
    "backup": Kind(
        "A backup",
        Words(
            heading="Backup",
            doing="Backing up your library",
            done="Backed up and verified",
            failed="The backup failed",
        ),
        went_wrong="The server could not write the backup. Your earlier backups are safe.",
    ),
    "verify": Kind(
        "A check",
        Words(
            heading="Test restore",
            doing="Testing the backup",
            done="The backup can be restored",
            failed="The test restore failed",
        ),
        is_awaited=True,
        went_wrong="The server could not test the backup. The file is as it was.",
    ),
    "import": Kind(
        "An import",
        Words("Import", "Importing", "Import finished", "The import failed"),
        is_awaited=True,
        adds_titles=True,
    ),
    "collection": Kind(
        "An import of a collection",
        Words("Import", "Importing", "Import finished", "The import failed"),
        is_awaited=True,
        adds_titles=True,
    ),
    "restore": Kind(
        "A restore",
        Words("Restore", "Restoring", "Restore finished", "The restore failed"),
        is_awaited=True,
        adds_titles=True,
    ),
    "undo": Kind(
        "An undo",
        Words("Undo", "Going back", "Undone", "The undo failed"),
        is_awaited=True,
        adds_titles=True,
    ),
    "archive": Kind(
        "An archive of the server",
        Words(
            heading="Archive",
            doing="Making an archive of the server",
            done="The archive is ready",
            failed="The archive failed",
        ),
        is_awaited=True,
        is_of_server=True,
        went_wrong="The server could not make the archive. Earlier archives are safe.",
    ),
    "archive-check": Kind(
        "The check of an archive",
        Words(
            heading="Test restore",
            doing="Testing the archive",
            done="The archive can be restored",
            failed="The test restore failed",
        ),
        is_awaited=True,
        is_of_server=True,
        went_wrong="The server could not test the archive. The file is as it was.",
    ),
    "server-restore": Kind(
        "A restore of the whole server",
        Words(
            heading="Restore of the server",
            doing="Restoring the server",
            done="The server is restored",
            failed="The restore failed",
        ),
        is_awaited=True,
        adds_titles=True,
        is_of_server=True,
        went_wrong="Something went wrong. The server’s data is as it was before the restore.",
    ),
    "archives": Kind("The nightly test of an archive", is_long=True),
    "all-users": Kind("The nightly export of all libraries"),
    "unchanged": Kind("The night of libraries without a change"),
    "recheck": Kind("The check of old backups", is_long=True),
    "enrich": Kind("The look-up of titles", is_long=True),
    "posters": Kind("The download of posters", is_long=True),
    "tidying": Kind("The nightly tidying"),
    "catalogue": Kind(
        "The update of the catalogue",
        is_long=True,
        went_wrong="Something went wrong on the server.",
    ),
}
# The kinds that a user's page shows. Only one of them runs at a time for the same user.
OF_A_USER = tuple(name for name, kind in KINDS.items() if kind.words and not kind.is_of_server)
# Those that an administrator's page shows. Only one of them runs at a time.
OF_THE_SERVER = tuple(name for name, kind in KINDS.items() if kind.is_of_server)


# Rows of a page of `ended`.
PAGE_SIZE = 30
# Columns that may hold a row for each film of a library.
LONG = ("params", "result")
# Those whose results may hold a row for each film of a library; what of them is short.
LIBRARY_CHANGES = ("import", "restore", "undo", "collection")
WRITTEN = (
    "movies_imported",
    "people_imported",
    "lists_imported",
    "imported",
    "renamed",
    "overwritten",
)


class Ended(NamedTuple):
    """Jobs that are over, or wait for their user. `results` is by the job's id; of those of
    LIBRARY_CHANGES it has only WRITTEN."""

    jobs: list[Job]
    results: dict[str, dict]
    number: int
    pages: int


class StoppedError(Exception):
    """The worker is shutting down, or what the job needs is in use: the job goes back to the queue
    and is repeated."""


class UnconfirmedError(Exception):
    """What the user confirmed no longer holds: the job waits for them again. The message says
    why."""


def create(
    kind: str, user_id: str | None = None, params: dict | None = None, state: str = "queued"
) -> Job:
    """`state` "waiting" is for a job that a user has yet to confirm."""
    return Job.create(
        kind=kind, user=user_id, params=params or {}, state=state, created_at=clock.now()
    )


def create_unless_active(kind: str) -> Job | None:
    """A job of the server's own; None where one is active. Two processes that ask at once make one
    job."""
    with db.atomic():
        return None if active(kind) else create(kind)


def create_many(kind: str, user_ids: Iterable[str], params: dict) -> list[Job]:
    """A job for each user, a few hundred in one statement."""
    now = clock.now()
    created = [Job(kind=kind, user=user_id, params=params, created_at=now) for user_id in user_ids]
    with db.atomic():
        Job.bulk_create(created, batch_size=500)
    return created


def get(job_id: str, user_id: str) -> Job:
    """A job of this user; NotFoundError for any other."""
    job = Job.get_or_none((Job.id == job_id) & (Job.user == user_id))
    if job is None:
        raise NotFoundError(
            "This job no longer exists: jobs are kept for 7 days, uploads until a newer one "
            "replaces them."
        )
    return job


def get_of_server(job_id: str) -> Job:
    """A job of the whole server; NotFoundError for any other."""
    job = Job.get_or_none((Job.id == job_id) & Job.kind.in_(OF_THE_SERVER))
    if job is None:
        raise NotFoundError("This job no longer exists: jobs are kept for 7 days.")
    return job


def active_of_server() -> Job | None:
    """The job of the whole server that is queued or runs."""
    return next(filter(None, (active(kind) for kind in OF_THE_SERVER)), None)


def active(kind: str, user_id: str | None = None) -> Job | None:
    """The newest queued or running job of a kind (of one user)."""
    rows = Job.select().where((Job.kind == kind) & Job.state.in_(ACTIVE))
    if user_id:
        rows = rows.where(Job.user == user_id)
    return rows.order_by(Job.created_at.desc()).first()


def under_way(waiting: int) -> tuple[list[Job], int]:
    """What runs, then what is queued, the first of it first, at most so many; and how many are
    queued in all. Each with its user, without its result."""
    running = _with_users(Job.params).where(Job.state == "running").order_by(Job.started_at)
    queued = _with_users(Job.params).where(Job.state == "queued").order_by(Job.created_at)
    count = Job.select().where(Job.state == "queued").count()
    return [*running, *queued.limit(waiting)], count


def ended(number: int) -> Ended:
    """PAGE_SIZE of them, the newest first; the nearest page that there is. Each with its user."""
    over = Job.state.not_in(ACTIVE)
    pages = max(1, -(-Job.select().where(over).count() // PAGE_SIZE))
    number = min(max(number, 1), pages)
    newest = fn.COALESCE(Job.finished_at, Job.created_at).desc()
    rows = list(_with_users().where(over).order_by(newest, Job.id).paginate(number, PAGE_SIZE))
    return Ended(rows, _results(rows), number, pages)


def _with_users(*further: Field) -> ModelSelect:
    """Without the LONG columns, but for `further`."""
    short = [field for field in Job._meta.sorted_fields if field.name not in LONG]
    return Job.select(*short, *further, User.id, User.username).join(User, JOIN.LEFT_OUTER)


def _results(rows: list[Job]) -> dict[str, dict]:
    changes = [job.id for job in rows if job.kind in LIBRARY_CHANGES and job.state == "done"]
    others = [job.id for job in rows if job.kind not in LIBRARY_CHANGES]
    written = Job.select(Job.id, *(Job.result[name] for name in WRITTEN))
    results = {
        job_id: dict(zip(WRITTEN, counts, strict=True))
        for job_id, *counts in written.where(Job.id.in_(changes)).tuples()
    }
    short = Job.select(Job.id, Job.result).where(Job.id.in_(others)).tuples()
    return results | {job_id: result or {} for job_id, result in short}


def progress(job: Job, done: int, total: int, message: str = "") -> None:
    Job.update(done=done, total=total, message=message).where(Job.id == job.id).execute()


def run(job_id: str, work: Work, failed: Failed | None = None) -> bool:
    """Run `work(job)` under the job's lock, and record its result or its failure on the row; a
    failure is also passed to `failed(job, message)`. True when the job is still to be done: it was
    stopped, or what it needs is in use.

    Does nothing for a job that is finished or that another process runs, so a task delivered twice
    is harmless. An error that nobody foresaw is raised again. Nothing is begun while the whole
    server is restored.
    """
    if maintenance.is_on():
        return True
    try:
        with locks.hold(f"job-{job_id}"):
            unfinished = (Job.id == job_id) & Job.state.in_(ACTIVE)
            begun = {"state": "running", "starts": Job.starts + 1, "started_at": clock.now()}
            with db.atomic():
                claimed = Job.update(**begun).where(unfinished).returning(Job).execute()
                job = next(iter(claimed), None)
            return job is not None and _run_held(job, work, failed)
    except locks.BusyError:
        # Another process runs it, or only looks whether somebody does.
        return Job.select().where((Job.id == job_id) & (Job.state == "queued")).exists()


def _run_held(job: Job, work: Work, failed: Failed | None) -> bool:
    begun = time.monotonic()
    try:
        with log.caught(besides=(StoppedError, UnconfirmedError, UserError)) as attempt:
            result = work(job)
    except (StoppedError, locks.BusyError):
        _update(job, state="queued", starts=job.starts - 1)
        return True
    except UnconfirmedError as why:
        _update(job, state="waiting", message=str(why), done=0, total=0, starts=0, started_at=None)
        return False
    except UserError as error:
        log.warning(f"{job.kind}.failed", user=job.user_id, job=job.id, reason=type(error).__name__)
        fail(job, error.message, failed)
        return False
    if attempt.error is None:
        finish(job, result)
        log.debug("job.done", kind=job.kind, job=job.id, seconds=time.monotonic() - begun)
    elif disk.is_full(attempt.error):
        log.warning(f"{job.kind}.failed", user=job.user_id, job=job.id, reason="disk full")
        fail(job, disk.FULL, failed)
    else:
        code = log.unexpected(f"{job.kind}.failed", attempt.error, user=job.user_id, job=job.id)
        fail(job, went_wrong(job.kind, code), failed)
        raise attempt.error
    return False


def finish(job: Job, result: dict | None) -> None:
    """Record that the job is done. Its work may call this within its own transaction: a process
    that dies right after the commit must not do it, or call it failed, a second time."""
    with db.atomic():
        ended = Job.update(state="done", done=Job.total, result=result, finished_at=clock.now())
        ended.where((Job.id == job.id) & (Job.state != "done")).execute()


def is_done(job_id: str) -> bool:
    return Job.select().where((Job.id == job_id) & (Job.state == "done")).exists()


def went_wrong(kind: str, code: str) -> str:
    """What a user is told of an error that nobody foresaw, in work of this kind."""
    return f"{KINDS[kind].went_wrong} {log.pointer(code)}"


def fail(job: Job, message: str, failed: Failed | None = None) -> None:
    """A job that has recorded its success keeps it, whatever went wrong while it tidied up."""
    with db.atomic():
        ended = Job.update(state="failed", message=message, finished_at=clock.now())
        ended.where((Job.id == job.id) & (Job.state != "done")).execute()
    if failed:
        failed(job, message)


def may_retry(job_id: str) -> bool:
    """Note that what this job needs is in use. False for a second copy of a task that waits: it
    must end, or every copy that was ever made would go on for as long as the job waits."""
    now = clock.now()
    alone = _not_since(Job.tried_at, now - RETRIES_APART_SECONDS)
    queued = (Job.id == job_id) & (Job.state == "queued") & alone
    with db.atomic():
        return bool(Job.update(tried_at=now).where(queued).execute())


def recover() -> tuple[list[Job], list[Job]]:
    """Running jobs whose process died: those back in state queued, for the caller to enqueue, and
    those that took their process down each time, which are failed with that reason."""
    lost: list[Job] = []
    given_up: list[Job] = []
    for job in list(Job.select().where(Job.state == "running")):
        is_last = job.starts >= STARTS
        values: dict = {"state": "queued"}
        if is_last:
            values = {"state": "failed", "message": GIVEN_UP, "finished_at": clock.now()}
        # It may have ended since it was looked at.
        running = (Job.id == job.id) & (Job.state == "running")
        try:
            with locks.hold(f"job-{job.id}"), db.atomic():
                if Job.update(**values).where(running).execute():
                    (given_up if is_last else lost).append(job)
        except locks.BusyError:
            continue
    for job in given_up:
        log.error(f"{job.kind}.given_up", user=job.user_id, job=job.id)
    return lost, given_up


def waiting_for_a_worker(seconds: float = REQUEUE_AFTER) -> list[Job]:
    """Queued rows that no task has tried for so long that their task was probably lost. Enqueuing
    one twice is harmless."""
    before = clock.now() - seconds
    old = _not_since(Job.created_at, before) & _not_since(Job.tried_at, before)
    return list(Job.select().where((Job.state == "queued") & old).order_by(Job.created_at))


def _not_since(field: Field, moment: float) -> Expression:
    """A time in the future was written while the clock was wrong."""
    return field.is_null() | (field <= moment) | (field > clock.now())


def sweep() -> None:
    """Drop finished and abandoned rows after a week, and those dated in the future by a clock that
    was ahead."""
    now = clock.now()
    old = (Job.created_at < now - KEEP_SECONDS) | (Job.created_at > now + DAY)
    Job.delete().where(old & Job.state.not_in(ACTIVE)).execute()


def _update(job: Job, **values) -> None:
    with db.atomic():
        Job.update(**values).where(Job.id == job.id).execute()

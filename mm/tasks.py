"""The queue and its tasks: each opens the database and makes one call.

The names of tasks are stored in the queue: renaming one strands what is queued. Locks, catch-up and repetition are not
huey's: see services/locks, schedule and jobs.
"""

import functools
import logging
import sys

from huey import Huey, PostgresHuey, SqliteHuey, crontab
from huey.exceptions import HueyException

from mm import config, models, schema
from mm.models import Job, db
from mm.services import backups, enrich, imports, jobs, nights, posters, rechecks, schedule, sync

log = logging.getLogger(__name__)

ADDS_TITLES = ("import", "restore")

# When a job finds in use what it needs.
AGAIN_SECONDS = 3

# kind of job -> its work, and who else is told of a failure
WORK: dict[str, tuple[jobs.Work, jobs.Failed | None]] = {
    "backup": (nights.run, nights.failed),
    "unchanged": (nights.run_unchanged, None),
    "verify": (backups.run_verify, None),
    "import": (imports.run, None),
    "restore": (imports.run, None),
    "recheck": (rechecks.run, None),
    "enrich": (enrich.run, None),
    "posters": (posters.run, None),
}


class OwnConsumer:
    """huey_consumer imports this module and asks for a consumer; the web process and the command line never do."""

    def create_consumer(self, **options):
        _set_up_consumer()
        consumer = super().create_consumer(**options)  # type: ignore[misc]
        # Long work looks at the consumer's own flag: huey's shut-down hooks run only in threads that are idle.
        enrich.stopping = consumer.stop_flag
        return consumer


class SqliteQueue(OwnConsumer, SqliteHuey):
    pass


class PostgresQueue(OwnConsumer, PostgresHuey):
    pass


def _queue(settings: config.Config) -> Huey:
    """Made at import, because huey opens its storage then: the environment must be set before."""
    config.prepare(settings)
    if settings.huey_url.startswith("postgres"):
        return PostgresQueue("mm", dsn=settings.huey_url)
    return SqliteQueue("mm", filename=settings.huey_url.removeprefix("sqlite:///") or str(settings.queue_file))


def _set_up_consumer() -> None:
    settings = config.use(config.from_environ())
    models.connect(settings.database)
    try:
        schema.require_current()
    except schema.SchemaError as error:
        sys.exit(str(error))


huey = _queue(config.from_environ())


def enqueue(job: Job) -> None:
    """Hand a queued job to the worker. A queue that cannot be reached is no loss: the minute tick finds the row."""
    try:
        run_job(job.id, job.kind)
    except HueyException as error:
        log.warning("job %s waits for the next minute: %s", job.id, error)


def start_enrichment() -> None:
    """After anything that may have added titles."""
    if job := enrich.start_if_due():
        enqueue(job)


def start_posters() -> None:
    """Once titles tell what theirs are."""
    if job := posters.start_if_due():
        enqueue(job)


@huey.task()
def run_job(job_id: str, kind: str) -> None:
    with db.connection_context():
        again = jobs.run(job_id, *WORK[kind])
        if kind in ADDS_TITLES:
            start_enrichment()
        if kind == "enrich":
            start_posters()
    # Not at a shut-down: the next start finds the row.
    if again and not enrich.stopping.is_set():
        run_job.schedule((job_id, kind), delay=AGAIN_SECONDS)


@huey.periodic_task(crontab())
def tick() -> None:
    with db.connection_context():
        found = schedule.tick()
        imports.sweep()
        sync.sweep()
        for job in found if huey.pending_count() else [*found, *jobs.waiting_for_a_worker()]:
            enqueue(job)
        start_enrichment()
        start_posters()


@huey.on_startup()
@functools.cache
def take_over() -> None:
    """Once a process, though huey calls it in each thread: what the last one left behind."""
    with db.connection_context():
        backups.sweep()
        for job in jobs.waiting_for_a_worker(seconds=0):
            enqueue(job)

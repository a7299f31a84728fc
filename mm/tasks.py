"""The queue and its tasks: each opens the database and makes one call.

The names of tasks are stored in the queue: renaming one strands what is queued. Locks, catch-up and
repetition are not huey's: see mm/locks, services/jobs and services/backup/schedule.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from huey import Huey, crontab
from huey.consumer import Consumer, Scheduler
from huey.exceptions import HueyException
from huey.storage import BaseStorage, PostgresStorage, SqliteStorage
from peewee import OperationalError

from mm import clock, config, locks, log, maintenance, schema, starting, stored_settings
from mm.database import connect, db
from mm.models import Job
from mm.services import health, heartbeat, jobs, problems, tidying
from mm.services.backup import backups, imports, nightly, recheck, schedule, uploads
from mm.services.catalogue import updates
from mm.services.collections import importing
from mm.services.enrichment import offline_titles, posters, title_json
from mm.services.enrichment import runner as enrichment_runner
from mm.services.server import all_users, archive_schedule, archive_uploads, archives, restore
from mm.services.server.first_run import kept, outcome
from mm.services.sync import queue as sync_queue

# What the queue's storage raises when it is locked, full, damaged or gone.
QUEUE_ERRORS: tuple[type[Exception], ...] = (HueyException, sqlite3.Error, OSError)
with contextlib.suppress(ImportError):
    import psycopg

    QUEUE_ERRORS += (psycopg.Error,)


def _name_failure(job: Job, message: str) -> None:
    """No page shows that a job of the server's own failed, so health does, until one succeeds."""
    problems.put(f"job.{job.kind}", f"{jobs.KINDS[job.kind].noun} failed. {message}")


# What is done for each of `jobs.KINDS`, and when that failed.
WORK: dict[str, tuple[jobs.Work, jobs.Failed | None]] = {
    "backup": (nightly.run, nightly.failed),
    "unchanged": (nightly.run_unchanged, _name_failure),
    "verify": (backups.run_verify, None),
    "import": (imports.run, imports.failed),
    "collection": (importing.run, importing.failed),
    "restore": (imports.run, imports.failed),
    "undo": (imports.run, imports.failed),
    "server-restore": (restore.run, None),
    "archive": (archive_schedule.run, archive_schedule.failed),
    "archive-check": (archives.run_check, None),
    "archives": (archives.run_nightly, _name_failure),
    "recheck": (recheck.run, _name_failure),
    "enrich": (enrichment_runner.run, _name_failure),
    "posters": (posters.run, _name_failure),
    "tidying": (tidying.run, _name_failure),
    "all-users": (all_users.run, _name_failure),
    "catalogue": (offline_titles.update, _name_failure),
}


class Ticker(Scheduler):
    """Does periodic tasks in a thread of its own, where huey queues them: behind jobs that take
    hours, the minute's tick would come hours late."""

    def enqueue_periodic_tasks(self, now):
        for task in self.huey.read_periodic(now):
            # The next minute's must come all the same.
            with log.isolated("tick.failed"):
                task.execute()


class TickingConsumer(Consumer):
    scheduler_class = Ticker


class Queue(Huey):
    """Its storage is opened at first use, where the configuration in force says.

    It holds nothing that the job rows do not hold, so a damaged file makes room for a new one.
    """

    def __init__(self, name: str):
        self._opening = threading.Lock()
        self._opened: tuple[tuple, BaseStorage] | None = None
        super().__init__(name, results=False)

    def create_storage(self) -> None:
        """huey's constructor asks for it; `storage` makes it when it is needed."""

    @property
    def storage(self) -> BaseStorage:
        with self._opening:
            url = config.current.huey_url
            if url.startswith("postgres"):
                if self._opened is None or self._opened[0] != (url,):
                    self._opened = ((url,), PostgresStorage(self.name, dsn=url))
            else:
                filename = url.removeprefix("sqlite:///")
                path = Path(filename) if filename else config.current.queue_file
                # Another process may have set the file aside and made a new one.
                if self._opened is None or self._opened[0] != _identity(path):
                    self.close()
                    try:
                        opened = SqliteStorage(self.name, filename=str(path))
                        fault = _fault_of(opened)
                    except sqlite3.OperationalError:
                        raise
                    except sqlite3.DatabaseError as error:
                        fault = str(error)
                    if fault:
                        _set_aside(path, fault)
                        opened = SqliteStorage(self.name, filename=str(path))
                    self._opened = (_identity(path), opened)
            return self._opened[1]

    @storage.setter
    def storage(self, _: BaseStorage | None) -> None:
        pass

    def close(self) -> None:
        if self._opened:
            self._opened[1].close()
        self._opened = None

    def dequeue(self):
        try:
            return super().dequeue()
        except sqlite3.DatabaseError:
            if not self.mend():
                raise
        return None

    def mend(self) -> bool:
        """Replace a damaged file; False when it is whole."""
        storage = self.storage
        if not isinstance(storage, SqliteStorage) or not (fault := _fault_of(storage)):
            return False
        with self._opening:
            if self._opened and self._opened[1] is storage:
                self.close()
                _set_aside(Path(storage.filename), fault)
        return True

    def create_consumer(self, **options) -> Consumer:
        """huey_consumer imports this module and asks for a consumer; the web process and the
        command line never do."""
        with starting.plainly():
            settings = config.use(config.from_environ())
            config.prepare(settings)
            log.start(settings)
            log.adopt("huey", settings)
            stored_settings.refresh()
            connect(settings.database)
            schema.require_current()
        # As in wsgi.py.
        locks.share("running")
        consumer = TickingConsumer(self, **options)
        # Long work looks at the consumer's own flag: huey's shut-down hooks run only in threads
        # that are idle.
        enrichment_runner.stopping = consumer.stop_flag
        _allow_long_work(consumer.workers)
        log.info("worker.started", threads=consumer.workers)
        return consumer


def _identity(path: Path) -> tuple:
    try:
        status = path.stat()
    except OSError:
        return (path,)
    return (path, status.st_dev, status.st_ino)


def _fault_of(storage: SqliteStorage) -> str | None:
    """What is wrong with the file; a locked or full one is not damaged."""
    try:
        [(answer,)] = storage.sql("pragma quick_check(1)", results=True)
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else answer


def _set_aside(path: Path, fault: str) -> None:
    """The file's log first: beside a new file it would be played into it."""
    aside = f"{path.name}.damaged-{clock.local(clock.now(), config.current.zone):%Y-%m-%dT%H-%M-%S}"
    for ending in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(path.with_name(aside + ending))
    log.error("queue.damaged", set_aside=aside, fault=fault)


huey = Queue("mm")
_long_work = threading.BoundedSemaphore()
_taking_over = threading.Lock()


def _allow_long_work(threads: int) -> None:
    """One thread stays free for what somebody waits for."""
    global _long_work
    _long_work = threading.BoundedSemaphore(max(1, threads - 1))


@contextlib.contextmanager
def _until_maintenance() -> Iterator[None]:
    """Work that is cut short because the whole server is restored is found again by a later tick,
    where it is in the restored data at all."""
    try:
        yield
    except maintenance.MaintenanceError as why:
        log.info("work.cut_short", reason=why.message)


def enqueue(job: Job) -> None:
    """Hand a queued job to the worker. A queue that cannot be reached is no loss: the minute tick
    finds the row."""
    kind = jobs.KINDS[job.kind]
    by_hand = job.kind == "backup" and job.params.get("kind") == "manual"
    priority = 2 if kind.is_awaited or by_hand else 0 if kind.is_long else 1
    try:
        run_job(job.id, job.kind, priority=priority)
    except QUEUE_ERRORS as error:
        log.warning("queue.unreachable", job=job.id, kind=job.kind, error=repr(error))


def start_enrichment() -> None:
    """After anything that may have added titles, which are saved by then: when the database is too
    busy for one row more, the minute tick starts it. What the catalogue knows of them is there at
    once."""
    try:
        offline_titles.fill_new()
        _enrich_if_due()
    except OperationalError as error:
        log.warning("enrichment.waits", error=repr(error))


def _enrich_if_due() -> None:
    if job := enrichment_runner.start_if_due():
        enqueue(job)


def start_posters() -> None:
    """Once titles tell what theirs are."""
    if job := posters.start_if_due():
        enqueue(job)


def start_catalogue() -> None:
    if job := updates.start_if_due():
        enqueue(job)


@huey.task()
def run_job(job_id: str, kind: str) -> None:
    properties, retry = jobs.KINDS[kind], False
    stored_settings.refresh()
    with contextlib.ExitStack() as held:
        if properties.is_long:
            if not _long_work.acquire(blocking=False):
                # The row stays queued until another one has ended.
                return
            held.callback(_go_on_with_long_work)
            held.callback(_long_work.release)
        with _until_maintenance(), db.connection_context():
            is_left = jobs.run(job_id, *WORK[kind])
            if not properties.words and jobs.is_done(job_id):
                problems.clear(f"job.{kind}")
            # After a look-up, for what became possible while it ended: a key may be new.
            if properties.adds_titles or (kind == "enrich" and jobs.is_done(job_id)):
                stored_settings.refresh()
                start_enrichment()
            if kind == "enrich":
                start_posters()
            # Not at a shut-down: the next start finds the row.
            retry = is_left and not enrichment_runner.stopping.is_set() and jobs.may_retry(job_id)
    if retry:
        run_job.schedule((job_id, kind), delay=jobs.RETRY_SECONDS)


def _go_on_with_long_work() -> None:
    """What found no room beside the work that has just ended."""
    if not enrichment_runner.stopping.is_set():
        with db.connection_context():
            for job in jobs.waiting_for_a_worker(seconds=0):
                if jobs.KINDS[job.kind].is_long:
                    enqueue(job)


def enqueue_lost() -> None:
    """Rows whose task was lost between the database and the queue."""
    if huey.pending_count() == 0:
        for job in jobs.waiting_for_a_worker():
            enqueue(job)


def take_up_interrupted() -> None:
    """Jobs whose process died: done again, or given up when it died each time."""
    lost, given_up = jobs.recover()
    for job in lost:
        enqueue(job)
    for job in given_up:
        _, failed = WORK[job.kind]
        with log.isolated("given_up.failed", job=job.id):
            if failed:
                failed(job, jobs.GIVEN_UP)


def take_up_restore() -> None:
    """One of the whole server, which a killed process left. Before anything else is looked for: the
    jobs may be others afterwards."""
    with log.isolated("restore.not_taken_up"):
        restore.recover()


def enqueue_due() -> None:
    for job in (*schedule.due_jobs(), *archive_schedule.due_jobs()):
        enqueue(job)


def _sweep_setup() -> None:
    kept.sweep()
    outcome.sweep()


# part -> what health calls it, and what it does; first what is to be enqueued, then what can wait
PARTS = {
    "queue": ("Looking after the queue", huey.mend),
    # Before anything is put there: what is in the queue now is all that was not lost.
    "lost": ("Finding lost tasks", enqueue_lost),
    "schedule.lost": ("Taking up interrupted jobs", take_up_interrupted),
    "due": ("Starting what is due", enqueue_due),
    "titles.new": ("Taking titles from the catalogue", offline_titles.fill_new),
    "enrichment": ("Starting the look-up of titles", _enrich_if_due),
    "posters": ("Starting the download of posters", start_posters),
    "catalogue": ("Starting the update of the catalogue", start_catalogue),
    "titles": ("Preparing titles for phones", title_json.build_missing),
    "sweep.uploads": ("Deleting old uploads", uploads.sweep),
    "sweep.archives": ("Deleting what is left of archives", archives.sweep),
    "sweep.archive-uploads": ("Deleting old uploads of archives", archive_uploads.sweep),
    "sweep.catalogue": ("Deleting what is left of updates of the catalogue", updates.sweep),
    "sweep.setup": ("Deleting old files of the set-up", _sweep_setup),
    "sweep.sync": ("Deleting old answers to phones", sync_queue.sweep),
    "sweep.jobs": ("Deleting old jobs", jobs.sweep),
}


# Those that go on while the whole server is restored: they write nothing.
DURING_MAINTENANCE = ("queue",)


@huey.periodic_task(crontab())
def tick() -> None:
    stored_settings.refresh()
    take_up_restore()
    with db.connection_context(), _until_maintenance():
        for part, (what, work) in PARTS.items():
            if part in DURING_MAINTENANCE or not maintenance.is_on():
                problems.attempt(part, what, work)
    with db.connection_context():
        heartbeat.beat()


@huey.on_startup()
def take_over() -> None:
    """Once a process, though huey calls it in each thread: what the last one left behind."""
    if not _taking_over.acquire(blocking=False):
        return
    take_up_restore()
    with db.connection_context():
        health.lost_accounts()
        problems.attempt("sweep.backups", "Tidying the backup folders", backups.sweep)
        problems.attempt("sweep.catalogue", *PARTS["sweep.catalogue"])
        for job in jobs.waiting_for_a_worker(seconds=0):
            enqueue(job)

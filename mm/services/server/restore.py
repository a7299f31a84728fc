"""Restores the whole server from an archive: as a job, from the command line, and on where a killed
process left off.

Whoever does it holds the lock `server`. How far it is stands in a file (`restore_state`), because
the table of jobs is replaced too. Meanwhile nobody else writes (`maintenance`).
"""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mm import clock, config, files, locks, log, maintenance
from mm.clock import HOUR
from mm.database import db
from mm.errors import NotFoundError, UserError
from mm.models import Job, Movie, User
from mm.schemas import RestoreState
from mm.services import jobs
from mm.services.server import (
    archive_files,
    databases,
    live_database,
    restore_failures,
    restore_state,
    restore_steps,
)
from mm.services.server.archive_lock import LOCK, holding_shortly, require_idle
from mm.services.server.restore_state import Reporter, RestoreRecord

KIND = "server-restore"
LOCK_SECONDS = 30
OUTCOME_SECONDS = 7 * clock.DAY
BUSY = "An archive is being made, checked or restored. Try again when that has finished."
UNFINISHED = "A restore was interrupted, and is finished within a minute. Try again then."
TAKEN_BACK = "A restore of the server was interrupted. Nothing was changed."
FINISHED = "A restore of the server was interrupted. It is finished now."
FAILED = "A restore of the server was interrupted, and could not be finished. "
TOO_LATE = "The worker was not running for over an hour, so nothing was restored. Start it anew."
# How long a restore may wait for the worker.
WAITS_SECONDS = HOUR
# Drafts of killed processes, and what SQLite keeps beside one.
DRAFT = re.compile(rf"{files.DRAFT_NAME.pattern}(-journal|-wal|-shm)?")
DRAFT_SECONDS = HOUR


class Counts(NamedTuple):
    """Of everybody, with the films that are deleted: as an archive counts them."""

    users: int
    movies: int


def here() -> Counts:
    """What this server holds now, beside what an archive would put in its place."""
    return Counts(User.select().count(), Movie.select().count())


def request(
    timestamp: str, database: bool = True, posters: bool = True, settings: bool = True
) -> tuple[Job, str]:
    """Queue the restore of an archive; returns the job, and the token of `outcome`. The caller had
    it confirmed, and enqueues the job.

    Raises NotFoundError, NoRoomError, InvalidError, and ConflictError while another job of the
    server is queued or runs."""
    databases.require_sqlite()
    if not (database or posters or settings):
        raise UserError("Choose what to restore.")
    path = archive_files.path_of(timestamp)
    record = restore_state.new(path, timestamp, database, posters, settings)
    restore_steps.require_room(path, record)
    token = restore_state.give_token(record)
    with holding_shortly(), db.atomic():
        require_idle()
        require_none_left()
        job = jobs.create(KIND, params={"timestamp": timestamp})
        record.job_id = job.id
        restore_state.write(record)
    return job, token


def run(job: Job) -> dict:
    """The work of a job of kind server-restore. Raises UserError when it failed; what was there
    before is there again then."""
    with locks.wait_for(LOCK, LOCK_SECONDS):
        record = restore_state.read()
        if record is None or record.job_id != job.id:
            raise UserError("Another restore was begun since. Nothing was changed.")
        if _is_left(record):
            _take_up(record)
        elif record.shown.state == "queued":
            report = Reporter(record)
            if abs(clock.now() - record.shown.started_at) > WAITS_SECONDS:
                # Whoever asked for it has gone on since.
                restore_failures.end_failed(report, TOO_LATE)
            elif error := _do(report):
                raise error
    if record.shown.state == "failed":
        raise UserError(record.shown.message)
    return _result(record)


def at_once(
    path: Path,
    database: bool = True,
    posters: bool = True,
    settings: bool = True,
    progress: Callable[[str], None] = print,
) -> RestoreState:
    """From the command line, also where the database is damaged or missing. Raises UserError, and
    BusyError while another one runs."""
    databases.require_sqlite()
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.")
    name = archive_files.timestamp_of(path.name) or path.name
    record = restore_state.new(path.absolute(), name, database, posters, settings)
    with _closing(), locks.hold(LOCK, BUSY):
        if _is_left(left := restore_state.read()):
            _take_up(left)
        if error := _do(Reporter(record, progress)):
            raise error
    return record.shown


def outcome(token: str) -> RestoreState | None:
    """How far the last restore is, for whoever began it; None for any other token, and after
    OUTCOME_SECONDS."""
    record = restore_state.read()
    if record is None or not restore_state.is_of(record, token):
        return None
    is_recent = abs(clock.now() - record.shown.started_at) < OUTCOME_SECONDS
    return record.shown if is_recent else None


def recover() -> str | None:
    """Take up what a killed process left: a restore that had not begun to load is abandoned, any
    other is finished. Returns a sentence about it; None where there is nothing to do, or somebody
    is at it.

    For the start of the server and for each minute."""
    record = restore_state.read()
    is_idle = not _is_left(record) and not maintenance.is_on()
    if is_idle and not _folders() and not _drafts():
        return None
    with contextlib.suppress(locks.BusyError), locks.hold(LOCK):
        return _take_up(restore_state.read())
    return None


def require_none_left() -> None:
    """For who holds the lock. Raises BusyError while what a killed process left is to be taken
    up."""
    if _is_left(restore_state.read()):
        raise locks.BusyError(UNFINISHED)


def _is_left(record: RestoreRecord | None) -> bool:
    """Whether it runs, or for who holds the lock: was left by a killed process."""
    return record is not None and record.shown.state == "running"


def _do(report: Reporter) -> UserError | None:
    """All steps of a restore. Its outcome is in the record; returns why it failed."""
    report.record.shown.state = "running"
    with maintenance.exempt():
        if error := _try(restore_steps.BEFORE_LOAD, report):
            restore_failures.end_failed(report, error.message)
            return error
        return _finish(report)


def _finish(report: Reporter) -> UserError | None:
    is_resumed = report.record.shown.step in restore_steps.STEPS_AT_LAST
    if not is_resumed and (error := _try(restore_steps.FROM_LOAD, report)):
        error.message = restore_failures.put_back(report, error.message)
        error.args = (error.message,)
        return error
    # What fails here is done again by `recover`.
    return _try(restore_steps.AT_LAST, report)


def _try(steps: tuple[Callable[[Reporter], None], ...], report: Reporter) -> UserError | None:
    """Do these steps; returns the error that ended them."""
    with log.caught() as attempt:
        for step in steps:
            step(report)
    if attempt.error is None:
        return None
    if isinstance(attempt.error, UserError):
        return attempt.error
    code = log.unexpected("restore.failed", attempt.error, step=report.record.shown.step)
    return UserError(f"Something went wrong. {log.pointer(code)}")


def _take_up(record: RestoreRecord | None) -> str | None:
    """With the lock held, so that nobody else is at it."""
    said = None
    if record and record.shown.state == "running":
        report = Reporter(record)
        with maintenance.exempt(), _closing():
            if record.shown.step in restore_steps.STEPS_BEFORE_LOAD:
                restore_failures.end_failed(report, restore_failures.INTERRUPTED)
                said = TAKEN_BACK
            else:
                _finish(report)
                is_done = record.shown.state == "done"
                said = FINISHED if is_done else FAILED + record.shown.message
            if record.shown.state == "running":
                # It failed at last, perhaps for a full disk: a later try finishes it.
                return None
            _end_job(record)
        log.warning("restore.taken_up", step=record.shown.step, state=record.shown.state)
    if maintenance.is_on():
        maintenance.end()
    for folder in _folders():
        shutil.rmtree(folder, ignore_errors=True)
    for draft in _drafts():
        draft.unlink(missing_ok=True)
    return said


@contextlib.contextmanager
def _closing() -> Iterator[None]:
    """Leave no connection open that was not open before."""
    was_closed = db.is_closed()
    try:
        yield
    finally:
        if was_closed and not db.is_closed():
            db.close()


def _end_job(record: RestoreRecord) -> None:
    """Nobody else does: its process is dead, and it must not be begun again."""
    shown = record.shown
    # Opening a database that is missing would make an empty one.
    if record.job_id and not live_database.fault():
        values = {"state": shown.state, "message": shown.message, "finished_at": clock.now()}
        if shown.state == "done":
            values |= {"message": "", "result": _result(record)}
        with log.isolated("restore.job_not_ended"), db.atomic():
            own = (Job.id == record.job_id) & Job.state.in_(jobs.ACTIVE)
            Job.update(**values).where(own).execute()


def _result(record: RestoreRecord) -> dict:
    shown = record.shown
    return {
        "archive": shown.archive,
        "safety": shown.safety,
        "users": shown.users,
        "movies": shown.movies,
        "warnings": shown.warnings,
        "differences": [[each.name, each.text] for each in shown.differences],
    }


def _folders() -> list[Path]:
    """Work folders of restores that are over."""
    return sorted(config.current.tmp_dir.glob("restore-*"))


def _drafts() -> list[Path]:
    """What killed processes left in the data folder and beside the database, which may be as large
    as that. Not what may still be written."""
    before = clock.now() - DRAFT_SECONDS
    places = {config.current.data_dir}
    if databases.is_sqlite():
        places.add(databases.live_path().parent)
    found = (path for place in places for path in place.glob(f"{files.DRAFT}*"))
    return [
        path
        for path in found
        if DRAFT.fullmatch(path.name) and files.is_file(path) and path.lstat().st_mtime < before
    ]

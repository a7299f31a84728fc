"""The steps of a restore of the whole server, in their order. Each can be repeated.

Until `load` nothing of this server is changed: a restore that was killed before it is abandoned.
One that was killed later goes on from `load`, or from `resume` if it had come so far.
"""

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from peewee import DatabaseError

from mm import clock, config, files, locks, log, maintenance, models
from mm.database import db
from mm.errors import (
    ConflictError,
    InvalidError,
    NoRoomError,
    NotFoundError,
    UnavailableError,
    UserError,
)
from mm.models import Job, Movie, Setting, User
from mm.services import jobs
from mm.services.server import (
    archive_limits,
    archives,
    databases,
    effective,
    live_database,
    restore_state,
    staging,
)
from mm.services.server.archive_format import unpacking
from mm.services.server.restore_state import Reporter, RestoreRecord

DRAIN_SECONDS = 30
LOOK_SECONDS = 0.1
PLACE_ATTEMPTS = 20
# Tables whose rows a running server changes by itself.
UNCOUNTED = ("setting", "job")
NOT_IN_ARCHIVE = "The archive has no {}: this server keeps its own."
UNSAVED = (
    "The database was too damaged to be saved before the restore, so there is no safety archive."
)
KEYS_REPLACED = "The archive’s keys are in force. The settings as they were before: {}"
ARCHIVE_GONE = "The archive is gone, so nothing was changed."


def check(report: Reporter) -> None:
    """Unpack the archive; every byte is compared on the way. Raises InvalidError, NoRoomError, and
    UnavailableError where settings.json of this server cannot be read."""
    record = report.record
    report.begin("check", "Checking the archive")
    if not Path(record.path).is_file():
        raise NotFoundError(ARCHIVE_GONE)
    require_room(Path(record.path), record)
    files.make_folder(record.folder)
    checked = unpacking.unpack(
        Path(record.path),
        record.folder,
        record.has_database,
        record.has_posters,
        record.has_settings,
        report.progress,
    )
    for warning in checked.warnings:
        report.warn(warning)
    for part, name in (("database", "database.db"), ("settings", "settings.json")):
        if getattr(record, f"has_{part}") and not (record.folder / name).exists():
            setattr(record, f"has_{part}", False)
            report.warn(NOT_IN_ARCHIVE.format(part))
    # Nothing to warn of: most archives have none, and they are fetched again.
    record.has_posters &= checked.metadata.posters_count > 0
    if not (record.has_database or record.has_posters or record.has_settings):
        raise InvalidError("The archive has nothing of what you chose.")
    # A machine that stops must not leave files that are empty. The database is flushed by itself.
    if record.has_posters:
        # One by one would take minutes.
        os.sync()
    if record.has_settings:
        with (record.folder / "settings.json").open("rb") as file:
            os.fsync(file.fileno())
        settings, warnings = effective.read(record.folder / "settings.json")
        effective.require_puttable(settings)
        record.shown.differences = effective.differences(settings)
        for warning in warnings:
            report.warn(warning)


def prepare(report: Reporter) -> None:
    """Bring the database into the form in which it can be loaded."""
    if report.record.has_database:
        report.begin("prepare", "Preparing the database")
        staging.fit_pages(report.record.database, live_database.page_size())


def pause(report: Reporter) -> None:
    """From here on nobody writes. Raises ConflictError or UnavailableError for work that does not
    end in time."""
    record = report.record
    report.begin("pause", "Waiting for running work to end")
    maintenance.begin(record.id)
    if live_database.fault():
        # Nobody can write into it.
        maintenance.close(record.id)
        return
    deadline = time.monotonic() + DRAIN_SECONDS
    while running := _running_besides(record.job_id):
        if time.monotonic() > deadline:
            raise ConflictError(
                f"{live_database.IN_USE}: {jobs.KINDS[running].noun[0].lower()}"
                f"{jobs.KINDS[running].noun[1:]} is running. Try again when it has finished."
            )
        time.sleep(LOOK_SECONDS)
    maintenance.close(record.id)
    live_database.take_write_lock()


def save(report: Reporter) -> None:
    """Make the safety archive, with what the restore replaces. A database that is too damaged for
    that is copied as it is."""
    record = report.record
    report.begin("safety", "Saving what is there now")
    if live_database.fault():
        report.warn(UNSAVED)
        return
    try:
        entry = archives.create_held(
            "before-restore",
            database=True,
            posters=record.has_posters,
            settings=True,
            # They are still where this server has them from.
            secrets=False,
            keep=True,
            progress=report.progress,
        )
    except (NoRoomError, UnavailableError):
        raise
    except (UserError, sqlite3.DatabaseError, DatabaseError) as error:
        if not (damage := live_database.damage()):
            raise
        log.error("restore.without_safety", damage=damage, because=repr(error))
        copy = live_database.keep_copy_of_damaged() if record.has_database else None
        report.warn(f"{UNSAVED} A copy of it as it was: {copy}" if copy else UNSAVED)
    else:
        record.shown.safety = entry.timestamp


def keep(report: Reporter) -> None:
    """Take over what stays of this server, and end everybody's log-ins."""
    record = report.record
    if not record.has_database:
        return
    report.begin("keep", "Keeping this server’s own values")
    record.version = staging.keep_live_values(
        record.database,
        live_database.kept(),
        restore_state.own_job(record),
        record.has_settings,
        record.has_posters,
    )
    record.rows = databases.rows_of(record.database)
    record.staged = staging.identity(record.database)


def load(report: Reporter) -> None:
    """Replace the rows of the database, all at once. From here on a restore goes forward."""
    record = report.record
    report.begin("load", "Loading the database")
    if not record.has_database:
        return
    if live_database.user_version() != record.version:
        if not record.database.exists() or staging.identity(record.database) != record.staged:
            raise InvalidError("The prepared database was changed or damaged meanwhile.")
        live_database.load(record.database, report.progress)
    db.obj.accept_restored()


def swap_posters(report: Reporter) -> None:
    """By two renames; the old ones stay until all is done."""
    record = report.record
    if not record.has_posters:
        return
    report.begin("posters", "Replacing the posters")
    new, old, live = restore_state.posters_of(record)
    if not new.exists():
        return
    if live.exists() and not old.exists():
        live.rename(old)
    take_place(new, live)
    files.sync_folder(live.parent)
    files.sync_folder(record.folder)


def take_place(folder: Path, live: Path) -> None:
    """Pages go on fetching posters: what one puts there between the two steps goes, too."""
    for attempts_left in reversed(range(PLACE_ATTEMPTS)):
        shutil.rmtree(live, ignore_errors=True)
        try:
            folder.rename(live)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not attempts_left:
                raise
        else:
            return


def put_settings(report: Reporter) -> None:
    record = report.record
    if record.has_settings:
        report.begin("settings", "Restoring the settings")
        settings, _ = effective.read(record.folder / "settings.json")
        effective.keep_for_later(record.folder)
        effective.put(settings)


def verify(report: Reporter) -> None:
    """Raises InvalidError unless the database in use is whole, is what was loaded, and takes a
    write."""
    record = report.record
    report.begin("verify", "Checking the restored server")
    if record.has_database:
        if damage := live_database.damage():
            raise InvalidError(f"The restored database is damaged: {damage}")
        for table, count in record.rows.items():
            [found] = db.execute_sql(f'SELECT COUNT(*) FROM "{table}"').fetchone()  # noqa: S608
            if found != count and table not in UNCOUNTED:
                raise InvalidError(f"The restored table {table} has {found} rows, not {count}.")
        record.shown.users = User.select().count()
        record.shown.movies = Movie.select().where(Movie.status != "deleted").count()
    with db.atomic():
        Setting.update(value=Setting.value).where(Setting.key == models.EPOCH).execute()


def resume(report: Reporter) -> None:
    report.begin("resume", "Letting everybody in again")
    maintenance.end()


def finish(report: Reporter) -> None:
    """The outcome is said before the folder with the old posters goes."""
    record = report.record
    shown = record.shown
    with log.isolated("restore.keys_not_kept"):
        if path := effective.keep_replaced_keys(record.folder):
            report.warn(KEYS_REPLACED.format(path))
    shown.step, shown.state, shown.finished_at = "finish", "done", clock.now()
    shown.message = "The server is restored."
    if record.has_database:
        shown.message += " Everybody has to log in again, with the restored passwords."
    restore_state.write(record)
    shutil.rmtree(record.folder, ignore_errors=True)
    seconds = shown.finished_at - shown.started_at
    log.info("restore.done", archive=shown.archive, seconds=seconds, warnings=len(shown.warnings))


BEFORE_LOAD: tuple[Callable[[Reporter], None], ...] = (check, prepare, pause, save, keep)
FROM_LOAD: tuple[Callable[[Reporter], None], ...] = (load, swap_posters, put_settings, verify)
# Users write again: nothing may be compared or taken back any more.
AT_LAST: tuple[Callable[[Reporter], None], ...] = (resume, finish)
STEPS_BEFORE_LOAD = ("check", "prepare", "pause", "safety", "keep")
STEPS_AT_LAST = ("resume", "finish")


def require_room(path: Path, record: RestoreRecord) -> None:
    """Raises NoRoomError unless there is room for the unpacked archive, the database's log while it
    is loaded, and the safety archive."""
    metadata = unpacking.metadata_of(path)
    new_bytes = metadata.database_size_bytes if record.has_database else 0
    old_bytes = live_database.size_bytes()
    unpacked, pictures = new_bytes, 0
    if record.has_posters:
        unpacked += metadata.posters_size_bytes
        pictures = archive_limits.posters_size()
    # The safety archive is made of a copy of the database, which is gone when the log grows.
    needed = unpacked + max(new_bytes, old_bytes)
    place, safety = config.current.data_dir, config.current.archives_dir
    files.make_folder(safety)
    if place.stat().st_dev == safety.stat().st_dev:
        needed += old_bytes + pictures
    else:
        files.require_room(safety, old_bytes + pictures)
    files.require_room(place, needed)
    database = live_database.live_path().parent
    if database.is_dir() and database.stat().st_dev != place.stat().st_dev:
        files.require_room(database, max(new_bytes, old_bytes))


def _running_besides(job_id: str | None) -> str | None:
    """The kind of a job that a process runs; that of the restore does not count."""
    running = (Job.state == "running") & (Job.id != job_id)
    try:
        found = list(Job.select(Job.id, Job.kind).where(running))
    except DatabaseError:
        if not live_database.damage():
            raise
        found = []
    for job in found:
        if locks.is_held(f"job-{job.id}"):
            return job.kind
    return None

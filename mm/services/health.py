"""Whether the server works: what /api/health answers."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from peewee import DatabaseError, InterfaceError, SqliteDatabase, fn

from mm import config, disk, log, maintenance, models, stored_settings
from mm.database import db, is_busy, waiting_at_most
from mm.errors import UnavailableError
from mm.models import User
from mm.services import heartbeat, problems
from mm.services.backup import files as backup_files
from mm.services.backup import recheck, schedule
from mm.services.catalogue import updates
from mm.services.server import archive_files

# Anybody may ask, so the database is probed at most once in so many seconds.
PROBE_SECONDS = 5
# How long the probe waits for another writer before it calls the database busy.
BUSY_SECONDS = 0.5
LOW_SPACE = 100 * 10**6
# With less, even a small write may not fit.
NO_SPACE = 100_000
# Peewee's while a statement starts, SQLite's own while rows are read.
DATABASE_ERRORS = (DatabaseError, InterfaceError, sqlite3.Error)
NOT_USABLE = "The database cannot be read or written."


class Probe(NamedTuple):
    """`fault`: why the database of `url` could not be written at the monotonic time `at`."""

    url: str
    at: float
    fault: str | None


_last_probe: Probe | None = None
_probing = threading.Lock()


def check() -> dict:
    """Status, database, worker, last_backup and problems. Raises UnavailableError when the database
    cannot be read or written, but not when it is busy with a long write."""
    if fault := _database_fault():
        raise UnavailableError(fault)
    try:
        sentences = list(_problems())
        last_backup = User.select(fn.MAX(User.last_completed_at)).scalar()
        late = heartbeat.worker_is_late()
    except DATABASE_ERRORS as error:
        raise UnavailableError(NOT_USABLE) from error
    return {
        "status": "degraded" if sentences else "healthy",
        "database": "ok",
        "worker": "late" if late else "ok",
        "last_backup": last_backup,
        "problems": sentences,
    }


def lost_accounts() -> str | None:
    """What to do when there are backups but no account, None otherwise. Logged, because it is asked
    at a start."""
    count = _backups_without_accounts()
    if not count:
        return None
    log.warning("database.empty_beside_backups", folders=count)
    return _no_accounts(count)


def _database_fault() -> str | None:
    global _last_probe
    with _probing:
        url, now = config.current.database, time.monotonic()
        last = _last_probe
        if last is None or last.url != url or now - last.at >= PROBE_SECONDS:
            _last_probe = last = Probe(url, now, _probe())
        return last.fault


def _probe() -> str | None:
    """Takes the lock of a write and writes nothing."""
    try:
        if disk.free_bytes(config.current.data_dir) < NO_SPACE:
            return "The disk of the data folder is full: nothing can be saved."
        with waiting_at_most(db.obj, BUSY_SECONDS):
            if isinstance(db.obj, SqliteDatabase):
                db.execute_sql("BEGIN IMMEDIATE")
                db.execute_sql("ROLLBACK")
            else:
                # A read-only server would start an empty transaction all the same.
                with db.atomic() as transaction:
                    models.put_setting("health_checked_at", None)
                    transaction.rollback()
    except (*DATABASE_ERRORS, OSError) as error:
        if is_busy(error):
            return None
        log.warning("database.not_usable", error=type(error).__name__)
        return NOT_USABLE
    return None


def _problems() -> Iterator[str]:
    if maintenance.is_on():
        yield (
            "The server is being restored, and nothing can be saved meanwhile. The worker finishes "
            "a restore that was interrupted, or else: flask --app mm upgrade"
        )
    if heartbeat.worker_is_late():
        yield "No worker has been seen for over two minutes: backups and look-ups wait."
    if fault := stored_settings.fault():
        yield fault
    if not config.is_backup_dir_there(config.current):
        yield "The folder of the backups (MM_BACKUP_DIR) is gone: its disk is probably not mounted."
    if late := schedule.late_accounts():
        accounts = "1 account" if late == 1 else f"{late:,} accounts"
        yield f"Automatic backups of {accounts} are older than two days."
    free = disk.free_bytes(config.current.data_dir)
    if free < LOW_SPACE:
        yield f"Only {free / 1e6:,.1f} MB are free in the data folder. Make room for backups."
    if count := _backups_without_accounts():
        yield _no_accounts(count)
    if damaged := recheck.still_damaged():
        backups = "1 backup is" if damaged == 1 else f"{damaged:,} backups are"
        yield f"{backups} damaged. The page Data & Backup of the account says which."
    if old := updates.problem():
        yield old
    yield from _archives()
    yield from problems.texts()


def _archives() -> Iterator[str]:
    try:
        damaged = sum(entry.state == "damaged" for entry in archive_files.entries())
    except OSError:
        yield "The folder with the archives of the server cannot be read."
        return
    if damaged:
        archives = "1 archive" if damaged == 1 else f"{damaged:,} archives"
        yield f"{archives} of the server {'is' if damaged == 1 else 'are'} damaged."


def _no_accounts(count: int) -> str:
    accounts = "1 account" if count == 1 else f"{count:,} accounts"
    return (
        f"The database holds no account, but there are backups of {accounts}. If the database was "
        "lost, put a copy of it back, or make the accounts anew and import their backups."
    )


def _backups_without_accounts() -> int:
    """The number of folders with backups, if there is no account; 0 otherwise."""
    if User.select().exists() or not config.current.backups_dir.is_dir():
        return 0
    folders = [
        folder
        for folder in config.current.backups_dir.iterdir()
        if backup_files.USER_ID.fullmatch(folder.name) and folder.is_dir()
    ]
    listings = ([path.name for path in folder.iterdir()] for folder in folders)
    return sum(any(map(backup_files.kind_of, names)) for names in listings)

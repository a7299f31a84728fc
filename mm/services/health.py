"""Whether the server works: what /api/health answers."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from peewee import DatabaseError, InterfaceError, SqliteDatabase, fn

from mm import config, disk, log, models
from mm.database import db, is_busy, waiting_at_most
from mm.errors import UnavailableError
from mm.models import User
from mm.services import heartbeat, problems
from mm.services.backup import files as backup_files
from mm.services.backup import recheck, schedule

# Strangers may ask as often as they like: the database is tried at most once in so many seconds.
PROBE_SECONDS = 5
# How long the probe waits for another one's write before it calls the database busy.
BUSY_SECONDS = 0.5
LOW_SPACE = 100 * 10**6
# With less not even a small write is sure to fit.
NO_SPACE = 100_000
# Peewee's own while a statement begins, SQLite's while its rows are read.
DATABASE_ERRORS = (DatabaseError, InterfaceError, sqlite3.Error)
NOT_USABLE = "The database cannot be read or written."


class Probe(NamedTuple):
    """`fault`: why the database of `url` cannot be written, as found at the monotonic time `at`."""

    url: str
    at: float
    fault: str | None


_last_probe: Probe | None = None
_probing = threading.Lock()


def check() -> dict:
    """Status, database, worker, last_backup and problems. Raises UnavailableError when the database
    cannot be read or written; one that is busy with a long write can be both."""
    global _last_probe
    with _probing:
        url, now = config.current.database, time.monotonic()
        probe = _last_probe
        if probe is None or probe.url != url or now - probe.at >= PROBE_SECONDS:
            _last_probe = probe = Probe(url, now, _find_fault())
    if probe.fault:
        raise UnavailableError(probe.fault)
    try:
        found = list(_problems())
        last_backup = User.select(fn.MAX(User.last_completed_at)).scalar()
        late = heartbeat.worker_is_late()
    except DATABASE_ERRORS as error:
        raise UnavailableError(NOT_USABLE) from error
    return {
        "status": "degraded" if found else "healthy",
        "database": "ok",
        "worker": "late" if late else "ok",
        "last_backup": last_backup,
        "problems": found,
    }


def lost_accounts() -> str | None:
    """What to do when there are backups and not one account; logged, for it is met at a start."""
    count = _backups_without_accounts()
    if not count:
        return None
    log.warning("database.empty_beside_backups", folders=count)
    return _empty_words(count)


def _find_fault() -> str | None:
    try:
        if disk.free_bytes(config.current.data_dir) < NO_SPACE:
            return "The disk of the data folder is full: nothing can be saved."
        # Takes the lock that a write takes, and writes nothing.
        with waiting_at_most(db.obj, BUSY_SECONDS):
            if isinstance(db.obj, SqliteDatabase):
                db.execute_sql("BEGIN IMMEDIATE")
                db.execute_sql("ROLLBACK")
            else:
                # A server that only reads begins a transaction all the same.
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
    if heartbeat.worker_is_late():
        yield "No worker has been seen for over two minutes: backups and look-ups wait."
    if late := schedule.late_accounts():
        accounts = "1 account" if late == 1 else f"{late:,} accounts"
        yield f"Automatic backups of {accounts} are older than two days."
    free = disk.free_bytes(config.current.data_dir)
    if free < LOW_SPACE:
        yield f"Only {free / 1e6:,.1f} MB are free in the data folder. Make room for backups."
    if count := _backups_without_accounts():
        yield _empty_words(count)
    if damaged := recheck.still_damaged():
        backups = "1 backup is" if damaged == 1 else f"{damaged:,} backups are"
        yield f"{backups} damaged. The page Data & Backup of the account says which."
    yield from problems.texts()


def _empty_words(count: int) -> str:
    accounts = "1 account" if count == 1 else f"{count:,} accounts"
    return (
        f"The database holds no account, but there are backups of {accounts}. If the database was "
        "lost, put a copy of it back, or make the accounts anew and import their backups."
    )


def _backups_without_accounts() -> int:
    """How many folders hold backups while there is no account at all."""
    if User.select().exists() or not config.current.backups_dir.is_dir():
        return 0
    folders = [
        folder
        for folder in config.current.backups_dir.iterdir()
        if backup_files.USER_ID.fullmatch(folder.name) and folder.is_dir()
    ]
    listings = ([path.name for path in folder.iterdir()] for folder in folders)
    return sum(any(map(backup_files.kind_of, names)) for names in listings)

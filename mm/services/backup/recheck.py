"""Old backups are test-restored again: a seventh of the distinct contents a night, within a budget
of time.

The database is checked as well. Damage is logged, and named by /api/health and on the page of the
account. Before that, retention runs for those whose automatic backups are off: no night does it.
"""

import sqlite3
import time

from peewee import DatabaseError, SqliteDatabase

from mm import config, locks, log, maintenance, models
from mm.database import db
from mm.errors import NotFoundError, UserError
from mm.models import Job, User
from mm.schemas import BackupEntry
from mm.services import jobs, problems
from mm.services.backup import backups
from mm.services.backup import files as backup_files
from mm.services.backup.files import USER_ID

NIGHTS = 7
BUDGET_SECONDS = 20 * 60
# [[user id, file name], …] of what the last check found damaged; health looks whether it still is.
DAMAGED = "rechecks.damaged"
DAMAGED_MAX = 100
DATABASE_DAMAGED = (
    "The database is damaged. Stop the server and keep a copy of the data folder; then export what "
    "can still be read, and import it or the last verified backups into a new database."
)


def run(job: Job) -> dict:
    """The work of a job of kind recheck: {"checked": n, "damaged": [names], "failed": n}."""
    begun = time.monotonic()
    check_database()
    prune_where_backups_are_off()
    checked, failed = 0, 0
    damaged: list[str] = []
    due_files, unread = _due_of_all()
    for done, (user_id, entry) in enumerate(due_files):
        # A restore of the whole server waits for this.
        if time.monotonic() > begun + BUDGET_SECONDS or maintenance.is_on():
            break
        try:
            with log.isolated(
                "recheck.failed", besides=(UserError,), user=user_id, file=entry.filename
            ) as check:
                damaged += _check(user_id, entry)
                checked += 1
            failed += check.code is not None
        except (locks.BusyError, NotFoundError):
            # Whoever works on this library now comes first; a file that is gone needs no check.
            continue
        except UserError as error:
            failed += 1
            reason = type(error).__name__
            log.warning("recheck.failed", user=user_id, file=entry.filename, reason=reason)
        jobs.progress(job, done + 1, len(due_files), "Checking old backups")
    failed += unread
    if failed:
        count = "1 old backup" if failed == 1 else f"{failed:,} old backups"
        problems.put("recheck", f"Last night {count} could not be checked. The log says why.")
    else:
        problems.clear("recheck")
    result = {"checked": checked, "damaged": damaged, "failed": failed}
    seconds = time.monotonic() - begun
    log.info("recheck.done", **{**result, "damaged": len(damaged)}, seconds=seconds)
    return result


def check_database() -> None:
    """Ask SQLite whether its pages and indexes are whole."""
    if not isinstance(db.obj, SqliteDatabase):
        return
    try:
        rows = db.execute_sql("PRAGMA quick_check(20)").fetchall()
        faults = [text for (text,) in rows if text != "ok"]
    except (DatabaseError, sqlite3.DatabaseError) as error:
        # Peewee's own while the statement begins, SQLite's while its rows are read.
        faults = [str(error)]
    if faults:
        log.error("database.damaged", faults=len(faults), first=faults[0])
        problems.put("database.damaged", DATABASE_DAMAGED)
    else:
        problems.clear("database.damaged")


def prune_where_backups_are_off() -> None:
    for user in list(User.select().where(~User.backup_enabled)):
        try:
            with log.isolated("retention.failed", besides=(UserError,), user=user.id):
                backups.prune(user)
        except UserError as error:
            # Somebody works on this library now, or its folder cannot be reached: tomorrow.
            log.warning("retention.failed", user=user.id, reason=type(error).__name__)


def due(user_id: str) -> list[BackupEntry]:
    """One file for each distinct content, the longest unchecked first: a seventh, at least one."""
    return _due_of(backups.listing(user_id))


def still_damaged() -> int:
    """How many of the backups that the last check found damaged are still there, and still so."""
    folders = config.current.backups_dir
    paths = ((folders / user_id / name) for user_id, name in models.setting(DAMAGED) or ())
    return sum(backup_files.entry(path).state == "damaged" for path in paths if path.is_file())


def _due_of_all() -> tuple[list[tuple[str, BackupEntry]], int]:
    """(user id, entry) over all users, the longest unchecked first, so that a budget that is spent
    leaves nobody out for good; and how many folders could not be read."""
    due_files: list[tuple[str, BackupEntry]] = []
    damaged: list[tuple[str, str]] = []
    unread = 0
    for path in sorted(config.current.backups_dir.iterdir()):
        user_id = path.name
        if not USER_ID.fullmatch(user_id):
            continue
        with log.isolated("recheck.failed", user=user_id) as look:
            entries = backups.listing(user_id)
            due_files += ((user_id, entry) for entry in _due_of(entries))
            damaged += ((user_id, entry.filename) for entry in entries if entry.state == "damaged")
        unread += look.code is not None
    with db.atomic():
        models.put_setting(DAMAGED, damaged[:DAMAGED_MAX])
    due_files.sort(key=lambda due_file: due_file[1].verified_at or 0)
    return due_files, unread


def _due_of(entries: list[BackupEntry]) -> list[BackupEntry]:
    distinct: dict[str, BackupEntry] = {}
    for entry in entries:
        # A safety copy whose test was cut off is still unverified: it comes first.
        if entry.sha256 and entry.state in ("verified", "unverified"):
            distinct.setdefault(entry.sha256, entry)
    oldest = sorted(distinct.values(), key=lambda entry: entry.verified_at or 0)
    return oldest[: -(-len(oldest) // NIGHTS)]


def _check(user_id: str, entry: BackupEntry) -> list[str]:
    """The damaged names."""
    with backups.holding(user_id):
        checked = backups.verify_held(user_id, entry.filename)
    if checked.state == "verified":
        return []
    with db.atomic():
        damaged = [*(models.setting(DAMAGED) or []), [user_id, entry.filename]]
        models.put_setting(DAMAGED, damaged[-DAMAGED_MAX:])
    return [f"{user_id}/{entry.filename}"]

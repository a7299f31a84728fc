"""The database in use, as a restore meets it: what of it stays, whether it can be written into at
all, and the replacement of all its rows at once.

SQLite's backup API writes one transaction: readers of other processes see the old rows or the new
ones, never a mix, and a process killed half-way leaves the old ones.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from mm import clock, config, disk, files, locks, log
from mm.database import db
from mm.errors import ConflictError, UnavailableError
from mm.services.server.archive_format.pipeline import Progress
from mm.services.server.databases import is_busy, live_path, opened, patience

# Held by the web server and the worker while they run.
RUNNING = "running"
# How long readers are waited for until the log can be emptied; a later checkpoint does it too.
CHECKPOINT_SECONDS = 5
PAGES_A_STEP = 1000
PAGE_SIZE = 4096
LOG_ENDINGS = ("-wal", "-shm")
IN_USE = "Cannot restore while database is in use"
STOP_FIRST = (
    "The database is damaged, so it cannot be replaced while the server runs. Stop the server, "
    "then run: flask --app mm server-backup restore …"
)


class ShareChoices(NamedTuple):
    """What a link to a list shows, and until when: the columns of models.ListShare."""

    shows_notes: bool
    expires_at: float | None


class Kept(NamedTuple):
    """What the restored data takes over from the data it replaces. `settings` are the values as
    they are stored; empty where the database could not be read. `last_person`: the largest id that
    a person ever had. `shares`: the links to lists by token, each with what its owner chose for it;
    none where they cannot be read, so that nobody knows which were revoked."""

    settings: dict[str, str]
    token_versions: dict[str, int]
    user_version: int
    last_person: int
    shares: dict[str, ShareChoices] | None


def fault() -> str | None:
    """Why nothing can be loaded into the file, None if it can."""
    try:
        with opened(live_path()) as live:
            live.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    except (sqlite3.DatabaseError, OSError) as error:
        disk.raise_if_full(error)
        if is_busy(error):
            raise UnavailableError(IN_USE) from error
        return str(error)
    return None


def damage() -> str | None:
    """What is wrong with it; reads all of it."""
    try:
        with opened(live_path()) as live:
            [answer] = live.execute("PRAGMA quick_check(1)").fetchone()
            if answer == "ok":
                live.execute("SELECT name FROM schema_migration").fetchone()
    except (sqlite3.DatabaseError, OSError) as error:
        return str(error)
    return None if answer == "ok" else answer


def kept() -> Kept:
    """Of a damaged database, what can be read."""
    settings: dict[str, str] = {}
    token_versions: dict[str, int] = {}
    last_person = 0
    # Where there is no database yet, nothing was revoked either.
    shares: dict[str, ShareChoices] | None = None if live_path().exists() else {}
    with contextlib.suppress(sqlite3.DatabaseError, OSError), opened(live_path()) as live:
        settings = dict(live.execute("SELECT key, value FROM setting"))
        token_versions = dict(live.execute("SELECT id, token_version FROM user"))
        [(last_person,)] = live.execute(
            "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'person'"
        )
        shares = shares_in(live)
    return Kept(settings, token_versions, user_version() or 0, last_person, shares)


def shares_in(database: sqlite3.Connection) -> dict[str, ShareChoices]:
    """The links to lists that a database of this version's schema holds, by token."""
    rows = database.execute("SELECT token, shows_notes, expires_at FROM list_share")
    return {token: ShareChoices(*choices) for token, *choices in rows}


def user_version() -> int | None:
    """The number that each restore raises; None where the file cannot be read."""
    return _pragma("user_version")


def page_size() -> int:
    return _pragma("page_size") or PAGE_SIZE


def size_bytes() -> int:
    """Of the file and its log, some of which may not be in the file yet."""
    path = live_path()
    paths = (path, path.with_name(f"{path.name}-wal"))
    return sum(each.stat().st_size for each in paths if each.exists())


def take_write_lock() -> None:
    """Wait until no transaction writes any more. Raises UnavailableError after LOCK_SECONDS."""
    try:
        with opened(live_path()) as live:
            live.execute("BEGIN IMMEDIATE")
            live.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
        raise UnavailableError(IN_USE) from error


def load(source: Path, progress: Progress | None = None) -> None:
    """Replace everything in the database in use with what the file `source` holds. Raises
    UnavailableError after LOCK_SECONDS without the lock, and NoRoomError; nothing is changed then.

    A file that nothing can be loaded into is set aside, if nobody has it open."""
    if reason := fault():
        _put_in_place(source, reason)
        return

    def report(done: int, total: int) -> None:
        if progress:
            progress(done, total, "Loading the database")

    try:
        with opened(source) as staged, opened(live_path()) as live:
            live.execute("PRAGMA synchronous = FULL")
            staged.backup(live, pages=PAGES_A_STEP, progress=patience(IN_USE, report), sleep=0.01)
            _empty_log(live)
    except (sqlite3.Error, OSError) as error:
        disk.raise_if_full(error)
        if is_busy(error):
            raise UnavailableError(IN_USE) from error
        raise


def keep_copy_of_damaged() -> str | None:
    """Copy a damaged database beside itself, before it is written over; the copy's name, or None
    where there is no file or no room."""
    path = live_path()
    copy = path.with_name(f"{path.name}.damaged-{_stamp()}")
    try:
        files.require_room(path.parent, 2 * path.stat().st_size)
        shutil.copy2(path, copy)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(f"{path}-wal", f"{copy}-wal")
    except (OSError, UnavailableError) as error:
        log.warning("database.not_copied", reason=type(error).__name__)
        copy.unlink(missing_ok=True)
        return None
    return copy.name


def _put_in_place(source: Path, reason: str) -> None:
    if locks.is_shared(RUNNING):
        raise ConflictError(STOP_FIRST)
    path = live_path()
    if not db.is_closed():
        db.close()
    db.obj.release()
    # Wholly on the disk of the old one before that makes room.
    with files.draft(path.parent) as new:
        _link_or_copy(source, new)
        aside, found = f"{path.name}.damaged-{_stamp()}", False
        # The log first: beside a new file it would be played into it.
        for ending in (*LOG_ENDINGS, ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{ending}").rename(f"{path.parent / aside}{ending}")
                found = True
        if found:
            log.error("database.set_aside", aside=aside, reason=reason)
        os.replace(new, path)
        files.sync_folder(path.parent)
    source.unlink()


def _link_or_copy(source: Path, target: Path) -> None:
    """The staged file may lie on another disk than the database."""
    try:
        os.link(source, target)
    except OSError:
        files.require_room(target.parent, source.stat().st_size)
        shutil.copyfile(source, target)
        target.chmod(0o600)
        with target.open("rb") as copied:
            os.fsync(copied.fileno())


def _pragma(name: str) -> int | None:
    try:
        with opened(live_path()) as live:
            return live.execute(f"PRAGMA {name}").fetchone()[0]
    except (sqlite3.DatabaseError, OSError):
        return None


def _empty_log(live: sqlite3.Connection) -> None:
    """The log is as large as the database now."""
    deadline = time.monotonic() + CHECKPOINT_SECONDS
    live.execute("PRAGMA busy_timeout = 200")
    while live.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _stamp() -> str:
    return f"{clock.local(clock.now(), config.current.zone):%Y-%m-%dT%H-%M-%S}"

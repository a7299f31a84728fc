"""SQLite files as a whole: a copy of the one in use, and what is wrong with a copy.

Only services/server knows the engine. With PostgreSQL, its own tools copy the database.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from peewee import SqliteDatabase

from mm import disk, files
from mm.database import db
from mm.errors import UnavailableError, UserError

PAGES_A_STEP = 500
LOCK_SECONDS = 30
IN_USE = "Cannot backup while database is in use"
NEEDS_SQLITE = (
    "Archives of the whole server need SQLite. With PostgreSQL, copy the database with pg_dump; "
    "flask --app mm export-all writes all libraries into one file."
)
SHOWN_FAULTS = 3


def is_sqlite() -> bool:
    return isinstance(db.obj, SqliteDatabase)


def require_sqlite() -> None:
    """Raises UserError where the database is PostgreSQL."""
    if not is_sqlite():
        raise UserError(NEEDS_SQLITE)


def live_path() -> Path:
    """The file of the database in use: where it is a link, what SQLite follows it to, for its log
    is there."""
    return Path(os.path.realpath(db.obj.database))


def copy(target: Path, sync: bool = True) -> None:
    """A copy of the database in use as it is at one moment, on the disk when this returns. Writers
    go on. Raises UnavailableError after LOCK_SECONDS without a lock, and NoRoomError. `sync`:
    False for a copy that is deleted soon; it does not wait for the disk."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with opened(live_path()) as source, opened(target) as copied:
            if not sync:
                copied.execute("PRAGMA synchronous = OFF")
            # A snapshot: otherwise every write of another process would start the copy anew.
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM sqlite_schema").fetchone()
            source.backup(copied, pages=PAGES_A_STEP, progress=patience(IN_USE), sleep=0.01)
            source.execute("COMMIT")
        if sync:
            files.sync_file(target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        disk.raise_if_full(error)
        if is_busy(error):
            raise UnavailableError(IN_USE) from error
        raise
    except UserError:
        target.unlink(missing_ok=True)
        raise


def patience(
    in_use: str, report: Callable[[int, int], None] | None = None
) -> Callable[[int, int, int], None]:
    """For `backup` of sqlite3, which tries a busy database again for ever: raises UnavailableError
    after LOCK_SECONDS. `report` is told how many pages are done, and how many there are."""
    deadline = time.monotonic() + LOCK_SECONDS

    def watch(status: int, left: int, total: int) -> None:
        is_held = status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if is_held and time.monotonic() > deadline:
            raise UnavailableError(in_use)
        if report:
            report(total - left, total)

    return watch


def is_busy(error: BaseException) -> bool:
    # The low byte is the kind of error, the rest says more.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextlib.contextmanager
def opened(path: Path, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection of its own, in autocommit, closed afterwards. Raises sqlite3.OperationalError
    for a missing file instead of making one. `read_only` is for a file that
    nobody has open: no log and no other file appear beside it, and nothing that its maker may have
    put into its schema runs."""
    mode = "ro&immutable=1" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        timeout=LOCK_SECONDS,
        isolation_level=None,
        uri=True,
    )
    try:
        if read_only:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
        yield connection
    finally:
        connection.close()


def fault_of(path: Path) -> str | None:
    """What SQLite finds wrong with the pages, indexes and references of a file that nobody has
    open; None for nothing."""
    try:
        with opened(path, read_only=True) as connection:
            rows = connection.execute(f"PRAGMA integrity_check({SHOWN_FAULTS})").fetchall()
            faults = [text for (text,) in rows if text != "ok"]
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(SHOWN_FAULTS)
            faults += [f"{table}: a row refers to no {parent}" for table, _, parent, _ in broken]
    except sqlite3.Error as error:
        faults = [str(error)]
    return "; ".join(faults) or None


def rows_of(path: Path) -> dict[str, int]:
    """The number of rows of each table, of a file that nobody has open. Raises sqlite3.Error."""
    with opened(path, read_only=True) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]  # noqa: S608
            for (name,) in sorted(tables)
        }


def migrations_of(path: Path) -> list[str]:
    """The migrations applied to a file that nobody has open, in order; empty for a database that
    is none of ours. Raises sqlite3.Error."""
    with opened(path, read_only=True) as connection:
        known = connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migration'"
        ).fetchone()
        if not known:
            return []
        rows = connection.execute("SELECT name FROM schema_migration ORDER BY name")
        return [name for (name,) in rows]

"""Free space on the data folder's disk, which errors mean that there is none, and which that the
database on it is damaged.

Pages, API, jobs and the start all ask here: a full disk is NoRoomError (507) everywhere.
"""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

from peewee import DatabaseError, InterfaceError, OperationalError

from mm import config
from mm.errors import NoRoomError

FULL_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# PostgreSQL's code for a full disk on its side.
POSTGRES_FULL = "53100"
# SQLite's errors that can mean a full disk: they do when less is free than it needs to open a
# database that nobody else has open.
AMBIGUOUS_CODES = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
TOO_LITTLE_BYTES = 2**17
# SQLite's errors for a file that is no database, or one with broken pages.
DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
DAMAGE_TEXTS = ("file is not a database", "malformed")
FULL = (
    "The server's disk is full, so this was not saved. Delete backups you no longer need, or "
    "ask whoever runs the server to make room."
)


class DiskFullError(NoRoomError, OperationalError):
    """A NoRoomError met by the database, and an OperationalError for code that expects one."""


def is_full(error: BaseException | None, folder: Path | None = None) -> bool:
    """Whether a full disk caused this error, or one of those it was raised from. `folder`: the data
    folder, if it is not that of the current configuration."""
    folder = folder or config.current.data_dir
    while error is not None:
        if getattr(error, "sqlstate", None) == POSTGRES_FULL:
            return True
        if isinstance(error, OSError) and error.errno in FULL_DISK_ERRNOS:
            return True
        if isinstance(error, sqlite3.Error):
            # The low byte is the kind of error, the rest says more.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL or (code in AMBIGUOUS_CODES and _is_exhausted(folder)):
                return True
        error = error.__cause__ or error.__context__
    return False


def is_damaged(error: BaseException | None) -> bool:
    """Whether SQLite found that the file is no database, or one with broken pages."""
    while error is not None:
        # The low byte is the kind of error, the rest says more.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES:
            return True
        is_of_database = isinstance(error, DatabaseError | InterfaceError | sqlite3.Error)
        if is_of_database and any(text in str(error) for text in DAMAGE_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_read_only(error: BaseException) -> bool:
    """Whether SQLite may not write, because of the file's owner or of how its disk is mounted."""
    problem = error.__cause__ or error.__context__
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def raise_if_full(error: BaseException) -> None:
    """Raises DiskFullError if a full disk caused this error of the database."""
    if is_full(error):
        raise DiskFullError(FULL) from error


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def full(folder: Path) -> NoRoomError:
    """For who met a full disk while writing into `folder`."""
    return NoRoomError(f"Not enough disk space: {megabytes(free_bytes(folder))} free.")


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _is_exhausted(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    has_no_inodes = disk.f_files > 0 and disk.f_favail == 0
    return has_no_inodes or disk.f_bavail * disk.f_frsize < TOO_LITTLE_BYTES

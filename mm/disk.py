"""The room on the data folder's disk, and which errors say that there is none left.

One mapping for pages, API, jobs and start: a full disk is NoRoomError (507), whoever meets it.
"""

import contextlib
import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from peewee import OperationalError

from mm import config
from mm.errors import NoRoomError

OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# SQLite needs this much to open a database that nobody has open; below it, its vague errors mean
# that the disk is full.
LITTLE = 2**17
# PostgreSQL's code for a disk of its own that is full.
POSTGRES_FULL = "53100"
VAGUE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
FULL = (
    "The server's disk is full, so this was not saved. Delete backups that you no longer need, or ask "
    "whoever runs the server to make room."
)
CANNOT_START = (
    "Movie Manager cannot start: the disk of {} is full. Make room there, then start it again."
)


class DiskFullError(NoRoomError, OperationalError):
    """NoRoomError from the database: also one of its errors, for code that expects those of a write."""


def is_full(error: BaseException | None, folder: Path | None = None) -> bool:
    """Whether a full disk is the cause of this error, or of the one during which it was raised.
    `folder`: the data folder, where it is another one than that of the current configuration."""
    while error is not None:
        if _says_full(error, folder or config.current.data_dir):
            return True
        error = error.__cause__ or error.__context__
    return False


def raise_if_full(error: BaseException) -> None:
    """Raises DiskFullError for an error of the database that a full disk has caused."""
    if is_full(error):
        raise DiskFullError(FULL) from error


@contextlib.contextmanager
def needed_to_start(folder: Path) -> Iterator[None]:
    """Ends the process with plain words instead of a traceback when the disk of `folder` is full."""
    try:
        yield
    except (NoRoomError, OSError, sqlite3.Error) as error:
        if not isinstance(error, NoRoomError) and not is_full(error, folder):
            raise
        sys.exit(CANNOT_START.format(folder))


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _says_full(error: BaseException, folder: Path) -> bool:
    if getattr(error, "sqlstate", None) == POSTGRES_FULL:
        return True
    if isinstance(error, sqlite3.Error):
        # The low byte is the kind of error, the rest says more.
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return kind == sqlite3.SQLITE_FULL or (kind in VAGUE and _nothing_is_left(folder))
    return isinstance(error, OSError) and error.errno in OUT_OF_ROOM


def _nothing_is_left(folder: Path) -> bool:
    try:
        left = os.statvfs(folder)
    except OSError:
        return False
    no_more_files = left.f_files > 0 and left.f_favail == 0
    return left.f_bavail * left.f_frsize < LITTLE or no_more_files

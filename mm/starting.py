"""What keeps the web server, the worker or a command from starting, in one plain sentence instead
of a traceback."""

import contextlib
import sqlite3
import sys
from collections.abc import Iterator

from peewee import DatabaseError, InterfaceError

from mm import config, disk, log
from mm.config import ConfigError
from mm.database import is_busy
from mm.errors import NoRoomError, UserError
from mm.schema import SchemaError

# What gunicorn takes for "do not start this worker again".
GUNICORN_HALTS = 3
DATABASE_ERRORS = (DatabaseError, InterfaceError, sqlite3.Error)
FULL = "Movie Manager cannot start: the disk of {} is full. Make room there, then start it again."
BUSY = (
    "Movie Manager cannot start: another program is writing to the database and does not end. Stop "
    "it, then start again."
)
DAMAGED = (
    "Movie Manager cannot start: the database {} is damaged ({}). Stop server and worker, then "
    "bring back the newest copy: an archive of the server (flask --app mm server-backup list) or "
    "the copy of a start (flask --app mm restore-startup). The damaged file is set aside, not "
    "deleted."
)
NO_ANSWER = (
    "Movie Manager cannot start: the database cannot be opened ({}). Check DATABASE_URL and "
    "MM_DATA_DIR."
)
READ_ONLY = (
    "The database may only be read. Check who owns the data folder {}, and whether its disk is "
    "mounted so that it can be written."
)
NO_ACCESS = "Movie Manager cannot start: {}. Check MM_DATA_DIR, MM_BACKUP_DIR and who owns them."


class NotStarted(SystemExit):
    """`passes`: trying again later may succeed without anybody doing anything here."""

    def __init__(self, exit_code: int, passes: bool):
        super().__init__(1 if passes else exit_code)
        self.passes = passes


@contextlib.contextmanager
def plainly(exit_code: int = 1) -> Iterator[None]:
    """Ends the process with one sentence on standard error for whatever can be foreseen. The exit
    code is 1 for what passes: gunicorn then tries again until the disk has room."""
    try:
        yield
    except NotStarted as ended:
        # From a block within this one, which has said why.
        raise NotStarted(exit_code, ended.passes) from ended
    except (ConfigError, SchemaError, UserError, OSError, *DATABASE_ERRORS) as error:
        print(sentence(error), file=sys.stderr, flush=True)
        passes = isinstance(error, NoRoomError) or disk.is_full(error) or is_busy(error)
        raise NotStarted(exit_code, passes) from error


def sentence(error: Exception) -> str:
    """What happened and what to do."""
    if isinstance(error, NoRoomError) or disk.is_full(error):
        return FULL.format(config.current.data_dir)
    if isinstance(error, ConfigError | SchemaError | UserError):
        return str(error)
    if disk.is_damaged(error):
        return DAMAGED.format(_database_name(), _plain(error))
    if disk.is_read_only(error):
        return READ_ONLY.format(config.current.data_dir)
    if is_busy(error):
        return BUSY
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return NO_ACCESS.format(f"{error.strerror or error}{where}")
    return NO_ANSWER.format(_plain(error))


def reason(error: BaseException) -> str:
    """Why something with the database failed, to stand within a sentence."""
    if isinstance(error, UserError) and not isinstance(error, DatabaseError):
        return error.message.rstrip(".")
    if disk.is_full(error):
        return "the disk is full"
    if disk.is_damaged(error):
        return f"the database is damaged ({_plain(error)})"
    if is_busy(error):
        return "the database is locked: another program is writing to it"
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__}: {_plain(error)}"


def _plain(error: BaseException) -> str:
    """Without secrets, in one line."""
    return log.redact(" ".join(str(error).split()))


def _database_name() -> str:
    """The file; never an address, which may hold a password."""
    url = config.current.database
    return url.removeprefix("sqlite:///") if url.startswith("sqlite") else "of DATABASE_URL"

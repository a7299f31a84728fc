"""`app.db`, the database of the original Movie Manager: opened without changing it, and what it
holds.

Both of its versions are read: the one with rankings and the one before. SQLite lets any value stand
in any column, and the original did not always keep its references, so no value is believed here:
`original_rows` looks at each.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from mm import clock, config, files, locks
from mm.errors import UnusableFileError
from mm.schemas.first_run import Found, FoundUser
from mm.services.server.archive_format.work_folders import said_when_full
from mm.services.server.first_run import original_backups, original_users
from mm.services.server.first_run.original_users import OriginalUser
from mm.spoken import plural

MAGIC = b"SQLite format 3\0"
# table -> its columns. All but the rankings are in both versions.
TABLES = {
    "users": (
        "id",
        "email",
        "username",
        "hashed_password",
        "created_at",
        "is_active",
        "backup_enabled",
    ),
    "custom_lists": (
        "id",
        "user_id",
        "name",
        "color",
        "icon",
        "position",
        "created_at",
        "last_modified",
    ),
    "movies": ("imdb_id", "user_id", "tmdb_data", "omdb_data", "media_type", "last_modified"),
    "people": (
        "id",
        "name",
        "user_id",
        "is_trusted",
        "color",
        "emoji",
        "quick_key",
        "last_modified",
    ),
    "movie_status": ("imdb_id", "user_id", "status", "custom_list_id"),
    "recommendations": (
        "id",
        "imdb_id",
        "user_id",
        "person_id",
        "date_recommended",
        "vote_type",
    ),
    "watch_history": ("imdb_id", "user_id", "date_watched", "my_rating"),
    "movie_rankings": ("imdb_id", "user_id", "liked", "position", "score", "ranked_at"),
}
RANKINGS = "movie_rankings"
# Of its own tools.
NO_DATA = ("alembic_version",)
# Which rows of which table a sentence is about, beside their number.
NAMED_BY = {"people": "name", "custom_lists": "name"}
# No value of a library is longer, and of a film's data nothing else is read.
LONGEST = 32 * 2**20
# Where SQLite locks a file that is being written, and its log: see "File Locking And Concurrency"
# and "WAL-mode File Format" in its documentation.
RESERVED_BYTE = 0x40000001
LOG_BYTES = (120, 121)
LOG_LOCKS = "-shm"
# Where the header of a file says whether it is written by way of a log.
WRITE_VERSION, BY_LOG = 18, 2
# What SQLite keeps beside a file whose last changes are not in it yet.
LOGS = ("-wal", "-journal")
FAULTS_MAX = 100_000
# What its check says of values that are not what a column asks for: they are looked at one by one.
ABOUT_VALUES = ("NULL value in ", "CHECK constraint failed", "NUMERIC value in ", "TEXT value in ")
EMPTY = "This file is empty."
NO_DATABASE = "This file is not the original Movie Manager’s app.db: it isn’t an SQLite database."
OURS = (
    "This is a database of this program, not of the original. To move a server here, make an "
    "archive on its Server page (or: flask --app mm server-backup create) and bring that file."
)
FOREIGN = "This is a database of another program. The original Movie Manager’s is called app.db."
OTHER_VERSION = (
    "This app.db is from a version of the original Movie Manager that is not known here: it has no "
    "{}. Start the newest version of the original once, stop it, and bring the file again."
)
IN_USE = "This app.db is being written to. Stop the original Movie Manager, then try again."
DAMAGED = (
    "This app.db is damaged or incomplete ({}). Stop the original Movie Manager and copy the file "
    "again, with app.db-wal and app.db-journal if they are beside it."
)
WITHOUT_LOG = (
    "This app.db was used with a log, app.db-wal, which is not beside it. If the original Movie "
    "Manager was stopped when the file was copied, nothing is missing. If it was running, the last "
    "changes may be: stop it, copy the file again, and begin anew with it."
)
NOBODY = "This app.db holds no accounts, so there is nothing to import."
UNREADABLE = "This file can’t be read: {}."


class Rows(Struct):
    """Every row of the tables, as dicts with `rowid`: `of` by user id and table. The bodies of
    providers are not among them: of a film's there are only `title` and `year`. `nobodys`: a
    sentence for each row of a user who is not there. `warnings`: what this version does not
    know."""

    users: list[dict[str, Any]] = []
    of: dict[Any, dict[str, list[dict[str, Any]]]] = {}
    nobodys: list[str] = []
    warnings: list[str] = []
    has_rankings: bool = True


def is_original(path: Path) -> bool:
    """Whether it is an SQLite database, of which `inspect` can say whose it is."""
    if not files.is_file(path):
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def inspect(path: Path, name: str, backups: Path | None = None) -> Found:
    """`name` is the file's as its owner knows it; `backups` the original's folder of that name.
    Raises UnusableFileError for anything but a whole app.db of a version that is known."""
    rows = read(path)
    users, warnings = original_users.known(rows.users)
    if rows.nobodys:
        count = len(rows.nobodys)
        belong = "belongs" if count == 1 else "belong"
        warnings.append(f"{plural(count, 'row')} {belong} to no user and can’t be imported.")
    found = [FoundUser(user.id, user.username, user.email, films_of(rows, user)) for user in users]
    version = "with rankings" if rows.has_rankings else "without rankings"
    return Found(
        kind="original",
        source=name,
        made_at=_last_change(rows),
        made_by=f"the original Movie Manager, {version}",
        users_count=len(users),
        films=sum(user.films for user in found),
        users=found,
        backups=sum(original_backups.count(backups, user.key) for user in users),
        warnings=[*rows.warnings, *warnings],
    )


def read(path: Path) -> Rows:
    """Everything of the file as it is at one moment. Raises UnusableFileError."""
    try:
        with said_when_full(config.current.tmp_dir), opened(path) as connection:
            rows = _read(connection)
    except sqlite3.Error as error:
        raise UnusableFileError(DAMAGED.format(error)) from error
    except OSError as error:
        raise UnusableFileError(UNREADABLE.format(error.strerror or error)) from error
    if not rows.users:
        raise UnusableFileError(NOBODY)
    if _lacks_its_log(path):
        rows.warnings.append(WITHOUT_LOG)
    return rows


def films_of(rows: Rows, user: OriginalUser) -> int:
    """Without deleted ones."""
    mine = rows.of.get(user.key, {})
    status = {row["imdb_id"]: row["status"] for row in mine.get("movie_status", ())}
    films = mine.get("movies", ())
    return sum(status.get(row["imdb_id"]) != "deleted" for row in films)


def _last_change(rows: Rows) -> float | None:
    """The newest change to a film, person or list that can be true."""
    moments = (
        row["last_modified"]
        for tables in rows.of.values()
        for table in ("movies", "people", "custom_lists")
        for row in tables.get(table, ())
    )
    latest = clock.now() + clock.DAY
    numbers = (moment for moment in moments if isinstance(moment, int | float))
    return max((float(moment) for moment in numbers if 0 < moment < latest), default=None)


# Opening.


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file, which is not written and beside which nothing appears. What lies in
    a log beside it is read from a copy of both. Raises UnusableFileError where it is no database or
    is being written, OSError and sqlite3.Error."""
    path = Path(os.path.realpath(path))
    if path.exists() and not files.is_file(path):
        raise UnusableFileError(UNREADABLE.format("it is no ordinary file"))
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        beginning = file.read(len(MAGIC))
        if not beginning:
            raise UnusableFileError(EMPTY)
        if beginning != MAGIC:
            raise UnusableFileError(NO_DATABASE)
        # Held to the end of the block: nobody begins to write meanwhile.
        _share(file, RESERVED_BYTE)
        log_locks = path.with_name(path.name + LOG_LOCKS)
        if files.is_file(log_locks):
            locked = stack.enter_context(log_locks.open("rb"))
            for byte in LOG_BYTES:
                _share(locked, byte)
        before = os.fstat(file.fileno())
        if any(_bytes_in(path.with_name(path.name + log)) for log in LOGS):
            copy = stack.enter_context(_copied(path))
            connection = stack.enter_context(_connected(copy, "rw"))
        else:
            connection = stack.enter_context(_connected(path, "ro&immutable=1"))
        yield connection
        after = os.fstat(file.fileno())
        # Where locks do not work, as on some network drives.
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise UnusableFileError(IN_USE)


def _share(file: BinaryIO, byte: int) -> None:
    """Hold the lock of readers on a byte that SQLite locks to write."""
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise UnusableFileError(IN_USE) from error
        # A file system without locks.
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _lacks_its_log(path: Path) -> bool:
    """Whether a log that held its last changes could have been left behind. One that is stopped
    puts them into the file and removes the log."""
    path = Path(os.path.realpath(path))
    with path.open("rb") as file:
        file.seek(WRITE_VERSION)
        by_log = file.read(1) == bytes([BY_LOG])
    return by_log and not files.is_file(path.with_name(f"{path.name}-wal"))


def _bytes_in(path: Path) -> int:
    return path.stat().st_size if files.is_file(path) else 0


@contextlib.contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A copy of the file and its log. The folder is one of those that are swept when a process was
    killed."""
    folder = config.current.tmp_dir / f"upload-{secrets.token_hex(8)}"
    sources = [path, *(path.with_name(path.name + log) for log in LOGS)]
    with locks.hold(folder.name):
        files.make_folder(folder)
        try:
            files.require_room(folder, sum(map(_bytes_in, sources)))
            for source in sources:
                if _bytes_in(source):
                    files.copy(source, folder / source.name)
            yield folder / path.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{path.as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1)
    try:
        # Nothing that its maker may have put into its schema runs.
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        # Broken text is better than none, and its row is named where it cannot be used.
        connection.text_factory = lambda data: data.decode(errors="replace")
        yield connection
    finally:
        connection.close()


# Reading.


def _read(connection: sqlite3.Connection) -> Rows:
    columns = _columns(connection)
    _require_known(columns)
    _require_whole(connection)
    rows = Rows(has_rankings=RANKINGS in columns, warnings=list(_unknown(connection, columns)))
    rows.users = list(_rows(connection, "users"))
    for user in rows.users:
        rows.of[user["id"]] = {}
    for table in TABLES:
        if table == "users" or table not in columns:
            continue
        for row in _rows(connection, table):
            mine = rows.of.get(row["user_id"])
            if mine is None:
                rows.nobodys.append(_of_nobody(table, row))
            else:
                mine.setdefault(table, []).append(row)
    return rows


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Of each ordinary table."""
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND rootpage > 0"
    ).fetchall()
    return {
        name: {row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(name)})")}
        for (name,) in found
    }


def _require_known(columns: dict[str, set[str]]) -> None:
    if {"schema_migration", "title"} <= columns.keys():
        raise UnusableFileError(OURS)
    if not {"users", "movies"} <= columns.keys():
        raise UnusableFileError(FOREIGN)
    for table, wanted in TABLES.items():
        if table not in columns and table != RANKINGS:
            raise UnusableFileError(OTHER_VERSION.format(f"table {table}"))
        for name in wanted if table in columns else ():
            if name not in columns[table]:
                raise UnusableFileError(OTHER_VERSION.format(f"column {table}.{name}"))


def _require_whole(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for (text,) in connection.execute(f"PRAGMA quick_check({FAULTS_MAX})"):
        if text != "ok" and not text.startswith(ABOUT_VALUES):
            raise UnusableFileError(DAMAGED.format(text.splitlines()[0][:200]))


def _unknown(connection: sqlite3.Connection, columns: dict[str, set[str]]) -> Iterator[str]:
    """A sentence for each table and column that holds data and is not known here."""
    for table in sorted(columns):
        if table not in TABLES and table not in NO_DATA:
            count = _count(connection, _quoted(table))
            if count:
                yield f"The table {table} is not known here: {plural(count, 'row')} left out."
        for name in sorted(columns[table] - set(TABLES.get(table, columns[table]))):
            column = _quoted(name)
            where = f"{column} IS NOT NULL AND {column} IS NOT ''"
            count = _count(connection, f"{_quoted(table)} WHERE {where}")
            if count:
                yield (
                    f"The column {table}.{name} is not known here: {plural(count, 'value')} "
                    "left out."
                )


def _count(connection: sqlite3.Connection, source: str) -> int:
    return connection.execute(f"SELECT COUNT(*) FROM {source}").fetchone()[0]  # noqa: S608


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """In the order in which they were made. Indexes are not believed."""
    names = [name for name in TABLES[table] if name not in ("omdb_data", "score")]
    query = f"SELECT rowid, {', '.join(names)} FROM {table} NOT INDEXED ORDER BY rowid"  # noqa: S608
    for values in connection.execute(query):
        row = dict(zip(("rowid", *names), values, strict=True))
        if table == "movies":
            row["title"], row["year"] = _hint(row.pop("tmdb_data"))
        yield row


class _Tmdb(Struct):
    title: Any = None
    name: Any = None
    year: Any = None
    release_date: Any = None
    first_air_date: Any = None


_TMDB = msgspec.json.Decoder(_Tmdb)


def _hint(body: object) -> tuple[Any, Any]:
    """Title and year from what TMDB said of a film, as far as they are there."""
    if not isinstance(body, str):
        return None, None
    try:
        found = _TMDB.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    day = found.release_date or found.first_air_date
    return found.title or found.name, found.year or (day[:4] if isinstance(day, str) else None)


def _of_nobody(table: str, row: dict[str, Any]) -> str:
    what = row.get("imdb_id") or row.get(NAMED_BY.get(table, ""))
    label = f" ({str(what)[:100]})" if what is not None else ""
    return f"{table} row {row['rowid']}{label}: belongs to a user who is not in this file."


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))

"""Going back to a copy of the database that was made when the server started, on the command line
while nothing runs.

A copy of an older schema stays at that schema: it is for going back to the older version of the
program. So everything here is plain SQL, which older tables understand too.
"""

import json
import os
import re
import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

from mm import clock, config, files, locks, schema
from mm.errors import ConflictError, InvalidError, NoRoomError, NotFoundError, UserError
from mm.models import CLOCK_STEP, EPOCH
from mm.services.server import databases, live_database, startup_copies
from mm.services.server import restore as restore_of_server
from mm.services.server.live_database import Kept
from mm.services.server.startup_copies import StartupCopy

NONE = "There is no start-up copy in {}."
NEEDS_SQLITE = (
    "There are start-up copies of SQLite databases only. With PostgreSQL, use pg_dump and "
    "pg_restore."
)
STOP_FIRST = "The server or the worker is running. Stop both, then try again."
DAMAGED = "{} is damaged ({}). Choose another one: flask --app mm restore-startup --list"
NO_ROOM_ASIDE = "There is no room to keep the damaged database beside the one put back. Make room."
# The versions of the program whose last migration has this number, where it is not this one.
VERSIONS = {"0001": "0.1.0"}
WAIT_SECONDS = 60
USER_VERSION_MAX = 2**31 - 1


class PutBack(NamedTuple):
    """What was done: `before` is the name of a copy of the database as it was, None where it was
    missing, empty or damaged; `aside`: the files of a damaged one; `recovered`: what became of an
    interrupted restore of the server."""

    copy: StartupCopy
    before: str | None
    aside: list[str]
    recovered: str | None = None


def choose(filename: str | None = None) -> StartupCopy:
    """The named copy. Without a name: after an upgrade the newest one made before it, which is the
    newest of a lower schema than the database has; where there is none, where the database is
    damaged or missing, or where its upgrade failed, the newest that this version can use. Raises
    NotFoundError."""
    if not databases.is_sqlite():
        raise UserError(NEEDS_SQLITE)
    if filename:
        return startup_copies.get(Path(filename).name)
    copies = [copy for copy in startup_copies.listing() if copy.schema <= newest_schema()]
    live = _live_schema()
    is_upgraded = live is not None and live >= newest_schema()
    older = [copy for copy in copies if live and is_upgraded and copy.schema < live]
    chosen = next(iter(older or copies), None)
    if chosen is None:
        raise NotFoundError(NONE.format(config.current.startup_dir))
    return chosen


def newest_schema() -> str:
    """The number of this version's last migration."""
    return max(path.name[:4] for path in schema.MIGRATIONS.glob("[0-9]*.py"))


def version_of(copy: StartupCopy) -> str | None:
    """Which version of the program takes this copy as it is; None for this one."""
    if copy.schema == newest_schema():
        return None
    return VERSIONS.get(copy.schema, f"one whose last migration is {copy.schema}")


def restore(copy: StartupCopy) -> PutBack:
    """Put `copy` in the place of the database, after a copy of that one was made; a damaged one is
    set aside. Killed at any moment, the database is the old or the new one.

    Raises ConflictError while server or worker run or an archive is restored, InvalidError for a
    damaged copy, NoRoomError.
    """
    with locks.wait_for("upgrade", WAIT_SECONDS):
        _require_stopped()
        if fault := databases.fault_of(copy.path):
            raise InvalidError(DAMAGED.format(copy.name, fault))
        # Taken up after this, it would replace what is put back here.
        recovered = restore_of_server.recover()
        with locks.hold(restore_of_server.LOCK, restore_of_server.BUSY):
            restore_of_server.require_none_left()
            return _put_back(copy)._replace(recovered=recovered)


def _put_back(copy: StartupCopy) -> PutBack:
    live = databases.live_path()
    fault = live_database.damage() if live.exists() else None
    kept = live_database.kept()
    files.require_room(live.parent, 2 * copy.size_bytes)
    before = None
    if live.exists() and not fault and _has_accounts(live):
        before = startup_copies.make(keep=copy)[0].name
    known = set(live.parent.iterdir())
    with files.draft(live.parent) as staged:
        shutil.copyfile(copy.path, staged)
        staged.chmod(0o600)
        _make_ready(staged, kept)
        if fault and live_database.fault() is None and not live_database.keep_copy_of_damaged():
            raise NoRoomError(NO_ROOM_ASIDE)
        live_database.load(staged)
    aside = sorted(path.name for path in set(live.parent.iterdir()) - known)
    return PutBack(copy, before, [name for name in aside if ".damaged-" in name])


def _require_stopped() -> None:
    if locks.is_shared(live_database.RUNNING):
        raise ConflictError(STOP_FIRST)


def _live_schema() -> str | None:
    """None where the database is missing or damaged."""
    live = databases.live_path()
    if not live.exists() or live_database.damage():
        return None
    try:
        with databases.opened(live) as connection:
            rows = connection.execute("SELECT MAX(name) FROM schema_migration").fetchall()
    except sqlite3.Error:
        return None
    return rows[0][0][:4] if rows[0][0] else None


def _has_accounts(live: Path) -> bool:
    try:
        with databases.opened(live) as connection:
            return connection.execute('SELECT 1 FROM "user"').fetchone() is not None
    except sqlite3.OperationalError:
        # Without our tables.
        return False


def _make_ready(staged: Path, kept: Kept) -> None:
    """Everybody logs in again, and phones load everything anew."""
    with databases.opened(staged) as connection:
        # One file, nothing beside it.
        connection.execute("PRAGMA journal_mode = delete")
        connection.execute("PRAGMA trusted_schema = off")
        # SQLite loads only what has the pages of the database in use.
        if _pragma(connection, "page_size") != (size := live_database.page_size()):
            connection.execute(f"PRAGMA page_size = {size}")
            connection.execute("VACUUM")
        connection.execute("BEGIN")
        _end_sessions(connection, kept.token_versions)
        _mark_anew(connection, kept.settings)
        version = max(kept.user_version, _pragma(connection, "user_version")) % USER_VERSION_MAX
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    descriptor = os.open(staged, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_sessions(connection: sqlite3.Connection, live: dict[str, int]) -> None:
    if "token_version" not in _columns(connection, "user"):
        return
    connection.execute('UPDATE "user" SET token_version = token_version + 1')
    connection.executemany(
        'UPDATE "user" SET token_version = MAX(token_version, ? + 1) WHERE id = ?',
        [(version, user_id) for user_id, version in live.items()],
    )
    # Of others nobody knows how far theirs went since: the seconds of the clock are further.
    rows = connection.execute('SELECT id FROM "user"').fetchall()
    connection.executemany(
        'UPDATE "user" SET token_version = MAX(token_version, ?) WHERE id = ?',
        [(int(clock.now()), user_id) for (user_id,) in rows if user_id not in live],
    )


def _mark_anew(connection: sqlite3.Connection, live: dict[str, str]) -> None:
    """Give every row that clients know an `updated_at` above all that they were ever told, in the
    old order, and note where those values begin."""
    if "value" not in _columns(connection, "setting"):
        return
    rows = dict(connection.execute("SELECT key, value FROM setting WHERE key = 'clock'"))
    clocks = [clock.now(), *(_number(each.get("clock")) for each in (rows, live))]
    epoch = max(clocks) + CLOCK_STEP
    tables = [name for name in _tables(connection) if "updated_at" in _columns(connection, name)]
    marks: list[tuple] = []
    if tables:
        union = " UNION ".join(f'SELECT updated_at FROM "{name}"' for name in tables)  # noqa: S608
        found = connection.execute(f"SELECT updated_at FROM ({union}) ORDER BY 1")  # noqa: S608
        marks = [(old, epoch + place * CLOCK_STEP) for place, (old,) in enumerate(found, 1)]
    connection.execute("CREATE TEMP TABLE mark (old PRIMARY KEY, new)")
    connection.executemany("INSERT INTO mark VALUES (?, ?)", marks)
    for name in tables:
        connection.execute(
            f'UPDATE "{name}" SET updated_at = '  # noqa: S608
            "(SELECT new FROM mark WHERE old = updated_at)"
        )
    connection.execute("DROP TABLE mark")
    last = epoch + (len(marks) + 1) * CLOCK_STEP
    connection.executemany(
        "INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)",
        [(EPOCH, json.dumps(epoch)), ("clock", repr(last))],
    )


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in rows.fetchall()]


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _number(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"[0-9.e+]+", text) else 0.0

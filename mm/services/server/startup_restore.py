"""Going back to a copy of the database that was made when the server started, on the command line
while nothing runs.

A copy of an older schema stays at that schema: it is for going back to the older version of the
program. So nothing here uses the models.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from mm import config, files, locks, schema
from mm.errors import ConflictError, InvalidError, NoRoomError, NotFoundError, UserError
from mm.services.server import databases, live_database, staging, startup_copies
from mm.services.server import restore as restore_of_server
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
        files.copy(copy.path, staged)
        staging.fit_pages(staged, live_database.page_size())
        with staging.changing(staged) as connection:
            staging.take_over(connection, kept)
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

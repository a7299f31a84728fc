"""The database's schema and its migrations, which a command applies before web and worker start."""

from pathlib import Path

from peewee import SqliteDatabase
from playhouse.migrations import Migration, Runner

from mm import config, locks
from mm.database import db

WAIT_SECONDS = 60
MIGRATIONS = config.ROOT / "migrations"


class SchemaError(Exception):
    """The database is not at the schema of this version; the message says which command to run."""


def pending() -> list[str]:
    """Names of the migrations to apply, in order. Needs an open connection."""
    return [row.name for row in _runner().status() if row.path and not row.applied]


def unknown() -> list[str]:
    """Names of applied migrations that this version does not have: a newer one applied them."""
    return [row.name for row in _runner().status() if not row.path]


def names() -> list[str]:
    """Those of all migrations of this version, in order."""
    return [migration.name for migration in Migration.load_directory(str(MIGRATIONS))]


def upgrade_file(path: Path | str) -> list[str]:
    """Apply the pending migrations to a SQLite file that is not the database in use and that nobody
    has open; returns their names. Does not wait for the disk. Raises peewee.DatabaseError and what
    a migration raises; the file is then as after the last one that succeeded."""
    pragmas = {"journal_mode": "delete", "synchronous": "off", "foreign_keys": 1}
    database = SqliteDatabase(str(path), pragmas={**pragmas, "trusted_schema": "off"})
    with database.connection_context():
        return list(Runner(database, str(MIGRATIONS)).up())


def require_current() -> None:
    """Raises SchemaError unless the database is at the current schema."""
    with db.connection_context():
        refuse_newer()
        if names := pending():
            raise SchemaError(
                f"The database needs an upgrade ({', '.join(names)}). Run: flask --app mm upgrade"
            )


def upgrade() -> list[str]:
    """Apply the pending migrations; returns their names. A failing one leaves the database as it
    was. Web and worker may both call this at their start: the second waits for the first."""
    with db.connection_context(), locks.wait_for("upgrade", WAIT_SECONDS):
        return upgrade_held()


def upgrade_held() -> list[str]:
    """As upgrade, for who has opened the database and holds the lock."""
    refuse_newer()
    return list(_runner().up())


def refuse_newer() -> None:
    """Raises SchemaError where a newer version has upgraded the database. Needs an open
    connection."""
    if names := unknown():
        raise SchemaError(
            f"The database was upgraded by a newer version of Movie Manager ({', '.join(names)}). "
            "Start that version again, or go back to the copy that was made before its upgrade: "
            "flask --app mm restore-startup"
        )


def _runner() -> Runner:
    # Not the proxy: Runner chooses the migrator by the class of the database.
    return Runner(db.obj, str(MIGRATIONS))

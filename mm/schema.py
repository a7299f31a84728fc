"""Bringing the database to the current schema: a command, run before web and worker start."""

from playhouse.migrations import Runner

from mm import config, locks
from mm.database import db

WAIT_SECONDS = 60
MIGRATIONS = config.ROOT / "migrations"


class SchemaError(Exception):
    """The database is not at the schema of this version; the message says which command to run."""


def pending() -> list[str]:
    """Names of the migrations not yet applied, in order. Needs an open connection."""
    return [row.name for row in _runner().status() if row.path and not row.applied]


def unknown() -> list[str]:
    """Applied migrations that this version does not have: a newer version wrote this database."""
    return [row.name for row in _runner().status() if not row.path]


def require_current() -> None:
    """Raises SchemaError unless the database is at the current schema."""
    with db.connection_context():
        _refuse_newer()
        if names := pending():
            raise SchemaError(
                f"The database needs an upgrade ({', '.join(names)}). Run: flask --app mm upgrade"
            )


def upgrade() -> list[str]:
    """Apply what is pending, one process at a time; returns the names. A failing migration leaves
    the database as it was. Web and worker may both ask at their start: the second waits and finds
    nothing to do."""
    with db.connection_context(), locks.wait_for("upgrade", WAIT_SECONDS):
        _refuse_newer()
        return list(_runner().up())


def _refuse_newer() -> None:
    if names := unknown():
        raise SchemaError(
            f"The database was made by a newer version of Movie Manager ({', '.join(names)})."
        )


def _runner() -> Runner:
    # The proxy itself will not do: the migrator is chosen by the class of the database.
    return Runner(db.obj, str(MIGRATIONS))

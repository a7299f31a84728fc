"""What pages and API answer to errors that nobody raised on purpose: one decision for both."""

from flask import g, request
from peewee import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    ProgrammingError,
)

from mm import disk, log
from mm.errors import NoRoomError, UnavailableError, UserError

# What `to_show` looks at.
OUTSIDE = (DatabaseError, InterfaceError, OSError)
# Of the database's errors, those that say the statement is at fault and not the database.
OUR_FAULT = (DataError, IntegrityError, InternalError, ProgrammingError)


def to_show(problem: Exception) -> UserError | None:
    """What to tell the user about an error of the database or the disk, or None for one that is
    our fault. It is logged here."""
    if disk.is_full(problem):
        log.warning("disk.full", **_asked())
        return NoRoomError(disk.FULL)
    if isinstance(problem, (OSError, *OUR_FAULT)):
        return None
    log.warning("database.unavailable", problem=str(problem), **_asked())
    return UnavailableError("The database does not answer right now. Try again in a minute.")


def unexpected(problem: BaseException) -> str:
    """Log what the program was not made for; returns the code to show."""
    return log.unexpected("request.failed", problem, **_asked())


def _asked() -> dict:
    """Never the address itself, which names films and people."""
    route = request.url_rule.rule if request.url_rule else "none"
    user_id = getattr(g.get("_login_user"), "id", None)
    return {"method": request.method, "route": route, **({"user": user_id} if user_id else {})}

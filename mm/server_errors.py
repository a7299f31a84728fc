"""How pages and API answer errors of the database and the disk, and errors that are bugs: decided
here once for both."""

from collections.abc import Callable

from flask import Blueprint, Flask, Response, g, request
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

# Those errors of the database that mean a wrong statement, and so a bug of ours.
BUGS = (DataError, IntegrityError, InternalError, ProgrammingError)
NO_ANSWER = "The database does not answer right now. Try again in a minute."
DAMAGED = (
    "The database is damaged. Whoever runs this server finds what to do in its README, under “When "
    "something broke”."
)


def register(surface: Flask | Blueprint, show: Callable[[UserError], Response]) -> None:
    """Answer a full disk and a database that does not answer with `show`. What is a bug is raised
    again, and ends as an InternalServerError."""

    def handle(problem: Exception) -> Response:
        if disk.is_full(problem):
            log.warning("disk.full", **_request_fields())
            return show(NoRoomError(disk.FULL))
        if isinstance(problem, (OSError, *BUGS)):
            raise problem
        log.warning("database.unavailable", problem=str(problem), **_request_fields())
        return show(no_answer(problem))

    for kind in (DatabaseError, InterfaceError, OSError):
        surface.register_error_handler(kind, handle)


def no_answer(problem: BaseException) -> UnavailableError:
    """What to say of a database that does not answer."""
    return UnavailableError(DAMAGED if disk.is_damaged(problem) else NO_ANSWER)


def unexpected(problem: BaseException) -> str:
    """Log a bug; returns the code to show."""
    return log.unexpected("request.failed", problem, **_request_fields())


def _request_fields() -> dict:
    """For the log. Never the path itself, which names films and people."""
    route = request.url_rule.rule if request.url_rule else "none"
    user_id = getattr(g.get("_login_user"), "id", None)
    return {"method": request.method, "route": route, **({"user": user_id} if user_id else {})}

"""One shape for every failure of the API: {"detail": …} with a true status."""

import re
from collections.abc import Iterable

import msgspec
from flask import Blueprint, Response, request
from peewee import DatabaseError as DatabaseFailure
from peewee import DataError, IntegrityError, InterfaceError, InternalError, ProgrammingError
from werkzeug.exceptions import HTTPException

from mm import auth
from mm.errors import Invalid, TooMany, Unauthenticated, Unavailable, UserError

# Of peewee's errors, those that say the statement is at fault and not the database.
OUR_FAULT = (DataError, IntegrityError, InternalError, ProgrammingError)
MESSAGES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    413: "The request is too large: an import takes 64 MiB, a queue of actions 16 MiB, anything else 1 MiB",
    500: "Internal server error",
}
PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def init_blueprint(bp: Blueprint) -> None:
    bp.register_error_handler(UserError, show_user_error)
    bp.register_error_handler(HTTPException, show_http_error)
    bp.register_error_handler(DatabaseFailure, show_database_error)
    bp.register_error_handler(InterfaceError, show_database_error)
    bp.before_app_request(refuse_unrouted)


def refuse_unrouted() -> Response | None:
    """A path or method without a route belongs to no blueprint, so its error would be shown as a page."""
    if auth.is_api() and request.routing_exception is not None:
        return show_http_error(request.routing_exception)
    return None


def show_user_error(error: UserError) -> Response:
    response = answer(error.status, _detail(error))
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def show_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = answer(status, MESSAGES.get(status, error.description or error.name))
    if "Allow" in (headers := dict(error.get_headers())):
        response.headers["Allow"] = headers["Allow"]
    return response


def show_database_error(error: DatabaseFailure | InterfaceError) -> Response:
    if isinstance(error, OUR_FAULT):
        raise error
    return show_user_error(Unavailable("The database does not answer right now. Try again in a minute."))


def answer(status: int, detail: str | list) -> Response:
    return Response(msgspec.json.encode({"detail": detail}), status, mimetype="application/json")


def problems(rows: Iterable[tuple[str, str]]) -> list[dict]:
    """(path, reason) pairs as the detail of a 422: "movies[3].status" -> ["movies", 3, "status"]."""
    return [{"loc": _location(path), "msg": reason, "type": "value_error"} for path, reason in rows]


def _detail(error: UserError) -> str | list:
    if not isinstance(error, Invalid):
        return error.message
    return problems((row.path, row.reason) for row in error.errors) or problems([("", error.message)])


def _location(path: str) -> list[str | int]:
    return [int(index) if index else name for index, name in PATH_PART.findall(path)]

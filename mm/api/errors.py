"""One shape for every error of the API: {"detail": …} with a true status.

`detail` is one sentence. Only for a body or query of the wrong shape is it a list, made by
`problems`, of what is wrong where.
"""

import re
from collections.abc import Iterable

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from mm import auth, server_errors
from mm.errors import UnauthenticatedError, UserError

MESSAGES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    408: "The body of the request took too long to arrive",
    413: (
        "The request is too large: "
        "an import of a library takes 64 MiB, a collection, a queue of actions or a list's order "
        "16 MiB, anything else 1 MiB"
    ),
}
PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def init_blueprint(bp: Blueprint) -> None:
    bp.register_error_handler(UserError, show_user_error)
    bp.register_error_handler(HTTPException, show_http_error)
    bp.register_error_handler(InternalServerError, show_unexpected)
    server_errors.register(bp, show_user_error)
    bp.before_app_request(refuse_unrouted)


def refuse_unrouted() -> Response | None:
    """A path or method without a route belongs to no blueprint, so without this its error would be
    shown as a page."""
    if auth.is_api() and request.routing_exception is not None:
        return show_http_error(request.routing_exception)
    return None


def show_user_error(error: UserError) -> Response:
    response = answer(error.status, error.message)
    if retry_after := getattr(error, "retry_after", None):
        response.headers["Retry-After"] = str(retry_after)
    if isinstance(error, UnauthenticatedError):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def show_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = answer(status, MESSAGES.get(status, error.description or error.name))
    if "Allow" in (headers := dict(error.get_headers())):
        response.headers["Allow"] = headers["Allow"]
    return response


def show_unexpected(error: InternalServerError) -> Response:
    code = server_errors.unexpected(error.original_exception or error)
    return answer(500, f"Internal server error (code {code})")


def answer(status: int, detail: str | list) -> Response:
    return Response(msgspec.json.encode({"detail": detail}), status, mimetype="application/json")


def problems(rows: Iterable[tuple[str, str]]) -> list[dict]:
    """(path, reason) pairs as a detail. "movies[3].status" becomes ["movies", 3, "status"]."""
    return [
        {
            "loc": [int(index) if index else name for index, name in PATH_PART.findall(path)],
            "msg": reason,
            "type": "value_error",
        }
        for path, reason in rows
    ]

"""What went wrong, as a page, or as a toast where a fragment was asked for."""

from urllib.parse import urlsplit

from flask import Flask, Response, make_response, request, url_for
from werkzeug.exceptions import HTTPException, InternalServerError

from mm import htmx, server_errors
from mm.database import db
from mm.errors import UnauthenticatedError, UserError
from mm.maintenance import RestoredError
from mm.services import validation

TITLES = {
    400: "Something’s missing",
    403: "Not allowed",
    404: "Not found",
    405: "Not found",
    408: "Too slow",
    409: "In use",
    413: "Too large",
    422: "Can’t be processed",
    429: "Too many attempts",
    503: "Not available",
    507: "Disk full",
}
# For the errors that Flask raises itself; a UserError brings its own words.
MESSAGES = {
    400: "The request was incomplete. Go back, reload the page and try again.",
    404: "This page doesn’t exist.",
    405: "This page doesn’t exist.",
    408: "Your request took too long to arrive. Nothing was changed. Try again.",
    413: validation.TOO_LARGE,
}


def init_app(app: Flask) -> None:
    app.register_error_handler(UnauthenticatedError, log_in_first)
    app.register_error_handler(UserError, show_user_error)
    app.register_error_handler(HTTPException, show_http_error)
    app.register_error_handler(InternalServerError, show_unexpected)
    server_errors.register(app, show_user_error)


def log_in_first(error: UnauthenticatedError) -> Response:
    """To the log-in, and from there back to where one was going: for a fragment, the page that it
    belongs to."""
    target = url_for("session.log_in", next=_page_address())
    if htmx.wants_partial():
        return Response(status=401, headers={"HX-Redirect": target})
    return htmx.go(target)


def show_user_error(error: UserError) -> Response:
    response = _answer(error.message, error.status)
    if retry_after := getattr(error, "retry_after", None):
        response.headers["Retry-After"] = str(retry_after)
    return response


def show_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return make_response(error.get_response())
    return _answer(
        MESSAGES.get(status, error.description or "The request could not be answered."), status
    )


def show_unexpected(error: InternalServerError) -> Response:
    code = server_errors.unexpected(error.original_exception or error)
    words = "Something broke on the server. Nothing was half saved. Its log says more at the code"
    return _answer(f"{words} {code}.", 500)


def _answer(message: str, status: int) -> Response:
    if htmx.wants_partial():
        return htmx.refuse(message, status)
    heading = TITLES.get(status, "Something went wrong")
    try:
        return htmx.render("error.html", status=status, heading=heading, message=message)
    except RestoredError:
        # Who is logged in is read anew for this page, which is all of the new data then.
        db.obj.accept_restored()
        return htmx.render("error.html", status=status, heading=heading, message=message)


def _page_address() -> str:
    """A fragment belongs to the page that asked for it; a redirect cannot send a form again."""
    if htmx.wants_partial():
        page = urlsplit(request.headers.get("HX-Current-URL", "/"))
        return page._replace(scheme="", netloc="", fragment="").geturl()
    return request.full_path.rstrip("?") if request.method == "GET" else "/"

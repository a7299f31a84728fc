"""Log-in and log-out."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user

from mm import auth, htmx
from mm.errors import TooManyRequestsError, UnauthenticatedError, UserError

bp = Blueprint("session", __name__)


@bp.get("/login")
def log_in() -> Response:
    if current_user.is_authenticated:
        return htmx.go(auth.local_path(request.args.get("next")))
    return _page()


@bp.post("/login")
def check() -> Response:
    try:
        user = auth.attempt_log_in(request.form.get("email", ""), request.form.get("password", ""))
    except (UnauthenticatedError, TooManyRequestsError) as problem:
        return _page(problem)
    auth.log_in(user, remember="remember" in request.form)
    return htmx.go(auth.local_path(request.form.get("next")))


@bp.post("/logout")
def log_out() -> Response:
    auth.log_out()
    htmx.toast("Logged out.")
    return htmx.go(url_for(".log_in"))


def _page(problem: UserError | None = None) -> Response:
    """With what was typed, but for the password."""
    response = htmx.render(
        "session/login.html",
        status=problem.status if problem else 200,
        problem=problem,
        email=request.form.get("email", ""),
        remember="remember" in request.form,
        next=auth.local_path(request.values.get("next")),
    )
    if isinstance(problem, TooManyRequestsError):
        response.headers["Retry-After"] = str(problem.retry_after)
    return response

"""Account: name, password, the end of all log-ins, and what this is."""

from flask import Blueprint, Response, request, session, url_for
from flask_login import current_user, login_required

from mm import __version__, auth, htmx
from mm.errors import InvalidError, TooManyRequestsError, UnavailableError, UserError
from mm.routes.forms import problems_of
from mm.services import accounts
from mm.services.backup import state

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("")
@login_required
def show() -> Response:
    return _page()


@bp.post("/name")
@login_required
def rename() -> Response:
    try:
        user = accounts.rename(auth.account(), request.form.get("username", ""))
    except UserError as error:
        return _page(problems_of(error, "username"))
    htmx.toast("Name changed to {name}.", name=user.username)
    return htmx.go(url_for(".show"))


@bp.post("/password")
@login_required
def change_password() -> Response:
    """Every other log-in ends; this one goes on."""
    user, new = auth.account(), request.form.get("new", "")
    try:
        accounts.check_new_password(new)
        auth.confirm_password(user, request.form.get("current", ""))
    except InvalidError as error:
        return _page(problems_of(error))
    except UserError as error:
        return _page({"current": error.message}, error)
    accounts.set_password(user, new)
    # The new password ended this log-in too.
    auth.log_in(accounts.get(user.id), remember=session.permanent)
    htmx.toast("Password changed. Other devices were logged out.")
    return htmx.go(url_for(".show"))


@bp.post("/end-sessions")
@login_required
def end_sessions() -> Response:
    accounts.end_sessions(auth.account())
    auth.log_out()
    htmx.toast("Logged out everywhere.")
    return htmx.go(url_for("session.log_in"))


def _page(problems: dict | None = None, error: UserError | None = None) -> Response:
    status = error.status if isinstance(error, TooManyRequestsError) else 422
    backups, out_of_reach = None, ""
    try:
        backups = state.of(auth.account()).state
    except UnavailableError as failure:
        # The folder of the backups cannot be read.
        out_of_reach = failure.message
    response = htmx.render(
        "account/show.html",
        status=status if problems else 200,
        problems=problems or {},
        username=request.form.get("username", current_user.username),
        backups=backups,
        out_of_reach=out_of_reach,
        version=__version__,
    )
    if isinstance(error, TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response

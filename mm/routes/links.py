"""What a link opens that an administrator made: an invitation to create an account, or a new
password. Whoever holds the link may use it, once; looking at it does not use it up."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user

from mm import auth, htmx
from mm.errors import ConflictError, NotFoundError, TooManyRequestsError, UserError
from mm.models import AccountLink
from mm.routes.forms import problems_of, typed
from mm.services import account_links

bp = Blueprint("links", __name__)


@bp.get("/invite/<token>")
def show_invite(token: str) -> Response:
    return _invite_page(auth.open_link(token, account_links.INVITE))


@bp.post("/invite/<token>")
def accept(token: str) -> Response:
    link = auth.open_link(token, account_links.INVITE)
    if current_user.is_authenticated:
        return _invite_page(link, ConflictError("Log out first."))
    form = typed("email", "username", "password")
    try:
        user = account_links.accept(token, **form)
    except NotFoundError:
        raise
    except UserError as error:
        return _invite_page(link, error)
    auth.log_in(user, remember="remember" in request.form)
    auth.log_action("invite.accepted", admin=user.is_admin)
    htmx.toast("Welcome, {name}! Add the first film that you want to watch.", name=user.username)
    return htmx.go(url_for("library.index"))


@bp.get("/reset/<token>")
def show_reset(token: str) -> Response:
    return _reset_page(auth.open_link(token, account_links.RESET))


@bp.post("/reset/<token>")
def reset(token: str) -> Response:
    """Every other log-in of the account ends, and this browser is logged in to it."""
    link = auth.open_link(token, account_links.RESET)
    try:
        user = account_links.use_reset(token, request.form.get("password", ""))
    except NotFoundError:
        raise
    except UserError as error:
        return _reset_page(link, error)
    auth.log_in(user, remember="remember" in request.form)
    auth.log_action("password.reset")
    htmx.toast("Password changed. Other devices were logged out.")
    return htmx.go(url_for("library.index"))


@bp.errorhandler(NotFoundError)
@bp.errorhandler(TooManyRequestsError)
def say_not_valid(error: UserError) -> Response:
    """The same for a link that was used, has run out, was revoked or never was."""
    response = htmx.render("links/not_valid.html", status=error.status, message=error.message)
    if isinstance(error, TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _invite_page(link: AccountLink, error: UserError | None = None) -> Response:
    """With what was typed, but for the password."""
    return htmx.render(
        "links/invite.html",
        status=error.status if error else 200,
        link=link,
        problems=problems_of(error) if error else {},
        form=typed("email", "username"),
        remember=_remember(),
    )


def _reset_page(link: AccountLink, error: UserError | None = None) -> Response:
    return htmx.render(
        "links/reset.html",
        status=error.status if error else 200,
        link=link,
        problems=problems_of(error) if error else {},
        remember=_remember(),
    )


def _remember() -> bool:
    return request.method == "GET" or "remember" in request.form

"""Account: name, email address, password, how dates look, what the library opens with, the end of
all log-ins, and what this is."""

from flask import Blueprint, Response, request, session, url_for
from flask_login import current_user

from mm import __version__, auth, clock, config, dates, htmx
from mm.dates import Style
from mm.errors import InvalidError, TooManyRequestsError, UnavailableError, UserError
from mm.routes.filters import dates_of_reader
from mm.routes.forms import problems_of
from mm.services import accounts, date_style
from mm.services.backup import state
from mm.services.library import browse, usual
from mm.services.library.usual import Usual

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("")
@auth.account_required
def show() -> Response:
    return _page()


@bp.post("/name")
@auth.account_required
def rename() -> Response:
    try:
        user = accounts.rename(auth.account(), request.form.get("username", ""))
    except UserError as error:
        return _page(problems_of(error, "username"))
    htmx.toast("Username changed to {name}.", name=user.username)
    return htmx.go(url_for(".show"))


@bp.post("/email")
@auth.account_required
def change_email() -> Response:
    """Asks for the password, because one logs in with the address."""
    user, email = auth.account(), request.form.get("email", "")
    try:
        auth.confirm_password(user, request.form.get("email_password", ""))
    except UserError as error:
        return _page({"email_password": error.message}, error)
    try:
        user = accounts.change_email(user, email)
    except UserError as error:
        return _page(problems_of(error, "email"))
    htmx.toast("Email address changed to {email}.", email=user.email)
    return htmx.go(url_for(".show"))


@bp.post("/password")
@auth.account_required
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


@bp.post("/dates")
@auth.account_required
def choose_dates() -> Response:
    style = Style(request.form.get("format", ""), request.form.get("language", ""))
    try:
        date_style.choose(current_user.id, style)
    except InvalidError as error:
        return _page(problems_of(error))
    today = clock.today(config.current.zone)
    htmx.toast("Dates now look like this: {today}.", today=style.long(today))
    return htmx.go(url_for(".show"))


@bp.post("/library")
@auth.account_required
def choose_usual() -> Response:
    chosen = Usual(request.form.get("size", ""), request.form.get("sort", ""))
    try:
        usual.choose(current_user.id, chosen)
    except InvalidError as error:
        return _page(problems_of(error))
    htmx.toast(f"Your library now opens with {usual.words(chosen)}.")
    return htmx.go(url_for(".show"))


@bp.post("/end-sessions")
@auth.account_required
def end_sessions() -> Response:
    accounts.end_sessions(auth.account())
    auth.log_out()
    htmx.toast("Logged out everywhere.")
    return htmx.go(url_for("session.log_in"))


def _page(problems: dict | None = None, error: UserError | None = None) -> Response:
    status = error.status if isinstance(error, TooManyRequestsError) else 422
    backups, out_of_reach = None, ""
    try:
        backups = state.of(auth.account(), dates_of_reader()).state
    except UnavailableError as failure:
        # The folder of the backups cannot be read.
        out_of_reach = failure.message
    response = htmx.render(
        "account/show.html",
        status=status if problems else 200,
        problems=problems or {},
        username=request.form.get("username", current_user.username),
        email=request.form.get("email", current_user.email),
        style=dates_of_reader(),
        previews=_previews(dates_of_reader().language),
        languages=dates.LANGUAGES,
        usual=usual.of(current_user.id),
        sizes=browse.SIZE_LABELS,
        sorts=browse.SORT_LABELS,
        backups=backups,
        out_of_reach=out_of_reach,
        version=__version__,
    )
    if isinstance(error, TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _previews(language: str) -> dict[str, str]:
    """Today in each format. On some days it does not tell which number is the month, so that is
    said."""
    today = clock.today(config.current.zone)
    hints = {"day_slashes": " (day first)", "month_slashes": " (month first)"}
    return {name: Style(name, language).long(today) + hints.get(name, "") for name in dates.FORMATS}

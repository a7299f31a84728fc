"""Setting up a server that has no account. `setup_guard` says who may; once there is an account
none of these pages exists."""

from flask import Blueprint, Response, request, url_for

from mm import archive_bodies, auth, config, htmx, tasks
from mm.errors import ConflictError, InvalidError, NotFoundError, TooManyRequestsError, UserError
from mm.routes import setup_guard
from mm.routes.archive_contexts import upload_context
from mm.routes.forms import problems_of, typed
from mm.services.server.first_run import code, confirming, found, kept, offers

ACCOUNT = ("username", "email", "password")
NO_FILE = "Choose a file first."

bp = Blueprint("setup", __name__, url_prefix=setup_guard.ADDRESS)


@bp.get("")
def index() -> Response:
    return _page() if setup_guard.is_open() else _code_page()


@bp.post("/code")
def check_code() -> Response:
    try:
        setup_guard.check_answer(request.form.get("code", ""))
    except (InvalidError, TooManyRequestsError) as error:
        return _code_page(error)
    return htmx.go(url_for(".index"))


@bp.post("")
def create() -> Response:
    account = typed(*ACCOUNT)
    try:
        user = confirming.create_administrator(**account)
    except InvalidError as error:
        return _page(typed=account, problems=problems_of(error), status=error.status)
    auth.log_in(user)
    auth.log_action("setup.administrator")
    return htmx.go(url_for("begin.keys"))


@bp.post("/file")
def take_file() -> Response:
    try:
        with archive_bodies.received() as received:
            if received.path is None:
                raise InvalidError(NO_FILE)
            kept.keep_upload(received.path, found.look_at(received.path, received.name))
    except UserError as error:
        return _page("setup/_file.html", error.status, **upload_context(error.message))
    return htmx.go(url_for(".show_found"))


@bp.post("/offer")
def take_offer() -> Response:
    """A file that lies on the server's disk already."""
    offer_id = request.form.get("offer", "")
    try:
        offer = offers.find(offer_id)
        what = found.look_at(offer.path, offer.path.name)
        kept.keep_in_place(offer.path, what, offer.user_id)
    except UserError as error:
        return _page(offer_problems={offer_id: error.message}, status=error.status)
    return htmx.go(url_for(".show_found"))


@bp.get("/found")
def show_found() -> Response:
    try:
        return _found_page(kept.waiting())
    except NotFoundError as error:
        htmx.toast(error.message, "bad")
        return htmx.go(url_for(".index"))


@bp.post("/found")
def confirm() -> Response:
    waiting = kept.waiting(request.form.get("choice", ""))
    try:
        if waiting.found.kind == "archive":
            job, token = confirming.begin_restore(waiting)
            tasks.enqueue(job)
            return htmx.go(url_for("restored.show", token=token))
        token = confirming.take_over(waiting, typed("admin", *ACCOUNT))
    except ConflictError:
        raise
    except UserError as error:
        return _found_page(waiting, problems_of(error, "file"), error.status)
    tasks.start_enrichment()
    return htmx.go(url_for("welcome.show", token=token))


def _page(partial: str | None = None, status: int = 200, **context) -> Response:
    """`typed`: what stands in the administrator's form."""
    defaults = {"typed": {}, "problems": {}, "offer_problems": {}, **upload_context()}
    return htmx.render(
        "setup/index.html",
        partial,
        status=status,
        offers=offers.listing(),
        **{**defaults, **context},
    )


def _code_page(error: UserError | None = None) -> Response:
    by_token = bool(config.current.admin_token)
    if not by_token:
        code.ensure()
    response = htmx.render(
        "setup/code.html",
        status=error.status if error else 200,
        by_token=by_token,
        code_file=config.current.setup_code_file,
        problem=error,
    )
    if isinstance(error, TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _found_page(
    waiting: kept.Kept, problems: dict[str, str] | None = None, status: int = 200
) -> Response:
    problems = problems or {}
    elsewhere = [words for field, words in problems.items() if field not in ("admin", *ACCOUNT)]
    return htmx.render(
        "setup/found.html",
        status=status,
        problem=" ".join(elsewhere),
        choice=waiting.id,
        found=waiting.found,
        typed=typed("admin", "username", "email"),
        problems=problems,
    )

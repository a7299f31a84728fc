"""A list as whoever has its link sees it, with an account or without one: read-only, and nothing of
its owner but what the link shows."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user

from mm import auth, htmx
from mm.errors import NotFoundError, TooManyRequestsError, UserError
from mm.models import ListShare
from mm.routes import downloads, posters
from mm.services.collections import envelope, sharing
from mm.services.library import shares

PAGES_MAX = 10**6
# No search engine lists what was sent to a friend, and no other site learns the address.
HEADERS = {"X-Robots-Tag": "noindex, nofollow", "Referrer-Policy": "same-origin"}

bp = Blueprint("shared", __name__, url_prefix="/shared")


@bp.after_request
def add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


@bp.get("/<token>")
def show(token: str) -> Response:
    shared = auth.open_share(token)
    number = min(max(request.args.get("page", 1, type=int), 1), PAGES_MAX)
    if request.args.get("view") == "print":
        with shares.in_turn(shared):
            return _page("shared/print.html", shared, number, shares.PRINT_SIZE)
    return _page("shared/show.html", shared, number, shares.PAGE_SIZE)


@bp.get("/<token>/posters/<size>/<file>")
def poster(token: str, size: str, file: str) -> Response:
    shares.require_poster(auth.open_share(token), size, file)
    return posters.picture(size, file)


@bp.get("/<token>/list.json")
def download(token: str) -> Response:
    shared = auth.open_share(token)
    with shares.in_turn(shared):
        content = envelope.encode(sharing.file_of(shared))
    return downloads.of_collection(envelope.file_name(sharing.KIND), content)


@bp.post("/<token>/add")
def add(token: str) -> Response:
    """Keeps the list as a file that waits for a look at its preview."""
    shared = auth.open_share(token)
    if not current_user.is_authenticated:
        return htmx.go(url_for("session.log_in", next=url_for(".show", token=token)))
    if _is_mine(shared):
        return htmx.go(url_for("library.index", list=shared.custom_list.id))
    job = sharing.keep(auth.account(), shared)
    return htmx.go(url_for("collections.show", kind=sharing.KIND, job_id=job.id))


@bp.errorhandler(NotFoundError)
@bp.errorhandler(TooManyRequestsError)
def say_not_shared(error: UserError) -> Response:
    """The same for a link that has run out, was revoked or never was."""
    response = htmx.render("links/not_valid.html", status=error.status, message=error.message)
    if isinstance(error, TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _is_mine(shared: ListShare) -> bool:
    return current_user.is_authenticated and current_user.id == shared.custom_list.user_id


def _page(template: str, shared: ListShare, number: int, size: int) -> Response:
    count = shares.count_films(shared)
    return htmx.render(
        template,
        share=shared,
        list=shared.custom_list,
        owner=shared.custom_list.user,
        count=count,
        films=shares.films(shared, number, size),
        number=number,
        first=(number - 1) * size + 1,
        pages=max(1, -(-count // size)),
        is_mine=_is_mine(shared),
    )

"""Undo, from the toast of what was done."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from flask_login import current_user, login_required

from mm import auth, htmx
from mm.errors import ConflictError, NotFoundError
from mm.services.library import undo

bp = Blueprint("undo", __name__)


@bp.post("/undo/<token>")
@login_required
def back(token: str) -> Response:
    """Back to where the button was, or where htmx asks: a page that shows what is there now."""
    try:
        undo.back(current_user.id, token)
        htmx.toast("Undone.")
    except (ConflictError, NotFoundError) as problem:
        htmx.toast(problem.message, "bad")
    return htmx.go(_page())


def _page() -> str:
    """Its Referer is the page's own, as the headers ask of browsers."""
    referer = urlsplit(request.headers.get("HX-Current-URL") or request.referrer or "/")
    return auth.local_path(referer._replace(scheme="", netloc="", fragment="").geturl())

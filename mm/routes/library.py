"""The library: titles with their status and rating."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import config, htmx
from mm.services import enrich, shelves

PAGE_SIZE = 60
# Keeps the offset within what a database takes.
PAGES_MAX = 10**6
TABS = (
    ("all", "All"),
    ("toWatch", "To watch"),
    ("watched", "Watched"),
    ("custom", "On a list"),
    ("deleted", "Deleted"),
)

bp = Blueprint("library", __name__)


@bp.get("/")
@login_required
def index() -> Response:
    tab = request.args.get("status", "all")
    tab = tab if tab in dict(TABS) else "all"
    number = min(max(request.args.get("page", 1, type=int), 1), PAGES_MAX)
    shelf = shelves.page(current_user.id, None if tab == "all" else tab, (number - 1) * PAGE_SIZE, PAGE_SIZE)
    return htmx.render("library/index.html", "library/_films.html", shelf=shelf, tabs=TABS, tab=tab, number=number,
                       pages=max(1, -(-shelf.total // PAGE_SIZE)), **enrichment_context())  # fmt: skip


@bp.get("/enrichment")
@login_required
def enrichment() -> Response:
    return htmx.fragment("library/_enrichment.html", url_for("library.index"), **enrichment_context())


def enrichment_context() -> dict:
    """`filling`: details are being fetched, so that asking again soon shows more."""
    progress = enrich.progress(current_user.id)
    return {"enrichment": progress, "filling": bool(progress.waiting and config.current.tmdb_api_key)}

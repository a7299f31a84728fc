"""Server, Titles: which are stuck at TMDB or OMDb, another try, and what is asked for instead."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user

from mm import auth, htmx, spoken, tasks
from mm.errors import UserError
from mm.routes.filters import dates_of_reader
from mm.routes.forms import problems_of
from mm.services.enrichment import pauses, stuck

# What each of stuck.SHOWN is called.
SHOWS = {
    "all": "All",
    "tmdb-missing": "Not at TMDB",
    "tmdb-failed": "TMDB failed",
    "omdb-missing": "Not at OMDb",
    "omdb-failed": "OMDb failed",
    "chosen": "Chosen by hand",
}

bp = Blueprint("admin_titles", __name__, url_prefix="/admin/titles")


@bp.get("")
@auth.admin_required
def index() -> Response:
    number = request.args.get("page", 1, type=int)
    listed = stuck.listing(request.args.get("show", "all"), number, dates_of_reader())
    return htmx.render("admin/titles.html", listed=listed, shows=SHOWS, providers=pauses.NAMES)


@bp.post("/retry")
@auth.admin_required
def retry_all() -> Response:
    """Those that were listed."""
    show = request.form.get("show", "all")
    count = stuck.retry_all(show)
    auth.log_action("titles.retried", count=count, show=show if show in SHOWS else "all")
    tasks.start_enrichment()
    htmx.toast(f"{spoken.plural(count, 'title')} will be looked up again.")
    return htmx.go(_home())


@bp.get("/<imdb_id>")
@auth.admin_required
def show(imdb_id: str) -> Response:
    """With `tmdb`: what was typed there, and what TMDB has at it."""
    entry = stuck.get(imdb_id)
    text = request.args.get("tmdb")
    if text is None:
        return _page(entry)
    try:
        return _page(entry, text, found=stuck.find(text, current_user.id))
    except UserError as error:
        return _page(entry, text, error)


@bp.post("/<imdb_id>/retry")
@auth.admin_required
def retry(imdb_id: str) -> Response:
    stuck.retry(imdb_id)
    tasks.start_enrichment()
    htmx.toast("It will be looked up next.")
    entry = stuck.get(imdb_id)
    return htmx.fragment("admin/_title.html", _home(), entry=entry, providers=pauses.NAMES)


@bp.post("/<imdb_id>/link")
@auth.admin_required
def link(imdb_id: str) -> Response:
    """What `show` showed is asked for from now on."""
    entry = stuck.get(imdb_id)
    text = request.form.get("tmdb", "")
    try:
        found = stuck.link(imdb_id, text, current_user.id)
    except UserError as error:
        return _page(entry, text, error)
    media_type, tmdb_id = found.link
    auth.log_action("title.linked", title=imdb_id, tmdb=f"{media_type}/{tmdb_id}")
    tasks.start_enrichment()
    htmx.toast("Saved. {name} is being fetched.", name=found.title or imdb_id)
    return htmx.go(url_for(".index", show="chosen"))


@bp.post("/<imdb_id>/unlink")
@auth.admin_required
def unlink(imdb_id: str) -> Response:
    stuck.unlink(imdb_id)
    auth.log_action("title.unlinked", title=imdb_id)
    tasks.start_enrichment()
    htmx.toast("Removed. TMDB will be asked for the IMDb ID again.")
    return htmx.go(url_for(".index"))


def _page(
    entry: stuck.Entry,
    text: str = "",
    error: UserError | None = None,
    found: stuck.Found | None = None,
) -> Response:
    """`text` as it was typed, what is wrong with it, or what it leads to."""
    return htmx.render(
        "admin/title.html",
        status=error.status if error else 200,
        entry=entry,
        providers=pauses.NAMES,
        text=text,
        problems=problems_of(error, stuck.FIELD) if error else {},
        found=found,
    )


def _home() -> str:
    """The list as it was when the form was sent."""
    shown = {name: request.values[name] for name in ("show", "page") if name in request.values}
    return url_for(".index", **shown)  # type: ignore[arg-type]

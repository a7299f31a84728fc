"""The library: the films of one tab as posters, found, filtered and sorted; several of them changed
at once."""

from urllib.parse import parse_qsl

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import auth, config, htmx, tasks
from mm.errors import InvalidError
from mm.models import SavedView
from mm.routes.filters import plural
from mm.services.enrichment import pauses
from mm.services.enrichment import runner as enrichment_runner
from mm.services.library import browse, bulk, lists, people, saved_views

PAGE_SIZE = 60
# Keeps the offset within what a database takes.
OFFSET_MAX = 10**7
SORTS = {
    "added": "Added",
    "watched": "Watched",
    "my_rating": "My rating",
    "imdb": "IMDb rating",
    "year": "Year",
    "title": "Title",
}
PLACES = {"toWatch": "To watch", "watched": "Watched", "deleted": "Deleted"}

bp = Blueprint("library", __name__)


@bp.get("/")
@login_required
def index() -> Response:
    """With `after`, a position, htmx gets the cards that follow it; else all that a change of the
    view changes. Addresses of earlier versions have an `offset` instead."""
    view = browse.parse(request.args)
    offset = min(max(request.args.get("offset", 0, type=int), 0), OFFSET_MAX)
    after = browse.place(request.args, view)
    shelf = browse.shelf(current_user.id, view, 0 if after else offset, PAGE_SIZE, after)
    part = "library/_cards.html" if offset or after else "library/_browse.html"
    response = htmx.render(
        "library/index.html",
        part,
        shelf=shelf,
        saved=_saved(),
        sorts=SORTS,
        page_size=PAGE_SIZE,
        **_filters(),
        **_banners(),
    )
    if request.headers.get("HX-Source", "").startswith("form"):
        # A form sends its empty fields too.
        response.headers["HX-Replace-Url"] = url_for(".index", **shelf.view.params())
    return response


@bp.get("/counts")
@login_required
def counts() -> Response:
    view = browse.parse(request.args)
    shelf = browse.shelf(current_user.id, view, 0, 0)
    return htmx.fragment("library/_counts.html", url_for(".index", **view.params()), shelf=shelf)


@bp.post("/selection")
@login_required
def act() -> Response:
    verb, _, value = request.form.get("do", "").partition(":")
    films, words, name = _act(verb, value, request.form.getlist("film"))
    message = f"{plural(films.changed, 'film')} {words}."
    if films.gone:
        message += f" {plural(films.gone, 'film was', 'films were')} not there any more."
    htmx.toast(message, undo=films.token, name=name)
    return htmx.go(auth.local_path(request.form.get("back")))


@bp.get("/enrichment")
@login_required
def enrichment() -> Response:
    return htmx.fragment(
        "library/_enrichment.html", url_for("library.index"), **enrichment_context()
    )


def enrichment_context() -> dict:
    """`filling`: details are being fetched, so that asking again soon shows more."""
    progress = enrichment_runner.progress(current_user.id)
    return {
        "enrichment": progress,
        "filling": bool(progress.waiting and config.current.tmdb_api_key),
    }


def _act(verb: str, value: str, films: list[str]) -> tuple[bulk.Done, str, str]:
    """What was done, in words, and the {name} in these."""
    user_id = current_user.id
    match verb:
        case "status" if value in PLACES:
            done = bulk.set_status(user_id, films, value)
            return done, "moved to {name}", PLACES[value]
        case "list":
            done = bulk.put_on_list(user_id, films, value)
            return done, "moved to {name}", lists.find(user_id, value).name
        case "recommend":
            name = request.form.get("person", "").strip()
            done = bulk.recommend(user_id, films, name)
            tasks.start_enrichment()
            return done, "marked as recommended by {name}", name
        case "remove":
            return bulk.delete(user_id, films), "deleted for good", ""
    raise InvalidError("Choose what to do with these films.")


def _filters() -> dict:
    """What the filters offer is looked for only where they are open."""
    if "filters" not in request.args:
        return {"open": False}
    genres, decades = browse.facets(current_user.id)
    return {
        "open": True,
        "genres": [(genre, genre) for genre in genres],
        "decades": [(decade, f"{decade}s") for decade in decades],
        "people": [(person.id, person.name) for person in people.listing(current_user.id)],
    }


def _saved() -> list[tuple[SavedView, dict]]:
    """With the parameters that lead there: a view may come from a file, and hold anything."""
    return [
        (saved, browse.parse(saved.filters).params())
        for saved in saved_views.listing(current_user.id)
    ]


def _banners() -> dict:
    return {"has_key": bool(pauses.key("tmdb")), "waiting": browse.is_waiting(current_user.id)}


def view_of(query: str) -> browse.View:
    """From the query of an address."""
    return browse.parse(dict(parse_qsl(query)))

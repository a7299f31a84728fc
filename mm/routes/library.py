"""The library: the films of one tab as posters, found, filtered and sorted; several of them changed
at once."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import auth, htmx, tasks
from mm.errors import InvalidError
from mm.models import SavedView
from mm.routes.contexts import enrichment_context
from mm.routes.filters import plural, status_label
from mm.services.enrichment import pauses
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
KINDS = {"movie": "Films", "tv": "Series"}
# What a film may be given; on a list it is by the list.
STATUSES = ("toWatch", "watched", "deleted")

bp = Blueprint("library", __name__)


@bp.get("/")
@login_required
def index() -> Response:
    """With `after`, a position, htmx gets the cards that follow it; else all that a change of the
    view changes. Addresses of earlier versions have an `offset` instead."""
    query = browse.parse(request.args)
    offset = min(max(request.args.get("offset", 0, type=int), 0), OFFSET_MAX)
    after = browse.parse_position(request.args, query)
    library = browse.page(current_user.id, query, 0 if after else offset, PAGE_SIZE, after)
    part = "library/_cards.html" if offset or after else "library/_browse.html"
    response = htmx.render(
        "library/index.html",
        part,
        library=library,
        saved=_saved(),
        sorts=SORTS,
        active_filters=_active_filters(library),
        elsewhere=[tab for tab in library.tabs if tab.films and tab.status != "all"],
        has_key=bool(pauses.key("tmdb")),
        waiting=browse.is_waiting(current_user.id),
        **_filters(),
    )
    if request.headers.get("HX-Source", "").startswith("form"):
        # A form sends its empty fields too.
        response.headers["HX-Replace-Url"] = url_for(".index", **library.query.params())
    return response


@bp.get("/counts")
@login_required
def counts() -> Response:
    query = browse.parse(request.args)
    library = browse.page(current_user.id, query, 0, 0)
    home = url_for(".index", **query.params())
    return htmx.fragment("library/_counts.html", home, library=library)


@bp.post("/selection")
@login_required
def act() -> Response:
    verb, _, value = request.form.get("do", "").partition(":")
    films, words, name = _act(verb, value, request.form.getlist("film"))
    message = f"{plural(films.changed, 'film')} {words}."
    if films.missing:
        message += f" {plural(films.missing, 'film was', 'films were')} no longer there."
    htmx.toast(message, undo=films.undo_token, name=name)
    return htmx.go(auth.local_path(request.form.get("back")))


@bp.get("/enrichment")
@login_required
def enrichment() -> Response:
    return htmx.fragment("library/_enrichment.html", url_for(".index"), **enrichment_context())


def _act(verb: str, value: str, films: list[str]) -> tuple[bulk.BulkResult, str, str]:
    """What was done, in words, and the {name} in these."""
    user_id = current_user.id
    match verb:
        case "status" if value in STATUSES:
            done = bulk.set_status(user_id, films, value)
            return done, "moved to {name}", status_label(value)
        case "list":
            done = bulk.put_on_list(user_id, films, value)
            return done, "moved to {name}", lists.find(user_id, value).name
        case "recommend":
            name = request.form.get("person", "").strip()
            done = bulk.recommend(user_id, films, name)
            tasks.start_enrichment()
            return done, "marked as recommended by {name}", name
        case "remove":
            return bulk.delete(user_id, films), "deleted permanently", ""
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
        "kinds": list(KINDS.items()),
        "ratings": [(10, "10"), *((rating, f"{rating} or more") for rating in range(9, 4, -1))],
    }


def _active_filters(library: browse.LibraryPage) -> dict[str, str]:
    """{parameter: what it filters by, in words}"""
    query = library.query
    labels = {
        "q": f"“{query.q}”",
        "kind": KINDS.get(query.kind, ""),
        "genre": query.genre,
        "decade": f"{query.decade}s",
        "person": f"From {library.person or 'a deleted person'}",
        "trusted": "Trusted people",
        "rating": f"My rating {query.rating} or more",
    }
    return {name: labels[name] for name in query.filters}


def _saved() -> list[tuple[SavedView, dict]]:
    """With the parameters that lead there: a view may come from a file, and hold anything."""
    return [
        (saved, browse.parse(saved.filters).params())
        for saved in saved_views.listing(current_user.id)
    ]

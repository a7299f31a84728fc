"""The library: the films of one tab as posters, found, filtered and sorted; several of them changed
at once."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import auth, htmx, tasks
from mm.errors import InvalidError
from mm.routes.contexts import enrichment_context
from mm.routes.filters import plural, status_label
from mm.services.backup import nightly
from mm.services.enrichment import pauses
from mm.services.library import browse, bulk, lists, people, saved_views

PAGE_SIZE = 60
# From so many films on, the page says that automatic backups are off.
HINT_FROM = 10
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
    # Read as an address is: a view may come from a file, and hold anything.
    saved = [
        (view, browse.parse(view.filters).params()) for view in saved_views.listing(current_user.id)
    ]
    response = htmx.render(
        "library/index.html",
        part,
        library=library,
        saved=saved,
        sorts=SORTS,
        active_filters=_active_filters(library),
        elsewhere=[tab for tab in library.tabs if tab.films and tab.status != "all"],
        has_key=bool(pauses.key("tmdb")),
        waiting=browse.is_waiting(current_user.id),
        offer_nightly=not library.has_films and nightly.is_undecided(auth.account()),
        not_backed_up=not current_user.backup_enabled and _films_in(library) >= HINT_FROM,
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
    user_id, selected = current_user.id, request.form.getlist("film")
    name = ""
    match verb:
        case "status" if value in STATUSES:
            films = bulk.set_status(user_id, selected, value)
            words, name = "moved to {name}", status_label(value)
        case "list":
            films = bulk.put_on_list(user_id, selected, value)
            words, name = "moved to {name}", lists.find(user_id, value).name
        case "recommend":
            name = request.form.get("person", "").strip()
            films = bulk.recommend(user_id, selected, name)
            tasks.start_enrichment()
            words = "marked as recommended by {name}"
        case "remove":
            films = bulk.delete(user_id, selected)
            words = "deleted permanently"
        case _:
            raise InvalidError("Choose what to do with these films.")
    message = f"{plural(films.changed, 'film')} {words}."
    if films.missing:
        message += f" {plural(films.missing, 'film was', 'films were')} no longer there."
    htmx.toast(message, undo=films.undo_token, name=name)
    return htmx.go(auth.local_path(request.form.get("back")))


@bp.get("/enrichment")
@login_required
def enrichment() -> Response:
    return htmx.fragment("library/_enrichment.html", url_for(".index"), **enrichment_context())


def _films_in(library: browse.LibraryPage) -> int:
    return next(tab.films for tab in library.tabs if tab.status == "all")


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

"""The library: the films of one tab as posters, found, filtered and sorted; several of them changed
at once."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import auth, htmx, tasks
from mm.errors import InvalidError
from mm.routes import downloads
from mm.routes.contexts import enrichment_context, sources_context
from mm.routes.filters import plural, status_label
from mm.services.backup import nightly
from mm.services.library import browse, bulk, lists, people, saved_views, table, usual

PAGE_SIZE = 60
# From so many films on, the page says that automatic backups are off.
HINT_FROM = 10
# Keeps the offset within what a database takes.
OFFSET_MAX = 10**7
# What a film may be given; on a list it is by the list.
STATUSES = ("toWatch", "watched", "deleted")

bp = Blueprint("library", __name__)


@bp.get("/")
@login_required
def index() -> Response:
    """With `after`, a position, htmx gets the cards that follow it; else all that a change of the
    view changes. Addresses of earlier versions have an `offset` instead. Without any query, the
    page is in the size and the order that its user has chosen."""
    args = request.args.to_dict(flat=False)
    query = browse.parse(args) if args else usual.query(current_user.id)
    offset = min(max(request.args.get("offset", 0, type=int), 0), OFFSET_MAX)
    after = browse.parse_position(request.args, query)
    library = browse.page(current_user.id, query, 0 if after else offset, PAGE_SIZE, after)
    part = "library/_cards.html" if offset or after else "library/_browse.html"
    # Read as an address is: a view may come from a file, and hold anything.
    saved = [
        (view, browse.parse(view.filters).address) for view in saved_views.listing(current_user.id)
    ]
    response = htmx.render(
        "library/index.html",
        part,
        library=library,
        saved=saved,
        sorts=browse.SORT_LABELS | (browse.LIST_SORT_LABELS if library.query.list else {}),
        sizes=browse.SIZE_LABELS,
        active_filters=_active_filters(library),
        elsewhere=[tab for tab in library.tabs if tab.films and tab.status != "all"],
        **sources_context(),
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
    query = browse.parse(request.args.to_dict(flat=False))
    library = browse.page(current_user.id, query, 0, 0)
    home = url_for(".index", **query.params())
    return htmx.fragment("library/_counts.html", home, library=library)


@bp.get("/library.csv")
@login_required
def as_csv() -> Response:
    query = browse.parse(request.args.to_dict(flat=False))
    return downloads.of_library(table.of(current_user.id, query))


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
        "excluded": browse.EXCLUDED,
        "genres": [(genre, genre) for genre in genres],
        "decades": [(str(decade), f"{decade}s") for decade in decades],
        "people": [(str(person.id), person.name) for person in people.listing(current_user.id)],
        "kinds": list(browse.KIND_LABELS.items()),
        "ratings": [("10", "10"), *((str(least), f"{least} or more") for least in range(9, 4, -1))],
    }


def _active_filters(library: browse.LibraryPage) -> list[tuple[str, dict]]:
    """For each value of a filter: what it filters by, in words, and the parameters without it."""
    return [
        (_filter_label(library, name, value), library.query.without(name, value))
        for name, value in library.query.filters
    ]


def _filter_label(library: browse.LibraryPage, name: str, value: str) -> str:
    person = library.people.get(value, "a deleted person")
    lists = {tab.list_id: tab.name for tab in library.tabs}
    labels = {
        "q": f"“{value}”",
        "kind": browse.KIND_LABELS.get(value, ""),
        "genre": value,
        "decade": f"{value}s",
        "person": f"From {person}",
        "trusted": "Trusted people",
        "rating": f"My rating {value} or more",
        "not_kind": f"not {browse.KIND_LABELS.get(value)}",
        "not_genre": f"not {value}",
        "not_decade": f"not {value}s",
        "not_person": f"not from {person}",
        "not_list": f"not on {lists.get(value, 'a deleted list')}",
    }
    return labels[name]

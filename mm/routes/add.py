"""Add: search, choose, say who recommended it and where it goes."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import htmx, tasks
from mm.errors import InvalidError, ProviderError, UnavailableError
from mm.routes import catalogue_contexts
from mm.routes.contexts import sources_context, today
from mm.routes.filters import place_label
from mm.routes.forms import problems_of
from mm.services.catalogue import store
from mm.services.library import add as add_films
from mm.services.library import lists, people
from mm.services.library.add import Candidate, Choice, Found

# People shown at once; the others are one tap away.
SHOWN = 12
# Beyond these, one types the name.
OFFERED = 100
ON_LIST, ON_NEW_LIST = "list:", "new-list"

bp = Blueprint("add", __name__, url_prefix="/add")


@bp.get("")
@login_required
def index() -> Response:
    text = request.args.get("q", "").strip()
    found = Found([])
    if text:
        try:
            found = add_films.search(current_user.id, text)
        except (ProviderError, UnavailableError) as error:
            found = Found([], problem=error)
    return htmx.render(
        "add/index.html",
        "add/_results.html",
        q=text,
        found=found,
        **sources_context(),
        fetching=catalogue_contexts.fetching(),
    )


@bp.get("/catalogue")
@login_required
def catalogue() -> Response:
    """How far the first catalogue is; `add/_catalogue.html` asks again by itself."""
    fetching, has_catalogue = catalogue_contexts.fetching(), store.is_there()
    return htmx.fragment(
        "add/_catalogue.html", url_for(".index"), fetching=fetching, has_catalogue=has_catalogue
    )


@bp.get("/pick")
@login_required
def pick() -> Response:
    return _form(_asked_for(request.args))


@bp.post("")
@login_required
def add() -> Response:
    found = _asked_for(request.form)
    chosen = set(request.form.getlist("person"))
    try:
        choice = _choice()
        # Without those of people who were deleted meanwhile.
        offered = people.by_last_use(current_user.id)
        recommender_ids = [person.id for person in offered if str(person.id) in chosen]
        new = request.form.get("new_person", "")
        token = add_films.add(current_user.id, found, recommender_ids, choice, new)
    except InvalidError as error:
        return _form(found, problems_of(error, "film"))
    tasks.start_enrichment()
    [now_there] = add_films.with_places(current_user.id, [found])
    htmx.toast(
        "Saved “{name}” in {place}." if found.place else "Added “{name}” to {place}.",
        undo=token,
        link=url_for("movies.show", imdb_id=found.imdb_id),
        name=found.title or found.imdb_id or "",
        place=place_label(now_there.place) if now_there.place else "your library",
    )
    htmx.changed("added")
    if not htmx.wants_partial():
        return htmx.go(url_for(".index", q=request.form.get("q") or None))
    return htmx.render("add/_result.html", result=now_there, q=request.form.get("q", ""))


def _asked_for(given) -> Candidate:
    ids = {kind: given.get(kind, type=int) for kind in ("movie", "tv")}
    return add_films.find(current_user.id, given.get("imdb"), **ids)


def _form(found: Candidate, problems: dict | None = None) -> Response:
    """With what was chosen and typed before."""
    offered = people.by_last_use(current_user.id)
    chosen = set(request.form.getlist("person"))
    # None that was chosen may be hidden.
    shown = [
        person for place, person in enumerate(offered) if place < SHOWN or str(person.id) in chosen
    ]
    return htmx.render(
        "add/pick.html",
        "add/_pick.html",
        status=422 if problems else 200,
        found=found,
        problems=problems or {},
        shown=shown,
        others=[person for person in offered[:OFFERED] if person not in shown],
        chosen=chosen,
        typed=request.form,
        lists=lists.listing(current_user.id),
        today=today(),
        q=request.values.get("q", ""),
    )


def _choice() -> Choice:
    """A rating belongs to a day: to this one, where none is given."""
    where = request.form.get("where", "")
    if where.startswith(ON_LIST):
        return Choice("custom", where.removeprefix(ON_LIST))
    if where == ON_NEW_LIST:
        return Choice(
            "custom", request.form.get("list_id"), new_list=request.form.get("new_list", "")
        )
    rating = request.form.get("rating", type=float)
    date = request.form.get("date_watched") or (today() if rating else None)
    return Choice(where, None, rating, date)

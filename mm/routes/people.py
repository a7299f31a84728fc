"""People: who recommends films, how good their suggestions were, and each with their films."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import htmx
from mm.errors import ConflictError, InvalidError
from mm.models import Person
from mm.routes.forms import problems_of, typed
from mm.services.library import lists, paging, people, undo

SHOWS = {"all": "All", "trusted": "Trusted", "quick": "Pinned"}
PAGE_SIZE = 50
# Keeps the offset within what a database takes.
PAGES_MAX = 10**6

bp = Blueprint("people", __name__, url_prefix="/people")


@bp.get("")
@login_required
def index() -> Response:
    return _page()


@bp.post("")
@login_required
def create() -> Response:
    entered = _entered()
    try:
        person = people.create(current_user.id, **entered)
    except (InvalidError, ConflictError) as error:
        return _page(_problems(error))
    htmx.toast("{name} added.", name=person.name)
    return htmx.go(url_for(".index"))


@bp.get("/<int:person_id>")
@login_required
def show(person_id: int) -> Response:
    """With `after`, a position, htmx gets the films that follow it."""
    return _one(people.by_id(current_user.id, person_id))


@bp.post("/<int:person_id>")
@login_required
def change(person_id: int) -> Response:
    person = people.by_id(current_user.id, person_id)
    try:
        with undo.step(current_user.id, person_id=person_id, with_votes=False) as step:
            changed = people.change(current_user.id, person_id, _entered())
    except (InvalidError, ConflictError) as error:
        return _one(person, _problems(error))
    htmx.toast("{name} saved.", undo=step.token, name=changed.name)
    return htmx.go(url_for(".show", person_id=person_id))


@bp.post("/<int:person_id>/trust")
@login_required
def trust(person_id: int) -> Response:
    """Set to what the form says, so that a double click does what it looks like."""
    is_trusted = request.form.get("trusted") == "1"
    with undo.step(current_user.id, person_id=person_id, with_votes=False) as step:
        person = people.change(current_user.id, person_id, {"is_trusted": is_trusted})
    words = "now trusted" if is_trusted else "no longer trusted"
    htmx.toast(f"{{name}} is {words}.", undo=step.token, name=person.name)
    return htmx.fragment("people/_star.html", url_for(".index"), person=person)


@bp.post("/<int:person_id>/delete")
@login_required
def delete(person_id: int) -> Response:
    person = people.by_id(current_user.id, person_id)
    with undo.step(current_user.id, person_id=person_id) as step:
        people.delete(current_user.id, person_id)
    htmx.toast("{name} deleted.", undo=step.token, name=person.name)
    return htmx.go(url_for(".index"))


def _page(problems: dict | None = None) -> Response:
    show = request.args.get("show", "all")
    show = show if show in SHOWS else "all"
    number, stats = _number(), people.all_stats(current_user.id, show)
    return htmx.render(
        "people/index.html",
        status=422 if problems else 200,
        show=show,
        shows=SHOWS,
        all_stats=stats[(number - 1) * PAGE_SIZE : number * PAGE_SIZE],
        number=number,
        pages=_pages(len(stats)),
        problems=problems or {},
        form=_typed() if problems else {"color": lists.next_color(len(stats))},
    )


def _one(person: Person, problems: dict | None = None) -> Response:
    after = paging.parse(request.args.get("after", ""), people.LATEST_FIRST)
    # Addresses of earlier versions have a page's number instead.
    offset = 0 if after else (_number() - 1) * PAGE_SIZE
    stats = people.stats(person)
    films, following = people.voted_films(person, offset, PAGE_SIZE, after)
    fields = ("name", "color", "emoji", "is_trusted")
    return htmx.render(
        "people/show.html",
        "people/_films.html" if after else None,
        status=422 if problems else 200,
        stats=stats,
        person=stats.person,
        films=films,
        following=following,
        problems=problems or {},
        form=_typed() if problems else {name: getattr(person, name) for name in fields},
    )


def _number() -> int:
    return min(max(request.args.get("page", 1, type=int), 1), PAGES_MAX)


def _pages(count: int) -> int:
    return max(1, -(-count // PAGE_SIZE))


def _entered() -> dict:
    form = _typed()
    return {**form, "color": form["color"] or None}


def _problems(error: InvalidError | ConflictError) -> dict[str, str]:
    """A conflict is about the name, which each of a user's people has for themselves."""
    if isinstance(error, ConflictError):
        return {"name": "you already have someone with this name"}
    return problems_of(error)


def _typed() -> dict:
    """An emoji of one's own goes before one that was offered."""
    own = request.form.get("own_emoji", "").strip()
    is_trusted = "is_trusted" in request.form
    return {
        **typed("name", "color"),
        "emoji": own or request.form.get("emoji", ""),
        "is_trusted": is_trusted,
    }

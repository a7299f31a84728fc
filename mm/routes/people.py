"""People: who recommends films, how good their suggestions were, and each with their films."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import auth, htmx
from mm.errors import Conflict, Invalid
from mm.models import Person
from mm.routes.forms import problems_of, typed
from mm.services import colors, people, recommenders, undo

SHOWS = {"all": "All", "trusted": "Trusted", "quick": "Quick"}
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
        person = people.create(auth.account().id, **entered)
    except (Invalid, Conflict) as error:
        return _page(problems_of(error))
    htmx.toast(f"{person.name} is among your people.")
    return htmx.go(url_for(".index"))


@bp.get("/<int:person_id>")
@login_required
def show(person_id: int) -> Response:
    return _one(people.by_id(current_user.id, person_id))


@bp.post("/<int:person_id>")
@login_required
def change(person_id: int) -> Response:
    person = people.by_id(current_user.id, person_id)
    try:
        with undo.step(current_user.id, person_id=person_id) as step:
            changed = people.change(current_user.id, person.name, _entered())
    except (Invalid, Conflict) as error:
        return _one(person, problems_of(error))
    htmx.toast(f"{changed.name} is saved.", undo=step.token)
    return htmx.go(url_for(".show", person_id=person_id))


@bp.post("/<int:person_id>/trust")
@login_required
def trust(person_id: int) -> Response:
    """Set to what the form says, so that a double click does what it looks like."""
    person = people.by_id(current_user.id, person_id)
    is_trusted = request.form.get("trusted") == "1"
    with undo.step(current_user.id, person_id=person_id) as step:
        person = people.change(current_user.id, person.name, {"is_trusted": is_trusted})
    htmx.toast(f"{person.name} is {'trusted' if is_trusted else 'no longer trusted'}.", undo=step.token)
    return htmx.fragment("people/_star.html", url_for(".index"), person=person)


@bp.post("/<int:person_id>/delete")
@login_required
def delete(person_id: int) -> Response:
    person = people.by_id(current_user.id, person_id)
    with undo.step(current_user.id, person_id=person_id) as step:
        people.delete(current_user.id, person.name)
    htmx.toast(f"{person.name} is deleted.", undo=step.token)
    return htmx.go(url_for(".index"))


def _page(problems: dict | None = None) -> Response:
    show = request.args.get("show", "all")
    show = show if show in SHOWS else "all"
    number, standings = _number(), recommenders.standings(current_user.id, show)
    return htmx.render("people/index.html", status=422 if problems else 200, show=show, shows=SHOWS,
                       standings=standings[(number - 1) * PAGE_SIZE : number * PAGE_SIZE], number=number,
                       pages=_pages(len(standings)), problems=problems or {},
                       form=_typed() if problems else {"color": colors.next_color(len(standings))})  # fmt: skip


def _one(person: Person, problems: dict | None = None) -> Response:
    number = _number()
    standing = recommenders.standing(person)
    films = recommenders.films_of(person, (number - 1) * PAGE_SIZE, PAGE_SIZE)
    form = _typed() if problems else {name: getattr(person, name) for name in ("name", "color", "emoji", "is_trusted")}
    return htmx.render("people/show.html", status=422 if problems else 200, standing=standing, person=standing.person,
                       films=films, number=number, pages=_pages(standing.films),
                       problems=problems or {}, form=form)  # fmt: skip


def _number() -> int:
    return min(max(request.args.get("page", 1, type=int), 1), PAGES_MAX)


def _pages(count: int) -> int:
    return max(1, -(-count // PAGE_SIZE))


def _entered() -> dict:
    form = _typed()
    return {**form, "color": form["color"] or None}


def _typed() -> dict:
    """An emoji of one's own goes before one that was offered."""
    own = request.form.get("own_emoji", "").strip()
    is_trusted = "is_trusted" in request.form
    return {**typed("name", "color"), "emoji": own or request.form.get("emoji", ""), "is_trusted": is_trusted}

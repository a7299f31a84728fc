"""Lists: made, renamed, put in order, and taken away."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import htmx
from mm.errors import ConflictError, InvalidError
from mm.routes.forms import problems_of, typed
from mm.services.library import lists, shares, undo

bp = Blueprint("lists", __name__, url_prefix="/lists")


@bp.get("")
@login_required
def index() -> Response:
    return _page()


@bp.post("")
@login_required
def create() -> Response:
    """The form brings the id, so that sending it twice makes one list."""
    try:
        made = lists.create(current_user.id, **_entered(), list_id=request.form.get("id") or None)
    except InvalidError as error:
        return _page(problems_of(error))
    except ConflictError:
        return htmx.go(url_for(".index"))
    htmx.toast("List “{name}” created.", name=made.name)
    return htmx.go(url_for(".index"))


@bp.post("/order/all")
@login_required
def reorder() -> Response:
    """At an address that no list has, whatever id a file brings."""
    lists.reorder(current_user.id, request.form.getlist("id"))
    return htmx.fragment("lists/_lists.html", url_for(".index"), **_context())


@bp.get("/<list_id>")
@login_required
def edit(list_id: str) -> Response:
    return _one(list_id)


@bp.post("/<list_id>")
@login_required
def change(list_id: str) -> Response:
    if list_id == "order" and "name" not in request.form:
        # A page of an earlier version: it sent the order of the lists here.
        return reorder()
    try:
        with undo.step(current_user.id, list_id=list_id) as step:
            changed = lists.change(current_user.id, list_id, _entered())
    except InvalidError as error:
        return _one(list_id, problems_of(error))
    htmx.toast("List “{name}” saved.", undo=step.token, name=changed.name)
    return htmx.go(url_for(".index"))


@bp.post("/<list_id>/move")
@login_required
def move(list_id: str) -> Response:
    lists.move(current_user.id, list_id, 1 if request.form.get("to") == "down" else -1)
    return htmx.fragment("lists/_lists.html", url_for(".index"), **_context())


@bp.post("/<list_id>/delete")
@login_required
def delete(list_id: str) -> Response:
    name = lists.find(current_user.id, list_id).name
    with undo.step(current_user.id, list_id=list_id) as step:
        lists.delete(current_user.id, list_id)
    htmx.toast("List “{name}” deleted.", undo=step.token, name=name)
    return htmx.go(url_for(".index"))


def _page(problems: dict | None = None) -> Response:
    context = _context()
    form = _typed() if problems else {"color": lists.next_color(len(context["lists"]))}
    return htmx.render(
        "lists/index.html",
        status=422 if problems else 200,
        problems=problems or {},
        form=form,
        **context,
    )


def _one(list_id: str, problems: dict | None = None) -> Response:
    found = lists.find(current_user.id, list_id)
    row = lists.view(found)
    # The address may have spaces around the id.
    watched, unwatched = lists.films_by_destination(current_user.id)[row.id]
    films = lists.film_counts(current_user.id)[row.id]
    return htmx.render(
        "lists/edit.html",
        status=422 if problems else 200,
        problems=problems or {},
        list=row,
        form=_typed() if problems else row,
        watched=watched,
        unwatched=unwatched,
        films=films,
        is_shared=shares.of_list(found) is not None,
    )


def _context() -> dict:
    return {
        "lists": lists.listing(current_user.id),
        "film_counts": lists.film_counts(current_user.id),
    }


def _typed() -> dict[str, str]:
    return typed("name", "color", "icon", "description")


def _entered() -> dict:
    form = _typed()
    return {
        "name": form["name"],
        "color": form["color"] or None,
        "icon": form["icon"] or None,
        # None from a page of an earlier version, which has no such field: what is there stays.
        "description": request.form.get("description"),
    }

"""Saved views of the library."""

from urllib.parse import parse_qs

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import htmx
from mm.services.library import browse, saved_views

bp = Blueprint("views", __name__, url_prefix="/views")


@bp.post("")
@login_required
def create() -> Response:
    """`view`: the query of the address that is to be kept."""
    query = browse.parse(parse_qs(request.form.get("view", "")))
    saved = saved_views.create(current_user.id, request.form.get("name", ""), query.params())
    htmx.toast("View “{name}” saved.", name=saved.name)
    return htmx.go(url_for("library.index", **query.address))


@bp.get("/<view_id>")
@login_required
def show(view_id: str) -> Response:
    saved = saved_views.find(current_user.id, view_id)
    return htmx.render("library/view.html", saved=saved, query=browse.parse(saved.filters))


@bp.post("/<view_id>")
@login_required
def rename(view_id: str) -> Response:
    changes = {"name": request.form.get("name", "")}
    saved = saved_views.change(current_user.id, view_id, changes)
    htmx.toast("View renamed to “{name}”.", name=saved.name)
    return htmx.go(url_for("library.index", **browse.parse(saved.filters).address))


@bp.post("/<view_id>/delete")
@login_required
def remove(view_id: str) -> Response:
    saved_views.remove(current_user.id, view_id)
    htmx.toast("View deleted.")
    return htmx.go(url_for("library.index"))

"""Saved views of the library."""

import msgspec
from flask import Blueprint

from mm import auth
from mm.api.openapi import answers, api
from mm.schemas import LibraryView, NewView, ViewChange
from mm.services.library import saved_views

bp = Blueprint("views", __name__, url_prefix="/views")
CHANGED = answers(401, 403, 404, 409, 413, 415, 503, HTTP_200=LibraryView)


@bp.get("")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[LibraryView]), tags=["Views"])
def listing():
    """Your saved views by position."""
    return [saved_views.view(row) for row in saved_views.listing(auth.account().id)]


@bp.post("")
@auth.account_required
@api.validate(resp=answers(401, 403, 409, 413, 415, 503, HTTP_201=LibraryView), tags=["Views"])
def create(json: NewView):
    """Save a view. Names are the same whatever their case."""
    user_id = auth.account().id
    created = saved_views.create(user_id, json.name, json.filters, json.position)
    return saved_views.view(created), 201


@bp.put("/<view_id>")
@auth.account_required
@api.validate(resp=CHANGED, tags=["Views"])
def change(view_id: str, json: ViewChange):
    """Change a view."""
    changes = msgspec.to_builtins(json)
    return saved_views.view(saved_views.change(auth.account().id, view_id, changes))


@bp.delete("/<view_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Views"])
def delete(view_id: str):
    """Remove a view."""
    saved_views.remove(auth.account().id, view_id)
    return "", 204

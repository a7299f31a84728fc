"""A user's own lists of films."""

import msgspec
from flask import Blueprint

from mm import auth
from mm.api import transfer
from mm.api.movies import matching_films
from mm.api.openapi import answers, api
from mm.schemas import ListChange, ListView, MovieFilters, MovieView, NewList
from mm.services.library import lists, serializers

bp = Blueprint("lists", __name__, url_prefix="/lists")


@bp.get("")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[ListView]), tags=["Lists"])
def listing():
    """Your lists by position."""
    return lists.listing(auth.account().id)


@bp.post("")
@auth.account_required
@api.validate(resp=answers(401, 403, 413, 415, 503, HTTP_201=ListView), tags=["Lists"])
def create(json: NewList):
    """Add a list."""
    user_id = auth.account().id
    created = lists.create(user_id, json.name, json.color, json.icon, json.position)
    return lists.view(created), 201


@bp.get("/<list_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=ListView), tags=["Lists"])
def show(list_id: str):
    """One list."""
    return lists.view(lists.find(auth.account().id, list_id))


@bp.put("/<list_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_200=ListView), tags=["Lists"])
def change(list_id: str, json: ListChange):
    """Change a list."""
    return lists.view(lists.change(auth.account().id, list_id, msgspec.to_builtins(json)))


@bp.delete("/<list_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Lists"])
def delete(list_id: str):
    """Remove a list. Its films go back to watched if they have a watch, else to toWatch."""
    lists.delete(auth.account().id, list_id)
    return "", 204


@bp.get("/<list_id>/movies")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 503, HTTP_200=list[MovieView], HTTP_304=None), tags=["Lists"]
)
def movies(list_id: str):
    """The films of a list, the last added first. Takes If-None-Match."""
    user_id = auth.account().id
    filters = MovieFilters(list=lists.find(user_id, list_id).id)
    return transfer.conditional(
        serializers.state(user_id), lambda: matching_films(user_id, filters)
    )

"""A user's own lists of films."""

import msgspec
from flask import Blueprint

from mm import auth
from mm.api import transfer
from mm.api.movies import films
from mm.api.openapi import answers, api
from mm.schemas import (
    FilmOrder,
    ListChange,
    ListDetails,
    ListedFilmChange,
    ListView,
    MovieView,
    NewList,
)
from mm.services.library import lists, movies, serializers

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
    created = lists.create(
        auth.account().id,
        json.name,
        json.color,
        json.icon,
        json.position,
        description=json.description,
    )
    return lists.view(created), 201


@bp.get("/<list_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=ListDetails), tags=["Lists"])
def show(list_id: str):
    """One list with the ids of its films, in its own order and with its notes on them. Deleted
    films are left out."""
    return lists.details(lists.find(auth.account().id, list_id))


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
    """Remove a list. A film whose status was custom with it gets that of its next list; without
    another list it goes back to watched if it has a watch, else to toWatch."""
    lists.delete(auth.account().id, list_id)
    return "", 204


@bp.get("/<list_id>/movies")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 503, HTTP_200=list[MovieView], HTTP_304=None), tags=["Lists"]
)
def listed(list_id: str):
    """The films of a list in its own order, whatever their status; only deleted ones are left out.
    Takes If-None-Match."""
    user_id = auth.account().id
    list_pk = lists.find(user_id, list_id).pk
    return transfer.conditional(
        serializers.state(user_id), lambda: films(user_id, serializers.ids_on_list(list_pk))
    )


@bp.put("/<list_id>/movies/<imdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_204=None), tags=["Lists"])
def put_on(list_id: str, imdb_id: str, json: ListedFilmChange):
    """Put a film of the library at the end of a list, or leave it in its place there. Its status
    stays, but a deleted film comes back. The body may be left out."""
    movies.add_to_list(auth.account().id, imdb_id, list_id, json.note)
    return "", 204


@bp.delete("/<list_id>/movies/<imdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Lists"])
def take_off(list_id: str, imdb_id: str):
    """Take a film off a list, where it is on it. If its status was custom with this list, it gets
    that of its next list; without another list it goes back to watched or to toWatch."""
    movies.remove_from_list(auth.account().id, imdb_id, list_id)
    return "", 204


@bp.put("/<list_id>/order")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_204=None), tags=["Lists"])
def put_in_order(list_id: str, json: FilmOrder):
    """Put the films of a list in this order. Films that are not on the list are ignored."""
    lists.reorder_films(auth.account().id, list_id, json.imdb_ids)
    return "", 204

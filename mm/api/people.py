"""Who recommends films."""

import msgspec
from flask import Blueprint

from mm import auth
from mm.api import compat, transfer
from mm.api.openapi import answers, api
from mm.schemas import NewPerson, PersonChange, PersonStats, PersonView
from mm.services.library import people, serializers

bp = Blueprint("people", __name__, url_prefix="/people")


@bp.get("")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[PersonView]), tags=["People"])
def listing():
    """Your people by name, the four quick recommenders among them."""
    return people.listing(auth.account().id)


@bp.post("")
@auth.account_required
@api.validate(resp=answers(401, 403, 409, 413, 415, 503, HTTP_201=PersonView), tags=["People"])
def create(json: NewPerson):
    """Add a person. Names are the same whatever their case."""
    person = people.create(auth.account().id, json.name, json.is_trusted, json.color, json.emoji)
    return people.view(person), 201


@bp.put("/<name:name>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 409, 413, 415, 503, HTTP_200=PersonView), tags=["People"])
def change(name: str, json: PersonChange):
    """Change a person, found by name. Their films show a new name at once."""
    person = people.find(auth.account().id, name)
    return people.view(people.change(person.user_id, person.id, msgspec.to_builtins(json)))


@bp.delete("/<name:name>")
@auth.account_required
@api.validate(resp=answers(400, 401, 403, 404, 503, HTTP_204=None), tags=["People"])
def delete(name: str):
    """Remove a person, found by name, with their votes. Quick recommenders stay."""
    person = people.find(auth.account().id, name)
    people.delete(person.user_id, person.id)
    return "", 204


@bp.get("/<name:name>/stats")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=PersonStats), tags=["People"])
def stats(name: str):
    """How the films of a person, found by name, turned out."""
    person = people.find(auth.account().id, name)
    voted = serializers.in_batches(person.user_id, serializers.ids_voted_by(person))
    return transfer.in_pieces(
        transfer.filled(serializers.person_stats(person), "movies", compat.for_phones(voted))
    )

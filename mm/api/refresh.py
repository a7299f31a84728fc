"""Asking the providers about one film again."""

from flask import Blueprint
from flask_login import login_required

from mm import auth
from mm.api.openapi import answers, api
from mm.schemas import Refreshed
from mm.services.enrichment.refresh import refresh_title
from mm.services.library import movies

bp = Blueprint("refresh", __name__, url_prefix="/movies")
ERRORS = answers(401, 403, 404, 502, 503, HTTP_200=Refreshed)


@bp.post("/<imdb_id>/refresh")
@login_required
@api.validate(resp=ERRORS, tags=["Movies"])
def refresh(imdb_id: str):
    """Look a film up at TMDB and OMDb.

    What was fetched within the hour is not asked for again. 502 with the provider's error, 503
    where it does not answer or the server has no key.
    """
    return refreshed(imdb_id)


def refreshed(imdb_id: str) -> Refreshed:
    user_id = auth.account().id
    movie = movies.find(user_id, imdb_id)
    updated = refresh_title(movie.imdb_id, user_id)
    return Refreshed(True, updated, movie.last_modified)

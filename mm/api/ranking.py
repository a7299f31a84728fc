"""A user's own order of the films they watched."""

from flask import Blueprint

from mm import auth
from mm.api.openapi import answers, api
from mm.schemas import NewRanking, RankingView, UnrankedView
from mm.services.library import rankings

bp = Blueprint("ranking", __name__, url_prefix="/ranking")
INSERTED = answers(400, 401, 403, 404, 413, 415, 503, HTTP_201=RankingView)


@bp.get("")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[RankingView]), tags=["Ranking"])
def listing():
    """Your ranking: the liked films first, then the others, each by position."""
    return rankings.listing(auth.account().id)


@bp.get("/unranked")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[UnrankedView]), tags=["Ranking"])
def unranked():
    """Your watched films that have no place yet, the last watched first."""
    return rankings.unranked(auth.account().id)


@bp.post("/insert")
@auth.account_required
@api.validate(resp=INSERTED, tags=["Ranking"])
def insert(json: NewRanking):
    """Give a watched film a place. Those from there on move down by one."""
    user_id = auth.account().id
    return rankings.insert(user_id, json.imdb_id, json.position, json.liked), 201


@bp.delete("/<imdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Ranking"])
def remove(imdb_id: str):
    """Take a film out of your ranking. It stays watched."""
    rankings.remove(auth.account().id, imdb_id)
    return "", 204

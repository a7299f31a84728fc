"""What the providers know, for clients that search before they add."""

from typing import Annotated, Literal

from flask import Blueprint
from flask_login import login_required
from msgspec import Meta, Struct

from mm import auth
from mm.api.openapi import answers, api
from mm.documents import CacheInfo, OmdbData, SearchResult, TmdbData
from mm.services import lookups, values

bp = Blueprint("external", __name__, url_prefix="/external")
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class SearchQuery(Struct):
    q: Text
    year: Annotated[int, Meta(ge=1870, le=2200)] | None = None


class GenreQuery(Struct):
    """`q`: a genre's name, or its beginning."""

    q: Text


class PersonQuery(Struct):
    q: Text
    role: Literal["actor", "director"] = "actor"


class ListQuery(Struct):
    """`days` narrows now_playing and coming_soon; `time_window` is for trending."""

    kind: lookups.Listed
    region: Annotated[str, Meta(pattern="^[A-Za-z]{2}$")] = "US"
    days: Annotated[int, Meta(ge=1, le=90)] | None = None
    time_window: Literal["day", "week"] = "day"


@bp.get("/tmdb/search")
@login_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def search(query: SearchQuery):
    """Films, series and people by name."""
    auth.account()
    return lookups.search(query.q, query.year)


@bp.get("/tmdb/movie/<int:tmdb_id>")
@login_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=TmdbData), tags=["External"])
def movie(tmdb_id: int):
    """A film by TMDB's id."""
    auth.account()
    return lookups.movie(tmdb_id)


@bp.get("/tmdb/tv/<int:tmdb_id>")
@login_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=TmdbData), tags=["External"])
def series(tmdb_id: int):
    """A series by TMDB's id."""
    auth.account()
    return lookups.series(tmdb_id)


@bp.get("/tmdb/discover/genre")
@login_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def discover_by_genre(query: GenreQuery):
    """Popular films of a genre; none where TMDB has no such genre."""
    auth.account()
    return lookups.by_genre(query.q)


@bp.get("/tmdb/discover/person")
@login_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def discover_by_person(query: PersonQuery):
    """Popular films with an actor, or by a director."""
    auth.account()
    return lookups.by_person(query.q, query.role)


@bp.get("/tmdb/discover/list")
@login_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def discover_list(query: ListQuery):
    """TMDB's lists: popular, now playing, top rated, coming soon, trending."""
    auth.account()
    return lookups.listed(query.kind, query.region.upper(), query.days, query.time_window)


@bp.get("/omdb/movie/<imdb_id>")
@login_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=OmdbData), tags=["External"])
def ratings(imdb_id: str):
    """A film with its ratings, by IMDb id."""
    auth.account()
    return lookups.ratings(values.imdb_id_or_404(imdb_id))


@bp.get("/cache/info")
@login_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=CacheInfo), tags=["External"])
def cache_info():
    """How many of these answers are kept, of how many at most, and for how many seconds."""
    auth.account()
    return lookups.cache_info()

"""What the providers know, for clients that search before they add."""

from typing import Annotated, Literal

from flask import Blueprint
from msgspec import Meta, Struct

from mm import auth
from mm.api.openapi import answers, api
from mm.schemas import CacheInfo, OmdbData, SearchResult, TmdbData
from mm.schemas.types import TEXT_MAX, Year
from mm.services import validation
from mm.services.enrichment import lookups

bp = Blueprint("external", __name__, url_prefix="/external")
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]


class SearchQuery(Struct):
    q: Text
    year: Year | None = None


class GenreQuery(Struct):
    """`q`: names of genres, or parts of them, separated by commas."""

    q: Text


class PersonQuery(Struct):
    q: Text
    role: Literal["actor", "director"] = "actor"


class ListQuery(Struct):
    """`days` narrows now_playing and coming_soon; `time_window` is for trending."""

    kind: lookups.ListKind
    region: Annotated[str, Meta(pattern="^[A-Za-z]{2}$")] = "US"
    days: Annotated[int, Meta(ge=1, le=90)] | None = None
    time_window: Literal["day", "week"] = "day"


@bp.get("/tmdb/search")
@auth.account_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def search(query: SearchQuery):
    """Films, series and people by name.

    Without a TMDB key, or while TMDB does not answer or finds no film, from the catalogue, if the
    server has it: films and series with an `imdb_id` and an `id` below zero.
    """
    return lookups.search(query.q, query.year, auth.account().id)


@bp.get("/tmdb/movie/<int(signed=True):tmdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=TmdbData), tags=["External"])
def movie(tmdb_id: int):
    """A film by TMDB's id; one below zero is that of a search result from the catalogue."""
    return lookups.movie(tmdb_id, auth.account().id)


@bp.get("/tmdb/tv/<int(signed=True):tmdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=TmdbData), tags=["External"])
def series(tmdb_id: int):
    """A series by TMDB's id; one below zero is that of a search result from the catalogue."""
    return lookups.series(tmdb_id, auth.account().id)


@bp.get("/tmdb/discover/genre")
@auth.account_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def discover_by_genre(query: GenreQuery):
    """Popular films of any of these genres; none where TMDB has no such genre."""
    return lookups.by_genre(query.q, auth.account().id)


@bp.get("/tmdb/discover/person")
@auth.account_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def discover_by_person(query: PersonQuery):
    """The films with an actor, or by a director, popular ones first."""
    return lookups.by_person(query.q, query.role, auth.account().id)


@bp.get("/tmdb/discover/list")
@auth.account_required
@api.validate(resp=answers(401, 403, 502, 503, HTTP_200=list[SearchResult]), tags=["External"])
def discover_list(query: ListQuery):
    """Popular, now playing, top rated and trending films; coming soon by release date."""
    user_id = auth.account().id
    region = query.region.upper()
    return lookups.film_list(query.kind, region, query.days, query.time_window, user_id)


@bp.get("/omdb/movie/<imdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=OmdbData), tags=["External"])
def ratings(imdb_id: str):
    """A film with its ratings, by IMDb id."""
    user_id = auth.account().id
    return lookups.ratings(validation.imdb_id_or_404(imdb_id), user_id)


@bp.get("/cache/info")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=CacheInfo), tags=["External"])
def cache_info():
    """How many of these answers are kept, of how many at most, and for how many seconds."""
    return lookups.cache_info()

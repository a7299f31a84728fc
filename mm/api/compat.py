"""What is served only so that existing clients work unchanged, each with the reason and the client.

Of the original: *iOS* and *React* are its clients, *older docs* the API that it documented before,
which scripts may still be written from. Nothing of ours needs these spellings.

Where such a spelling is one more name in a body, an answer or a queue, it has to stand beside the
name that it repeats, because services and schemas know nothing of this module:

- `RecommendationView.person` repeats `person_name` (iOS decodes `person`): schemas/movies.
- `VoteType` takes "upvote" and "downvote" (iOS) beside true and false: schemas/movies.
- `Feed.timestamp` repeats `server_timestamp` (older docs): schemas/sync.
- `ImportResult.movies_imported` and its like repeat `imported_counts` (older docs):
  schemas/portable.
- `watchMovie` and `updateMovieStatus` are older docs' names of `markWatched` and `updateStatus`,
  `rating` and `mediaType` those of `my_rating` and `media_type`: schemas/sync and
  services/sync/actions.
- `UnratedMovieView` is a film with the flat fields of iOS's fallback; `film` below fills it.
- A ranking's `year` is text, because iOS fails on a number there: schemas/rankings.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec
from flask import Blueprint
from msgspec import Raw, Struct

from mm import auth
from mm.api.openapi import answers, api
from mm.schemas import (
    MovieView,
    NewMovie,
    NewRecommendation,
    NewRecommendations,
    Refreshed,
    SyncAnswer,
    UnratedMovieView,
)
from mm.services import validation
from mm.services.library import movies

bp = Blueprint("compat", __name__, url_prefix="/movies")
# Scripts written from the older docs say "series" or "show" where TMDB says "tv".
SERIES = ("tv", "series", "show")


@bp.get("/<imdb_id>/refresh")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=Refreshed), tags=["Movies"])
def refresh_by_get(imdb_id: str):
    """As POST, for clients that ask so."""
    # Older docs name a GET, though it changes the stored title.
    return movies.refresh(auth.account().id, imdb_id)


def recommenders(new: NewMovie) -> list[str]:
    """The names for a film that is added. Older docs: a single one is `recommender`."""
    single = [validation.name(new.recommender, "recommender")] if new.recommender else []
    return [*(new.recommenders or ()), *single]


def voter(new: NewRecommendation) -> str | int | None:
    """Whose vote it is: a name, or an id as a number. React sends `person_id`, iOS `person`;
    `person_name` is the field in all of our answers."""
    persons = (new.person_id, new.person_name, new.person)
    return next((person for person in persons if person is not None), None)


def voters(new: NewRecommendations) -> list[str | int]:
    """Whose votes they are. React sends `person_ids`, iOS `people`, older docs `recommenders`."""
    return [*(new.person_ids or ()), *(new.people or ()), *(new.recommenders or ())]


class _Tmdb(Struct):
    tmdbId: int | None = None
    title: str | None = None
    year: int | None = None
    poster: str | None = None
    plot: str | None = None
    voteAverage: float | None = None
    cast: list[str] = []


class _Omdb(Struct):
    title: str | None = None
    year: int | None = None
    plot: str | None = None
    imdbRating: float | None = None
    rtRating: int | None = None
    metascore: int | None = None
    actors: list[str] = []


def for_phones(pieces: Iterable[list[MovieView]]) -> Iterator[list[MovieView]]:
    """Films as `film` makes each."""
    return ([film(view) for view in views] for views in pieces)


def film(view: MovieView) -> MovieView:
    """The iOS client reads every rating as a number, and where one is null it drops the whole
    library.

    A watched film without a rating also gets the flat fields that this client falls back to; the
    web client still reads the date from `watch_history`. For any other status neither fits, and the
    watch is left out: the fallback knows only watched films.
    """
    watch = view.watch_history
    if watch is None or watch.my_rating is not None:
        return view
    if view.status != "watched":
        return msgspec.structs.replace(view, watch_history=None)
    tmdb, omdb = _read(view.tmdb_data, _Tmdb), _read(view.omdb_data, _Omdb)
    year = tmdb.year or omdb.year
    watched = datetime.fromtimestamp(watch.date_watched, UTC)
    fields = {name: getattr(view, name) for name in MovieView.__struct_fields__}
    return UnratedMovieView(
        **fields,
        # The first iOS client has no film without one.
        id=int(view.imdb_id.removeprefix("tt")),
        title=tmdb.title or omdb.title or view.imdb_id,
        tmdb_id=tmdb.tmdbId,
        poster_path=tmdb.poster,
        overview=tmdb.plot or omdb.plot,
        release_date=str(year) if year else None,
        vote_average=tmdb.voteAverage,
        imdb_rating=omdb.imdbRating,
        rotten_tomatoes_rating=omdb.rtRating,
        metacritic_score=omdb.metascore,
        actors=tmdb.cast or omdb.actors,
        # Milliseconds and Z, as the clients' parsers want it.
        date_watched=watched.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def answer(original: SyncAnswer) -> SyncAnswer:
    """The answer to a queued action with its state as plain JSON values; a film as `film` makes
    it."""
    state = original.server_state
    if state is None:
        return original
    view = film(state) if isinstance(state, MovieView) else state
    plain = msgspec.json.decode(msgspec.json.encode(view))
    return msgspec.structs.replace(original, server_state=plain)


def _read(data, model):
    """From the Raw JSON that services give, or None."""
    return model() if data is None else msgspec.json.decode(Raw(data), type=model)

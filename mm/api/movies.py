"""Films, their votes and watches."""

from collections.abc import Iterator

from flask import Blueprint

from mm import auth, tasks
from mm.api import compat, transfer
from mm.api.openapi import answers, api
from mm.errors import InvalidError
from mm.schemas import (
    MovieFilters,
    MovieView,
    NewMovie,
    NewRecommendation,
    NewRecommendations,
    NoteChange,
    Problem,
    RecommendationView,
    Refreshed,
    StatusChange,
    StatusView,
    WatchChange,
    WatchView,
)
from mm.services.enrichment import lookups
from mm.services.library import movies, people, serializers

bp = Blueprint("movies", __name__, url_prefix="/movies")


@bp.get("")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[MovieView], HTTP_304=None), tags=["Movies"])
def listing(query: MovieFilters):
    """Your films, or those that the filters leave. Takes If-None-Match."""
    user_id = auth.account().id
    return transfer.conditional(
        serializers.state(user_id), lambda: films(user_id, serializers.matching_ids(user_id, query))
    )


@bp.post("")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 502, 503, HTTP_201=MovieView), tags=["Movies"])
def add(json: NewMovie):
    """Add a film, or add to one that is there. Its details follow when the server has looked them
    up."""
    user_id = auth.account().id
    recommenders = compat.recommenders(json)
    movie = movies.add(
        user_id,
        _imdb_id(json, user_id),
        media_type=json.media_type,
        status=json.status,
        recommenders=recommenders,
        custom_list_id=json.custom_list_id,
    )
    tasks.start_enrichment()
    return compat.film(serializers.movie_view(user_id, movie.imdb_id)), 201


@bp.get("/<imdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=MovieView), tags=["Movies"])
def show(imdb_id: str):
    """One film. Details that are not there yet follow; refresh asks for them at once."""
    return compat.film(serializers.movie_view(auth.account().id, imdb_id))


@bp.delete("/<imdb_id>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Movies"])
def delete(imdb_id: str):
    """Remove a film with its votes and watches. The status `deleted` is the way to keep them."""
    movies.delete(auth.account().id, imdb_id)
    return "", 204


@bp.post("/<imdb_id>/recommendations")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 413, 415, 503, HTTP_201=RecommendationView), tags=["Movies"]
)
def recommend(imdb_id: str, json: NewRecommendation):
    """Set the vote of one person on a film. Makes the film and a named person where missing."""
    person = compat.voter(json)
    if person is None:
        raise _invalid("person_name", "is missing: send person_id, person_name or person")
    vote = movies.recommend(
        auth.account().id,
        imdb_id,
        person,
        vote_type=json.vote_type,
        date_recommended=json.date_recommended,
        media_type=json.media_type,
    )
    tasks.start_enrichment()
    return serializers.recommendation_view(vote), 201


@bp.post("/<imdb_id>/recommendations/bulk")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 413, 415, 503, HTTP_201=list[RecommendationView]), tags=["Movies"]
)
def recommend_many(imdb_id: str, json: NewRecommendations):
    """Set the same vote of several people on a film, all or none."""
    voters = compat.voters(json)
    if not voters:
        raise _invalid("people", "is missing or empty: send person_ids or people")
    votes = movies.recommend_many(
        auth.account().id,
        imdb_id,
        voters,
        vote_type=json.vote_type,
        date_recommended=json.date_recommended,
        media_type=json.media_type,
    )
    tasks.start_enrichment()
    return [serializers.recommendation_view(vote) for vote in votes], 201


@bp.delete("/<imdb_id>/recommendations/<name:person>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Movies"])
def unrecommend(imdb_id: str, person: str):
    """Take back the vote of a person, found by name or else by id."""
    movie = movies.find(auth.account().id, imdb_id)
    voter = people.by_name_or_id(movie.user_id, person)
    movies.unrecommend(movie.user_id, movie.imdb_id, voter.id)
    return "", 204


@bp.put("/<imdb_id>/watch")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_200=WatchView), tags=["Movies"])
def watch(imdb_id: str, json: WatchChange):
    """Change the latest watch of a film that is watched; any other film, one that is not in the
    library too, is watched once more. The film becomes watched, and stays on its lists."""
    added = movies.watch(
        auth.account().id,
        imdb_id,
        json.date_watched,
        json.my_rating,
        json.again or None,
        note=json.note,
        day_known=json.day_known,
    )
    tasks.start_enrichment()
    return serializers.watch_view(added)


@bp.delete("/<imdb_id>/watch")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_204=None), tags=["Movies"])
def unwatch(imdb_id: str):
    """Take back the latest watch. After the only one the film is to be watched again."""
    movies.unwatch(auth.account().id, imdb_id)
    return "", 204


@bp.put("/<imdb_id>/status")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_200=StatusView), tags=["Movies"])
def set_status(imdb_id: str, json: StatusChange):
    """Move a film between the states. `custom` puts it on a list, and takes it off the list that it
    had this status with; with any other status it stays on its lists."""
    movie = movies.set_status(auth.account().id, imdb_id, json.status, json.custom_list_id)
    custom_list = movie.custom_list
    return StatusView(
        imdb_id=movie.imdb_id,
        status=movie.status,
        custom_list_id=custom_list.id if custom_list else None,
        last_modified=movie.last_modified,
    )


@bp.put("/<imdb_id>/note")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_200=MovieView), tags=["Movies"])
def set_note(imdb_id: str, json: NoteChange):
    """Write your own note on a film, or remove it. Answers with the film."""
    movie = movies.set_note(auth.account().id, imdb_id, json.note)
    return compat.film(serializers.movie_view(movie.user_id, movie.imdb_id))


@bp.post("/<imdb_id>/refresh")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 502, 503, HTTP_200=Refreshed), tags=["Movies"])
def refresh(imdb_id: str):
    """Look a film up at TMDB and OMDb.

    What was fetched within the hour is not asked for again. 502 with the provider's error, 503
    where it does not answer or the server has no key.
    """
    return movies.refresh(auth.account().id, imdb_id)


def films(user_id: str, ids: list[int]) -> Iterator[bytes]:
    """The films of these ids, as JSON in pieces."""
    return transfer.array(compat.for_phones(serializers.in_batches(user_id, ids)))


def _imdb_id(new: NewMovie, user_id: str) -> str:
    if new.imdb_id is not None:
        return new.imdb_id
    if not new.tmdb_id:
        raise _invalid("imdb_id", "is missing: send imdb_id or tmdb_id")
    kind = "tv" if new.media_type in compat.SERIES else "movie"
    imdb_id = lookups.imdb_id_of(new.tmdb_id, kind, user_id)
    if imdb_id is None:
        raise _invalid(
            "tmdb_id", "TMDB has no IMDb id for this film, and without one it cannot be added"
        )
    return imdb_id


def _invalid(field: str, reason: str) -> InvalidError:
    return InvalidError(f"{field}: {reason}", [Problem(field, reason)])

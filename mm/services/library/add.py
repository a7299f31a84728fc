"""Finding a film to add, by words or by an address or id of IMDb or
TMDB, and adding it."""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from peewee import JOIN

from mm.errors import ConflictError, InvalidError, ProviderError, UnavailableError, UserError
from mm.models import CustomList, Movie, Title
from mm.schemas import SearchResult
from mm.services import validation
from mm.services.catalogue.store import Film
from mm.services.enrichment import lookups, mapping, offline_lookups, pauses, posters
from mm.services.library import lists, movies, people, undo

IMDB_ID = re.compile(r"(?<![a-z0-9])tt[0-9]{7,10}(?![0-9])", re.IGNORECASE)
TMDB_ADDRESS = re.compile(r"themoviedb\.org/(movie|tv)/([0-9]{1,9})(?![0-9])", re.IGNORECASE)
# TMDB takes longer texts and finds nothing.
QUERY_MAX = 200


class Place(NamedTuple):
    """Where in the user's library a film is."""

    imdb_id: str
    status: str
    list_name: str | None


@dataclass(frozen=True)
class Candidate:
    """A film or series that can be added once its `imdb_id` is known; a search
    at TMDB tells only TMDB's id. `kind`: movie or tv; `original_title` is None where
    it is the same; `poster`: the name of its file; `rating`: IMDb's, of 10; `note`:
    why there are no details."""

    kind: str = "movie"
    tmdb_id: int | None = None
    imdb_id: str | None = None
    title: str | None = None
    original_title: str | None = None
    year: int | None = None
    poster: str | None = None
    overview: str | None = None
    runtime: int | None = None
    genres: list[str] = field(default_factory=list)
    directors: list[str] = field(default_factory=list)
    rating: float | None = None
    place: Place | None = None
    note: str | None = None

    @property
    def key(self) -> dict[str, int | str | None]:
        """The parameter of an address that names it, and the argument of `find`."""
        return {self.kind: self.tmdb_id} if self.tmdb_id else {"imdb": self.imdb_id}


class Found(NamedTuple):
    """`is_offline`: from the catalogue; `problem`: as in `lookups.Found`."""

    films: list[Candidate]
    is_offline: bool = False
    problem: UserError | None = None


class Choice(NamedTuple):
    """Where a film goes. An empty `status` leaves a film of the library where it
    is. `date_watched` is an ISO date; without one the film was watched on an
    unknown day, and has no rating. `new_list`: the name of a list to make first,
    with the id `list_id`."""

    status: str = ""
    list_id: str | None = None
    my_rating: float | None = None
    date_watched: str | None = None
    new_list: str | None = None


def search(user_id: str, text: str) -> Found:
    """Raises ProviderError or UnavailableError, but not for an IMDb id: that
    can be added unseen."""
    if match := IMDB_ID.search(text):
        return Found([find(user_id, imdb=match[0])])
    if match := TMDB_ADDRESS.search(text):
        tmdb_id = int(match[2])
        is_movie = match[1].lower() == "movie"
        return Found([find(user_id, movie=tmdb_id) if is_movie else find(user_id, tv=tmdb_id)])
    found = lookups.find(text[:QUERY_MAX], user_id=user_id)
    films = [
        _from_result(result, found.films.get(result.id))
        for result in found.results
        if result.mediaType != "person"
    ]
    _offer_posters(films)
    return Found(with_places(user_id, films), bool(found.films), found.problem)


def find(
    user_id: str, imdb: str | None = None, movie: int | None = None, tv: int | None = None
) -> Candidate:
    """One film or series with all that is known of it, by its id at IMDb or at
    TMDB.

    Raises InvalidError without an id; ProviderError or UnavailableError where TMDB
    cannot be asked for its own id.
    """
    if imdb:
        found = _by_imdb_id(user_id, validation.imdb_id(imdb))
    elif tmdb_id := movie or tv:
        found = _from_tmdb(lookups.details(tmdb_id, "movie" if movie else "tv", user_id))
    else:
        raise InvalidError("Search for a film first, then pick it from the results.")
    _offer_posters([found])
    return with_places(user_id, [found])[0]


def add(
    user_id: str,
    film: Candidate,
    recommender_ids: Iterable[int],
    choice: Choice,
    new_person: str = "",
) -> str | None:
    """Returns the token of the undo. `new_person`: the name of one more
    recommender, who stays after the undo. Raises InvalidError for what cannot be
    used, and for a film without an IMDb id."""
    if film.imdb_id is None:
        raise InvalidError("This film has no IMDb ID yet, so it can’t be added.")
    recommenders: list[str | int] = list(recommender_ids)
    new_list = choice.list_id if choice.new_list is not None else None
    with undo.step(user_id, imdb_ids=[film.imdb_id], list_id=new_list) as step:
        if choice.new_list is not None:
            color = lists.next_color(len(lists.listing(user_id)))
            # The form brings the id, so that sending it twice makes one list.
            with contextlib.suppress(ConflictError):
                lists.create(user_id, choice.new_list, color, list_id=new_list)
        if new_person.strip():
            name = validation.name(new_person, "person_name")
            color = lists.next_color(len(people.listing(user_id)))
            with contextlib.suppress(ConflictError):
                people.create(user_id, name, color=color)
            recommenders.append(name)
        movies.add(
            user_id,
            film.imdb_id,
            status=choice.status or None,
            recommenders=recommenders,
            custom_list_id=choice.list_id,
        )
        if choice.status == "watched" and choice.date_watched:
            movies.watch(user_id, film.imdb_id, choice.date_watched, choice.my_rating, again=True)
    return step.token


def with_places(user_id: str, films: list[Candidate]) -> list[Candidate]:
    """The same films, each with its place where it is in the user's library now."""
    has_imdb_id = Title.imdb_id.in_([film.imdb_id for film in films if film.imdb_id])
    has_tmdb_id = Title.tmdb_id.in_([film.tmdb_id for film in films if film.tmdb_id])
    rows = (
        Movie.select(Title.media_type, Title.tmdb_id, Title.imdb_id, Movie.status, CustomList.name)
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where((Movie.user == user_id) & (has_imdb_id | has_tmdb_id))
        .tuples()
    )
    places: dict[object, Place] = {}
    for kind, tmdb_id, *place in rows:
        places[place[0]] = Place(*place)
        # Films from the catalogue have none, and would all be found by it.
        if tmdb_id:
            places[kind, tmdb_id] = Place(*place)
    return [
        replace(film, place=places.get(film.imdb_id) or places.get((film.kind, film.tmdb_id)))
        for film in films
    ]


def _by_imdb_id(user_id: str, imdb_id: str) -> Candidate:
    title = Title.get_or_none((Title.imdb_id == imdb_id) & Title.title.is_null(False))
    if title is not None:
        return Candidate(
            title.media_type or "movie",
            imdb_id=title.imdb_id,
            title=title.title,
            original_title=_if_other(title.original_title, title.title),
            year=title.year,
            poster=_file_name(title.poster_path),
            overview=title.overview,
            runtime=title.runtime,
            genres=title.genres,
            directors=title.directors,
            rating=title.imdb_rating,
        )
    try:
        return replace(_from_tmdb(lookups.by_imdb_id(imdb_id, user_id)), imdb_id=imdb_id)
    except (ProviderError, UnavailableError) as problem:
        if film := offline_lookups.find(imdb_id):
            return _from_catalogue(film)
        has_key = bool(pauses.key("tmdb"))
        note = problem.message if has_key else pauses.WITHOUT_KEY["tmdb"]
        return Candidate(imdb_id=imdb_id, note=note)


def _from_result(result: SearchResult, film: Film | None) -> Candidate:
    """`film`: what the catalogue says, where the result is from there."""
    poster = _file_name(result.posterSmall)
    if film:
        return replace(_from_catalogue(film), poster=poster)
    return Candidate(
        result.mediaType,
        result.id,
        title=result.title,
        year=result.year,
        poster=poster,
        overview=result.overview,
    )


def _from_catalogue(film: Film) -> Candidate:
    return Candidate(
        film.kind,
        imdb_id=film.imdb_id,
        title=film.title,
        original_title=film.original_title,
        year=film.year,
        runtime=film.runtime,
        genres=film.genres,
        directors=film.directors,
        rating=film.rating,
    )


def _from_tmdb(body: dict) -> Candidate:
    columns = mapping.from_tmdb(body)
    return Candidate(
        columns["media_type"],
        columns["tmdb_id"],
        mapping.imdb_id_of(body),
        title=columns["title"],
        original_title=_if_other(columns["original_title"], columns["title"]),
        year=columns["year"],
        poster=_file_name(columns["poster_path"]),
        overview=columns["overview"],
        runtime=columns["runtime"],
        genres=columns["genres"],
        directors=columns["directors"],
    )


def _if_other(original_title: str | None, title: str | None) -> str | None:
    return original_title if original_title != title else None


def _offer_posters(films: list[Candidate]) -> None:
    posters.allow({film.poster: film.title for film in films if film.poster})


def _file_name(path: str | None) -> str | None:
    return path.rpartition("/")[2] if path else None

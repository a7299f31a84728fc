"""Finding a film to add: by words, or by an address or id of IMDb or TMDB; and adding it."""

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
from mm.services.enrichment import lookups, mapping, pauses, posters
from mm.services.library import lists, movies, people, undo

IMDB = re.compile(r"(?<![a-z0-9])tt[0-9]{7,10}(?![0-9])", re.IGNORECASE)
TMDB = re.compile(r"themoviedb\.org/(movie|tv)/([0-9]{1,9})(?![0-9])", re.IGNORECASE)
# TMDB takes longer ones and finds nothing.
QUERY_MAX = 200


class Place(NamedTuple):
    """Where in the user's library a film is."""

    imdb_id: str
    status: str
    list_name: str | None


@dataclass(frozen=True)
class Found:
    """A film or series that can be added once its `imdb_id` is known; a search tells TMDB's id
    alone. `poster`: the name of its file. `note`: why there is no more to tell."""

    kind: str = "movie"
    tmdb_id: int | None = None
    imdb_id: str | None = None
    title: str | None = None
    year: int | None = None
    poster: str | None = None
    overview: str | None = None
    runtime: int | None = None
    genres: list[str] = field(default_factory=list)
    directors: list[str] = field(default_factory=list)
    place: Place | None = None
    note: str | None = None

    @property
    def key(self) -> dict[str, int | str | None]:
        """The parameter of an address that names it."""
        return {self.kind: self.tmdb_id} if self.tmdb_id else {"imdb": self.imdb_id}


class Choice(NamedTuple):
    """Where a film goes: `status` empty leaves one that is there where it is. `date_watched` is an
    ISO date; without one the film was watched, nobody knows when, and has no rating. `new_list`:
    the name of a list to make first."""

    status: str = ""
    list_id: str | None = None
    my_rating: float | None = None
    date_watched: str | None = None
    new_list: str | None = None


def search(user_id: str, text: str) -> list[Found]:
    """Raises ProviderError or UnavailableError, but not for an IMDb id: that can be added unseen."""
    if named := _named(text):
        return [find(user_id, **named)]
    everything = lookups.search(text[:QUERY_MAX], user_id=user_id)
    results = [_found(result) for result in everything if result.mediaType != "person"]
    _offer(results)
    return placed(user_id, results)


def find(
    user_id: str, imdb: str | None = None, movie: int | None = None, tv: int | None = None
) -> Found:
    """One film or series with all that is known of it, by its id at IMDb or at TMDB.

    Raises InvalidError without an id, ProviderError or UnavailableError where TMDB cannot be asked for its
    own id.
    """
    if imdb:
        found = _by_imdb_id(user_id, validation.imdb_id(imdb))
    elif tmdb_id := movie or tv:
        found = _described(lookups.details(tmdb_id, "movie" if movie else "tv", user_id))
    else:
        raise InvalidError("Search for a film first, and choose it from what is found.")
    _offer([found])
    return placed(user_id, [found])[0]


def add(
    user_id: str, found: Found, recommenders: Iterable[str], choice: Choice, new_person: str = ""
) -> str | None:
    """The token that takes it back; `new_person`, who recommended it too, stays. Raises InvalidError for
    what cannot be used, and for a film without an IMDb id."""
    if found.imdb_id is None:
        raise InvalidError("TMDB knows no IMDb id of it, so it cannot be added.")
    new_list = choice.list_id if choice.new_list is not None else None
    with undo.step(user_id, imdb_ids=[found.imdb_id], list_id=new_list) as step:
        if choice.new_list is not None:
            _make_list(user_id, choice.new_list, new_list)
        recommenders = [*recommenders, *_made(user_id, new_person)]
        movies.add(
            user_id,
            found.imdb_id,
            status=choice.status or None,
            recommenders=recommenders,
            custom_list_id=choice.list_id,
        )
        if choice.status == "watched" and choice.date_watched:
            movies.watch(user_id, found.imdb_id, choice.date_watched, choice.my_rating, again=True)
    return step.token


def placed(user_id: str, results: list[Found]) -> list[Found]:
    """With the place in the library of each that is there now."""
    by_imdb_id = Title.imdb_id.in_([result.imdb_id for result in results if result.imdb_id])
    by_tmdb_id = Title.tmdb_id.in_([result.tmdb_id for result in results if result.tmdb_id])
    rows = (
        Movie.select(Title.media_type, Title.tmdb_id, Title.imdb_id, Movie.status, CustomList.name)
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where((Movie.user == user_id) & (by_imdb_id | by_tmdb_id))
        .tuples()
    )
    places = {
        key: Place(*place) for kind, tmdb_id, *place in rows for key in (place[0], (kind, tmdb_id))
    }
    return [
        replace(
            result, place=places.get(result.imdb_id) or places.get((result.kind, result.tmdb_id))
        )
        for result in results
    ]


def _offer(results: list[Found]) -> None:
    posters.offer({result.poster: result.title for result in results if result.poster})


def _make_list(user_id: str, name: str, list_id: str | None) -> None:
    """The form brings the id, so that sending it twice makes one list."""
    with contextlib.suppress(ConflictError):
        lists.create(user_id, name, lists.next_color(len(lists.listing(user_id))), list_id=list_id)


def _made(user_id: str, name: str) -> list[str]:
    """The name of the person who was made where there was none; nothing without a name. Raises
    InvalidError."""
    if not name.strip():
        return []
    name = validation.name(name, "person_name")
    with contextlib.suppress(ConflictError):
        people.create(user_id, name, color=lists.next_color(len(people.listing(user_id))))
    return [name]


def _named(text: str) -> dict | None:
    """The argument of `find` that an address or an id stands for."""
    if match := IMDB.search(text):
        return {"imdb": match[0]}
    if match := TMDB.search(text):
        return {match[1].lower(): int(match[2])}
    return None


def _by_imdb_id(user_id: str, imdb_id: str) -> Found:
    known = Title.get_or_none((Title.imdb_id == imdb_id) & Title.title.is_null(False))
    if known is not None:
        return _of_title(known)
    try:
        return replace(_described(lookups.by_imdb_id(imdb_id, user_id)), imdb_id=imdb_id)
    except (ProviderError, UnavailableError) as problem:
        return Found(imdb_id=imdb_id, note=_note(problem))


def _note(problem: UserError) -> str:
    """What is not known, and when it will be."""
    return pauses.WITHOUT_KEY["tmdb"] if not pauses.key("tmdb") else problem.message


def _of_title(title: Title) -> Found:
    return Found(
        title.media_type or "movie",
        None,
        title.imdb_id,
        title.title,
        title.year,
        _file(title.poster_path),
        title.overview,
        title.runtime,
        title.genres,
        title.directors,
    )


def _described(body: dict) -> Found:
    about = mapping.from_tmdb(body)
    return Found(
        about["media_type"],
        about["tmdb_id"],
        mapping.imdb_id_of(body),
        about["title"],
        about["year"],
        _file(about["poster_path"]),
        about["overview"],
        about["runtime"],
        about["genres"],
        about["directors"],
    )


def _found(result: SearchResult) -> Found:
    poster = _file(result.posterSmall)
    return Found(
        result.mediaType, result.id, None, result.title, result.year, poster, result.overview
    )


def _file(path: str | None) -> str | None:
    return path.rpartition("/")[2] if path else None

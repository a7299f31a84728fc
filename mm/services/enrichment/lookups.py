"""What users and clients look up at TMDB and OMDb: searches, lists of films, and single titles.

Everything here may raise ProviderError and UnavailableError, as `interactive` says. The
catalogue is asked where TMDB cannot be, or finds nothing.
`user_id` is only for sharing the slots among users.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, NamedTuple

from mm import clock, config
from mm.database import fold
from mm.errors import ProviderError, UnavailableError
from mm.schemas import CacheInfo, OmdbData, SearchResult, TmdbData
from mm.services.catalogue import store
from mm.services.catalogue.store import Film
from mm.services.enrichment import interactive, mapping, offline_lookups, pauses
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment.interactive import cache, cache_key, title_key, tmdb_page
from mm.services.enrichment.lookup_slots import LookUp

ListKind = Literal["popular", "now_playing", "top_rated", "coming_soon", "trending"]
# TMDB's path for each kind of list that is not narrowed to days.
LIST_PATHS = {
    "popular": "/movie/popular",
    "now_playing": "/movie/now_playing",
    "top_rated": "/movie/top_rated",
    "coming_soon": "/movie/upcoming",
}
BY_POPULARITY = {"sort_by": "popularity.desc", "include_adult": "false"}


class Found(NamedTuple):
    """`films`: for results from the catalogue, all that it says about them, by their ids.
    `problem`: why TMDB was not asked or did not answer; its words are for users. If there is a
    catalogue, a missing key is not a problem."""

    results: list[SearchResult]
    films: dict[int, Film]
    problem: ProviderError | UnavailableError | None = None


def search(text: str, year: int | None = None, user_id: str = "") -> list[SearchResult]:
    """The results of `find`."""
    return find(text, year, user_id).results


def find(text: str, year: int | None = None, user_id: str = "") -> Found:
    """Films, series and people; from the catalogue, which has no people, where TMDB does not answer
    or knows no film of these words.

    Raises what TMDB's look-up did where the catalogue finds nothing either, unless TMDB only lacks
    its key and there is a catalogue.
    """
    results: list[SearchResult] = []
    problem: ProviderError | UnavailableError | None = None
    try:
        results = _search_tmdb(text, year, user_id)
    except (ProviderError, UnavailableError) as error:
        problem = error
    if any(result.mediaType != "person" for result in results):
        return Found(results, {})
    if not pauses.key("tmdb") and store.is_there():
        problem = None
    films = offline_lookups.search(text, year)
    if problem and not films:
        raise problem
    offline = offline_lookups.results(films)
    by_id = {result.id: film for result, film in zip(offline, films, strict=True)}
    return Found(results + offline, by_id, problem)


def _search_tmdb(text: str, year: int | None, user_id: str) -> list[SearchResult]:
    """With `year` only those of that year; of films also what TMDB's own search by year adds, which
    it has for nothing else."""
    with LookUp(user_id, is_search=True) as look_up:
        body = tmdb_page(look_up, "/search/multi", query=text, include_adult="false")
        results = mapping.search_results(body)
        if year is None:
            return results
        params = {"query": text, "year": str(year), "include_adult": "false"}
        films = _films(tmdb_page(look_up, "/search/movie", **params))
    of_year = [result for result in results if result.year == year]
    seen = {(result.mediaType, result.id) for result in of_year}
    return of_year + [film for film in films if (film.mediaType, film.id) not in seen]


def movie(tmdb_id: int, user_id: str = "") -> TmdbData:
    return _title(tmdb_id, "movie", user_id)


def series(tmdb_id: int, user_id: str = "") -> TmdbData:
    return _title(tmdb_id, "tv", user_id)


def _title(tmdb_id: int, media_type: str, user_id: str) -> TmdbData:
    """An id below zero is that of a result from the catalogue. Raises NotFoundError for one that
    the catalogue does not have."""
    if tmdb_id < 0:
        return offline_lookups.details(tmdb_id, media_type)
    return mapping.tmdb_data(details(tmdb_id, media_type, user_id))


def details(tmdb_id: int, media_type: str, user_id: str = "") -> dict:
    """TMDB's body with credits and external ids. `media_type`: movie or tv."""

    def ask() -> dict:
        with LookUp(user_id) as look_up:
            body = mapping.trimmed(interactive.tmdb_details(look_up, media_type, tmdb_id))
        if imdb_id := mapping.imdb_id_of(body):
            cache.put(title_key(imdb_id), body)
        return body

    return cache.fetch(cache_key("details", media_type, tmdb_id), ask)


def by_imdb_id(imdb_id: str, user_id: str = "") -> dict:
    """As `details`, with `media_type`, by the IMDb id; of what an administrator chose for it, where
    one did."""
    link = enrichment_queue.link_of(imdb_id)

    def ask() -> dict:
        with LookUp(user_id) as look_up:
            return mapping.trimmed(interactive.tmdb_title(look_up, imdb_id, link=link))

    return cache.fetch(title_key(imdb_id, link), ask)


def imdb_id_of(tmdb_id: int, media_type: str = "movie", user_id: str = "") -> str | None:
    """None when TMDB has none: such a film cannot be added. The id of a result from the catalogue
    contains it."""
    if tmdb_id < 0:
        return offline_lookups.imdb_id_of(tmdb_id)
    return mapping.imdb_id_of(details(tmdb_id, media_type, user_id))


def ratings(imdb_id: str, user_id: str = "") -> OmdbData:
    """All that OMDb has on a title."""

    def ask() -> dict:
        with LookUp(user_id) as look_up:
            return interactive.omdb_title(look_up, imdb_id)

    return mapping.omdb_data(cache.fetch(cache_key("omdb", imdb_id), ask))


def by_genre(text: str, user_id: str = "") -> list[SearchResult]:
    """Popular films of any of the genres in `text`, which are separated by
    commas. Each is the name of a genre, or else a part of the names of several.
    Empty when no genre matches."""
    with LookUp(user_id) as look_up:
        genres = tmdb_page(look_up, "/genre/movie/list").get("genres")
        ids = _genre_ids(genres if isinstance(genres, list) else [], text.split(","))
        if not ids:
            return []
        # TMDB reads | as "or".
        with_genres = "|".join(map(str, dict.fromkeys(ids)))
        params = {**BY_POPULARITY, "with_genres": with_genres}
        return _films(tmdb_page(look_up, "/discover/movie", **params))


def by_person(
    name: str,
    role: Literal["actor", "director"] = "actor",
    user_id: str = "",
) -> list[SearchResult]:
    """The films with, or directed by, the first person that TMDB finds, popular ones first."""
    with LookUp(user_id) as look_up:
        body = tmdb_page(look_up, "/search/person", query=name, include_adult="false")
        people = mapping.search_results(body, "person")
        if not people:
            return []
        if role == "actor":
            params = {**BY_POPULARITY, "with_cast": str(people[0].id)}
            return _films(tmdb_page(look_up, "/discover/movie", **params))
        credits = tmdb_page(look_up, f"/person/{people[0].id}/movie_credits")
        return _films({"results": mapping.directed_films(credits)})


def film_list(
    kind: ListKind,
    region: str = "US",
    days: int | None = None,
    window: Literal["day", "week"] = "day",
    user_id: str = "",
) -> list[SearchResult]:
    """One of TMDB's lists of films. `days` narrows now_playing to releases of so many days up
    to today, and coming_soon to so many days from tomorrow on; `window` is for trending."""
    is_ahead = kind == "coming_soon"
    with LookUp(user_id) as look_up:
        if kind == "trending":
            return _films(tmdb_page(look_up, f"/trending/movie/{window}"))
        if days is None or kind not in ("now_playing", "coming_soon"):
            body = tmdb_page(look_up, LIST_PATHS[kind], region=region)
        else:
            today = clock.local(clock.now(), config.current.zone).date()
            first, last = (1, days) if is_ahead else (-days, 0)
            params = {
                **BY_POPULARITY,
                "region": region,
                # In cinemas, in a few of them or in all.
                "with_release_type": "2|3",
                "release_date.gte": str(today + timedelta(days=first)),
                "release_date.lte": str(today + timedelta(days=last)),
            }
            body = tmdb_page(look_up, "/discover/movie", **params)
    return _films(mapping.by_release_date(body) if is_ahead else body)


def cache_info() -> CacheInfo:
    return CacheInfo(current_size=len(cache), max_size=cache.size, ttl=int(cache.seconds))


def _films(body: dict) -> list[SearchResult]:
    """The films on a page of TMDB's results; series and people are left out."""
    return [row for row in mapping.search_results(body, "movie") if row.mediaType == "movie"]


def _genre_ids(rows: list, names: Iterable[str]) -> list[int]:
    """TMDB's ids of the genres with these names. `rows`: TMDB's list of {id, name}."""
    genres = {
        fold(str(row.get("name"))): row["id"]
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), int)
    }
    ids: list[int] = []
    for name in filter(None, map(fold, names)):
        if name in genres:
            ids.append(genres[name])
        else:
            ids += [genre_id for genre, genre_id in genres.items() if name in genre]
    return ids

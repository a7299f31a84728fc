"""Looking things up for somebody who waits: at a pace of its own, and kept for an hour.

Errors of a provider become ProviderError (502) where it answered with one, and Unavailable (503) where it did not
answer, is paused, or has no key.
"""

import time
from datetime import timedelta
from typing import Literal

from mm import clock, config, models
from mm.documents import CacheInfo, OmdbData, SearchResult, TmdbData, Updated
from mm.errors import ProviderError, Unavailable
from mm.models import Job, Movie, Title, db
from mm.providers import client, limits, omdb, tmdb
from mm.providers.cache import Cache, Turns
from mm.services import described, due, locks, pauses, titles

Listed = Literal["popular", "now_playing", "top_rated", "coming_soon", "trending"]
TRIES = 2
# How long the worker, which has the title in its queue, is given to bring it.
SHARE_SECONDS = 8
LOOK_AGAIN = 0.1
# The list of TMDB for each kind of list that is not narrowed to days.
PATHS = {"popular": "/movie/popular", "now_playing": "/movie/now_playing", "top_rated": "/movie/top_rated",
         "coming_soon": "/movie/upcoming"}  # fmt: skip

cache = Cache(size=500, seconds=3600)
_turns = Turns()


def search(text: str, year: int | None = None) -> list[SearchResult]:
    """Films, series and people. TMDB narrows films alone to a year: those come after what the search of everything has
    of that year."""
    found = described.results(_tmdb("/search/multi", query=text, include_adult="false"))
    if year is None:
        return found
    films = _tmdb("/search/movie", query=text, year=str(year), include_adult="false")
    of_that_year = [result for result in found if result.year == year]
    known = {(result.mediaType, result.id) for result in of_that_year}
    return of_that_year + [row for row in described.results(films, "movie") if (row.mediaType, row.id) not in known]


def movie(tmdb_id: int) -> TmdbData:
    return described.tmdb_data(details(tmdb_id, "movie"))


def series(tmdb_id: int) -> TmdbData:
    return described.tmdb_data(details(tmdb_id, "tv"))


def details(tmdb_id: int, media_type: str) -> dict:
    """TMDB's body, with credits and external ids."""

    def ask() -> dict:
        body = titles.trimmed(_ask("tmdb", lambda: tmdb.details(_tmdb_account(), media_type, tmdb_id)))
        if imdb_id := titles.imdb_id_of(body):
            cache.put(_key("title", imdb_id), body)
        return body

    return cache.fetch(_key("details", media_type, tmdb_id), ask)


def by_imdb_id(imdb_id: str) -> dict:
    """As `details`, with `media_type`, by the IMDb id."""
    return cache.fetch(_key("title", imdb_id), lambda: titles.trimmed(_ask_provider("tmdb", imdb_id)))


def imdb_id_of(tmdb_id: int, media_type: str = "movie") -> str | None:
    """None where TMDB does not know it: such a film cannot be added."""
    return titles.imdb_id_of(details(tmdb_id, media_type))


def by_genre(name: str) -> list[SearchResult]:
    """Popular films of the genre that has this name, or begins with it; none where there is no such genre."""
    wanted = models.fold(name)
    genres = _tmdb("/genre/movie/list").get("genres")
    rows = [row for row in genres if isinstance(row, dict)] if isinstance(genres, list) else []
    named = {models.fold(str(row.get("name"))): row.get("id") for row in rows}
    genre = named.get(wanted) or next((named[key] for key in sorted(named) if key.startswith(wanted)), None)
    return _discover(with_genres=str(genre)) if genre and wanted else []


def by_person(name: str, role: Literal["actor", "director"] = "actor") -> list[SearchResult]:
    """Popular films with, or by, the first person that TMDB finds under this name."""
    people = described.results(_tmdb("/search/person", query=name, include_adult="false"), "person")
    if not people:
        return []
    field = {"actor": "with_cast", "director": "with_crew"}[role]
    return _discover(**{field: str(people[0].id)})


def listed(
    kind: Listed, region: str = "US", days: int | None = None, window: Literal["day", "week"] = "day"
) -> list[SearchResult]:
    """`days`: only films released within so many days, before today or, for coming_soon, from tomorrow on."""
    if kind == "trending":
        return described.results(_tmdb(f"/trending/all/{window}"), "movie")
    if days is None or kind not in ("now_playing", "coming_soon"):
        return described.results(_tmdb(PATHS[kind], region=region), "movie")
    today = clock.local(clock.now(), config.current.zone).date()
    first, last = (1, days) if kind == "coming_soon" else (-days, 0)
    between = {
        "release_date.gte": str(today + timedelta(days=first)),
        "release_date.lte": str(today + timedelta(days=last)),
    }
    return _discover(region=region, with_release_type="2|3", **between)


def ratings(imdb_id: str) -> OmdbData:
    return described.omdb_data(cache.fetch(_key("omdb", imdb_id), lambda: _ask_omdb(imdb_id)))


def cache_info() -> CacheInfo:
    return CacheInfo(len(cache), cache.size, int(cache.seconds))


def fill_from_cache(imdb_id: str) -> bool:
    """Fill a title that nobody has looked up yet with what was looked up just now, say while searching for it; whether
    there was anything. Call inside the transaction that adds the film."""
    found = {"tmdb": cache.get(_key("title", imdb_id)), "omdb": cache.get(_key("omdb", imdb_id))}
    title = Title.get_by_id(imdb_id)
    known = [provider for provider in found if found[provider] and getattr(title, f"{provider}_state") == "stub"]
    for provider in known:
        due.fill(provider, imdb_id, found[provider])
    return bool(known)


def refresh(imdb_id: str) -> Updated:
    """Ask both providers about a film that some library holds.

    What was fetched, or found missing, within the hour counts as asked. What the worker is about to look up moves to
    the head of its queue and is waited for. Raises ProviderError or Unavailable where neither provider told anything.
    """
    if not any(map(pauses.key, pauses.PROVIDERS)):
        raise Unavailable("TMDB API key not configured")
    with _turns.take(imdb_id):
        if not all(_is_fresh(imdb_id, name) or _missing(imdb_id, name) for name in _providers()):
            _let_worker(imdb_id)
        problems = [_refresh_at(provider, imdb_id) for provider in _providers()]
    updated = Updated(tmdb=_is_fresh(imdb_id, "tmdb"), omdb=_is_fresh(imdb_id, "omdb"))
    if not (updated.tmdb or updated.omdb):
        raise next(problem for problem in problems if problem)
    return updated


def _providers() -> list[str]:
    return [provider for provider in pauses.PROVIDERS if pauses.key(provider)]


def _is_fresh(imdb_id: str, provider: str) -> bool:
    state, fetched_at = _state(imdb_id, provider)
    return state == "ready" and fetched_at is not None and fetched_at > clock.now() - cache.seconds


def _missing(imdb_id: str, provider: str) -> str | None:
    return due.missing_lately(provider, imdb_id, cache.seconds)


def _state(imdb_id: str, provider: str) -> tuple[str, float | None]:
    fields = Title._meta.fields
    columns = (fields[f"{provider}_state"], fields[f"{provider}_fetched_at"])
    return Title.select(*columns).where(Title.imdb_id == imdb_id).tuples().get()


def _let_worker(imdb_id: str) -> None:
    """To the head of the queue; and where a worker works on it now, its look-up serves here too."""
    with db.atomic():
        Title.update(wanted_at=clock.now()).where(Title.imdb_id == imdb_id).execute()
    deadline = time.monotonic() + SHARE_SECONDS
    while _is_queued(imdb_id) and time.monotonic() < deadline and _worker_is_at_it():
        time.sleep(LOOK_AGAIN)


def _is_queued(imdb_id: str) -> bool:
    return "tmdb" in pauses.askable() and due.all_due("tmdb").where(Title.imdb_id == imdb_id).exists()


def _worker_is_at_it() -> bool:
    running = Job.select(Job.id).where((Job.kind == "enrich") & (Job.state == "running"))
    return any(locks.is_held(f"job-{job.id}") for job in running)


def _refresh_at(provider: str, imdb_id: str) -> ProviderError | Unavailable | None:
    """Ask, and store the answer as the worker would; the problem, where there was one."""
    if _is_fresh(imdb_id, provider):
        return None
    if reason := _missing(imdb_id, provider):
        return ProviderError(reason)
    title = due.one(provider, imdb_id)
    try:
        body = _ask_provider(provider, imdb_id)
    except (ProviderError, Unavailable) as problem:
        if isinstance(problem.__cause__, client.Error):
            with db.atomic():
                _store_failure(provider, title, problem.__cause__)
        return problem
    with db.atomic():
        due.fill(provider, imdb_id, body)
        Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title == imdb_id).execute()
    return None


def _store_failure(provider: str, title: due.Due, error: client.Error) -> None:
    """What was filled before stays."""
    if isinstance(error, client.NotFound) and title.state != "ready":
        due.mark_missing(provider, title.imdb_id, str(error))
    elif isinstance(error, client.Temporary):
        due.mark_failed(provider, title, str(error))


def _ask_provider(provider: str, imdb_id: str) -> dict:
    if provider == "omdb":
        return _ask_omdb(imdb_id)
    return _ask("tmdb", lambda: tmdb.look_up(_tmdb_account(), imdb_id))


def _ask_omdb(imdb_id: str) -> dict:
    """The calls are counted against the day's limit, of which some are kept for here."""
    now = config.current
    account = omdb.Account(now.omdb_api_key, now.omdb_base_url, limits.omdb_interactive, TRIES)
    try:
        return _ask("omdb", lambda: omdb.look_up(account, imdb_id))
    finally:
        if calls := limits.omdb_interactive.newly_started():
            with db.atomic():
                pauses.count_omdb_calls(calls)


def _tmdb(path: str, **params: str) -> dict:
    def ask() -> dict:
        return _ask("tmdb", lambda: tmdb.fetch(_tmdb_account(), path, **params))

    return cache.fetch(_key(path, *sorted(params.items())), ask)


def _discover(**params: str) -> list[SearchResult]:
    body = _tmdb("/discover/movie", sort_by="popularity.desc", include_adult="false", **params)
    return described.results(body, "movie")


def _tmdb_account() -> tmdb.Account:
    now = config.current
    return tmdb.Account(now.tmdb_api_key, now.tmdb_base_url, now.tmdb_language, limits.tmdb_interactive, TRIES)


def _key(*parts) -> tuple:
    now = config.current
    return (now.tmdb_base_url, now.tmdb_language, now.omdb_base_url, *parts)


def _ask(provider: str, ask) -> dict:
    """Raises ProviderError or Unavailable, from the client's own error."""
    name = pauses.NAMES[provider]
    if not pauses.key(provider):
        raise Unavailable(f"{name} API key not configured")
    if words := pauses.refusal(provider):
        raise Unavailable(words)
    try:
        return ask()
    except client.Error as error:
        if error.status is not None and error.status >= 400:
            raise ProviderError(f"{name} API error: {error.status}") from error
        if isinstance(error, client.NotFound) or error.status is not None:
            raise ProviderError(str(error)) from error
        raise Unavailable(str(error)) from error

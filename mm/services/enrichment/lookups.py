"""Looking things up for somebody who waits: at a pace of its own, and kept for an hour.

Errors of a provider become ProviderError (502) where it answered with one, and UnavailableError (503)
where it did not answer, is paused, or has no key.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Literal

from peewee import fn

from mm import clock, config, log, models
from mm.database import db, fold
from mm.errors import ProviderError, UnavailableError
from mm.models import Job, Movie, Title
from mm.providers import client, limits, omdb, tmdb
from mm.providers.cache import Cache, KeyedLock
from mm.schemas import CacheInfo, OmdbData, SearchResult, TmdbData, Updated
from mm.services import heartbeat
from mm.services.enrichment import mapping, pauses
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment.lookup_slots import LookUp, silence

Listed = Literal["popular", "now_playing", "top_rated", "coming_soon", "trending"]
TRIES = 2
# How long the worker, which has the title in its queue, is given to bring it.
SHARE_SECONDS = 3
LOOK_AGAIN = 0.1
# Of a refresh, left for OMDb when TMDB does not answer.
SPARE_SECONDS = 2
# The list of TMDB for each kind of list that is not narrowed to days.
PATHS = {
    "popular": "/movie/popular",
    "now_playing": "/movie/now_playing",
    "top_rated": "/movie/top_rated",
    "coming_soon": "/movie/upcoming",
}

cache = Cache(size=500, seconds=3600)
_key_locks = KeyedLock()


def search(text: str, year: int | None = None, user_id: str = "") -> list[SearchResult]:
    """Films, series and people. TMDB narrows films alone to a year: those come after what the
    search of everything has of that year."""
    with LookUp(user_id, is_search=True) as look_up:
        body = _tmdb(look_up, "/search/multi", query=text, include_adult="false")
        found = mapping.results(body)
        if year is None:
            return found
        asked = {"query": text, "year": str(year), "include_adult": "false"}
        films = _films(_tmdb(look_up, "/search/movie", **asked))
    of_that_year = [result for result in found if result.year == year]
    known = {(result.mediaType, result.id) for result in of_that_year}
    return of_that_year + [row for row in films if (row.mediaType, row.id) not in known]


def movie(tmdb_id: int, user_id: str = "") -> TmdbData:
    return mapping.tmdb_data(details(tmdb_id, "movie", user_id))


def series(tmdb_id: int, user_id: str = "") -> TmdbData:
    return mapping.tmdb_data(details(tmdb_id, "tv", user_id))


def details(tmdb_id: int, media_type: str, user_id: str = "") -> dict:
    """TMDB's body, with credits and external ids."""

    def ask() -> dict:
        with LookUp(user_id) as look_up:
            account = _tmdb_account(look_up.deadline)
            found = _ask(look_up, "tmdb", lambda: tmdb.details(account, media_type, tmdb_id))
        body = mapping.trimmed(found)
        if imdb_id := mapping.imdb_id_of(body):
            cache.put(_key("title", imdb_id), body)
        return body

    return cache.fetch(_key("details", media_type, tmdb_id), ask)


def by_imdb_id(imdb_id: str, user_id: str = "") -> dict:
    """As `details`, with `media_type`, by the IMDb id."""

    def ask() -> dict:
        with LookUp(user_id) as look_up:
            return mapping.trimmed(_ask_tmdb(look_up, imdb_id, look_up.deadline))

    return cache.fetch(_key("title", imdb_id), ask)


def imdb_id_of(tmdb_id: int, media_type: str = "movie", user_id: str = "") -> str | None:
    """None where TMDB does not know it: such a film cannot be added."""
    return mapping.imdb_id_of(details(tmdb_id, media_type, user_id))


def by_genre(text: str, user_id: str = "") -> list[SearchResult]:
    """Popular films of the genres that are named, separated by commas: each by its name, or else by
    any part of it. Films of any of these genres; none where there is no such genre."""
    with LookUp(user_id) as look_up:
        genres = _genres(_tmdb(look_up, "/genre/movie/list"))
        wanted = filter(None, map(fold, text.split(",")))
        ids = [key for name in wanted for key in _genre_ids(genres, name)]
        # TMDB reads | as "or".
        joined = "|".join(map(str, dict.fromkeys(ids)))
        return _discover(look_up, with_genres=joined) if ids else []


def by_person(
    name: str,
    role: Literal["actor", "director"] = "actor",
    user_id: str = "",
) -> list[SearchResult]:
    """The films with, or by, the first person of this name at TMDB, popular ones first."""
    with LookUp(user_id) as look_up:
        asked = {"query": name, "include_adult": "false"}
        people = mapping.results(_tmdb(look_up, "/search/person", **asked), "person")
        if not people:
            return []
        if role == "actor":
            return _discover(look_up, with_cast=str(people[0].id))
        credits = _tmdb(look_up, f"/person/{people[0].id}/movie_credits")
        return _films({"results": mapping.directed(credits)})


def listed(
    kind: Listed,
    region: str = "US",
    days: int | None = None,
    window: Literal["day", "week"] = "day",
    user_id: str = "",
) -> list[SearchResult]:
    """`days`: only films released within so many days, before today or, for coming_soon, from
    tomorrow on."""
    with LookUp(user_id) as look_up:
        if kind == "trending":
            return _films(_tmdb(look_up, f"/trending/movie/{window}"))
        if days is None or kind not in ("now_playing", "coming_soon"):
            body = _tmdb(look_up, PATHS[kind], region=region)
        else:
            between = _released_within(days, kind == "coming_soon")
            body = _discovered(look_up, region=region, with_release_type="2|3", **between)
    return _films(mapping.by_release_date(body) if kind == "coming_soon" else body)


def ratings(imdb_id: str, user_id: str = "") -> OmdbData:
    def ask() -> dict:
        with LookUp(user_id) as look_up:
            return _ask_omdb(look_up, imdb_id)

    return mapping.omdb_data(cache.fetch(_key("omdb", imdb_id), ask))


def cache_info() -> CacheInfo:
    return CacheInfo(len(cache), cache.size, int(cache.seconds))


def fill_from_cache(imdb_id: str) -> bool:
    """Fill a title that nobody has looked up yet with what was looked up just now, say while
    searching for it; whether there was anything. Call inside the transaction that adds the film."""
    found = {"tmdb": cache.get(_key("title", imdb_id)), "omdb": cache.get(_key("omdb", imdb_id))}
    title = Title.get_by_id(imdb_id)
    known = [
        provider
        for provider in found
        if found[provider] and getattr(title, f"{provider}_state") == "stub"
    ]
    filled = [name for name in known if _fill(name, imdb_id, found[name]) is None]
    return bool(filled)


def refresh(imdb_id: str, user_id: str = "") -> Updated:
    """Ask both providers about a film that some library holds.

    What was fetched, or found missing, within the hour counts as asked. What the worker is about to
    look up moves to the head of its queue and is waited for. Raises ProviderError or UnavailableError
    where neither provider told anything.
    """
    if not any(map(pauses.key, pauses.PROVIDERS)):
        raise UnavailableError("TMDB API key not configured")
    with LookUp(user_id) as look_up:
        if not _is_settled(imdb_id):
            look_up.sit(pauses.NAMES[_providers()[0]])
        with _turn(imdb_id, look_up):
            if not _is_settled(imdb_id):
                _let_worker(imdb_id, look_up)
            problems = [_refresh_at(look_up, provider, imdb_id) for provider in _providers()]
    updated = Updated(tmdb=_is_fresh(imdb_id, "tmdb"), omdb=_is_fresh(imdb_id, "omdb"))
    if not (updated.tmdb or updated.omdb):
        raise next(problem for problem in problems if problem)
    return updated


@contextlib.contextmanager
def _turn(imdb_id: str, look_up: LookUp) -> Iterator[None]:
    """One refresh of a film at a time: the second one finds what the first one fetched."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_key_locks.hold(imdb_id, look_up.left()))
        except TimeoutError:
            message = "This film is already being looked up. Try again in a minute."
            raise UnavailableError(message) from None
        yield


def _is_settled(imdb_id: str) -> bool:
    return all(_is_fresh(imdb_id, name) or _missing(imdb_id, name) for name in _providers())


def _providers() -> list[str]:
    return [provider for provider in pauses.PROVIDERS if pauses.key(provider)]


def _is_fresh(imdb_id: str, provider: str) -> bool:
    state, fetched_at = _state(imdb_id, provider)
    # Of the future: while the clock was ahead.
    recent = fetched_at is not None and abs(clock.now() - fetched_at) < cache.seconds
    return state == "ready" and recent


def _missing(imdb_id: str, provider: str) -> str | None:
    return enrichment_queue.missing_lately(provider, imdb_id, cache.seconds)


def _state(imdb_id: str, provider: str) -> tuple[str, float | None]:
    fields = Title._meta.fields
    columns = (fields[f"{provider}_state"], fields[f"{provider}_fetched_at"])
    return Title.select(*columns).where(Title.imdb_id == imdb_id).tuples().get()


def _let_worker(imdb_id: str, look_up: LookUp) -> None:
    """To the head of the queue; and where a worker works on it now, its look-up serves here too."""
    with db.atomic():
        Title.update(wanted_at=clock.now()).where(Title.imdb_id == imdb_id).execute()
    if heartbeat.worker_is_late() or "tmdb" not in pauses.askable():
        return
    deadline = min(look_up.deadline, time.monotonic() + SHARE_SECONDS)
    running = Job.select(Job.id).where((Job.kind == "enrich") & (Job.state == "running"))
    awaited = enrichment_queue.all_due("tmdb").where(
        (Title.imdb_id == imdb_id) & fn.EXISTS(running)
    )
    while time.monotonic() < deadline and awaited.exists():
        time.sleep(LOOK_AGAIN)


def _refresh_at(
    look_up: LookUp, provider: str, imdb_id: str
) -> ProviderError | UnavailableError | None:
    """Ask, and store the answer as the worker would; the problem, where there was one."""
    if _is_fresh(imdb_id, provider):
        return None
    if reason := _missing(imdb_id, provider):
        return ProviderError(reason)
    title = enrichment_queue.one(provider, imdb_id)
    try:
        if provider == "omdb":
            body = _ask_omdb(look_up, imdb_id)
        else:
            body = _ask_tmdb(look_up, imdb_id, look_up.deadline - SPARE_SECONDS)
    except (ProviderError, UnavailableError) as problem:
        if isinstance(problem.__cause__, client.Error):
            with db.atomic():
                _store_failure(provider, title, problem.__cause__)
        return problem
    with db.atomic():
        if unusable := _fill(provider, imdb_id, body):
            return unusable
        Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title == imdb_id).execute()
    return None


def _fill(provider: str, imdb_id: str, body: dict) -> ProviderError | None:
    """Call inside a transaction. The problem, where the body cannot be stored: then the title is as
    after any failure."""
    code = enrichment_queue.fill_apart(provider, enrichment_queue.one(provider, imdb_id), body)
    if code is None:
        return None
    return ProviderError(
        f"{pauses.NAMES[provider]}'s answer cannot be stored (code {code} in the log)."
    )


def _store_failure(provider: str, title: enrichment_queue.Due, error: client.Error) -> None:
    """What was filled before stays. A provider that does not answer is no title's fault: there the
    worker, which waits for longer, will ask."""
    if isinstance(error, client.NotFoundError) and title.state != "ready":
        enrichment_queue.mark_missing(provider, title.imdb_id, str(error))
    elif isinstance(error, client.TemporaryError) and not error.silent:
        enrichment_queue.mark_failed(provider, title, str(error))


def _ask_tmdb(look_up: LookUp, imdb_id: str, deadline: float) -> dict:
    return _ask(look_up, "tmdb", lambda: tmdb.look_up(_tmdb_account(deadline), imdb_id))


def _ask_omdb(look_up: LookUp, imdb_id: str) -> dict:
    """The calls are counted against the day's limit, of which some are kept for here."""
    now = config.current
    account = omdb.Account(
        now.omdb_api_key,
        now.omdb_base_url,
        limits.omdb_interactive,
        TRIES,
        look_up.deadline,
    )
    try:
        return _ask(look_up, "omdb", lambda: omdb.look_up(account, imdb_id))
    finally:
        if calls := limits.omdb_interactive.newly_started():
            with db.atomic():
                pauses.count_omdb_calls(calls)


def _tmdb(look_up: LookUp, path: str, **params: str) -> dict:
    def ask() -> dict:
        account = _tmdb_account(look_up.deadline)
        return _ask(look_up, "tmdb", lambda: tmdb.fetch(account, path, **params))

    return cache.fetch(_key(path, *sorted(params.items())), ask)


def _discovered(look_up: LookUp, **params: str) -> dict:
    popular = {"sort_by": "popularity.desc", "include_adult": "false"}
    return _tmdb(look_up, "/discover/movie", **popular, **params)


def _discover(look_up: LookUp, **params: str) -> list[SearchResult]:
    return _films(_discovered(look_up, **params))


def _films(body: dict) -> list[SearchResult]:
    """Of a page of TMDB's results, and nothing else that may be on it."""
    return [row for row in mapping.results(body, "movie") if row.mediaType == "movie"]


def _genres(body: dict) -> dict[str, int]:
    """Their numbers, by their folded names."""
    genres = body.get("genres")
    rows = [row for row in genres if isinstance(row, dict)] if isinstance(genres, list) else []
    named = ((fold(str(row.get("name"))), row.get("id")) for row in rows)
    return {name: number for name, number in named if isinstance(number, int)}


def _genre_ids(genres: dict[str, int], wanted: str) -> list[int]:
    if wanted in genres:
        return [genres[wanted]]
    return [number for name, number in genres.items() if wanted in name]


def _released_within(days: int, is_ahead: bool) -> dict[str, str]:
    today = clock.local(clock.now(), config.current.zone).date()
    first, last = (1, days) if is_ahead else (-days, 0)
    return {
        "release_date.gte": str(today + timedelta(days=first)),
        "release_date.lte": str(today + timedelta(days=last)),
    }


def _tmdb_account(deadline: float) -> tmdb.Account:
    now = config.current
    return tmdb.Account(
        now.tmdb_api_key,
        now.tmdb_base_url,
        now.tmdb_language,
        limits.tmdb_interactive,
        TRIES,
        deadline,
    )


def _key(*parts) -> tuple:
    now = config.current
    return (now.tmdb_base_url, now.tmdb_language, now.omdb_base_url, *parts)


def _ask(look_up: LookUp, provider: str, ask: Callable[[], dict]) -> dict:
    """Raises ProviderError or UnavailableError, from the client's own error."""
    name, url = pauses.NAMES[provider], pauses.url(provider)
    if not pauses.key(provider):
        raise UnavailableError(f"{name} API key not configured")
    if words := pauses.refusal(provider) or silence.words(url):
        raise UnavailableError(words)
    look_up.sit(name)
    # While waiting for the seat, another one may have found that the provider is silent.
    if words := silence.claim(url):
        raise UnavailableError(words)
    try:
        body = ask()
    except client.Error as error:
        _hear(provider, error)
        if error.status is not None and error.status >= 400:
            raise ProviderError(f"{name} API error: {error.status}") from error
        if isinstance(error, client.NotFoundError) or error.status is not None:
            raise ProviderError(str(error)) from error
        raise UnavailableError(str(error)) from error
    silence.forget(url)
    return body


def _hear(provider: str, error: client.Error) -> None:
    """Remember silence; any answer ends it."""
    if isinstance(error, client.TemporaryError) and error.silent:
        log.warning("provider.silent", provider=provider, reason=error)
        silence.remember(pauses.url(provider), f"{error} Try again in a minute.")
    elif not isinstance(error, client.NotAskedError):
        silence.forget(pauses.url(provider))

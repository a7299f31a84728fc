"""Requests to TMDB and OMDb for somebody who waits: at their own pace, within the
limits of lookup_slots, and cached for an hour.

Errors become ProviderError (502) when the provider answered with one, and
UnavailableError (503) when it did not answer, is paused, or has no key.
"""

from collections.abc import Callable

from mm import caches, config, log
from mm.database import db
from mm.errors import ProviderError, UnavailableError
from mm.providers import client, limits, omdb, tmdb
from mm.providers.cache import Cache
from mm.services.enrichment import pauses
from mm.services.enrichment.lookup_slots import LookUp, silent_providers

TRIES = 2

cache = Cache(size=500, seconds=3600)
caches.register(cache.clear)


def cache_key(*parts) -> tuple:
    """Answers of another server, or in another language, are other answers."""
    now = config.current
    return (now.tmdb_base_url, now.tmdb_language, now.omdb_base_url, *parts)


def title_key(imdb_id: str, link: tmdb.Link | None = None) -> tuple:
    """What the cache calls TMDB's details of a title; `link`: what was chosen for it."""
    return cache_key("details", *link) if link else cache_key("title", imdb_id)


def tmdb_page(look_up: LookUp, path: str, **params: str) -> dict:
    """TMDB's body for any path, cached."""

    def ask() -> dict:
        account = _tmdb_account(look_up.deadline)
        return _ask(look_up, "tmdb", lambda: tmdb.fetch(account, path, **params))

    return cache.fetch(cache_key(path, *sorted(params.items())), ask)


def tmdb_details(look_up: LookUp, media_type: str, tmdb_id: int) -> dict:
    """TMDB's body with credits and external ids, by TMDB's own id."""
    account = _tmdb_account(look_up.deadline)
    return _ask(look_up, "tmdb", lambda: tmdb.details(account, media_type, tmdb_id))


def tmdb_title(
    look_up: LookUp,
    imdb_id: str,
    deadline: float | None = None,
    link: tmdb.Link | None = None,
) -> dict:
    """As `tmdb_details`, by the IMDb id, or by the `link` that was chosen for it. `deadline`: one
    before that of the whole look-up."""
    account = _tmdb_account(look_up.deadline if deadline is None else deadline)
    return _ask(look_up, "tmdb", lambda: tmdb.look_up(account, imdb_id, link))


def omdb_title(look_up: LookUp, imdb_id: str) -> dict:
    """OMDb's body. The calls count towards the daily limit, part of which is reserved for these."""
    now = config.current
    account = omdb.Account(
        key=now.omdb_api_key,
        base_url=now.omdb_base_url,
        limiter=limits.omdb_interactive,
        tries=TRIES,
        deadline=look_up.deadline,
    )
    try:
        return _ask(look_up, "omdb", lambda: omdb.look_up(account, imdb_id))
    finally:
        if calls := limits.omdb_interactive.newly_started():
            with db.atomic():
                pauses.count_omdb_calls(calls)


def _tmdb_account(deadline: float) -> tmdb.Account:
    now = config.current
    return tmdb.Account(
        key=now.tmdb_api_key,
        base_url=now.tmdb_base_url,
        language=now.tmdb_language,
        limiter=limits.tmdb_interactive,
        tries=TRIES,
        deadline=deadline,
    )


def _ask(look_up: LookUp, provider: str, ask: Callable[[], dict]) -> dict:
    """Call `ask` where the provider may be asked, and turn the client's errors into
    those of this module."""
    name, account = pauses.NAMES[provider], pauses.account(provider)
    if not pauses.key(provider):
        raise UnavailableError(f"{name} API key not configured")
    if message := pauses.refusal(provider) or silent_providers.message(account):
        raise UnavailableError(message)
    look_up.acquire_slot(name)
    # While this one waited for a slot, another may have found that the provider is silent.
    if message := silent_providers.claim_retry(account):
        raise UnavailableError(message)
    try:
        body = ask()
    except client.Error as error:
        if isinstance(error, client.TemporaryError) and error.silent:
            log.warning("provider.silent", provider=provider, reason=error)
            silent_providers.remember(account, f"{error} Try again in a minute.")
        elif not isinstance(error, client.NotAskedError):
            silent_providers.forget(account)
        if error.status is not None and error.status >= 400:
            raise ProviderError(f"{name} API error: {error.status}") from error
        if isinstance(error, client.NotFoundError) or error.status is not None:
            raise ProviderError(str(error)) from error
        raise UnavailableError(str(error)) from error
    silent_providers.forget(account)
    return body

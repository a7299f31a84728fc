"""TMDB v3: a film or series by its IMDb id. https://developer.themoviedb.org/reference/find-by-id"""

from dataclasses import dataclass
from typing import NamedTuple

from mm.providers import client
from mm.providers.client import Answer, NotFoundError, TemporaryError, WrongKeyError
from mm.providers.limits import RateLimiter

APPENDED = "credits,external_ids"
# Lists of /find with other things than films and series, and what to say about those.
OTHER_KINDS = {
    "tv_episode_results": "This is an episode of a series, which TMDB can’t look up by IMDb ID.",
    "tv_season_results": "This is a season of a series, which TMDB can’t look up by IMDb ID.",
    "person_results": "This is a person, not a film.",
}
KINDS = {"movie": "film", "tv": "series"}


class Link(NamedTuple):
    """A film or series by TMDB's own id. `media_type`: movie or tv."""

    media_type: str
    tmdb_id: int


@dataclass(frozen=True)
class Account:
    """`key` is a v3 key, or a read token (which begins with eyJ)."""

    key: str
    base_url: str
    language: str
    limiter: RateLimiter
    tries: int = 4
    # Of time.monotonic(), for all of a look-up.
    deadline: float | None = None


def look_up(account: Account, imdb_id: str, link: Link | None = None) -> dict:
    """The details with credits and external ids, and `media_type`, "movie" or "tv". `link`: what
    is asked for in place of the IMDb id.

    Raises NotFoundError, WrongKeyError, OverLimitError or TemporaryError.
    """
    if link:
        return _linked(account, link)
    found = fetch(account, f"/find/{imdb_id}", external_source="imdb_id")
    for name, media_type in (("movie_results", "movie"), ("tv_results", "tv")):
        results = found.get(name)
        first = results[0] if isinstance(results, list) and results else None
        tmdb_id = first.get("id") if isinstance(first, dict) else None
        if tmdb_id and isinstance(tmdb_id, int):
            return details(account, media_type, tmdb_id)
    others = [text for name, text in OTHER_KINDS.items() if found.get(name)]
    raise NotFoundError(others[0] if others else "TMDB has no film or series with this IMDb ID.")


def details(account: Account, media_type: str, tmdb_id: int) -> dict:
    """As look_up(), by TMDB's own id."""
    body = fetch(account, f"/{media_type}/{tmdb_id}", append_to_response=APPENDED)
    return {**body, "media_type": media_type}


def _linked(account: Account, link: Link) -> dict:
    try:
        return details(account, *link)
    except NotFoundError as error:
        if error.status != 404:
            raise
        what = f"{KINDS[link.media_type]} {link.tmdb_id}"
        message = f"TMDB has no {what}, which an administrator chose for this title."
        raise NotFoundError(message) from error


def fetch(account: Account, path: str, **params: str) -> dict:
    """The answer to GET `path` with `params`. Raises as look_up()."""
    is_token = account.key.startswith("eyJ")
    if is_token and not account.key.isascii():
        raise WrongKeyError("The TMDB key has invalid characters.")
    headers = {"Authorization": f"Bearer {account.key}"} if is_token else {}
    params |= {"language": account.language} | ({} if is_token else {"api_key": account.key})
    url = account.base_url.rstrip("/") + path

    def ask() -> dict:
        answer = client.get("TMDB", url, params, account.limiter, headers, account.deadline)
        return client.checked(answer, lambda answer: _read(answer, account.key))

    return client.retried(ask, account.limiter, account.tries, account.deadline)


def _read(answer: Answer, key: str) -> dict:
    body = client.decoded(answer.content)
    if answer.status == 429:
        raise TemporaryError("Too many requests to TMDB.", answer.retry_after, too_fast=True)
    if answer.status >= 500 or not isinstance(body, dict):
        what = "" if isinstance(body, dict) else ", and not with JSON"
        raise TemporaryError(f"TMDB answered with {answer.status}{what}.", answer.retry_after)
    if answer.status == 200:
        return body
    reason = client.reason(body.get("status_message", answer.status), key)
    if answer.status == 401:
        raise WrongKeyError(f"TMDB rejected the key: {reason}")
    raise NotFoundError(f"TMDB answered with {answer.status}: {reason}")

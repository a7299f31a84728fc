"""OMDb: ratings of a film by its IMDb id. https://www.omdbapi.com/"""

import json
from dataclasses import dataclass

from mm.providers import client
from mm.providers.client import Answer, NotFoundError, OverLimitError, TemporaryError, WrongKeyError
from mm.providers.limits import RateLimiter

# Both have the same status; only the message differs.
LIMIT_WORDS = "limit reached"
KEY_WORDS = "api key"


@dataclass(frozen=True)
class Account:
    key: str
    base_url: str
    limiter: RateLimiter
    tries: int = 4
    # Of time.monotonic(), for all of a look-up.
    deadline: float | None = None


def look_up(account: Account, imdb_id: str) -> dict:
    """OMDb's answer, in which every value is a string and a missing one "N/A".

    Raises NotFoundError, WrongKeyError, OverLimitError (its daily limit) or TemporaryError.
    """
    params = {"apikey": account.key, "i": imdb_id}

    def ask() -> dict:
        url, deadline = account.base_url, account.deadline
        answer = client.get("OMDb", url, params, account.limiter, deadline=deadline)
        return client.checked(answer, lambda answer: _read(answer, account.key))

    return client.retried(ask, account.limiter, account.tries, account.deadline)


def _read(answer: Answer, key: str = "") -> dict:
    # Leniently, because OMDb leaves control characters and stray bytes in its strings. None for
    # what is no JSON object, or could not be stored as one.
    body: dict | None = None
    try:
        value = json.loads(answer.content.decode("utf-8", "replace"), strict=False)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        body = value if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        pass
    error = client.reason(body.get("Error", ""), key) if body else ""
    if LIMIT_WORDS in error.lower():
        raise OverLimitError(f"OMDb says: {error}")
    if (answer.status == 401 and body) or KEY_WORDS in error.lower():
        raise WrongKeyError(f"OMDb rejected the key: {error}")
    if answer.status == 429:
        raise TemporaryError("Too many requests to OMDb.", answer.retry_after, too_fast=True)
    # Outages are HTML pages, some of them with status 200.
    is_page = not answer.content.strip() or answer.content.lstrip().startswith(b"<")
    if answer.status >= 400 or is_page:
        raise TemporaryError(
            f"OMDb answered with {answer.status} and a page instead of ratings.", answer.retry_after
        )
    if body is None:
        # Some titles have been answered so for years: they count as titles without ratings.
        raise NotFoundError("OMDb’s answer for this title can’t be read.")
    if body.get("Response") == "False":
        raise NotFoundError(f"OMDb says: {error}")
    return body

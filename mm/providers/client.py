"""HTTP for the clients of TMDB and OMDb: one session, up to four tries, and errors without the
key."""

import logging
import random
import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import sleep
from typing import Any, NamedTuple, TypeVar

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

from mm import clock, log
from mm.providers.limits import CONNECTIONS, NoSlotError, RateLimiter

CONNECT_SECONDS = 5
# Between two parts of an answer, and for a whole answer.
READ_SECONDS = 15
WHOLE_SECONDS = 60
# A request is not started with less time before its deadline: a missing answer would then say
# nothing about the provider.
DEADLINE_MARGIN_SECONDS = 1
CHUNK_BYTES = 2**16
BYTES_MAX = 16 * 2**20
BACKOFF_SECONDS = (1, 2, 4)
# A longer pause than this is not waited for: everybody leaves the provider alone meanwhile.
PATIENCE_SECONDS = 60
REASON_MAX = 200
KEY = re.compile(r"\b(api_?key=)[^&\s\"'<>)]+", re.IGNORECASE)

INCOMPLETE_ERRORS = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.DecodeError,
)

Result = TypeVar("Result")


class Error(Exception):
    """Why a look-up failed, in words that may be shown: no URL, no key. `status`: the HTTP status,
    where there was an answer."""

    status: int | None = None


class WrongKeyError(Error):
    """Nothing works until the key is changed."""


class NotFoundError(Error):
    """The provider does not have the title. Another try soon is useless."""


class OverLimitError(Error):
    """The provider must not be asked for `retry_after` seconds; None: until its next day."""

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class TemporaryError(Error):
    """Worth another try. `too_fast`: the provider answered 429, so all requests have to slow down.
    `silent`: it did not answer at all."""

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        too_fast: bool = False,
        silent: bool = False,
    ):
        super().__init__(message)
        self.retry_after = retry_after
        self.too_fast = too_fast
        self.silent = silent


class NotAskedError(Error):
    """The deadline passed before the request could start. Says nothing about the title."""


class TooLargeError(ValueError):
    """The answer is larger than any that a provider sends about a title."""


class Answer(NamedTuple):
    """`retry_after` in seconds, where the provider gave one."""

    status: int
    content: bytes
    retry_after: float | None


class _Redact(logging.Filter):
    """Hides keys in what urllib3 logs: whole URLs, at level DEBUG and about malformed headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = KEY.sub(r"\1…", record.getMessage()), ()
        return True


for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_Redact())


_session = requests.Session()
for _scheme in ("https://", "http://"):
    _session.mount(_scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))


def get(
    provider: str,
    url: str,
    params: dict,
    limiter: RateLimiter,
    headers: dict | None = None,
    deadline: float | None = None,
) -> Answer:
    """One try. Raises TemporaryError when no complete answer came.

    `deadline`, of time.monotonic(): when the answer must be complete. Raises NotAskedError when
    `limiter` has no slot DEADLINE_MARGIN_SECONDS before it.
    """
    latest_start = None if deadline is None else deadline - DEADLINE_MARGIN_SECONDS
    try:
        if latest_start is not None and time.monotonic() > latest_start:
            raise NoSlotError
        with limiter.slot(latest_start):
            seconds = WHOLE_SECONDS if deadline is None else max(0.01, deadline - time.monotonic())
            ends_at = time.monotonic() + seconds
            timeout = (min(CONNECT_SECONDS, seconds), min(READ_SECONDS, seconds))
            with _session.get(
                url, params=params, headers=headers, timeout=timeout, stream=True
            ) as response:
                body = read_body(response, ends_at, BYTES_MAX)
                pause = retry_after_seconds(response.headers.get("Retry-After", ""))
                return Answer(response.status_code, body, pause)
    except NoSlotError:
        problem: Error = NotAskedError(slow(provider))
    except TooLargeError:
        problem = TemporaryError(f"{provider} answered with more than {BYTES_MAX >> 20} MiB.")
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        problem = TemporaryError(f"{provider} did not answer in time.", silent=True)
    except INCOMPLETE_ERRORS:
        problem = TemporaryError(f"{provider} broke off in the middle of its answer.")
    except ValueError:
        # A URL that cannot be used raises several errors, all of which are ValueErrors.
        name = f"{provider.upper()}_BASE_URL"
        text = f"{provider} cannot be asked: {name} is no usable address."
        problem = TemporaryError(text, silent=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        kind = type(error).__name__
        problem = TemporaryError(f"{provider} could not be reached ({kind}).", silent=True)
    # Raised here and not above: those exceptions carry the URL, and with it the key.
    raise problem


def read_body(response: requests.Response, deadline: float, limit: int) -> bytes:
    """The body of a streamed response. Raises urllib3's errors, its ReadTimeoutError at the
    deadline, and TooLargeError above `limit` bytes.

    Not with iter_content, which waits for a whole chunk, so that the deadline would not hold for
    bytes that trickle.
    """
    raw: Any = response.raw
    parts: list[bytes] = []
    size = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise urllib3.exceptions.ReadTimeoutError(raw._pool, "", "The deadline has passed.")
        if raw.connection is not None and raw.connection.sock is not None:
            raw.connection.sock.settimeout(min(READ_SECONDS, left))
        part = raw.read1(CHUNK_BYTES, decode_content=True)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > limit:
            raise TooLargeError


def retried(
    ask: Callable[[], Result],
    limiter: RateLimiter,
    tries: int,
    deadline: float | None = None,
) -> Result:
    """The result of `ask`, tried again after 1, 2 and 4 seconds, or after the pause the provider
    asked for: up to `tries` (4) times in all, and while a wait ends before the deadline.

    Each try takes its own slot of `limiter`. Raises OverLimitError instead of TemporaryError when
    the provider asks for a long pause, or answers 429 to the last try too.
    """
    for backoff in BACKOFF_SECONDS[: tries - 1]:
        try:
            return ask()
        except TemporaryError as error:
            # Jitter, because threads that fail together would come back together.
            if error.retry_after is None:
                wait = backoff * random.uniform(1, 1.5)  # noqa: S311
            elif error.retry_after > PATIENCE_SECONDS:
                raise _over_limit(error, error.retry_after) from None
            else:
                wait = error.retry_after + random.uniform(0.1, 0.5)  # noqa: S311
            if error.too_fast:
                limiter.hold_back(wait)
            latest_start = None if deadline is None else deadline - DEADLINE_MARGIN_SECONDS
            if latest_start is not None and time.monotonic() + wait > latest_start:
                raise
        sleep(wait)
    try:
        return ask()
    except TemporaryError as error:
        if error.too_fast:
            raise _over_limit(error, max(error.retry_after or 0, PATIENCE_SECONDS)) from None
        raise


def checked(answer: Answer, read: Callable[[Answer], Result]) -> Result:
    """`read(answer)`, whose errors are given the answer's HTTP status."""
    try:
        return read(answer)
    except Error as error:
        error.status = answer.status
        raise


def decoded(content: bytes):
    """The value of a JSON body, or None for anything else."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def reason(text: object, key: str = "") -> str:
    """A provider's message on one line, shortened, and without the key or any other secret."""
    words = " ".join(str(text).split())
    if len(key) >= log.SECRET_MIN:
        words = words.replace(key, log.HIDDEN)
    return log.redact(words)[:REASON_MAX]


def slow(provider: str) -> str:
    return f"{provider} is slow right now. Try again in a minute."


def _over_limit(error: TemporaryError, seconds: float) -> OverLimitError:
    over = OverLimitError(str(error), seconds)
    over.status = error.status
    return over


def retry_after_seconds(header: str) -> float | None:
    """A Retry-After header is a number of seconds or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - clock.now())

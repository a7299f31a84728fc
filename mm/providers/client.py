"""What the clients of TMDB and OMDb share: one session, four tries, and errors that never show a
key."""

import logging
import random
import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import sleep
from typing import NamedTuple, TypeVar

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

from mm import clock, log
from mm.providers.limits import CONNECTIONS, NoSlotError, RateLimiter

CONNECT_SECONDS = 5
# Without a byte; and for a whole answer, however slowly its bytes come.
READ_SECONDS = 15
WHOLE_SECONDS = 60
# A request that has less than this before its deadline is not begun: that the answer did not come
# would say nothing about the provider.
FAIR_SECONDS = 1
CHUNK = 2**16
BYTES_MAX = 16 * 2**20
BACKOFF = (1, 2, 4)
# A provider that asks for a longer pause than this is left alone by everybody, not waited for.
PATIENCE = 60
REASON_MAX = 200
KEY = re.compile(r"\b(api_?key=)[^&\s\"'<>)]+", re.IGNORECASE)

BROKEN_OFF = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.DecodeError,
)

Result = TypeVar("Result")


class Error(Exception):
    """What a provider answered, in words that may be shown: no URL, no key. `status`: that of its
    answer, where there was one."""

    status: int | None = None


class WrongKeyError(Error):
    """Nothing works until the key is changed."""


class NotFoundError(Error):
    """The provider has no such title. Asking again soon is of no use."""


class OverLimitError(Error):
    """The provider will not be asked for `retry_after` seconds; None: until its next day."""

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class TemporaryError(Error):
    """Worth another try. `too_fast`: the provider said 429, so everybody has to slow down.
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
    """The deadline passed before it was this look-up's turn: this says nothing about the title."""


class TooLargeError(ValueError):
    """The answer is larger than anything that a provider sends about a title."""


class Answer(NamedTuple):
    """`retry_after` in seconds, where the provider gave one."""

    status: int
    content: bytes
    retry_after: float | None


class _Redact(logging.Filter):
    """urllib3 logs whole URLs, at level debug and for odd headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = KEY.sub(r"\1…", record.getMessage()), ()
        return True


for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_Redact())


def _new_session() -> requests.Session:
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    return session


_session = _new_session()


def get(
    provider: str,
    url: str,
    params: dict,
    limiter: RateLimiter,
    headers: dict | None = None,
    deadline: float | None = None,
) -> Answer:
    """One paced try. Raises TemporaryError when no whole answer came.

    `deadline`, of time.monotonic(): when the answer must be whole. Raises NotAskedError when there is no
    turn FAIR_SECONDS before it.
    """
    latest = None if deadline is None else deadline - FAIR_SECONDS
    try:
        if latest is not None and time.monotonic() > latest:
            raise NoSlotError
        with limiter.turn(latest):
            return _ask(url, params, headers, deadline)
    except NoSlotError:
        problem: Error = NotAskedError(slow(provider))
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        problem = _problem(provider, error)
    # Raised here and not above: those exceptions carry the URL, and with it the key.
    raise problem


def read_body(response: requests.Response, deadline: float, limit: int) -> bytes:
    """The body of a streamed response. Raises urllib3's errors, its ReadTimeoutError at the
    deadline, and TooLargeError above `limit` bytes.

    iter_content waits for a whole chunk, so bytes that trickle would never meet the deadline.
    """
    parts, size = [], 0
    while part := _next_part(response.raw, deadline):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise TooLargeError
    return b"".join(parts)


def retried(
    ask: Callable[[], Result],
    limiter: RateLimiter,
    tries: int,
    deadline: float | None = None,
) -> Result:
    """The outcome of `ask`, which is tried again after 1, 2 and 4 seconds, or after what the
    provider asked for; up to `tries` (4) times in all, and only where a wait ends before the
    deadline.

    Each try takes its own turn in the pace. Raises OverLimitError instead of TemporaryError when the provider
    asks for a long pause, or still says that it is asked too often.
    """
    for backoff in BACKOFF[: tries - 1]:
        try:
            return ask()
        except TemporaryError as error:
            wait = _wait(error, backoff)
            if error.too_fast:
                limiter.hold_back(wait)
            if deadline is not None and time.monotonic() + wait > deadline - FAIR_SECONDS:
                raise
        sleep(wait)
    try:
        return ask()
    except TemporaryError as error:
        if error.too_fast:
            raise _over_limit(error, max(error.retry_after or 0, PATIENCE)) from None
        raise


def checked(answer: Answer, read: Callable[[Answer], Result]) -> Result:
    """What `read` makes of an answer; its errors carry the answer's status."""
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
    """A provider's own words, short, on one line, and without the key or any other secret."""
    words = " ".join(str(text).split())
    if len(key) >= log.SECRET_MIN:
        words = words.replace(key, log.HIDDEN)
    return log.redact(words)[:REASON_MAX]


def slow(provider: str) -> str:
    return f"{provider} is slow right now. Try again in a minute."


def _ask(url: str, params: dict, headers: dict | None, deadline: float | None) -> Answer:
    left = WHOLE_SECONDS if deadline is None else max(0.01, deadline - time.monotonic())
    ends = time.monotonic() + left
    timeout = (min(CONNECT_SECONDS, left), min(READ_SECONDS, left))
    asked = _session.get(url, params=params, headers=headers, timeout=timeout, stream=True)
    with asked as response:
        body = read_body(response, ends, BYTES_MAX)
        return Answer(response.status_code, body, _seconds(response.headers.get("Retry-After", "")))


def _over_limit(error: TemporaryError, seconds: float) -> OverLimitError:
    over = OverLimitError(str(error), seconds)
    over.status = error.status
    return over


def _wait(error: TemporaryError, backoff: float) -> float:
    """Jitter, because threads that fail together would come back together."""
    if error.retry_after is None:
        return backoff * random.uniform(1, 1.5)  # noqa: S311
    if error.retry_after > PATIENCE:
        raise _over_limit(error, error.retry_after) from None
    return error.retry_after + random.uniform(0.1, 0.5)  # noqa: S311


def _next_part(raw, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise urllib3.exceptions.ReadTimeoutError(raw._pool, "", "The deadline has passed.")
    connection = raw.connection
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(min(READ_SECONDS, left))
    return raw.read1(CHUNK, decode_content=True)


def _problem(provider: str, error: Exception) -> TemporaryError:
    """In words. An address that cannot be used makes different errors, all of them ValueErrors."""
    if isinstance(error, TooLargeError):
        return TemporaryError(f"{provider} answered with more than {BYTES_MAX >> 20} MiB.")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return TemporaryError(f"{provider} did not answer in time.", silent=True)
    if isinstance(error, BROKEN_OFF):
        return TemporaryError(f"{provider} broke off in the middle of its answer.")
    if isinstance(error, ValueError):
        name = f"{provider.upper()}_BASE_URL"
        return TemporaryError(
            f"{provider} cannot be asked: {name} is no usable address.", silent=True
        )
    kind = type(error).__name__
    return TemporaryError(f"{provider} could not be reached ({kind}).", silent=True)


def _seconds(header: str) -> float | None:
    """Retry-After is a number of seconds or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - clock.now())

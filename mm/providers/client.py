"""What the clients of TMDB and OMDb share: one session, four tries, and errors that never show a key."""

import logging
import random
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import sleep
from typing import NamedTuple, TypeVar

import msgspec
import requests
from requests.adapters import HTTPAdapter

from mm import clock
from mm.providers.limits import CONNECTIONS, Pace

CONNECT_SECONDS = 5
READ_SECONDS = 15
BACKOFF = (1, 2, 4)
# A provider that asks for a longer pause than this is left alone by everybody, not waited for.
PATIENCE = 60
REASON_MAX = 200
KEY = re.compile(r"\b(api_?key=)[^&\s\"'<>)]+", re.IGNORECASE)

Result = TypeVar("Result")


class Error(Exception):
    """What a provider answered, in words that may be shown: no URL, no key. `status`: that of its answer, where there
    was one."""

    status: int | None = None


class WrongKey(Error):
    """Nothing works until the key is changed."""


class NotFound(Error):
    """The provider has no such title. Asking again soon is of no use."""


class OverLimit(Error):
    """The provider will not be asked for `retry_after` seconds; None: until its next day."""

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class Temporary(Error):
    """Worth another try. `too_fast`: the provider said 429, so everybody has to slow down."""

    def __init__(self, message: str, retry_after: float | None = None, too_fast: bool = False):
        super().__init__(message)
        self.retry_after = retry_after
        self.too_fast = too_fast


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


def get(provider: str, url: str, params: dict, pace: Pace, headers: dict | None = None) -> Answer:
    """One paced try. Raises Temporary when no whole answer came."""
    try:
        with pace.turn():
            response = _session.get(url, params=params, headers=headers, timeout=(CONNECT_SECONDS, READ_SECONDS))
    except requests.RequestException as error:
        problem = _problem(error)
    else:
        return Answer(response.status_code, response.content, _seconds(response.headers.get("Retry-After", "")))
    # Raised here and not above: requests' exceptions carry the URL, and with it the key.
    raise Temporary(f"{provider} {problem}.")


def retried(ask: Callable[[], Result], pace: Pace, tries: int) -> Result:
    """The outcome of `ask`, which is tried again after 1, 2 and 4 seconds, or after what the provider asked for; up to
    `tries` (4) times in all.

    Each try takes its own turn in the pace. Raises OverLimit instead of Temporary when the provider asks for a long
    pause, or still says that it is asked too often.
    """
    for backoff in BACKOFF[: tries - 1]:
        try:
            return ask()
        except Temporary as error:
            wait = _wait(error, backoff)
            if error.too_fast:
                pace.hold_back(wait)
        sleep(wait)
    try:
        return ask()
    except Temporary as error:
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
    except (msgspec.DecodeError, RecursionError):
        return None


def reason(text: object) -> str:
    """A provider's own words, short and on one line."""
    return KEY.sub(r"\1…", " ".join(str(text).split()))[:REASON_MAX]


def _over_limit(error: Temporary, seconds: float) -> OverLimit:
    over = OverLimit(str(error), seconds)
    over.status = error.status
    return over


def _wait(error: Temporary, backoff: float) -> float:
    """Jitter, because threads that fail together would come back together."""
    if error.retry_after is None:
        return backoff * random.uniform(1, 1.5)  # noqa: S311
    if error.retry_after > PATIENCE:
        raise _over_limit(error, error.retry_after) from None
    return error.retry_after + random.uniform(0.1, 0.5)  # noqa: S311


def _problem(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "broke off in the middle of its answer"
    return f"could not be reached ({type(error).__name__})"


def _seconds(header: str) -> float | None:
    """Retry-After is a number of seconds or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - clock.now())

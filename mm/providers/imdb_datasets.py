"""IMDb's datasets, still compressed: a whole file, or the rest of one from a given byte.
https://developer.imdb.com/non-commercial-datasets/"""

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin

import requests
import urllib3

from mm import config, log
from mm.providers import client

CONNECT_SECONDS = 10
# After so long without a byte, an answer counts as broken off.
SILENT_SECONDS = 30
# So does one with fewer bytes in so many seconds: it would take days.
SLOW_SECONDS, SLOW_BYTES = 60, 2**15
# Bytes that never become an answer, or a part of a file, keep nobody longer than this.
NOTHING_SECONDS = 180
# The largest dataset has about 750 MB, and none of those used here more than 500 MB.
BYTES_MAX = 2 * 10**9
REDIRECTS_MAX = 5
PART_BYTES = 2**16
# How many of these parts may wait in memory.
WAITING_PARTS = 16
POLL_SECONDS = 0.5
GZIP = b"\x1f\x8b"
# What can be sent back: a host may break it over two lines, or make it longer than it takes.
ETAG = re.compile(r"[\x21-\x7e\x80-\xff]{1,200}")
CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,15})-\d{1,15}|\*)/(?:(\d{1,15})|\*)")
HOST = "The host of IMDb’s datasets"
LATE = f"{HOST} did not answer in time."
TOO_LARGE = f"{HOST} sent more data than any dataset has."
UNUSABLE = "IMDB_DATASETS_URL is not a usable address, or redirects to one that is not."
PORTAL = (
    "The address of IMDb’s datasets answered with something other than a dataset. Is there a "
    "log-in page between this server and the internet?"
)
NETWORK_LOG_IN = 511
TOO_EARLY_OR_MANY = (408, 425, 429)


class Answer(NamedTuple):
    """`status`: 200 for the whole file, 206 for one from `start` on, 304 for none that is new,
    416 where the file has no byte `start`. `size`: of the whole file, where the host tells it.
    `etag` is empty where the host has none."""

    status: int
    etag: str
    start: int
    size: int | None
    parts: Iterator[bytes]


class _Head(NamedTuple):
    status: int
    headers: Mapping[str, str]


@contextlib.contextmanager
def opened(
    name: str,
    look_up: Callable[[], None],
    *,
    known: str = "",
    start: int = 0,
    last: int | None = None,
    etag: str = "",
) -> Iterator[Answer]:
    """One try of the dataset `name`: nothing if `known` is its ETag; from the byte `start` to the
    byte `last`, if the host can and `etag` is its ETag.

    `look_up` is called at least twice a second, before and between the parts; what it raises ends
    the try. Raises client.TemporaryError where another try is worth it, and another client.Error
    where it is not; so does reading `parts`.
    """
    headers = {"Accept-Encoding": "identity"}
    if known:
        headers["If-None-Match"] = known
    if start or last is not None:
        headers["Range"] = f"bytes={start}-{'' if last is None else last}"
    if etag:
        headers["If-Range"] = etag
    url = f"{config.current.imdb_datasets_url.rstrip('/')}/{name}.tsv.gz"
    arrived: queue.Queue = queue.Queue(WAITING_PARTS)
    left = threading.Event()
    # In a thread of its own, because neither a look-up of the host's address nor a read that waits
    # can be ended from outside. It ends by itself, and has nothing but the connection.
    threading.Thread(target=_get, args=(url, headers, arrived, left), daemon=True).start()
    try:
        yield _answer(name, _next(arrived, look_up), _parts(arrived, look_up))
    finally:
        left.set()


def _get(url: str, headers: dict, arrived: queue.Queue, left: threading.Event) -> None:
    """Hand over a _Head, parts, and then None or the error that ended them."""
    with (
        log.caught() as attempt,
        requests.Session() as session,
        _followed(session, url, headers) as response,
    ):
        _hand_over(_Head(response.status_code, response.headers), arrived, left)
        raw: Any = response.raw
        # Not decoded: some hosts declare the gzip of the file itself as a Content-Encoding.
        while not left.is_set() and (part := raw.read1(PART_BYTES, decode_content=False)):
            _hand_over(part, arrived, left)
    _hand_over(attempt.error, arrived, left)


def _followed(session: requests.Session, url: str, headers: dict) -> requests.Response:
    """The answer after any redirects, whose bodies are not read."""
    for _ in range(REDIRECTS_MAX + 1):
        response = session.get(
            url,
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, SILENT_SECONDS),
        )
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers["Location"])
    raise requests.TooManyRedirects


def _hand_over(item: object, arrived: queue.Queue, left: threading.Event) -> None:
    """Wait until there is room, or until nobody reads any more."""
    while not left.is_set():
        with contextlib.suppress(queue.Full):
            arrived.put(item, timeout=POLL_SECONDS)
            break


def _next(arrived: queue.Queue, look_up: Callable[[], None]) -> Any:
    """What was handed over. Raises client.Error."""
    ends_at = time.monotonic() + NOTHING_SECONDS
    while True:
        look_up()
        if time.monotonic() > ends_at:
            raise client.TemporaryError(LATE, silent=True)
        with contextlib.suppress(queue.Empty):
            item = arrived.get(timeout=POLL_SECONDS)
            break
    if isinstance(item, Exception):
        # Without the error itself, which may name the address with a password.
        raise _explained(item) from None
    return item


def _explained(error: Exception) -> Exception:
    """In words for users. An unforeseen error stays as it is."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return client.TemporaryError(LATE, silent=True)
    if isinstance(error, client.INCOMPLETE_ERRORS):
        return client.TemporaryError(f"{HOST} closed the connection in the middle of a file.")
    if isinstance(error, requests.TooManyRedirects):
        return client.Error(f"{HOST} redirects too often.")
    # An address that cannot be used raises several errors, all of which are ValueErrors.
    if isinstance(error, ValueError):
        return client.Error(UNUSABLE)
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError | OSError):
        kind = type(error).__name__
        return client.TemporaryError(f"{HOST} could not be reached ({kind}).", silent=True)
    return error


def _answer(name: str, head: _Head, parts: Iterator[bytes]) -> Answer:
    status, headers = head
    start, size = 0, headers.get("Content-Length", "")
    # A whole file is one whatever else the host says of it.
    if status in (206, 416):
        match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if status == 206 and not (match and match[1]):
            raise client.Error(f"{HOST} sent part of a file without saying which part.")
        start, size = (int(match[1] or 0), match[2] or "") if match else (0, "")
    if status == NETWORK_LOG_IN:
        raise client.Error(PORTAL)
    if status >= 500 or status in TOO_EARLY_OR_MANY:
        pause = client.retry_after_seconds(headers.get("Retry-After", ""))
        raise client.TemporaryError(f"{HOST} answered with {status}.", pause)
    if status not in (200, 206, 304, 416):
        raise client.NotFoundError(f"{HOST} answered with {status} when asked for {name}.")
    etag = headers.get("ETag", "")
    checked = _checked(parts) if status in (200, 206) and start == 0 else parts
    return Answer(status, etag if ETAG.fullmatch(etag) else "", start, _size_of(size), checked)


def _size_of(text: str) -> int | None:
    """Raises client.Error for what no dataset has."""
    if not (text.isascii() and text.isdecimal()):
        return None
    if len(text) > len(str(BYTES_MAX)) or int(text) > BYTES_MAX:
        raise client.Error(TOO_LARGE)
    return int(text)


def _parts(arrived: queue.Queue, look_up: Callable[[], None]) -> Iterator[bytes]:
    recent = 0
    since = time.monotonic()
    while part := _next(arrived, look_up):
        recent += len(part)
        if time.monotonic() - since > SLOW_SECONDS:
            if recent < SLOW_BYTES:
                raise client.TemporaryError(f"{HOST} became too slow.")
            since, recent = time.monotonic(), 0
        yield part


def _checked(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same parts, if they begin like gzip. Raises client.Error."""
    head = b""
    for part in parts:
        head += part
        if len(head) >= len(GZIP):
            break
    if not head.startswith(GZIP):
        raise client.Error(PORTAL)
    yield head
    yield from parts

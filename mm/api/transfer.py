"""How answers are sent: compressed where the client accepts that, in pieces where they are long
(`mm.streaming`), and not at all where the client has them already."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

import msgspec
from flask import Response, request
from isal import igzip
from msgspec import Struct

from mm import __version__, auth, request_bodies, streaming

# Below one packet there is nothing to gain.
COMPRESS_FROM = 1400
JSON = "application/json"
COMPRESSED = (JSON, "text/csv", "text/html")
REFUSED_BEFORE_THE_BODY = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
REFUSED_SECONDS = 10


def conditional(state: str, make: Callable[[], Iterable[bytes]]) -> Response:
    """The JSON that `make` returns in pieces, with an ETag; 304 for a client that has it. `state`:
    a text that changes whenever the JSON does."""
    etag = hashlib.sha256(f"{__version__} {state}".encode()).hexdigest()[:32]
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304, mimetype=JSON)
    else:
        response = in_pieces(make())
    # Weak, because it stands for the compressed answer as well.
    response.set_etag(etag, weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def array(pieces: Iterable[list]) -> Iterator[bytes]:
    """Several lists of rows as the JSON of one list."""
    separator = b"["
    for rows in pieces:
        if rows:
            yield separator
            yield msgspec.json.encode(rows)[1:-1]
            separator = b","
    yield b"[]" if separator == b"[" else b"]"


def filled(answer: Struct, name: str, pieces: Iterable[list]) -> Iterator[bytes]:
    """The JSON of `answer`, with these rows in its list `name`, which is empty."""
    # Quotes inside a text are escaped, so this occurs only once.
    empty = f'"{name}":[]'.encode()
    before, _, after = msgspec.json.encode(answer).partition(empty)
    yield before + empty[:-2]
    yield from array(pieces)
    yield after


def in_pieces(parts: Iterable[bytes]) -> Response:
    """A JSON answer of any length."""
    return streaming.in_pieces(parts, JSON)


def drain_body(response: Response) -> Response:
    """Read the rest of a body that was refused before it had arrived, so that the connection can be
    used again: gunicorn drops an application's `Connection: close`.

    Not for clients that are not logged in, and only for REFUSED_SECONDS: those may never see the
    answer.
    """
    body = request.environ["wsgi.input"]
    may_be_unread = response.status_code in REFUSED_BEFORE_THE_BODY
    if may_be_unread and isinstance(body, request_bodies.Body) and auth.is_logged_in():
        body.drain(REFUSED_SECONDS)
    return response


def compress(response: Response) -> Response:
    """JSON, CSV and pages. What is streamed goes as it is, and static files are compressed already.

    A page holds no secret such as a form's token, which its compressed length could give away.
    """
    if (
        response.mimetype not in COMPRESSED
        or response.is_streamed
        or response.direct_passthrough
        or "Content-Encoding" in response.headers
    ):
        return response
    response.vary.add("Accept-Encoding")
    body = response.get_data()
    if len(body) >= COMPRESS_FROM and request.accept_encodings["gzip"] > 0:
        response.set_data(igzip.compress(body, streaming.LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    return response

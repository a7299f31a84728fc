"""How answers are sent: compressed where the client accepts that, in pieces where they are long,
and not at all where the client has them already."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

import msgspec
from flask import Response, request
from isal import igzip, isal_zlib
from msgspec import Struct
from peewee import DatabaseError, InterfaceError

from mm import __version__, auth, log, maintenance, request_bodies
from mm.database import data_version, db
from mm.errors import UnavailableError

# Below one packet there is nothing to gain.
COMPRESS_FROM = 1400
LEVEL = 2
# zlib's number for its largest window with a gzip header.
GZIP = 31
# A longer answer is streamed.
STREAM_FROM = 4 * 2**20
COMPRESSED = ("application/json", "text/html")
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
        response = Response(status=304, mimetype="application/json")
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
    """A JSON answer of any length; a long one is sent while it is made, so that it takes no more
    memory than its first pieces."""
    parts, head, size = iter(parts), [], 0
    for part in parts:
        head.append(part)
        size += len(part)
        if size >= STREAM_FROM:
            break
    else:
        return Response(b"".join(head), mimetype="application/json")
    is_zipped = request.accept_encodings["gzip"] > 0
    version = data_version(db.obj)
    pieces = _of_version(version, itertools.chain(head, parts))
    streamed = _after_request(pieces, request.endpoint, is_zipped)
    response = Response(streamed, mimetype="application/json")
    response.vary.add("Accept-Encoding")
    if is_zipped:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _after_request(
    parts: Iterable[bytes], endpoint: str | None, is_zipped: bool
) -> Iterator[bytes]:
    """The request has ended and closed its database connection, so reading on opens another one,
    which is closed here. An answer that breaks off cannot say why, so the log does."""
    try:
        if not is_zipped:
            yield from parts
            return
        packer = isal_zlib.compressobj(LEVEL, wbits=GZIP)
        for part in parts:
            if packed := packer.compress(part):
                yield packed
        yield packer.flush()
    except (DatabaseError, InterfaceError, UnavailableError) as error:
        log.unexpected("answer.broke_off", error, endpoint=endpoint)
        raise
    finally:
        db.close()


def _of_version(version: int | None, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Raises RestoredError where the connection that is opened anew meets restored data: the answer
    has begun with other rows."""
    for part in parts:
        if data_version(db.obj) != version:
            raise maintenance.RestoredError
        yield part


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
    """JSON and pages. What is streamed goes as it is, and static files are compressed already.

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
        response.set_data(igzip.compress(body, LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    return response

"""Answers of any length, sent while they are made."""

import itertools
from collections.abc import Iterable, Iterator

from flask import Response, request
from isal import isal_zlib
from peewee import DatabaseError, InterfaceError

from mm import log, maintenance
from mm.database import data_version, db
from mm.errors import UnavailableError

# Of gzip: the quickest that is worth it.
LEVEL = 2
# zlib's number for its largest window with a gzip header.
GZIP = 31
# A longer answer is streamed.
STREAM_FROM = 4 * 2**20


def in_pieces(parts: Iterable[bytes], mimetype: str) -> Response:
    """An answer of any length; a long one is sent while it is made, so that it takes no more memory
    than its first pieces."""
    parts, head, size = iter(parts), [], 0
    for part in parts:
        head.append(part)
        size += len(part)
        if size >= STREAM_FROM:
            break
    else:
        return Response(b"".join(head), mimetype=mimetype)
    is_zipped = request.accept_encodings["gzip"] > 0
    version = data_version(db.obj)
    pieces = _of_version(version, itertools.chain(head, parts))
    streamed = _after_request(pieces, request.endpoint, is_zipped)
    response = Response(streamed, mimetype=mimetype)
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

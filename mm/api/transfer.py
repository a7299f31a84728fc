"""How answers travel: compressed where the client takes that, and not at all where it has them already."""

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request
from isal import igzip

from mm import __version__

# Below one packet there is nothing to gain.
COMPRESS_FROM = 1400
LEVEL = 2
# Of a body that is refused. Beyond it the server closes the connection, and the client may never see the answer.
REFUSED_MAX = 256 * 2**20
PART = 2**16


def conditional(state: str, make: Callable[[], Any]) -> Response:
    """What `make` returns, as JSON with an ETag; 304 for who has it. `state`: a text that changes when that does."""
    etag = hashlib.sha256(f"{__version__} {state}".encode()).hexdigest()[:32]
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304, mimetype="application/json")
    else:
        response = Response(msgspec.json.encode(make()), mimetype="application/json")
    # Weak, because it stands for the compressed answer as well.
    response.set_etag(etag, weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def take_the_rest(response: Response) -> Response:
    """After a 413, so that the connection can go on: gunicorn drops the `Connection: close` of an application."""
    if response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and request.environ.get("wsgi.input_terminated"):
        body, taken = request.environ["wsgi.input"], 0
        while taken < REFUSED_MAX and (part := body.read(PART)):
            taken += len(part)
    return response


def compress(response: Response) -> Response:
    """Files that are streamed go as they are."""
    if response.mimetype != "application/json" or response.is_streamed or response.direct_passthrough:
        return response
    response.vary.add("Accept-Encoding")
    body = response.get_data()
    if len(body) >= COMPRESS_FROM and request.accept_encodings["gzip"] > 0:
        response.set_data(igzip.compress(body, LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    return response

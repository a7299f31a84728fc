"""How answers travel: compressed where the client takes that, and not at all where it has them already."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from flask import Response, request
from isal import igzip

from mm import __version__

# Below one packet there is nothing to gain.
COMPRESS_FROM = 1400
LEVEL = 2


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

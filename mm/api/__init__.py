"""The JSON API, on the same services as the pages."""

from flask import Blueprint, Flask, Response, request
from werkzeug.routing import BaseConverter

from mm import config
from mm.api import (
    accounts,
    auth,
    backup,
    collections,
    compat,
    docs,
    errors,
    external,
    health,
    lists,
    live,
    movies,
    people,
    ranking,
    sync,
    system,
    transfer,
    views,
)
from mm.auth import is_api

BLUEPRINTS = (
    health.bp,
    auth.bp,
    accounts.bp,
    movies.bp,
    people.bp,
    lists.bp,
    views.bp,
    ranking.bp,
    sync.bp,
    compat.bp,
    external.bp,
    backup.bp,
    collections.bp,
    system.bp,
)
CORS_METHODS = "GET, POST, PUT, DELETE"
CORS_HEADERS = "Authorization, Content-Type, If-None-Match"
CORS_EXPOSED = "Content-Disposition, ETag, Retry-After"
PREFLIGHT_SECONDS = 3600


class NameConverter(BaseConverter):
    """Matches the rest of a path: a name may hold slashes, also at its ends and several in a row.
    Werkzeug's `path` would redirect "//Bob" to "/Bob", who is another person."""

    regex = ".+?"
    part_isolating = False


def init_app(app: Flask) -> None:
    app.url_map.converters["name"] = NameConverter
    bp = Blueprint("api", __name__, url_prefix="/api")
    for child in BLUEPRINTS:
        bp.register_blueprint(child)
    errors.init_blueprint(bp)

    @bp.after_request
    def keep_private(response: Response) -> Response:
        """Tokens and libraries must not be cached; routes that serve files set their own header."""
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    app.register_blueprint(bp)
    app.register_blueprint(docs.bp)
    live.init_app(app)
    app.after_request(_allow_origins)
    # These two serve the pages as well, which also receive uploads that are too large.
    app.after_request(transfer.compress)
    app.after_request(transfer.drain_body)


def _allow_origins(response: Response) -> Response:
    """CORS for CORS_ORIGINS ("*" for any). Nothing but the token says who asks, so any origin may
    be named."""
    if not is_api() or not config.current.cors_origins:
        return response
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin and {"*", origin} & set(config.current.cors_origins):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
            response.headers["Access-Control-Allow-Headers"] = CORS_HEADERS
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response

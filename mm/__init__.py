"""Movie Manager: a household's film libraries, kept safe."""

from flask import Flask, Response, make_response, request
from werkzeug.exceptions import BadRequest

from mm import config as configuration
from mm import (
    log,
    maintenance,
    ownership,
    request_bodies,
    starting,
    static_files,
    stored_settings,
)
from mm.database import connect, db

__version__ = "0.2.0"


def create_app(config: configuration.Config | None = None) -> Flask:
    """The WSGI application. Opens no connection, and does not change the schema, which is for
    `flask --app mm upgrade`."""
    with starting.plainly():
        config = configuration.use(config or configuration.from_environ())
        ownership.require(config)
        configuration.prepare(config)
        secret_key = config.secret_key()
        log.start(config)
        stored_settings.refresh()
        connect(config.database)
    root = configuration.ROOT
    app = Flask(__name__, template_folder=str(root / "templates"), static_folder=None)
    app.config.update(SECRET_KEY=secret_key, MAX_CONTENT_LENGTH=64 * 2**20 + 2**16)
    # No redirect from "//x" to "/x": at the end of a URL they are two different names.
    app.url_map.merge_slashes = False
    # A request's first query opens the connection.
    app.teardown_request(lambda _error: db.close())
    # Our handlers of unexpected errors log them, without the path.
    app.log_exception = lambda exc_info: None  # type: ignore[method-assign]
    from mm import (
        api,
        auth,
        cli,
        cli_catalogue,
        cli_collections,
        cli_first_run,
        cli_server,
        cli_startup,
        routes,
    )

    app.before_request(_refuse_unusable_hosts)
    app.before_request(stored_settings.refresh)
    # Before anything else is asked of a request, or read of it.
    app.before_request(_refuse_changes_during_maintenance)
    app.wsgi_app = request_bodies.guarded(app.wsgi_app)  # type: ignore[method-assign]
    auth.init_app(app)
    static_files.init_app(app)
    routes.init_app(app)
    api.init_app(app)
    cli.init_app(app)
    cli_catalogue.init_app(app)
    cli_collections.init_app(app)
    cli_first_run.init_app(app)
    cli_server.init_app(app)
    cli_startup.init_app(app)
    return app


def _refuse_unusable_hosts() -> Response | None:
    """A Host that can be none. No address can be made with it, so no page of ours either."""
    from mm import auth

    error = request.routing_exception
    if isinstance(error, BadRequest) and not auth.is_api():
        return make_response(error.get_response())
    return None


def _refuse_changes_during_maintenance() -> None:
    from mm import auth

    is_known = request.routing_exception is None
    if is_known and request.method not in auth.SAFE_METHODS and maintenance.is_on():
        raise maintenance.MaintenanceError

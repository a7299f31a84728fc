"""Movie Manager: a household's film libraries, kept safe."""

from flask import Flask

from mm import config as configuration
from mm import models

__version__ = "0.1.0"


def create_app(config: configuration.Config | None = None) -> Flask:
    """The WSGI application. Opens no connection and changes no schema: `flask --app mm upgrade` does that."""
    config = configuration.use(config or configuration.from_environ())
    configuration.prepare(config)
    models.connect(config.database)
    root = configuration.ROOT
    app = Flask(__name__, template_folder=str(root / "templates"), static_folder=str(root / "static"))
    app.config.update(SECRET_KEY=config.secret_key(), MAX_CONTENT_LENGTH=64 * 2**20 + 2**16)
    # "//x" must not be led to "/x": in an address that ends in a name, they are two names.
    app.url_map.merge_slashes = False
    # A request's first query opens its connection, so what needs none opens none.
    app.teardown_request(lambda _error: models.db.close())
    from mm import api, auth, cli, routes

    auth.init_app(app)
    routes.init_app(app)
    api.init_app(app)
    cli.init_app(app)
    return app

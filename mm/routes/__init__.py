"""The pages. A route parses, makes one call, and ends in one `htmx.*` line."""

from flask import Flask, Response, g, request, url_for
from flask_login import current_user

from mm import auth, htmx
from mm.routes import (
    account,
    add,
    admin,
    admin_catalogue,
    admin_jobs,
    admin_limits,
    admin_providers,
    admin_schedule,
    admin_titles,
    admin_users,
    archives,
    backups,
    begin,
    collections,
    errors,
    filters,
    forms,
    imports,
    jobs,
    library,
    links,
    lists,
    movies,
    people,
    posters,
    restored,
    retention,
    saved_views,
    session,
    setup,
    setup_guard,
    shared,
    shares,
    style,
    undo,
    welcome,
)
from mm.schemas import BackupState
from mm.services.backup import state

BLUEPRINTS = (
    session.bp,
    links.bp,
    library.bp,
    backups.bp,
    retention.bp,
    imports.bp,
    jobs.bp,
    undo.bp,
    posters.bp,
    add.bp,
    people.bp,
    lists.bp,
    collections.bp,
    shares.bp,
    shared.bp,
    account.bp,
    admin.bp,
    admin_users.bp,
    admin_providers.bp,
    admin_catalogue.bp,
    admin_titles.bp,
    admin_schedule.bp,
    admin_limits.bp,
    admin_jobs.bp,
    begin.bp,
    archives.bp,
    restored.bp,
    setup.bp,
    welcome.bp,
    movies.bp,
    saved_views.bp,
    style.bp,
)
HEADERS = {
    "Content-Security-Policy": (
        # The one file and not the host, which serves everything that is on npm.
        f"default-src 'self'; script-src 'self' {htmx.CDN_URL}; img-src 'self' data:; "
        "object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def init_app(app: Flask) -> None:
    setup_guard.init_app(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    filters.init_app(app)
    forms.init_app(app)
    errors.init_app(app)
    # A line with nothing but a tag of the template leaves nothing in the page.
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(htmx_url=htmx.CDN_URL, icons_url=_icons_url)
    app.context_processor(lambda: {"backup_alarm": _backup_alarm})
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    """A view may have set its own: the API's offline pages need more than ours."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _icons_url() -> str:
    """Built once a request: a page of many rows has hundreds of icons."""
    if "icons_url" not in g:
        g.icons_url = url_for("static", filename="icons.svg")
    return g.icons_url


def _backup_alarm() -> BackupState | None:
    """For the warning on every page but the one that says it itself."""
    if not current_user.is_authenticated or request.endpoint == "backups.index":
        return None
    return state.alarm(auth.account(), filters.dates_of_reader())

"""All components of the pages in each of their states, for who works on their looks."""

from flask import Blueprint, abort, current_app, render_template

bp = Blueprint("style", __name__)


@bp.get("/style")
def index() -> str:
    """Not found, but on a server that was started with `--debug`."""
    if not current_app.debug:
        abort(404)
    return render_template("style/index.html")

"""Posters from this server: no browser asks another host for them."""

from flask import Blueprint, Response, make_response, render_template, send_file, url_for
from flask_login import login_required

from mm.services.enrichment import posters

# A poster's name tells its content: another picture has another name.
FOR_EVER = "private, max-age=31536000, immutable"
FOR_A_MINUTE = "private, max-age=60"
# It was only not its turn.
FOR_A_MOMENT = "private, max-age=5"

bp = Blueprint("posters", __name__)


@bp.get("/posters/<size>/<file>")
@login_required
def show(size: str, file: str) -> Response:
    return picture(size, file)


def picture(size: str, file: str) -> Response:
    """The poster, or a drawn one. Raises NotFoundError for what is none."""
    path = posters.get_or_fetch(size, file)
    kind = posters.kind_of(path) if path else None
    if path is None or kind is None:
        return _drawn(size, file)
    response = send_file(path, kind, conditional=True)
    response.headers["Cache-Control"] = FOR_EVER
    return response


@bp.app_template_filter()
def poster(path: str | None, size: str = posters.GRID) -> str | None:
    """The address of a title's poster here; None where it has none that can be shown."""
    name = (path or "").removeprefix("/")
    return url_for("posters.show", size=size, file=name) if posters.NAME.fullmatch(name) else None


def _drawn(size: str, file: str) -> Response:
    """In its place, until the image host answers."""
    is_unavailable = posters.is_unavailable(posters.path_of(size, file))
    response = make_response(render_template("posters/drawn.svg", title=posters.title_of(file)))
    response.headers["Content-Type"] = "image/svg+xml"
    response.headers["Cache-Control"] = FOR_A_MINUTE if is_unavailable else FOR_A_MOMENT
    return response

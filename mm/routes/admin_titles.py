"""Server, Titles."""

from flask import Blueprint, Response

from mm import auth, htmx

bp = Blueprint("admin_titles", __name__, url_prefix="/admin/titles")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return htmx.render("admin/titles.html")

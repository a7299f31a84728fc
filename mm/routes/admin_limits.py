"""Server, Limits."""

from flask import Blueprint, Response

from mm import auth, htmx

bp = Blueprint("admin_limits", __name__, url_prefix="/admin/limits")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return htmx.render("admin/limits.html")

"""Server, Users."""

from flask import Blueprint, Response

from mm import auth, htmx

bp = Blueprint("admin_users", __name__, url_prefix="/admin/users")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return htmx.render("admin/users.html")

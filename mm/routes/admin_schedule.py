"""Server, Schedule."""

from flask import Blueprint, Response

from mm import auth, htmx

bp = Blueprint("admin_schedule", __name__, url_prefix="/admin/schedule")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return htmx.render("admin/schedule.html")

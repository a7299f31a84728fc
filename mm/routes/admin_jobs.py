"""Server, Jobs."""

from flask import Blueprint, Response

from mm import auth, htmx

bp = Blueprint("admin_jobs", __name__, url_prefix="/admin/jobs")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return htmx.render("admin/jobs.html")

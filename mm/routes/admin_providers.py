"""Server, Providers."""

from flask import Blueprint, Response

from mm import auth, htmx

bp = Blueprint("admin_providers", __name__, url_prefix="/admin/providers")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return htmx.render("admin/providers.html")

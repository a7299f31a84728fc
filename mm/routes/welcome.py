"""What came of taking over a file: shown once, to who set up the server, before they log in."""

from flask import Blueprint, Response

from mm import auth, htmx
from mm.services.server.first_run import outcome

bp = Blueprint("welcome", __name__, url_prefix="/welcome")


@bp.get("/<token>")
def show(token: str) -> Response:
    auth.ask_nobody()
    response = htmx.render("setup/welcome.html", taken=outcome.read(token))
    response.headers["Referrer-Policy"] = "no-referrer"
    return response

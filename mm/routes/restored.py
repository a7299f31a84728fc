"""How the restore of the whole server goes and how it ended, for who started it. Their log-in ends
with the restore, so the address itself is the key: nobody else can know it."""

from flask import Blueprint, Response

from mm import auth, htmx
from mm.errors import NotFoundError
from mm.services import heartbeat
from mm.services.server import archive_files, restore

UNKNOWN = (
    "There is no restore at this address. It is shown once, to who started a restore, until the "
    "next one begins."
)

bp = Blueprint("restored", __name__, url_prefix="/restored")


@bp.get("/<token>")
def show(token: str) -> Response:
    auth.ask_nobody()
    state = restore.outcome(token)
    if state is None:
        raise NotFoundError(UNKNOWN)
    response = htmx.render(
        "restored/show.html",
        "restored/_outcome.html",
        state=state,
        token=token,
        made_at=archive_files.moment_of(state.archive),
        late=state.state == "queued" and heartbeat.worker_is_late(),
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    return response

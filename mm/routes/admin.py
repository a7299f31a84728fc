"""Server: how everybody's backups are, whether the worker runs, what is wrong, and archives of the
whole server. For administrators."""

from flask import Blueprint, Response, request

from mm import auth, htmx
from mm.errors import NotFoundError
from mm.models import Job
from mm.routes import archive_contexts
from mm.routes.filters import dates_of_reader
from mm.services import health, heartbeat, jobs
from mm.services.backup import overview

PAGE_SIZE = 100

bp = Blueprint("admin", __name__, url_prefix="/admin")


@bp.get("")
@auth.admin_required
def index() -> Response:
    """With `job`: what was started here, unless a restore took it away."""
    rows = overview.of_everybody(dates_of_reader())
    pages = max(1, -(-len(rows) // PAGE_SIZE))
    number = min(max(request.args.get("page", 1, type=int), 1), pages)
    first = (number - 1) * PAGE_SIZE
    return htmx.render(
        "admin/index.html",
        rows=rows[first : first + PAGE_SIZE],
        users=len(rows),
        alarms=sum(row.state.alarm for row in rows),
        number=number,
        pages=pages,
        problems=health.check()["problems"],
        worker_seen_at=heartbeat.last_beat(),
        worker_is_late=heartbeat.worker_is_late(),
        failed_days=overview.FAILED_DAYS,
        **archive_contexts.page_context(_asked_for()),
    )


def _asked_for() -> Job | None:
    job_id = request.args.get("job")
    try:
        return jobs.get_of_server(job_id) if job_id else None
    except NotFoundError:
        return None

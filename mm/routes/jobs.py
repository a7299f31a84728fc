"""Long work as it runs and as it ended; `jobs/_job.html` asks again by itself until then."""

from flask import Blueprint, Response
from flask_login import current_user, login_required

from mm import htmx
from mm.errors import NotFoundError
from mm.routes import downloads
from mm.routes.contexts import job_context, told_by_toast
from mm.services import jobs
from mm.services.backup import history

bp = Blueprint("jobs", __name__, url_prefix="/backup/jobs")


@bp.get("/<job_id>")
@login_required
def show(job_id: str) -> Response:
    job = jobs.get(job_id, current_user.id)
    if job.state not in jobs.ACTIVE:
        htmx.changed("backups")
    context = job_context(job)
    if htmx.wants_partial() and told_by_toast(context):
        context = job_context(None)
    return htmx.render("jobs/show.html", "jobs/_job.html", **context)


@bp.get("/<job_id>/left-out", defaults={"form": "json"})
@bp.get("/<job_id>/left-out.<form>")
@login_required
def left_out(job_id: str, form: str) -> Response:
    """What the import did not take, each with its place in the file and the reason."""
    job = jobs.get(job_id, current_user.id)
    if not (rows := history.left_out_of(job)):
        raise NotFoundError("Nothing was left out of this import.")
    return downloads.of_problems(rows, f"moviemanager-left-out-{job.id[:8]}", form)

"""Long work as it runs and as it ended; `jobs/_job.html` asks again by itself until then."""

import json

from flask import Blueprint, Response
from flask_login import current_user, login_required

from mm import clock, htmx
from mm.documents import BackupEntry
from mm.errors import NotFound
from mm.models import Job
from mm.routes.library import enrichment_context
from mm.services import backups, jobs, schedule

KINDS = ("backup", "import", "restore", "verify")
# Too early to tell how long the rest will take.
GUESS_AFTER = 3

bp = Blueprint("jobs", __name__, url_prefix="/backup/jobs")


@bp.get("/<job_id>")
@login_required
def show(job_id: str) -> Response:
    job = jobs.get(job_id, current_user.id)
    if job.state not in jobs.ACTIVE:
        htmx.changed("backups")
    return htmx.render("jobs/show.html", "jobs/_job.html", **job_context(job))


@bp.get("/<job_id>/left-out")
@login_required
def left_out(job_id: str) -> Response:
    """What the import did not take, each with its path in the file and the reason."""
    job = jobs.get(job_id, current_user.id)
    if not (job.result or {}).get("errors"):
        raise NotFound("Nothing was left out of this import.")
    content = json.dumps(job.result["errors"], ensure_ascii=False, indent=2)
    attached = f"attachment; filename=moviemanager-left-out-{job.id[:8]}.json"
    return Response(content, mimetype="application/json", headers={"Content-Disposition": attached})


def active_job(user_id: str) -> Job | None:
    """What runs for this user now."""
    return next(filter(None, (jobs.active(kind, user_id) for kind in KINDS)), None)


def job_context(job: Job | None) -> dict:
    """What `_job.html` shows; an import that is done also shows its films being filled."""
    if job is None:
        return {"job": None}
    context = {"job": job, "active": job.state in jobs.ACTIVE, "left": _seconds_left(job),
               "late": job.state == "queued" and schedule.worker_is_late()}  # fmt: skip
    if job.state == "done" and job.kind in ("import", "restore"):
        context |= enrichment_context()
    if job.state == "done" and job.kind in ("backup", "verify"):
        context["entry"] = _entry(job)
    return context


def _entry(job: Job) -> BackupEntry | None:
    """The backup that was made or tested, unless it is deleted by now."""
    filename = (job.result or {}).get("filename")
    return next((entry for entry in backups.listing(job.user_id) if entry.filename == filename), None)


def _seconds_left(job: Job) -> float | None:
    passed = clock.now() - (job.started_at or clock.now())
    if job.state != "running" or not job.done or passed < GUESS_AFTER:
        return None
    return passed / job.done * (job.total - job.done)

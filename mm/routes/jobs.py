"""Long work as it runs and as it ended; `jobs/_job.html` asks again by itself until then."""

import json

from flask import Blueprint, Response
from flask_login import current_user, login_required

from mm import clock, htmx
from mm.errors import NotFoundError
from mm.models import Job
from mm.routes.library import enrichment_context
from mm.schemas import BackupEntry
from mm.services import heartbeat, jobs
from mm.services.backup import backups, uploads

KINDS = ("backup", "import", "restore", "verify")
# Too early to tell how long the rest will take.
GUESS_AFTER = 3
UNEXPECTED = "Something went wrong on the server; its log says what. Try again, or ask who runs it."

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
    if not (rows := _left_out(job)):
        raise NotFoundError("Nothing was left out of this import.")
    content = json.dumps(rows, ensure_ascii=False, indent=2)
    attached = f"attachment; filename=moviemanager-left-out-{job.id[:8]}.json"
    headers = {"Content-Disposition": attached}
    return htmx.private(Response(content, mimetype="application/json", headers=headers))


def active_job(user_id: str) -> Job | None:
    """What runs for this user now, or came back to them because it could not be done."""
    active = next(filter(None, (jobs.active(kind, user_id) for kind in KINDS)), None)
    return active or uploads.came_back(user_id)


def job_context(job: Job | None) -> dict:
    """What `_job.html` shows; an import that is done also shows its films being filled."""
    if job is None:
        return {"job": None}
    context = {
        "job": job,
        "active": job.state in jobs.ACTIVE,
        "left": _seconds_left(job),
        "late": job.state == "queued" and heartbeat.worker_is_late(),
        "left_out": _left_out(job),
        "reason": _reason(job),
    }
    if job.state == "done" and job.kind in ("import", "restore"):
        context |= enrichment_context()
    if job.state == "done" and job.kind in ("backup", "verify"):
        context["entry"] = _entry(job)
    return context


def _left_out(job: Job) -> list[dict]:
    """Rows of path and reason. Imports of version 0.1 kept them under `errors`."""
    result = job.result or {}
    return result.get("problems") or result.get("errors") or []


def _reason(job: Job) -> str:
    """Version 0.1 kept the text of an unforeseen error, which may name a path of the server."""
    return UNEXPECTED if job.message.startswith("Unexpected error:") else job.message


def _entry(job: Job) -> BackupEntry | None:
    """The backup that was made or tested, unless it is deleted by now."""
    filename = (job.result or {}).get("filename")
    return next(
        (entry for entry in backups.listing(job.user_id) if entry.filename == filename), None
    )


def _seconds_left(job: Job) -> float | None:
    passed = clock.now() - (job.started_at or clock.now())
    if job.state != "running" or not job.done or passed < GUESS_AFTER:
        return None
    return passed / job.done * (job.total - job.done)

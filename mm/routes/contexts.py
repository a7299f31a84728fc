"""What more than one page shows: jobs, the look-up of details, and the health of the backups."""

from flask_login import current_user

from mm import auth, clock, config
from mm.models import Job
from mm.routes import downloads
from mm.schemas import BackupEntry
from mm.services import heartbeat, jobs, validation
from mm.services.backup import backups, ledger, policies, state, uploads
from mm.services.enrichment import runner

# Too early to tell how long the rest will take.
GUESS_AFTER = 3
ADDED_BACK = jobs.Words(
    heading="Bring back",
    doing="Bringing back what is missing",
    done="What was missing is back",
    failed="Nothing could be brought back",
)


def active_job(user_id: str) -> Job | None:
    """What runs for this user now, or came back to them because it could not be done."""
    active = next(filter(None, (jobs.active(kind, user_id) for kind in jobs.OF_A_USER)), None)
    return active or uploads.came_back(user_id)


def job_context(job: Job | None) -> dict:
    """For `jobs/_job.html`; an import that is done also shows its films being filled."""
    if job is None:
        return {"job": None}
    passed = clock.now() - (job.started_at or clock.now())
    left = None
    if job.state == "running" and job.done and passed >= GUESS_AFTER:
        left = passed / job.done * (job.total - job.done)
    is_unforeseen = job.message.startswith(ledger.UNFORESEEN)
    context = {
        "job": job,
        "words": words_of(job),
        "active": job.state in jobs.ACTIVE,
        "left": left,
        "late": job.state == "queued" and heartbeat.worker_is_late(),
        "left_out": left_out_of(job),
        "left_out_reasons": downloads.reasons_of(left_out_of(job)),
        "reason": ledger.REASON_IN_THE_LOG if is_unforeseen else job.message,
    }
    if job.state == "done" and job.kind in uploads.KINDS:
        context |= enrichment_context()
    if job.state == "done" and job.kind in ("backup", "verify"):
        # The backup that was made or tested, unless it is deleted by now.
        filename = (job.result or {}).get("filename")
        entries = backups.listing(job.user_id)
        context["entry"] = next((entry for entry in entries if entry.filename == filename), None)
    return context


def words_of(job: Job) -> jobs.Words | None:
    """Of the job's page. What only added is never said to have restored anything."""
    if job.kind == "restore" and job.params.get("mode") == "merge":
        return ADDED_BACK
    return jobs.KINDS[job.kind].words


def left_out_of(job: Job) -> list[dict]:
    """Rows of path and reason. Imports of version 0.1 kept them under `errors`."""
    result = job.result or {}
    return result.get("problems") or result.get("errors") or []


def enrichment_context() -> dict:
    """For `library/_enrichment.html`. `filling`: details are being fetched, so that asking again
    soon shows more."""
    progress = runner.progress(current_user.id)
    filling = bool(progress.waiting and config.current.tmdb_api_key)
    if filling:
        headline = "Fetching details"
    elif progress.waiting:
        headline = "Waiting for details"
    else:
        headline = "All details fetched"
    return {"enrichment": progress, "filling": filling, "headline": headline}


def health_context() -> dict:
    """For `backups/_health.html`."""
    return {"health": state.of(auth.account())}


def retention_context(
    typed: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    no_longer: list[BackupEntry] | None = None,
) -> dict:
    """For `backups/_retention.html`. `typed`: the texts of the fields, by kind; else what is kept
    now. `no_longer`: what that would delete, where it is to be confirmed."""
    kept = policies.texts(policies.of(auth.account()))
    return {
        "units": policies.UNITS,
        "kept": {**kept, **(typed or {})},
        "problems": problems or {},
        "no_longer": no_longer,
    }


def upload_context(problem: str = "") -> dict:
    """For `backups/_import.html`. `problem`: why the file that was chosen cannot be used."""
    return {
        "upload_problem": problem,
        "file_max": validation.FILE_MAX,
        "too_large": validation.TOO_LARGE,
    }


def today() -> str:
    """In the server's time zone, as an ISO date."""
    return clock.today(config.current.zone).isoformat()

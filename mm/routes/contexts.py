"""What more than one page shows: jobs, the look-up of details, and the health of the backups."""

from flask import request, url_for
from flask_login import current_user

from mm import auth, clock, config, htmx, spoken
from mm.models import Job
from mm.routes import downloads
from mm.routes.filters import dates_of_reader
from mm.schemas import BackupEntry
from mm.services import heartbeat, jobs, validation
from mm.services.backup import backups, history, ledger, policies, state, uploads
from mm.services.catalogue import store
from mm.services.enrichment import pauses, runner

# Too early to tell how long the rest will take.
GUESS_AFTER = 3
ADDED_BACK = jobs.Words(
    heading="Bring back",
    doing="Bringing back what is missing",
    done="What was missing is back",
    failed="Nothing could be brought back",
)


def active_job(user_id: str) -> Job | None:
    """What runs for this user now."""
    return next(filter(None, (jobs.active(kind, user_id) for kind in jobs.OF_A_USER)), None)


def job_context(job: Job | None) -> dict:
    """For `jobs/_job.html`; an import that is done also shows its films being filled."""
    if job is None:
        return {"job": None}
    context = {
        **progress_context(job),
        "left_out": history.left_out_of(job),
        "left_out_reasons": downloads.reasons_of(history.left_out_of(job)),
    }
    if job.kind in history.ACTIONS:
        context["title"] = history.title_of(job, dates_of_reader())
    if job.kind in uploads.OTHER_KINDS:
        kind = job.params["kind"]
        context["collection_url"] = url_for("collections.show", kind=kind, job_id=job.id)
    if job.state == "done" and job.kind in (*history.ACTIONS, *uploads.OTHER_KINDS):
        context["undo"] = history.safety_copy_of(job, auth.account())
        context |= enrichment_context()
    if job.state == "done" and job.kind in ("backup", "verify"):
        # The backup that was made or tested, unless it is deleted by now.
        context["entry"] = backups.find(job.user_id, (job.result or {}).get("filename"))
    return context


def progress_context(job: Job) -> dict:
    """What is shown of any job: how far it is, and how it ended."""
    passed = clock.now() - (job.started_at or clock.now())
    left = None
    if job.state == "running" and job.done and passed >= GUESS_AFTER:
        left = passed / job.done * (job.total - job.done)
    is_unforeseen = job.message.startswith(ledger.UNFORESEEN)
    return {
        "job": job,
        "words": words_of(job),
        "active": job.state in jobs.ACTIVE,
        "left": left,
        "late": job.state == "queued" and heartbeat.worker_is_late(),
        "reason": ledger.REASON_IN_THE_LOG if is_unforeseen else job.message,
    }


def words_of(job: Job) -> jobs.Words | None:
    """Of the job's page. What only added is never said to have restored anything."""
    if job.kind == "restore" and job.params.get("mode") == "merge":
        return ADDED_BACK
    return jobs.KINDS[job.kind].words


def history_context() -> dict:
    """For `backups/_history.html`: the page of the address."""
    number = request.args.get("page", 1, type=int)
    return {"history": history.page(auth.account(), number, dates_of_reader())}


def told_by_toast(context: dict) -> bool:
    """Whether a backup or a check that is done and good needs no card: a toast says so, for the
    card of the health says the rest."""
    job, entry = context["job"], context.get("entry")
    if job is None or job.kind not in ("backup", "verify") or not entry or entry.problem:
        return False
    htmx.toast(f"{context['words'].done}: {spoken.plural(entry.counts.movies, 'film')}.")
    return True


def enrichment_context() -> dict:
    """For `library/_enrichment.html`. `filling`: details are being fetched, so that asking again
    soon shows more. `lacking`: what is said of films that are not found."""
    progress = runner.progress(current_user.id, dates_of_reader())
    filling = bool(progress.waiting and config.current.tmdb_api_key)
    if filling:
        headline = "Fetching details"
    elif progress.waiting:
        headline = "Waiting for details"
    else:
        headline = "All details fetched"
    sources = sources_context()
    is_offline = sources["has_catalogue"] and not sources["has_key"]
    lacking = "not in IMDb’s catalogue" if is_offline else "not on TMDB"
    context = {"enrichment": progress, "filling": filling, "headline": headline}
    return {**context, "lacking": lacking, **sources}


def sources_context() -> dict:
    """Where titles come from."""
    return {"has_key": bool(pauses.key("tmdb")), "has_catalogue": store.is_there()}


def health_context() -> dict:
    """For `backups/_health.html`."""
    return {"health": state.of(auth.account(), dates_of_reader())}


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

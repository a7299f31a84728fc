"""From a file to the library: the upload, the plan of what it would do, and the word to do it."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import auth, htmx, tasks
from mm.errors import ConflictError, InvalidError
from mm.models import Job
from mm.routes.forms import take_offer
from mm.schemas import Change, Conflicts
from mm.services.backup import imports, large_files, nightly, stored_plans, uploads
from mm.services.backup.stored_plans import PlanSummary

KINDS = {
    "movie": "Films",
    "vote": "Recommendations",
    "watch": "Watches",
    "person": "People",
    "list": "Lists",
    "list_film": "Films on lists",
    "view": "Saved views",
    "ranking": "Ranking",
}
OUTCOMES = {
    "new": "new",
    "changed": "changed",
    "same": "unchanged",
    "kept": "kept",
    "removed": "removed",
    "rejected": "rejected",
}
# What wins where both have a film: its name, and what it does.
RULES: dict[Conflicts, tuple[str, str]] = {
    "overwrite": ("Use the file", "Replaces your ratings and dates for these films."),
    "newest": ("Newest wins", "Keeps whichever changed last."),
    "skip": ("Keep mine", "Only adds what is missing."),
}
# Rows of a group that the page shows; a plan may hold 200,000.
ROWS = 200

bp = Blueprint("imports", __name__, url_prefix="/backup/import")


@bp.post("")
@login_required
def upload() -> Response:
    large_files.require_turn(current_user.id, request.content_length or 0)
    file = request.files.get("file")
    if file is None or not file.filename:
        raise InvalidError("Choose a file first: a Movie Manager export or backup.")
    job = uploads.receive(auth.account(), file.stream, file.filename)
    return htmx.go(url_for(".plan", job_id=job.id))


@bp.get("/<job_id>")
@login_required
def plan(job_id: str) -> Response:
    job = uploads.find(job_id, current_user.id)
    return _plan(job) if job.state == "waiting" else htmx.go(url_for("jobs.show", job_id=job.id))


@bp.post("/<job_id>/confirm")
@login_required
def confirm(job_id: str) -> Response:
    job = uploads.find(job_id, current_user.id)
    if job.state != "waiting":  # sent twice
        return htmx.go(url_for("jobs.show", job_id=job.id))
    try:
        job = imports.confirm(job, request.form.get("plan", ""), "anyway" in request.form)
    except ConflictError as conflict:
        return _plan(job, conflict)
    take_offer()
    tasks.enqueue(job)
    return htmx.go(url_for("jobs.show", job_id=job.id))


@bp.post("/<job_id>/discard")
@login_required
def discard(job_id: str) -> Response:
    uploads.discard(uploads.find(job_id, current_user.id))
    htmx.toast("Cancelled. Nothing was changed.")
    return htmx.go(url_for("backups.index"))


def _plan(job: Job, conflict: ConflictError | None = None) -> Response:
    plan = imports.shown(job)
    if (rule := request.args.get("conflicts")) in RULES and rule != plan.conflicts:
        plan = imports.prepare(job, conflicts=rule)
    films = plan.counts.get("movie", {})
    notice = conflict.message if conflict else job.message
    # Who has met a change once may want no more of them to stop the import.
    met_a_change = notice.endswith((imports.SEE_THE_NEW_PLAN, imports.REVIEW))
    status = conflict.status if conflict else 200
    return htmx.render(
        "imports/plan.html",
        "imports/_plan.html",
        status=status,
        job=job,
        plan=plan,
        films={outcome: films[outcome] for outcome in OUTCOMES if films.get(outcome)},
        writes=plan.writes,
        groups=_groups(job, plan),
        rows=ROWS,
        kinds=KINDS,
        outcomes=OUTCOMES,
        rules=RULES,
        notice=notice,
        met_a_change=met_a_change,
        offer_nightly=job.kind == "import" and nightly.is_undecided(auth.account()),
    )


def _groups(job: Job, plan: PlanSummary) -> dict[str, dict[str, list[Change]]]:
    """{kind: {outcome: the first rows}}, in the order in which the page shows them; without what
    is empty."""
    return {
        kind: {
            outcome: stored_plans.rows(job, kind, outcome, limit=ROWS)
            for outcome in OUTCOMES
            if outcome != "same" and plan.counts[kind].get(outcome)
        }
        for kind in KINDS
        if any(plan.counts.get(kind, {}).values())
    }

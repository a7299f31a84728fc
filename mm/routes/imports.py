"""From a file to the library: the upload, the plan of what it would do, and the word to do it."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required
from werkzeug.exceptions import RequestEntityTooLarge

from mm import auth, htmx, tasks
from mm.errors import ConflictError, InvalidError, NotFoundError, UnusableFileError, UserError
from mm.models import Job, User
from mm.routes import downloads, plan_pages
from mm.routes.contexts import upload_context
from mm.routes.forms import take_offer
from mm.services import validation
from mm.services.backup import imports, large_files, nightly, uploads
from mm.services.backup.stored_plans import PlanSummary

NO_FILE = "Choose a file first: a Movie Manager export or backup."
CHOSEN_SINCE = "Your choices changed the plan. Check it, then confirm again."
CHANGED_SINCE = "Your library changed since this plan was made. This is the new plan."

bp = Blueprint("imports", __name__, url_prefix="/backup/import")


@bp.post("")
@login_required
def upload() -> Response:
    try:
        large_files.require_turn(current_user.id, request.content_length or 0)
        file = request.files.get("file")
        if file is None or not file.filename:
            raise InvalidError(NO_FILE)
        job = uploads.receive(auth.account(), file.stream, file.filename)
    except RequestEntityTooLarge:
        return _not_taken(validation.TOO_LARGE, 413)
    except UserError as error:
        return _not_taken(error.message, error.status)
    return htmx.go(url_for(".plan", job_id=job.id))


@bp.get("/<job_id>")
@login_required
def plan(job_id: str) -> Response:
    job = uploads.find(job_id, current_user.id)
    if job.state != uploads.WAITING:
        return htmx.go(url_for("jobs.show", job_id=job.id))
    try:
        summary = imports.shown(job)
    except UnusableFileError:  # it cannot be gone back to as it is
        return _show(job, plan_pages.stored_choices(job), job.message)
    if summary.library_version != User.get_by_id(job.user_id).library_version:
        return _show(job, plan_pages.stored_choices(job), job.message or CHANGED_SINCE)
    return _page(job, summary, job.message)


@bp.post("/<job_id>")
@login_required
def update(job_id: str) -> Response:
    """Another mode or rule, a row in or out, a value typed: the plan is made anew."""
    job = uploads.find(job_id, current_user.id)
    if job.state != uploads.WAITING:
        return htmx.go(url_for("jobs.show", job_id=job.id))
    choices = plan_pages.sent_choices(job)
    if htmx.wants_partial():
        return _show(job, choices)
    try:
        plan_pages.prepare(job, choices)
    except UserError:  # the page says what, and where to go on
        return _show(job, choices)
    address = url_for(".plan", job_id=job.id, open=request.form.getlist("open"))
    return htmx.go(address)


@bp.get("/<job_id>/rows")
@login_required
def rows(job_id: str) -> Response:
    """More of one group: those of `group`, a name such as movie-new:100-200."""
    job = uploads.find(job_id, current_user.id)
    name = request.args.get("group", "")
    home = url_for(".plan", job_id=job.id, open=name)
    if job.state != uploads.WAITING or not htmx.wants_partial():
        return htmx.go(home)
    is_first = "from" not in request.args
    return htmx.fragment(
        "imports/_table.html" if is_first else "imports/_rows.html",
        home,
        job=job,
        group=plan_pages.group_of(job, name),
        first=request.args.get("from", 0, type=int),
        **plan_pages.words_of(job),
    )


@bp.get("/<job_id>/left-out.<form>")
@login_required
def left_out(job_id: str, form: str) -> Response:
    """What the plan would not take."""
    job = uploads.find(job_id, current_user.id)
    imports.shown(job)
    found = plan_pages.left_out_rows(job)
    return downloads.of_rows(found, f"moviemanager-left-out-{job.id[:8]}", form)


@bp.post("/<job_id>/confirm")
@login_required
def confirm(job_id: str) -> Response:
    job = uploads.find(job_id, current_user.id)
    if job.state != uploads.WAITING:  # sent twice
        return htmx.go(url_for("jobs.show", job_id=job.id))
    choices = plan_pages.sent_choices(job)
    if choices != plan_pages.stored_choices(job):
        # Without JavaScript a row is unticked and the plan confirmed in one step.
        return _show(job, choices, CHOSEN_SINCE)
    try:
        plan_id, anyway = request.form.get("plan", ""), "anyway" in request.form
        job = imports.confirm(job, plan_id, anyway)
    except ConflictError as conflict:
        job = uploads.find(job_id, current_user.id)
        if job.state != uploads.WAITING:
            return htmx.go(url_for("jobs.show", job_id=job.id))
        return _page(job, imports.shown(job), conflict.message, conflict.status)
    take_offer()
    tasks.enqueue(job)
    return htmx.go(url_for("jobs.show", job_id=job.id))


@bp.post("/<job_id>/discard")
@login_required
def discard(job_id: str) -> Response:
    job = uploads.find(job_id, current_user.id)
    if not uploads.discard(job):  # confirmed in another tab: it is being done, or is done
        return htmx.go(url_for("jobs.show", job_id=job.id))
    htmx.toast("Nothing was changed.")
    return htmx.go(url_for("backups.index"))


@bp.errorhandler(NotFoundError)
@bp.errorhandler(InvalidError)
def gone(error: UserError) -> Response:
    """A plan whose file is gone, swapped, or older than a day: where to begin again."""
    if htmx.wants_partial():
        return htmx.refuse(error.message, error.status)
    return htmx.render("imports/gone.html", status=error.status, message=error.message)


def _not_taken(problem: str, status: int) -> Response:
    return htmx.render(
        "imports/upload.html", "backups/_import.html", status=status, **upload_context(problem)
    )


def _show(job: Job, choices: plan_pages.Choices, notice: str = "", status: int = 200) -> Response:
    """The plan of these choices, made anew. Where going back is refused because rows name nothing,
    the plan that only adds, and why."""
    refused = ""
    try:
        summary = plan_pages.prepare(job, choices)
    except UnusableFileError as error:
        if choices.mode == "merge":
            raise
        refused = error.message
        summary = plan_pages.prepare(job, choices._replace(mode="merge"))
        status = error.status
    return _page(job, summary, notice, status, refused)


def _page(
    job: Job, summary: PlanSummary, notice: str = "", status: int = 200, refused: str = ""
) -> Response:
    return htmx.render(
        "imports/plan.html",
        "imports/_plan.html",
        status=status,
        refused=refused,
        offer_nightly=job.kind == "import" and nightly.is_undecided(auth.account()),
        **plan_pages.context(job, summary, notice),
    )

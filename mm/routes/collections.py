"""People, lists, views and settings as small files: chosen and exported, and imported after a look
at the preview."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required
from werkzeug.exceptions import RequestEntityTooLarge

from mm import auth, htmx, log, tasks
from mm.errors import ConflictError, InvalidError, NotFoundError, UserError
from mm.models import Job
from mm.routes import collection_pages, downloads
from mm.schemas import CollectionKind
from mm.services import jobs
from mm.services.backup import large_files, uploads
from mm.services.collections import envelope, exporting, importing
from mm.services.collections.plans import CollectionPlan

NO_FILE = "Choose a file first: one that was exported from Movie Manager."
CHOSEN_SINCE = "Your choices changed what happens. Check it, then press Import again."
KIND = "/<any(people, lists, views, settings):kind>"

bp = Blueprint("collections", __name__, url_prefix="/collections")


@bp.get(KIND)
@login_required
def index(kind: CollectionKind) -> Response:
    return _index(kind)


@bp.post(f"{KIND}/export")
@login_required
def export(kind: CollectionKind) -> Response:
    """Without JavaScript "Select All" counts for itself, whatever else is ticked."""
    ids, export_all = request.form.getlist("ids"), "export_all" in request.form
    try:
        made = exporting.export(current_user.id, kind, ids, export_all)
    except UserError as error:  # nothing chosen, too much, or deleted since the page was opened
        return _index(kind, error.message, error.status)
    return downloads.of_collection(made.filename, made.data)


@bp.post(f"{KIND}/import")
@login_required
def upload(kind: CollectionKind) -> Response:
    try:
        large_files.require_turn(current_user.id, request.content_length or 0)
        file = request.files.get("file")
        if file is None or not file.filename:
            raise InvalidError(NO_FILE)
        job = importing.receive(auth.account(), kind, file.stream, file.filename)
    except RequestEntityTooLarge:
        return _not_taken(kind, envelope.TOO_LARGE, 413)
    except envelope.OtherKindError as error:
        elsewhere = collection_pages.elsewhere_of(error)
        # That of a whole library says nothing but where to import it.
        problem = f"{error.message}." if error.found else ""
        return _not_taken(kind, problem, error.status, elsewhere)
    except UserError as error:
        return _not_taken(kind, error.message, error.status)
    return htmx.go(url_for(".show", kind=kind, job_id=job.id))


@bp.get(f"{KIND}/import/<job_id>")
@login_required
def show(kind: CollectionKind, job_id: str) -> Response:
    """The preview; once it is confirmed, what became of it."""
    job = importing.find(job_id, current_user.id, kind)
    if job.state == uploads.WAITING:
        return _preview(job, importing.planned(job), job.message)
    context = collection_pages.job_context(job)
    return htmx.render("collections/job.html", "collections/_job.html", **context)


@bp.post(f"{KIND}/import/<job_id>")
@login_required
def update(kind: CollectionKind, job_id: str) -> Response:
    """Other choices, the import, or nothing of it."""
    job = importing.find(job_id, current_user.id, kind)
    here = url_for(".show", kind=kind, job_id=job.id)
    do = request.form.get("do")
    if do == "discard" and uploads.discard(job):
        htmx.toast("Nothing was changed.")
        return htmx.go(url_for(".index", kind=kind))
    if job.state != uploads.WAITING or do == "discard":  # sent twice, or from another tab
        return htmx.go(here)
    plan = importing.planned(job)
    sent = collection_pages.sent_choices(job, plan)
    if sent != importing.chosen(job):
        plan = importing.choose(job, *sent)
        if do == "confirm":  # chosen and confirmed in one step, as one does without JavaScript
            return _preview(job, plan, CHOSEN_SINCE)
    if do == "confirm":
        return _confirm(job)
    return _preview(job, plan) if htmx.wants_partial() else htmx.go(here)


@bp.errorhandler(NotFoundError)
def gone(error: UserError) -> Response:
    """A preview whose file is gone, swapped, or older than a day: where to begin again."""
    if htmx.wants_partial():
        return htmx.refuse(error.message, error.status)
    kind = (request.view_args or {})["kind"]
    context = collection_pages.kind_context(kind)
    return htmx.render(
        "collections/gone.html", status=error.status, message=error.message, **context
    )


def _index(kind: CollectionKind, problem: str = "", status: int = 200) -> Response:
    ticked = request.form.getlist("ids")
    context = collection_pages.index_context(kind, problem, ticked)
    return htmx.render("collections/index.html", status=status, **context)


def _not_taken(
    kind: CollectionKind, problem: str, status: int, elsewhere: tuple | None = None
) -> Response:
    context = collection_pages.index_context(kind)
    context |= collection_pages.upload_context(problem, elsewhere)
    return htmx.render(
        "collections/index.html", "collections/_import.html", status=status, **context
    )


def _preview(job: Job, plan: CollectionPlan, notice: str = "", status: int = 200) -> Response:
    context = collection_pages.preview_context(job, plan, notice)
    return htmx.render(
        "collections/preview.html", "collections/_preview.html", status=status, **context
    )


def _confirm(job: Job) -> Response:
    """A small file is taken at once. The others, and what cannot be done now, are left to the
    worker."""
    here = url_for(".show", kind=job.params["kind"], job_id=job.id)
    try:
        job = importing.confirm(job, request.form.get("plan", ""))
    except ConflictError as conflict:
        if not uploads.is_waiting(job):
            return htmx.go(here)
        return _preview(job, importing.planned(job), conflict.message, conflict.status)
    if importing.is_large(job):
        tasks.enqueue(job)
        return htmx.go(here)
    with log.caught() as attempt:
        jobs.run(job.id, *tasks.WORK[importing.JOB])
    job = jobs.get(job.id, current_user.id)
    if attempt.error and job.state != "failed":  # a failed job's page says what went wrong
        raise attempt.error
    if job.state == "queued":
        tasks.enqueue(job)
    elif job.state == "done":
        tasks.start_enrichment()
    return htmx.go(here)

"""Data & Backup: health, the automatic backup, backing up now, the export, and the history of one
user's files."""

from io import BytesIO

from flask import Blueprint, Response, request, send_file, url_for
from flask_login import current_user, login_required

from mm import auth, htmx, tasks
from mm.errors import NotFoundError
from mm.routes.contexts import (
    active_job,
    health_context,
    job_context,
    retention_context,
    today,
    upload_context,
)
from mm.routes.forms import take_offer
from mm.services import jobs, portable
from mm.services.backup import backups, nightly, undoing, uploads
from mm.services.backup import files as backup_files

# Time to add the first films before the first backup.
FIRST_FILMS_SECONDS = 15 * 60

bp = Blueprint("backups", __name__, url_prefix="/backup")


@bp.get("")
@login_required
def index() -> Response:
    job_id = request.args.get("job")
    job = jobs.get(job_id, current_user.id) if job_id else active_job(current_user.id)
    return htmx.render(
        "backups/index.html",
        history=backups.listing(current_user.id),
        **upload_context(),
        **health_context(),
        **retention_context(),
        **job_context(job),
    )


@bp.get("/health")
@login_required
def health() -> Response:
    return htmx.fragment("backups/_health.html", url_for(".index"), **health_context())


@bp.get("/history")
@login_required
def history() -> Response:
    return htmx.fragment(
        "backups/_history.html", url_for(".index"), history=backups.listing(current_user.id)
    )


@bp.post("/auto")
@login_required
def switch() -> Response:
    enabled = request.form.get("enabled") == "1"
    job = nightly.enable(auth.account(), enabled)
    htmx.toast(f"Automatic backups are {'on' if enabled else 'off'}.")
    return _started(job) if job else htmx.go(url_for(".index"))


@bp.post("/begin")
@login_required
def begin() -> Response:
    """From the empty library: whether it will be backed up every night, and then to what fills
    it."""
    take_offer(FIRST_FILMS_SECONDS)
    where = {"add": url_for("add.index"), "import": url_for(".index", _anchor="import")}
    return htmx.go(where.get(request.form.get("go", ""), url_for("library.index")))


@bp.post("/now")
@login_required
def create() -> Response:
    return _started(backups.request(auth.account(), "backup", {"kind": "manual"}))


@bp.get("/export")
@login_required
def export() -> Response:
    """Indented, for people who open it."""
    content = portable.encode(portable.dump(current_user.id), indent=True)
    name = f"moviemanager-export-{today()}.json"
    return htmx.private(
        send_file(BytesIO(content), "application/json", as_attachment=True, download_name=name)
    )


@bp.post("/undo")
@login_required
def undo() -> Response:
    """Back to a safety copy, after a look at the plan."""
    job = undoing.request(auth.account(), request.form.get("filename"))
    return htmx.go(url_for("imports.plan", job_id=job.id))


@bp.get("/files/<filename>")
@login_required
def download(filename: str) -> Response:
    path = backups.path_of(current_user.id, filename)
    try:
        name = f"moviemanager-{filename}"
        return htmx.private(
            send_file(path, "application/json", as_attachment=True, download_name=name)
        )
    except FileNotFoundError as error:  # deleted since it was listed
        raise NotFoundError(backup_files.NOT_FOUND) from error


@bp.post("/files/<filename>/verify")
@login_required
def verify(filename: str) -> Response:
    backups.path_of(current_user.id, filename)
    return _started(backups.request(auth.account(), "verify", {"filename": filename}))


@bp.post("/files/<filename>/restore")
@login_required
def restore(filename: str) -> Response:
    job = uploads.copy_backup(auth.account(), filename)
    return htmx.go(url_for("imports.plan", job_id=job.id))


@bp.post("/files/<filename>/pin")
@login_required
def pin(filename: str) -> Response:
    """Set to what the form says, so that a double click does what it looks like."""
    pinned = request.form.get("pinned") == "1"
    backups.pin(auth.account(), filename, pinned)
    htmx.toast("Pinned: it stays until you unpin it." if pinned else "Unpinned.")
    return htmx.fragment(
        "backups/_history.html", url_for(".index"), history=backups.listing(current_user.id)
    )


@bp.get("/files/<filename>/delete")
@login_required
def confirm_delete(filename: str) -> Response:
    """Also for a description whose file is gone, which is all that can be done with it."""
    history = backups.listing(current_user.id)
    entry = next((entry for entry in history if entry.filename == filename), None)
    if entry is None or entry.state == "foreign":
        raise NotFoundError(backup_files.NOT_FOUND)
    others = [other for other in history if other.state == "verified" and other is not entry]
    return htmx.render("backups/delete.html", entry=entry, others=others)


@bp.post("/files/<filename>/delete")
@login_required
def delete(filename: str) -> Response:
    backups.delete(auth.account(), filename)
    htmx.toast("Backup deleted.")
    return htmx.go(url_for(".index"))


def _started(job) -> Response:
    """Its progress, in the page; a reload shows the same job."""
    tasks.enqueue(job)
    return htmx.fragment(
        "jobs/_job.html",
        url_for(".index", job=job.id),
        **job_context(jobs.get(job.id, job.user_id)),
    )

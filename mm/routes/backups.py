"""Data & Backup: health, the automatic backup, backing up now, the export, and the history: one
user's backups and what was done with them."""

from collections import defaultdict
from collections.abc import Iterable
from io import BytesIO

from flask import Blueprint, Response, request, send_file, url_for
from flask_login import current_user, login_required
from werkzeug.exceptions import RequestEntityTooLarge

from mm import auth, htmx, tasks
from mm.errors import InvalidError, NotFoundError, UserError
from mm.routes.contexts import (
    active_job,
    health_context,
    history_context,
    job_context,
    retention_context,
    today,
    told_by_toast,
    upload_context,
)
from mm.routes.forms import take_offer
from mm.routes.plan_pages import KINDS, OPEN_UP_TO
from mm.schemas import BackupEntry, Change
from mm.services import jobs, portable, shown_titles, validation
from mm.services.backup import (
    adding,
    backups,
    comparing,
    history,
    large_files,
    nightly,
    undoing,
    uploads,
)
from mm.services.backup import files as backup_files

# What is different between two backups, in the order in which the page shows it.
COMPARED = {"new": "added", "changed": "changed", "removed": "removed", "rejected": "unreadable"}
# Backups that one may choose to compare with.
MOST_CHOICES = 200

bp = Blueprint("backups", __name__, url_prefix="/backup")


@bp.get("")
@login_required
def index() -> Response:
    """With `job`: what was started here. A backup that is done is told once, by a toast."""
    job_id = request.args.get("job")
    job = jobs.get(job_id, current_user.id) if job_id else active_job(current_user.id)
    context = job_context(job)
    if job_id and told_by_toast(context):
        return htmx.go(url_for(".index"))
    waiting = history.waiting(current_user.id)
    return htmx.render(
        "backups/index.html",
        waiting=None if job and waiting and job == waiting.job else waiting,
        **upload_context(),
        **health_context(),
        **retention_context(),
        **history_context(),
        **context,
    )


@bp.get("/health")
@login_required
def health() -> Response:
    return htmx.fragment("backups/_health.html", url_for(".index"), **health_context())


@bp.get("/history")
@login_required
def show_history() -> Response:
    return _history()


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
    take_offer(nightly.FIRST_FILMS_SECONDS)
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


@bp.post("/upload")
@login_required
def upload() -> Response:
    """A backup file from elsewhere, into the history. What is wrong with it is said at the
    field."""
    try:
        large_files.require_turn(current_user.id, request.content_length or 0)
        file = request.files.get("file")
        if file is None or not file.filename:
            raise InvalidError("Choose a file first: a Movie Manager export or backup.")
        entry = adding.add(auth.account(), file.read(validation.FILE_MAX + 1))
    except RequestEntityTooLarge:
        return _refused(validation.TOO_LARGE, 413)
    except UserError as error:
        return _refused(error.message, error.status)
    if entry.problem:
        htmx.toast(f"Added to your backups, but its test failed: {entry.problem}.", "bad")
    else:
        htmx.toast("Added to your backups, and tested by restoring it.")
    return htmx.go(url_for(".index"))


@bp.post("/undo")
@login_required
def undo() -> Response:
    """Back to a safety copy, after a look at the plan."""
    job = undoing.request(auth.account(), request.form.get("filename"))
    return htmx.go(url_for("imports.plan", job_id=job.id))


@bp.get("/files/<filename>")
@login_required
def download(filename: str) -> Response:
    """Of a damaged one only after a warning."""
    path = backups.path_of(current_user.id, filename)
    entry = backup_files.entry(path)
    if entry.state == "damaged" and "anyway" not in request.args:
        return htmx.render("backups/damaged.html", entry=entry)
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
    return _history()


@bp.get("/files/<filename>/compare")
@login_required
def compare(filename: str) -> Response:
    """With `other`, a backup, or else with the library as it is now."""
    chosen = _listed(filename)
    name = request.args.get("other", "")
    other = _listed(name) if name else None
    older, newer = chosen, other
    if other and (other.created_at or 0) < (chosen.created_at or 0):
        older, newer = other, chosen
    compared = comparing.compare(auth.account(), older.filename, newer.filename if newer else None)
    films = {change.key for change in compared.changes if change.kind == "movie"}
    return htmx.render(
        "backups/compare.html",
        chosen=chosen,
        older=older,
        newer=newer,
        other=other,
        compared=compared,
        groups=_grouped(compared.changes),
        shown=shown_titles.of(current_user.id, films),
        kinds=KINDS,
        outcomes=COMPARED,
        open_up_to=OPEN_UP_TO,
        choices=_comparable(chosen),
    )


@bp.get("/files/<filename>/delete")
@login_required
def confirm_delete(filename: str) -> Response:
    """Also for a description whose file is gone, which is all that can be done with it."""
    listed = backups.listing(current_user.id)
    entry = next((entry for entry in listed if entry.filename == filename), None)
    if entry is None or entry.state == "foreign":
        raise NotFoundError(backup_files.NOT_FOUND)
    others = [other for other in listed if other.state == "verified" and other is not entry]
    return htmx.render("backups/delete.html", entry=entry, others=others)


@bp.post("/files/<filename>/delete")
@login_required
def delete(filename: str) -> Response:
    backups.delete(auth.account(), filename)
    htmx.toast("Backup deleted.")
    return htmx.go(url_for(".index"))


def _refused(problem: str, status: int) -> Response:
    context = upload_context(problem)
    return htmx.render("backups/upload.html", "backups/_upload.html", status=status, **context)


def _history() -> Response:
    context = history_context()
    page = context["history"].number
    home = url_for(".index", page=page if page > 1 else None)
    return htmx.fragment("backups/_history.html", home, **context)


def _listed(filename: str) -> BackupEntry:
    return backup_files.entry(backups.path_of(current_user.id, filename))


def _grouped(changes: Iterable[Change]) -> dict[str, dict[str, list[Change]]]:
    """{kind: {outcome: rows}}, in the order in which the page shows them; without what is empty."""
    rows: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in changes:
        rows[change.kind, change.outcome].append(change)
    groups = {
        kind: {outcome: rows[kind, outcome] for outcome in COMPARED if rows[kind, outcome]}
        for kind in KINDS
    }
    return {kind: of_kind for kind, of_kind in groups.items() if of_kind}


def _comparable(chosen: BackupEntry) -> list[BackupEntry]:
    return [
        entry
        for entry in backups.listing(current_user.id)
        if entry.filename != chosen.filename and entry.state in ("verified", "unverified")
    ][:MOST_CHOICES]


def _started(job) -> Response:
    """Its progress, in the page; a reload shows the same job."""
    tasks.enqueue(job)
    return htmx.fragment(
        "jobs/_job.html",
        url_for(".index", job=job.id),
        **job_context(jobs.get(job.id, job.user_id)),
    )

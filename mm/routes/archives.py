"""Archives of the whole server: making, downloading, testing, keeping and deleting them, adding one
from elsewhere, the schedule, and the restore. For administrators."""

import tempfile
from typing import Any

from flask import Blueprint, Response, request, send_file, url_for

from mm import archive_bodies, auth, htmx, tasks
from mm.errors import InvalidError, NotFoundError, UserError
from mm.models import Job
from mm.routes.archive_contexts import (
    archives_context,
    job_context,
    schedule_context,
    upload_context,
)
from mm.routes.contexts import today
from mm.routes.forms import problems_of
from mm.schemas import ArchiveEntry, ArchiveSchedule, Problem
from mm.services import jobs
from mm.services.server import (
    all_users,
    archive_files,
    archive_schedule,
    archive_uploads,
    archives,
    restore,
)

# What of an archive is restored, and what it is called there.
PARTS = {
    "database": ("Accounts and libraries", "Everybody’s account, password and films"),
    "posters": ("Posters", "Otherwise they are fetched again"),
    "settings": ("Settings", "What was set on the server’s pages"),
}
TYPED_WORD = "restore"

bp = Blueprint("archives", __name__, url_prefix="/admin/archives")


@bp.get("")
@auth.admin_required
def show_all() -> Response:
    return htmx.fragment("admin/_archives.html", url_for("admin.index"), **archives_context())


@bp.get("/all-users")
@auth.admin_required
def export_all() -> Response:
    """All libraries in one JSON file, as each start and each night writes it."""
    # Without a name, so that nothing is left of it.
    file = tempfile.TemporaryFile()  # noqa: SIM115  Sending it closes it.
    export = all_users.write_to(file.write)
    size = file.tell()
    file.seek(0)
    auth.log_action("all_users.downloaded", users=export.users)
    name = f"moviemanager-all-users-{today()}.json"
    response = send_file(file, "application/json", as_attachment=True, download_name=name)
    response.content_length = size
    return htmx.private(response)


@bp.get("/room")
@auth.admin_required
def show_room() -> Response:
    home = url_for("admin.index")
    return htmx.fragment("admin/_archive_room.html", home, room=archives.room())


@bp.post("")
@auth.admin_required
def create() -> Response:
    """Back up now; the browser downloads it when it is ready."""
    form = request.form
    return _started(
        archives.request(
            posters="posters" in form,
            settings="settings" in form,
            database=True,
            secrets="secrets" in form,
            keep="keep" in form,
        )
    )


@bp.get("/jobs/<job_id>")
@auth.admin_required
def show_job(job_id: str) -> Response:
    job = jobs.get_of_server(job_id)
    if job.state not in jobs.ACTIVE:
        htmx.changed("archives")
    home = url_for("admin.index", job=job_id)
    return htmx.fragment("admin/_archive_job.html", home, **job_context(job))


@bp.post("/upload")
@auth.admin_required
def upload() -> Response:
    """An archive from another server, or one that was downloaded here. What is wrong with it is
    said at the field."""
    try:
        with archive_bodies.received() as received:
            if received.path is None:
                raise InvalidError(archive_bodies.NO_FILE)
            entry = archive_uploads.add(received.path)
            auth.log_action("archive.uploaded", archive=entry.timestamp)
    except UserError as error:
        return htmx.render(
            "admin/archive_upload.html",
            "admin/_archive_upload.html",
            status=error.status,
            **upload_context(error.message),
        )
    htmx.toast("The archive passed its test restore and is in the list.")
    htmx.changed("archives")
    return htmx.fragment("admin/_archive_upload.html", url_for("admin.index"), **upload_context())


@bp.post("/schedule")
@auth.admin_required
def save_schedule() -> Response:
    typed = _typed_schedule()
    try:
        archive_schedule.save(_schedule(typed))
    except InvalidError as error:
        return htmx.render(
            "admin/archive_schedule.html",
            "admin/_archive_schedule.html",
            status=error.status,
            **schedule_context(typed, problems_of(error)),
        )
    htmx.toast("Saved." if typed["enabled"] else "Saved. Archives are only made by hand.")
    htmx.changed("archives")
    return htmx.fragment(
        "admin/_archive_schedule.html", url_for("admin.index"), **schedule_context()
    )


@bp.get("/<timestamp>")
@auth.admin_required
def download(timestamp: str) -> Response:
    """In parts too, for a download that is taken up again. Of a damaged one only after a
    warning."""
    entry = _entry(timestamp)
    if entry.state == "damaged" and "anyway" not in request.args:
        return htmx.render("admin/archive_damaged.html", entry=entry)
    return archive_bodies.download(timestamp)


@bp.post("/<timestamp>/check")
@auth.admin_required
def check(timestamp: str) -> Response:
    return _started(archives.request_check(timestamp))


@bp.post("/<timestamp>/pin")
@auth.admin_required
def pin(timestamp: str) -> Response:
    """Set to what the form says, so that a double click does what it looks like."""
    pinned = request.form.get("pinned") == "1"
    archives.pin(timestamp, pinned)
    htmx.toast("Pinned: it stays until you unpin it." if pinned else "Unpinned.")
    return htmx.fragment("admin/_archives.html", url_for("admin.index"), **archives_context())


@bp.get("/<timestamp>/delete")
@auth.admin_required
def confirm_delete(timestamp: str) -> Response:
    """Also for a description whose file is gone, which is all that can be done with it."""
    listed = archives.listing()
    entry = next((entry for entry in listed if entry.timestamp == timestamp), None)
    if entry is None or entry.state == "foreign":
        raise NotFoundError(archive_files.NOT_FOUND)
    stay = [other for other in listed if other.state == "verified" and not other.expires_at]
    others = [other for other in stay if other is not entry]
    return htmx.render("admin/archive_delete.html", entry=entry, others=others)


@bp.post("/<timestamp>/delete")
@auth.admin_required
def delete(timestamp: str) -> Response:
    archives.delete(timestamp)
    auth.log_action("archive.deleted", archive=timestamp)
    htmx.toast("Archive deleted.")
    return htmx.go(url_for("admin.index"))


@bp.get("/<timestamp>/restore")
@auth.admin_required
def plan_restore(timestamp: str) -> Response:
    return _restore_page(_entry(timestamp))


@bp.post("/<timestamp>/restore")
@auth.admin_required
def start_restore(timestamp: str) -> Response:
    """To a page that needs no log-in, for the restore ends everybody's."""
    entry = _entry(timestamp)
    chosen = {part: part in request.form.getlist("part") for part in PARTS}
    problems = {}
    if not any(chosen.values()):
        problems["part"] = "Choose at least one part."
    if request.form.get("confirm", "").strip().lower() != TYPED_WORD:
        problems["confirm"] = f"Type the word {TYPED_WORD} to go on."
    if problems:
        return _restore_page(entry, chosen, problems, 422)
    try:
        job, token = restore.request(timestamp, **chosen)
    except UserError as error:
        return _restore_page(entry, chosen, {"restore": error.message}, error.status)
    tasks.enqueue(job)
    auth.log_action("restore.requested", archive=timestamp)
    return htmx.go(url_for("restored.show", token=token))


def _entry(timestamp: str) -> ArchiveEntry:
    return archive_files.entry(archive_files.path_of(timestamp))


def _started(job: Job) -> Response:
    """Its progress, in the page; a reload shows the same job."""
    tasks.enqueue(job)
    home = url_for("admin.index", job=job.id)
    return htmx.fragment("admin/_archive_job.html", home, **job_context(jobs.get_of_server(job.id)))


def _restore_page(
    entry: ArchiveEntry,
    chosen: dict[str, bool] | None = None,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    """`chosen`: the parts that are ticked, else all that the archive has."""
    contents = entry.contents
    there = {
        "database": bool(contents and contents.has_database),
        "posters": bool(contents and contents.posters_count),
        "settings": bool(contents and contents.settings_count),
    }
    return htmx.render(
        "admin/archive_restore.html",
        status=status,
        entry=entry,
        here=restore.here(),
        parts=PARTS,
        there=there,
        chosen=chosen or there,
        is_older=archive_files.is_older(archive_files.path_of(entry.timestamp)),
        word=TYPED_WORD,
        problems=problems or {},
    )


def _typed_schedule() -> dict[str, Any]:
    form = request.form
    return {
        "enabled": "enabled" in form,
        "time": form.get("time", "").strip(),
        "days": form.getlist("days"),
        "keep_last": form.get("keep_last", "").strip(),
        "include_posters": "include_posters" in form,
    }


def _schedule(typed: dict[str, Any]) -> ArchiveSchedule:
    """Raises InvalidError where `keep_last` is no number; the rest is checked when it is saved."""
    if not typed["keep_last"].isdecimal() or not typed["keep_last"].isascii():
        problem = Problem("keep_last", "write a whole number; 0 keeps all")
        raise InvalidError(problem.reason, [problem])
    return ArchiveSchedule(**{**typed, "keep_last": int(typed["keep_last"])})

"""Archives of the whole server, and its restore, for administrators."""

from collections.abc import Callable

import msgspec
from flask import Blueprint, request, url_for
from msgspec import UNSET

from mm import archive_bodies, auth, tasks
from mm.api.openapi import amend, answers, api, one_of, read_json
from mm.errors import InvalidError, NotFoundError, UserError
from mm.schemas import (
    ArchiveEntry,
    ArchiveList,
    ArchiveRequest,
    ArchiveScheduleChange,
    ArchiveScheduleView,
    ArchiveValidation,
    BegunArchive,
    BegunCheck,
    BegunRestore,
    PinChange,
    RestoreState,
    ServerJob,
    ServerRestore,
)
from mm.services import jobs, settings
from mm.services.server import archive_lock, archive_schedule, archive_uploads, archives, restore

bp = Blueprint("system", __name__, url_prefix="/v1/system")
UNCONFIRMED = "Restore will replace all data. Continue? Send confirm=true."
NO_FILE = (
    "Send the archive as the field `file` of a multipart form, "
    "or as the body with Content-Type: application/zip."
)
NO_ARCHIVE = "Name an archive with `timestamp`, or send one as `file` of a multipart form."


@bp.post("/backup")
@auth.admin_required
@api.validate(
    resp=answers(400, 401, 403, 409, 413, 415, 429, 503, 507, HTTP_202=BegunArchive),
    tags=["Server"],
)
def create(json: ArchiveRequest):
    """Make an archive of the whole server; `GET /v1/system/jobs/{job_id}` tells how it goes.

    It is test-restored before it counts as made. 409 while other work on the whole server is
    queued or runs, 429 for more than 6 an hour, 507 with "Not enough disk space: N needed, M free".
    """
    job = archives.request(
        posters=json.include_posters,
        settings=json.include_settings,
        database=json.include_database,
        secrets=json.include_secrets,
        keep=json.keep,
    )
    tasks.enqueue(job)
    timestamp = job.params["timestamp"]
    address = url_for("api.system.download", timestamp=timestamp)
    return BegunArchive(job.id, timestamp, address), 202


@bp.get("/backup/list")
@auth.admin_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=ArchiveList), tags=["Server"])
def listing():
    """All archives, newest first, with what is damaged or not an archive of ours named so."""
    return ArchiveList(archives.listing())


@bp.get("/backup/<timestamp>/download")
@auth.admin_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=None), tags=["Server"])
def download(timestamp: str):
    """An archive as it is, a ZIP file. Takes Range and If-None-Match.

    Keep it safe: it holds everybody's password hash and library, and API keys if it was made with
    `include_secrets`.
    """
    return archive_bodies.download(timestamp)


@bp.post("/backup/validate")
@auth.admin_required
@api.validate(
    resp=answers(400, 401, 403, 409, 413, 503, 507, HTTP_200=ArchiveValidation), tags=["Server"]
)
def validate():
    """Test-restore an archive from elsewhere, without keeping it or changing anything.

    `valid` is false and `message` says why where it cannot be restored. 422 without a file.
    """
    with archive_bodies.received() as sent:
        if sent.path is None:
            raise InvalidError(NO_FILE)
        return archive_uploads.validate(sent.path)


@bp.post("/backup/upload")
@auth.admin_required
@api.validate(
    resp=answers(400, 401, 403, 409, 413, 503, 507, HTTP_201=ArchiveEntry), tags=["Server"]
)
def upload():
    """Add an archive from elsewhere, where it stays until it is deleted. Nothing is restored.

    It is test-restored first: 422 with "Backup file is corrupted: …" for one that fails.
    """
    with archive_bodies.received() as sent:
        if sent.path is None:
            raise InvalidError(NO_FILE)
        entry = archive_uploads.add(sent.path)
    auth.log_action("archive.uploaded", archive=entry.timestamp)
    return entry, 201


@bp.put("/backup/<timestamp>/pin")
@auth.admin_required
@api.validate(
    resp=answers(401, 403, 404, 409, 413, 415, 503, 507, HTTP_200=ArchiveEntry), tags=["Server"]
)
def pin(timestamp: str, json: PinChange):
    """Keep an archive until it is unpinned, also when it is older than what is kept."""
    return archives.pin(timestamp, json.pinned)


@bp.post("/backup/<timestamp>/verify")
@auth.admin_required
@api.validate(resp=answers(401, 403, 404, 409, 503, 507, HTTP_202=BegunCheck), tags=["Server"])
def verify(timestamp: str):
    """Test-restore an archive again; the list then shows what was found."""
    job = archives.request_check(timestamp)
    tasks.enqueue(job)
    return BegunCheck(job.id), 202


@bp.delete("/backup/<timestamp>")
@auth.admin_required
@api.validate(resp=answers(401, 403, 404, 409, 503, HTTP_204=None), tags=["Server"])
def delete(timestamp: str):
    """Delete an archive for good."""
    archives.delete(timestamp)
    auth.log_action("archive.deleted", archive=timestamp)
    return "", 204


@bp.get("/backup/schedule")
@auth.admin_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=ArchiveScheduleView), tags=["Server"])
def schedule():
    """When archives are made automatically, how many of these stay, and the room they need."""
    return _schedule()


@bp.put("/backup/schedule")
@auth.admin_required
@api.validate(
    resp=answers(400, 401, 403, 413, 415, 503, 507, HTTP_200=ArchiveScheduleView),
    tags=["Server"],
)
def change_schedule(json: ArchiveScheduleChange):
    """Change the schedule. `keep_last` counts archives of the schedule; 0 keeps all of them."""
    given = {
        name: value for name, value in msgspec.structs.asdict(json).items() if value is not UNSET
    }
    archive_schedule.save(msgspec.structs.replace(settings.archives(), **given))
    return _schedule()


@bp.post("/restore")
@auth.admin_required
@api.validate(
    resp=answers(400, 401, 403, 404, 409, 413, 415, 503, 507, HTTP_202=BegunRestore),
    tags=["Server"],
)
def start_restore():
    """Replace the data of the whole server by an archive's: one of the list, or one sent along.

    Without `confirm` it is a 400. The archive is checked first (422 "Backup file is corrupted: …");
    one that is sent along stays in the list. What is here now goes into a safety archive. Meanwhile
    whatever writes is answered with 503 and Retry-After. Afterwards every session and token has
    ended, yours too: `outcome_url` needs none.
    """
    # Before gigabytes are received for nothing.
    archive_lock.require_idle()
    if request.is_json:
        options = _confirmed(read_json, ServerRestore)
        timestamp = options.timestamp
    else:
        with archive_bodies.received() as sent:
            options = _confirmed(msgspec.convert, sent.form.to_dict(), ServerRestore, strict=False)
            added = archive_uploads.add(sent.path) if sent.path else None
        timestamp = added.timestamp if added else options.timestamp
    if not timestamp:
        raise InvalidError(NO_ARCHIVE)
    job, token = restore.request(
        timestamp,
        database=options.restore_database,
        posters=options.restore_posters,
        settings=options.restore_settings,
    )
    tasks.enqueue(job)
    auth.log_action("restore.requested", archive=timestamp)
    outcome_url = url_for("api.system.outcome", token=token)
    return BegunRestore(job.id, outcome_url, f"/restored/{token}"), 202


@bp.get("/restored/<token>")
@api.validate(resp=answers(404, 503, HTTP_200=RestoreState), tags=["Server"], security=[])
def outcome(token: str):
    """How a restore goes and how it ended, for whoever was given this address. It needs no log-in.

    `differences` names what the other server had set and this one lacks.
    """
    state = restore.outcome(token)
    if state is None:
        raise NotFoundError("This address is not, or no longer, that of a restore.")
    return state


@bp.get("/jobs/<job_id>")
@auth.admin_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=ServerJob), tags=["Server"])
def job(job_id: str):
    """How work on the whole server goes, and how it ended. Kept for 7 days."""
    found = jobs.get_of_server(job_id)
    return ServerJob(
        id=found.id,
        kind=found.kind,
        state=found.state,
        done=found.done,
        total=found.total,
        # That of the last step, which is over.
        message="" if found.state == "done" else found.message,
        result=found.result,
        created_at=found.created_at,
        finished_at=found.finished_at,
    )


def _schedule() -> ArchiveScheduleView:
    return ArchiveScheduleView(
        **msgspec.structs.asdict(settings.archives()),
        next_run=archive_schedule.next_run(),
        room=archives.room(),
    )


def _confirmed(read: Callable[..., ServerRestore], *sent: object, **how: bool) -> ServerRestore:
    try:
        options = read(*sent, **how)
    except msgspec.ValidationError as error:
        raise InvalidError(str(error)) from error
    if not options.confirm:
        raise UserError(UNCONFIRMED)
    return options


_FILE = {"type": "string", "format": "binary"}
_UPLOAD = {
    "required": True,
    "content": {
        "application/zip": {"schema": _FILE},
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}}
        },
    },
}
_OPTIONS = {"$ref": "#/components/schemas/ServerRestore"}
_RESTORE = {
    "required": True,
    "content": {
        "application/json": {"schema": _OPTIONS},
        "multipart/form-data": {
            "schema": {"allOf": [_OPTIONS, {"type": "object", "properties": {"file": _FILE}}]}
        },
    },
}
_REFUSED = {"422": one_of("One sentence: why it is refused", "ErrorDetail")}
_EITHER = {
    "422": one_of(
        "One sentence: why it is refused; a list for a body of the wrong shape",
        "ErrorDetail",
        "ValidationDetail",
    )
}
_ZIP = {"200": {"description": "The file", "content": {"application/zip": {"schema": _FILE}}}}
amend("/api/v1/system/backup", "post", responses=_EITHER)
amend("/api/v1/system/backup/{timestamp}/pin", "put", responses=_EITHER)
amend("/api/v1/system/backup/{timestamp}/download", "get", responses=_ZIP)
amend("/api/v1/system/backup/validate", "post", requestBody=_UPLOAD, responses=_REFUSED)
amend("/api/v1/system/backup/upload", "post", requestBody=_UPLOAD, responses=_REFUSED)
amend("/api/v1/system/restore", "post", requestBody=_RESTORE, responses=_REFUSED)

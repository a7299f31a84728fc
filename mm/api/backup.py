"""Export, import, and one user's backup files."""

import msgspec
from flask import Blueprint, Response, request, send_file
from msgspec import UNSET, Struct

from mm import auth, tasks
from mm.api.openapi import amend, answers, api, one_of
from mm.errors import NotFoundError, UnusableFileError
from mm.models import User
from mm.schemas import (
    BackupEntry,
    BackupList,
    BackupSettings,
    BackupSettingsChange,
    Conflicts,
    Document,
    ImportResult,
    Mode,
    PinChange,
    PlanView,
    UndoRequest,
)
from mm.services import portable
from mm.services.backup import (
    adding,
    backups,
    imports,
    large_files,
    nightly,
    policies,
    state,
    undoing,
)
from mm.services.backup import files as backup_files

bp = Blueprint("backup", __name__, url_prefix="/backup")
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
PRIVATE = "private, no-store"


class ImportOptions(Struct):
    """`mode`: merge adds to the library and removes nothing, replace makes it what the file says.
    `conflicts`: what a merge does with rows that are in both. `dry_run`: answer what would happen,
    and write nothing."""

    mode: Mode = "merge"
    conflicts: Conflicts = "overwrite"
    dry_run: bool = False


@bp.get("/export")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=Document), tags=["Backup"])
def export():
    """Your library as a v2 document, to keep or to import elsewhere."""
    filename, body = portable.export_file(auth.account().id)
    response = Response(body, mimetype="application/json")
    response.headers.set("Content-Disposition", "attachment", filename=filename)
    response.headers["Cache-Control"] = PRIVATE
    return response


@bp.post("/import")
@auth.account_required
@api.validate(resp=answers(401, 403, 409, 413, 503, 507, HTTP_200=ImportResult), tags=["Backup"])
def import_library(query: ImportOptions):
    """Take a v1 or v2 document over into your library, all of it or nothing: merged into it, or
    with mode=replace in its place.

    A replace removes what the document has not; what the document's maker did not know (a key that
    is absent) stays. A safety backup is made first, and `POST /backup/undo` goes back to it.

    Rows that cannot be used are left out: `errors` names each in a sentence, `problems` with its
    path and reason. A file that cannot be used at all is a 422 with one sentence. A dry run answers
    the plan.
    """
    user = auth.account()
    data, source = _sent_file(user)
    if query.dry_run:
        return _answer(portable.view(imports.plan_bytes(user, data, query.conflicts, query.mode)))
    return _answer(imports.import_bytes(user, data, query.conflicts, query.mode, source))


@bp.get("/settings")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=BackupSettings), tags=["Backup"])
def settings():
    """Whether your library is backed up every night, and how many of these backups stay."""
    return _settings(auth.account())


@bp.put("/settings")
@auth.account_required
@api.validate(resp=answers(401, 403, 409, 413, 415, 503, HTTP_200=BackupSettings), tags=["Backup"])
def change_settings(json: BackupSettingsChange):
    """Switch the nightly backup on or off, which makes a first backup at once, and say how many of
    these backups stay.

    What is no longer kept then goes after the next verified backup, at most 3 files a night.
    """
    user = auth.account()
    counts = {kind: getattr(json, f"keep_{kind}") for kind in policies.UNITS}
    given = {kind: count for kind, count in counts.items() if count is not UNSET}
    if given:
        policies.save(user, policies.changed(policies.of(user), **given))
    if json.backup_enabled is not UNSET and (job := nightly.enable(user, json.backup_enabled)):
        tasks.enqueue(job)
    return _settings(User.get_by_id(user.id))


@bp.get("/list")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=BackupList), tags=["Backup"])
def listing():
    """Your backup files, newest first, with what is damaged or not a backup of ours named so.

    `last_good` is the newest verified copy of any kind but an uploaded one. `last_error` says why
    the last attempt of any kind failed; it is null once a later copy is good.
    """
    user = auth.account()
    health = state.of(user)
    last_good = health.last_good.created_at if health.last_good else None
    return BackupList(backups.listing(user.id), last_good, health.next_run, health.last_error)


@bp.post("/create")
@auth.account_required
@api.validate(resp=answers(401, 403, 409, 429, 503, 507, HTTP_201=BackupEntry), tags=["Backup"])
def create():
    """Back up your library now; the answer comes when the file has been verified by a test restore.

    At most 10 an hour (429), and 50 of them or 1 GB in all (507): delete old ones.
    """
    return backups.create(auth.account()), 201


@bp.post("/upload")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 409, 413, 429, 503, 507, HTTP_201=BackupEntry), tags=["Backup"]
)
def upload():
    """Add a backup file from elsewhere to your backups, where it stays until you delete it.

    Nothing of it is imported. It is test-restored first: where that fails, it is kept all the same,
    and `problem` says why. A file that cannot be used at all is a 422 with one sentence. It counts
    as one that you made (429, 507).
    """
    user = auth.account()
    return adding.add(user, _sent_file(user)[0]), 201


@bp.post("/verify/<path:filename>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 409, 503, 507, HTTP_200=BackupEntry), tags=["Backup"])
def verify(filename: str):
    """Test-restore a backup. `verified_at` is null and `problem` says why when it failed."""
    return backups.verify(auth.account(), filename)


@bp.get("/download/<path:filename>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 503, HTTP_200=Document), tags=["Backup"])
def download(filename: str):
    """A backup file as it is. Takes Range and If-None-Match."""
    path = backups.path_of(auth.account().id, filename)
    try:
        response = send_file(path, "application/json", as_attachment=True, download_name=filename)
    except FileNotFoundError as error:  # deleted since it was listed
        raise NotFoundError(backup_files.NOT_FOUND) from error
    response.headers["Cache-Control"] = PRIVATE
    return response


@bp.post("/restore/<path:filename>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 409, 503, 507, HTTP_200=ImportResult), tags=["Backup"])
def restore(filename: str, query: ImportOptions):
    """Take one of your backups over into your library, all of it or nothing: merged into it, or
    with mode=replace going back to it exactly. A dry run answers the plan."""
    user = auth.account()
    if query.dry_run:
        plan = imports.plan_backup(user, filename, query.conflicts, query.mode)
        return _answer(portable.view(plan))
    return _answer(imports.restore_backup(user, filename, query.conflicts, query.mode))


@bp.post("/undo")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 409, 413, 415, 503, 507, HTTP_200=ImportResult), tags=["Backup"]
)
def undo(json: UndoRequest):
    """Take back an import, a restore or an undo of the last 7 days: your library becomes what the
    safety backup from right before it holds. By default, what was done last.

    `warnings` names what you did since, which is undone too. This makes a safety backup as well,
    so that it can be undone. 404 says why there is nothing to undo. A dry run answers the plan.
    """
    user = auth.account()
    if json.dry_run:
        return _answer(portable.view(undoing.plan(user, json.filename)))
    return _answer(undoing.at_once(user, json.filename))


@bp.put("/pin/<path:filename>")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 409, 413, 415, 503, 507, HTTP_200=BackupEntry), tags=["Backup"]
)
def pin(filename: str, json: PinChange):
    """Keep a backup until you unpin it, also when it is older than what is kept. One that is
    damaged cannot be pinned; one that was pinned by itself, before a large drop, can be unpinned.
    """
    return backups.pin(auth.account(), filename, json.pinned)


@bp.delete("/<path:filename>")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 409, 503, HTTP_204=None), tags=["Backup"])
def delete(filename: str):
    """Delete a backup file for good."""
    backups.delete(auth.account(), filename)
    return "", 204


def _sent_file(user: User) -> tuple[bytes, str | None]:
    """The form's field `file` with its name, or else the body, whatever its type says."""
    large_files.require_turn(user.id, request.content_length or 0)
    if request.mimetype not in FORMS:
        return request.get_data(), None
    if file := request.files.get("file"):
        return file.read(), file.filename
    raise UnusableFileError(
        "Send the document as the body, or as the field `file` of a multipart form."
    )


def _settings(user: User) -> BackupSettings:
    counts = {f"keep_{kind}": getattr(user, f"keep_{kind}") for kind in policies.UNITS}
    return BackupSettings(user.backup_enabled, **counts)


def _answer(result: ImportResult | PlanView) -> Response:
    """Encoded here, because spectree takes only one model for each status."""
    if isinstance(result, ImportResult):
        tasks.start_enrichment()
    return Response(msgspec.json.encode(result), mimetype="application/json")


_IMPORT_ANSWER = {
    "200": one_of("What was done, or for a dry run what would be", "ImportResult", "PlanView"),
    "422": one_of(
        "One sentence for a document that cannot be used, a list for parameters that cannot",
        "ErrorDetail",
        "ValidationDetail",
    ),
}
_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_IMPORT_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Document"}},
        "multipart/form-data": {"schema": _FILE},
    },
}
amend("/api/backup/import", "post", requestBody=_IMPORT_BODY, responses=_IMPORT_ANSWER)
amend("/api/backup/undo", "post", responses=_IMPORT_ANSWER)
amend(
    "/api/backup/upload",
    "post",
    requestBody=_IMPORT_BODY,
    responses={"422": {**_IMPORT_ANSWER["422"], "description": "One sentence: why it is refused"}},
)
amend("/api/backup/restore/{filename}", "post", responses=_IMPORT_ANSWER)

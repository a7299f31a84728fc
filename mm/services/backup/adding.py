"""A backup file from elsewhere, put among a user's own: nothing of it is imported."""

import mm
from mm import clock, files, log
from mm.errors import TooLargeError
from mm.models import User
from mm.schemas import BackupEntry, Sidecar
from mm.services import validation
from mm.services.backup import (
    backups,
    large_files,
    quotas,
    uploads,
    verification,
)
from mm.services.backup import files as backup_files
from mm.services.portable import FILE_MAX


def add(user: User, data: bytes) -> BackupEntry:
    """Keep `data` as a backup of kind uploaded, test-restored like a file of another program: where
    that fails, the entry says why. Raises UnusableFileError or TooLargeError for what could not be
    imported either, BusyError, NoRoomError, TooManyRequestsError, and UnavailableError while
    another large file is read; nothing is then kept."""
    with uploads.refusal_logged(user.id, "upload"):
        if len(data) > FILE_MAX:
            raise TooLargeError(validation.TOO_LARGE)
        counts = verification.counts_of(large_files.read(data, user.id))
        sidecar = Sidecar(
            kind="uploaded",
            created_at=clock.now(),
            size_bytes=len(data),
            sha256=files.digest(data),
            counts=counts,
            mm_version=mm.__version__,
        )
        with backups.holding(user.id, backups.DELETE_WAITS_SECONDS):
            return backups.entry_of(user.id, _keep_held(user.id, data, sidecar))


def _keep_held(user_id: str, data: bytes, sidecar: Sidecar) -> str:
    folder = backup_files.folder_of(user_id)
    files.make_folder(folder)
    quotas.require(backup_files.entries(user_id), len(data))
    quotas.require_reserve(folder, len(data))
    files.require_room(folder, len(data))
    path = folder / backup_files.name_for(folder, "uploaded", sidecar.created_at)
    with files.draft(folder) as temporary:
        files.write(temporary, data)
        problem = verification.problem_of(
            temporary.read_bytes(), sidecar.counts, trusted=False, exact=False
        )
        sidecar.problem, sidecar.verified_at = problem, None if problem else clock.now()
        backup_files.publish(temporary, path, sidecar)
    size = {"bytes": len(data), "films": sidecar.counts.movies}
    log.info("backup.uploaded", user=user_id, file=path.name, verified=not problem, **size)
    return path.name

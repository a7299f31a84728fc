"""The names and the folder of one user's backups: `backups/USER_ID/NAME.json` and beside each its
sidecar.

The folder is the truth. Names are parsed strictly: what does not parse cannot be read, restored or
deleted.
"""

import os
import re
import stat
from datetime import date
from pathlib import Path

from mm import clock, config, described_files, files
from mm.errors import InvalidError, NotFoundError
from mm.schemas import BackupEntry, BackupKind, Sidecar

SCHEDULED_NAME = re.compile(r"\d{4}-\d{2}-\d{2}\.json", re.ASCII)
OTHER_NAME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-(?P<kind>manual|before-import|before-restore|uploaded)(-\d{1,3})?\.json",
    re.ASCII,
)
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_FOUND = "Backup file not found"
sidecar_path = described_files.sidecar_path
write_sidecar = described_files.write_sidecar
publish = described_files.publish
delete = described_files.delete
deletion_marker = described_files.deletion_marker
# What `sweep` may delete: the name of a backup.
BACKUP_NAME = re.compile(r"\d{4}-\d{2}-\d{2}[0-9T-]*[a-z-]*[0-9-]*\.json", re.ASCII)


def folder_of(user_id: str) -> Path:
    if not USER_ID.fullmatch(user_id):
        raise NotFoundError(NOT_FOUND)
    return config.current.backups_dir / user_id


def kind_of(filename: str) -> BackupKind | None:
    """None for a name that no backup can have."""
    try:
        date.fromisoformat(filename[:10])
    except ValueError:
        return None
    if SCHEDULED_NAME.fullmatch(filename):
        return "scheduled"
    match = OTHER_NAME.fullmatch(filename)
    return match["kind"] if match else None  # type: ignore[return-value]


def is_ours(filename: str | None) -> bool:
    """Whether this server wrote it, by its name: an uploaded one may hold anything."""
    return filename is not None and kind_of(filename) not in (None, "uploaded")


def name_for(folder: Path, kind: BackupKind, moment: float) -> str:
    """A name that is free, or for a scheduled backup the name of its day."""
    local = clock.local(moment, config.current.zone)
    if kind == "scheduled":
        return f"{local:%Y-%m-%d}.json"
    stem = f"{local:%Y-%m-%dT%H-%M-%S}-{kind}"
    names = [f"{stem}.json", *(f"{stem}-{number}.json" for number in range(2, 1000))]
    return next(name for name in names if not os.path.lexists(folder / name))


def path_of(user_id: str, filename: str) -> Path:
    """Raises NotFoundError for anything but a listed backup of this user."""
    path = folder_of(user_id) / filename if kind_of(filename) else None
    if path is None or not described_files.is_listed(path):
        raise NotFoundError(NOT_FOUND)
    return path


def is_there(user_id: str, filename: str) -> bool:
    """Whether this is the name of a listed backup."""
    try:
        path_of(user_id, filename)
    except NotFoundError:
        return False
    return True


def read(user_id: str, filename: str) -> bytes:
    """The file. Raises InvalidError for one that was changed or damaged since it was written."""
    path = path_of(user_id, filename)
    sidecar = read_sidecar(path)
    data = path.read_bytes()
    if sidecar and files.digest(data) != sidecar.sha256:
        raise InvalidError(f"{filename} is damaged. Choose another backup.")
    return data


def entries(user_id: str) -> list[BackupEntry]:
    folder = folder_of(user_id)
    names = described_files.names_in(folder, lambda name: kind_of(name) is not None)
    return [entry(folder / name) for name in names]


def find(user_id: str, filename: str | None) -> BackupEntry | None:
    """That of `entries` with this name, without reading the others."""
    if filename is None or kind_of(filename) is None:
        return None
    path = folder_of(user_id) / filename
    is_left = os.path.lexists(path) and not files.is_file(deletion_marker(path))
    return entry(path) if is_left or files.is_file(sidecar_path(path)) else None


def entry(path: Path) -> BackupEntry:
    kind = kind_of(path.name)
    file = os.lstat(path) if os.path.lexists(path) else None
    if kind is None or (file and not stat.S_ISREG(file.st_mode)):
        return _bare(path, None, "foreign", "not a Movie Manager backup; it is left alone")
    sidecar = read_sidecar(path)
    if sidecar is None:
        return _bare(path, kind, "unverified", described_files.UNDESCRIBED)
    health = described_files.health_of(sidecar, file.st_size if file else None)
    return BackupEntry(
        filename=path.name,
        kind=kind,
        created_at=sidecar.created_at,
        size_bytes=file.st_size if file else 0,
        counts=sidecar.counts,
        sha256=sidecar.sha256,
        verified_at=sidecar.verified_at,
        state=health.state,
        problem=health.problem,
        pinned=sidecar.pinned,
        kept_because=sidecar.kept_because,
        unchanged_since=sidecar.unchanged_since,
        rotten=health.rotten,
        before=sidecar.before,
    )


def _bare(path: Path, kind: str | None, state, problem: str) -> BackupEntry:
    file = os.lstat(path) if os.path.lexists(path) else None
    size, moment = (file.st_size, file.st_mtime) if file else (0, None)
    return BackupEntry(path.name, kind, moment, size, None, None, None, state, problem)


def read_sidecar(path: Path) -> Sidecar | None:
    """None where it is missing or cannot be read."""
    return described_files.read_sidecar(path, Sidecar)


def sweep(folder: Path) -> None:
    """See `described_files.sweep`. Hold the folder's lock."""
    described_files.sweep(folder, Sidecar, BACKUP_NAME.fullmatch)

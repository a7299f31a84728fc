"""The names and the folder of one user's backups: `backups/USER_ID/NAME.json` and beside each its sidecar.

The folder is the truth. Names are parsed strictly: what does not parse cannot be read, restored or deleted.
"""

import os
import re
import stat
from datetime import date
from pathlib import Path

from mm import clock, config
from mm.documents import BackupEntry, BackupKind, Sidecar
from mm.errors import Invalid, NotFound
from mm.services import archive

SCHEDULED_NAME = re.compile(r"\d{4}-\d{2}-\d{2}\.json", re.ASCII)
OTHER_NAME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-(?P<kind>manual|before-import|before-restore|uploaded)(-\d{1,3})?\.json",
    re.ASCII,
)
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_FOUND = "Backup file not found"


def folder_of(user_id: str) -> Path:
    if not USER_ID.fullmatch(user_id):
        raise NotFound(NOT_FOUND)
    return config.current.backups_dir / user_id


def kind_of(filename: str) -> BackupKind | None:
    """None for a name that no backup of ours can have."""
    if not _starts_with_a_date(filename):
        return None
    if SCHEDULED_NAME.fullmatch(filename):
        return "scheduled"
    match = OTHER_NAME.fullmatch(filename)
    return match["kind"] if match else None  # type: ignore[return-value]


def _starts_with_a_date(filename: str) -> bool:
    try:
        date.fromisoformat(filename[:10])
    except ValueError:
        return False
    return True


def name_for(folder: Path, kind: BackupKind, moment: float) -> str:
    """A name that is free, or for a scheduled backup the name of its day."""
    local = clock.local(moment, config.current.zone)
    if kind == "scheduled":
        return f"{local:%Y-%m-%d}.json"
    stem = f"{local:%Y-%m-%dT%H-%M-%S}-{kind}"
    names = [f"{stem}.json", *(f"{stem}-{number}.json" for number in range(2, 1000))]
    return next(name for name in names if not os.path.lexists(folder / name))


def path_of(user_id: str, filename: str) -> Path:
    """Raises NotFound for anything but a listed backup of this user."""
    path = folder_of(user_id) / filename if kind_of(filename) else None
    if path is None or not archive.is_file(path) or archive.is_file(archive.note_of(path)):
        raise NotFound(NOT_FOUND)
    return path


def read(user_id: str, filename: str) -> bytes:
    """The file, refused as Invalid when it is not what was written."""
    path = path_of(user_id, filename)
    sidecar = archive.read_sidecar(path)
    data = path.read_bytes()
    if sidecar and archive.digest(data) != sidecar.sha256:
        raise Invalid(f"{filename} is damaged: it is not what was written. Choose another backup.")
    return data


def entries(user_id: str) -> list[BackupEntry]:
    folder = folder_of(user_id)
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        files = {each.name: each.is_file(follow_symlinks=False) for each in found}
    names = {name for name in files if not name.startswith(archive.OURS)}
    described = {name.removesuffix(archive.META) for name in names if _is_sidecar(name, files)}
    sidecars = {name + archive.META for name in described}
    # Noted for deletion by a process that was killed; the next sweep finishes it.
    deleted = {
        name.removeprefix(archive.DELETING)
        for name, is_file in files.items()
        if name.startswith(archive.DELETING) and is_file
    }
    return [entry(folder / name) for name in sorted(names - sidecars - deleted | described)]


def _is_sidecar(name: str, files: dict[str, bool]) -> bool:
    described = name.removesuffix(archive.META)
    return files[name] and described != name and kind_of(described) is not None


def entry(path: Path) -> BackupEntry:
    kind = kind_of(path.name)
    file = os.lstat(path) if os.path.lexists(path) else None
    if kind is None or (file and not stat.S_ISREG(file.st_mode)):
        return _bare(path, None, "foreign", "not a backup of Movie Manager; it is left alone")
    sidecar = archive.read_sidecar(path)
    if sidecar is None:
        return _bare(path, kind, "unverified", "its description is missing or unreadable; verify it to know more")
    return _described(path, sidecar, file.st_size if file else None)


def _bare(path: Path, kind: str | None, state, problem: str) -> BackupEntry:
    file = os.lstat(path) if os.path.lexists(path) else None
    size, moment = (file.st_size, file.st_mtime) if file else (0, None)
    return BackupEntry(path.name, kind, moment, size, None, None, None, state, problem)


def _described(path: Path, sidecar: Sidecar, size: int | None) -> BackupEntry:
    problem, rotten = sidecar.problem, sidecar.rotten or size != sidecar.size_bytes
    if size is None:
        problem = "the file is gone; only its description is left"
    elif size != sidecar.size_bytes:
        problem = f"it has {size:,} bytes and was written with {sidecar.size_bytes:,}"
    state = "damaged" if problem else "verified" if sidecar.verified_at else "unverified"
    return BackupEntry(
        filename=path.name,
        kind=kind_of(path.name),
        created_at=sidecar.created_at,
        size_bytes=size or 0,
        counts=sidecar.counts,
        sha256=sidecar.sha256,
        verified_at=sidecar.verified_at,
        state=state,  # type: ignore[arg-type]
        problem=problem,
        pinned=sidecar.pinned,
        kept_because=sidecar.kept_because,
        unchanged_since=sidecar.unchanged_since,
        rotten=rotten,
    )

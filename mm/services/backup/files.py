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

import humanize
import msgspec

from mm import clock, config, files, log
from mm.errors import InvalidError, NotFoundError
from mm.schemas import BackupEntry, BackupKind, Sidecar

SCHEDULED_NAME = re.compile(r"\d{4}-\d{2}-\d{2}\.json", re.ASCII)
OTHER_NAME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-(?P<kind>manual|before-import|before-restore|uploaded)(-\d{1,3})?\.json",
    re.ASCII,
)
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_FOUND = "Backup file not found"
DELETING = ".deleting-"
PUBLISHING = ".publishing-"
UNFINISHED = (files.DRAFT, DELETING, PUBLISHING)
META = ".meta.json"
SIDECAR_MAX = 2**20
# 2200-01-01; nobody can show a time far beyond it.
MOMENT_MAX = 7_258_118_400
# What follows after DELETING or PUBLISHING: the name of a backup.
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
    if path is None or not files.is_file(path) or files.is_file(deletion_marker(path)):
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
    if not folder.is_dir():
        return []
    with os.scandir(folder) as files_in:
        regular = {file.name: file.is_file(follow_symlinks=False) for file in files_in}
    names = {name for name in regular if not name.startswith(UNFINISHED)}
    described = {
        name.removesuffix(META)
        for name in names
        if name.endswith(META) and regular[name] and kind_of(name.removesuffix(META))
    }
    sidecars = {name + META for name in described}
    # Marked for deletion by a process that was killed; the next sweep finishes it.
    deleted = {
        name.removeprefix(DELETING)
        for name, is_file in regular.items()
        if name.startswith(DELETING) and is_file
    }
    return [entry(folder / name) for name in sorted(names - sidecars - deleted | described)]


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
        undescribed = "its description is missing or unreadable; test it to know more"
        return _bare(path, kind, "unverified", undescribed)
    size = file.st_size if file else None
    problem, rotten = sidecar.problem, sidecar.rotten or size != sidecar.size_bytes
    if size is None:
        problem = "the file is gone; only its description is left"
    elif size != sidecar.size_bytes:
        # How much of it is there, where it was cut off.
        actual, written = map(humanize.naturalsize, (size, sidecar.size_bytes))
        problem = f"the file is incomplete ({actual} of {written})"
        if size > sidecar.size_bytes:
            problem = f"the file was changed: it has {actual} instead of {written}"
    state = "damaged" if problem else "verified" if sidecar.verified_at else "unverified"
    return BackupEntry(
        filename=path.name,
        kind=kind,
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
        before=sidecar.before,
    )


def _bare(path: Path, kind: str | None, state, problem: str) -> BackupEntry:
    file = os.lstat(path) if os.path.lexists(path) else None
    size, moment = (file.st_size, file.st_mtime) if file else (0, None)
    return BackupEntry(path.name, kind, moment, size, None, None, None, state, problem)


def publish(temporary: Path, target: Path, sidecar: Sidecar) -> None:
    """Give a checked draft its name and its sidecar, and wait for the folder to remember both.

    The sidecar is on the disk first, under a name from which `sweep` completes the pair when this
    is killed half-way: a disk that fills up leaves neither.
    """
    pending_sidecar = target.with_name(PUBLISHING + target.name)
    with files.draft(target.parent) as description:
        files.write(description, _encode(sidecar))
        os.replace(description, pending_sidecar)
    os.replace(temporary, target)
    os.replace(pending_sidecar, sidecar_path(target))
    files.sync_folder(target.parent)


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + META)


def read_sidecar(path: Path) -> Sidecar | None:
    """None where it is missing or cannot be read."""
    return _decode(sidecar_path(path))


def _decode(meta: Path) -> Sidecar | None:
    # Others may put a pipe, a link or a device there: opening must not wait for it,
    # and reading must come to an end.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(meta, flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > SIDECAR_MAX:
                return None
            sidecar = msgspec.json.decode(file.read(SIDECAR_MAX), type=Sidecar)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    moments = (sidecar.created_at, sidecar.verified_at, sidecar.unchanged_since)
    possible = all(moment is None or 0 <= moment <= MOMENT_MAX for moment in moments)
    return sidecar if possible else None


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    with files.draft(path.parent) as description:
        files.write(description, _encode(sidecar))
        os.replace(description, sidecar_path(path))
        files.sync_folder(path.parent)


def delete(path: Path) -> None:
    """File and sidecar. The renamed sidecar marks the deletion, which `sweep` finishes if this is
    killed half-way."""
    marker = deletion_marker(path)
    meta = sidecar_path(path)
    if files.is_file(meta):
        os.replace(meta, marker)
    path.unlink(missing_ok=True)
    marker.unlink(missing_ok=True)
    files.sync_folder(path.parent)


def deletion_marker(path: Path) -> Path:
    """What exists while `path` is being deleted."""
    return path.with_name(DELETING + path.name)


def sweep(folder: Path) -> None:
    """Remove drafts of killed processes and finish what they were about to do. Hold the folder's
    lock. Other files are left alone; one that cannot be removed does not stop the rest."""
    if not folder.is_dir():
        return
    leftovers = [path for path in folder.iterdir() if path.name.startswith(UNFINISHED)]
    # In the order in which they were begun.
    for prefix in (PUBLISHING, files.DRAFT, DELETING):
        for path in leftovers:
            if not path.name.startswith(prefix) or not files.is_file(path):
                continue
            target = path.with_name(path.name.removeprefix(prefix))
            try:
                if prefix == PUBLISHING:
                    sidecar = _decode(path)
                    if sidecar and files.is_file(target) and files.sha256(target) == sidecar.sha256:
                        os.replace(path, sidecar_path(target))
                    else:
                        path.unlink(missing_ok=True)
                elif prefix == DELETING and BACKUP_NAME.fullmatch(target.name):
                    target.unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
                elif prefix == files.DRAFT and files.DRAFT_NAME.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("leftover.not_removed", file=path.name, reason=error.strerror)


def _encode(sidecar: Sidecar) -> bytes:
    return msgspec.json.format(msgspec.json.encode(sidecar), indent=2)

"""File formats and safe writing of backup files: no database here.

A file appears under its name whole or not at all: a draft in the same folder is written, flushed to the disk and
checked before it takes the name.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mm import disk, log
from mm.documents import Sidecar
from mm.errors import NoRoom

DRAFT = ".tmp-"
DELETING = ".deleting-"
PUBLISHING = ".publishing-"
OURS = (DRAFT, DELETING, PUBLISHING)
META = ".meta.json"
# Left free beside what is written: the database and its log live on the same disk.
ROOM_TO_SPARE = 2**20
SIDECAR_MAX = 2**20
# 2200-01-01; nobody can show a time far beyond it.
MOMENT_MAX = 7_258_118_400
DRAFT_NAME = re.compile(rf"{re.escape(DRAFT)}[0-9a-f]{{16}}")
# What a note or a pledge of ours ends in: the name of a backup.
BACKUP_NAME = re.compile(r"\d{4}-\d{2}-\d{2}[0-9T-]*[a-z-]*[0-9-]*\.json", re.ASCII)


@contextlib.contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """A new name for a file that is not listed; whatever is still there under it at the end is removed. A full disk
    is NoRoom."""
    make_folder(folder)
    path = folder / f"{DRAFT}{secrets.token_hex(8)}"
    try:
        yield path
    except OSError as error:
        if error.errno not in disk.OUT_OF_ROOM:
            raise
        free = disk.megabytes(disk.free_bytes(folder))
        raise NoRoom(f"Not enough disk space: {free} free in the data folder.") from error
    finally:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """With its parent's entry of it on the disk."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)


def write(path: Path, data: bytes) -> None:
    """Create `path` with `data`, readable by the owner only, and wait for the disk. The memory's
    copy of it is dropped, so that who reads it back reads what the disk has."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        _forget(file.fileno())


def _forget(descriptor: int) -> None:
    """A hint, which not every system knows."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def publish(temporary: Path, target: Path, sidecar: Sidecar) -> None:
    """Give a checked draft its name and its sidecar, and wait for the folder to remember both.

    The sidecar is on the disk first, under a name from which `sweep` completes the pair when this is killed half-way:
    a disk that fills up leaves neither.
    """
    pledge = target.with_name(PUBLISHING + target.name)
    with draft(target.parent) as description:
        write(description, _encode(sidecar))
        os.replace(description, pledge)
    os.replace(temporary, target)
    os.replace(pledge, sidecar_path(target))
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_room(folder: Path, size_bytes: int) -> None:
    """Raises NoRoom before anything is written."""
    needed, free = size_bytes + ROOM_TO_SPARE, disk.free_bytes(folder)
    if free < needed:
        raise NoRoom(not_enough(needed, free))


def not_enough(needed: int, free: int) -> str:
    return f"Not enough disk space: {disk.megabytes(needed)} needed, {disk.megabytes(free)} free."


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + META)


def read_sidecar(path: Path) -> Sidecar | None:
    """None where it is missing or cannot be read: such a file is half-known."""
    return _decode(sidecar_path(path))


def _decode(meta: Path) -> Sidecar | None:
    try:
        sidecar = msgspec.json.decode(_read_small(meta), type=Sidecar)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    moments = (sidecar.created_at, sidecar.verified_at, sidecar.unchanged_since)
    possible = all(moment is None or 0 <= moment <= MOMENT_MAX for moment in moments)
    return sidecar if possible else None


def _read_small(path: Path) -> bytes:
    """A regular file of up to SIDECAR_MAX bytes; OSError for anything else. Others may put a pipe,
    a link or a device there: opening must not wait for it, and reading must come to an end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > SIDECAR_MAX:
            raise OSError("not a file of ours")
        return file.read(SIDECAR_MAX)


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    with draft(path.parent) as description:
        write(description, _encode(sidecar))
        os.replace(description, sidecar_path(path))
        sync_folder(path.parent)


def delete(path: Path) -> None:
    """File and sidecar. The renamed sidecar is the note from which `sweep` finishes the deletion if
    this is killed half-way."""
    note = note_of(path)
    meta = sidecar_path(path)
    if is_file(meta):
        os.replace(meta, note)
    path.unlink(missing_ok=True)
    note.unlink(missing_ok=True)
    sync_folder(path.parent)


def note_of(path: Path) -> Path:
    """What is there while `path` is being deleted."""
    return path.with_name(DELETING + path.name)


def is_file(path: Path) -> bool:
    """A regular file, not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def sweep(folder: Path) -> None:
    """Remove drafts of killed processes and finish what they were about to do. Hold the folder's
    lock. What is not a file of ours is left alone; one that cannot be removed costs only itself."""
    if not folder.is_dir():
        return
    leftovers = [path for path in folder.iterdir() if path.name.startswith(OURS)]
    # Pledges before drafts before notes, as they were begun.
    for prefix, finish in (
        (PUBLISHING, _finish_publishing),
        (DRAFT, _remove_draft),
        (DELETING, _finish_deleting),
    ):
        for path in leftovers:
            if path.name.startswith(prefix) and is_file(path):
                try:
                    finish(path, path.with_name(path.name.removeprefix(prefix)))
                except OSError as error:
                    log.warning("leftover.not_removed", file=path.name, reason=error.strerror)


def _remove_draft(path: Path, _target: Path) -> None:
    if DRAFT_NAME.fullmatch(path.name):
        path.unlink(missing_ok=True)


def _finish_deleting(note: Path, target: Path) -> None:
    if BACKUP_NAME.fullmatch(target.name):
        target.unlink(missing_ok=True)
        note.unlink(missing_ok=True)


def _finish_publishing(pledge: Path, target: Path) -> None:
    sidecar = _decode(pledge)
    if sidecar and is_file(target) and sha256(target) == sidecar.sha256:
        os.replace(pledge, sidecar_path(target))
    else:
        pledge.unlink(missing_ok=True)


def _encode(sidecar: Sidecar) -> bytes:
    return msgspec.json.format(msgspec.json.encode(sidecar), indent=2)

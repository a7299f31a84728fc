"""File formats and safe writing of backup files: no database here.

A file appears under its name whole or not at all: a draft in the same folder is written, flushed to the disk and
checked before it takes the name.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mm.documents import Sidecar
from mm.errors import NoRoom

DRAFT = ".tmp-"
DELETING = ".deleting-"
PUBLISHING = ".publishing-"
OURS = (DRAFT, DELETING, PUBLISHING)
META = ".meta.json"
# Left free beside what is written: the database and its log live on the same disk.
ROOM_TO_SPARE = 2**20
OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """A new name for a file that is not listed; whatever is still there under it at the end is removed. A full disk
    is NoRoom."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{DRAFT}{secrets.token_hex(8)}"
    try:
        yield path
    except OSError as error:
        if error.errno not in OUT_OF_ROOM:
            raise
        raise NoRoom(f"Not enough disk space: {_megabytes(free_bytes(folder))} free in the data folder.") from error
    finally:
        path.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Create `path` with `data`, readable by the owner only, and wait for the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


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
    needed, free = size_bytes + ROOM_TO_SPARE, free_bytes(folder)
    if free < needed:
        raise NoRoom(f"Not enough disk space: {_megabytes(needed)} needed, {_megabytes(free)} free.")


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


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
    if meta.is_symlink():
        return None
    try:
        return msgspec.json.decode(meta.read_bytes(), type=Sidecar)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    with draft(path.parent) as description:
        write(description, _encode(sidecar))
        os.replace(description, sidecar_path(path))
        sync_folder(path.parent)


def delete(path: Path) -> None:
    """File and sidecar. The renamed sidecar is the note that `finish_deletions` finds if this is killed half-way."""
    note = path.with_name(DELETING + path.name)
    meta = sidecar_path(path)
    if meta.exists():
        os.replace(meta, note)
    path.unlink(missing_ok=True)
    note.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove drafts of killed processes and finish what they were about to do. Hold the folder's lock."""
    for pledge in folder.glob(f"{PUBLISHING}*"):
        _finish_publishing(pledge, pledge.with_name(pledge.name.removeprefix(PUBLISHING)))
    for path in folder.glob(f"{DRAFT}*"):
        path.unlink(missing_ok=True)
    for note in folder.glob(f"{DELETING}*"):
        note.with_name(note.name.removeprefix(DELETING)).unlink(missing_ok=True)
        note.unlink(missing_ok=True)


def _finish_publishing(pledge: Path, target: Path) -> None:
    sidecar = _decode(pledge)
    if sidecar and target.is_file() and sha256(target) == sidecar.sha256:
        os.replace(pledge, sidecar_path(target))
    else:
        pledge.unlink(missing_ok=True)


def _encode(sidecar: Sidecar) -> bytes:
    return msgspec.json.format(msgspec.json.encode(sidecar), indent=2)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"

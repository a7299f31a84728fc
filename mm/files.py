"""Safe writing of files.

A file appears under its name whole or not at all: a draft in the same folder is written, flushed to
the disk and checked before it gets the name.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from mm import disk
from mm.errors import NoRoomError

DRAFT = ".tmp-"
# Left free beside what is written: the database and its log live on the same disk.
ROOM_TO_SPARE = 2**20
COPY_PIECE = 2**20
DRAFT_NAME = re.compile(rf"{re.escape(DRAFT)}[0-9a-f]{{16}}")


@contextlib.contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """An unused name that no listing shows. A file that still has it at the end of the block is
    removed. Raises NoRoomError when the disk is full."""
    make_folder(folder)
    path = folder / f"{DRAFT}{secrets.token_hex(8)}"
    try:
        yield path
    except OSError as error:
        if error.errno not in disk.FULL_DISK_ERRNOS:
            raise
        raise disk.full(folder) from error
    finally:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents, and flush the new entry to the disk."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)


def write(path: Path, data: bytes) -> None:
    """Create `path` with `data`, readable by the owner only, and wait for the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        settle(file.fileno())


def replace(path: Path, data: bytes) -> None:
    """Give `path` this content, readable by the owner only, in place of what it had. Raises
    NoRoomError; it then has what it had."""
    with draft(path.parent) as temporary:
        write(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)


def settle(descriptor: int) -> None:
    """Wait until the disk has the file, and drop the cached copy where the system can, so that a
    check reads what the disk has."""
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """So that the disk remembers which names are in it."""
    sync_file(folder)


def copy(source: Path, target: Path) -> str:
    """Create `target` with the bytes of `source`, as `write` does; returns their SHA-256."""
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as old, os.fdopen(descriptor, "wb") as new:
        while piece := old.read(COPY_PIECE):
            digest.update(piece)
            new.write(piece)
        new.flush()
        settle(new.fileno())
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Some file systems know no hard links."""
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)


def require_room(folder: Path, size_bytes: int) -> None:
    """Raises NoRoomError unless `size_bytes` and ROOM_TO_SPARE are free."""
    needed, free = size_bytes + ROOM_TO_SPARE, disk.free_bytes(folder)
    if free < needed:
        raise NoRoomError(not_enough(needed, free))


def not_enough(needed: int, free: int) -> str:
    return f"Not enough disk space: {disk.megabytes(needed)} needed, {disk.megabytes(free)} free."


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file(path: Path) -> bool:
    """Whether it is a regular file, and not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False

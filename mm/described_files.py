"""Files with a description beside each: NAME and NAME.meta.json, its sidecar.

A pair appears and goes as one, whenever the process is killed: what it leaves half-done has a name
that no listing shows, and `sweep` completes it or takes it back.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import humanize
import msgspec
from msgspec import Struct

from mm import files, log

DELETING = ".deleting-"
PUBLISHING = ".publishing-"
UNFINISHED = (files.DRAFT, DELETING, PUBLISHING)
META = ".meta.json"
SIDECAR_MAX = 2**20
# 2200-01-01; nobody can show a time far beyond it.
MOMENT_MAX = 7_258_118_400
# The fields of sidecars that hold a time, where they have them.
MOMENTS = ("created_at", "verified_at", "unchanged_since", "expires_at")
UNDESCRIBED = "its description is missing or unreadable; test it to know more"
Sidecar = TypeVar("Sidecar", bound=Struct)


class Health(NamedTuple):
    """`rotten`: the bytes of the file are not those that were written."""

    state: Literal["verified", "unverified", "damaged"]
    problem: str | None
    rotten: bool


def names_in(folder: Path, is_ours: Callable[[str], bool]) -> list[str]:
    """What a listing shows, in order: each file's name, also of one of which only the sidecar is
    left, and whatever else lies there. `is_ours` tells whether a file of that name can have a
    sidecar."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as files_in:
        regular = {file.name: file.is_file(follow_symlinks=False) for file in files_in}
    names = {name for name in regular if not name.startswith(UNFINISHED)}
    described = {
        name.removesuffix(META)
        for name in names
        if name.endswith(META) and regular[name] and is_ours(name.removesuffix(META))
    }
    sidecars = {name + META for name in described}
    # Marked for deletion by a process that was killed; the next sweep finishes it.
    deleted = {
        name.removeprefix(DELETING)
        for name, is_file in regular.items()
        if name.startswith(DELETING) and is_file
    }
    return sorted(names - sidecars - deleted | described)


def is_listed(path: Path) -> bool:
    """Whether it is a regular file that nobody has begun to delete."""
    return files.is_file(path) and not files.is_file(deletion_marker(path))


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + META)


def deletion_marker(path: Path) -> Path:
    """What exists while `path` is being deleted."""
    return path.with_name(DELETING + path.name)


def read_sidecar(path: Path, shape: type[Sidecar]) -> Sidecar | None:
    """None where it is missing or cannot be read."""
    return _decode(sidecar_path(path), shape)


def _decode(meta: Path, shape: type[Sidecar]) -> Sidecar | None:
    # Others may put a pipe, a link or a device there: opening must not wait for it,
    # and reading must come to an end.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(meta, flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > SIDECAR_MAX:
                return None
            sidecar = msgspec.json.decode(file.read(SIDECAR_MAX), type=shape)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    moments = (getattr(sidecar, name, None) for name in MOMENTS)
    return sidecar if are_possible(*moments) else None


def health_of(sidecar: Any, size_bytes: int | None) -> Health:
    """What the sidecar and the size of its file tell; `size_bytes` is None where that is gone."""
    problem = sidecar.problem
    is_rotten = sidecar.rotten or size_bytes != sidecar.size_bytes
    if size_bytes is None:
        problem = "the file is gone; only its description is left"
    elif size_bytes != sidecar.size_bytes:
        # How much of it is there, where it was cut off.
        actual, written = map(humanize.naturalsize, (size_bytes, sidecar.size_bytes))
        problem = f"the file is incomplete ({actual} of {written})"
        if size_bytes > sidecar.size_bytes:
            problem = f"the file was changed: it has {actual} instead of {written}"
    if problem:
        return Health("damaged", problem, is_rotten)
    return Health("verified" if sidecar.verified_at else "unverified", None, is_rotten)


def are_possible(*moments: float | None) -> bool:
    """Whether these can be times of a sidecar, and can be shown."""
    return all(moment is None or 0 <= moment <= MOMENT_MAX for moment in moments)


def encode(sidecar: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(sidecar), indent=2)


def write_sidecar(path: Path, sidecar: Struct) -> None:
    with files.draft(path.parent) as description:
        files.write(description, encode(sidecar))
        os.replace(description, sidecar_path(path))
        files.sync_folder(path.parent)


def publish(temporary: Path, target: Path, sidecar: Struct) -> None:
    """Give a checked draft its name and its sidecar, and wait for the folder to remember both.

    The sidecar is on the disk first, under a name from which `sweep` completes the pair when this
    is killed half-way: a disk that fills up leaves neither.
    """
    pending_sidecar = target.with_name(PUBLISHING + target.name)
    with files.draft(target.parent) as description:
        files.write(description, encode(sidecar))
        os.replace(description, pending_sidecar)
    os.replace(temporary, target)
    os.replace(pending_sidecar, sidecar_path(target))
    files.sync_folder(target.parent)


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


def sweep(folder: Path, shape: type[Struct], is_ours: Callable[[str], object]) -> None:
    """Remove drafts of killed processes and finish what they were about to do. Hold the folder's
    lock. Other files are left alone; one that cannot be removed does not stop the rest.

    `shape` of the sidecars, which have the `sha256` of their file. `is_ours`: whether a file of
    that name may be deleted.
    """
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
                    sha256 = getattr(_decode(path, shape), "sha256", None)
                    if sha256 and files.is_file(target) and files.sha256(target) == sha256:
                        os.replace(path, sidecar_path(target))
                    else:
                        path.unlink(missing_ok=True)
                elif prefix == DELETING and is_ours(target.name):
                    target.unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
                elif prefix == files.DRAFT and files.DRAFT_NAME.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("leftover.not_removed", file=path.name, reason=error.strerror)

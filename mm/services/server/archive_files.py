"""The names and the folder of the archives of the whole server:
`backups/server/moviemanager-backup-TIMESTAMP.zip` and beside each its sidecar.

The folder is the truth. Names are parsed strictly: what does not parse cannot be read, restored or
deleted. It may be on another disk than the data: drafts, links and room are that disk's.
"""

import os
import re
import stat
from collections.abc import Collection
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import mm
from mm import config, described_files, files, schema
from mm.described_files import is_listed, sidecar_path
from mm.errors import NotFoundError
from mm.schemas import ArchiveContents, ArchiveEntry, ArchiveKind, ArchiveSidecar, Metadata

NOT_FOUND = "Archive not found"
PREFIX, SUFFIX = "moviemanager-backup-", ".zip"
TIME = "%Y-%m-%d-%H-%M-%S"
TIMESTAMP = re.compile(r"(\d{4}(?:-\d\d){5})(?:-(?:[2-9]|[1-9]\d{1,2}))?", re.ASCII)

write_sidecar = described_files.write_sidecar
publish = described_files.publish
delete = described_files.delete


def folder() -> Path:
    return config.current.archives_dir


def timestamp_of(filename: str) -> str | None:
    """The id of an archive; None for a name that no archive can have."""
    timestamp = filename.removeprefix(PREFIX).removesuffix(SUFFIX)
    is_ours = filename == filename_of(timestamp) and moment_of(timestamp) is not None
    return timestamp if is_ours else None


def filename_of(timestamp: str) -> str:
    return f"{PREFIX}{timestamp}{SUFFIX}"


def moment_of(timestamp: str) -> float | None:
    """The time that a timestamp names; None for what is none."""
    match = TIMESTAMP.fullmatch(timestamp)
    try:
        named = datetime.strptime(match[1] if match else "", TIME)
        return named.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def name_for(moment: float, taken: Collection[str] = ()) -> str:
    """The name of an archive of this time, in UTC, that is free and not of the timestamps
    `taken`."""
    return name_like(f"{datetime.fromtimestamp(moment, UTC):{TIME}}", taken)


def name_like(timestamp: str, taken: Collection[str] = ()) -> str:
    """The first free name of the second that this timestamp names."""
    match = TIMESTAMP.fullmatch(timestamp)
    second = match[1] if match else timestamp
    for number in count(1):
        free = second if number == 1 else f"{second}-{number}"
        path = folder() / filename_of(free)
        is_there = os.path.lexists(path) or os.path.lexists(sidecar_path(path))
        if free not in taken and not is_there:
            break
    return path.name


def path_of(timestamp: str) -> Path:
    """Raises NotFoundError for anything but a listed archive."""
    path = _path(timestamp)
    if not is_listed(path):
        raise NotFoundError(NOT_FOUND)
    return path


def path_to_delete(timestamp: str) -> Path:
    """As `path_of`; a description without its file is listed too, and can only be removed."""
    path = _path(timestamp)
    is_alone = not os.path.lexists(path) and files.is_file(sidecar_path(path))
    return path if is_alone else path_of(timestamp)


def _path(timestamp: str) -> Path:
    if moment_of(timestamp) is None:
        raise NotFoundError(NOT_FOUND)
    return folder() / filename_of(timestamp)


def is_there(timestamp: str) -> bool:
    """Whether this is the timestamp of a listed archive."""
    try:
        path_of(timestamp)
    except NotFoundError:
        return False
    return True


def entries() -> list[ArchiveEntry]:
    """All that lies in the folder, the damaged and foreign ones included. Only sizes are compared
    here."""
    names = described_files.names_in(folder(), lambda name: timestamp_of(name) is not None)
    return [entry(folder() / name) for name in names]


def entry(path: Path) -> ArchiveEntry:
    """As the file and its sidecar tell it. A foreign one has no timestamp."""
    timestamp = timestamp_of(path.name)
    file = os.lstat(path) if os.path.lexists(path) else None
    if timestamp is None or (file and not stat.S_ISREG(file.st_mode)):
        return _bare(path, "", "foreign", "not a Movie Manager archive; it is left alone")
    sidecar = read_sidecar(path)
    if sidecar is None:
        return _bare(path, timestamp, "unverified", described_files.UNDESCRIBED)
    health = described_files.health_of(sidecar, file.st_size if file else None)
    return ArchiveEntry(
        timestamp=timestamp,
        filename=path.name,
        kind=sidecar.kind,
        created_at=sidecar.created_at,
        size_bytes=file.st_size if file else 0,
        state=health.state,
        contents=sidecar.contents,
        app_version=sidecar.app_version,
        sha256=sidecar.sha256,
        verified_at=sidecar.verified_at,
        problem=health.problem,
        rotten=health.rotten,
        pinned=sidecar.pinned,
        expires_at=sidecar.expires_at,
    )


def _bare(path: Path, timestamp: str, state, problem: str) -> ArchiveEntry:
    file = os.lstat(path) if os.path.lexists(path) else None
    size, moment = (file.st_size, file.st_mtime) if file else (0, None)
    return ArchiveEntry(timestamp, path.name, None, moment, size, state, problem=problem)


def read_sidecar(path: Path) -> ArchiveSidecar | None:
    """None where it is missing or cannot be read."""
    return described_files.read_sidecar(path, ArchiveSidecar)


def is_older(path: Path) -> bool:
    """Whether the database of this archive has to be migrated when it is restored."""
    sidecar = read_sidecar(path)
    if sidecar is None or not sidecar.contents.has_database:
        return False
    return sidecar.schema < schema.names()[-1]


def sidecar_of(
    kind: ArchiveKind, metadata: Metadata, size_bytes: int, sha256: str, **more
) -> ArchiveSidecar:
    """The description of an archive of this content; `more` are its other fields."""
    return ArchiveSidecar(
        kind=kind,
        created_at=metadata.created_at,
        size_bytes=size_bytes,
        sha256=sha256,
        contents=contents_of(metadata),
        app_version=metadata.app_version,
        schema=metadata.schema,
        mm_version=mm.__version__,
        **more,
    )


def contents_of(metadata: Metadata) -> ArchiveContents:
    return ArchiveContents(
        has_database="database.db" in metadata.members,
        users=metadata.rows.get("user", 0),
        movies=metadata.rows.get("movie", 0),
        database_size_bytes=metadata.database_size_bytes,
        posters_count=metadata.posters_count,
        posters_size_bytes=metadata.posters_size_bytes,
        settings_count=metadata.settings_count,
        has_secrets=metadata.has_secrets,
    )


def sweep() -> None:
    """See `described_files.sweep`. Hold the lock of the server."""
    described_files.sweep(folder(), ArchiveSidecar, timestamp_of)

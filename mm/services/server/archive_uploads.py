"""Archives from another machine: received into a folder of their own in data/tmp, checked wholly,
and only then put beside the others."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from mm import clock, config, described_files, disk, files, locks, log
from mm.errors import ConflictError, InvalidError, NoRoomError, TooLargeError
from mm.schemas import ArchiveEntry, ArchiveValidation
from mm.services.server import archive_files, archives, databases
from mm.services.server.archive_format import unpacking, work_folders

FOLDER = re.compile(r"upload-[0-9a-f]{16}")
NAME = "archive.zip"
# One that is received or checked holds one of the web's threads.
AT_ONCE = 2
TOO_MANY = "Other archives are being uploaded. Try again when that is done."
CAN_BE_RESTORED = "This archive can be restored."
# The database and its log go on growing meanwhile: of the disk so much stays free, at most.
RESERVE_SHARE = 1 / 100
RESERVE_MOST = 100 * 10**6
# How often the room that is left is looked at, in bytes.
LOOK_EVERY = 2**23

_turns = threading.BoundedSemaphore(AT_ONCE)


class Upload(FileIO):
    """The file that an upload is written to, named `path`. Writing raises TooLargeError beyond
    MM_ARCHIVE_MAX, and NoRoomError before the disk is full."""

    def __init__(self, path: Path):
        self.path = path
        self.received = 0
        self._look_at = 0
        super().__init__(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+")

    def write(self, data) -> int:
        self.received += len(data)
        if self.received > config.current.archive_max_bytes:
            raise TooLargeError(too_large())
        if self.received > self._look_at:
            self._look_at = self.received + LOOK_EVERY
            require_room(LOOK_EVERY)
        return self._write_wholly(data)

    def _write_wholly(self, data) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        return len(data)


def too_large() -> str:
    limit = disk.megabytes(config.current.archive_max_bytes)
    return f"The file is too large: an archive takes {limit} at most (MM_ARCHIVE_MAX)."


def require_room(size_bytes: int) -> None:
    """Raises NoRoomError unless so much can be received."""
    usage = shutil.disk_usage(config.current.tmp_dir)
    needed = size_bytes + int(min(usage.total * RESERVE_SHARE, RESERVE_MOST))
    if usage.free < needed:
        raise NoRoomError(files.not_enough(needed, usage.free))


@contextlib.contextmanager
def receiving(expected_bytes: int = 0) -> Iterator[Upload]:
    """A file to write an upload to, gone at the end of the block unless it was added.
    `expected_bytes`: what was announced. Raises TooLargeError, NoRoomError, or ConflictError while
    others are received."""
    if expected_bytes > config.current.archive_max_bytes:
        raise TooLargeError(too_large())
    require_room(expected_bytes)
    if not _turns.acquire(blocking=False):
        raise ConflictError(TOO_MANY)
    folder = config.current.tmp_dir / f"upload-{secrets.token_hex(8)}"
    try:
        # While this lock is held nobody sweeps the folder.
        with locks.hold(folder.name), work_folders.said_when_full(config.current.tmp_dir):
            files.make_folder(folder)
            try:
                with Upload(folder / NAME) as upload:
                    yield upload
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        _turns.release()


def validate(path: Path) -> ArchiveValidation:
    """What a test restore of the file finds; it is not kept."""
    with archives.holding():
        try:
            checked = unpacking.check(path)
        except InvalidError as error:
            return ArchiveValidation(False, error.message, None, None, [], None)
    metadata = checked.metadata
    return ArchiveValidation(
        valid=True,
        message=CAN_BE_RESTORED,
        app_version=metadata.app_version,
        backup_timestamp=metadata.timestamp,
        warnings=checked.warnings,
        contents=archive_files.contents_of(metadata),
    )


def add(path: Path) -> ArchiveEntry:
    """Put a file among the archives once it has passed its test; it is moved from `path`. One that
    is there already is not added again. Raises InvalidError for what is no archive, and
    NoRoomError; then nothing is kept of it."""
    databases.require_sqlite()
    with archives.holding():
        archives.sweep_held()
        sha256 = files.sha256(path)
        for entry in archive_files.entries():
            if entry.sha256 == sha256 and entry.state == "verified":
                return archives.entry_of(entry.timestamp)
        metadata = unpacking.check(path).metadata
        if not described_files.are_possible(metadata.created_at):
            metadata.created_at = clock.now()
        is_named = archive_files.moment_of(metadata.timestamp) is not None
        name = (
            archive_files.name_like(metadata.timestamp)
            if is_named
            else archive_files.name_for(clock.now())
        )
        size = path.stat().st_size
        sidecar = archive_files.sidecar_of(
            "uploaded", metadata, size, sha256, verified_at=clock.now()
        )
        target = archive_files.folder() / name
        with files.draft(target.parent) as draft:
            _move(path, draft, sha256)
            archive_files.publish(draft, target, sidecar)
        log.info("archive.added", file=name, bytes=size)
        return archives.entry_of(archive_files.timestamp_of(name) or "")


def _move(path: Path, draft: Path, sha256: str) -> None:
    """To another disk it is copied. On the disk when this returns."""
    files.sync_file(path)
    try:
        path.rename(draft)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        files.require_room(draft.parent, path.stat().st_size)
        if files.copy(path, draft) != sha256:
            raise InvalidError("The file changed while it was copied. Upload it again.") from error


def sweep() -> None:
    """Uploads whose process was killed: nobody holds the lock of their folder."""
    for folder in config.current.tmp_dir.glob("upload-*"):
        if FOLDER.fullmatch(folder.name) and not folder.is_symlink():
            with contextlib.suppress(locks.BusyError), locks.hold(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

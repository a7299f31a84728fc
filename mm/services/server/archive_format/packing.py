"""An archive of the whole server: a ZIP file, which any unzip opens.

A reader in another language needs to know:

- The members, in this order: `metadata.json`, then those of these that were chosen: `database.db`,
  `settings.json`, and `posters/…` as they lie in the posters folder. Nothing else is in it.
- `metadata.json` and `settings.json` are UTF-8; their keys are those of Metadata and SettingsFile
  in mm/schemas/archives.py. `metadata.members` names every other member with the size and SHA-256
  of its unpacked bytes. `metadata.version` is 1; a reader refuses a higher one.
- `database.db` is a SQLite file as it was at one moment, its write-ahead log included. Its table
  `schema_migration` lists the migrations that were applied, `metadata.schema` is the last one, and
  `metadata.rows` has the number of rows of every table.
- Names are UTF-8 with `/`, at most 500 bytes, and relative; two never differ only in case. There
  are no folders, links, comments, encrypted members, or more than 200,000 members.
- Methods are 8 (deflate) and, for posters, 0 (stored). The sizes of deflated members follow their
  bytes (flag 3). ZIP64 is used from 3 GB or 65,000 members on, for all members alike.

The description comes first, so all is counted before the first byte is written, in a copy of the
database and in links to the posters that nothing changes meanwhile. The ZIP is written in one go
and read back from the disk.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from isal import isal_zlib
from stream_zip import NO_COMPRESSION_32, NO_COMPRESSION_64, ZIP_32, ZIP_64, stream_zip

import mm
from mm import config, files, log, schema
from mm.errors import InvalidError, TooLargeError
from mm.schemas import Member, Metadata, SettingsFile
from mm.schemas.archives import ARCHIVE_VERSION
from mm.services.server import databases
from mm.services.server.archive_format import poster_links, unpacking, work_folders, zip_reading
from mm.services.server.archive_format.pipeline import Meter, ParallelDeflate, Progress, ahead

DATABASE, SETTINGS, POSTERS = unpacking.DATABASE, unpacking.SETTINGS, unpacking.POSTERS
PIECE = 2**20
CORES = 2
FLUSH_BYTES = 16 * 2**20
# Below these, the sizes and the number of members fit a ZIP without its 64-bit extension.
SMALL_BYTES = 3 * 10**9
SMALL_MEMBERS = 65_000
MODE = 0o100600
# The times that a ZIP can hold: from 1980 to 2038.
EARLIEST, LATEST = 315_619_200, 2**31 - 1
DAMAGED = "The database is damaged: "


class Part(NamedTuple):
    """A member to be written. `crc`: CRC-32 of its bytes."""

    name: str
    path: Path
    member: Member
    crc: int


def make(
    target: Path,
    *,
    database: bool,
    posters: bool,
    settings: SettingsFile | None,
    timestamp: str,
    created_at: float,
    has_secrets: bool = False,
    progress: Progress | None = None,
) -> tuple[Metadata, str, int]:
    """Write an archive to `target`, which must not exist, and read it back from the disk; returns
    its description, its SHA-256 and its size in bytes.

    Raises NoRoomError, UnavailableError when the database stays locked, InvalidError when the
    database or what was written is damaged, and TooLargeError where it could not be restored.
    Then nothing is left of it.
    """
    meter = Meter(progress)
    with work_folders.folder() as folder, ThreadPoolExecutor(1) as pool:
        if database:
            meter.report("Copying the database")
            _copy_database(folder / DATABASE)
            # Meanwhile the file is read and packed.
            fault = pool.submit(databases.fault_of, folder / DATABASE)
        if posters:
            poster_links.make(folder / POSTERS)
        if settings is not None:
            files.write(folder / SETTINGS, _json(settings))
        # Each is read for its description, packed, and read back.
        meter.total = 3 * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        parts = _parts(folder, meter)
        metadata = Metadata(
            timestamp=timestamp,
            created_at=created_at,
            version=ARCHIVE_VERSION,
            app_version=mm.__version__,
            schema=schema.names()[-1],
            members={part.name: part.member for part in parts},
            settings_count=len(settings.settings) if settings else 0,
            has_secrets=has_secrets,
        )
        unpacking.count_members(metadata)
        if database:
            _describe_database(folder / DATABASE, metadata)
        size = sum(member.size_bytes for member in metadata.members.values())
        _require_restorable(size, len(parts))
        files.require_room(target.parent, size)
        with work_folders.said_when_full(target.parent), _new_file(target) as file:
            sha256, packed = pack(file, metadata, parts, meter)
            unpacking.read_back(target, metadata, meter)
            if database and (found := fault.result()):
                raise InvalidError(f"{DAMAGED}{found}.")
    return metadata, sha256, packed


def pack(file: BinaryIO, metadata: Metadata, parts: list[Part], meter: Meter) -> tuple[str, int]:
    """Write the ZIP to `file` and wait for the disk; returns its SHA-256 and size in bytes."""
    total = sum(part.member.size_bytes for part in parts)
    is_small = total < SMALL_BYTES and len(parts) < SMALL_MEMBERS
    deflated, stored = (ZIP_32, NO_COMPRESSION_32) if is_small else (ZIP_64, NO_COMPRESSION_64)
    # A clock that was never set says 1970.
    moment = min(max(metadata.created_at, EARLIEST), LATEST)
    modified = datetime.fromtimestamp(moment, UTC)

    def members() -> Iterator[tuple]:
        description = _json(metadata)
        yield unpacking.METADATA, modified, MODE, deflated, (description,)
        for part in parts:
            is_picture = part.name.startswith(f"{POSTERS}/")
            method = stored(part.member.size_bytes, part.crc) if is_picture else deflated
            yield part.name, modified, MODE, method, _pieces(part.path, meter)

    digest = hashlib.sha256()
    size = synced = 0
    flushing: Future | None = None
    with ThreadPoolExecutor(CORES) as pool, ThreadPoolExecutor(1) as syncing:
        zipped = stream_zip(
            members(),
            chunk_size=PIECE,
            get_compressobj=lambda: ParallelDeflate(pool),  # type: ignore[arg-type,return-value]
        )
        with contextlib.closing(ahead(iter(zipped))) as pieces:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
                meter.report("Packing")
                # Left for the end, it would keep all others from the disk for seconds.
                if size - synced > FLUSH_BYTES and (flushing is None or flushing.done()):
                    file.flush()
                    flushing, synced = syncing.submit(os.fdatasync, file.fileno()), size
        if flushing:
            flushing.result()
        file.flush()
        files.settle(file.fileno())
    return digest.hexdigest(), size


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """For its owner only; deleted when the block fails. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with contextlib.ExitStack() as unless_done:
        unless_done.callback(path.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as file:
            yield file
        unless_done.pop_all()


def _describe(name: str, path: Path, meter: Meter) -> Part:
    """In one pass over the file. Raises OSError."""
    digest = hashlib.sha256()
    size = crc = 0
    for piece in _pieces(path, meter):
        meter.report("Reading")
        digest.update(piece)
        crc = isal_zlib.crc32(piece, crc)
        size += len(piece)
    return Part(name, path, Member(size, digest.hexdigest()), crc)


def _copy_database(target: Path) -> None:
    live = databases.live_path()
    if not live.exists():
        raise InvalidError(f"{DAMAGED}{live.name} is not there.")
    files.require_room(target.parent, live.stat().st_size)
    try:
        databases.copy(target, sync=False)
    except sqlite3.DatabaseError as error:
        raise InvalidError(f"{DAMAGED}{error}.") from error


def _describe_database(path: Path, metadata: Metadata) -> None:
    try:
        metadata.rows = databases.rows_of(path)
        migrations = databases.migrations_of(path)
    except sqlite3.DatabaseError as error:
        raise InvalidError(f"{DAMAGED}{error}.") from error
    if not migrations:
        raise InvalidError(f"{DAMAGED}it has no tables of Movie Manager.")
    metadata.schema = migrations[-1]


def _parts(folder: Path, meter: Meter) -> list[Part]:
    """Of what lies in the work folder, in the order of the archive."""
    parts = [
        _describe(name, folder / name, meter)
        for name in (DATABASE, SETTINGS)
        if (folder / name).exists()
    ]
    for path in sorted((folder / POSTERS).rglob("*")):
        if path.is_file():
            try:
                parts.append(_describe(path.relative_to(folder).as_posix(), path, meter))
            except OSError as error:
                reason = type(error).__name__
                log.warning("archive.poster_left_out", file=ascii(path.name), reason=reason)
    return parts


def _require_restorable(size: int, count: int) -> None:
    """Raises TooLargeError for what the reader would refuse."""
    if count >= zip_reading.MEMBERS_MAX:
        raise TooLargeError(
            f"There are more than {zip_reading.MEMBERS_MAX:,} posters, too many for an archive. "
            "Leave them out: they are fetched again."
        )
    if size > config.current.archive_max_bytes:
        raise TooLargeError(unpacking.too_large(size))


def _pieces(path: Path, meter: Meter) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            meter.done += len(piece)
            yield piece


def _json(value: Metadata | SettingsFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)

"""Reads archives of the whole server, which may be damaged or made to do harm.

Nothing that an archive says about itself is believed before it was counted: names, sizes, digests,
rows and the schema of its database. What fails leaves nothing on the disk.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from mm import config, disk, files
from mm.errors import InvalidError, TooLargeError
from mm.schemas import Metadata, SettingsFile
from mm.schemas.archives import ARCHIVE_VERSION
from mm.services.server.archive_format import archived_databases, work_folders, zip_reading
from mm.services.server.archive_format.pipeline import Meter, Progress, ahead
from mm.services.server.archive_format.zip_reading import Entry, corrupted

METADATA, DATABASE, SETTINGS, POSTERS = "metadata.json", "database.db", "settings.json", "posters"
# Of metadata.json and of settings.json.
DESCRIPTION_MAX = 64 * 2**20
# A name of 500 bytes, each escaped, its digest and its size.
DESCRIBED_MEMBER_MAX = 4096
SHOWN_MAX = 200
SHA256 = re.compile(r"[0-9a-f]{64}")
# What desktop computers add to a ZIP that was unpacked and packed again.
STRAY_FOLDERS = ("__MACOSX",)
STRAY_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")


class Checked(NamedTuple):
    """`warnings` do not keep it from being restored. `migrations`: those of this version that its
    database lacked, and that were applied to the copy of it."""

    metadata: Metadata
    warnings: list[str]
    migrations: list[str]


def check(path: Path, progress: Progress | None = None) -> Checked:
    """Everything that can be known without restoring it: each member is unpacked and compared, and
    the database is opened, checked and brought to the current schema in a scratch folder.

    Raises InvalidError "Backup file is corrupted: …", or for an archive of a newer version,
    TooLargeError above MM_ARCHIVE_MAX, and NoRoomError.
    """
    with work_folders.folder() as folder:
        return _unpack(path, folder, (DATABASE,), progress)


def unpack(
    path: Path,
    folder: Path,
    database: bool = True,
    posters: bool = True,
    settings: bool = True,
    progress: Progress | None = None,
) -> Checked:
    """As `check`, and what was chosen and is in the archive is then in `folder`: `database.db`,
    at the current schema, `settings.json`, and `posters/…`. `folder` must exist and have none of
    these. Of the others only the bytes are checked. A failure leaves none of them."""
    chosen = {DATABASE: database, SETTINGS: settings, POSTERS: posters}
    names = tuple(name for name, is_chosen in chosen.items() if is_chosen)
    for name in names:
        if os.path.lexists(folder / name):
            raise FileExistsError(folder / name)
    with contextlib.ExitStack() as unless_done:
        for name in ({*names} - {POSTERS}) | {f"{DATABASE}-journal"}:
            unless_done.callback((folder / name).unlink, missing_ok=True)
        if posters:
            unless_done.callback(shutil.rmtree, folder / POSTERS, ignore_errors=True)
        with work_folders.said_when_full(folder):
            checked = _unpack(path, folder, names, progress)
        unless_done.pop_all()
    return checked


def metadata_of(path: Path) -> Metadata:
    """What an archive says about itself; its members are only named and sized. Raises
    InvalidError."""
    with path.open("rb") as file:
        return _opened(file)[0]


def read_back(path: Path, metadata: Metadata, meter: Meter) -> None:
    """Raises InvalidError unless the file is an archive of this description, and each member
    unpacks to what it says."""
    with path.open("rb") as file:
        found, members, _ = _opened(file)
        if found != metadata:
            raise corrupted("metadata.json is not what was written")
        _read_members(file, found, members, {}, meter, "Reading back")


def too_large(size: int) -> str:
    limit = config.current.archive_max_bytes
    return (
        f"The backup unpacks to {disk.megabytes(size)}, and MM_ARCHIVE_MAX permits "
        f"{disk.megabytes(limit)}."
    )


def count_members(metadata: Metadata) -> None:
    """Fill in the sizes and counts that follow from the members."""
    sizes = {name: member.size_bytes for name, member in metadata.members.items()}
    pictures = [size for name, size in sizes.items() if name.startswith(f"{POSTERS}/")]
    metadata.database_size_bytes = sizes.get(DATABASE, 0)
    metadata.posters_count = len(pictures)
    metadata.posters_size_bytes = sum(pictures)


def _unpack(
    path: Path, folder: Path, chosen: tuple[str, ...], progress: Progress | None
) -> Checked:
    """`chosen`: of DATABASE, SETTINGS and POSTERS, what is written to `folder`."""
    with path.open("rb") as file:
        metadata, members, warnings = _opened(file)
        sizes = {name: member.size_bytes for name, member in metadata.members.items()}
        total = sum(sizes.values())
        if total > config.current.archive_max_bytes:
            raise TooLargeError(too_large(total))
        targets = {name: folder / name for name in members if name.split("/")[0] in chosen}
        has_database = DATABASE in targets
        is_older = has_database and archived_databases.is_older(metadata)
        # A migration may write all rows anew.
        spare = sizes[DATABASE] if is_older else 0
        files.require_room(folder, sum(sizes[name] for name in targets) + spare)
        meter = Meter(progress, total)
        _read_members(file, metadata, members, targets, meter, "Checking the backup")
    migrations: list[str] = []
    if has_database:
        meter.report("Checking the database")
        migrations, found = archived_databases.examine(targets[DATABASE], metadata)
        warnings += found
        if migrations:
            warnings.append("Backup from older version, may have issues")
    return Checked(metadata, warnings, migrations)


def _opened(file: BinaryIO) -> tuple[Metadata, dict[str, Entry], list[str]]:
    """The description, the members that it names, and warnings. Raises InvalidError where they do
    not fit together."""
    found = {entry.name: entry for entry in zip_reading.entries(file)}
    if METADATA not in found:
        raise corrupted("it has no metadata.json, so it is no backup of Movie Manager")
    limit = min(DESCRIPTION_MAX, 2**20 + DESCRIBED_MEMBER_MAX * len(found))
    description = _read_small(file, found.pop(METADATA), limit)
    metadata = _metadata_of(description)
    strays = [name for name in found if _is_stray(name)]
    members = {
        name: entry
        for name, entry in found.items()
        if name not in strays and name not in (f"{POSTERS}/",) and not _is_poster_folder(name)
    }
    for name in members:
        if name not in (DATABASE, SETTINGS) and not name.startswith(f"{POSTERS}/"):
            raise corrupted(f"{name} is no part of a backup")
        if name not in metadata.members:
            raise corrupted(f"metadata.json does not name {name}")
    for name, member in metadata.members.items():
        if name not in members:
            raise corrupted(f"{name} is missing")
        if members[name].size != member.size_bytes:
            raise corrupted(f"{name} has another size than metadata.json says")
    _check_settings(file, metadata, members.get(SETTINGS))
    warnings = [f"Ignored, for it is no part of a backup: {name}" for name in strays[:3]]
    if len(strays) > len(warnings):
        warnings.append(f"Ignored {len(strays) - len(warnings)} more such files")
    return metadata, members, warnings


def _metadata_of(data: bytes) -> Metadata:
    """Raises InvalidError unless it fits itself, and for one of a newer version."""
    try:
        version = msgspec.json.decode(data, type=_Version)
        if version.version > ARCHIVE_VERSION:
            raise InvalidError(archived_databases.newer(version.app_version))
        metadata = msgspec.json.decode(data, type=Metadata)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise corrupted(f"metadata.json cannot be read ({error})") from error
    counted = msgspec.structs.replace(metadata)
    count_members(counted)
    has_rows_of_none = metadata.rows and DATABASE not in metadata.members
    if counted != metadata or metadata.version < 1 or has_rows_of_none:
        raise corrupted("metadata.json contradicts itself")
    for text in (metadata.timestamp, metadata.app_version, metadata.schema):
        # They are shown on pages and in terminals, and stand in the sidecar.
        if len(text) > SHOWN_MAX or not text.isprintable():
            raise corrupted("metadata.json holds what no backup does")
    for name, member in metadata.members.items():
        if member.size_bytes < 0 or not SHA256.fullmatch(member.sha256):
            raise corrupted(f"metadata.json describes {name[:80]!r} wrongly")
    if DATABASE in metadata.members:
        archived_databases.refuse_newer(metadata)
    return metadata


class _Version(msgspec.Struct):
    version: int
    app_version: str


def _check_settings(file: BinaryIO, metadata: Metadata, entry: Entry | None) -> None:
    count = 0
    if entry:
        data = _read_small(file, entry, DESCRIPTION_MAX)
        try:
            count = len(msgspec.json.decode(data, type=SettingsFile).settings)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise corrupted(f"settings.json cannot be read ({error})") from error
    if count != metadata.settings_count:
        raise corrupted("settings.json is not what metadata.json says")


def _read_small(file: BinaryIO, entry: Entry, limit: int) -> bytes:
    data = bytearray()
    with contextlib.closing(zip_reading.read(file, entry)) as pieces:
        for piece in pieces:
            data += piece
            if len(data) > limit:
                raise corrupted(f"{entry.name} is too large")
    return bytes(data)


def _is_stray(name: str) -> bool:
    parts = name.removesuffix("/").split("/")
    return parts[0] in STRAY_FOLDERS or parts[-1] in STRAY_FILES


def _is_poster_folder(name: str) -> bool:
    return name.startswith(f"{POSTERS}/") and name.endswith("/")


def _read_members(
    file: BinaryIO,
    metadata: Metadata,
    members: dict[str, Entry],
    targets: dict[str, Path],
    meter: Meter,
    message: str,
) -> None:
    """Unpack all members, those of `targets` into files, and compare them with their digests."""
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        pieces = stack.enter_context(contextlib.closing(ahead(_all_pieces(file, members))))
        output: BinaryIO | None = None
        for name, piece in pieces:
            if piece is not None:
                if output is None and name in targets:
                    output = stack.enter_context(_created(targets[name]))
                digest.update(piece)
                if output:
                    output.write(piece)
                meter.done += len(piece)
                meter.report(message)
                continue
            # The member's end.
            if output is None and name in targets:
                output = stack.enter_context(_created(targets[name]))
            if output:
                output.close()
            output = None
            if digest.hexdigest() != metadata.members[name].sha256:
                raise corrupted(f"{name} is damaged")
            digest = hashlib.sha256()


def _all_pieces(file: BinaryIO, members: dict[str, Entry]) -> Iterator[tuple[str, bytes | None]]:
    """(name, piece of it), and (name, None) after the last one of each."""
    for name, entry in members.items():
        for piece in zip_reading.read(file, entry):
            yield name, piece
        yield name, None


def _created(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.open("xb")

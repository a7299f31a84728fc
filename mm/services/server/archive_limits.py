"""How many archives of the server may be made, and the room that they need."""

import contextlib
import math
import os
from pathlib import Path

from mm import clock, config, disk, files
from mm.clock import HOUR
from mm.errors import InvalidError, TooManyRequestsError
from mm.schemas import ArchiveKind, ArchiveRoom
from mm.services.enrichment import posters as poster_files
from mm.services.server import archive_files, live_database

MOST_AN_HOUR = 6
NOTHING_CHOSEN = "Choose what the archive is to hold: the database, the posters or the settings."


def require_one(kind: ArchiveKind, database: bool, posters: bool, settings: bool) -> None:
    """Raises TooManyRequestsError, NoRoomError or InvalidError where one more archive of these
    parts cannot be made."""
    if not (database or posters or settings):
        raise InvalidError(NOTHING_CHOSEN)
    if kind == "manual":
        _require_few()
    needed = _needed(live_database.size_bytes() * database, posters_size() if posters else 0)
    for folder, size_bytes in needed:
        files.require_room(folder, size_bytes)


def _require_few() -> None:
    now = clock.now()
    # A time in the future says nothing: the clock was wrong.
    recent = sorted(
        entry.created_at
        for entry in archive_files.entries()
        if entry.kind == "manual" and entry.created_at and now - HOUR < entry.created_at <= now
    )
    if len(recent) >= MOST_AN_HOUR:
        seconds = math.ceil(recent[-MOST_AN_HOUR] + HOUR - now)
        minutes = math.ceil(seconds / 60)
        raise TooManyRequestsError(
            f"{len(recent)} archives were made in the last hour; the limit is {MOST_AN_HOUR}. "
            f"Try again in {minutes} minute{'s' * (minutes > 1)}.",
            seconds,
        )


def room() -> ArchiveRoom:
    """What an archive of everything would need at most, and what is free: of the disk that has
    less to spare, where archives lie on another one than the data."""
    database, posters = live_database.size_bytes(), posters_size()
    return min(
        (
            ArchiveRoom(needed=needed, free=disk.free_bytes(folder), posters=posters)
            for folder, needed in _needed(database, posters)
        ),
        key=lambda disk_room: disk_room.free - disk_room.needed,
    )


def _needed(database: int, posters: int) -> list[tuple[Path, int]]:
    """(folder, bytes that must be free on its disk) while an archive of so much is made: the copy
    of the database, and a ZIP file of everything in which nothing could be made smaller."""
    data, archives = config.current.tmp_dir, archive_files.folder()
    files.make_folder(archives)
    if archives.stat().st_dev == data.stat().st_dev:
        return [(archives, 2 * database + posters)]
    return [(data, database), (archives, database + posters)]


def posters_size() -> int:
    """In bytes."""
    total = 0
    for folder in (config.current.posters_dir / size for size in poster_files.SIZES):
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
            total += sum(
                file.stat(follow_symlinks=False).st_size
                for file in found
                if poster_files.NAME.fullmatch(file.name) and file.is_file(follow_symlinks=False)
            )
    return total

"""What one user's backups made by hand may take, so that nobody fills the disk for everybody.

Nightly backups and safety copies are limited by retention; they may also use the reserve, an import
may not.
"""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

from mm import clock, config, disk, files
from mm.clock import HOUR
from mm.errors import NoRoomError, TooManyRequestsError
from mm.schemas import BackupEntry

BY_HAND = ("manual", "uploaded")
MOST_AN_HOUR = 10
# In the sidecar of a backup that came along from there, of which there may be many.
FROM_THE_ORIGINAL = "from the original Movie Manager"
# Kept free: 5 % of the disk, but 200 MB at least and 1 GB at most; and of a small disk not more
# than a fifth.
RESERVE_SHARE = 1 / 20
RESERVE_LEAST = 200 * 10**6
RESERVE_MOST = 10**9
RESERVE_OF_A_SMALL_DISK = 1 / 5


def require(entries: Iterable[BackupEntry], size_bytes: int = 0) -> None:
    """Raises NoRoomError or TooManyRequestsError where one more file would be too much."""
    by_hand = [
        entry
        for entry in entries
        if entry.kind in BY_HAND
        and entry.state != "foreign"
        and entry.kept_because != FROM_THE_ORIGINAL
    ]
    if not by_hand:
        return
    oldest = min(by_hand, key=lambda entry: (entry.created_at or 0, entry.filename))
    # 0 is no limit, and without a backup there is none to delete.
    most_files = config.current.manual_backups_max
    if most_files and len(by_hand) >= most_files:
        raise NoRoomError(
            f"You have {len(by_hand)} manual and uploaded backups; the limit is {most_files}. "
            f"{_delete(oldest)}"
        )
    most_bytes = config.current.manual_backups_mb * 10**6
    total = sum(entry.size_bytes for entry in by_hand)
    if most_bytes and total + size_bytes > most_bytes:
        raise NoRoomError(
            f"Your manual and uploaded backups take {disk.megabytes(total)}; the limit is "
            f"{disk.megabytes(most_bytes)}. {_delete(oldest)}"
        )
    now = clock.now()
    # A time in the future says nothing: the clock was wrong.
    recent = sorted(
        entry.created_at
        for entry in by_hand
        if entry.created_at and now - HOUR < entry.created_at <= now
    )
    if len(recent) >= MOST_AN_HOUR:
        seconds = math.ceil(recent[-MOST_AN_HOUR] + HOUR - now)
        minutes = math.ceil(seconds / 60)
        raise TooManyRequestsError(
            f"You made {len(recent)} backups in the last hour; the limit is {MOST_AN_HOUR}. "
            f"Try again in {minutes} minute{'s' * (minutes > 1)}.",
            seconds,
        )


def require_reserve(folder: Path, size_bytes: int) -> None:
    """Raises NoRoomError where only nightly backups may still be written."""
    kept = reserve(shutil.disk_usage(folder).total)
    needed, free = size_bytes + kept, disk.free_bytes(folder)
    if free < needed:
        raise NoRoomError(
            f"{files.not_enough(needed, free)} The last {disk.megabytes(kept)} are kept for the "
            "nightly backups. Delete backups you no longer need."
        )


def reserve(total_bytes: int) -> int:
    """How much is kept free of a disk of this size."""
    share = min(max(total_bytes * RESERVE_SHARE, RESERVE_LEAST), RESERVE_MOST)
    return int(min(share, total_bytes * RESERVE_OF_A_SMALL_DISK))


def _delete(oldest: BackupEntry) -> str:
    day = clock.local(oldest.created_at or 0, config.current.zone)
    return f"Delete one first. The oldest is from {day:%-d %B %Y}: {oldest.filename}"

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
MOST_FILES = 50
MOST_BYTES = 10**9
MOST_AN_HOUR = 10
# Kept free: 5 % of the disk, but 200 MB at least and 1 GB at most; and of a small disk not more
# than a fifth.
RESERVE_SHARE = 1 / 20
RESERVE_LEAST = 200 * 10**6
RESERVE_MOST = 10**9
RESERVE_OF_A_SMALL_DISK = 1 / 5


def require(entries: Iterable[BackupEntry], size_bytes: int = 0) -> None:
    """Raises NoRoomError or TooManyRequestsError where one more of `size_bytes` would be too much."""
    by_hand = [entry for entry in entries if entry.kind in BY_HAND and entry.state != "foreign"]
    if not by_hand:
        return
    oldest = min(by_hand, key=lambda entry: (entry.created_at or 0, entry.filename))
    if len(by_hand) >= MOST_FILES:
        raise NoRoomError(
            f"You have {len(by_hand)} manual backups; the limit is {MOST_FILES}. {_delete(oldest)}"
        )
    total = sum(entry.size_bytes for entry in by_hand)
    if total + size_bytes > MOST_BYTES:
        raise NoRoomError(
            f"Your manual backups take {disk.megabytes(total)}; the limit is "
            f"{disk.megabytes(MOST_BYTES)}. {_delete(oldest)}"
        )
    _require_patience(by_hand)


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
    """Of a disk of so many bytes."""
    share = min(max(total_bytes * RESERVE_SHARE, RESERVE_LEAST), RESERVE_MOST)
    return int(min(share, total_bytes * RESERVE_OF_A_SMALL_DISK))


def _delete(oldest: BackupEntry) -> str:
    day = clock.local(oldest.created_at or 0, config.current.zone)
    return f"Delete one first. The oldest is from {day:%-d %B %Y}: {oldest.filename}"


def _require_patience(by_hand: list[BackupEntry]) -> None:
    """A time of the future says nothing: the clock was wrong."""
    now = clock.now()
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

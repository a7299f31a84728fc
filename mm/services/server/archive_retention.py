"""Which archives of the server stay: a pure function with a reason for each file.

The clock may be wrong, so age alone deletes only what a newer one of its kind makes up for; files
dated after tomorrow count for nothing.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from mm.clock import DAY, HOUR
from mm.schemas import ArchiveEntry
from mm.services.backup.retention import FROM_THE_FUTURE, PINNED, is_from_the_future

SAFETY_DAYS = 7
DAMAGED_DAYS = 14
# An archive that was made to be downloaded goes so long after it was ready.
EXPIRES_SECONDS = HOUR
# Of fewer films one may delete half any day.
FEW_FILMS = 20
UNRECOGNISED = "Kept: not recognised"
BY_HAND = "Kept until you delete it"
FOR_DOWNLOAD = "Kept for an hour, to be downloaded"
ALL_STAY = "Kept: all scheduled archives stay"
LAST_WAY_BACK = "Kept: the newest from before a restore"
TOO_FEW_NEWER = "Kept until there is a newer verified archive"
MUCH_LARGER = "Kept until you delete it: newer ones hold less than half of its accounts or films"
EXPIRED = "its hour is over"
DAMAGED = f"damaged and older than {DAMAGED_DAYS} days"
OLD_SAFETY = f"from before a restore, older than {SAFETY_DAYS} days"


class Decision(NamedTuple):
    """`reason` begins a sentence for what is kept, and completes one for what goes."""

    filename: str
    keep: bool
    reason: str


def choose(archives: Iterable[ArchiveEntry], keep_last: int, now: float) -> list[Decision]:
    """`keep_last`: how many of the scheduled ones stay; 0 keeps all."""
    archives = list(archives)
    good = sorted(
        (
            archive
            for archive in archives
            if archive.state == "verified"
            and archive.expires_at is None
            and not is_from_the_future(archive.created_at, now)
        ),
        key=_moment,
    )
    return [_decide(archive, good, keep_last, now) for archive in archives]


def _decide(
    archive: ArchiveEntry, good: list[ArchiveEntry], keep_last: int, now: float
) -> Decision:
    """`good`: the verified archives that count, the oldest first."""
    name, moment = archive.filename, _moment(archive)
    if reason := _always_kept(archive, now):
        return Decision(name, True, reason)
    if archive.expires_at is not None:
        # Further ahead is of a clock that was wrong.
        is_over = not now < archive.expires_at <= now + DAY
        return Decision(name, not is_over, EXPIRED if is_over else FOR_DOWNLOAD)
    if archive.kind in ("manual", "uploaded"):
        return Decision(name, True, BY_HAND)
    newer = [each for each in good if _moment(each) > moment]
    if archive.rotten:
        if moment > now - DAMAGED_DAYS * DAY:
            return Decision(name, True, _kept_until(moment, DAMAGED_DAYS))
        return Decision(name, not newer, DAMAGED if newer else TOO_FEW_NEWER)
    same_kind = [each for each in newer if each.kind == archive.kind]
    if archive.kind == "before-restore":
        if not same_kind:
            return Decision(name, True, LAST_WAY_BACK)
        if moment > now - SAFETY_DAYS * DAY:
            return Decision(name, True, _kept_until(moment, SAFETY_DAYS))
        return Decision(name, False, OLD_SAFETY)
    if keep_last == 0:
        return Decision(name, True, ALL_STAY)
    unpinned = [each for each in same_kind if not each.pinned]
    if len(unpinned) >= keep_last > sum(_makes_up_for(each, archive) for each in unpinned):
        return Decision(name, True, MUCH_LARGER)
    if len(unpinned) < keep_last:
        newest = "the newest" if keep_last == 1 else f"one of the {keep_last} newest"
        is_good = archive.state == "verified"
        return Decision(name, True, f"Kept: {newest} scheduled" if is_good else TOO_FEW_NEWER)
    return Decision(name, False, f"older than the {keep_last} newest scheduled")


def _makes_up_for(newer: ArchiveEntry, archive: ArchiveEntry) -> bool:
    """Not one that has lost more than half: it may be of a database that was emptied."""
    new, old = newer.contents, archive.contents
    if new is None or old is None:
        return True
    return 2 * new.users >= old.users and (2 * new.movies >= old.movies or old.movies < FEW_FILMS)


def _always_kept(archive: ArchiveEntry, now: float) -> str | None:
    if archive.pinned:
        return PINNED
    if archive.state == "foreign" or archive.sha256 is None or archive.created_at is None:
        return UNRECOGNISED
    # The time is the uploaded archive's own, and says nothing of this server's clock.
    if is_from_the_future(archive.created_at, now) and archive.kind != "uploaded":
        return FROM_THE_FUTURE
    return None


def _moment(archive: ArchiveEntry) -> float:
    return archive.created_at or 0


def _kept_until(moment: float, days: int) -> str:
    last = datetime.fromtimestamp(moment + days * DAY, UTC)
    return f"Kept until {last.day} {last:%b}"

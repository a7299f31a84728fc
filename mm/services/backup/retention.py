"""Which backups stay: a pure function with a reason for each file.

The clock may be wrong, so age alone deletes nothing: there must be as many newer good backups as
days that are kept, and they must not follow a long pause. For a safety copy one is enough.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from mm.clock import DAY
from mm.schemas import BackupEntry

FAILED_DAYS = 14
SAFETY_DAYS = 7
SAFETY_MOST = 20
# Between two backups: the server was off, or its clock is wrong.
PAUSE_DAYS = 14
MOST_A_RUN = 3
FROM_THE_FUTURE = (
    "Kept: dated in the future, because the clock was wrong when it was made. "
    "Delete it if you don’t need it."
)
BEFORE_A_PAUSE = (
    f"Kept until there are enough newer backups: for over {PAUSE_DAYS} days there were none, "
    "or the clock is wrong"
)
TOO_FEW_NEWER = "Kept until there are enough newer verified backups"
LATER = f"To be deleted: at most {MOST_A_RUN} files go in one night"
LAST_WAY_BACK = "Kept: there is no newer backup"
SAFETY_DOUBT = (
    f"Kept until {SAFETY_DAYS} days have a newer backup: for over {PAUSE_DAYS} days there were "
    "none, or the clock is wrong"
)
TOO_MANY = f"one of more than {SAFETY_MOST} safety copies"
SAFETY_KINDS = ("before-import", "before-restore")


class Policy(Struct, frozen=True):
    """`daily`: how many days before the day of the run keep their scheduled backup."""

    daily: int = 14


class Decision(Struct, frozen=True):
    filename: str
    keep: bool
    reason: str


def choose(
    backups: Iterable[BackupEntry], policy: Policy, today: date, now: float
) -> list[Decision]:
    """`today` is the day of the run in the schedule's time zone. Scheduled files carry their day in
    their name."""
    backups = list(backups)
    counted = _since_the_last_pause(backups, now)
    moments = sorted(map(_moment, _good(backups, now)))
    too_many = _too_many(backups, now)
    decisions = [
        _decide_safety(backup, now, moments, too_many)
        if backup.kind in SAFETY_KINDS
        else _decide(backup, policy, today, now, counted)
        for backup in backups
    ]
    return _at_most(MOST_A_RUN, decisions)


def is_from_the_future(created_at: float | None, now: float) -> bool:
    """By more than a change of time zone or a clock that runs a little fast can explain."""
    return created_at is not None and created_at > now + DAY


def _since_the_last_pause(backups: list[BackupEntry], now: float) -> list[BackupEntry]:
    """The good backups that show by their number that time has really passed, newest first."""
    good = [backup for backup in _good(backups, now) if backup.kind not in SAFETY_KINDS]
    counted: list[BackupEntry] = []
    later = now
    for backup in sorted(good, key=_moment, reverse=True):
        if _moment(backup) < later - PAUSE_DAYS * DAY:
            break
        counted.append(backup)
        later = _moment(backup)
    return counted


def _good(backups: list[BackupEntry], now: float) -> list[BackupEntry]:
    return [
        backup
        for backup in backups
        if backup.state == "verified" and not is_from_the_future(backup.created_at, now)
    ]


def _moment(backup: BackupEntry) -> float:
    return backup.created_at or 0


def _decide(
    backup: BackupEntry, policy: Policy, today: date, now: float, counted: list[BackupEntry]
) -> Decision:
    reason = (
        _always_kept(backup, now)
        or _kept_by_age(backup, policy, today, now)
        or _kept_for_doubt(backup, policy, counted)
    )
    return Decision(backup.filename, bool(reason), reason or _why_dropped(backup))


def _decide_safety(
    backup: BackupEntry, now: float, moments: list[float], too_many: set[str]
) -> Decision:
    """`moments`: of all good backups, the oldest first. `too_many`: see `_too_many`."""
    if reason := _always_kept(backup, now):
        return Decision(backup.filename, True, reason)
    if backup.filename in too_many:
        return Decision(backup.filename, False, TOO_MANY)
    if now - _moment(backup) <= SAFETY_DAYS * DAY:
        return Decision(backup.filename, True, _kept_until(_moment(backup), SAFETY_DAYS))
    doubt = _safety_doubt(_moment(backup), now, moments)
    reason = doubt or f"safety copy older than {SAFETY_DAYS} days"
    return Decision(backup.filename, bool(doubt), reason)


def _too_many(backups: list[BackupEntry], now: float) -> set[str]:
    """The oldest of the safety copies beyond SAFETY_MOST, but never the first one of the last day:
    a program that imports again and again must not push out what was there before it began."""
    copies = [each for each in backups if each.kind in SAFETY_KINDS and not _always_kept(each, now)]
    copies.sort(key=lambda each: (_moment(each), each.filename))
    excess = len(copies) - SAFETY_MOST
    first = next((each for each in copies if _moment(each) > now - DAY), None)
    others = [each.filename for each in copies if each is not first]
    return set(others[: max(excess, 0)])


def _safety_doubt(made: float, now: float, moments: list[float]) -> str | None:
    """It is old by the clock. It may go when something newer was made without a long pause between,
    or on so many days that time has surely passed: a clock alone never takes the last way back."""
    newer = moments[bisect_right(moments, made) :]
    if not newer:
        return LAST_WAY_BACK
    if len({datetime.fromtimestamp(each, UTC).date() for each in newer}) >= SAFETY_DAYS:
        return None
    steps = pairwise([made, *newer, now])
    paused = any(later - earlier > PAUSE_DAYS * DAY for earlier, later in steps)
    return SAFETY_DOUBT if paused else None


def _always_kept(backup: BackupEntry, now: float) -> str | None:
    if backup.pinned:
        return backup.kept_because or "pinned"
    if backup.state == "foreign" or backup.sha256 is None or backup.created_at is None:
        return "Kept: not recognised"
    if is_from_the_future(backup.created_at, now):
        return FROM_THE_FUTURE
    if backup.kind in ("manual", "uploaded"):
        return "Kept until you delete it"
    return None


def _kept_by_age(backup: BackupEntry, policy: Policy, today: date, now: float) -> str | None:
    age = now - _moment(backup)
    if backup.rotten:
        return _kept_until(_moment(backup), FAILED_DAYS) if age <= FAILED_DAYS * DAY else None
    day = date.fromisoformat(backup.filename[:10])
    if day >= today - timedelta(days=policy.daily):
        return _until(day + timedelta(days=policy.daily))
    return None


def _kept_until(moment: float, days: int) -> str:
    return _until(datetime.fromtimestamp(moment, UTC).date() + timedelta(days=days))


def _until(day: date) -> str:
    return f"Kept until {day.day} {day:%b}"


def _kept_for_doubt(backup: BackupEntry, policy: Policy, counted: list[BackupEntry]) -> str | None:
    """It is old by the clock: is that borne out by the backups that came after it?"""
    oldest = _moment(counted[-1]) if counted else float("inf")
    enough = policy.daily + 1
    # A nightly backup and those made by hand on one day show one day.
    days = {datetime.fromtimestamp(_moment(each), UTC).date() for each in counted}
    if _moment(backup) < oldest - PAUSE_DAYS * DAY and len(days) < enough:
        return BEFORE_A_PAUSE
    if not counted:
        return TOO_FEW_NEWER
    if backup.rotten:
        return None
    newer = sum(each.kind == "scheduled" and each.filename > backup.filename for each in counted)
    return TOO_FEW_NEWER if newer < enough else None


def _at_most(most: int, decisions: list[Decision]) -> list[Decision]:
    """The oldest first; names begin with the date."""
    dropped = sorted(decision.filename for decision in decisions if not decision.keep)
    later = set(dropped[most:])
    return [
        Decision(decision.filename, True, LATER) if decision.filename in later else decision
        for decision in decisions
    ]


def _why_dropped(backup: BackupEntry) -> str:
    return "damaged and old" if backup.rotten else "older than the days kept"

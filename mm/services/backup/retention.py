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
    good = [
        backup
        for backup in backups
        if backup.state == "verified" and not is_from_the_future(backup.created_at, now)
    ]
    counted = _since_the_last_pause(good, now)
    moments = sorted(map(_moment, good))
    # The oldest of the safety copies beyond SAFETY_MOST, but never the first one of
    # the last day: a program that imports again and again must not push out what
    # was there before it began.
    safety = [each for each in backups if each.kind in SAFETY_KINDS]
    copies = [each for each in safety if not _always_kept(each, now)]
    copies.sort(key=lambda each: (_moment(each), each.filename))
    first = next((each for each in copies if _moment(each) > now - DAY), None)
    others = [each.filename for each in copies if each is not first]
    too_many = set(others[: max(len(copies) - SAFETY_MOST, 0)])
    decisions = [
        _decide_safety(backup, now, moments, too_many)
        if backup.kind in SAFETY_KINDS
        else _decide(backup, policy, today, now, counted)
        for backup in backups
    ]
    # The oldest go first; names begin with the date.
    dropped = sorted(decision.filename for decision in decisions if not decision.keep)
    later = set(dropped[MOST_A_RUN:])
    return [
        Decision(decision.filename, True, LATER) if decision.filename in later else decision
        for decision in decisions
    ]


def is_from_the_future(created_at: float | None, now: float) -> bool:
    """By more than a change of time zone or a clock that runs a little fast can explain."""
    return created_at is not None and created_at > now + DAY


def _since_the_last_pause(good: list[BackupEntry], now: float) -> list[BackupEntry]:
    """The good backups that show by their number that time has really passed, newest first."""
    lasting = [backup for backup in good if backup.kind not in SAFETY_KINDS]
    counted: list[BackupEntry] = []
    later = now
    for backup in sorted(lasting, key=_moment, reverse=True):
        if _moment(backup) < later - PAUSE_DAYS * DAY:
            break
        counted.append(backup)
        later = _moment(backup)
    return counted


def _moment(backup: BackupEntry) -> float:
    return backup.created_at or 0


def _decide(
    backup: BackupEntry, policy: Policy, today: date, now: float, counted: list[BackupEntry]
) -> Decision:
    """`counted`: see `_since_the_last_pause`."""
    moment = _moment(backup)
    if reason := _always_kept(backup, now):
        return Decision(backup.filename, True, reason)
    if backup.rotten:
        if now - moment <= FAILED_DAYS * DAY:
            return Decision(backup.filename, True, _kept_until(moment, FAILED_DAYS))
    else:
        kept_for = timedelta(days=policy.daily)
        # Somebody may have named a file after the last day there is.
        day = min(date.fromisoformat(backup.filename[:10]), date.max - kept_for)
        if day >= today - kept_for:
            return Decision(backup.filename, True, _until(day + kept_for))
    # It is old by the clock: is that borne out by the backups that came after it?
    enough = policy.daily + 1
    oldest = _moment(counted[-1]) if counted else float("inf")
    # A nightly backup and those made by hand on one day show one day.
    days = {datetime.fromtimestamp(_moment(each), UTC).date() for each in counted}
    nightly = [each.filename for each in counted if each.kind == "scheduled"]
    newer = sum(filename > backup.filename for filename in nightly)
    if moment < oldest - PAUSE_DAYS * DAY and len(days) < enough:
        return Decision(backup.filename, True, BEFORE_A_PAUSE)
    if not counted or (not backup.rotten and newer < enough):
        return Decision(backup.filename, True, TOO_FEW_NEWER)
    reason = "damaged and old" if backup.rotten else "older than the days kept"
    return Decision(backup.filename, False, reason)


def _decide_safety(
    backup: BackupEntry, now: float, moments: list[float], too_many: set[str]
) -> Decision:
    """`moments`: of all good backups, the oldest first. `too_many`: the names of the
    copies beyond SAFETY_MOST."""
    moment = _moment(backup)
    if reason := _always_kept(backup, now):
        return Decision(backup.filename, True, reason)
    if backup.filename in too_many:
        return Decision(backup.filename, False, TOO_MANY)
    if now - moment <= SAFETY_DAYS * DAY:
        return Decision(backup.filename, True, _kept_until(moment, SAFETY_DAYS))
    # It is old by the clock. It may go when something newer was made without a long
    # pause between, or on so many days that time has surely passed: a clock alone
    # never takes the last way back.
    newer = moments[bisect_right(moments, moment) :]
    if not newer:
        return Decision(backup.filename, True, LAST_WAY_BACK)
    days = {datetime.fromtimestamp(each, UTC).date() for each in newer}
    steps = pairwise([moment, *newer, now])
    paused = any(later - earlier > PAUSE_DAYS * DAY for earlier, later in steps)
    if paused and len(days) < SAFETY_DAYS:
        return Decision(backup.filename, True, SAFETY_DOUBT)
    return Decision(backup.filename, False, f"safety copy older than {SAFETY_DAYS} days")


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


def _kept_until(moment: float, days: int) -> str:
    return _until(datetime.fromtimestamp(moment, UTC).date() + timedelta(days=days))


def _until(day: date) -> str:
    return f"Kept until {day.day} {day:%b}"

"""Which backups stay: a pure function with a reason for each file."""

from collections.abc import Iterable
from datetime import date, timedelta

from msgspec import Struct

from mm.documents import BackupEntry

DAY = 86400
NEWEST_VERIFIED = 3
FAILED_DAYS = 14
SAFETY_DAYS = 7
GAP_DAYS = 60
AFTER_A_GAP = f"nothing is deleted by the first backup after {GAP_DAYS} days without one"
SAFETY_KINDS = ("before-import", "before-restore")


class Policy(Struct, frozen=True):
    """`daily`: how many days before the day of the run keep their scheduled backup."""

    daily: int = 14


class Decision(Struct, frozen=True):
    filename: str
    keep: bool
    reason: str


def choose(backups: Iterable[BackupEntry], policy: Policy, today: date, now: float) -> list[Decision]:
    """`today` is the day of the run in the schedule's time zone. Scheduled files carry their day in their name."""
    backups = list(backups)
    if _clock_jumped(backups, now):
        return [Decision(backup.filename, True, AFTER_A_GAP) for backup in backups]
    newest = _newest_verified(backups)
    return [_decide(backup, policy, today, now, newest) for backup in backups]


def _clock_jumped(backups: list[BackupEntry], now: float) -> bool:
    """The one before the newest is months old: perhaps the server was off, perhaps its clock is wrong. Ages say
    nothing then."""
    moments = sorted((backup.created_at for backup in backups if backup.created_at), reverse=True)
    return len(moments) > 1 and moments[1] < now - GAP_DAYS * DAY


def _newest_verified(backups: list[BackupEntry]) -> set[str]:
    verified = sorted(
        backup.filename for backup in backups if backup.kind == "scheduled" and backup.state == "verified"
    )
    return set(verified[-NEWEST_VERIFIED:])


def _decide(backup: BackupEntry, policy: Policy, today: date, now: float, newest: set[str]) -> Decision:
    reason = _always_kept(backup) or _kept_by_age(backup, policy, today, now)
    if not reason and backup.filename in newest:
        reason = f"one of the {NEWEST_VERIFIED} newest verified"
    return Decision(backup.filename, bool(reason), reason or _why_dropped(backup))


def _always_kept(backup: BackupEntry) -> str | None:
    if backup.pinned:
        return backup.kept_because or "pinned"
    if backup.state == "foreign" or backup.sha256 is None or backup.created_at is None:
        return "not fully known, so never deleted by itself"
    if backup.kind in ("manual", "uploaded"):
        return "made by hand: only you delete it"
    return None


def _kept_by_age(backup: BackupEntry, policy: Policy, today: date, now: float) -> str | None:
    age = now - (backup.created_at or now)
    if backup.kind in SAFETY_KINDS:
        return f"safety copy, kept {SAFETY_DAYS} days" if age <= SAFETY_DAYS * DAY else None
    if backup.state == "damaged":
        return f"failed its check, kept {FAILED_DAYS} days" if age <= FAILED_DAYS * DAY else None
    if date.fromisoformat(backup.filename[:10]) >= today - timedelta(days=policy.daily):
        return f"one of the last {policy.daily + 1} days"
    return None


def _why_dropped(backup: BackupEntry) -> str:
    if backup.kind in SAFETY_KINDS:
        return f"safety copy older than {SAFETY_DAYS} days"
    return "damaged and old" if backup.state == "damaged" else "older than the days kept"

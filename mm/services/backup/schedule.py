"""What is due, from the last completed run kept on the user: asked every minute, so that a missed
night is caught up.

`crontab` in the worker's clock would neither catch up nor survive a change of time zone.
"""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta

from peewee import Expression, ModelSelect

from mm import clock, config, log, models
from mm.clock import DAY
from mm.config import backup_minutes
from mm.database import db
from mm.models import Job, User
from mm.services import jobs, problems
from mm.services.backup import ledger

# After the first and the second failure of a night; then the next night.
RETRY_AFTER = (15 * 60, 60 * 60)
OVERDUE_AFTER = 2 * DAY
RECHECKED = "rechecked_at"
TIDIED = "tidied_at"
EXPORTED = "all_users_exported_at"
# part -> what health calls it, and the look
Looks = dict[str, tuple[str, Callable[[], list[Job]]]]


def last_slot(now: float) -> float:
    """The latest scheduled time that is not after `now`."""
    return max(slot for slot in _slots(now) if slot <= now)


def next_slot(now: float) -> float:
    return min(slot for slot in _slots(now) if slot > now)


def _slots(now: float) -> list[float]:
    today = clock.local(now, config.current.zone)
    around = (today + timedelta(days=days) for days in (-1, 0, 1))
    return [slot_of(day, config.current.backup_time) for day in around]


def slot_of(day: datetime, time: str) -> float:
    """The time of that local day, HH:MM; an hour later where the change of clocks skips it."""
    hour, minute = backup_minutes(time)
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0).timestamp()


def next_run(user: User) -> float | None:
    if not user.backup_enabled:
        return None
    now = clock.now()
    if user.next_try_at is not None and user.next_try_at < now + 2 * DAY:
        return max(user.next_try_at, now)
    completed = user.last_completed_at
    is_due = completed is None or completed < last_slot(now) or completed > now + 2 * DAY
    return now if is_due else next_slot(now)


def is_overdue(last_good: float) -> bool:
    """Older than two periods, or of a clock that was wrong."""
    return not clock.now() - OVERDUE_AFTER <= last_good <= clock.now() + DAY


def postpone(user: User, message: str) -> None:
    """After a failure: again in 15 minutes, in 1 hour, then at the next scheduled time."""
    now = clock.now()
    kept, again = next_try(user.failed_tries, now, next_slot(now))
    with db.atomic():
        ledger.record_failure(user.id, "scheduled", message)
        User.update(next_try_at=again, failed_tries=kept).where(User.id == user.id).execute()
    minutes = round((again - now) / 60)
    log.warning("backup.postponed", user=user.id, tries=user.failed_tries + 1, minutes=minutes)


def next_try(earlier: int, now: float, slot: float) -> tuple[int, float]:
    """After one more failure than `earlier`: how many count from now on, and when to try again.
    `slot`: the next scheduled time, which starts over with its own two quick retries."""
    if earlier < len(RETRY_AFTER):
        return earlier + 1, now + RETRY_AFTER[earlier]
    return 0, slot


def take_new_time() -> None:
    """After a change of the time or the zone: who waits for the next night because of failures
    waits for it as it is now."""
    slot = next_slot(clock.now())
    with db.atomic():
        User.update(next_try_at=slot).where(User.next_try_at > slot).execute()


def due_jobs() -> list[Job]:
    """Jobs for what has become due, to be enqueued."""
    return found_by(LOOKS)


def found_by(looks: Looks) -> list[Job]:
    """Where one kind of work cannot be looked for, the others are found all the same."""
    created: list[Job] = []
    for part, (what, look) in looks.items():
        created += problems.attempt(part, what, look) or []
    return created


def due_unchanged() -> list[str]:
    """Users whose night is due and whose library is as the last one saved it."""
    return [user.id for user in _due(User.saved_version == User.library_version)]


def _due_backups() -> list[Job]:
    if not _anything_due():
        return []
    # Asked again where nobody else can write: two workers that look at once make one job each.
    with db.atomic():
        users = [user.id for user in _due(_changed())]
        created = jobs.create_many("backup", users, {"kind": "scheduled"})
        if not jobs.active("unchanged") and due_unchanged():
            created.append(jobs.create("unchanged"))
    return created


def _anything_due() -> bool:
    return _due(_changed()).exists() or (not jobs.active("unchanged") and bool(due_unchanged()))


def _changed() -> Expression:
    return User.saved_version.is_null() | (User.saved_version != User.library_version)


def _due(which) -> ModelSelect:
    now = clock.now()
    busy = Job.select(Job.user).where(
        (Job.kind == "backup") & Job.state.in_(jobs.ACTIVE) & Job.user.is_null(False)
    )
    return (
        User.select(User.id)
        .where(User.backup_enabled & which)
        .where(_unknown(User.last_completed_at) | (User.last_completed_at < last_slot(now)))
        .where(_unknown(User.next_try_at) | (User.next_try_at <= now))
        .where(User.id.not_in(busy))
    )


def _unknown(field):
    """A time in the future was written while the clock was wrong, and says nothing."""
    return field.is_null() | (field > clock.now() + 2 * DAY)


def once_a_night(kind: str, setting: str) -> list[Job]:
    """A job of this kind after the backups' time; `setting` keeps when the last one was created."""

    def was_created_tonight() -> bool:
        now = clock.now()
        return last_slot(now) <= (models.setting(setting) or 0) <= now + DAY

    if was_created_tonight():
        return []
    with db.atomic():
        # Another worker may have looked at the same time.
        if was_created_tonight():
            return []
        models.put_setting(setting, clock.now())
        return [jobs.create(kind)]


LOOKS: Looks = {
    "schedule.backups": ("Starting the nightly backups", _due_backups),
    "schedule.recheck": (
        "Starting the nightly check",
        functools.partial(once_a_night, "recheck", RECHECKED),
    ),
    "schedule.tidying": (
        "Starting the nightly tidying",
        functools.partial(once_a_night, "tidying", TIDIED),
    ),
    "schedule.all-users": (
        "Starting the nightly export of all libraries",
        functools.partial(once_a_night, "all-users", EXPORTED),
    ),
}


def enabled_accounts() -> int:
    """Accounts that have automatic backups on."""
    return User.select().where(User.backup_enabled).count()


def late_accounts() -> int:
    """Accounts whose automatic backups are older than two days."""
    old = _unknown(User.last_completed_at) | (User.last_completed_at < clock.now() - OVERDUE_AFTER)
    waiting = _unknown(User.created_at) | (User.created_at < clock.now() - OVERDUE_AFTER)
    return User.select().where(User.backup_enabled & old & waiting).count()

"""What is due, from the last completed run kept on the user: asked every minute, so that a missed night is caught up.

`crontab` in the worker's clock would neither catch up nor survive a change of time zone.
"""

from datetime import datetime, timedelta

from peewee import DatabaseError, ModelSelect, fn

from mm import clock, config, models
from mm.config import backup_minutes
from mm.errors import Unavailable
from mm.models import Job, User, db
from mm.services import jobs

DAY = 86400
# After the first and the second failure of a night; then the next night.
RETRY_AFTER = (15 * 60, 60 * 60)
OVERDUE_AFTER = 2 * DAY
WORKER_LATE_AFTER = 150
BEAT = "worker_seen_at"
RECHECKED = "rechecked_at"


def last_slot(now: float) -> float:
    """The latest scheduled time that is not after `now`."""
    slot = _slot_of(clock.local(now, config.current.zone))
    return slot if slot <= now else _slot_of(clock.local(now, config.current.zone) - timedelta(days=1))


def next_slot(now: float) -> float:
    slot = _slot_of(clock.local(now, config.current.zone))
    return slot if slot > now else _slot_of(clock.local(now, config.current.zone) + timedelta(days=1))


def _slot_of(day: datetime) -> float:
    """The scheduled time of that local day. A time that the change of clocks skips falls an hour later."""
    hour, minute = backup_minutes(config.current.backup_time)
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0).timestamp()


def next_run(user: User) -> float | None:
    if not user.backup_enabled:
        return None
    now = clock.now()
    if user.next_try_at is not None and user.next_try_at < now + 2 * DAY:
        return max(user.next_try_at, now)
    return now if _is_due(user, now) else next_slot(now)


def is_overdue(last_good: float) -> bool:
    """Older than two periods, or of a clock that was wrong."""
    return not clock.now() - OVERDUE_AFTER <= last_good <= clock.now() + DAY


def postpone(user: User, message: str) -> None:
    """After a failure: again in 15 minutes, in 1 hour, then at the next scheduled time."""
    now = clock.now()
    tries = user.failed_tries + 1
    again = now + RETRY_AFTER[tries - 1] if tries <= len(RETRY_AFTER) else next_slot(now)
    # The next night starts over with its own two quick retries.
    kept = tries if tries <= len(RETRY_AFTER) else 0
    with db.atomic():
        User.update(last_error=message, next_try_at=again, failed_tries=kept).where(User.id == user.id).execute()


def tick() -> list[Job]:
    """One minute's look: the jobs to enqueue now. Every one can be enqueued twice without harm."""
    with db.atomic():
        models.put_setting(BEAT, clock.now())
    found, given_up = jobs.recover()
    for job in given_up:
        if job.kind == "backup" and job.params["kind"] == "scheduled":
            postpone(User.get_by_id(job.user_id), jobs.GIVEN_UP)
    found += _due_backups()
    found += _due_recheck()
    jobs.sweep()
    return found


def due_unchanged() -> list[str]:
    """Users whose night is due and whose library is as the last one saved it."""
    return [user.id for user in _due(User.saved_version == User.library_version)]


def _due_backups() -> list[Job]:
    changed = User.saved_version.is_null() | (User.saved_version != User.library_version)
    found = jobs.create_many("backup", [user.id for user in _due(changed)], {"kind": "scheduled"})
    if not jobs.active("unchanged") and due_unchanged():
        found.append(jobs.create("unchanged"))
    return found


def _due(which) -> ModelSelect:
    now = clock.now()
    busy = Job.select(Job.user).where((Job.kind == "backup") & Job.state.in_(jobs.ACTIVE) & Job.user.is_null(False))
    return (
        User.select(User.id)
        .where(User.backup_enabled & which)
        .where(_unknown(User.last_completed_at) | (User.last_completed_at < last_slot(now)))
        .where(_unknown(User.next_try_at) | (User.next_try_at <= now))
        .where(User.id.not_in(busy))
    )


def _unknown(field):
    """A time of the future was written while the clock was wrong, and says nothing."""
    return field.is_null() | (field > clock.now() + 2 * DAY)


def _due_recheck() -> list[Job]:
    """Once a night, after the backups' time, and only where there are backups to check."""
    now = clock.now()
    done_tonight = last_slot(now) <= (models.setting(RECHECKED) or 0) <= now + DAY
    if done_tonight or not any(config.current.backups_dir.iterdir()):
        return []
    with db.atomic():
        models.put_setting(RECHECKED, now)
        return [jobs.create("recheck")]


def _is_due(user: User, now: float) -> bool:
    completed = user.last_completed_at
    return completed is None or completed < last_slot(now) or completed > now + 2 * DAY


def worker_is_late() -> bool:
    """No worker has looked for work in the last two and a half minutes."""
    return (models.setting(BEAT) or 0) < clock.now() - WORKER_LATE_AFTER


def health() -> dict:
    """Status, database, worker, last_backup and problems. Raises Unavailable when the database cannot be read or
    written."""
    try:
        _write_something()
    except DatabaseError as error:
        raise Unavailable("The database cannot be read or written.") from error
    problems = list(_problems())
    last_backup = User.select(fn.MAX(User.last_completed_at)).scalar()
    return {
        "status": "degraded" if problems else "healthy",
        "database": "ok",
        "worker": "late" if worker_is_late() else "ok",
        "last_backup": last_backup,
        "problems": problems,
    }


def _write_something() -> None:
    """A write that changes nothing takes the same lock and touches the same disk as one that does."""
    with db.atomic():
        models.put_setting("health_checked_at", clock.now())


def _problems():
    if worker_is_late():
        yield "No worker has been seen for over two minutes: backups and look-ups wait."
    old = _unknown(User.last_completed_at) | (User.last_completed_at < clock.now() - OVERDUE_AFTER)
    waiting = User.created_at < clock.now() - OVERDUE_AFTER
    late = User.select().where(User.backup_enabled & old & waiting).count()
    if late:
        yield f"Automatic backups of {late} account{'s' if late > 1 else ''} are older than two days."

"""Archives made by themselves: the schedule, and what is due from the last completed one, so that
a missed one is caught up."""

import re
from datetime import timedelta

from msgspec import structs

from mm import clock, config, log, maintenance, models
from mm.clock import DAY
from mm.database import db
from mm.models import Job
from mm.schemas import ArchiveSchedule
from mm.schemas.archives import ARCHIVES_KEPT_MAX, WEEKDAYS
from mm.services import jobs, problems, settings
from mm.services.backup.schedule import Looks, found_by, next_try, once_a_night, slot_of
from mm.services.server import archive_files, archives, databases
from mm.services.validation import FieldError, required, whole_number

# Settings: when the last scheduled archive was completed, [failures since, when to try again], and
# when the last nightly test was begun.
COMPLETED, FAILED, TESTED = "archives.completed_at", "archives.failed", "archives.tested_at"
# What health calls a failure.
PROBLEM = "archives.scheduled"
TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
# A time further ahead was written while the clock was wrong, and says nothing.
AHEAD = 2 * DAY
WEEK = 7


def save(schedule: ArchiveSchedule) -> ArchiveSchedule:
    """Raises FieldError for a value that cannot be used. Switched on, the first archive is made at
    once. Deletes nothing yet: that is done after the next archive, or at night."""
    if schedule.enabled:
        databases.require_sqlite()
    checked = _checked(schedule)
    with db.atomic():
        settings.put_archives(checked)
        # Another schedule starts over with its own quick retries.
        models.put_setting(FAILED, None)
    if not checked.enabled:
        # Nothing is tried again, so there is nothing left to warn of.
        problems.clear(PROBLEM)
    return checked


def is_undecided() -> bool:
    """Whether nobody has said yet if archives are to be made."""
    return models.setting(settings.ARCHIVES) is None


def take_new_zone() -> None:
    """After a change of the zone: one that failed is tried at its next time as it is now, and not
    as it was."""
    slot = next_slot(clock.now(), settings.archives())
    tries, again = models.setting(FAILED) or (0, None)
    if again is not None and again > slot:
        models.put_setting(FAILED, [tries, slot])


def _checked(schedule: ArchiveSchedule) -> ArchiveSchedule:
    match = TIME.fullmatch(schedule.time.strip())
    if not match:
        raise FieldError("time", "write a time of day such as 04:00")
    if not schedule.days:
        raise FieldError("days", "choose at least one day")
    if unknown := [day for day in schedule.days if day not in WEEKDAYS]:
        raise FieldError("days", f"{unknown[0]} is not one of {', '.join(WEEKDAYS)}")
    kept = required(whole_number(schedule.keep_last, "keep_last"), "keep_last")
    if not 0 <= kept <= ARCHIVES_KEPT_MAX:
        raise FieldError("keep_last", f"can be 0 to {ARCHIVES_KEPT_MAX}; 0 keeps all")
    return structs.replace(
        schedule,
        time=f"{int(match[1]):02}:{match[2]}",
        days=[day for day in WEEKDAYS if day in schedule.days],
        keep_last=kept,
    )


def last_slot(now: float, schedule: ArchiveSchedule) -> float:
    """The latest scheduled time that is not after `now`."""
    return max(slot for slot in _slots(now, schedule) if slot <= now)


def next_slot(now: float, schedule: ArchiveSchedule) -> float:
    return min(slot for slot in _slots(now, schedule) if slot > now)


def _slots(now: float, schedule: ArchiveSchedule) -> list[float]:
    """The scheduled times of the week before and the week after."""
    today = clock.local(now, config.current.zone)
    around = (today + timedelta(days=days) for days in range(-WEEK, WEEK + 1))
    chosen = schedule.days or WEEKDAYS
    return [slot_of(day, schedule.time) for day in around if WEEKDAYS[day.weekday()] in chosen]


def last_run() -> float | None:
    """When the last scheduled archive was completed."""
    return models.setting(COMPLETED)


def next_run() -> float | None:
    """When the next scheduled archive is made; None while that is switched off."""
    schedule = settings.archives()
    if not schedule.enabled:
        return None
    now = clock.now()
    again = _try_again_at(now)
    if again is not None:
        return max(again, now)
    return now if _is_behind(now, schedule) else next_slot(now, schedule)


def _is_behind(now: float, schedule: ArchiveSchedule) -> bool:
    completed = last_run()
    return completed is None or not last_slot(now, schedule) <= completed <= now + AHEAD


def _try_again_at(now: float) -> float | None:
    """After a failure."""
    _, again = models.setting(FAILED) or (0, None)
    return again if again is not None and again <= now + WEEK * DAY + DAY else None


# The worker.


def due_jobs() -> list[Job]:
    """Jobs for what has become due, to be enqueued."""
    # Nothing can be saved while the server is restored.
    return [] if maintenance.is_on() else found_by(LOOKS)


def _due_archive() -> list[Job]:
    if not _is_due():
        return []
    # Asked again where nobody else can write: two workers that look at once make one job.
    with db.atomic():
        if not _is_due():
            return []
        posters = settings.archives().include_posters
        return [archives.new_job(archives.params("scheduled", posters=posters))]


def _is_due() -> bool:
    schedule = settings.archives()
    if not schedule.enabled or not databases.is_sqlite() or jobs.active("archive"):
        return False
    now = clock.now()
    return _is_behind(now, schedule) and (_try_again_at(now) or 0) <= now


def _due_test() -> list[Job]:
    if not databases.is_sqlite() or not archive_files.folder().is_dir():
        return []
    return once_a_night("archives", TESTED)


LOOKS: Looks = {
    "schedule.archive": ("Starting the scheduled archive of the server", _due_archive),
    "schedule.archives": ("Starting the nightly test of an archive", _due_test),
}


def run(job: Job) -> dict:
    """The work of a job of kind archive. Returns {"timestamp": …}."""
    result = archives.run(job)
    if job.params["kind"] == "scheduled":
        with db.atomic():
            models.put_setting(COMPLETED, clock.now())
            models.put_setting(FAILED, None)
        problems.clear(PROBLEM)
    return result


def failed(job: Job, message: str) -> None:
    """After the failure of a scheduled archive: again in 15 minutes, in 1 hour, then at the next
    scheduled time. That of another one is on its job's page."""
    if job.params.get("kind") != "scheduled":
        return
    now = clock.now()
    tries, _ = models.setting(FAILED) or (0, None)
    kept, again = next_try(tries, now, next_slot(now, settings.archives()))
    with db.atomic():
        models.put_setting(FAILED, [kept, again])
    problems.put(PROBLEM, f"The scheduled archive of the server failed. {message}")
    log.warning("archive.postponed", tries=tries + 1, minutes=round((again - now) / 60))

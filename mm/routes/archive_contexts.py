"""What the section Archives of the page Server shows."""

from typing import Any

from mm import config
from mm.models import Job
from mm.routes.contexts import progress_context
from mm.schemas import ArchiveSchedule
from mm.services import jobs, settings
from mm.services.server import archive_files, archive_schedule, archives, databases

DAY_NAMES = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}


def page_context(job: Job | None = None) -> dict:
    """For the whole section. `job`: what was started here; else what runs now."""
    if not databases.is_sqlite():
        return {"needs_sqlite": databases.NEEDS_SQLITE}
    return {
        **archives_context(),
        "room": archives.room(),
        **job_context(job or jobs.active_of_server()),
        **upload_context(),
        **schedule_context(),
    }


def archives_context() -> dict:
    """For `admin/_archives.html`."""
    return {"archives": archives.listing()}


def job_context(job: Job | None) -> dict:
    """For `admin/_archive_job.html`. `archive`: what the job made or tested, unless it is
    deleted by now."""
    if job is None:
        return {"job": None}
    timestamp = (job.result or {}).get("timestamp", "")
    archive = None
    if archive_files.is_there(timestamp):
        archive = archive_files.entry(archive_files.path_of(timestamp))
    return {**progress_context(job), "archive": archive}


def upload_context(problem: str = "") -> dict:
    """For `admin/_archive_upload.html` and `setup/_file.html`. `problem`: why the file that was
    chosen cannot be used."""
    most = config.current.archive_max
    return {
        "upload_problem": problem,
        "file_max": config.current.archive_max_bytes,
        "too_large": f"This file is larger than {most}, the most this server takes.",
    }


def schedule_context(
    typed: dict[str, Any] | None = None, problems: dict[str, str] | None = None
) -> dict:
    """For `admin/_archive_schedule.html`. `typed`: what stands in the fields, else what is
    saved."""
    return {
        "day_names": DAY_NAMES,
        "schedule": typed or schedule_fields(settings.archives()),
        "next_run": archive_schedule.next_run(),
        "schedule_problems": problems or {},
    }


def schedule_fields(schedule: ArchiveSchedule) -> dict[str, Any]:
    return {
        "enabled": schedule.enabled,
        "time": schedule.time,
        "days": schedule.days,
        "keep_last": str(schedule.keep_last),
        "include_posters": schedule.include_posters,
    }

"""Old backups are test-restored again: a seventh of the distinct contents a night, within a budget of time."""

import time

from mm import config
from mm.documents import BackupEntry
from mm.models import Job
from mm.services import backups, jobs, locks
from mm.services.backup_files import USER_ID

NIGHTS = 7
BUDGET_SECONDS = 20 * 60


def run(job: Job) -> dict:
    """The work of a job of kind recheck. Returns {"checked": n, "damaged": [names]}."""
    end = time.monotonic() + BUDGET_SECONDS
    checked = 0
    damaged: list[str] = []
    folders = sorted(path.name for path in config.current.backups_dir.iterdir() if USER_ID.fullmatch(path.name))
    for done, user_id in enumerate(folders):
        for entry in due(user_id):
            if time.monotonic() > end:
                return {"checked": checked, "damaged": damaged}
            checked += 1
            damaged += _check(user_id, entry)
        jobs.progress(job, done + 1, len(folders), "Checking old backups")
    return {"checked": checked, "damaged": damaged}


def due(user_id: str) -> list[BackupEntry]:
    """One file for each distinct content, the longest unchecked first: a seventh of them, at least one."""
    distinct: dict[str, BackupEntry] = {}
    for entry in backups.listing(user_id):
        if entry.sha256 and entry.state == "verified":
            distinct.setdefault(entry.sha256, entry)
    oldest = sorted(distinct.values(), key=lambda entry: entry.verified_at or 0)
    return oldest[: -(-len(oldest) // NIGHTS)]


def _check(user_id: str, entry: BackupEntry) -> list[str]:
    """The damaged names. Whoever works on this library now comes first; another night will do."""
    try:
        with backups.holding(user_id):
            checked = backups.verify_held(user_id, entry.filename)
    except locks.Busy:
        return []
    return [] if checked.state == "verified" else [f"{user_id}/{entry.filename}"]

"""Everybody's backups at a glance, for administrators: numbers and states, and nothing of what is
in a library."""

import os
from collections.abc import Iterator
from pathlib import Path

from peewee import fn

from mm import clock
from mm.clock import DAY
from mm.database import chunks
from mm.dates import PLAIN, Style
from mm.errors import UserError
from mm.models import Job, User
from mm.schemas import BackupEntry, BackupOverview, BackupState
from mm.services import heartbeat
from mm.services.backup import backups, state
from mm.services.backup import files as backup_files

# So many users are looked at together.
BATCH = 500
FAILED_DAYS = 7
# The worst first.
ORDER = ("unreachable", "failed", "overdue", "none", "off", "behind", "good", "empty")


def of_everybody(style: Style = PLAIN) -> list[BackupOverview]:
    """Who needs attention first, then by name. A folder that cannot be read is a row that says so.
    `style`: of the dates in its sentences."""
    worker_is_late = heartbeat.worker_is_late()
    users = list(User.select().order_by(User.username_key))
    rows = [row for part in chunks(users, BATCH) for row in _of(part, worker_is_late, style)]
    # Sorting keeps the order of names.
    return sorted(rows, key=lambda row: (not _is_alarm(row), ORDER.index(row.state.name)))


def of(users: list[User], style: Style = PLAIN) -> list[BackupOverview]:
    """A row for each, in their order."""
    return list(_of(users, heartbeat.worker_is_late(), style))


def _is_alarm(row: BackupOverview) -> bool:
    return row.state.alarm


def _of(users: list[User], worker_is_late: bool, style: Style) -> Iterator[BackupOverview]:
    entries, unread = _entries_of(users)
    copies = state.newest_copies(users, entries)
    changes = state.count_changes(copies)
    libraries = state.libraries(users)
    failures = _failed_jobs(users)
    for user, last_good in copies:
        listed = entries.get(user.id, [])
        library = libraries[user.id]
        health = state.health_of(
            user, listed, last_good, changes[user.id], library, worker_is_late, style
        )
        shown = health.state
        if user.id in unread:
            shown = BackupState("unreachable", "bad", "Can’t be read", unread[user.id], alarm=True)
        yield BackupOverview(
            username=user.username,
            is_active=user.is_active,
            films=health.films,
            enabled=health.enabled,
            last_good=last_good.created_at if last_good else None,
            state=shown,
            size_bytes=0 if user.id in unread else _size(backup_files.folder_of(user.id)),
            failed=failures.get(user.id, 0),
            damaged=sum(entry.state == "damaged" for entry in listed),
        )


def _entries_of(users: list[User]) -> tuple[dict[str, list[BackupEntry]], dict[str, str]]:
    """The files by user id, and for the folders that cannot be read, why."""
    entries: dict[str, list[BackupEntry]] = {}
    unread: dict[str, str] = {}
    for user in users:
        try:
            with backups.folder_in_reach(user.id):
                entries[user.id] = backup_files.entries(user.id)
        except UserError as error:
            unread[user.id] = error.message
    return entries, unread


def _failed_jobs(users: list[User]) -> dict[str, int]:
    failed = (Job.kind == "backup") & (Job.state == "failed")
    recent = Job.created_at > clock.now() - FAILED_DAYS * DAY
    jobs = Job.select(Job.user, fn.COUNT(Job.id)).where(
        failed & recent & Job.user.in_([user.id for user in users])
    )
    return dict(jobs.group_by(Job.user).tuples())


def _size(folder: Path) -> int:
    """On the disk: a night without a change is a link, which takes nothing."""
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as listed:
        files = [file.stat(follow_symlinks=False) for file in listed]
    return sum({file.st_ino: file.st_size for file in files}.values())

"""A user's scheduled backups: a night costs what changed, not what exists.

An unchanged library gets a hard link to the last file under the new date. What "unchanged" means is
kept on the user and in the sidecar, and both must agree, so that a database or a folder that was
brought back from elsewhere never passes for unchanged.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mm import clock, files, locks, log
from mm.database import chunks, db, update_rows
from mm.errors import UserError
from mm.models import Job, User
from mm.schemas import BackupEntry, Sidecar
from mm.services import jobs
from mm.services.backup import backups, schedule
from mm.services.backup import files as backup_files
from mm.services.backup.files import entry, folder_of, kind_of, name_for

# After so many nights without a change a fresh file is written, so that one bad block never takes
# fourteen nights.
LINKS_MAX = 7
BATCH = 100
DONE_FIELDS = (
    User.last_completed_at,
    User.saved_version,
    User.next_try_at,
    User.failed_tries,
    User.last_error,
)


class Night(NamedTuple):
    """`saved_version`: the library_version that the entry is known to hold, else null."""

    entry: BackupEntry
    completed_at: float
    saved_version: int | None

    def row(self, user: User) -> tuple:
        """The values of DONE_FIELDS, then the user's id."""
        return (self.completed_at, self.saved_version, None, 0, None, user.id)


def enable(user: User, enabled: bool) -> Job | None:
    """Switching on makes a first backup at once: the returned job, for the caller to enqueue."""
    values = {"backup_enabled": enabled, "next_try_at": None, "failed_tries": 0}
    if not enabled:
        # Nothing is tried again, so there is nothing left to warn of.
        values["last_error"] = None
    with db.atomic():
        User.update(**values).where(User.id == user.id).execute()
    if not enabled or user.backup_enabled or jobs.active("backup", user.id):
        return None
    return jobs.create("backup", user.id, {"kind": "scheduled"})


def run(job: Job) -> dict:
    """The work of a job of kind backup; `params.kind` is manual or scheduled."""
    scheduled = job.params["kind"] == "scheduled"
    try:
        made = (
            run_scheduled(job.user_id) if scheduled else backups.create(User.get_by_id(job.user_id))
        )
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    return {"filename": made.filename}


def failed(job: Job, message: str) -> None:
    """A scheduled backup that failed is tried again as the schedule says."""
    user = User.get_or_none(User.id == job.user_id)
    if user and job.params["kind"] == "scheduled":
        schedule.postpone(user, message)


def run_scheduled(user_id: str) -> BackupEntry:
    """Tonight's backup, then retention. A verified file of this day is never replaced; repeating it
    is harmless."""
    with backups.holding(user_id):
        user = User.get_by_id(user_id)
        backup_files.sweep(folder_of(user_id))
        night = _settled(user) or _make(user)
        _complete([night.row(user)])
    return night.entry


def run_unchanged(job: Job) -> dict:
    """The work of a job of kind unchanged: all libraries that have not changed since their last
    night, in one task.

    Returns {"linked": n}. What cannot be settled with a link is marked as changed, and gets a task
    of its own at the next look.
    """
    linked = 0
    users = schedule.due_unchanged()
    for done, some in enumerate(chunks(users, BATCH)):
        rows = list(_repeat_nights(some))
        _complete(rows)
        linked += len(rows)
        jobs.progress(job, done * BATCH + len(some), len(users), "Libraries without a change")
    return {"linked": linked}


def _repeat_nights(user_ids: list[str]) -> Iterator[tuple]:
    # A list: a write inside an open SELECT fails as soon as another process has written.
    for user in list(User.select().where(User.id.in_(user_ids))):
        with log.isolated("backup.failed", user=user.id) as attempt:
            yield from _repeat_night(user)
        if attempt.code:
            schedule.postpone(user, jobs.went_wrong(attempt.code))


def _repeat_night(user: User) -> Iterator[tuple]:
    try:
        with backups.holding(user.id):
            if night := _settled(user):
                yield night.row(user)
            else:
                _mark_changed(user)
    except locks.BusyError:
        return
    except UserError as error:
        log.warning("backup.failed", user=user.id, reason=type(error).__name__)
        schedule.postpone(user, error.message)


def _settled(user: User) -> Night | None:
    """This day's backup, where it is there already or a link makes it; then retention, as a new
    file brings its own."""
    night = _found_or_linked(user)
    if night:
        backups.prune_held(user)
    return night


def _found_or_linked(user: User) -> Night | None:
    if found := _todays(user):
        # Older than this night, and what it holds is not what this database knows: the next night
        # makes its own file.
        return Night(found, clock.now(), None)
    if linked := _link_unchanged(user):
        return Night(linked, linked.created_at or clock.now(), user.library_version)
    return None


def _make(user: User) -> Night:
    """A file that has this day's name already and is not known to have rotted is set aside first:
    it may be the only copy of something."""
    folder = folder_of(user.id)
    path = folder / name_for(folder, "scheduled", clock.now())
    if path.is_file():
        _set_aside(path, folder / name_for(folder, "manual", clock.now()))
    made = backups.create_held(user, "scheduled")
    sidecar = backup_files.read_sidecar(path)
    return Night(made, made.created_at or clock.now(), sidecar.library_version if sidecar else None)


def _set_aside(path: Path, name: Path) -> None:
    sidecar = backup_files.read_sidecar(path)
    if sidecar is None:
        path.rename(name)
    elif not entry(path).rotten:
        with files.draft(path.parent) as temporary:
            _link_or_copy(path, temporary)
            backup_files.publish(temporary, name, sidecar)


def _todays(user: User) -> BackupEntry | None:
    folder = folder_of(user.id)
    path = folder / name_for(folder, "scheduled", clock.now())
    if not path.exists():
        return None
    found = entry(path)
    good = found.state == "verified" and not _is_of_another_past(user, found, path)
    return found if good else None


def _is_of_another_past(user: User, found: BackupEntry, path: Path) -> bool:
    """This database never completed it, and holds something else: the clock was ahead when it was
    made, or the database was brought back from before."""
    sidecar = backup_files.read_sidecar(path)
    unknown = (found.created_at or 0) > (user.last_completed_at or 0)
    return unknown and sidecar is not None and sidecar.library_version != user.library_version


def _link_unchanged(user: User) -> BackupEntry | None:
    """None where the library has changed, or where the last file is not to be trusted with another
    night."""
    folder = folder_of(user.id)
    last = _last_scheduled(folder)
    if last is None or last.created_at != user.last_completed_at:
        return None
    source = folder / last.filename
    sidecar = backup_files.read_sidecar(source)
    if (
        sidecar is None
        or sidecar.library_version != user.library_version
        or sidecar.links >= LINKS_MAX
    ):
        return None
    if _is_rotten(source, sidecar):
        return None
    return _link(source, sidecar, folder)


def _is_rotten(source: Path, sidecar: Sidecar) -> bool:
    """Or cannot be read; either is noted."""
    try:
        rotten = files.sha256(source) != sidecar.sha256
    except OSError as error:
        backups.note(source, sidecar, backups.unreadable(error))
        return True
    if rotten:
        backups.note(source, sidecar, backups.ROTTEN)
    return rotten


def _last_scheduled(folder: Path) -> BackupEntry | None:
    """The newest verified one that is not from the future; names sort by date, so the others are
    not even opened."""
    if not folder.is_dir():
        return None
    last = name_for(folder, "scheduled", clock.now() + schedule.DAY)
    scheduled = [path for path in folder.iterdir() if kind_of(path.name) == "scheduled"]
    paths = [path for path in scheduled if path.name <= last]
    entries = (entry(path) for path in sorted(paths, reverse=True))
    return next((found for found in entries if found.state == "verified"), None)


def _link(source: Path, sidecar: Sidecar, folder: Path) -> BackupEntry:
    sidecar.unchanged_since = sidecar.unchanged_since or sidecar.created_at
    sidecar.created_at, sidecar.links = clock.now(), sidecar.links + 1
    sidecar.pinned, sidecar.kept_because = False, None
    target = folder / name_for(folder, "scheduled", sidecar.created_at)
    with files.draft(folder) as temporary:
        _link_or_copy(source, temporary)
        backup_files.publish(temporary, target, sidecar)
    log.info("backup.linked", user=folder.name, file=target.name, links=sidecar.links)
    return entry(target)


def _link_or_copy(source: Path, target: Path) -> None:
    """Some file systems know no hard links."""
    try:
        os.link(source, target)
    except OSError:
        files.write(target, source.read_bytes())


def _complete(rows: list[tuple]) -> None:
    with db.atomic():
        update_rows(db.obj, DONE_FIELDS, [User.id], rows)


def _mark_changed(user: User) -> None:
    with db.atomic():
        User.update(saved_version=None).where(User.id == user.id).execute()

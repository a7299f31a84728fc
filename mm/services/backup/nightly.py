"""A user's scheduled backups: a night costs what changed, not what exists.

An unchanged library gets a hard link to the last file under the new date. What "unchanged" means is
kept on the user and in the sidecar, and both must agree, so that a database or a folder that was
brought back from elsewhere never passes for unchanged.
"""

from typing import NamedTuple

from mm import clock, files, locks, log, models
from mm.database import chunks, db, update_rows
from mm.errors import UserError
from mm.models import Job, User
from mm.schemas import BackupEntry
from mm.services import jobs
from mm.services.backup import backups, ledger, schedule
from mm.services.backup import files as backup_files
from mm.services.backup.files import entry, folder_of, kind_of, name_for

# After so many nights without a change a fresh file is written, so that one bad block never takes
# fourteen nights.
LINKS_MAX = 7
BATCH = 100
# Time to add the first films before the first backup.
FIRST_FILMS_SECONDS = 15 * 60
DONE_FIELDS = (
    User.last_completed_at,
    User.saved_version,
    User.next_try_at,
    User.failed_tries,
    User.last_error,
)


class NightlyBackup(NamedTuple):
    """`saved_version`: the library_version that the file is known to hold, else None."""

    filename: str
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
        ledger.record_choice(user.id)
    if not enabled or user.backup_enabled or jobs.active("backup", user.id):
        return None
    return jobs.create("backup", user.id, {"kind": "scheduled"})


def is_undecided(user: User) -> bool:
    """Whether pages may offer the switch already ticked: automatic backups are off, and it was not
    their user who switched them off."""
    return not user.backup_enabled and not ledger.has_chosen(user)


def decide(user: User, enabled: bool, in_seconds: float = 0) -> None:
    """The answer to that offer; nothing for who has decided already. The first backup is made in so
    many seconds, when there is something to save."""
    values = {"backup_enabled": True, "next_try_at": clock.now() + in_seconds}
    with db.atomic():
        if is_undecided(User.get_by_id(user.id)):
            ledger.record_choice(user.id)
            if enabled:
                User.update(**values).where(User.id == user.id).execute()


def run(job: Job) -> dict:
    """The work of a job of kind backup; `params.kind` is manual or scheduled."""
    try:
        if job.params["kind"] == "scheduled":
            backup = run_scheduled(job.user_id)
        else:
            backup = backups.create(User.get_by_id(job.user_id))
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    return {"filename": backup.filename}


def failed(job: Job, message: str) -> None:
    """A scheduled backup that failed is tried again as the schedule says, one made by hand is
    not."""
    user = User.get_or_none(User.id == job.user_id)
    if user and job.params["kind"] == "scheduled":
        schedule.postpone(user, message)
    elif user:
        ledger.record_failure(user.id, job.params["kind"], message)


def run_scheduled(user_id: str) -> BackupEntry:
    """Tonight's backup, then retention. A verified file of this day is never replaced; repeating it
    is harmless."""
    with backups.holding(user_id):
        user = User.get_by_id(user_id)
        backup_files.sweep(folder_of(user_id))
        backup = _existing_or_linked(user)
        if backup is None:
            folder = folder_of(user_id)
            path = folder / name_for(folder, "scheduled", clock.now())
            # A file that has this day's name already, and is not known to be
            # rotten, is set aside first: it may be the only copy of something.
            if path.is_file():
                aside = folder / name_for(folder, "manual", clock.now())
                sidecar = backup_files.read_sidecar(path)
                if sidecar is None:
                    path.rename(aside)
                elif not entry(path).rotten:
                    with files.draft(folder) as temporary:
                        files.link_or_copy(path, temporary)
                        backup_files.publish(temporary, aside, sidecar)
            filename, written = backups.create_held(user, "scheduled")
            backup = NightlyBackup(filename, written.created_at, written.library_version)
        _complete([backup.row(user)])
        return entry(folder_of(user_id) / backup.filename)


def run_unchanged(job: Job) -> dict:
    """The work of a job of kind unchanged: all libraries that have not changed since their last
    night, in one task.

    Returns {"linked": n}. A library that cannot do with a link is marked as changed, and gets a
    task of its own at the next look.
    """
    linked = 0
    users = schedule.due_unchanged()
    for done, part in enumerate(chunks(users, BATCH)):
        rows: list[tuple] = []
        # A list: a write inside an open SELECT fails as soon as another process has
        # written.
        for user in list(User.select().where(User.id.in_(part))):
            try:
                with (
                    log.isolated("backup.failed", besides=(UserError,), user=user.id) as attempt,
                    backups.holding(user.id),
                ):
                    if backup := _existing_or_linked(user):
                        rows.append(backup.row(user))
                    else:
                        with db.atomic():
                            User.update(saved_version=None).where(User.id == user.id).execute()
            except locks.BusyError:
                continue
            except UserError as error:
                log.warning("backup.failed", user=user.id, reason=type(error).__name__)
                schedule.postpone(user, error.message)
            else:
                if attempt.code:
                    schedule.postpone(user, jobs.went_wrong("backup", attempt.code))
        _complete(rows)
        linked += len(rows)
        jobs.progress(job, done * BATCH + len(part), len(users), "Libraries without a change")
    return {"linked": linked}


def _existing_or_linked(user: User) -> NightlyBackup | None:
    """This day's backup, where it exists already or a link makes it; then retention, as a new file
    brings its own."""
    folder = folder_of(user.id)
    path = folder / name_for(folder, "scheduled", clock.now())
    backup = None
    if path.exists():
        existing = entry(path)
        sidecar = backup_files.read_sidecar(path)
        created_at = existing.created_at or 0
        # A day and more ago, it was this night only by a zone that is no longer the server's.
        is_of_this_night = clock.now() - clock.DAY < created_at <= (user.last_completed_at or 0)
        holds_another = sidecar is not None and (
            sidecar.library_version != user.library_version
            # After a restore of the whole server, writes are counted from an earlier number.
            or sidecar.created_at < models.epoch()
        )
        # Not one that this database never completed and that holds something else:
        # the clock was ahead when it was made, or the database was brought back
        # from before.
        if existing.state == "verified" and (is_of_this_night or not holds_another):
            # Older than this night, and what it holds is not what this database
            # knows: the next night makes its own file.
            backup = NightlyBackup(path.name, clock.now(), None)
    if backup is None and (linked := _link_unchanged(user)):
        filename, created_at = linked
        backup = NightlyBackup(filename, created_at, user.library_version)
    if backup:
        backups.prune_held(user)
    return backup


def _link_unchanged(user: User) -> tuple[str, float] | None:
    """The name and the time of a link to the last file. None where the library has changed, or
    where the last file is not to be trusted with another night."""
    folder = folder_of(user.id)
    if not folder.is_dir():
        return None
    # The newest verified one that is not from the future. Names sort by date, so
    # the others are not even opened.
    latest = name_for(folder, "scheduled", clock.now() + clock.DAY)
    scheduled = [path for path in folder.iterdir() if kind_of(path.name) == "scheduled"]
    paths = sorted((path for path in scheduled if path.name <= latest), reverse=True)
    last = next((each for each in map(entry, paths) if each.state == "verified"), None)
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
    try:
        problem = None if files.sha256(source) == sidecar.sha256 else backups.ROTTEN
    except OSError as error:
        problem = backups.unreadable(source, error)
    if problem:
        backups.record_check(source, sidecar, problem)
        return None
    sidecar.unchanged_since = sidecar.unchanged_since or sidecar.created_at
    sidecar.created_at, sidecar.links = clock.now(), sidecar.links + 1
    sidecar.pinned, sidecar.kept_because = False, None
    target = folder / name_for(folder, "scheduled", sidecar.created_at)
    with files.draft(folder) as temporary:
        files.link_or_copy(source, temporary)
        backup_files.publish(temporary, target, sidecar)
    log.info("backup.linked", user=folder.name, file=target.name, links=sidecar.links)
    return target.name, sidecar.created_at


def _complete(rows: list[tuple]) -> None:
    with db.atomic():
        update_rows(db.obj, DONE_FIELDS, [User.id], rows)

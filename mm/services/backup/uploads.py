"""Files that wait for their user's confirmation: received, checked, and kept in data/tmp with the
job that owns them."""

import contextlib
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mm import clock, config, files, log
from mm.database import db
from mm.errors import ConflictError, InvalidError, NotFoundError, TooLargeError, UserError
from mm.models import Job, User
from mm.services import validation
from mm.services.backup import files as backup_files
from mm.services.backup import large_files, quotas
from mm.services.portable import FILE_MAX

KEEP_SECONDS = 86400
KINDS = ("import", "restore", "undo")
# Whose files wait here too, with a preview of their own: services/collections.
OTHER_KINDS = ("collection",)
# What a job has in data/tmp beside its file: see stored_plans.
PLAN_SUFFIXES = (".plan", ".rows")
WAITING = "waiting"
ENDED = ("done", "failed")
# What this program puts into data/tmp and may delete there: a job's files, and a draft.
FILE_NAME = re.compile(
    rf"{backup_files.USER_ID.pattern}\.(json|plan|rows)|{re.escape(files.DRAFT)}[0-9a-f]+"
)
SOURCE_MAX = 100
NOT_WAITING = "This was already confirmed or cancelled, or a newer upload replaced it."
GONE = (
    "This file is no longer waiting: it was cancelled, a newer upload replaced it, or 24 hours "
    "have passed. Upload it again."
)
ANOTHER_FILE = "The waiting file is no longer the one you uploaded. Upload it again."


def receive(user: User, stream: IO[bytes], name: str | None = None) -> Job:
    """An uploaded file, checked and kept for 24 hours in place of an earlier one. `name`: what it
    is called where it came from. Raises TooLargeError, UnusableFileError or NoRoomError, with
    nothing kept."""
    with refusal_logged(user.id, "import"):
        data = stream.read(FILE_MAX + 1)
        if len(data) > FILE_MAX:
            raise TooLargeError(validation.TOO_LARGE)
        large_files.read(data, user.id)
        quotas.require_reserve(config.current.tmp_dir, len(data))
        return keep(user, data, "import", {"source": source_name(name)})


def copy_backup(user: User, filename: str) -> Job:
    """One of the user's backups, to be restored. A copy waits, so that the plan that was shown is
    the one that is done."""
    with refusal_logged(user.id, "restore"):
        data = backup_files.read(user.id, filename)
        large_files.read(data, user.id, trusted=backup_files.is_ours(filename))
        files.require_room(config.current.tmp_dir, len(data))
        return keep(user, data, "restore", {"filename": filename, "source": filename})


def source_name(name: str | None) -> str | None:
    """The last part of a file's path, as it is kept and shown."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, last))[:SOURCE_MAX].strip() or None


def keep(user: User, data: bytes, kind: str, params: dict) -> Job:
    """The file first, then its row: a disk that fills up leaves neither. Each user has one waiting
    file, so that nobody can fill the disk with them."""
    params = {**params, "sha256": files.digest(data)}
    job = Job(kind=kind, user=user.id, params=params, state=WAITING, created_at=clock.now())
    path = path_of(job)
    with contextlib.ExitStack() as unless_kept:
        unless_kept.callback(path.unlink, missing_ok=True)
        with files.draft(path.parent) as draft:
            files.write(draft, data)
            draft.rename(path)
        with db.atomic():
            earlier = list(Job.select().where((Job.user == user.id) & (Job.state == WAITING)))
            Job.delete().where(Job.id.in_([old.id for old in earlier])).execute()
            job.save(force_insert=True)
        unless_kept.pop_all()
    for old in earlier:
        delete(old)
    return job


def find(job_id: str, user_id: str, kinds: tuple[str, ...] = KINDS) -> Job:
    """An upload of this user, whatever became of it. Raises NotFoundError when it is gone."""
    job = Job.get_or_none((Job.id == job_id) & (Job.user == user_id) & Job.kind.in_(kinds))
    if job is None:
        raise NotFoundError(GONE)
    return job


def is_waiting(job: Job) -> bool:
    return Job.select().where((Job.id == job.id) & (Job.state == WAITING)).exists()


def queue(job: Job, params: dict) -> Job:
    """Hand a waiting file to the worker. Raises ConflictError where it waits no longer."""
    queued = {"state": "queued", "params": params, "message": "", "created_at": clock.now()}
    with db.atomic():
        waiting = (Job.id == job.id) & (Job.state == WAITING)
        if not Job.update(**queued).where(waiting).execute():
            raise ConflictError(NOT_WAITING)
    return Job.get_by_id(job.id)


def discard(job: Job) -> bool:
    """Withdraw a file that waits for its confirmation. False where it was confirmed meanwhile."""
    with db.atomic():
        Job.delete().where((Job.id == job.id) & (Job.state == WAITING)).execute()
    if Job.select().where(Job.id == job.id).exists():
        return False
    delete(job)
    return True


def data_of(job: Job) -> bytes:
    """The waiting file. Raises NotFoundError when it is gone, and InvalidError when it is another
    one."""
    try:
        data = path_of(job).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(GONE) from error
    if files.digest(data) != job.params.get("sha256"):
        raise InvalidError(ANOTHER_FILE)
    return data


def path_of(job: Job, suffix: str = ".json") -> Path:
    return config.current.tmp_dir / f"{job.id}{suffix}"


def delete(job: Job) -> None:
    """Its files only."""
    for suffix in (".json", *PLAN_SUFFIXES):
        path_of(job, suffix).unlink(missing_ok=True)


def sweep() -> None:
    """Delete files that nobody confirmed within a day, with their jobs, and those of jobs that have
    ended. Whatever else lies in the folder is left alone. Raises OSError at the end for a file that
    could not be deleted."""
    now = clock.now()
    # What is further in the future was received while the clock was ahead.
    recent = Job.created_at.between(now - KEEP_SECONDS, now + KEEP_SECONDS)
    with db.atomic():
        Job.delete().where((Job.state == WAITING) & ~recent).execute()
    paths = [path for path in config.current.tmp_dir.iterdir() if FILE_NAME.fullmatch(path.name)]
    uploads = Job.select(Job.id, Job.state).where(Job.kind.in_((*KINDS, *OTHER_KINDS)))
    states = {row.id: row.state for row in uploads}
    failures = []
    for path in paths:
        state = states.get(path.stem)
        try:
            # A file is there before its job, a plan never.
            is_orphan = state is None and (path.suffix in PLAN_SUFFIXES or _is_old_file(path))
            if state in ENDED or is_orphan:
                path.unlink(missing_ok=True)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _is_old_file(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and abs(clock.now() - status.st_mtime) > KEEP_SECONDS


@contextlib.contextmanager
def refusal_logged(user_id: str, kind: str) -> Iterator[None]:
    """Log that a file was refused, without the message: it may quote the file."""
    try:
        yield
    except UserError as error:
        log.warning(f"{kind}.refused", user=user_id, reason=type(error).__name__)
        raise

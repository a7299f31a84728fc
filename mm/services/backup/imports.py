"""The way in for a file or a backup: received, planned, confirmed, and applied with a safety backup
before it."""

import contextlib
import re
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from mm import clock, config, files, locks, log
from mm.database import db
from mm.errors import (
    ConflictError,
    InvalidError,
    NoRoomError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UserError,
)
from mm.models import CustomList, Job, Movie, Person, SavedView, User
from mm.schemas import BackupKind, Conflicts, ImportResult, PlanView
from mm.services import jobs, portable
from mm.services.backup import backups, quotas
from mm.services.backup import files as backup_files
from mm.services.portable import FILE_MAX, Incoming, Plan

SAFETY: dict[str, BackupKind] = {"import": "before-import", "restore": "before-restore"}
# So often the library may change under the API's import before nobody else may write.
TRIES = 2
# Of the file: what its rows take in the database and, for a while, once more in its log.
DATABASE_ROOM = 3
KEEP_UPLOADS_SECONDS = 86400
# Larger files are read one at a time in each process, because of the memory and the time it takes.
LARGE_FILE = 2**18
TURN_SECONDS = 10
WAITING = "waiting"
ENDED = ("done", "failed")
UPLOADED = Job.kind.in_(tuple(SAFETY))
# What this program puts into data/tmp and may delete there: a job's file, and a draft.
OURS = re.compile(rf"{backup_files.USER_ID.pattern}\.json|{re.escape(files.DRAFT)}[0-9a-f]+")
# Of them, so many may wait for their turn: each takes a thread of the server while it does.
WAITING_OF_A_USER = 1
WAITING_IN_ALL = 2
NOT_WAITING = "This was confirmed already, or withdrawn, or a newer upload took its place."
GONE = (
    "This file is no longer waiting: a newer upload took its place, it was withdrawn, or 24 hours "
    "have passed. Choose it again."
)
ANOTHER_FILE = "The waiting file is no longer the one that was uploaded. Choose it again."
CHANGED = "The library has changed since this plan was made. Look at it again, then confirm."
CHANGED_MEANWHILE = "Your library changed since you looked: nothing was written."
SEE_THE_NEW_PLAN = " See the new plan."
NO_ROOM_YET = " Nothing was written. Make room, then confirm again: the file is still here."
NEWER_WAITS = " A newer upload waits in its place."
MORE_CHANGES = "Your library changed again before this was imported: the rule you chose decided."
READ_LATER = "Another import is being read. Try again in a minute."

_large_files = threading.BoundedSemaphore()
_waiting: Counter[str] = Counter()
_counting = threading.Lock()


# At once: the API and the command line.


def import_bytes(user: User, data: bytes, conflicts: Conflicts = "overwrite") -> ImportResult:
    """Raises UnusableFileError or TooLargeError for a file that cannot be used, BusyError (409), NoRoomError (507), and
    UnavailableError while another large file is read; nothing is then changed."""
    with _refusal_logged(user.id, "import"):
        return _at_once(user, data, conflicts, "import")


def restore_backup(user: User, filename: str, conflicts: Conflicts = "overwrite") -> ImportResult:
    """As `import_bytes`, from one of the user's backup files."""
    with _refusal_logged(user.id, "restore"):
        data = backup_files.read(user.id, filename)
        return _at_once(user, data, conflicts, "restore")


def plan_bytes(user: User, data: bytes, conflicts: Conflicts = "overwrite") -> Plan:
    """What `import_bytes` would do now. Raises as it does for the file."""
    return portable.plan(user.id, _read(data, user.id), conflicts)


def plan_backup(user: User, filename: str, conflicts: Conflicts = "overwrite") -> Plan:
    """As `plan_bytes`, of `restore_backup`."""
    data = backup_files.read(user.id, filename)
    return portable.plan(user.id, _read(data, user.id, own=True), conflicts)


def require_turn(user_id: str, size_bytes: int) -> None:
    """Raises UnavailableError where a file of this size would be refused. Ask before it has arrived."""
    if size_bytes >= LARGE_FILE:
        with _counting:
            _require_place(user_id)


def _at_once(user: User, data: bytes, conflicts: Conflicts, kind: str) -> ImportResult:
    incoming = _read(data, user.id, own=kind == "restore")
    begun = time.monotonic()
    safety = _SafetyBackup(user, kind, len(data))
    with backups.holding(user.id), safety.dropped_without_room():
        plan = _write(user, incoming, conflicts, safety, portable.apply)
    result = portable.result(plan, safety.name)
    _log_done(kind, user.id, result, time.monotonic() - begun)
    return result


def _write(
    user: User,
    incoming: Incoming,
    conflicts: Conflicts,
    safety: "_SafetyBackup",
    apply: Callable[[Plan], None],
) -> Plan:
    """Merge the file into the library as it is by then; the plan that was done."""
    for _ in range(TRIES):
        plan = portable.plan(user.id, incoming, conflicts)
        safety.make(plan)
        # A phone may write in between, and then both are made anew.
        with contextlib.suppress(ConflictError):
            apply(plan)
            return plan
    log.info("import.locked_library", user=user.id)
    # Somebody writes several times a second: they wait until this is done.
    with db.atomic():
        plan = portable.plan(user.id, incoming, conflicts)
        safety.make_unverified(plan)
        apply(plan)
    safety.verify()
    return plan


def _read(
    data: bytes,
    user_id: str,
    own: bool = False,
    seconds: float | None = TURN_SECONDS,
) -> Incoming:
    """`portable.read`. A large file waits for its turn: for so many seconds, or as long as it takes
    where there is no such number. Raises UnavailableError where too many wait already."""
    if len(data) < LARGE_FILE:
        return portable.read(data, trusted=own)
    with _turn(user_id, seconds):
        return portable.read(data, trusted=own)


@contextlib.contextmanager
def _turn(user_id: str, seconds: float | None) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        if seconds is None:
            _large_files.acquire()
        elif not _large_files.acquire(blocking=False):
            _wait_for_a_turn(user_id, seconds)
        held.callback(_large_files.release)
        yield


def _wait_for_a_turn(user_id: str, seconds: float) -> None:
    with _counting:
        _require_place(user_id)
        _waiting[user_id] += 1
    try:
        if not _large_files.acquire(timeout=seconds):
            raise UnavailableError(READ_LATER)
    finally:
        with _counting:
            _waiting[user_id] -= 1
            if not _waiting[user_id]:
                del _waiting[user_id]


def _require_place(user_id: str) -> None:
    if _waiting[user_id] >= WAITING_OF_A_USER or _waiting.total() >= WAITING_IN_ALL:
        raise UnavailableError(READ_LATER)


# Step by step: the pages. The file waits in data/tmp with the job that owns it.


def receive(user: User, stream: IO[bytes]) -> Job:
    """An uploaded file, checked and kept for 24 hours in place of an earlier one. Raises TooLargeError,
    UnusableFileError or NoRoomError, with nothing kept."""
    with _refusal_logged(user.id, "import"):
        data = stream.read(FILE_MAX + 1)
        if len(data) > FILE_MAX:
            raise TooLargeError(f"The file is larger than {FILE_MAX >> 20} MiB.")
        _read(data, user.id)
        quotas.require_reserve(config.current.tmp_dir, len(data))
        return _wait(user, data, "import", {})


def offer(user: User, filename: str) -> Job:
    """One of the user's backups. A copy waits, so that the plan that was shown is the one that is
    done."""
    with _refusal_logged(user.id, "restore"):
        data = backup_files.read(user.id, filename)
        _read(data, user.id, own=True)
        files.require_room(config.current.tmp_dir, len(data))
        return _wait(user, data, "restore", {"filename": filename})


def _wait(user: User, data: bytes, kind: str, params: dict) -> Job:
    """The file first, then its row: a disk that fills up leaves neither. Each user has one waiting
    file, so that nobody can fill the disk with them."""
    params = {**params, "sha256": files.digest(data)}
    job = Job(kind=kind, user=user.id, params=params, state=WAITING, created_at=clock.now())
    path = _file_of(job)
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
        _file_of(old).unlink(missing_ok=True)
    return job


def preview(job: Job, conflicts: Conflicts = "overwrite") -> PlanView:
    """What confirming would do now. Raises NotFoundError when the file is gone."""
    return portable.view(portable.plan(job.user_id, _incoming(job), conflicts))


def find(job_id: str, user_id: str) -> Job:
    """An upload of this user, whatever became of it. Raises NotFoundError when it is gone."""
    job = Job.get_or_none((Job.id == job_id) & (Job.user == user_id) & UPLOADED)
    if job is None:
        raise NotFoundError(GONE)
    return job


def confirm(job: Job, conflicts: Conflicts, library_version: int, anyway: bool = False) -> Job:
    """Queue exactly the plan that was shown for `library_version`; the caller enqueues the job.
    `anyway`: the plan by then, if the library changes meanwhile. Raises ConflictError when the library
    has changed since, or while something else works on it."""
    waiting = (Job.id == job.id) & (Job.state == WAITING)
    if not Job.select().where(waiting).exists():
        raise ConflictError(NOT_WAITING)
    backups.require_idle(job.user_id)
    if not anyway:
        _require_version(User.get_by_id(job.user_id).library_version, library_version)
    params = {
        **job.params,
        "conflicts": conflicts,
        "library_version": library_version,
        "anyway": anyway,
    }
    with db.atomic():
        queued = {"state": "queued", "params": params, "message": "", "created_at": clock.now()}
        if not Job.update(**queued).where(waiting).execute():
            raise ConflictError(NOT_WAITING)
    return Job.get_by_id(job.id)


def discard(job: Job) -> None:
    """Withdraw a file that waits for its confirmation."""
    with db.atomic():
        Job.delete().where((Job.id == job.id) & (Job.state == WAITING)).execute()
    if not Job.select().where(Job.id == job.id).exists():
        _file_of(job).unlink(missing_ok=True)


def came_back(user_id: str) -> Job | None:
    """What was confirmed, and waits again because it could not be done then."""
    mine = (Job.user == user_id) & (Job.state == WAITING) & (Job.message != "")
    return Job.select().where(mine).order_by(Job.created_at.desc()).first()


def run(job: Job) -> dict:
    """The work of a job of kind import or restore; the ImportResult as builtins. Raises
    jobs.UnconfirmedError when the library is no longer the one whose plan was confirmed, or when there
    is no room: the file stays, and can be confirmed again."""
    try:
        with backups.holding(job.user_id):
            result = _run_held(job)
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    except ConflictError as changed:
        log.info("import.unconfirmed", user=job.user_id, job=job.id)
        raise _back_to_its_user(job, CHANGED_MEANWHILE, SEE_THE_NEW_PLAN) from changed
    except NoRoomError as full:
        raise _back_to_its_user(job, full.message, NO_ROOM_YET) from full
    _file_of(job).unlink(missing_ok=True)
    return result


def _back_to_its_user(job: Job, why: str, what_next: str) -> Exception:
    """Each user has one waiting file: where a newer one waits, this one has failed."""
    waiting = (Job.user == job.user_id) & (Job.state == WAITING)
    if Job.select().where(waiting).exists():
        return ConflictError(why + NEWER_WAITS)
    return jobs.UnconfirmedError(why + what_next)


def failed(job: Job, _message: str) -> None:
    """The file of a job that has failed is of no more use."""
    _file_of(job).unlink(missing_ok=True)


def _run_held(job: Job) -> dict:
    begun = time.monotonic()
    user = User.get_by_id(job.user_id)
    jobs.progress(job, 0, 4, "Reading the file")
    data = _data_of(job)
    incoming = _read(data, user.id, job.kind == "restore", seconds=None)
    conflicts, version = job.params["conflicts"], job.params["library_version"]
    safety = _SafetyBackup(user, job.kind, len(data))
    results: list[tuple[ImportResult, dict]] = []

    def apply(plan: Plan) -> None:
        """One transaction: a worker that dies right after the import must not do it, or call it
        failed, a second time."""
        done = portable.result(plan, safety.name)
        if plan.library_version != version:
            done.warnings.append(MORE_CHANGES)
        result = msgspec.to_builtins(done)
        # They say the same as `problems`, and there may be 100,000.
        del result["errors"]
        ended = {"state": "done", "done": 4, "result": result, "finished_at": clock.now()}
        with db.atomic():
            portable.apply(plan)
            Job.update(**ended).where(Job.id == job.id).execute()
        results.append((done, result))

    with safety.dropped_without_room():
        jobs.progress(job, 1, 4, "Comparing it with your library")
        if job.params.get("anyway"):
            _write(user, incoming, conflicts, safety, apply)
        else:
            plan = portable.plan(user.id, incoming, conflicts)
            _require_version(plan.library_version, version)
            jobs.progress(job, 2, 4, "Making a safety backup")
            safety.make(plan)
            jobs.progress(job, 3, 4, "Writing your library")
            apply(plan)
    [(done, result)] = results
    _log_done(job.kind, user.id, done, time.monotonic() - begun)
    return result


def sweep() -> None:
    """Files that nobody confirmed within a day, and their jobs; and those of jobs that have ended.
    Whatever else lies in the folder is left alone. Raises OSError at the end for a file that could
    not be deleted."""
    now = clock.now()
    # What is further in the future was received while the clock was ahead.
    recent = Job.created_at.between(now - KEEP_UPLOADS_SECONDS, now + KEEP_UPLOADS_SECONDS)
    with db.atomic():
        Job.delete().where((Job.state == WAITING) & ~recent).execute()
    found = [path for path in config.current.tmp_dir.iterdir() if OURS.fullmatch(path.name)]
    states = {row.id: row.state for row in Job.select(Job.id, Job.state).where(UPLOADED)}
    failures = []
    for path in found:
        state = states.get(path.stem)
        try:
            if state in ENDED or (state is None and _is_old_file(path)):
                path.unlink(missing_ok=True)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _is_old_file(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and abs(clock.now() - found.st_mtime) > KEEP_UPLOADS_SECONDS


def is_empty(user: User) -> bool:
    """Nothing but the quick recommenders that every account is born with, as they were born."""
    user_id = user.id
    own = Person.quick_key.is_null() | (Person.last_modified != user.created_at)
    held = (
        Movie.select().where(Movie.user == user_id),
        CustomList.select().where(CustomList.user == user_id),
        Person.select().where((Person.user == user_id) & own),
        SavedView.select().where(SavedView.user == user_id),
    )
    return not any(rows.exists() for rows in held)


class _SafetyBackup:
    """What an import leaves behind: the library as it was right before the write. `name` is its
    file, None where nothing can be lost. A newer copy takes the place of the one before."""

    def __init__(self, user: User, kind: str, size_bytes: int):
        """`size_bytes`: of the file that is imported."""
        self._user = user
        self._kind = SAFETY[kind]
        self._needed = DATABASE_ROOM * size_bytes
        # The newest is the last one.
        self._names: list[str] = []
        self._is_verified = True

    @property
    def name(self) -> str | None:
        return self._names[-1] if self._names else None

    def make(self, plan: Plan) -> None:
        """Raises UnavailableError, or NoRoomError when the disk cannot take both backup and import."""
        if self._is_needed(plan):
            made = backups.create_held(self._user, self._kind, self._needed)
            self._names.append(made.filename)
            self._drop_former()

    def make_unverified(self, plan: Plan) -> None:
        """Within the transaction that applies `plan`, which nobody can write beside: a test restore
        would keep them waiting. The former copy, which is verified, stays until `verify`."""
        if self._is_needed(plan):
            kept = backups.keep_held(self._user, self._kind, self._needed)
            self._names.append(kept)
            self._is_verified = False

    def verify(self) -> None:
        """After the commit. The import is done then, and nothing that happens here undoes it."""
        if self._is_verified:
            return
        with log.isolated("safety_backup.not_verified", user=self._user.id):
            if backups.verify_held(self._user.id, self._names[-1]).state == "verified":
                self._drop_former()

    @contextlib.contextmanager
    def dropped_without_room(self) -> Iterator[None]:
        """The disk may fill up in spite of all care. Nothing was written then, so the backup is
        taken back: with each try there would be one more and less room."""
        try:
            yield
        except NoRoomError:
            while self._names:
                backups.delete_held(self._user.id, self._names.pop())
            log.warning("import.no_room", user=self._user.id)
            raise

    def _is_needed(self, plan: Plan) -> bool:
        if plan.is_empty():
            return False
        files.require_room(config.current.data_dir, self._needed)
        # An import leaves the reserve to the nightly backups; a restore may use it.
        if self._kind == SAFETY["import"]:
            quotas.require_reserve(config.current.data_dir, self._needed)
        return not is_empty(self._user)

    def _drop_former(self) -> None:
        while len(self._names) > 1:
            backups.delete_held(self._user.id, self._names[0])
            del self._names[0]


def _require_version(now: int, planned: int) -> None:
    if now != planned:
        raise ConflictError(CHANGED)


def _incoming(job: Job) -> Incoming:
    return _read(_data_of(job), job.user_id, job.kind == "restore")


def _data_of(job: Job) -> bytes:
    """The waiting file. Raises NotFoundError when it is gone, and InvalidError when it is another one."""
    try:
        data = _file_of(job).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(GONE) from error
    if files.digest(data) != job.params.get("sha256"):
        raise InvalidError(ANOTHER_FILE)
    return data


def _file_of(job: Job) -> Path:
    return config.current.tmp_dir / f"{job.id}.json"


@contextlib.contextmanager
def _refusal_logged(user_id: str, kind: str) -> Iterator[None]:
    """The words are for the user; they may quote the file."""
    try:
        yield
    except UserError as error:
        log.warning(f"{kind}.refused", user=user_id, reason=type(error).__name__)
        raise


def _log_done(kind: str, user_id: str, result: ImportResult, seconds: float) -> None:
    log.info(
        f"{kind}.done",
        user=user_id,
        films=result.movies_imported,
        people=result.people_imported,
        lists=result.lists_imported,
        left_out=len(result.errors),
        seconds=seconds,
    )

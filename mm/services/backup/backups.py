"""One user's backups: made and test-restored, listed as they are, and deleted with a reason."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mm
from mm import clock, config, disk, files, locks, log
from mm.database import Table, db, snapshot
from mm.errors import InvalidError, NoRoomError, UnavailableError, UserError
from mm.models import CustomList, Job, Movie, Person, User
from mm.schemas import FORMAT, BackupEntry, BackupKind, Before, Counts, Sidecar
from mm.services import jobs, portable
from mm.services.backup import files as backup_files
from mm.services.backup import ledger, policies, quotas, retention, verification
from mm.services.backup.files import USER_ID, entries, folder_of, kind_of, name_for, path_of
from mm.services.backup.retention import Decision, Policy

LARGE_LIBRARY = 20
DELETE_WAITS_SECONDS = 3
UNREACHABLE = "Your backups can’t be reached."
UNKNOWN = "unknown"
BEFORE_DROP = "last before a large drop"
GOES_NEXT = "To be deleted next"
ROTTEN = "its content was changed or damaged (the sha256 differs)"


# Reading.


def listing(user_id: str) -> list[BackupEntry]:
    """Newest first, the damaged and foreign ones included. Only sizes are compared here: `verify`
    reads the files. Raises UnavailableError where the folder may not be read."""
    with folder_in_reach(user_id):
        listed = entries(user_id)
    policy = policies.of_id(user_id)
    decisions = {decision.filename: decision for decision in _decisions(listed, policy)}
    for entry in listed:
        decision = decisions[entry.filename]
        entry.kept_because = decision.reason if decision.keep else f"{GOES_NEXT}: {decision.reason}"
    return sorted(listed, key=lambda entry: (entry.created_at or 0, entry.filename), reverse=True)


def entry_of(user_id: str, filename: str) -> BackupEntry:
    path = path_of(user_id, filename)
    return next(entry for entry in listing(user_id) if entry.filename == path.name)


def find(user_id: str, filename: str | None) -> BackupEntry | None:
    """As the file itself tells it: without why it is kept, for which all of them are read. None
    where there is none of that name. Raises UnavailableError as `listing` does."""
    with folder_in_reach(user_id):
        return backup_files.find(user_id, filename)


def no_longer_kept(user: User, policy: Policy) -> list[BackupEntry]:
    """What would be deleted, a few a night, if `policy` were the user's; newest first."""
    with folder_in_reach(user.id):
        listed = entries(user.id)
    decisions = _decisions(listed, policy, most=len(listed))
    dropped = {decision.filename for decision in decisions if not decision.keep}
    return sorted(
        (entry for entry in listed if entry.filename in dropped),
        key=lambda entry: entry.filename,
        reverse=True,
    )


def is_verified_and_past(entry: BackupEntry) -> bool:
    return entry.state == "verified" and not retention.is_from_the_future(
        entry.created_at, clock.now()
    )


@contextmanager
def folder_in_reach(user_id: str, sentence: str = UNREACHABLE) -> Iterator[None]:
    """Turns an error of the file system into UnavailableError: `sentence`, with a code that the log
    explains. Most often the folder belongs to another user of the system."""
    try:
        yield
    except OSError as error:
        if disk.is_full(error):
            raise NoRoomError(disk.FULL) from error
        code = log.unexpected("backup_folder.failed", error, user=user_id)
        raise UnavailableError(f"{sentence} {log.pointer(code)}") from error


# Writing. Every verb that changes the folder or the library holds the user's lock.


@contextmanager
def holding(user_id: str, seconds: float = 0, sentence: str = UNREACHABLE) -> Iterator[None]:
    """One backup, restore or import at a time for the same user; a second one raises BusyError
    (409) once it has waited for `seconds`. `sentence`: see `folder_in_reach`."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.wait_for(_lock_of(user_id), seconds))
        except locks.BusyError as busy:
            raise _busy(user_id) from busy
        with folder_in_reach(user_id, sentence):
            yield


def _lock_of(user_id: str) -> str:
    return f"library-{user_id}"


def _busy(user_id: str) -> locks.BusyError:
    """Names what holds the lock, where a job does: the API and the command line have none."""
    job = Job.select().where((Job.user == user_id) & (Job.state == "running")).first()
    noun = jobs.KINDS[job.kind].noun if job else "A backup, import or restore"
    return locks.BusyError(f"{noun} of your library is running. Try again when it has finished.")


def create(user: User, kind: BackupKind = "manual") -> BackupEntry:
    """A verified backup of the library as it is now. Raises BusyError, NoRoomError,
    TooManyRequestsError, or UnavailableError when it could not be verified; then nothing is kept of
    it."""
    with holding(user.id):
        filename, _ = create_held(user, kind)
        return entry_of(user.id, filename)


def create_held(
    user: User, kind: BackupKind, beside: int = 0, before: Before | None = None
) -> tuple[str, Sidecar]:
    """As `create`, for who holds the lock; the file's name and its sidecar. `beside`: bytes that
    must be free on the same disk for what is written to the database afterwards. `before`: what a
    safety copy is made for."""
    if kind in quotas.BY_HAND:
        # Where one more is refused nothing is tried, and so nothing fails.
        with folder_in_reach(user.id):
            quotas.require(entries(user.id))
    with _failure_told(user.id, kind):
        written = _write(user, kind, beside, before)
    if kind != "scheduled":
        _clear_error(user)
    # A clock that was set back makes the newest the oldest: what was just made always stays.
    prune_held(user, but=written[0])
    return written


@contextmanager
def _failure_told(user_id: str, kind: BackupKind) -> Iterator[None]:
    """A failure in the block is kept until there is a later copy; that of a night by
    `schedule.postpone`, which knows what is next."""
    with log.caught() as attempt:
        yield
    if attempt.error is None:
        return
    told = _told(attempt.error, user_id, kind)
    if kind != "scheduled":
        with log.isolated("backup.failure_not_kept", user=user_id):
            ledger.record_failure(user_id, kind, told.message)
    if told is attempt.error:
        raise told
    raise told from attempt.error


def _told(error: Exception, user_id: str, kind: BackupKind) -> UserError:
    """What nobody foresaw becomes a sentence with the code of its log entry."""
    if isinstance(error, UserError):
        return error
    if disk.is_full(error):
        return NoRoomError(disk.FULL)
    code = log.unexpected("backup.not_written", error, user=user_id, kind=kind)
    return UnavailableError(jobs.went_wrong("backup", code))


def _write(user: User, kind: BackupKind, beside: int, before: Before | None) -> tuple[str, Sidecar]:
    begun = time.monotonic()
    folder = folder_of(user.id)
    files.make_folder(folder)
    backup_files.sweep(folder)
    by_hand = kind in quotas.BY_HAND
    data, sidecar = _export(user, kind, before)
    if by_hand:
        quotas.require(entries(user.id), len(data))
        quotas.require_reserve(folder, len(data))
    _require_room(folder, len(data), beside)
    path = folder / name_for(folder, kind, sidecar.created_at)
    previous = next((entry for entry in listing(user.id) if is_verified_and_past(entry)), None)
    with files.draft(folder) as temporary:
        files.write(temporary, data)
        # Read back from the disk, and test-restored.
        if problem := _problem(temporary.read_bytes(), sidecar):
            raise UnavailableError(
                f"The backup failed its test and was not kept: {problem}. "
                "Your earlier backups are safe."
            )
        sidecar.verified_at = clock.now()
        # First, because a process that dies between the two would never compare them again.
        _pin_before_drop(folder, previous, sidecar)
        backup_files.publish(temporary, path, sidecar)
    seconds = time.monotonic() - begun
    size = {"bytes": len(data), "films": sidecar.counts.movies}
    log.info("backup.made", user=user.id, file=path.name, **size, seconds=seconds)
    return path.name, sidecar


def keep_held(user: User, kind: BackupKind, beside: int = 0, before: Before | None = None) -> str:
    """As `create_held`, but not verified, so that it takes no longer than an export: for who holds
    the database's write lock too, and lets `verify_held` follow. Returns the file's name."""
    folder = folder_of(user.id)
    files.make_folder(folder)
    data, sidecar = _export(user, kind, before)
    _require_room(folder, len(data), beside)
    path = folder / name_for(folder, kind, sidecar.created_at)
    with files.draft(folder) as temporary:
        files.write(temporary, data)
        backup_files.publish(temporary, path, sidecar)
    log.info("backup.kept", user=user.id, file=path.name, bytes=len(data))
    return path.name


def _require_room(folder: Path, size_bytes: int, beside: int) -> None:
    same_disk = folder.stat().st_dev == config.current.data_dir.stat().st_dev
    files.require_room(folder, size_bytes + (beside if same_disk else 0))


def _clear_error(user: User) -> None:
    """The library is safe: earlier failures no longer matter, and a failed night may be tried
    again at once."""
    failed = (User.id == user.id) & (User.last_error.is_null(False) | (User.failed_tries > 0))
    if User.select().where(failed).exists():
        with db.atomic():
            User.update(last_error=None, failed_tries=0, next_try_at=None).where(failed).execute()


def verify(user: User, filename: str) -> BackupEntry:
    """Test-restore a file now and record the outcome. One without a sidecar has one afterwards."""
    with holding(user.id):
        return verify_held(user.id, filename)


def verify_held(user_id: str, filename: str) -> BackupEntry:
    path = path_of(user_id, filename)
    sidecar, problem = _check(path)
    if sidecar is None:
        raise InvalidError(
            f"{filename} can’t be read as a library. Delete it, or open it in an editor."
        )
    record_check(path, sidecar, problem)
    if problem:
        log.error("backup.damaged", user=user_id, file=filename)
    else:
        log.info("backup.checked", user=user_id, file=filename)
    return entry_of(user_id, filename)


def _check(path: Path) -> tuple[Sidecar | None, str | None]:
    """The description of a file, and what is wrong with it."""
    sidecar = backup_files.read_sidecar(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        return sidecar, unreadable(path, error)
    if sidecar is None:
        # What its name and content tell. Of an unknown version, so it is checked
        # like a file of another program.
        kind = kind_of(path.name)
        counts = verification.counts(data)
        if kind is None or counts is None:
            return None, None
        digest, moment = files.digest(data), path.stat().st_mtime
        sidecar = Sidecar(kind, moment, len(data), digest, counts, mm_version=UNKNOWN)
    problem = _problem(data, sidecar)
    if problem == verification.DIFFERS:
        # Intact, and written by another state of the program than its format says.
        fields = {"user": path.parent.name, "file": path.name, "format": sidecar.format}
        log.warning("backup.differs", **fields)
        problem = _problem(data, sidecar, exact=False)
    return sidecar, problem


def unreadable(path: Path, error: OSError) -> str:
    code = log.unexpected("backup.unreadable", error, user=path.parent.name, file=path.name)
    return f"it can’t be read (details in the log, code {code})"


def record_check(path: Path, sidecar: Sidecar, problem: str | None) -> None:
    """Record what a check found beside every name of the content: hard links share it."""
    verified_at = None if problem else clock.now()
    inode = path.lstat().st_ino
    for link in path.parent.iterdir():
        if kind_of(link.name) and link.lstat().st_ino == inode:
            described = sidecar if link == path else backup_files.read_sidecar(link)
            if described is not None:
                described.problem, described.verified_at = problem, verified_at
                described.rotten = problem == ROTTEN
                backup_files.write_sidecar(link, described)


def delete(user: User, filename: str) -> None:
    # Most backups take less than a second: a deletion can wait for one.
    with holding(user.id, DELETE_WAITS_SECONDS):
        delete_held(user.id, filename)


def delete_held(user_id: str, filename: str) -> None:
    backup_files.delete(_path_to_delete(user_id, filename))
    log.info("backup.deleted", user=user_id, file=filename)


def _path_to_delete(user_id: str, filename: str) -> Path:
    """A description without its file is listed too, and can only be removed."""
    path = folder_of(user_id) / filename
    alone = (
        kind_of(filename)
        and not os.path.lexists(path)
        and backup_files.sidecar_path(path).is_file()
    )
    return path if alone else path_of(user_id, filename)


def pin(user: User, filename: str, pinned: bool) -> BackupEntry:
    """Keep a verified backup until its owner unpins it, or leave it to retention again. Raises
    InvalidError for one that is not known to be good."""
    with holding(user.id, DELETE_WAITS_SECONDS):
        path = path_of(user.id, filename)
        sidecar, found = backup_files.read_sidecar(path), backup_files.entry(path)
        if pinned and found.state == "damaged":
            raise InvalidError(
                f"{filename} is damaged ({found.problem}), so it can’t be pinned. Pin another one."
            )
        if pinned and found.state != "verified":
            raise InvalidError(f"{filename} was never tested. Test it, then pin it.")
        if sidecar is not None and sidecar.pinned != pinned:
            sidecar.pinned, sidecar.kept_because = pinned, None
            backup_files.write_sidecar(path, sidecar)
            log.info("backup.pinned" if pinned else "backup.unpinned", user=user.id, file=filename)
        return entry_of(user.id, filename)


def prune(user: User, dry_run: bool = False) -> list[Decision]:
    """Delete what retention drops; returns the decision for every file."""
    with holding(user.id):
        return prune_held(user, dry_run)


def prune_confirmed(user: User, policy: Policy, filenames: Collection[str]) -> int:
    """Delete those of the files that `no_longer_kept` still names, however many: its user has seen
    them. Returns how many are gone."""
    with holding(user.id, DELETE_WAITS_SECONDS):
        listed = entries(user.id)
        decisions = _decisions(listed, policy, most=len(listed))
        confirmed = [decision for decision in decisions if decision.filename in filenames]
        return sum(not decision.keep for decision in _delete_dropped(user, confirmed))


def prune_held(user: User, dry_run: bool = False, but: str | None = None) -> list[Decision]:
    decisions = _decisions(entries(user.id), policies.of_id(user.id))
    decisions = [decision for decision in decisions if decision.filename != but]
    return decisions if dry_run else _delete_dropped(user, decisions)


def _delete_dropped(user: User, decisions: list[Decision]) -> list[Decision]:
    """The decisions as they came out: what could not be deleted is kept."""
    decisions = list(decisions)
    for index, decision in enumerate(decisions):
        if decision.keep:
            continue
        filename = decision.filename
        try:
            backup_files.delete(_path_to_delete(user.id, filename))
        except OSError as error:
            # One file that cannot be deleted is no reason to fail the night.
            log.warning("backup.not_pruned", user=user.id, file=filename, reason=error.strerror)
            why = f"could not be deleted: {error.strerror}"
            decisions[index] = Decision(filename, True, why)
        else:
            log.info("backup.pruned", user=user.id, file=filename, reason=decision.reason)
    return decisions


def request(user: User, kind: str, params: dict) -> Job:
    """A job of kind backup or verify, for the caller to enqueue. Raises BusyError as `require_idle`
    does, and for a backup NoRoomError or TooManyRequestsError where there are too many already."""
    if kind == "backup":
        with folder_in_reach(user.id):
            quotas.require(entries(user.id))
    # One transaction: of two clicks at once, the second one finds the first one's job.
    with db.atomic():
        require_idle(user.id)
        return jobs.create(kind, user.id, params)


def require_idle(user_id: str) -> None:
    """Raises BusyError while a backup, check, import or restore of this user runs or waits for the
    worker."""
    if locks.is_held(_lock_of(user_id)):
        raise _busy(user_id)
    if any(jobs.active(kind, user_id) for kind in jobs.OF_A_USER):
        raise locks.BusyError(
            "A backup, check, import or restore of your library is waiting for its turn."
        )


def run_verify(job: Job) -> dict:
    """The work of a job of kind verify."""
    try:
        entry = verify(User.get_by_id(job.user_id), job.params["filename"])
    except locks.BusyError as busy:
        raise jobs.StoppedError from busy
    return {"filename": entry.filename, "state": entry.state, "problem": entry.problem}


def sweep() -> None:
    """Leftovers of killed processes, in every folder that nobody works in."""
    for folder in config.current.backups_dir.iterdir():
        if USER_ID.fullmatch(folder.name):
            try:
                with locks.hold(_lock_of(folder.name)):
                    backup_files.sweep(folder)
            except locks.BusyError:
                continue
            except OSError as error:
                log.warning("leftovers.not_swept", user=folder.name, reason=error.strerror)


def _export(user: User, kind: BackupKind, before: Before | None) -> tuple[bytes, Sidecar]:
    """The export and its description, from one read transaction."""
    with snapshot(db.obj):
        now = clock.now()
        data = portable.encode(portable.dump(user.id, exported_at=now))
        counts = Counts(
            movies=_count(Movie, user.id),
            people=_count(Person, user.id),
            lists=_count(CustomList, user.id),
        )
        version = User.select(User.library_version).where(User.id == user.id).scalar()
    sidecar = Sidecar(
        kind=kind,
        created_at=now,
        size_bytes=len(data),
        sha256=files.digest(data),
        counts=counts,
        mm_version=mm.__version__,
        format=FORMAT,
        library_version=version,
        before=before,
    )
    return data, sidecar


def _count(table: type[Table], user_id: str) -> int:
    return table.select().where(table.user == user_id).count()


def _problem(data: bytes, sidecar: Sidecar, exact: bool = True) -> str | None:
    """`exact`: ask for the same bytes of what this version wrote, not only for a stable library."""
    if files.digest(data) != sidecar.sha256:
        return ROTTEN
    trusted = sidecar.mm_version != UNKNOWN and sidecar.kind != "uploaded"
    exact = exact and trusted and sidecar.format == FORMAT
    return verification.problem_of(data, sidecar.counts, trusted, exact)


def _pin_before_drop(folder: Path, previous: BackupEntry | None, sidecar: Sidecar) -> None:
    if previous is None or previous.counts is None or previous.counts.movies < LARGE_LIBRARY:
        return
    path = folder / previous.filename
    larger = backup_files.read_sidecar(path)
    if larger and sidecar.counts.movies * 2 < larger.counts.movies:
        larger.pinned, larger.kept_because = True, BEFORE_DROP
        backup_files.write_sidecar(path, larger)


def _decisions(
    listed: list[BackupEntry], policy: Policy, most: int = retention.MOST_A_RUN
) -> list[Decision]:
    now = clock.now()
    today = clock.local(now, config.current.zone).date()
    return retention.choose(listed, policy, today, now, most)

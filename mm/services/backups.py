"""One user's backups: written whole, test-restored, told the truth about, and deleted by reasons."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mm
from mm import clock, config, models
from mm.documents import BackupEntry, BackupHealth, BackupKind, Counts, Sidecar
from mm.errors import Invalid, Unavailable
from mm.models import CustomList, Job, Movie, Person, User, db
from mm.services import archive, jobs, locks, portable, retention, schedule, verification
from mm.services.backup_files import USER_ID, entries, folder_of, kind_of, name_for, path_of
from mm.services.retention import Decision, Policy

LARGE_LIBRARY = 20
AT_WORK = {"backup": "A backup", "verify": "A check", "import": "An import", "restore": "A restore"}
BEFORE_DROP = "last before a large drop"


# Reading.


def listing(user_id: str) -> list[BackupEntry]:
    """Newest first, what is damaged or foreign included. Only sizes are compared here: `verify` reads the files."""
    found = entries(user_id)
    decisions = {decision.filename: decision for decision in _decisions(found)}
    for entry in found:
        if decisions[entry.filename].keep:
            entry.kept_because = decisions[entry.filename].reason
    return sorted(found, key=lambda entry: (entry.created_at or 0, entry.filename), reverse=True)


def entry_of(user_id: str, filename: str) -> BackupEntry:
    path = path_of(user_id, filename)
    return next(entry for entry in listing(user_id) if entry.filename == path.name)


def health(user: User) -> BackupHealth:
    listed = listing(user.id)
    last_good = next((entry for entry in listed if _is_good(entry)), None)
    waiting = last_good is None and jobs.active("backup", user.id) is not None
    late = last_good is None or schedule.is_overdue(last_good.created_at or 0)
    return BackupHealth(
        enabled=user.backup_enabled,
        last_good=last_good,
        next_run=schedule.next_run(user),
        last_error=user.last_error,
        overdue=user.backup_enabled and late and not waiting,
        notices=list(_notices(listed)),
    )


def is_overdue(user: User) -> bool:
    """As in `health`, for every page: looks into the folder only when the last scheduled backup is old."""
    if not user.backup_enabled or not schedule.is_overdue(user.last_completed_at or 0):
        return False
    return health(user).overdue


def _is_good(entry: BackupEntry) -> bool:
    """A safety copy holds what was about to be changed, and goes after days: nothing to rest on. One from the future
    says nothing about its age."""
    known_age = (entry.created_at or 0) < clock.now() + schedule.DAY
    return entry.state == "verified" and known_age and entry.kind not in retention.SAFETY_KINDS


def _notices(listed: list[BackupEntry]) -> Iterator[str]:
    for entry in listed:
        if entry.kept_because == BEFORE_DROP and entry.counts:
            yield (
                f"The backup after {entry.filename} held under half of its {entry.counts.movies:,} films. "
                "It is pinned, so that it stays until you delete it."
            )
        if entry.state == "damaged":
            yield f"{entry.filename} is damaged: {entry.problem}"


# Writing. Every verb that changes the folder or the library holds the user's lock.


@contextmanager
def holding(user_id: str) -> Iterator[None]:
    """One backup, restore or import at a time for the same user; a second one is Busy (409)."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(f"library-{user_id}"))
        except locks.Busy as busy:
            raise locks.Busy(
                f"{_running(user_id)} of your library is running. Try again when it has finished."
            ) from busy
        yield


def _running(user_id: str) -> str:
    """What holds the lock, as far as the jobs tell: the API and the command line work without one."""
    running = (job.kind for job in Job.select().where((Job.user == user_id) & (Job.state == "running")))
    return AT_WORK.get(next(running, ""), "A backup, import or restore")


def create(user: User, kind: BackupKind = "manual") -> BackupEntry:
    """A verified backup of the library as it is now. Raises Busy, NoRoom, or Unavailable when it could not be
    verified; then nothing is kept of it."""
    with holding(user.id):
        return create_held(user, kind)


def create_held(user: User, kind: BackupKind) -> BackupEntry:
    """As `create`, for who holds the lock."""
    folder = folder_of(user.id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive.sweep(folder)
    data, sidecar = _take(user, kind)
    archive.require_room(folder, len(data))
    path = folder / name_for(folder, kind, sidecar.created_at)
    previous = next((entry for entry in listing(user.id) if entry.state == "verified"), None)
    with archive.draft(folder) as temporary:
        archive.write(temporary, data)
        _require_good(temporary, sidecar)
        # First, because a process that dies between the two would never compare them again.
        _pin_before_drop(folder, previous, sidecar)
        archive.publish(temporary, path, sidecar)
    prune_held(user)
    return entry_of(user.id, path.name)


def verify(user: User, filename: str) -> BackupEntry:
    """Test-restore a file now and note the outcome. A file that was only half known is known afterwards."""
    with holding(user.id):
        return verify_held(user.id, filename)


def verify_held(user_id: str, filename: str) -> BackupEntry:
    path = path_of(user_id, filename)
    sidecar, problem = _check(path)
    if sidecar is None:
        raise Invalid(f"{filename} cannot be read as a library; delete it, or look at it with an editor.")
    note(path, sidecar, problem)
    return entry_of(user_id, filename)


def _check(path: Path) -> tuple[Sidecar | None, str | None]:
    """The description of a file, and what is wrong with it."""
    known = archive.read_sidecar(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        return known, f"it cannot be read: {error.strerror}"
    sidecar = known or _describe(path, data)
    return sidecar, _problem(data, sidecar) if sidecar else None


def note(path: Path, sidecar: Sidecar, problem: str | None) -> None:
    """Write down what a check found, beside every name of the content: hard links share what became of it."""
    verified_at = None if problem else clock.now()
    for twin in _links_of(path):
        described = sidecar if twin == path else archive.read_sidecar(twin)
        if described is not None:
            described.problem, described.verified_at = problem, verified_at
            archive.write_sidecar(twin, described)


def _links_of(path: Path) -> list[Path]:
    inode = path.lstat().st_ino
    return [twin for twin in path.parent.iterdir() if kind_of(twin.name) and twin.lstat().st_ino == inode]


def delete(user: User, filename: str) -> None:
    with holding(user.id):
        archive.delete(_path_to_delete(user.id, filename))


def _path_to_delete(user_id: str, filename: str) -> Path:
    """A description without its file is listed too, and can only be removed."""
    path = folder_of(user_id) / filename
    alone = kind_of(filename) and not os.path.lexists(path) and archive.sidecar_path(path).is_file()
    return path if alone else path_of(user_id, filename)


def prune(user: User, dry_run: bool = False) -> list[Decision]:
    """Delete what retention drops; returns the decision for every file."""
    with holding(user.id):
        return prune_held(user, dry_run)


def prune_held(user: User, dry_run: bool = False) -> list[Decision]:
    decisions = _decisions(entries(user.id))
    if not dry_run:
        decisions = [_carry_out(user.id, decision) for decision in decisions]
    return decisions


def _carry_out(user_id: str, decision: Decision) -> Decision:
    """One file that cannot be deleted is no reason to fail the night."""
    if decision.keep:
        return decision
    try:
        archive.delete(_path_to_delete(user_id, decision.filename))
    except OSError as error:
        return Decision(decision.filename, True, f"could not be deleted: {error.strerror}")
    return decision


def request(user: User, kind: str, params: dict) -> Job:
    """A job of kind backup or verify, for the caller to enqueue. Raises Busy as `require_idle`."""
    require_idle(user.id)
    return jobs.create(kind, user.id, params)


def require_idle(user_id: str) -> None:
    """Raises Busy while a backup, check, import or restore of this user runs or waits for the worker."""
    with holding(user_id):
        if any(jobs.active(kind, user_id) for kind in AT_WORK):
            raise locks.Busy(f"{AT_WORK['backup']}, check, import or restore of your library is waiting for its turn.")


def run_verify(job: Job) -> dict:
    """The work of a job of kind verify."""
    try:
        entry = verify(User.get_by_id(job.user_id), job.params["filename"])
    except locks.Busy as busy:
        raise jobs.Stopped from busy
    return {"filename": entry.filename, "state": entry.state, "problem": entry.problem}


def sweep() -> None:
    """Leftovers of killed processes, in every folder that nobody works in."""
    for folder in config.current.backups_dir.iterdir():
        if USER_ID.fullmatch(folder.name):
            try:
                with locks.hold(f"library-{folder.name}"):
                    archive.sweep(folder)
            except locks.Busy:
                continue


def _take(user: User, kind: BackupKind) -> tuple[bytes, Sidecar]:
    """The export and its description, from one read transaction."""
    with models.snapshot(db.obj):
        now = clock.now()
        data = portable.encode(portable.dump(user.id, exported_at=now))
        counts = _counts(user.id)
        version = User.select(User.library_version).where(User.id == user.id).scalar()
    sidecar = Sidecar(
        kind=kind,
        created_at=now,
        size_bytes=len(data),
        sha256=archive.digest(data),
        counts=counts,
        mm_version=mm.__version__,
        library_version=version,
    )
    return data, sidecar


def _counts(user_id: str) -> Counts:
    tables = {"movies": Movie, "people": Person, "lists": CustomList}
    return Counts(**{name: table.select().where(table.user == user_id).count() for name, table in tables.items()})


def _require_good(path: Path, sidecar: Sidecar) -> None:
    """Read the draft back from the disk and test-restore it."""
    if problem := _problem(path.read_bytes(), sidecar):
        raise Unavailable(f"The backup could not be verified and was not kept: {problem}. Earlier ones are untouched.")
    sidecar.verified_at = clock.now()


def _problem(data: bytes, sidecar: Sidecar) -> str | None:
    if archive.digest(data) != sidecar.sha256:
        return "it is not what was written: its sha256 differs"
    own = sidecar.mm_version == mm.__version__ and sidecar.kind != "uploaded"
    return verification.problem_of(data, sidecar.counts, own)


def _describe(path: Path, data: bytes) -> Sidecar | None:
    """For a file without a sidecar: what its name and content tell."""
    kind = kind_of(path.name)
    counts = verification.counts(data)
    if kind is None or counts is None:
        return None
    digest = archive.digest(data)
    # Of no known version, so it is checked as what another program wrote.
    return Sidecar(kind, path.stat().st_mtime, len(data), digest, counts, mm_version="unknown")


def _pin_before_drop(folder: Path, previous: BackupEntry | None, sidecar: Sidecar) -> None:
    if previous is None or previous.counts is None or previous.counts.movies < LARGE_LIBRARY:
        return
    path = folder / previous.filename
    before = archive.read_sidecar(path)
    if before and sidecar.counts.movies * 2 < before.counts.movies:
        before.pinned, before.kept_because = True, BEFORE_DROP
        archive.write_sidecar(path, before)


def _decisions(found: list[BackupEntry]) -> list[Decision]:
    now = clock.now()
    today = clock.local(now, config.current.zone).date()
    return retention.choose(found, Policy(), today, now)

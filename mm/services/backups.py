"""One user's backup files: `backups/USER_ID/NAME.json` and beside each its sidecar. The folder is the truth.

Names are parsed strictly: what does not parse cannot be read, restored or deleted.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mm
from mm import clock, config, models
from mm.documents import BackupEntry, BackupHealth, BackupKind, Counts, Sidecar
from mm.errors import Invalid, NotFound, Unavailable
from mm.models import CustomList, Job, Movie, Person, User, db
from mm.services import archive, jobs, locks, portable, retention, schedule, verification
from mm.services.retention import Decision, Policy

SCHEDULED_NAME = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
OTHER_NAME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-(?P<kind>manual|before-import|before-restore|uploaded)(-\d+)?\.json"
)
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# After so many nights without a change a fresh file is written, so that one bad block never takes fourteen nights.
LINKS_MAX = 7
LARGE_LIBRARY = 20
BEFORE_DROP = "last before a large drop"
NOT_FOUND = "Backup file not found"


# Reading.


def folder_of(user_id: str) -> Path:
    if not USER_ID.fullmatch(user_id):
        raise NotFound(NOT_FOUND)
    return config.current.backups_dir / user_id


def kind_of(filename: str) -> BackupKind | None:
    """None for a name that no backup of ours can have."""
    if SCHEDULED_NAME.fullmatch(filename):
        return "scheduled"
    match = OTHER_NAME.fullmatch(filename)
    return match["kind"] if match else None  # type: ignore[return-value]


def listing(user_id: str) -> list[BackupEntry]:
    """Newest first, what is damaged or foreign included. Only sizes are compared here: `verify` reads the files."""
    entries = _entries(user_id)
    decisions = {decision.filename: decision for decision in _decisions(entries)}
    for entry in entries:
        if decisions[entry.filename].keep:
            entry.kept_because = decisions[entry.filename].reason
    return sorted(entries, key=lambda entry: (entry.created_at or 0, entry.filename), reverse=True)


def entry_of(user_id: str, filename: str) -> BackupEntry:
    path = path_of(user_id, filename)
    return next(entry for entry in listing(user_id) if entry.filename == path.name)


def path_of(user_id: str, filename: str) -> Path:
    """Raises NotFound for anything but a listed backup of this user."""
    path = folder_of(user_id) / filename if kind_of(filename) else None
    if path is None or path.is_symlink() or not path.is_file():
        raise NotFound(NOT_FOUND)
    return path


def read(user_id: str, filename: str) -> bytes:
    """The file, refused as Invalid when it is not what was written."""
    path = path_of(user_id, filename)
    sidecar = archive.read_sidecar(path)
    data = path.read_bytes()
    if sidecar and archive.digest(data) != sidecar.sha256:
        raise Invalid(f"{filename} is damaged: it is not what was written. Choose another backup.")
    return data


def health(user: User) -> BackupHealth:
    entries = listing(user.id)
    last_good = next((entry for entry in entries if entry.state == "verified"), None)
    waiting = last_good is None and jobs.active("backup", user.id) is not None
    late = last_good is None or schedule.is_overdue(last_good.created_at or 0)
    return BackupHealth(
        enabled=user.backup_enabled,
        last_good=last_good,
        next_run=schedule.next_run(user),
        last_error=user.last_error,
        overdue=user.backup_enabled and late and not waiting,
        notices=list(_notices(entries)),
    )


def is_overdue(user: User) -> bool:
    """As in `health`, for every page: looks into the folder only when the last scheduled backup is old."""
    if not user.backup_enabled or not schedule.is_overdue(user.last_completed_at or 0):
        return False
    return health(user).overdue


def _notices(entries: list[BackupEntry]) -> Iterator[str]:
    for entry in entries:
        if entry.kept_because == BEFORE_DROP and entry.counts:
            yield (
                f"The backup after {entry.filename} held under half of its {entry.counts.movies:,} films. "
                "It is pinned, so that it stays until you delete it."
            )
        if entry.state == "damaged":
            yield f"{entry.filename} is damaged: {entry.problem}"


def _entries(user_id: str) -> list[BackupEntry]:
    folder = folder_of(user_id)
    if not folder.is_dir():
        return []
    names = {path.name for path in folder.iterdir() if not path.name.startswith((archive.DRAFT, archive.DELETING))}
    sidecars = {name for name in names if name.endswith(archive.META) and kind_of(name.removesuffix(archive.META))}
    described = {name.removesuffix(archive.META) for name in sidecars}
    return [_entry(folder / name) for name in sorted(names - sidecars | described)]


def _entry(path: Path) -> BackupEntry:
    kind = kind_of(path.name)
    if path.is_symlink() or kind is None or path.is_dir():
        return _bare(path, None, "foreign", "not a backup of Movie Manager; it is left alone")
    sidecar = archive.read_sidecar(path)
    if sidecar is None:
        return _bare(path, kind, "unverified", "its description is missing or unreadable; verify it to know more")
    return _described(path, sidecar)


def _bare(path: Path, kind: str | None, state, problem: str) -> BackupEntry:
    stat = path.lstat() if os.path.lexists(path) else None
    size, moment = (stat.st_size, stat.st_mtime) if stat else (0, None)
    return BackupEntry(path.name, kind, moment, size, None, None, None, state, problem)


def _described(path: Path, sidecar: Sidecar) -> BackupEntry:
    size = path.stat().st_size if path.exists() else 0
    problem = sidecar.problem
    if not path.exists():
        problem = "the file is gone; only its description is left"
    elif size != sidecar.size_bytes:
        problem = f"it has {size:,} bytes and was written with {sidecar.size_bytes:,}"
    state = "damaged" if problem else "verified" if sidecar.verified_at else "unverified"
    return BackupEntry(
        filename=path.name,
        kind=kind_of(path.name),
        created_at=sidecar.created_at,
        size_bytes=size,
        counts=sidecar.counts,
        sha256=sidecar.sha256,
        verified_at=sidecar.verified_at,
        state=state,  # type: ignore[arg-type]
        problem=problem,
        pinned=sidecar.pinned,
        kept_because=sidecar.kept_because,
        unchanged_since=sidecar.unchanged_since,
    )


# Writing. Every verb that changes the folder or the library holds the user's lock.


@contextmanager
def holding(user_id: str) -> Iterator[None]:
    """One backup, restore or import at a time for the same user; a second one is Busy (409)."""
    try:
        with locks.hold(f"library-{user_id}"):
            yield
    except locks.Busy as busy:
        running = next((job.kind for job in Job.select().where((Job.user == user_id) & (Job.state == "running"))), None)
        what = {"backup": "A backup", "verify": "A check", "import": "An import", "restore": "A restore"}.get(
            running or "", "A backup, import or restore"
        )
        raise locks.Busy(f"{what} of your library is running. Try again when it has finished.") from busy


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
    path = folder / _name(folder, kind, sidecar.created_at)
    previous = next((entry for entry in listing(user.id) if entry.state == "verified"), None)
    with archive.draft(folder) as temporary:
        archive.write(temporary, data)
        _require_good(temporary, sidecar)
        archive.publish(temporary, path, sidecar)
    _pin_before_drop(folder, previous, sidecar)
    return entry_of(user.id, path.name)


def run_scheduled(user_id: str) -> BackupEntry:
    """Tonight's backup: a hard link where nothing has changed since the last, else a new file; then retention.

    A verified file of this day is never replaced. Repeating it is harmless.
    """
    with holding(user_id):
        user = User.get_by_id(user_id)
        if entry := _todays(user):
            _complete(user, clock.now())
        else:
            entry = _link_unchanged(user) or create_held(user, "scheduled")
            _complete(user, entry.created_at or clock.now())
        prune_held(user)
    return entry


def verify(user: User, filename: str) -> BackupEntry:
    """Test-restore a file now and note the outcome. A file that was only half known is known afterwards."""
    with holding(user.id):
        return verify_held(user.id, filename)


def verify_held(user_id: str, filename: str) -> BackupEntry:
    path = path_of(user_id, filename)
    data = path.read_bytes()
    sidecar = archive.read_sidecar(path) or _describe(path, data)
    if sidecar is None:
        raise Invalid(f"{filename} cannot be read as a library; delete it, or look at it with an editor.")
    sidecar.problem = _problem(data, sidecar)
    sidecar.verified_at = None if sidecar.problem else clock.now()
    archive.write_sidecar(path, sidecar)
    return entry_of(user_id, filename)


def delete(user: User, filename: str) -> None:
    with holding(user.id):
        path = folder_of(user.id) / filename
        # A description without its file is listed too, and can only be removed.
        alone = kind_of(filename) and not os.path.lexists(path) and archive.sidecar_path(path).is_file()
        archive.delete(path if alone else path_of(user.id, filename))


def prune(user: User, dry_run: bool = False) -> list[Decision]:
    """Delete what retention drops; returns the decision for every file."""
    with holding(user.id):
        return prune_held(user, dry_run)


def prune_held(user: User, dry_run: bool = False) -> list[Decision]:
    decisions = _decisions(_entries(user.id))
    for decision in decisions:
        if not decision.keep and not dry_run:
            archive.delete(path_of(user.id, decision.filename))
    return decisions


def enable(user: User, enabled: bool) -> Job | None:
    """Switching on makes a first backup at once: the returned job, for the caller to enqueue."""
    with db.atomic():
        User.update(backup_enabled=enabled, next_try_at=None, failed_tries=0).where(User.id == user.id).execute()
    if not enabled or user.backup_enabled or jobs.active("backup", user.id):
        return None
    return jobs.create("backup", user.id, {"kind": "scheduled"})


def request(user: User, kind: str, params: dict) -> Job:
    """A job of kind backup or verify, for the caller to enqueue. Raises Busy while another of this user is under way."""
    with holding(user.id), db.atomic():
        if any(jobs.active(other, user.id) for other in ("backup", "verify", "import", "restore")):
            raise locks.Busy(
                "A backup, check, import or restore of your library is under way. Wait until it has ended."
            )
        return jobs.create(kind, user.id, params)


def run(job: Job) -> dict:
    """The work of a job of kind backup; `params.kind` is manual or scheduled."""
    scheduled = job.params["kind"] == "scheduled"
    try:
        entry = run_scheduled(job.user_id) if scheduled else create(User.get_by_id(job.user_id), job.params["kind"])
    except locks.Busy as busy:
        raise jobs.Stopped from busy
    return {"filename": entry.filename}


def run_verify(job: Job) -> dict:
    """The work of a job of kind verify."""
    try:
        entry = verify(User.get_by_id(job.user_id), job.params["filename"])
    except locks.Busy as busy:
        raise jobs.Stopped from busy
    return {"filename": entry.filename, "state": entry.state, "problem": entry.problem}


def failed(job: Job, message: str) -> None:
    """A scheduled backup that failed is tried again as the schedule says."""
    if job.params["kind"] == "scheduled":
        schedule.postpone(User.get_by_id(job.user_id), message)


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


def _name(folder: Path, kind: BackupKind, moment: float) -> str:
    local = clock.local(moment, config.current.zone)
    if kind == "scheduled":
        return f"{local:%Y-%m-%d}.json"
    stem = f"{local:%Y-%m-%dT%H-%M-%S}-{kind}"
    names = [f"{stem}.json", *(f"{stem}-{number}.json" for number in range(2, 1000))]
    return next(name for name in names if not os.path.lexists(folder / name))


def _last_scheduled(folder: Path) -> BackupEntry | None:
    """The newest verified one; names sort by date, so the others are not even opened."""
    names = (path.name for path in folder.iterdir() if kind_of(path.name) == "scheduled") if folder.is_dir() else ()
    entries = (_entry(folder / name) for name in sorted(names, reverse=True))
    return next((entry for entry in entries if entry.state == "verified"), None)


def _pin_before_drop(folder: Path, previous: BackupEntry | None, sidecar: Sidecar) -> None:
    if previous is None or previous.counts is None or previous.counts.movies < LARGE_LIBRARY:
        return
    path = folder / previous.filename
    before = archive.read_sidecar(path)
    if before and sidecar.counts.movies * 2 < before.counts.movies:
        before.pinned, before.kept_because = True, BEFORE_DROP
        archive.write_sidecar(path, before)


def _todays(user: User) -> BackupEntry | None:
    folder = folder_of(user.id)
    path = folder / _name(folder, "scheduled", clock.now())
    if not path.exists():
        return None
    entry = _entry(path)
    return entry if entry.state == "verified" else None


def _link_unchanged(user: User) -> BackupEntry | None:
    """None where the library has changed, or where the last file is not to be trusted with another night."""
    folder = folder_of(user.id)
    last = _last_scheduled(folder)
    if last is None or last.created_at != user.last_completed_at:
        return None
    source = folder / last.filename
    sidecar = archive.read_sidecar(source)
    if sidecar is None or sidecar.library_version != user.library_version or sidecar.links >= LINKS_MAX:
        return None
    if archive.sha256(source) != sidecar.sha256:
        sidecar.problem, sidecar.verified_at = "it is not what was written: its sha256 differs", None
        archive.write_sidecar(source, sidecar)
        return None
    return _link(source, sidecar, folder)


def _link(source: Path, sidecar: Sidecar, folder: Path) -> BackupEntry:
    sidecar.unchanged_since = sidecar.unchanged_since or sidecar.created_at
    sidecar.created_at, sidecar.links = clock.now(), sidecar.links + 1
    sidecar.pinned, sidecar.kept_because = False, None
    target = folder / _name(folder, "scheduled", sidecar.created_at)
    with archive.draft(folder) as temporary:
        _link_or_copy(source, temporary)
        archive.publish(temporary, target, sidecar)
    return _entry(target)


def _link_or_copy(source: Path, target: Path) -> None:
    """Some file systems know no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _complete(user: User, created_at: float) -> None:
    """What the next night compares itself with is what this database remembers, so that a folder or a database that
    was brought back from elsewhere never passes for unchanged."""
    done = {"last_completed_at": created_at, "next_try_at": None, "failed_tries": 0, "last_error": None}
    with db.atomic():
        User.update(**done).where(User.id == user.id).execute()


def _decisions(entries: list[BackupEntry]) -> list[Decision]:
    now = clock.now()
    today = clock.local(now, config.current.zone).date()
    return retention.choose(entries, Policy(), today, now)

"""Archives of the whole server: made and tested, listed as they are, and deleted with a reason."""

import contextlib
import math
import os
import shutil
import time
from collections.abc import Iterator

from mm import clock, config, disk, files, locks, log
from mm.clock import HOUR
from mm.database import db
from mm.errors import (
    InvalidError,
    NoRoomError,
    TooManyRequestsError,
    UnavailableError,
)
from mm.models import Job
from mm.schemas import ArchiveEntry, ArchiveKind, ArchiveRoom, ArchiveSidecar
from mm.services import jobs, settings
from mm.services.enrichment import posters as poster_files
from mm.services.server import (
    archive_files,
    archive_retention,
    databases,
    effective,
    packing,
    unpacking,
    work_folders,
)
from mm.services.server.archive_retention import EXPIRES_SECONDS, Decision
from mm.services.server.pipeline import Progress

LOCK = "server"
WAITS_SECONDS = 30
# For what takes no time itself.
WAITS_SHORTLY_SECONDS = 3
MOST_AN_HOUR = 6
UNREACHABLE = "The archives of the server can’t be reached."
NOTHING_CHOSEN = "Choose what the archive is to hold: the database, the posters or the settings."
ROTTEN = "its content was changed or damaged (the sha256 differs)"
GOES_NEXT = "To be deleted next"
MB = 10**6


# Reading.


def listing() -> list[ArchiveEntry]:
    """Newest first, the damaged and foreign ones included. Only sizes are compared here: `verify`
    reads the files. Raises UnavailableError where the folder may not be read."""
    with folder_in_reach():
        listed = archive_files.entries()
    decisions = {decision.filename: decision for decision in _decisions(listed)}
    for entry in listed:
        decision = decisions[entry.filename]
        entry.kept_because = decision.reason if decision.keep else f"{GOES_NEXT}: {decision.reason}"
    return sorted(listed, key=lambda entry: (entry.created_at or 0, entry.filename), reverse=True)


def entry_of(timestamp: str) -> ArchiveEntry:
    """One of the listing. Raises NotFoundError."""
    path = archive_files.path_of(timestamp)
    return next(entry for entry in listing() if entry.filename == path.name)


def room() -> ArchiveRoom:
    """What an archive of everything would need at most, and what is free: of the disk that has
    less to spare, where archives lie on another one than the data."""
    database, posters = _database_size(), _posters_size()
    return min(
        (
            ArchiveRoom(needed=needed, free=disk.free_bytes(folder), posters=posters)
            for folder, needed in _needed(database, posters)
        ),
        key=lambda disk_room: disk_room.free - disk_room.needed,
    )


def _needed(database: int, posters: int) -> list[tuple]:
    """(folder, bytes that must be free on its disk) while an archive of so much is made: the copy
    of the database, and a ZIP file of everything in which nothing could be made smaller."""
    data, archives = config.current.tmp_dir, archive_files.folder()
    files.make_folder(archives)
    if archives.stat().st_dev == data.stat().st_dev:
        return [(archives, 2 * database + posters)]
    return [(data, database), (archives, database + posters)]


def _database_size() -> int:
    """Of the file and its log, some of which may not be in the file yet."""
    live = databases.live_path()
    paths = (live, live.with_name(f"{live.name}-wal"))
    return sum(path.stat().st_size for path in paths if path.exists())


def _posters_size() -> int:
    total = 0
    for folder in (config.current.posters_dir / size for size in poster_files.SIZES):
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
            total += sum(
                file.stat(follow_symlinks=False).st_size
                for file in found
                if poster_files.NAME.fullmatch(file.name) and file.is_file(follow_symlinks=False)
            )
    return total


@contextlib.contextmanager
def folder_in_reach() -> Iterator[None]:
    """Turns an error of the file system into UnavailableError, with a code that the log explains,
    and that of a full disk into NoRoomError."""
    try:
        yield
    except OSError as error:
        if disk.is_full(error):
            free = disk.megabytes(disk.free_bytes(config.current.tmp_dir))
            raise NoRoomError(f"Not enough disk space: {free} free in the data folder.") from error
        code = log.unexpected("archive_folder.failed", error)
        raise UnavailableError(f"{UNREACHABLE} {log.pointer(code)}") from error


# Writing. Everything that makes, checks, restores or deletes an archive holds the server's lock.


@contextlib.contextmanager
def holding(seconds: float = WAITS_SECONDS) -> Iterator[None]:
    """Raises UnavailableError where somebody else works with the archives for so long."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.wait_for(LOCK, seconds))
        except locks.BusyError as busy:
            raise UnavailableError(databases.IN_USE) from busy
        stack.enter_context(folder_in_reach())
        yield


@contextlib.contextmanager
def _holding_shortly() -> Iterator[None]:
    """Raises BusyError, which names what is running."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.wait_for(LOCK, WAITS_SHORTLY_SECONDS))
        except locks.BusyError as busy:
            raise _busy(_running()) from busy
        stack.enter_context(folder_in_reach())
        yield


def _running() -> Job | None:
    job = jobs.active_of_server() or jobs.active("archives")
    return job if job and job.state == "running" else None


def _busy(job: Job | None) -> locks.BusyError:
    if job and job.state == "queued":
        return locks.BusyError(f"{jobs.KINDS[job.kind].noun} is waiting for its turn.")
    noun = jobs.KINDS[job.kind].noun if job else "Other work on the server’s archives"
    return locks.BusyError(f"{noun} is running. Try again when it has finished.")


def create(
    kind: ArchiveKind = "manual",
    posters: bool = False,
    settings: bool = True,
    database: bool = True,
    secrets: bool = False,
    keep: bool = True,
    progress: Progress | None = None,
) -> ArchiveEntry:
    """A verified archive of the server as it is now. `secrets`: with the keys for the providers.
    `keep`: False for one that goes an hour after it is ready. Raises NoRoomError,
    TooManyRequestsError, InvalidError where the database is damaged, or UnavailableError where it
    stays locked; then nothing is kept of it."""
    with holding():
        return create_held(
            kind,
            database=database,
            posters=posters,
            settings=settings,
            secrets=secrets,
            keep=keep,
            progress=progress,
        )


def create_held(
    kind: ArchiveKind,
    *,
    database: bool = True,
    posters: bool = False,
    settings: bool = True,
    secrets: bool = False,
    keep: bool = True,
    progress: Progress | None = None,
    timestamp: str | None = None,
) -> ArchiveEntry:
    """As `create`, for who holds the lock. `timestamp`: what it is called if that is free."""
    begun = time.monotonic()
    databases.require_sqlite()
    sweep_held()
    _require_one(kind, database, posters, settings)
    now = clock.now()
    name = archive_files.name_like(timestamp) if timestamp else archive_files.name_for(now)
    path = archive_files.folder() / name
    with files.draft(path.parent) as draft:
        metadata, sha256, size = packing.make(
            draft,
            database=database,
            posters=posters,
            settings=effective.settings_file(secrets) if settings else None,
            timestamp=archive_files.timestamp_of(name) or "",
            created_at=now,
            has_secrets=secrets,
            progress=progress,
        )
        # It was read back from the disk, and its database was tested.
        ready_at = clock.now()
        expires_at = None if keep else ready_at + EXPIRES_SECONDS
        more = {"verified_at": ready_at, "expires_at": expires_at}
        archive_files.publish(
            draft, path, archive_files.sidecar_of(kind, metadata, size, sha256, **more)
        )
    log.info("archive.made", file=name, bytes=size, seconds=time.monotonic() - begun)
    # A clock that was set back makes the newest the oldest: what was just made always stays.
    prune_held(but=name)
    return archive_files.entry(path)


def _require_one(kind: ArchiveKind, database: bool, posters: bool, settings: bool) -> None:
    """Raises TooManyRequestsError, NoRoomError or InvalidError where one more cannot be made."""
    if not (database or posters or settings):
        raise InvalidError(NOTHING_CHOSEN)
    if kind == "manual":
        _require_few()
    needed = _needed(_database_size() * database, _posters_size() if posters else 0)
    for folder, size_bytes in needed:
        files.require_room(folder, size_bytes)


def _require_few() -> None:
    now = clock.now()
    # A time in the future says nothing: the clock was wrong.
    recent = sorted(
        entry.created_at
        for entry in archive_files.entries()
        if entry.kind == "manual" and entry.created_at and now - HOUR < entry.created_at <= now
    )
    if len(recent) >= MOST_AN_HOUR:
        seconds = math.ceil(recent[-MOST_AN_HOUR] + HOUR - now)
        minutes = math.ceil(seconds / 60)
        raise TooManyRequestsError(
            f"{len(recent)} archives were made in the last hour; the limit is {MOST_AN_HOUR}. "
            f"Try again in {minutes} minute{'s' * (minutes > 1)}.",
            seconds,
        )


def verify(timestamp: str, progress: Progress | None = None) -> ArchiveEntry:
    """Test-restore an archive now and record the outcome. One without a sidecar has one
    afterwards."""
    with holding():
        return verify_held(timestamp, progress)


def verify_held(timestamp: str, progress: Progress | None = None) -> ArchiveEntry:
    path = archive_files.path_of(timestamp)
    sidecar = archive_files.read_sidecar(path)
    problem = None
    try:
        sha256 = files.sha256(path)
        if sidecar and sha256 != sidecar.sha256:
            problem = ROTTEN
        else:
            metadata = unpacking.check(path, progress).metadata
            sidecar = sidecar or archive_files.sidecar_of(
                "uploaded", metadata, path.stat().st_size, sha256
            )
    except InvalidError as error:
        if sidecar is None:
            raise
        problem = error.message
    except OSError as error:
        if disk.is_full(error) or sidecar is None:
            raise
        code = log.unexpected("archive.unreadable", error, file=path.name)
        problem = f"it can’t be read (details in the log, code {code})"
    _record_check(path, sidecar, problem)
    return entry_of(timestamp)


def _record_check(path, sidecar: ArchiveSidecar, problem: str | None) -> None:
    sidecar.problem, sidecar.rotten = problem, problem == ROTTEN
    sidecar.verified_at = None if problem else clock.now()
    archive_files.write_sidecar(path, sidecar)
    if problem:
        log.error("archive.damaged", file=path.name)
    else:
        log.info("archive.checked", file=path.name)


def pin(timestamp: str, pinned: bool) -> ArchiveEntry:
    """Keep a verified archive until it is unpinned, or leave it to retention again. Raises
    InvalidError for one that is not known to be good."""
    with _holding_shortly():
        path = archive_files.path_of(timestamp)
        sidecar, found = archive_files.read_sidecar(path), archive_files.entry(path)
        if pinned and found.state == "damaged":
            raise InvalidError(
                f"{path.name} is damaged ({found.problem}), so it can’t be pinned. Pin another one."
            )
        if pinned and found.state != "verified":
            raise InvalidError(f"{path.name} was never tested. Test it, then pin it.")
        if sidecar is not None and sidecar.pinned != pinned:
            # It is to stay: not for an hour only.
            sidecar.pinned, sidecar.expires_at = pinned, None
            archive_files.write_sidecar(path, sidecar)
            log.info("archive.pinned" if pinned else "archive.unpinned", file=path.name)
        return entry_of(timestamp)


def delete(timestamp: str) -> None:
    """Whoever downloads it just now goes on: the file lives until they close it."""
    with _holding_shortly():
        path = archive_files.path_to_delete(timestamp)
        archive_files.delete(path)
        log.info("archive.deleted", file=path.name)


def prune_held(but: str | None = None) -> list[Decision]:
    """Delete what retention drops, but never the file of the name `but`; returns the decisions."""
    decisions = _decisions(archive_files.entries())
    for decision in decisions:
        if not decision.keep and decision.filename != but:
            with log.isolated("archive.not_pruned", file=decision.filename):
                archive_files.delete(archive_files.folder() / decision.filename)
                log.info("archive.pruned", file=decision.filename, reason=decision.reason)
    return decisions


def _decisions(listed: list[ArchiveEntry]) -> list[Decision]:
    return archive_retention.choose(listed, settings.archives().keep_last, clock.now())


def sweep() -> None:
    """What killed processes left, and archives whose hour is over; unless somebody works with the
    archives just now."""
    with contextlib.suppress(locks.BusyError), locks.hold(LOCK):
        sweep_held()
        for entry in archive_files.entries():
            path = archive_files.folder() / entry.filename
            [decision] = _decisions([entry])
            if entry.expires_at is not None and not decision.keep:
                archive_files.delete(path)
                log.info("archive.pruned", file=path.name, reason=decision.reason)


def sweep_held() -> None:
    """What killed processes left: every work folder is made under this lock."""
    archive_files.sweep()
    for folder in config.current.tmp_dir.glob(f"{work_folders.ARCHIVE}*"):
        if not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


# Jobs.


def request(
    posters: bool = False,
    settings: bool = True,
    database: bool = True,
    secrets: bool = False,
    keep: bool = True,
) -> Job:
    """A job of kind archive, for the caller to enqueue; `params.timestamp` is what the archive is
    to be called. Raises BusyError, TooManyRequestsError, NoRoomError or InvalidError."""
    databases.require_sqlite()
    with folder_in_reach():
        _require_one("manual", database, posters, settings)
    with db.atomic():
        require_idle()
        return new_job(params("manual", posters, settings, database, secrets, keep))


def params(
    kind: ArchiveKind,
    posters: bool = False,
    settings: bool = True,
    database: bool = True,
    secrets: bool = False,
    keep: bool = True,
) -> dict:
    """What a job of kind archive has to know."""
    parts = {"database": database, "posters": posters, "settings": settings}
    return {"kind": kind, **parts, "secrets": secrets, "keep": keep}


def new_job(what: dict) -> Job:
    """A job of kind archive that makes `params`. The name is chosen here, so that a job which is
    repeated after its process was killed finds what it made."""
    waiting = Job.select().where((Job.kind == "archive") & Job.state.in_(jobs.ACTIVE))
    taken = [job.params.get("timestamp") for job in waiting]
    timestamp = archive_files.timestamp_of(archive_files.name_for(clock.now(), taken))
    return jobs.create("archive", params={**what, "timestamp": timestamp})


def request_check(timestamp: str) -> Job:
    """A job of kind archive-check, for the caller to enqueue."""
    archive_files.path_of(timestamp)
    with db.atomic():
        require_idle()
        return jobs.create("archive-check", params={"timestamp": timestamp})


def require_idle() -> None:
    """Raises BusyError while work on the whole server runs or waits for the worker."""
    if job := jobs.active_of_server():
        raise _busy(job)


def run(job: Job) -> dict:
    """The work of a job of kind archive. Returns {"timestamp": …}."""
    timestamp = job.params["timestamp"]
    with locks.hold(LOCK), folder_in_reach():
        archive_files.sweep()
        # Published by the process that was killed before it could say so.
        if job.starts > 1 and archive_files.is_there(timestamp):
            entry = archive_files.entry(archive_files.path_of(timestamp))
        else:
            entry = create_held(
                **job.params,
                progress=_reports(job),
            )
    return {"timestamp": entry.timestamp}


def run_check(job: Job) -> dict:
    """The work of a job of kind archive-check."""
    with locks.hold(LOCK), folder_in_reach():
        entry = verify_held(job.params["timestamp"], _reports(job))
    return {"timestamp": entry.timestamp, "state": entry.state, "problem": entry.problem}


def run_nightly(job: Job) -> dict:
    """The work of a job of kind archives: retention, leftovers, and the test restore of the archive
    that was not tested for longest."""
    with locks.hold(LOCK), folder_in_reach():
        sweep_held()
        prune_held()
        candidates = [
            entry
            for entry in archive_files.entries()
            if entry.state == "verified" and entry.expires_at is None
        ]
        oldest = min(candidates, key=lambda entry: entry.verified_at or 0, default=None)
        if oldest is None:
            return {}
        entry = verify_held(oldest.timestamp, _reports(job))
    return {"timestamp": entry.timestamp, "state": entry.state}


def _reports(job: Job) -> Progress:
    def report(done_bytes: int, total_bytes: int, message: str) -> None:
        jobs.progress(job, done_bytes // MB, total_bytes // MB, message)

    return report

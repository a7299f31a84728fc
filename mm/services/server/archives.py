"""Archives of the whole server: made and tested, listed as they are, and deleted with a reason."""

import contextlib
import shutil
import time

from mm import clock, config, disk, files, locks, log
from mm.database import db
from mm.errors import InvalidError
from mm.models import Job
from mm.schemas import ArchiveEntry, ArchiveKind, ArchiveSidecar
from mm.services import jobs, settings
from mm.services.enrichment import runner as enrichment_runner
from mm.services.server import (
    archive_files,
    archive_limits,
    archive_retention,
    databases,
    effective,
)
from mm.services.server.archive_format import packing, unpacking, work_folders
from mm.services.server.archive_format.pipeline import Progress
from mm.services.server.archive_lock import (
    folder_in_reach,
    holding,
    holding_now,
    holding_shortly,
    require_idle,
)
from mm.services.server.archive_retention import EXPIRES_SECONDS, Decision

ROTTEN = "its content was changed or damaged (the sha256 differs)"
GOES_NEXT = "To be deleted next"
MB = 10**6
room = archive_limits.room


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


# Writing. Each verb holds the server's lock.


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
    archive_limits.require_one(kind, database, posters, settings)
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
    # Not within a restore, which may be about to read one that is to go.
    if kind != "before-restore":
        # A clock that was set back makes the newest the oldest: what was just made always stays.
        prune_held(but=name)
    return archive_files.entry(path)


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
    with holding_shortly():
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
    with holding_shortly():
        archive_files.delete(archive_files.path_to_delete(timestamp))


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
    with contextlib.suppress(locks.BusyError), holding_now():
        sweep_held()
        expiring = [entry for entry in archive_files.entries() if entry.expires_at is not None]
        # Each by itself: an hour that is over has nothing to do with the others.
        for decision in [each for entry in expiring for each in _decisions([entry])]:
            if not decision.keep:
                archive_files.delete(archive_files.folder() / decision.filename)
                log.info("archive.pruned", file=decision.filename, reason=decision.reason)


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
        archive_limits.require_one("manual", database, posters, settings)
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


def run(job: Job) -> dict:
    """The work of a job of kind archive. Returns {"timestamp": …}."""
    timestamp = job.params["timestamp"]
    with holding_now():
        archive_files.sweep()
        # Published by the process that was killed before it could say so.
        if job.starts > 1 and archive_files.is_there(timestamp):
            entry = archive_files.entry(archive_files.path_of(timestamp))
        else:
            entry = create_held(**job.params, progress=_reports(job))
    return {"timestamp": entry.timestamp}


def run_check(job: Job) -> dict:
    """The work of a job of kind archive-check."""
    with holding_now():
        entry = verify_held(job.params["timestamp"], _reports(job))
    return {"timestamp": entry.timestamp, "state": entry.state, "problem": entry.problem}


def run_nightly(job: Job) -> dict:
    """The work of a job of kind archives: retention, leftovers, and the test restore of the archive
    that was not tested for longest."""
    with holding_now():
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
    """Raises StoppedError at a shut-down: what was begun is taken back, and made anew."""

    def report(done_bytes: int, total_bytes: int, message: str) -> None:
        if enrichment_runner.stopping.is_set():
            raise jobs.StoppedError
        jobs.progress(job, done_bytes // MB, total_bytes // MB, message)

    return report

"""Posters, fetched once from TMDB's image host and kept in `posters/SIZE/NAME`."""

import contextlib
import os
import re
import threading
from pathlib import Path

from peewee import fn

from mm import clock, config, files, log, models
from mm.database import chunks, db
from mm.errors import NotFoundError
from mm.models import Job, Movie, Title
from mm.providers import client, images, limits
from mm.providers.cache import Cache, KeyedLock
from mm.services import jobs
from mm.services.enrichment import runner as enrichment_runner

SIZES = ("w92", "w154", "w185", "w342", "w500", "w780")
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\.(jpg|jpeg|png|webp)")
# What the library shows, and the worker fetches before anybody looks.
GRID = "w342"
# What the host does not have, or has damaged, is not asked for again for so long; when it does not
# answer, nothing is.
MISSING_SECONDS = 3600
SILENT_SECONDS = 60
OFFERED_SECONDS = 3600
# Of the web's threads so many at most wait for the image host, and so many more, for so long, for
# their turn. Whoever comes after them gets the drawn poster at once: see gunicorn.conf.py.
AT_ONCE = 4
WAITING = 8
TURN_SECONDS = 1
# A job fetches so many at most; the next minute's goes on. Backups and imports share its worker.
JOB_FILES = 300
LOOK_AHEAD = 50
RETRY_SECONDS = 600
# A poster of no title is kept for so long: somebody may be about to add the film.
KEPT_SECONDS = 86400
SWEEP_BATCH = 500
MARK, RETRY_AT = "posters.mark", "posters.retry_at"

_key_locks = KeyedLock()
_room = threading.BoundedSemaphore(AT_ONCE + WAITING)
_fetching = threading.BoundedSemaphore(AT_ONCE)
_absent = Cache(size=5000, seconds=MISSING_SECONDS)
_silent = Cache(size=4, seconds=SILENT_SECONDS)
# Of films that a search has just found: the name of the file, and the film's.
_offered = Cache(size=5000, seconds=OFFERED_SECONDS)


def path_of(size: str, name: str) -> Path:
    """Where a poster is kept. Raises NotFoundError for what cannot be one."""
    if size not in SIZES or not NAME.fullmatch(name):
        raise NotFoundError("There is no such poster.")
    return config.current.posters_dir / size / name


def obtain(size: str, name: str) -> Path | None:
    """The file of a poster, fetched where it is not kept yet; None when the image host does not
    give it now.

    Raises NotFoundError for what cannot be a poster, or is that of nothing that is known or was offered.
    """
    path = path_of(size, name)
    if not path.exists():
        title_of(name)
        if not is_given_up(path) and _room.acquire(blocking=False):
            try:
                _fetch_for_page(path)
            finally:
                _room.release()
    return path if path.exists() else None


def offer(posters: dict[str, str | None]) -> None:
    """For the next hour these too may be obtained, though no title has them: {the name of the file:
    the film's}."""
    for name, title in posters.items():
        _offered.put(name, title or "?")


def title_of(name: str) -> Title:
    """Its imdb_id and title. Raises NotFoundError for a poster of no title."""
    columns = (Title.imdb_id, Title.title)
    title = Title.select(*columns).where(Title.poster_path == f"/{name}").first()
    if title is None and (offered := _offered.get(name)):
        title = Title(imdb_id=name, title=offered)
    if title is None:
        raise NotFoundError("There is no such poster.")
    return title


def kind_of(path: Path) -> str | None:
    with path.open("rb") as file:
        return images.kind_of(file.read(images.HEAD))


def is_given_up(path: Path) -> bool:
    """For now: the image host does not answer, or does not have it."""
    return bool(_absent.get(path) or _silent.get(config.current.tmdb_image_url))


def _fetch_for_page(path: Path) -> None:
    """A failure is remembered instead of raised: the page draws something else."""
    with contextlib.ExitStack() as stack:
        try:
            # Who asks for the same poster finds what the first one fetched.
            stack.enter_context(_key_locks.hold(path, TURN_SECONDS))
        except TimeoutError:
            return
        if not _fetching.acquire(timeout=TURN_SECONDS):
            return
        stack.callback(_fetching.release)
        # While waiting, another one may have fetched it, or found that the host is silent.
        if path.exists() or is_given_up(path):
            return
        try:
            _fetch(path, limits.posters_interactive)
        except client.NotFoundError:
            _absent.put(path, True)
        except client.TemporaryError:
            _silent.put(config.current.tmdb_image_url, True)


def _fetch(path: Path, limiter: limits.RateLimiter) -> None:
    base = config.current.tmdb_image_url.rstrip("/")
    content = images.fetch(f"{base}/{path.parent.name}/{path.name}", limiter)
    with files.draft(path.parent) as draft:
        files.write(draft, content)
        os.replace(draft, path)


# The worker.


def start_if_due() -> Job | None:
    """A queued job for the caller to enqueue; None while titles are being looked up, for posters
    come after them, and when nothing is new."""
    if jobs.active("posters") or jobs.active("enrich") or not _is_due():
        return None
    return jobs.create_unless_active("posters")


def run(job: Job) -> dict:
    """Fetch the posters of titles in libraries that were filled since the last run, one at a time.

    Where it was left is kept, so a killed run is gone on with. Raises jobs.StoppedError at a shut-down.
    """
    counts = {"fetched": 0, "absent": 0}
    while sum(counts.values()) < JOB_FILES and (rows := _next(LOOK_AHEAD)):
        for fetched_at, imdb_id, poster_path in rows:
            if enrichment_runner.stopping.is_set():
                raise jobs.StoppedError
            if not _take(poster_path, counts):
                return counts
            _put(MARK, [fetched_at, imdb_id])
        jobs.progress(job, sum(counts.values()), 0, f"{counts['fetched']:,} posters")
    return counts


def _take(poster_path: str, counts: dict[str, int]) -> bool:
    """False when the host does not answer: then later."""
    try:
        path = path_of(GRID, poster_path.removeprefix("/"))
        if not path.exists():
            _fetch(path, limits.posters_worker)
            counts["fetched"] += 1
    except (client.NotFoundError, NotFoundError):
        counts["absent"] += 1
    except client.TemporaryError:
        _put(RETRY_AT, clock.now() + RETRY_SECONDS)
        return False
    return True


def sweep() -> int:
    """Delete the files of posters that no title has, and what killed processes left half written;
    returns how many. A file that cannot be deleted is logged, and the rest goes on."""
    gone = 0
    for folder in (config.current.posters_dir / size for size in SIZES):
        names = _old_files(folder) if folder.is_dir() else []
        for some in chunks(names, SWEEP_BATCH):
            paths = Title.poster_path.in_([f"/{name}" for name in some])
            known = {path for (path,) in Title.select(Title.poster_path).where(paths).tuples()}
            gone += sum(_delete(folder / name) for name in some if f"/{name}" not in known)
    if gone:
        log.info("posters.swept", count=gone)
    return gone


def _old_files(folder: Path) -> list[str]:
    """Of ours alone: regular files that are named as posters or drafts are."""
    before = clock.now() - KEPT_SECONDS
    return [
        entry.name
        for entry in os.scandir(folder)
        if NAME.fullmatch(entry.name) or entry.name.startswith(files.DRAFT)
        if entry.is_file(follow_symlinks=False)
        if entry.stat(follow_symlinks=False).st_mtime < before
    ]


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        log.warning("poster.not_deleted", file=path.name, error=type(error).__name__)
        return False
    return True


def _is_due() -> bool:
    now = clock.now()
    waits = now < (models.setting(RETRY_AT) or 0) <= now + RETRY_SECONDS
    return not waits and bool(_next(1))


def _next(count: int) -> list[tuple[float, str, str]]:
    """(fetched_at, imdb_id, poster_path) of the titles after the mark, in the order in which they
    were filled. Those of the future were filled while the clock was ahead, and are looked up again.
    """
    now = clock.now()
    fetched_at, imdb_id = models.setting(MARK) or (0, "")
    if fetched_at > now:
        fetched_at, imdb_id = 0, ""
    after = (Title.tmdb_fetched_at > fetched_at) | (
        (Title.tmdb_fetched_at == fetched_at) & (Title.imdb_id > imdb_id)
    )
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    rows = (
        Title.select(Title.tmdb_fetched_at, Title.imdb_id, Title.poster_path)
        .where((Title.tmdb_fetched_at >= fetched_at) & (Title.tmdb_fetched_at <= now))
        .where(after)
        .where(Title.poster_path.is_null(False))
        .where(fn.EXISTS(holders))
        .order_by(Title.tmdb_fetched_at, Title.imdb_id)
        .limit(count)
    )
    return list(rows.tuples())


def _put(key: str, value) -> None:
    with db.atomic():
        models.put_setting(key, value)

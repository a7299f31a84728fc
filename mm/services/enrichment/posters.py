"""Posters, fetched once from TMDB's image host and kept in `posters/SIZE/NAME`."""

import os
import re
import threading
from contextlib import ExitStack
from pathlib import Path

from peewee import fn

from mm import caches, clock, config, files, log, models
from mm.database import chunks, db
from mm.errors import NotFoundError
from mm.models import Job, Movie, Title
from mm.providers import client, images, limits
from mm.providers.cache import Cache, KeyedLock
from mm.services import jobs
from mm.services.enrichment import runner as enrichment_runner

SIZES = ("w92", "w154", "w185", "w342", "w500", "w780")
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\.(jpg|jpeg|png|webp)")
# The size that the library shows, and that the worker fetches before anybody looks.
GRID = "w342"
# How long a poster is not asked for again after the host did not have a usable one, and
# how long nothing is after the host did not answer.
MISSING_SECONDS = 3600
SILENT_SECONDS = 60
# How long the posters of search results may be fetched though no title has them.
ALLOWED_SECONDS = 3600
# At most so many of the web's threads wait for the image host, and so many more wait, for so
# long, until one of those is done. Any others get the drawn poster at once: see gunicorn.conf.py.
AT_ONCE = 4
WAITING = 8
TURN_SECONDS = 1
# One job fetches at most this many and the next minute's job goes on, because
# backups and imports share its worker.
JOB_FILES = 300
READ_AHEAD = 50
RETRY_SECONDS = 600
# A file that belongs to no title stays this long, because somebody may be about to add the film.
KEEP_SECONDS = 86400
SWEEP_BATCH = 500
# Settings: how far the job has come, as [tmdb_fetched_at, imdb_id], and when it may go on.
MARK, RETRY_AT = "posters.mark", "posters.retry_at"

_key_locks = KeyedLock()
_waiting = threading.BoundedSemaphore(AT_ONCE + WAITING)
_fetching = threading.BoundedSemaphore(AT_ONCE)
_missing = Cache(size=5000, seconds=MISSING_SECONDS)
_silent_hosts = Cache(size=4, seconds=SILENT_SECONDS)
# By the name of the file, the title of the film.
_allowed = Cache(size=5000, seconds=ALLOWED_SECONDS)
for _cache in (_missing, _silent_hosts, _allowed):
    caches.register(_cache.clear)


def path_of(size: str, name: str) -> Path:
    """Where a poster is kept. Raises NotFoundError for a size or name that no poster can have."""
    if size not in SIZES or not NAME.fullmatch(name):
        raise NotFoundError("There is no such poster.")
    return config.current.posters_dir / size / name


def get_or_fetch(size: str, name: str) -> Path | None:
    """The file of a poster; None when it is not kept yet and the image host does not deliver it.

    Raises NotFoundError for what cannot be a poster, and for one that neither
    belongs to a title nor was allowed.
    """
    path = path_of(size, name)
    if not path.exists():
        title_of(name)
        if not is_unavailable(path) and _waiting.acquire(blocking=False):
            try:
                _fetch_for_page(path)
            finally:
                _waiting.release()
    return path if path.exists() else None


def allow(posters: dict[str, str | None]) -> None:
    """For the next hour let these be fetched too, though no title has them. `posters`:
    by the name of the file, the title of the film."""
    for name, title in posters.items():
        _allowed.put(name, title or "?")


def title_of(name: str) -> Title:
    """Whose poster it is: imdb_id and title. Raises NotFoundError where it is nobody's."""
    columns = (Title.imdb_id, Title.title)
    title = Title.select(*columns).where(Title.poster_path == f"/{name}").first()
    if title is None and (allowed := _allowed.get(name)):
        title = Title(imdb_id=name, title=allowed)
    if title is None:
        raise NotFoundError("There is no such poster.")
    return title


def kind_of(path: Path) -> str | None:
    """The MIME type, or None for a file that is no picture."""
    with path.open("rb") as file:
        return images.kind_of(file.read(images.HEAD))


def is_unavailable(path: Path) -> bool:
    """Whether the image host lately did not answer, or did not have this poster."""
    return bool(_missing.get(path) or _silent_hosts.get(config.current.tmdb_image_url))


def _fetch_for_page(path: Path) -> None:
    """A failure is remembered and not raised: the page draws something else."""
    with ExitStack() as stack:
        try:
            # Who asks for the same poster finds what the first one fetched.
            stack.enter_context(_key_locks.hold(path, TURN_SECONDS))
        except TimeoutError:
            return
        if not _fetching.acquire(timeout=TURN_SECONDS):
            return
        stack.callback(_fetching.release)
        # While this one waited, another may have fetched it, or found that the host is silent.
        if path.exists() or is_unavailable(path):
            return
        try:
            _fetch(path, limits.posters_interactive)
        except client.NotFoundError:
            _missing.put(path, True)
        except client.TemporaryError:
            _silent_hosts.put(config.current.tmdb_image_url, True)


def _fetch(path: Path, limiter: limits.RateLimiter) -> None:
    base = config.current.tmdb_image_url.rstrip("/")
    content = images.fetch(f"{base}/{path.parent.name}/{path.name}", limiter)
    with files.draft(path.parent) as draft:
        files.write(draft, content)
        os.replace(draft, path)


# The worker.


def start_if_due() -> Job | None:
    """A queued job for the caller to enqueue; None when nothing is new, and while
    titles are being looked up, because posters come after them."""
    if jobs.active("posters") or jobs.active("enrich"):
        return None
    now = clock.now()
    is_waiting = now < (models.setting(RETRY_AT) or 0) <= now + RETRY_SECONDS
    if is_waiting or not _next(1):
        return None
    return jobs.create_unless_active("posters")


def run(job: Job) -> dict:
    """Fetch the posters of titles in libraries that were filled since the last run, one at a time.

    The position is stored after each poster, so a run that was killed continues there.
    Raises jobs.StoppedError at a shut-down, and while the whole server is restored.
    """
    counts = {"fetched": 0, "absent": 0}
    while sum(counts.values()) < JOB_FILES and (rows := _next(READ_AHEAD)):
        for fetched_at, imdb_id, poster_path in rows:
            if enrichment_runner.must_stop():
                raise jobs.StoppedError
            try:
                path = path_of(GRID, poster_path.removeprefix("/"))
                if not path.exists():
                    _fetch(path, limits.posters_worker)
                    counts["fetched"] += 1
            except (client.NotFoundError, NotFoundError):
                counts["absent"] += 1
            except client.TemporaryError:
                # The host does not answer.
                _put(RETRY_AT, clock.now() + RETRY_SECONDS)
                return counts
            _put(MARK, [fetched_at, imdb_id])
        jobs.progress(job, sum(counts.values()), 0, f"{counts['fetched']:,} posters")
    return counts


def sweep() -> int:
    """Delete the files of posters that no title has, and drafts that killed processes left;
    returns how many. A file that cannot be deleted is logged, and the sweep continues."""
    count = 0
    before = clock.now() - KEEP_SECONDS
    for folder in (config.current.posters_dir / size for size in SIZES):
        # Only regular files that are named as posters or drafts are.
        names = [
            entry.name
            for entry in (os.scandir(folder) if folder.is_dir() else ())
            if NAME.fullmatch(entry.name) or entry.name.startswith(files.DRAFT)
            if entry.is_file(follow_symlinks=False)
            if entry.stat(follow_symlinks=False).st_mtime < before
        ]
        for batch in chunks(names, SWEEP_BATCH):
            has_poster = Title.poster_path.in_([f"/{name}" for name in batch])
            used = {path for (path,) in Title.select(Title.poster_path).where(has_poster).tuples()}
            for name in batch:
                if f"/{name}" in used:
                    continue
                try:
                    (folder / name).unlink()
                    count += 1
                except OSError as error:
                    log.warning("poster.not_deleted", file=name, error=type(error).__name__)
    if count:
        log.info("posters.swept", count=count)
    return count


def _next(count: int) -> list[tuple[float, str, str]]:
    """(tmdb_fetched_at, imdb_id, poster_path) of titles after the mark, in the order
    in which they were filled. Titles filled in the future, while the clock was
    ahead, are looked up again anyway."""
    now = clock.now()
    fetched_at, imdb_id = models.setting(MARK) or (0, "")
    if fetched_at > now:
        fetched_at, imdb_id = 0, ""
    is_after_mark = (Title.tmdb_fetched_at > fetched_at) | (
        (Title.tmdb_fetched_at == fetched_at) & (Title.imdb_id > imdb_id)
    )
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    rows = (
        Title.select(Title.tmdb_fetched_at, Title.imdb_id, Title.poster_path)
        .where((Title.tmdb_fetched_at >= fetched_at) & (Title.tmdb_fetched_at <= now))
        .where(is_after_mark)
        .where(Title.poster_path.is_null(False))
        .where(fn.EXISTS(holders))
        .order_by(Title.tmdb_fetched_at, Title.imdb_id)
        .limit(count)
    )
    return list(rows.tuples())


def _put(key: str, value) -> None:
    with db.atomic():
        models.put_setting(key, value)

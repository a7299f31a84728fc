"""IMDb's datasets as files: fetched with the administrator's consent, resumed after a break, kept
until a catalogue has been built from them.

`NAME.tsv.gz.part` grows, and is called `NAME.tsv.gz` once it is whole; `NAME.tsv.gz.json` says
beside either which file it is (its ETag). Whoever calls this holds the lock of the catalogue.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from errno import EACCES, EPERM, EROFS
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from mm import config, disk, files, log
from mm.errors import NoRoomError, UnavailableError
from mm.providers import client, imdb_datasets
from mm.schemas import CatalogueChoice
from mm.services import jobs

# Called while it runs, with what it does now, and the bytes of all files together: done, total.
Progress = Callable[[str, int, int], None]

# Bytes, as of 2026: shown before a download, and used where the host does not tell the size.
SIZES = {
    "title.basics": 215_000_000,
    "title.ratings": 8_200_000,
    "title.akas": 480_000_000,
    "title.crew": 80_000_000,
    "name.basics": 295_000_000,
}
DOING = {
    "title.basics": "Fetching titles",
    "title.ratings": "Fetching ratings",
    "title.akas": "Fetching titles in other languages",
    "title.crew": "Fetching directors",
    "name.basics": "Fetching names",
}
# How many bytes each adds to the catalogue, and how many times as much the build needs.
ON_DISK = {
    "title.basics": 230_000_000,
    "title.ratings": 10_000_000,
    "title.akas": 120_000_000,
    "title.crew": 10_000_000,
    "name.basics": 20_000_000,
}
WHILE_BUILDING = 1.75
# Between two tries.
PAUSES = (2, 5, 15, 45)
# If the host asks for a longer pause, the download fails.
PATIENCE_SECONDS = 120
# A try that brought this much is not a failure: on a bad line a large file takes many tries.
ADVANCE_BYTES = 2**20
# How often it checks whether to stop, and reports progress.
LOOK_SECONDS = 0.5
MAY_NOT_WRITE = (EROFS, EACCES, EPERM)
WHOLE, PART, ORIGIN = ".tsv.gz", ".tsv.gz.part", ".tsv.gz.json"

Result = TypeVar("Result")


class Dataset(NamedTuple):
    path: Path
    etag: str
    size_bytes: int


class Origin(msgspec.Struct, frozen=True):
    """Which file of the host it is. `etag` is empty and `size_bytes` None where it does not
    tell."""

    etag: str
    size_bytes: int | None


UNKNOWN = Origin("", None)


@dataclass
class _Run:
    """One call of `fetch`: how far it is, in bytes by name, and who is told about it."""

    progress: Progress
    must_stop: Callable[[], bool]
    doing: str
    sizes: dict[str, int]
    have: dict[str, int] = field(default_factory=dict)
    looked_at: float = 0.0

    def look_up(self) -> None:
        """Raises jobs.StoppedError. Cheap, for each of many parts."""
        if time.monotonic() - self.looked_at >= LOOK_SECONDS:
            self.looked_at = time.monotonic()
            if self.must_stop():
                log.info("datasets.stopped", bytes=sum(self.have.values()))
                raise jobs.StoppedError
            self.tell()

    def tell(self) -> None:
        done = sum(self.have.values())
        self.progress(self.doing, done, max(done, sum(self.sizes.values())))

    def wait(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self.look_up()
            time.sleep(min(left, LOOK_SECONDS))


def names(choice: CatalogueChoice) -> tuple[str, ...]:
    akas = ("title.akas",) if choice.akas else ()
    directors = ("title.crew", "name.basics") if choice.directors else ()
    return "title.basics", "title.ratings", *akas, *directors


def size_of(names: Iterable[str]) -> int:
    """About how many bytes are downloaded."""
    return sum(SIZES[name] for name in names)


def disk_of(names: Iterable[str]) -> int:
    """About how many bytes a catalogue built from them takes."""
    return sum(ON_DISK[name] for name in names)


def room_of(names: Iterable[str]) -> int:
    """About how many bytes must be free to build it, beside the downloads."""
    return round(disk_of(names) * WHILE_BUILDING)


def fetch(
    names: Iterable[str],
    known: Mapping[str, str],
    progress: Progress,
    must_stop: Callable[[], bool],
) -> dict[str, Dataset] | None:
    """All of these datasets, each as the host has it now; None if each has its `known` ETag.

    Raises UnavailableError, NoRoomError, and jobs.StoppedError once it `must_stop`. What has
    arrived stays, and the next call goes on from there; on a full disk nothing stays.
    """
    sizes = {name: SIZES[name] for name in names}
    run = _Run(progress, must_stop, DOING[next(iter(sizes))], sizes)
    new = {name: _ask(name, run, known.get(name, "")) for name in sizes}
    if not any(new.values()):
        log.info("datasets.unchanged")
        return None
    # A catalogue is made of all of them, so those that are not new are fetched too.
    origins = {name: origin or _ask(name, run) or UNKNOWN for name, origin in new.items()}
    with _in_plain_words(origins):
        missing = _keep(origins, run)
    files.require_room(config.current.datasets_dir, missing + room_of(origins))
    log.info("datasets.fetch", datasets=len(origins), bytes=missing, kept=sum(run.have.values()))
    with _in_plain_words(origins):
        return {name: _fetch(name, run) for name in origins}


def discard(name: str) -> None:
    """Delete a damaged dataset, so that it is downloaded again."""
    for suffix in (WHOLE, PART, ORIGIN):
        _path(name, suffix).unlink(missing_ok=True)


def clear() -> None:
    """Delete all of them."""
    sweep(keep=())


def sweep(keep: Iterable[str] = tuple(SIZES)) -> None:
    """Delete what is `left` in their folder beside the datasets `keep`."""
    # The origins last: without them the datasets would count as somebody's own.
    for path in sorted(left(keep), key=lambda path: path.name.endswith(ORIGIN)):
        path.unlink(missing_ok=True)
    folder = config.current.datasets_dir
    if not keep and folder.is_dir() and not folder.is_symlink():
        with contextlib.suppress(OSError):
            folder.rmdir()


def left(keep: Iterable[str] = ()) -> list[Path]:
    """What the server put into their folder beside the datasets `keep`: those that nobody asks for
    any more, and what killed processes left. The folder may be a link to a place where other things
    lie too."""
    kept, own = _file_names(keep), _file_names(SIZES)
    folder = config.current.datasets_dir
    paths = list(folder.iterdir()) if folder.is_dir() else []
    return [
        path
        for path in paths
        if path.name in own or files.DRAFT_NAME.fullmatch(path.name)
        # A link or a pipe with the name of a dataset is nothing that was downloaded.
        if not (path.name in kept and files.is_file(path))
        if not _is_somebodys(path) and (path.is_symlink() or not path.is_dir())
    ]


def _file_names(names: Iterable[str]) -> set[str]:
    return {f"{name}{suffix}" for name in names for suffix in (WHOLE, PART, ORIGIN)}


def _is_somebodys(path: Path) -> bool:
    """A dataset that no download describes: somebody put it there to make a catalogue of it."""
    origin = path.with_name(path.name.removesuffix(WHOLE) + ORIGIN)
    return path.name.endswith(WHOLE) and files.is_file(path) and not origin.exists()


def _ask(name: str, run: _Run, known: str = "") -> Origin | None:
    """Which file the host has now; None for the `known` one. Raises UnavailableError."""

    def ask() -> Origin | None:
        # Two bytes show whether it is a dataset at all.
        with imdb_datasets.opened(name, run.look_up, known=known, last=1) as answer:
            if answer.status == 304 or (known and answer.etag == known):
                return None
            next(answer.parts, None)
            return Origin(answer.etag, answer.size)

    return _tried(name, run, ask)


def _keep(origins: Mapping[str, Origin], run: _Run) -> int:
    """Keep what was fetched of these files before, and nothing else; returns how many bytes are
    missing."""
    files.make_folder(config.current.datasets_dir)
    sweep(keep=origins)
    for name, origin in origins.items():
        if not _is_of(name, origin):
            discard(name)
        run.have[name] = _size_of_file(name)
        run.sizes[name] = origin.size_bytes or SIZES[name]
    return sum(max(0, run.sizes[name] - run.have[name]) for name in origins)


def _is_of(name: str, origin: Origin) -> bool:
    """Whether what is there of a dataset is this file, or a part of it. Without an ETag nobody
    knows."""
    size, whole = _size_of_file(name), origin.size_bytes
    if not origin.etag or _origin_of(name) != origin:
        return False
    return whole is None or size == whole or (size < whole and not _path(name, WHOLE).exists())


def _fetch(name: str, run: _Run) -> Dataset:
    """Raises UnavailableError."""
    run.doing = DOING[name]
    run.tell()
    path = _path(name, WHOLE)
    if not path.exists():
        begun, before = time.monotonic(), run.have[name]
        _tried(name, run, lambda: _receive(name, run))
        seconds, new = time.monotonic() - begun, run.have[name] - before
        log.info("datasets.fetched", dataset=name, bytes=new, seconds=seconds)
    run.have[name] = run.sizes[name] = path.stat().st_size
    run.tell()
    return Dataset(path, _origin_of(name).etag, run.sizes[name])


def _tried(name: str, run: _Run, ask: Callable[[], Result]) -> Result:
    """The result of `ask`, tried again after each break. Raises UnavailableError."""
    failures, best = 0, run.have.get(name, 0)
    while True:
        try:
            return ask()
        except client.TemporaryError as error:
            problem, pause = error, error.retry_after
        except client.Error as error:
            log.warning("datasets.failed", dataset=name, reason=str(error))
            raise UnavailableError(str(error)) from None
        have = run.have.get(name, 0)
        # Only more than ever before: a host that cannot resume would otherwise be asked forever.
        if have >= best + ADVANCE_BYTES:
            failures, best = 0, have
        if failures == len(PAUSES) or (pause or 0) > PATIENCE_SECONDS:
            log.warning("datasets.failed", dataset=name, bytes=have, reason=str(problem))
            kept = " What has arrived is kept for the next try." if have else ""
            raise UnavailableError(f"{problem}{kept}")
        pause = PAUSES[failures] if pause is None else pause
        failures += 1
        log.warning(
            "datasets.broke_off", dataset=name, bytes=have, reason=str(problem), again_in=pause
        )
        run.wait(pause)


def _receive(name: str, run: _Run) -> None:
    """One try. Raises client.Error."""
    origin = _origin_of(name)
    start = _size_of_file(name) if origin.etag else 0
    # All of it may be there, if a process was killed before it gave the file its name.
    if not start or start != origin.size_bytes:
        with imdb_datasets.opened(name, run.look_up, start=start, etag=origin.etag) as answer:
            part = Origin(answer.etag, answer.size)
            if answer.status == 200:
                _begin(name, answer, run)
            elif answer.status != 206 or (answer.start, part) != (start, origin):
                discard(name)
                run.have[name] = 0
                raise client.TemporaryError(f"{imdb_datasets.HOST} has a different file now.")
            _append(name, answer.parts, run)
    _finish(name)


def _begin(name: str, answer: imdb_datasets.Answer, run: _Run) -> None:
    """Throw away what there was and begin with the first part. Not before it is there: a log-in
    page, which raises client.Error, costs nothing that has arrived."""
    first = next(answer.parts)
    discard(name)
    origin = Origin(answer.etag, answer.size)
    files.replace(_path(name, ORIGIN), msgspec.json.encode(origin))
    run.have[name], run.sizes[name] = 0, answer.size or SIZES[name]
    _append(name, iter((first,)), run)


def _append(name: str, parts: Iterator[bytes], run: _Run) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    told = _origin_of(name).size_bytes
    most = imdb_datasets.BYTES_MAX if told is None else told
    with os.fdopen(os.open(_path(name, PART), flags, 0o600), "ab") as file:
        for part in parts:
            # Of all tries together: each may have brought some of a file that has no end.
            if run.have[name] + len(part) > most:
                discard(name)
                raise client.Error(imdb_datasets.TOO_LARGE)
            file.write(part)
            run.have[name] += len(part)
            run.look_up()
        file.flush()
        os.fsync(file.fileno())


def _finish(name: str) -> None:
    """Give the file its name. Raises client.TemporaryError where it is not whole."""
    size, told = _size_of_file(name), _origin_of(name).size_bytes
    if told is not None and size != told:
        if size > told:
            discard(name)
        raise client.TemporaryError(f"{imdb_datasets.HOST} sent {size:,} bytes of {told:,}.")
    os.replace(_path(name, PART), _path(name, WHOLE))
    files.sync_folder(config.current.datasets_dir)


def _path(name: str, suffix: str) -> Path:
    return config.current.datasets_dir / f"{name}{suffix}"


def _origin_of(name: str) -> Origin:
    """UNKNOWN where nothing is kept, or its description cannot be read."""
    try:
        return msgspec.json.decode(_path(name, ORIGIN).read_bytes(), type=Origin)
    except (FileNotFoundError, msgspec.DecodeError):
        return UNKNOWN


def _size_of_file(name: str) -> int:
    """Bytes that are there, of the whole file or of its part."""
    for suffix in (WHOLE, PART):
        with contextlib.suppress(FileNotFoundError):
            return _path(name, suffix).stat().st_size
    return 0


@contextlib.contextmanager
def _in_plain_words(names: Iterable[str]) -> Iterator[None]:
    """Says what is wrong with the disk. Raises UnavailableError and NoRoomError."""
    try:
        yield
    except (OSError, NoRoomError) as error:
        if getattr(error, "errno", None) in MAY_NOT_WRITE:
            reason = f"The server cannot write to its folder {config.current.datasets_dir}."
            log.warning("datasets.failed", reason=reason)
            raise UnavailableError(f"{reason} Is its disk read-only?") from error
        if not disk.is_full(error):
            raise
        # All of it: libraries are saved on the same disk, and need the room more than this does.
        clear()
        log.warning("datasets.failed", reason="disk full")
        needed = disk.megabytes(size_of(names) + room_of(names))
        raise NoRoomError(
            "The disk filled up while IMDb’s datasets were being fetched, so what had "
            f"arrived was deleted. About {needed} of free space are needed."
        ) from error

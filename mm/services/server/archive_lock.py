"""One at a time: everything that makes, checks, restores or deletes an archive of the server holds
its lock."""

import contextlib
from collections.abc import Iterator

from mm import config, disk, locks, log
from mm.errors import UnavailableError
from mm.models import Job
from mm.services import jobs
from mm.services.server import databases

LOCK = "server"
WAITS_SECONDS = 30
# For what takes no time itself.
WAITS_SHORTLY_SECONDS = 3
UNREACHABLE = "The archives of the server can’t be reached."


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
def holding_now() -> Iterator[None]:
    """For jobs, which wait for their turn in the queue. Raises BusyError at once."""
    with locks.hold(LOCK), folder_in_reach():
        yield


@contextlib.contextmanager
def holding_shortly() -> Iterator[None]:
    """Raises BusyError, which names what is running."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.wait_for(LOCK, WAITS_SHORTLY_SECONDS))
        except locks.BusyError as busy:
            job = jobs.active_of_server() or jobs.active("archives")
            raise _busy(job if job and job.state == "running" else None) from busy
        stack.enter_context(folder_in_reach())
        yield


def _busy(job: Job | None) -> locks.BusyError:
    if job and job.state == "queued":
        return locks.BusyError(f"{jobs.KINDS[job.kind].noun} is waiting for its turn.")
    noun = jobs.KINDS[job.kind].noun if job else "Other work on the server’s archives"
    return locks.BusyError(f"{noun} is running. Try again when it has finished.")


def require_idle() -> None:
    """Raises BusyError while work on the whole server runs or waits for the worker."""
    if job := jobs.active_of_server():
        raise _busy(job)


@contextlib.contextmanager
def folder_in_reach() -> Iterator[None]:
    """Turns an error of the file system into UnavailableError, with a code that the log explains,
    and that of a full disk into NoRoomError."""
    try:
        yield
    except OSError as error:
        if disk.is_full(error):
            raise disk.full(config.current.tmp_dir) from error
        code = log.unexpected("archive_folder.failed", error)
        raise UnavailableError(f"{UNREACHABLE} {log.pointer(code)}") from error

"""Work on two cores: SHA-256, deflate and SQLite leave Python's lock."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from isal import isal_zlib

from mm import clock

Item = TypeVar("Item")
# (bytes done, bytes in all, what is done now)
Progress = Callable[[int, int, str], None]
AHEAD = 4
LEVEL = 1
REPORT_SECONDS = 0.5


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, made by another thread, at most AHEAD of them before they are asked for."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        made: deque[Future] = deque(pool.submit(next, items, end) for _ in range(AHEAD))
        while (item := made.popleft().result()) is not end:
            made.append(pool.submit(next, items, end))
            yield item


class ParallelDeflate:
    """A compressor for stream_zip that works on several pieces at a time. Each ends at a whole byte
    and refers to nothing before it, so that together they are one stream of deflate."""

    def __init__(self, pool: ThreadPoolExecutor):
        self.pool = pool
        self.waiting: deque[Future[bytes]] = deque()

    def compress(self, piece: bytes) -> bytes:
        self.waiting.append(self.pool.submit(_deflated, piece))
        return self.waiting.popleft().result() if len(self.waiting) > AHEAD else b""

    def flush(self) -> bytes:
        rest = b"".join(future.result() for future in self.waiting)
        return rest + isal_zlib.compressobj(LEVEL, wbits=-15).flush()


def _deflated(piece: bytes) -> bytes:
    compressor = isal_zlib.compressobj(LEVEL, wbits=-15)
    return compressor.compress(piece) + compressor.flush(isal_zlib.Z_SYNC_FLUSH)


class Meter:
    """Counts bytes, in any thread, and reports them in the one that calls `report`, at most twice a
    second. `total`: bytes in all."""

    def __init__(self, progress: Progress | None, total: int = 0):
        self.progress = progress
        self.total = total
        self.done = 0
        self.due = 0.0

    def report(self, message: str) -> None:
        if self.progress and clock.monotonic() >= self.due:
            self.due = clock.monotonic() + REPORT_SECONDS
            self.progress(self.done, self.total, message)

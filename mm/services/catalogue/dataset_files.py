"""The lines of a dataset as it was downloaded, a block at a time."""

import gzip
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isal import igzip
from isal.igzip_lib import IsalError

from mm.errors import UserError
from mm.services import jobs
from mm.services.catalogue import rows
from mm.services.catalogue.downloads import Progress

# Of what is unpacked.
BLOCK_BYTES = 2**19
# The largest dataset has under 3 GB; a file can be made to unpack to a thousand times its size.
UNPACKED_MAX = 10**10
# Progress may be written to the database.
SECONDS_BETWEEN_NEWS = 0.5


class UnreadableError(UserError):
    """A dataset that has to be downloaded anew: `name`, such as title.basics."""

    def __init__(self, name: str, why: str):
        super().__init__(f"The dataset {name} from IMDb cannot be read: {why}.")
        self.name = name


class Watch:
    """What somebody sees of the work, and whether it is to end."""

    def __init__(self, progress: Progress, must_stop: Callable[[], bool]):
        self.progress = progress
        self.must_stop = must_stop
        self.doing = ""
        self.told_at = 0.0

    def tell(self, doing: str, done: int, total: int) -> None:
        """Raises jobs.StoppedError."""
        if self.must_stop():
            raise jobs.StoppedError
        now = time.monotonic()
        if doing != self.doing or now - self.told_at >= SECONDS_BETWEEN_NEWS:
            self.doing, self.told_at = doing, now
            self.progress(doing, done, total)


def read(
    name: str, path: Path, doing: str, watch: Watch
) -> tuple[rows.Reader, Iterator[list[bytes]]]:
    """Who takes its lines apart, and the lines in lists. Both raise UnreadableError, the lists also
    jobs.StoppedError."""
    blocks = _lists_of_lines(name, path, doing, watch)
    first = next(blocks, [b""])
    try:
        reader = rows.Reader(first[0], name)
    except ValueError as error:
        raise UnreadableError(name, "it has other columns than expected") from error
    return reader, itertools.chain((first[1:],), blocks)


def _lists_of_lines(name: str, path: Path, doing: str, watch: Watch) -> Iterator[list[bytes]]:
    """Of a line that is longer than any row only the beginning is given, which is no row."""
    rest = b""
    total = 0
    with path.open("rb") as packed:
        size = os.fstat(packed.fileno()).st_size
        file = igzip.IGzipFile(fileobj=packed, mode="rb")
        while block := _unpacked(file, name):
            watch.tell(doing, packed.tell(), size)
            total += len(block)
            if total > UNPACKED_MAX:
                raise UnreadableError(name, "it holds more than any dataset")
            lines = (rest + block).split(b"\n")
            rest = lines.pop()[: rows.LONGEST_LINE + 1]
            if lines:
                yield lines
    if rest:
        yield [rest]


def _unpacked(file: igzip.IGzipFile, name: str) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except EOFError as error:
        raise UnreadableError(name, "its end is missing") from error
    except gzip.BadGzipFile as error:
        raise UnreadableError(name, "it is damaged, or something else than a dataset") from error
    except IsalError as error:  # type: ignore[misc]
        raise UnreadableError(name, "it is damaged") from error

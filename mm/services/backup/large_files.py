"""Larger files are read one at a time in each process, because of the memory and the time it takes.
So are larger collections, from the file to the plan.

Each one that waits for its turn keeps a thread of the server, so only few may.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mm.errors import UnavailableError, UnusableFileError
from mm.services import portable
from mm.services.backup import other_files
from mm.services.portable import Incoming

LARGE_FILE = 2**18
TURN_SECONDS = 10
WAITING_OF_A_USER = 1
WAITING_IN_ALL = 2
READ_LATER = "Another import is being read. Try again in a minute."

turn = threading.BoundedSemaphore()
# How many files of each user wait for their turn.
waiting: Counter[str] = Counter()
_counting = threading.Lock()


def read(
    data: bytes,
    user_id: str,
    trusted: bool = False,
    is_patient: bool = False,
    fixes: dict[str, Any] | None = None,
) -> Incoming:
    """As `portable.read`, which names what some other files are. A large file waits TURN_SECONDS
    for its turn, or as long as it takes where `is_patient`. Raises UnavailableError where too many
    wait already."""
    with in_turn(len(data), user_id, is_patient):
        try:
            return portable.read(data, trusted, fixes)
        except UnusableFileError as error:
            if words := other_files.recognised(data):
                raise UnusableFileError(words) from error
            raise


def in_turn(
    size_bytes: int, user_id: str, is_patient: bool = False
) -> contextlib.AbstractContextManager[None]:
    """A file of this size has its turn within this block; not again inside another. Waits and
    raises as `read`."""
    if size_bytes < LARGE_FILE:
        return contextlib.nullcontext()
    return _turn(user_id, None if is_patient else TURN_SECONDS)


def require_turn(user_id: str, size_bytes: int) -> None:
    """Raises UnavailableError where a file of this size would be refused. Ask before it has
    arrived."""
    if size_bytes >= LARGE_FILE:
        with _counting:
            _require_place(user_id)


@contextlib.contextmanager
def _turn(user_id: str, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        turn.acquire()
    elif not turn.acquire(blocking=False):
        with _counting:
            _require_place(user_id)
            waiting[user_id] += 1
        try:
            if not turn.acquire(timeout=seconds):
                raise UnavailableError(READ_LATER)
        finally:
            with _counting:
                waiting[user_id] -= 1
                if not waiting[user_id]:
                    del waiting[user_id]
    try:
        yield
    finally:
        turn.release()


def _require_place(user_id: str) -> None:
    if waiting[user_id] >= WAITING_OF_A_USER or waiting.total() >= WAITING_IN_ALL:
        raise UnavailableError(READ_LATER)

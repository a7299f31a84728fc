"""Locks of the operating system, so that page, worker and command line share them and a killed
process frees them.

Where the database is PostgreSQL, workers may run on several hosts: there its advisory locks serve.
"""

import contextlib
import fcntl
import hashlib
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from peewee import InterfaceError, OperationalError, PostgresqlDatabase

from mm import config
from mm.database import db, own_connection
from mm.errors import ConflictError

STEP_SECONDS = 0.1
# How long to try where nobody holds the lock, and only others who look are in the way.
LOOKERS_SECONDS = 1


class BusyError(ConflictError):
    """Somebody else holds the lock; what holds it is for the caller to say."""


@contextlib.contextmanager
def hold(
    name: str, message: str = "This is already running. Try again when it has finished."
) -> Iterator[None]:
    """Hold the lock `name` or raise BusyError with `message`; does not wait until it is free."""
    take = _advisory if isinstance(db.obj, PostgresqlDatabase) else _flock
    with take(name, message):
        yield


@contextlib.contextmanager
def wait_for(name: str, seconds: float) -> Iterator[None]:
    """Hold the lock `name` as soon as it is free; BusyError when that takes longer."""
    with contextlib.ExitStack() as stack:
        for _ in range(int(seconds / STEP_SECONDS)):
            try:
                stack.enter_context(hold(name))
                break
            except BusyError:
                time.sleep(STEP_SECONDS)
        else:
            stack.enter_context(hold(name))
        yield


def is_held(name: str) -> bool:
    """Looks without taking the lock, so that nobody who wants it finds it taken."""
    if isinstance(db.obj, PostgresqlDatabase):
        return _is_advisory_held(_key_of(name))
    return _is_locked(_path_of(name))


@contextlib.contextmanager
def _flock(name: str, message: str) -> Iterator[None]:
    path = _path_of(name)
    descriptor = _open_locked(path)
    if descriptor is None:
        raise BusyError(message)
    try:
        yield
    finally:
        # While it is held: who has the old file open finds it without a name, and opens the new
        # one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _path_of(name: str) -> Path:
    return config.current.locks_dir / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.lock"


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open_locked(path: Path) -> int | None:
    """A descriptor that holds the lock of the file that has this name now; None when another one
    does."""
    deadline = time.monotonic() + LOOKERS_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            # Somebody removed the folder while the server ran.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > deadline or _is_locked(path):
                return None
            # Not all at the same moment again.
            time.sleep(random.uniform(0, 0.002))  # noqa: S311
            continue
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _advisory(name: str, message: str) -> Iterator[None]:
    """On a connection of its own. PostgreSQL grants a lock to one session as often as it asks, so
    threads and locks that share a connection would not exclude each other; and a lock would end
    with the connection of a request or a task that is closed inside it."""
    with own_connection() as own:
        asked = own.execute_sql("SELECT pg_try_advisory_lock(%s)", (_key_of(name),))
        if not asked.fetchone()[0]:
            raise BusyError(message)
        try:
            yield
        finally:
            # The server frees it only some time after the connection is closed. If the connection
            # was lost, the lock was too.
            with contextlib.suppress(OperationalError, InterfaceError):
                own.execute_sql("SELECT pg_advisory_unlock_all()")


def _is_advisory_held(key: int) -> bool:
    # pg_locks shows the two halves of the key, without a sign.
    high, low = key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF
    found = db.execute_sql(
        "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND granted "
        "AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 1",
        (high, low),
    )
    return found.fetchone() is not None


def _key_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)

"""Locks that the web server, the worker and the command line share, and that a killed process
releases: the operating system's file locks.

With PostgreSQL, workers may run on several hosts, so its advisory locks are used instead.
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
from mm.database import db, separate_connection
from mm.errors import ConflictError

STEP_SECONDS = 0.1
# How long to try again where nobody holds the lock, and only calls of is_held() are in the way.
CONTENTION_SECONDS = 1


class BusyError(ConflictError):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def hold(
    name: str, message: str = "This is already running. Try again when it has finished."
) -> Iterator[None]:
    """Hold the lock `name`, or raise BusyError with `message` at once if it is taken."""
    lock = _advisory_lock if isinstance(db.obj, PostgresqlDatabase) else _file_lock
    with lock(name, message):
        yield


@contextlib.contextmanager
def wait_for(name: str, seconds: float) -> Iterator[None]:
    """Hold the lock `name` as soon as it is free. Raises BusyError after `seconds`."""
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


def share(name: str) -> None:
    """Hold the lock `name` together with others, until this process ends. With PostgreSQL, which
    has its own tools for what this is asked for, nothing is held."""
    path = _path_of(name)
    while not isinstance(db.obj, PostgresqlDatabase):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_nlink:
            return
        os.close(descriptor)


def is_shared(name: str) -> bool:
    """Whether a process holds the lock `name` by `share`."""
    return _is_locked(_path_of(name), fcntl.LOCK_EX)


def is_held(name: str) -> bool:
    """Looks without taking the lock, so that nobody who wants it finds it taken."""
    if not isinstance(db.obj, PostgresqlDatabase):
        return _is_locked(_path_of(name))
    key = _key_of(name)
    # pg_locks shows the two halves of the key, without a sign.
    high, low = key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF
    rows = db.execute_sql(
        "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND granted "
        "AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 1",
        (high, low),
    )
    return rows.fetchone() is not None


@contextlib.contextmanager
def _file_lock(name: str, message: str) -> Iterator[None]:
    path = _path_of(name)
    descriptor = _open_locked(path)
    if descriptor is None:
        raise BusyError(message)
    try:
        yield
    finally:
        # Removed while the lock is held: whoever has this file open sees that it has no name any
        # more, and opens the new one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _path_of(name: str) -> Path:
    return config.current.locks_dir / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.lock"


def _is_locked(path: Path, wanted: int = fcntl.LOCK_SH) -> bool:
    """Whether `wanted` cannot be had: by default shared, so that two of these do not see each
    other."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, wanted | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open_locked(path: Path) -> int | None:
    """A descriptor that holds the lock of the file which has this name now, or None when somebody
    else holds it."""
    deadline = time.monotonic() + CONTENTION_SECONDS
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
            # A random pause, or all would collide again.
            time.sleep(random.uniform(0, 0.002))  # noqa: S311
            continue
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _advisory_lock(name: str, message: str) -> Iterator[None]:
    """On a separate connection. PostgreSQL grants a lock to one session as often as it asks, so
    locks that share a connection would not exclude each other; and the lock would end when a
    request or a task closes its connection."""
    with separate_connection() as connection:
        answer = connection.execute_sql("SELECT pg_try_advisory_lock(%s)", (_key_of(name),))
        if not answer.fetchone()[0]:
            raise BusyError(message)
        try:
            yield
        finally:
            # Explicitly, because the server notices a closed connection only some time later. A
            # lost connection has lost its locks too.
            with contextlib.suppress(OperationalError, InterfaceError):
                connection.execute_sql("SELECT pg_advisory_unlock_all()")


def _key_of(name: str) -> int:
    """PostgreSQL names advisory locks by a signed 64 bit number."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)

"""Locks of the operating system, so that page, worker and command line share them and a killed process frees them.

Where the database is PostgreSQL, workers may run on several hosts: there its advisory locks serve.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from peewee import PostgresqlDatabase

from mm import config
from mm.errors import Conflict
from mm.models import db

STEP_SECONDS = 0.1

_held: set[str] = set()
_held_guard = threading.Lock()


class Busy(Conflict):
    """Somebody else holds the lock; what holds it is for the caller to say."""


@contextlib.contextmanager
def hold(name: str, message: str = "This is already running. Try again when it has finished.") -> Iterator[None]:
    """Hold the lock `name` or raise Busy with `message` at once; never waits."""
    take = _advisory if isinstance(db.obj, PostgresqlDatabase) else _flock
    with take(name, message):
        yield


@contextlib.contextmanager
def wait_for(name: str, seconds: float) -> Iterator[None]:
    """Hold the lock `name` as soon as it is free; Busy when that takes longer."""
    with contextlib.ExitStack() as stack:
        for _ in range(int(seconds / STEP_SECONDS)):
            try:
                stack.enter_context(hold(name))
                break
            except Busy:
                time.sleep(STEP_SECONDS)
        else:
            stack.enter_context(hold(name))
        yield


def is_held(name: str) -> bool:
    try:
        with hold(name):
            return False
    except Busy:
        return True


@contextlib.contextmanager
def _flock(name: str, message: str) -> Iterator[None]:
    path = config.current.locks_dir / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.lock"
    descriptor = _open_locked(path)
    if descriptor is None:
        raise Busy(message)
    try:
        yield
    finally:
        # While it is held: who has the old file open finds it without a name, and opens the new one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _open_locked(path: Path) -> int | None:
    """A descriptor that holds the lock of the file that has this name now; None when another one does."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _advisory(name: str, message: str) -> Iterator[None]:
    """PostgreSQL grants its lock twice to one session, so threads of one connection are told apart here."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    with _held_guard:
        if name in _held:
            raise Busy(message)
        _held.add(name)
    try:
        if not db.execute_sql("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()[0]:
            raise Busy(message)
        try:
            yield
        finally:
            db.execute_sql("SELECT pg_advisory_unlock(%s)", (key,))
    finally:
        with _held_guard:
            _held.discard(name)

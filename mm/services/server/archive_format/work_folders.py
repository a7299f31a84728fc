"""Folders in data/tmp for what is needed only while an archive is made or checked."""

import contextlib
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from peewee import DatabaseError

from mm import config, disk, files

ARCHIVE = "archive-"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """An empty folder `data/tmp/archive-<16 hex>`, deleted at the end of the block. Raises
    NoRoomError where the disk gets full in the block."""
    path = config.current.tmp_dir / f"{ARCHIVE}{secrets.token_hex(8)}"
    files.make_folder(path)
    try:
        with said_when_full(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def said_when_full(place: Path) -> Iterator[None]:
    """Turns any error of a full disk into a NoRoomError that says how much is free."""
    try:
        yield
    except (OSError, sqlite3.Error, DatabaseError) as error:
        if not disk.is_full(error) and not isinstance(error, disk.DiskFullError):
            raise
        raise disk.full(place) from error

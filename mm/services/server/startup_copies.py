"""Copies of the database that are made when the server starts: `backups/startup/mm-MOMENT-0004.db`,
with the moment in UTC and the number of the last migration that was applied.

Whoever writes into that folder holds the lock `startup`.
"""

import contextlib
import filecmp
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple

from mm import clock, config, disk, files, locks
from mm.clock import DAY
from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.services.server import databases

NAME = re.compile(
    r"mm-(?P<moment>\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2})-(?P<schema>\d{4})\.db", re.ASCII
)
MOMENT = "%Y-%m-%dT%H-%M-%S"
# A draft, and what SQLite keeps beside it.
DRAFT = re.compile(rf"{files.DRAFT_NAME.pattern}(-journal|-wal|-shm)?")
KEPT = 5
WAIT_SECONDS = 120
NOT_FOUND = "There is no start-up copy {}. flask --app mm restore-startup --list names them."


class StartupCopy(NamedTuple):
    """`schema`: the number of the last migration in it, such as 0004."""

    path: Path
    made_at: float
    schema: str
    size_bytes: int

    @property
    def name(self) -> str:
        return self.path.name

    def words(self) -> str:
        return (
            f"{self.name}  {spoken_moment(self.made_at)}  schema {self.schema}  "
            f"{disk.megabytes(self.size_bytes)}"
        )


@contextlib.contextmanager
def holding() -> Iterator[Path]:
    """The folder, made and tidied, for one writer at a time. Raises locks.BusyError."""
    folder = config.current.startup_dir
    with locks.wait_for("startup", WAIT_SECONDS):
        files.make_folder(folder)
        for path in folder.iterdir():
            if DRAFT.fullmatch(path.name) and files.is_file(path):
                path.unlink()
        yield folder


def listing() -> list[StartupCopy]:
    """Newest first."""
    folder = config.current.startup_dir
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    copies = [_copy(folder / name) for name in sorted(names, reverse=True) if is_name(name)]
    return [copy for copy in copies if files.is_file(copy.path)]


def get(filename: str) -> StartupCopy:
    """Raises NotFoundError for anything but the name of a copy in the folder."""
    for copy in listing():
        if copy.name == filename:
            return copy
    raise NotFoundError(NOT_FOUND.format(filename))


def is_name(name: str) -> bool:
    match = NAME.fullmatch(name)
    if not match:
        return False
    try:
        datetime.strptime(match["moment"], MOMENT)
    except ValueError:
        return False
    return True


def newest() -> StartupCopy | None:
    """The newest one that is not from the future: of those, a clock that ran ahead made the
    names."""
    return next((copy for copy in listing() if copy.made_at <= clock.now() + DAY), None)


def is_due() -> bool:
    """Whether the last copy is older than a day."""
    last = newest()
    return last is None or last.made_at < clock.now() - DAY


def make(keep: StartupCopy | None = None) -> tuple[StartupCopy, bool]:
    """A checked copy of the database in use, and whether it is new: where the newest copy has the
    same bytes, that one stays the only one, so that a server that starts again and again does not
    lose its older copies. `keep` is not deleted for being old.

    Raises NoRoomError, UnavailableError, InvalidError for a damaged database, and what SQLite
    raises where it cannot even be read.
    """
    live = databases.live_path()
    with holding() as folder:
        files.require_room(folder, sum(path.stat().st_size for path in parts_of(live)))
        with files.draft(folder) as draft:
            databases.copy(draft)
            if fault := quick_fault_of(draft):
                raise InvalidError(f"the database is damaged ({fault})")
            schema = schema_of(draft)
            last = newest()
            if last and last.schema == schema and filecmp.cmp(draft, last.path, shallow=False):
                return last, False
            path = free_path(folder, f"mm-{{}}-{schema}.db", clock.now())
            os.replace(draft, path)
            files.sync_folder(folder)
        prune(keep)
        return _copy(path), True


def prune(keep: StartupCopy | None = None) -> None:
    """Keep the newest KEPT, and besides the newest of each schema. Those from the future count for
    nothing, and stay."""
    past = [copy for copy in listing() if copy.made_at <= clock.now() + DAY]
    newest_of: dict[str, StartupCopy] = {}
    for copy in past:
        newest_of.setdefault(copy.schema, copy)
    stay = {copy.name for copy in (*past[:KEPT], *newest_of.values(), *filter(None, [keep]))}
    for copy in past:
        if copy.name not in stay:
            copy.path.unlink(missing_ok=True)
    files.sync_folder(config.current.startup_dir)


def parts_of(path: Path) -> list[Path]:
    """The database file and what SQLite keeps beside it, where they exist."""
    names = (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")))
    return [each for each in names if each.exists()]


def quick_fault_of(path: Path) -> str | None:
    """What SQLite finds wrong with the pages of a file that nobody has open, without comparing
    indexes with their tables, which would take many times as long."""
    try:
        with databases.opened(path, read_only=True) as connection:
            [(answer,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        return str(error)
    return None if answer == "ok" else " ".join(answer.split())


def schema_of(path: Path) -> str:
    """0000 for a database without our tables."""
    names = databases.migrations_of(path)
    return names[-1][:4] if names else "0000"


def spoken_moment(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def free_path(folder: Path, name: str, moment: float) -> Path:
    """The first that is free, from this second on. `name` has {} in place of the time."""
    for second in count(int(moment)):
        path = folder / name.format(datetime.fromtimestamp(second, UTC).strftime(MOMENT))
        if not os.path.lexists(path):
            break
    return path


def _copy(path: Path) -> StartupCopy:
    match = NAME.fullmatch(path.name)
    if match is None:
        raise ConflictError(f"{path.name} is not the name of a start-up copy.")
    made = datetime.strptime(match["moment"], MOMENT).replace(tzinfo=UTC)
    return StartupCopy(path, made.timestamp(), match["schema"], path.lstat().st_size)

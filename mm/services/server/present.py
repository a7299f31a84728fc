"""What this server holds now, beside what an archive would put in its place."""

from pathlib import Path
from typing import NamedTuple

from mm import schema
from mm.models import Movie, User
from mm.services.server import archive_files


class Counts(NamedTuple):
    users: int
    movies: int


def counts() -> Counts:
    """Of everybody, with the films that are deleted: as an archive counts them."""
    return Counts(User.select().count(), Movie.select().count())


def is_newer_than(path: Path) -> bool:
    """Whether the database of this archive has to be migrated when it is restored."""
    sidecar = archive_files.read_sidecar(path)
    if sidecar is None or not sidecar.contents.has_database:
        return False
    return sidecar.schema < schema.names()[-1]

"""What lies on the disk of a server without an account, and could be taken over."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mm import config
from mm.errors import NotFoundError
from mm.schemas.backups import BackupEntry
from mm.schemas.first_run import FoundKind
from mm.services.backup import files as backup_files
from mm.services.server import all_users, archive_files, databases
from mm.spoken import plural

KNOWN_GOOD = ("verified", "unverified")
GONE = "This file is gone. Choose another one."


class Offer(Struct):
    """`id` tells it from the other offers. `what` it holds, in words, as far as that is known
    without reading it. `user_id`: whose folder it lies in."""

    id: str
    kind: FoundKind
    path: Path
    made_at: float | None
    what: str = ""
    user_id: str | None = None


def listing() -> list[Offer]:
    """What holds most comes first; of one user's backups the newest of each."""
    libraries = sorted(_libraries(), key=lambda offer: offer.made_at or 0, reverse=True)
    return [*_archive(), *_all_users(), *_original(), *libraries]


def find(offer_id: str) -> Offer:
    """Raises NotFoundError."""
    found = next((offer for offer in listing() if offer.id == offer_id), None)
    if found is None:
        raise NotFoundError(GONE)
    return found


def _archive() -> Iterator[Offer]:
    if not databases.is_sqlite():
        return
    usable = [entry for entry in archive_files.entries() if entry.state in KNOWN_GOOD]
    with_accounts = [entry for entry in usable if not entry.contents or entry.contents.users]
    if with_accounts:
        newest = max(with_accounts, key=lambda entry: entry.timestamp)
        held = newest.contents
        what = f"{plural(held.users, 'user')}, {plural(held.movies, 'film')}" if held else ""
        path = archive_files.path_of(newest.timestamp)
        yield Offer("archive", "archive", path, newest.created_at, what)


def _all_users() -> Iterator[Offer]:
    path = config.current.startup_dir / all_users.LATEST
    if path.is_file():
        yield Offer("all-users", "all-users", path, path.stat().st_mtime)


def original_path() -> Path:
    """Where the database of the original is put to be offered, with its `backups` beside it."""
    return config.current.data_dir / "original" / "app.db"


def _original() -> Iterator[Offer]:
    path = original_path()
    if path.is_file():
        what = "with its backups" if (path.parent / "backups").is_dir() else ""
        yield Offer("original", "original", path, path.stat().st_mtime, what)


def _libraries() -> Iterator[Offer]:
    backups = config.current.backups_dir
    folders = sorted(backups.iterdir()) if backups.is_dir() else []
    for folder in folders:
        if folder.is_dir() and backup_files.USER_ID.fullmatch(folder.name):
            user_id = folder.name
            verified = [one for one in backup_files.entries(user_id) if one.state == "verified"]
            if verified:
                newest = max(verified, key=_moment)
                path = backup_files.path_of(user_id, newest.filename)
                what = plural(newest.counts.movies, "film") if newest.counts else ""
                yield Offer(user_id, "library", path, newest.created_at, what, user_id)


def _moment(entry: BackupEntry) -> float:
    return entry.created_at or 0

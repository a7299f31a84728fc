"""What a file is that somebody brings to a server without an account, and what it holds; known by
its content. Nothing is taken over here."""

import re
from pathlib import Path

from mm import clock, config
from mm.errors import InvalidError, TooLargeError, UnusableFileError
from mm.schemas.archives import ArchiveContents
from mm.schemas.first_run import Found
from mm.schemas.portable import VERSION
from mm.services import portable, validation
from mm.services.backup import files as backup_files
from mm.services.backup import other_files
from mm.services.portable import Incoming
from mm.services.server import archive_files, archive_uploads
from mm.services.server.first_run import all_users_import, offers, original
from mm.spoken import plural

INVALID_JSON = "Invalid JSON file. Please select a valid backup file."
EMPTY = "This file is empty. Choose another one."
NEITHER = (
    "This isn’t a Movie Manager file. Choose an archive of a server (.zip), an export or a backup "
    "(.json), or the app.db of the original."
)
NO_ACCOUNTS = (
    "This archive holds no accounts, so nobody could log in afterwards. Choose one that has them."
)
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
SQLITE = b"SQLite format 3\0"
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF")
HEAD = 2**16
JSON_NAME = re.compile(r"\.json$", re.IGNORECASE)


def look_at(path: Path, name: str) -> Found:
    """What the file at `path` holds, which was called `name`. Raises InvalidError, or another
    UserError, with a sentence for the field, for what cannot be taken over."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.strip(b"\xef\xbb\xbf \t\r\n\0"):
        raise UnusableFileError(EMPTY)
    if head.startswith(ZIP):
        return _archive(path, name)
    if head.startswith(SQLITE):
        return original.inspect(path, name, backups_beside(path))
    if all_users_import.is_all_users(head):
        try:
            return all_users_import.inspect(path, name)
        except UnusableFileError as error:
            raise _as_json(error) from error
    return _library(path, name, head)


def read_library(path: Path, name: str) -> Incoming:
    """One user's file. Raises UnusableFileError, TooLargeError."""
    is_trusted = path.parent.parent == config.current.backups_dir and backup_files.is_ours(name)
    if path.stat().st_size > portable.FILE_MAX and not is_trusted:
        raise TooLargeError(validation.TOO_LARGE)
    data = path.read_bytes()
    try:
        return portable.read(data, is_trusted)
    except UnusableFileError as error:
        raise UnusableFileError(other_files.recognised(data) or error.message) from error


def backups_beside(path: Path) -> Path | None:
    """The original's folder of backups, where its database lies on the server's disk."""
    folder = path.parent / "backups"
    return folder if path == offers.original_path() and folder.is_dir() else None


def _archive(path: Path, name: str) -> Found:
    """One of this server's own has been tested before; another one is wholly tested here."""
    entry = archive_files.entry(path) if path.parent == archive_files.folder() else None
    if entry and entry.contents and entry.state == "verified":
        moment, version, contents = entry.created_at, entry.app_version, entry.contents
        return _found_archive(name, moment, version, contents, [])
    checked = archive_uploads.validate(path)
    if not checked.valid or checked.contents is None:
        raise UnusableFileError(_why_no_archive(path, checked.message))
    moment = archive_files.moment_of(checked.backup_timestamp or "")
    return _found_archive(name, moment, checked.app_version, checked.contents, checked.warnings)


def _found_archive(
    name: str,
    made_at: float | None,
    version: str | None,
    contents: ArchiveContents,
    warnings: list[str],
) -> Found:
    if not contents.has_database or not contents.users:
        raise UnusableFileError(NO_ACCOUNTS)
    return Found(
        kind="archive",
        source=name,
        made_at=made_at,
        made_by=f"Movie Manager {version}" if version else "Movie Manager",
        users_count=contents.users,
        films=contents.movies,
        warnings=warnings,
    )


def _why_no_archive(path: Path, reason: str) -> str:
    """The list of a ZIP's members is at its end."""
    with path.open("rb") as file:
        start = file.read(HEAD)
        file.seek(max(0, path.stat().st_size - HEAD))
        named = other_files.recognised(start + file.read())
    if named in (other_files.LETTERBOXD, other_files.ZIP):
        return named
    return reason


def _library(path: Path, name: str, head: bytes) -> Found:
    """`head`: the beginning of the file."""
    looks_like_json = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1] in (b"{", b"[")
    if not looks_like_json and not JSON_NAME.search(name):
        raise UnusableFileError(_what_else(head))
    begun = clock.now()
    try:
        incoming = read_library(path, name)
    except UnusableFileError as error:
        raise _as_json(error) from error
    # A file that does not say when it was made is read as one of now.
    made_at = incoming.exported_at if incoming.exported_at < begun else None
    left_out = len(incoming.errors)
    rows = f"{plural(left_out, 'problem')} in its rows. You’ll see each of them after the import."
    return Found(
        kind="library",
        source=name,
        made_at=made_at,
        made_by=f"Movie Manager, in the format of version {VERSION}",
        users_count=1,
        films=sum(film.values.status != "deleted" for film in incoming.films),
        warnings=[*([rows] if left_out else []), *incoming.warnings],
    )


def _what_else(head: bytes) -> str:
    if head.startswith(PICTURES):
        return "This is a picture or a document. " + NEITHER.partition(". ")[2]
    return other_files.recognised(head) or NEITHER


def _as_json(error: InvalidError) -> UnusableFileError:
    return UnusableFileError(f"{INVALID_JSON} {error.message}")

"""All libraries of the server in one file: {"version": 2, "kind": "server", "app_version",
"exported_at", "settings", "users", "left_out"}, one account a line. It holds password hashes.

`backups/startup/backup_latest.json` is the newest, beside it those of other days. An account whose
library cannot be exported is left out, and named in the log; a file that lacks an account never
replaces a complete one.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import mm
from mm import clock, files, log
from mm.errors import ConflictError, InvalidError, NoRoomError, NotFoundError
from mm.models import Job, User
from mm.schemas.all_users import KIND, ServerUser
from mm.schemas.portable import VERSION
from mm.services import portable, problems
from mm.services.backup import policies
from mm.services.server import effective, startup_copies

LATEST = "backup_latest.json"
DATED = re.compile(
    r"backup_\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?P<incomplete>-incomplete)?\.json", re.ASCII
)
KEPT = 5
# The last line of a file from which nobody was left out.
COMPLETE = b'],"left_out":[]}\n'
NO_ACCOUNT = "There is no account yet, so there is nothing to export."
NOBODY = "No library could be exported. The log has the reasons."
INCOMPLETE = "{} is complete and the new export is not, so it was not replaced. The log says why."
PROBLEM = "all-users"


@dataclass
class Export:
    """What a file holds. `films` without deleted ones; `left_out`: the names of accounts."""

    filename: str
    exported_at: float
    users: int = 0
    films: int = 0
    left_out: list[str] = field(default_factory=list)


def write_latest(secrets: bool = False) -> Export | None:
    """Write LATEST and, when anything has changed since the last one, a dated file. None where
    there is no account. Raises NoRoomError, and InvalidError where the disk does not return what
    was written."""
    if not User.select().exists():
        return None
    with startup_copies.holding() as folder:
        latest = folder / LATEST
        with files.draft(folder) as draft:
            export = _write_checked(draft, secrets)
            dated = next(iter(_dated(folder, not export.left_out)), None)
            if dated is None or not _same_but_for_time(dated, draft):
                mark = "-incomplete" if export.left_out else ""
                name = f"backup_{{}}{mark}.json"
                dated = startup_copies.free_path(folder, name, export.exported_at)
                with files.draft(folder) as second:
                    files.link_or_copy(draft, second)
                    os.replace(second, dated)
            if export.left_out and is_complete(latest):
                export.filename = dated.name
            else:
                os.replace(draft, latest)
            files.sync_folder(folder)
        for path in (*_dated(folder, True)[KEPT:], *_dated(folder, False)[KEPT:]):
            path.unlink(missing_ok=True)
    _remember(export)
    return export


def write(path: Path, secrets: bool = False) -> Export:
    """Write the file at `path`. Raises NotFoundError without an account, ConflictError rather than
    replace a complete file by one that lacks an account, and what write_latest raises."""
    if not User.select().exists():
        raise NotFoundError(NO_ACCOUNT)
    with files.draft(path.absolute().parent) as draft:
        export = _write_checked(draft, secrets)
        if export.left_out and is_complete(path):
            raise ConflictError(INCOMPLETE.format(path.name))
        os.replace(draft, path)
        files.sync_folder(path.absolute().parent)
    export.filename = path.name
    return export


def write_to(write_bytes: Callable[[bytes], object], secrets: bool = False) -> Export:
    """Hand the file's lines to `write_bytes` as they are made."""
    if not User.select().exists():
        raise NotFoundError(NO_ACCOUNT)
    export = Export(LATEST, clock.now())
    for line in _lines(export, secrets):
        write_bytes(line)
    return export


def run(_job: Job) -> dict:
    """The work of a job of kind all-users."""
    export = write_latest()
    return {"users": export.users, "films": export.films} if export else {}


def is_complete(path: Path) -> bool:
    """Whether it is an export of ours from which nobody was left out."""
    if not files.is_file(path):
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(COMPLETE)))
        return file.read() == COMPLETE


def _write_checked(draft: Path, secrets: bool) -> Export:
    export, written = Export(LATEST, clock.now()), hashlib.sha256()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for line in _lines(export, secrets):
            written.update(line)
            file.write(line)
        file.flush()
        files.settle(file.fileno())
    if not export.users:
        raise InvalidError(NOBODY)
    _check(draft, written.hexdigest(), export)
    return export


def _lines(export: Export, secrets: bool) -> Iterator[bytes]:
    """One account's library is in memory at a time."""
    head = {
        "version": VERSION,
        "kind": KIND,
        "app_version": mm.__version__,
        "exported_at": export.exported_at,
        "settings": effective.settings_file(secrets).settings,
    }
    yield msgspec.json.encode(head)[:-1] + b',"users":[\n'
    ids = [user_id for (user_id,) in User.select(User.id).order_by(User.username_key).tuples()]
    for user_id in ids:
        user = User.get_or_none(User.id == user_id)
        if user is None:
            # Removed meanwhile.
            continue
        with log.isolated("all_users.left_out", besides=(NoRoomError,), user=user_id) as attempt:
            row, films = _row(user, export.exported_at)
        if attempt.error:
            export.left_out.append(user.username)
            continue
        yield (b",\n" if export.users else b"") + row
        export.users += 1
        export.films += films
    yield b'\n],"left_out":' + msgspec.json.encode(export.left_out) + b"}\n"


def _row(user: User, exported_at: float) -> tuple[bytes, int]:
    library = portable.dump(user.id, exported_at=exported_at)
    row = ServerUser(
        id=user.id,
        username=user.username,
        email=user.email,
        password_hash=user.password_hash,
        is_admin=bool(user.is_admin),
        is_active=bool(user.is_active),
        created_at=user.created_at,
        backup_enabled=bool(user.backup_enabled),
        retention=msgspec.structs.asdict(policies.of(user)),
        library=library,
    )
    films = sum(movie.status != "deleted" for movie in library.movies)
    return msgspec.json.encode(row), films


def _check(path: Path, sha256: str, export: Export) -> None:
    """Raises InvalidError unless the disk returns what was written, and each account can be read
    from it."""
    decoder, read, users = msgspec.json.Decoder(ServerUser), hashlib.sha256(), 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            read.update(line)
            if 0 < number <= export.users:
                decoder.decode(line.rstrip(b",\n"))
                users += 1
    if read.hexdigest() != sha256 or users != export.users:
        raise InvalidError("What was written could not be read back. The disk may be failing.")


def _same_but_for_time(old: Path, new: Path) -> bool:
    with old.open("rb") as one, new.open("rb") as other:
        stamps = None
        for lines in itertools.zip_longest(one, other, fillvalue=b""):
            stamps = stamps or [_stamp(line) for line in lines]
            left, right = (
                line.replace(stamp, b"", 1) for line, stamp in zip(lines, stamps, strict=True)
            )
            if left != right:
                return False
    return True


def _stamp(head: bytes) -> bytes:
    """The time of a file as its first line and each library have it."""
    found = re.search(rb'"exported_at":[0-9.e+]+', head)
    return found[0] if found else b'"exported_at"'


def _dated(folder: Path, complete: bool) -> list[Path]:
    """Newest first."""
    matches = [DATED.fullmatch(path.name) for path in folder.iterdir()]
    names = [match[0] for match in matches if match and bool(match["incomplete"]) != complete]
    return [folder / name for name in sorted(names, reverse=True)]


def _remember(export: Export) -> None:
    if not export.left_out:
        problems.clear(PROBLEM)
        return
    count = len(export.left_out)
    accounts = "1 account" if count == 1 else f"{count:,} accounts"
    problems.put(PROBLEM, f"The export of all libraries leaves out {accounts}. The log says why.")

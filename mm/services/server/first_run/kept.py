"""The one file that waits for its confirmation before anybody has an account: an upload in
`data/tmp/setup`, or one that lies on the server's disk already. What was found in it is beside
it."""

import secrets
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

from mm import clock, config, files, log
from mm.errors import ConflictError, NotFoundError
from mm.schemas.first_run import Found

KEEP_SECONDS = clock.DAY
GONE = "The file is gone. Choose it again."
ANOTHER = "Another file was chosen in the meantime. Check what it holds, then confirm."


class Kept(Struct):
    """`id` names this choice. `user_id`: whose backup it is, where it lies in the folder of one."""

    id: str
    path: str
    found: Found
    kept_at: float
    user_id: str | None = None

    @property
    def file(self) -> Path:
        return Path(self.path)


def folder() -> Path:
    return config.current.tmp_dir / "setup"


def keep_upload(path: Path, found: Found) -> Kept:
    """In place of the one that waited before; the file is moved."""
    choice = secrets.token_hex(8)
    files.make_folder(folder())
    target = folder() / choice
    path.rename(target)
    return _remember(Kept(choice, str(target), found, clock.now()))


def keep_in_place(path: Path, found: Found, user_id: str | None = None) -> Kept:
    """As `keep_upload`, of a file that stays where it is."""
    files.make_folder(folder())
    return _remember(Kept(secrets.token_hex(8), str(path), found, clock.now(), user_id))


def waiting(choice: str | None = None) -> Kept:
    """Raises NotFoundError where no file waits, and ConflictError where it is not this choice."""
    kept = _stored()
    if kept is None or _is_old(kept) or not kept.file.is_file():
        raise NotFoundError(GONE)
    if choice is not None and kept.id != choice:
        raise ConflictError(ANOTHER)
    return kept


def forget() -> None:
    shutil.rmtree(folder(), ignore_errors=True)


def sweep() -> None:
    """A file that nobody confirmed within a day."""
    kept = _stored()
    if kept and _is_old(kept):
        forget()
        log.info("setup.file_expired")


def _is_old(kept: Kept) -> bool:
    return abs(clock.now() - kept.kept_at) > KEEP_SECONDS


def _stored() -> Kept | None:
    try:
        return msgspec.json.decode(_record().read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _remember(kept: Kept) -> Kept:
    files.replace(_record(), msgspec.json.encode(kept))
    for path in folder().iterdir():
        if path != _record() and path != kept.file:
            path.unlink(missing_ok=True)
    return kept


def _record() -> Path:
    return folder() / "found.json"

"""What came of taking over a file, for whoever did it: they cannot log in before they have read
it, so the address itself is the key. One at a time, in `data/first_run.json`."""

import hmac
import secrets
from pathlib import Path

import msgspec
from msgspec import Struct

from mm import clock, config, files
from mm.errors import NotFoundError
from mm.schemas.first_run import TakenOver

TOKEN_BYTES = 32
KEEP_SECONDS = 7 * clock.DAY
UNKNOWN = "There is nothing here, or not any longer: a result is kept for a week."


class _File(Struct):
    token_sha256: str
    done_at: float
    taken: TakenOver


def new_token() -> str:
    """Of the address of one that is to be stored."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def store(taken: TakenOver, token: str) -> None:
    """In place of the one before. Raises NoRoomError."""
    files.replace(_path(), msgspec.json.encode(_File(_digest(token), clock.now(), taken)))


def read(token: str) -> TakenOver:
    """Raises NotFoundError for a token that is not its, and after a week."""
    stored = _stored()
    if stored is None or not hmac.compare_digest(stored.token_sha256, _digest(token)):
        raise NotFoundError(UNKNOWN)
    if abs(clock.now() - stored.done_at) > KEEP_SECONDS:
        raise NotFoundError(UNKNOWN)
    return stored.taken


def sweep() -> None:
    """It names people: after a week it goes."""
    stored = _stored()
    if stored and abs(clock.now() - stored.done_at) > KEEP_SECONDS:
        _path().unlink(missing_ok=True)


def _stored() -> _File | None:
    try:
        return msgspec.json.decode(_path().read_bytes(), type=_File)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _path() -> Path:
    return config.current.data_dir / "first_run.json"


def _digest(token: str) -> str:
    return files.digest(token.encode())

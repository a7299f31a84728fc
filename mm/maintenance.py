"""While the whole server is restored nobody writes: one file in the data folder says so to every
process. Reads go on.

From `begin` on nothing new is begun: requests that change something are refused, and no job is
claimed. What runs already may end. From `close` on every write is refused.
"""

import contextlib
import json
from collections.abc import Iterator
from contextvars import ContextVar

from mm import clock, config, files
from mm.errors import UnavailableError

RETRY_SECONDS = 10
RESTORING = "The server is being restored. Nothing can be saved meanwhile: try again in a minute."
RESTORED = "The server has just been restored. Try again."
_is_exempt: ContextVar[bool] = ContextVar("maintenance_is_exempt", default=False)


class MaintenanceError(UnavailableError):
    """`retry_after` is in seconds."""

    retry_after = RETRY_SECONDS

    def __init__(self, message: str = RESTORING) -> None:
        super().__init__(message)


class RestoredError(MaintenanceError):
    """The data was replaced since this connection was opened: what was read from it before does
    not go with what would be read now."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__(RESTORED)


def begin(restore_id: str) -> None:
    _write(restore_id, is_closed=False)


def close(restore_id: str) -> None:
    _write(restore_id, is_closed=True)


def end() -> None:
    path = config.current.maintenance_file
    path.unlink(missing_ok=True)
    files.sync_folder(path.parent)


def is_on() -> bool:
    return config.current.maintenance_file.exists()


def require_off() -> None:
    """For writes. Raises MaintenanceError from `close` on, but not within `exempt`."""
    if not _is_exempt.get() and _is_closed():
        raise MaintenanceError


@contextlib.contextmanager
def exempt() -> Iterator[None]:
    """For the restore itself, and for the worker's heartbeat: this thread may write."""
    token = _is_exempt.set(True)
    try:
        yield
    finally:
        _is_exempt.reset(token)


def _is_closed() -> bool:
    try:
        content = json.loads(config.current.maintenance_file.read_bytes())
        return content["is_closed"]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError):
        # Somebody made it by hand, perhaps as root.
        return True


def _write(restore_id: str, is_closed: bool) -> None:
    path = config.current.maintenance_file
    content = {"id": restore_id, "since": clock.now(), "is_closed": is_closed}
    files.replace(path, json.dumps(content).encode())

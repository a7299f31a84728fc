"""While the whole server is restored nobody writes: one file in the data folder says so to every
process. Reads go on."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from mm import config
from mm.errors import UnavailableError

RETRY_SECONDS = 10
RESTORING = "The server is being restored. Nothing can be saved meanwhile: try again in a minute."
_is_exempt: ContextVar[bool] = ContextVar("maintenance_is_exempt", default=False)


class MaintenanceError(UnavailableError):
    retry_after = RETRY_SECONDS

    def __init__(self) -> None:
        super().__init__(RESTORING)


def is_on() -> bool:
    return config.current.maintenance_file.exists()


def require_off() -> None:
    """Raises MaintenanceError while the server is restored, but not within `exempt`."""
    if not _is_exempt.get() and is_on():
        raise MaintenanceError


@contextlib.contextmanager
def exempt() -> Iterator[None]:
    """For the restore itself, and for the worker's heartbeat: this thread may write."""
    token = _is_exempt.set(True)
    try:
        yield
    finally:
        _is_exempt.reset(token)

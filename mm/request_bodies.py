"""Request bodies as gunicorn hands them over, with what it leaves to the application: a body that
trickles ends after a while, one that is cut off is not taken for a whole one, and one that is
badly framed is the sender's mistake and not an error of the server."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable

from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest, ClientDisconnected, HTTPException, RequestTimeout
from werkzeug.wsgi import get_content_length

GRACE_SECONDS = 30
# Bytes a second: what a body must make after that.
SLOWEST = 16 * 2**10
PART = 2**16


class Body(io.RawIOBase):
    """`wsgi.input` of a request. Reading raises RequestTimeout, ClientDisconnected, BadRequest."""

    def __init__(self, environ: dict):
        super().__init__()
        self._raw = environ["wsgi.input"]
        self._socket: socket.socket = environ["gunicorn.socket"]
        self._expected = get_content_length(environ)
        self._taken = 0
        self._timer: threading.Timer | None = None
        self._started = 0.0
        self._grace: float = GRACE_SECONDS
        self._is_watched = False
        self._is_cut = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._is_watched and self._taken != self._expected:
            self._is_watched, self._started = True, time.monotonic()
            self._wake_in(self._grace)
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._taken += len(data)
        if not data or self._taken == self._expected:
            self.stop_watching()
        if not data and self._taken < (self._expected or 0):
            raise ClientDisconnected()
        return len(data)

    def drop(self, seconds: float) -> None:
        """Read what is left and forget it, for so long at most."""
        self.stop_watching()
        self._grace, self._taken = seconds, 0
        with contextlib.suppress(HTTPException):
            while self.read(PART):
                self._taken = 0

    def stop_watching(self) -> None:
        self._is_watched = False
        if self._timer:
            self._timer.cancel()

    def _read(self, size: int) -> bytes:
        try:
            data = self._raw.read(size)
        except (OSError, ParseException) as error:
            if not self._is_cut:
                raise BadRequest("The body of the request is not framed as HTTP asks.") from error
            data = b""
        if self._is_cut:
            raise RequestTimeout("The body of the request took too long to arrive.")
        return data

    def _wake_in(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut_if_late)
        self._timer.daemon = True
        self._timer.start()

    def _cut_if_late(self) -> None:
        """Closing one direction wakes the thread that waits for more, and it can still answer."""
        left = self._started + self._grace + self._taken / SLOWEST - time.monotonic()
        if not self._is_watched:
            return
        if left > 0:
            self._wake_in(left)
            return
        self._is_cut = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)


def guarded(wsgi_app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """`wsgi_app` with a Body for each request under gunicorn; elsewhere as it is."""

    def application(environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "gunicorn.socket" not in environ:
            return wsgi_app(environ, start_response)
        body = environ["wsgi.input"] = Body(environ)
        try:
            return wsgi_app(environ, start_response)
        finally:
            body.stop_watching()

    return application

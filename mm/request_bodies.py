"""Request bodies under gunicorn, which leaves this to the application: a body that arrives too
slowly is ended, one that is cut off is not mistaken for a whole one, and bad framing is the
client's error (400) and not the server's."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable

from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest, ClientDisconnected, HTTPException, RequestTimeout
from werkzeug.wsgi import get_content_length

# A body may take so long, and then longer the more of it has arrived.
GRACE_SECONDS = 30
BYTES_PER_SECOND_MIN = 16 * 2**10
CHUNK_BYTES = 2**16
# How long the rest of a body that nobody read is waited for.
UNREAD_SECONDS = 1


class Body(io.RawIOBase):
    """The `wsgi.input` of a request. Reading raises RequestTimeout, ClientDisconnected or
    BadRequest."""

    def __init__(self, environ: dict):
        super().__init__()
        self._raw = environ["wsgi.input"]
        self._socket: socket.socket = environ["gunicorn.socket"]
        self._expected = get_content_length(environ)
        self._received = 0
        self._timer: threading.Timer | None = None
        self._started = 0.0
        self._grace: float = GRACE_SECONDS
        self._is_watched = False
        self._is_cut = False
        self._is_read = not self._expected and "HTTP_TRANSFER_ENCODING" not in environ

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._is_watched and self._received != self._expected:
            self._is_watched, self._started = True, time.monotonic()
            self._check_in(self._grace)
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._received += len(data)
        if not data or self._received == self._expected:
            self._is_read = True
            self.stop_watching()
        if not data and self._received < (self._expected or 0):
            raise ClientDisconnected()
        return len(data)

    def drain(self, seconds: float) -> None:
        """Read the rest and throw it away, for so long at most."""
        self.stop_watching()
        self._grace, self._received = seconds, 0
        with contextlib.suppress(HTTPException):
            while self.read(CHUNK_BYTES):
                # So that what arrives earns no more time.
                self._received = 0

    def end(self) -> None:
        """After the view. What nobody read is waited for here, in a thread of this request, and
        shortly: gunicorn would wait for it in the one thread that serves all connections, and a few
        clients that never send their bodies would stop the server."""
        self.stop_watching()
        if not self._is_read:
            self.drain(UNREAD_SECONDS)

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

    def _check_in(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut_if_late)
        self._timer.daemon = True
        self._timer.start()

    def _cut_if_late(self) -> None:
        allowed = self._grace + self._received / BYTES_PER_SECOND_MIN
        left = self._started + allowed - time.monotonic()
        if not self._is_watched:
            return
        if left > 0:
            self._check_in(left)
            return
        self._is_cut = True
        # Wakes the thread that waits for more, which can still answer.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)


def guarded(wsgi_app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """`wsgi_app` with a Body for each request under gunicorn; unchanged under other servers."""

    def application(environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "gunicorn.socket" not in environ:
            return wsgi_app(environ, start_response)
        body = environ["wsgi.input"] = Body(environ)
        try:
            return wsgi_app(environ, start_response)
        finally:
            body.end()

    return application

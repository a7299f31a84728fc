"""Changes of a user's own library over a WebSocket: `GET /ws/sync`.

Each open connection holds one of the server's threads, so their number is limited, in all and for
one user; any others get 404 and poll the feed instead, or try again later. (Closing the oldest
connection instead would only make it come back and close another.) The token comes in the query,
because a browser can send no header with a WebSocket; the query is not logged.
"""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable

from flask import Blueprint, Flask, abort, g, request
from flask_login import current_user
from flask_sock import Sock
from peewee import DatabaseError, InterfaceError
from simple_websocket import ConnectionClosed, Server
from werkzeug.exceptions import HTTPException
from wsproto.frame_protocol import CloseReason

from mm import auth, log
from mm.api import errors
from mm.database import db
from mm.errors import ForbiddenError, UnauthenticatedError, UnavailableError, UserError
from mm.models import User
from mm.services.sync import live

# gunicorn.conf.py adds up what may hold its threads.
CONNECTIONS = 12
PER_USER = 6
# Messages of clients are ignored; a long one is a mistake or worse.
MESSAGE_BYTES = 1024
LOOK_SECONDS = 1.0
# How long a stopping server waits for a connection at most.
STOP_SECONDS = 0.5
# A client that has vanished is noticed by the missing answer.
PING_SECONDS = 25

bp = Blueprint("live", __name__)
bp.register_error_handler(UserError, errors.show_user_error)
bp.register_error_handler(HTTPException, errors.show_http_error)
sock = Sock()


class _Process:
    """This process: the gunicorn worker that it is (see gunicorn.conf.py), without which it never
    stops, and its open connections by user."""

    def __init__(self) -> None:
        self.worker = None
        self.connections = CONNECTIONS
        self._open: Counter[str] = Counter()
        self._guard = threading.Lock()

    @property
    def is_stopping(self) -> bool:
        return self.worker is not None and not self.worker.alive

    def acquire(self, user_id: str) -> bool:
        with self._guard:
            if self._open.total() >= self.connections or self._open[user_id] >= PER_USER:
                return False
            self._open[user_id] += 1
            return True

    def release(self, user_id: str) -> None:
        with self._guard:
            self._open -= Counter({user_id: 1})


process = _Process()


def serve_in(worker, threads: int) -> None:
    """Called by gunicorn when its worker has started."""
    process.worker = worker
    process.connections = min(CONNECTIONS, max(1, threads // 2))


def init_app(app: Flask) -> None:
    limits = {"ping_interval": PING_SECONDS, "max_message_size": MESSAGE_BYTES}
    app.config["SOCK_SERVER_OPTIONS"] = limits
    app.register_blueprint(bp)


@bp.before_request
def acquire_connection() -> None:
    """Before the handshake, after which no status can be sent."""
    if token := request.args.get("token"):
        user = auth.account_of(token)
        if user is not None and not isinstance(user, User):
            raise ForbiddenError(
                "The admin token has no library of its own. Log in with an account."
            )
    # Pages of other sites could use the session too, so it counts only with our own Origin.
    elif current_user.is_authenticated and auth.origin_is_ours():
        user = auth.account()
    else:
        user = None
    if user is None:
        raise UnauthenticatedError("Not authenticated")
    g.listener = user
    if not process.acquire(user.id):
        abort(404)
    g.has_connection = True
    # A change that is made as soon as the client is connected must not be missed.
    g.cursor = live.cursor(user.id, user.token_version)


@bp.teardown_request
def release_connection(_error: BaseException | None) -> None:
    if g.pop("has_connection", False):
        process.release(g.listener.id)


@sock.route("/ws/sync", bp=bp)
def send_changes(ws: Server) -> None:
    user = g.listener
    # Our own pages send the version of the library that they show, and get the new one with each
    # event.
    since = request.args.get("since", type=int)
    try:
        cursor = g.cursor
        if cursor is not None and since not in (None, cursor.library_version):
            _send(ws, live.EVERYTHING, {"version": cursor.library_version})
        while cursor is not None and not _wait(ws):
            events, cursor = live.events_since(user.id, user.token_version, cursor)
            # No connection to the database stays open between two looks.
            db.close()
            if cursor is not None:
                _send(ws, events, {} if since is None else {"version": cursor.library_version})
    except UnavailableError as problem:
        # The whole server was restored between two looks.
        _hang_up(ws, CloseReason.TRY_AGAIN_LATER, problem.message)
    except (DatabaseError, InterfaceError) as problem:
        # The handler for all requests would send an answer that nobody could read.
        code = log.unexpected("live.failed", problem, user=user.id)
        _hang_up(ws, CloseReason.INTERNAL_ERROR, f"Something went wrong ({code}).")
    finally:
        _hang_up(ws)


def _send(ws: Server, events: Iterable[dict], extra: dict) -> None:
    for event in events:
        ws.send(json.dumps({**event, **extra}))


def _hang_up(ws: Server, reason: CloseReason | None = None, message: str | None = None) -> None:
    """Also shuts the socket down: else its reading thread would wait for the next ping, and the end
    of the process for that thread."""
    with contextlib.suppress(ConnectionClosed, OSError):
        ws.close(reason, message)
    with contextlib.suppress(OSError):
        ws.sock.shutdown(socket.SHUT_RDWR)
    ws.thread.join(STOP_SECONDS)


def _wait(ws: Server) -> bool:
    """Wait for the next look; True when the server stops meanwhile. Messages of the client are read
    and ignored, and do not shorten the wait."""
    until = time.monotonic() + LOOK_SECONDS
    while not process.is_stopping and (left := until - time.monotonic()) > 0:
        ws.receive(timeout=min(STOP_SECONDS, left))
    return process.is_stopping

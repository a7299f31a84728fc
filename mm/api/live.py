"""News of one's own library over a WebSocket: `GET /ws/sync`.

Each open connection holds one of the server's threads, so only some are given away, and few to one
user; whoever comes later gets 404 and asks the feed instead, or tries again later. (To end the
oldest connection instead would only make it come back and end another.) The token comes in the
query, because a browser can send no header with a WebSocket; the query is written to no log.
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
from mm.errors import ForbiddenError, UnauthenticatedError, UserError
from mm.models import User
from mm.services.sync import live

# gunicorn.conf.py adds up what may hold its threads.
CONNECTIONS = 12
PER_USER = 6
# What a client says has no meaning, so that a long message is a mistake or worse.
MESSAGE_BYTES = 1024
LOOK_SECONDS = 1.0
# How long a stop of the server waits for a connection at most.
STEP_SECONDS = 0.5
# Clients that vanished without a word are noticed by the missing answer.
PING_SECONDS = 25

bp = Blueprint("live", __name__)
bp.register_error_handler(UserError, errors.show_user_error)
bp.register_error_handler(HTTPException, errors.show_http_error)
sock = Sock()


class _Process:
    """What gunicorn tells of this process: see gunicorn.conf.py. Without it nothing ends. And the
    open connections, by user."""

    def __init__(self) -> None:
        self.worker = None
        self.connections = CONNECTIONS
        self._open: Counter[str] = Counter()
        self._guard = threading.Lock()

    @property
    def is_stopping(self) -> bool:
        return self.worker is not None and not self.worker.alive

    def take(self, user_id: str) -> bool:
        with self._guard:
            if self._open.total() >= self.connections or self._open[user_id] >= PER_USER:
                return False
            self._open[user_id] += 1
            return True

    def leave(self, user_id: str) -> None:
        with self._guard:
            self._open -= Counter({user_id: 1})


process = _Process()


def serve_in(worker, threads: int) -> None:
    """Called by gunicorn once its worker is up."""
    process.worker = worker
    process.connections = min(CONNECTIONS, max(1, threads // 2))


def init_app(app: Flask) -> None:
    limits = {"ping_interval": PING_SECONDS, "max_message_size": MESSAGE_BYTES}
    app.config["SOCK_SERVER_OPTIONS"] = limits
    app.register_blueprint(bp)


@bp.before_request
def take_a_seat() -> None:
    """Before the handshake, after which no status can be answered."""
    g.listener = _listener()
    if not process.take(g.listener.id):
        abort(404)
    g.has_seat = True


@bp.teardown_request
def leave(_error: BaseException | None) -> None:
    if g.pop("has_seat", False):
        process.leave(g.listener.id)


@sock.route("/ws/sync", bp=bp)
def tell(ws: Server) -> None:
    user = g.listener
    # Our own pages say which library they show, and are told with each event which it is now.
    since = request.args.get("since", type=int)
    try:
        cursor = live.cursor(user.id, user.token_version)
        if cursor is not None and since not in (None, cursor.library_version):
            _send(ws, live.EVERYTHING, {"version": cursor.library_version})
        while cursor is not None and not _waited(ws):
            events, cursor = live.events_since(user.id, user.token_version, cursor)
            # Between two looks nothing is held open.
            db.close()
            if cursor is not None:
                _send(ws, events, {} if since is None else {"version": cursor.library_version})
    except (DatabaseError, InterfaceError) as problem:
        # Here and not in the handler for all requests, whose answer nobody could read.
        code = log.unexpected("live.failed", problem, user=user.id)
        _hang_up(ws, CloseReason.INTERNAL_ERROR, f"Something went wrong ({code}).")
    finally:
        _hang_up(ws)


def _send(ws: Server, events: Iterable[dict], more: dict) -> None:
    for event in events:
        ws.send(json.dumps({**event, **more}))


def _hang_up(ws: Server, reason: CloseReason | None = None, words: str | None = None) -> None:
    """Its reading thread would wait for the next ping, and the end of the process for that thread."""
    with contextlib.suppress(ConnectionClosed, OSError):
        ws.close(reason, words)
    with contextlib.suppress(OSError):
        ws.sock.shutdown(socket.SHUT_RDWR)
    ws.thread.join(STEP_SECONDS)


def _waited(ws: Server) -> bool:
    """True when the server stops meanwhile. What a client says is read and of no meaning, and makes
    the wait no shorter."""
    until = time.monotonic() + LOOK_SECONDS
    while not process.is_stopping and (left := until - time.monotonic()) > 0:
        ws.receive(timeout=min(STEP_SECONDS, left))
    return process.is_stopping


def _listener() -> User:
    """By the token; or by the session of a page, which another site's page could use as well, so
    that it counts only from our own."""
    if token := request.args.get("token"):
        user = auth.account_of(token)
        if isinstance(user, User):
            return user
        if user is not None:
            raise ForbiddenError(
                "The admin token has no library of its own. Log in with an account."
            )
    elif current_user.is_authenticated and auth.origin_is_ours():
        return auth.account()
    raise UnauthenticatedError("Not authenticated")

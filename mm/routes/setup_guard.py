"""While nobody has an account every page leads to the set-up, which is only for whoever runs the
server; once somebody has one, there is no set-up."""

import contextlib
import hashlib
import hmac
import re
from ipaddress import IPv6Address, ip_address

from flask import Flask, Response, current_app, request, session, url_for
from peewee import DatabaseError, InterfaceError

from mm import auth, config, htmx, server_errors
from mm.errors import InvalidError, NotFoundError
from mm.schemas import Problem
from mm.services import accounts
from mm.services.server.first_run import code

ADDRESS = "/setup"
# The API answers programs; the others are the same for everybody.
OTHERS = ("/api", "/static", "/docs", "/style", "/restored", "/welcome")
# What proxies add to a request that they pass on, as the environ of WSGI names it.
PASSED_ON = re.compile(
    "HTTP_(FORWARDED.*|VIA|CF_.*|X_(FORWARDED|REAL|ORIGINAL|PROXY)_.*|X_FORWARDED|.*CLIENT_IP)"
)
OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d*)?", re.IGNORECASE | re.ASCII)
ASKING = ("setup.index", "setup.check_code")
SESSION_KEY = "setup"
NO_PAGE = "This page doesn’t exist."
WRONG_CODE = "That isn’t the code. Copy it from the server’s terminal."
WRONG_TOKEN = "That isn’t the server’s admin token."


def init_app(app: Flask) -> None:
    app.before_request(_lead)


def is_open() -> bool:
    """Whether this browser may set up the server."""
    return _opens_unasked() or hmac.compare_digest(str(session.get(SESSION_KEY, "")), _mark())


def _opens_unasked() -> bool:
    """Whether the browser runs on the server's own machine, as far as that can be known. All of it
    is judged as it arrived, and a server that is told of a proxy always asks."""
    environ = request.environ
    return (
        not config.current.admin_token
        and not config.current.trusted_proxies
        and _is_loopback(environ.get("REMOTE_ADDR", ""))
        and not any(PASSED_ON.fullmatch(name) for name in environ)
        and _comes_as_from_a_browser(environ)
        and OWN_HOST.fullmatch(environ.get("HTTP_HOST", "")) is not None
    )


def check_answer(text: str) -> None:
    """Let this browser in for the right code, or ADMIN_TOKEN where that is set. Raises InvalidError
    and TooManyRequestsError."""
    token = config.current.admin_token
    with auth.count_failures("setup", "setup"):
        if token:
            is_right = hmac.compare_digest(text.strip().encode(errors="replace"), token.encode())
        else:
            is_right = code.matches(text)
        if not is_right:
            words = WRONG_TOKEN if token else WRONG_CODE
            raise InvalidError(words, [Problem("code", words)])
    session[SESSION_KEY] = _mark()


def _lead() -> Response | None:
    is_setup = _is_below(ADDRESS)
    if not is_setup and (request.routing_exception or any(map(_is_below, OTHERS))):
        return None
    try:
        is_set_up = accounts.exist()
    except (DatabaseError, InterfaceError) as error:
        if is_setup:
            auth.ask_nobody()
            raise server_errors.no_answer(error) from error
        # The page says so itself, where it needs the database.
        return None
    if is_set_up:
        # Accounts also come by a restore and from the command line.
        with contextlib.suppress(OSError):
            code.forget()
    if is_setup and is_set_up:
        raise NotFoundError(NO_PAGE)
    is_let_in = request.endpoint in ASKING or (is_setup and is_open())
    return None if is_set_up or is_let_in else htmx.go(url_for("setup.index"))


def _is_below(folder: str) -> bool:
    return request.path == folder or request.path.startswith(f"{folder}/")


def _mark() -> str:
    """What the session of a browser holds that gave the right answer: another code, or the key of
    another server, makes it worth nothing."""
    key = str(current_app.config["SECRET_KEY"]).encode()
    answer = config.current.admin_token or code.ensure()
    return hmac.new(key, f"setup {answer}".encode(), hashlib.sha256).hexdigest()


def _comes_as_from_a_browser(environ: dict) -> bool:
    """nginx that is told no more than `proxy_pass http://127.0.0.1:8000` adds no header and sends
    that address as Host. But it speaks HTTP/1.0 or closes each connection, or is told to ask for
    another protocol; browsers do none of that here."""
    keeps_connection = environ.get("HTTP_CONNECTION", "keep-alive").lower() == "keep-alive"
    return environ.get("SERVER_PROTOCOL") == "HTTP/1.1" and keeps_connection


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_loopback

"""Who is asking: sessions for pages, bearer tokens for /api, and the check that a form came from
our own pages.

A session counts only outside /api and a token only inside it, so a foreign site can neither use a
browser's session on the API nor plant a token in a page.
"""

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import wraps
from urllib.parse import urlsplit

import jwt
from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_login import (
    AnonymousUserMixin,
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from jwt.types import Options
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from peewee import DatabaseError, InterfaceError, fn
from werkzeug.middleware.proxy_fix import ProxyFix

from mm import clock, config, log, login_limits, models
from mm.database import fold
from mm.errors import ForbiddenError, UnauthenticatedError, UnavailableError, UserError
from mm.models import User
from mm.services import accounts

LOG_IN_SECONDS = accounts.LOG_IN_SECONDS
ADMIN_SECONDS = 12 * 3600
ADMINISTRATOR = "administrator"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# In a session: what log-out writes down to end it.
SESSION_KEY = "key"


class TokenAdministrator(UserMixin):
    """Who logged in with ADMIN_TOKEN: may administer, and has no library."""

    id = None
    is_admin = True


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        """The same server is often reached by https through a proxy and by plain http at home."""
        return request.is_secure

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Static files are the same for everybody: `Vary: Cookie` would fetch them anew after a
        log-in."""
        if request.endpoint != "static":
            super().save_session(app, session, response)


def init_app(app: Flask) -> None:
    app.config.update(
        SESSION_COOKIE_NAME="mm_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=LOG_IN_SECONDS),
        # No cookie can have this name. A remembered log-in is a session that outlives the browser:
        # flask-login's own cookie never expires on the server, hides a bearer token, and fails on a
        # value outside ASCII.
        REMEMBER_COOKIE_NAME=";",
    )
    app.session_interface = _Sessions()
    app.extensions["failed_log_ins"] = MovingWindowRateLimiter(MemoryStorage())
    manager = LoginManager(app)
    manager.session_protection = None
    manager.user_loader(_load_from_session)
    manager.request_loader(_load_from_token)
    manager.unauthorized_handler(_refuse_anonymous)
    app.before_request(_require_same_origin)
    if proxies := config.current.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]


def is_api() -> bool:
    return request.path == "/api" or request.path.startswith("/api/")


def is_logged_in() -> bool:
    """For what comes after the answer: where that cannot be found out, no."""
    try:
        return current_user.is_authenticated
    except UnavailableError:
        return False


def account() -> User:
    """The account that is asking. Raises ForbiddenError for an administrator who came with ADMIN_TOKEN."""
    if current_user.id is None:
        raise ForbiddenError("The admin token has no library of its own. Log in with an account.")
    return current_user._get_current_object()


def admin_required(view: Callable) -> Callable:
    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        if not current_user.is_admin:
            raise ForbiddenError("Only an administrator may do this.")
        return view(*args, **kwargs)

    return guarded


def attempt_log_in(name: str, password: str) -> User:
    """The account of this e-mail address or user name, and password. Raises UnauthenticatedError, or
    TooManyRequestsError (see `attempts.counted`); an unknown name is answered in the same time and words."""
    known = models.user_by_name(name)
    # One account, whichever of its names is used.
    key = f"account {known.id}" if known else f"name {fold(name)[:254]}"
    with _counting_failures(key, known.id if known else None):
        user = accounts.log_in(name, password)
        if user is None:
            raise UnauthenticatedError("Incorrect email or password")
    return user


def confirm_password(user: User, password: str) -> None:
    """Before a change to the account. Raises UserError or TooManyRequestsError: 401 would say that the log-in
    itself is bad."""
    with _counting_failures(f"account {user.id}", user.id):
        if accounts.log_in(user.email, password) is None:
            raise UserError("The current password is incorrect")


def log_in(user: User, remember: bool = False) -> None:
    """Start a session of this browser, ending any other; `remember` keeps it for 30 days."""
    session.clear()
    session.permanent = remember
    session[SESSION_KEY] = secrets.token_urlsafe(16)
    login_user(user)


def log_out() -> None:
    """End this session on the server, so that a copy of its cookie is worth nothing either. This
    browser is logged out in any case, also where the database is full, busy or gone."""
    key = session.get(SESSION_KEY)
    # First, because without it nobody has to be looked up.
    session.clear()
    logout_user()
    if key:
        try:
            accounts.end_session(key)
        except (DatabaseError, InterfaceError) as error:
            log.unexpected("session.not_ended", error)


def issue_token(user: User) -> str:
    """For `Authorization: Bearer`, good for 30 days or until the account's token_version is raised."""
    return _encode(user.id, user.token_version, LOG_IN_SECONDS)


def issue_admin_token(admin_token: str) -> str:
    """Good for 12 hours or until ADMIN_TOKEN is changed. Raises UnauthenticatedError, TooManyRequestsError, or
    UnavailableError where ADMIN_TOKEN is unset."""
    if not config.current.admin_token:
        raise UnavailableError("ADMIN_TOKEN is not set on this server")
    with _counting_failures("admin token", ADMINISTRATOR):
        if not hmac.compare_digest(admin_token.encode(), config.current.admin_token.encode()):
            raise UnauthenticatedError("Invalid admin token")
    return _encode(ADMINISTRATOR, _admin_version(), ADMIN_SECONDS)


def local_path(target: str | None, default: str = "/") -> str:
    """`target` when it is a path of this site, else `default`.

    Browsers read a backslash as a slash and drop tabs and line ends, so `/\\evil` and `/<tab>/evil`
    leave the site.
    """
    if not target or not target.startswith("/") or "\\" in target or not target.isprintable():
        return default
    return default if target.startswith("//") or urlsplit(target).netloc else target


def _load_from_session(session_id: str) -> User | None:
    if is_api():
        return None
    user_id, _, version = session_id.rpartition(":")
    user = _active_account(user_id, int(version), session.get(SESSION_KEY))
    if user is None:
        # A session that is changed gets a new cookie, which would outlive the mark of its end.
        session.clear()
    return user


def _load_from_token(incoming: Request) -> User | TokenAdministrator | None:
    scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
    if not is_api() or scheme.lower() != "bearer":
        return None
    return account_of(token.strip())


def account_of(token: str) -> User | TokenAdministrator | None:
    """Whose token this is; None for one that is not ours, has expired or was ended."""
    claims = _decode(token)
    if claims is None:
        return None
    if claims["sub"] == ADMINISTRATOR:
        return TokenAdministrator() if claims["ver"] == _admin_version() else None
    return _active_account(claims["sub"], claims["ver"])


def _active_account(
    user_id: str,
    token_version: int,
    session_key: str | None = None,
) -> User | None:
    """None would be shown as a bad log-in, so a database that does not answer raises UnavailableError."""
    found = User.select().where(User.id == user_id, User.token_version == token_version)
    found = found.where(User.is_active)
    if session_key is not None:
        found = found.where(~fn.EXISTS(accounts.ended_sessions(session_key)))
    try:
        return found.first()
    except (DatabaseError, InterfaceError) as error:
        # The error page asks again who is there.
        g._login_user = AnonymousUserMixin()
        raise UnavailableError(
            "The database does not answer right now. Try again in a minute."
        ) from error


def _refuse_anonymous():
    raise UnauthenticatedError("Not authenticated")


def _require_same_origin() -> None:
    """Browsers on plain http outside localhost send no Sec-Fetch-Site; for them the Origin must be
    ours."""
    if request.method in SAFE_METHODS or is_api():
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is None:
        own = origin_is_ours()
    else:
        own = site in ("same-origin", "none")
    if not own:
        raise ForbiddenError("We couldn’t verify this request. Reload the page and try again.")


def origin_is_ours() -> bool:
    return request.headers.get("Origin", "").lower() == request.host_url.rstrip("/").lower()


@contextlib.contextmanager
def _counting_failures(account_key: str, user_id: str | None) -> Iterator[None]:
    """Count what ends in a UserError, and log it. `user_id` is None for an unknown name."""
    network = login_limits.network_of(request.remote_addr)
    limiter: MovingWindowRateLimiter = current_app.extensions["failed_log_ins"]
    with login_limits.counted(limiter, account_key, network):
        try:
            yield
        except UserError:
            log.warning("login.refused", **({"user": user_id} if user_id else {}), network=network)
            raise


def _encode(subject: str, version: int | str, seconds: int) -> str:
    claims = {"sub": subject, "ver": version, "exp": int(clock.now()) + seconds}
    return jwt.encode(claims, current_app.config["SECRET_KEY"], algorithm="HS256")


def _decode(token: str) -> dict | None:
    """The claims of a token of ours that has not expired, by our own clock."""
    options: Options = {"verify_exp": False, "verify_iat": False, "require": ["sub", "ver", "exp"]}
    try:
        key = current_app.config["SECRET_KEY"]
        claims = jwt.decode(token, key, algorithms=["HS256"], options=options)
    except jwt.InvalidTokenError:
        return None
    return claims if claims["exp"] > clock.now() else None


def _admin_version() -> str:
    """Changes with ADMIN_TOKEN, so that a new one ends what was issued for the old one."""
    key = current_app.config["SECRET_KEY"].encode()
    return hmac.new(key, config.current.admin_token.encode(), hashlib.sha256).hexdigest()

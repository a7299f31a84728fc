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

from mm import clock, config, log, login_limits, models, server_errors
from mm.database import fold
from mm.errors import (
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
    UserError,
)
from mm.models import AccountLink, ListShare, User
from mm.services import account_links, accounts
from mm.services.library import shares

LOG_IN_SECONDS = accounts.LOG_IN_SECONDS
ADMIN_SECONDS = 12 * clock.HOUR
ADMINISTRATOR = "administrator"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Under this name a session holds the key by which log-out ends it.
SESSION_KEY = "key"
login_manager = LoginManager()
login_manager.session_protection = None


class TokenAdministrator(UserMixin):
    """Logged in with ADMIN_TOKEN: may manage the server, and has no library."""

    id = None
    is_admin = True


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        # The same server is often reached by https through a proxy and by plain http at home.
        return request.is_secure

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        # With the `Vary: Cookie` of a session, browsers would fetch static files anew after each
        # log-in.
        if request.endpoint != "static":
            super().save_session(app, session, response)


def init_app(app: Flask) -> None:
    app.config.update(
        SESSION_COOKIE_NAME="mm_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=LOG_IN_SECONDS),
        # Switches flask-login's own cookie off, because no cookie can have this name: "Remember me"
        # is a permanent session here. Never setting that cookie is not enough: flask-login reads
        # one that another site on this host has set, ignores the bearer token then, and fails where
        # it is not ASCII.
        REMEMBER_COOKIE_NAME=";",
    )
    app.session_interface = _Sessions()
    app.extensions["failed_log_ins"] = MovingWindowRateLimiter(MemoryStorage())
    login_manager.init_app(app)
    app.before_request(_require_same_origin)
    if proxies := config.current.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]


def is_api() -> bool:
    return request.path == "/api" or request.path.startswith("/api/")


def is_logged_in() -> bool:
    """False also when the database cannot tell; for what runs after an answer was made."""
    try:
        return current_user.is_authenticated
    except UnavailableError:
        return False


def ask_nobody() -> None:
    """For a page that is the same for everybody, and is shown while the database does not
    answer: this request has no account."""
    g._login_user = AnonymousUserMixin()


def account() -> User:
    """The account of this request. Raises ForbiddenError for a TokenAdministrator, who has none."""
    if current_user.id is None:
        raise ForbiddenError("The admin token has no library of its own. Log in with an account.")
    return current_user._get_current_object()


def account_required(view: Callable) -> Callable:
    """For views about a user's own data: 401 without a log-in, 403 for ADMIN_TOKEN, which has no
    library."""

    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        account()
        return view(*args, **kwargs)

    return guarded


def admin_required(view: Callable) -> Callable:
    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        if not current_user.is_admin:
            raise ForbiddenError("Only an administrator may do this.")
        return view(*args, **kwargs)

    return guarded


def attempt_log_in(name: str, password: str) -> User:
    """The account with this email address or username, and password. Raises UnauthenticatedError,
    for an unknown name in the same time and words, or TooManyRequestsError (see login_limits)."""
    candidate = models.user_by_name(name)
    # The same key for both names of an account.
    key = f"account {candidate.id}" if candidate else f"name {fold(name)[:254]}"
    with count_failures(key, candidate.id if candidate else None):
        user = accounts.log_in(name, password)
        if user is None:
            raise UnauthenticatedError("Incorrect email or password")
    return user


def confirm_password(user: User, password: str) -> None:
    """Check the password again before the account is changed. Raises UserError or
    TooManyRequestsError."""
    with count_failures(f"account {user.id}", user.id):
        if accounts.log_in(user.email, password) is None:
            # Not 401, which would mean that the session or the token is bad.
            raise UserError("The current password is incorrect")


def open_link(token: str, kind: str) -> AccountLink:
    """The link of this token (see account_links). Raises NotFoundError, and TooManyRequestsError
    where one network has tried many that are not valid: no guess is ever right, but none is free
    either. Log-ins are counted by themselves."""
    network = login_limits.network_of(request.remote_addr)
    limiter: MovingWindowRateLimiter = current_app.extensions["failed_log_ins"]
    key = f"link {account_links.digest_of(token)}"
    with login_limits.count_attempt(limiter, key, f"{network} by link", "attempts"):
        try:
            return account_links.find(token, kind)
        except NotFoundError:
            log.warning("link.refused", kind=kind, network=network)
            raise


def open_share(token: str) -> ListShare:
    """The list that this token shows (see library.shares). Raises NotFoundError, and
    TooManyRequestsError after ten different tokens that show nothing; one that shows a list always
    does, or a guest who guesses would close the lists of everybody behind the same address."""
    try:
        return shares.find(token)
    except NotFoundError:
        network = login_limits.network_of(request.remote_addr)
        limiter: MovingWindowRateLimiter = current_app.extensions["failed_log_ins"]
        guess = account_links.digest_of(token)
        login_limits.count_guess(limiter, guess, f"{network} by share")
        log.warning("link.refused", kind="share", network=network)
        raise


def log_action(event: str, **fields: object) -> None:
    """Note who did something to the whole server."""
    log.warning(event, **fields, by=current_user.id or ADMINISTRATOR)


def log_in(user: User, remember: bool = False) -> None:
    """Start a session in this browser, in place of any other; `remember` keeps it for 30 days."""
    session.clear()
    session.permanent = remember
    session[SESSION_KEY] = secrets.token_urlsafe(16)
    login_user(user)


def log_out() -> None:
    """End this session on the server too, so that a copy of its cookie is worth nothing. The
    browser is logged out even if the database cannot be written."""
    key = session.get(SESSION_KEY)
    # First, so that flask-login has no account to look up.
    session.clear()
    logout_user()
    if key:
        try:
            accounts.end_session(key)
        except (DatabaseError, InterfaceError) as error:
            log.unexpected("session.not_ended", error)


def issue_token(user: User) -> str:
    """For `Authorization: Bearer`, valid for 30 days or until token_version is raised."""
    return _encode(user.id, user.token_version, LOG_IN_SECONDS)


def issue_admin_token(admin_token: str) -> str:
    """Valid for 12 hours, until ADMIN_TOKEN is changed or the whole server is restored. Raises
    UnauthenticatedError, TooManyRequestsError, or UnavailableError where ADMIN_TOKEN is not set or
    the database does not answer."""
    if not config.current.admin_token:
        raise UnavailableError("ADMIN_TOKEN is not set on this server")
    with count_failures("admin token", ADMINISTRATOR):
        if not hmac.compare_digest(admin_token.encode(), config.current.admin_token.encode()):
            raise UnauthenticatedError("Invalid admin token")
    return _encode(ADMINISTRATOR, _admin_version(), ADMIN_SECONDS)


def local_path(target: str | None, default: str = "/") -> str:
    """`target` if it is a path on this site, else `default`.

    Browsers read a backslash as a slash and drop tabs and line ends, so `/\\evil` and `/<tab>/evil`
    leave the site.
    """
    if not target or not target.startswith("/") or "\\" in target or not target.isprintable():
        return default
    return default if target.startswith("//") or urlsplit(target).netloc else target


@login_manager.user_loader
def _load_from_session(session_id: str) -> User | None:
    if is_api():
        return None
    user_id, _, version = session_id.rpartition(":")
    user = _active_account(user_id, int(version), session.get(SESSION_KEY))
    if user is None:
        # Or a later change to it would renew its cookie beyond the time its end is remembered.
        session.clear()
    return user


@login_manager.request_loader
def _load_from_token(incoming: Request) -> User | TokenAdministrator | None:
    scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
    if not is_api() or scheme.lower() != "bearer":
        return None
    return account_of(token.strip())


def account_of(token: str) -> User | TokenAdministrator | None:
    """Whose token this is; None for one that is not ours, has expired or was revoked."""
    options: Options = {"verify_exp": False, "verify_iat": False, "require": ["sub", "ver", "exp"]}
    try:
        key = current_app.config["SECRET_KEY"]
        claims = jwt.decode(token, key, algorithms=["HS256"], options=options)
    except jwt.InvalidTokenError:
        return None
    # Not by jwt, so that mm.clock decides.
    if claims["exp"] <= clock.now():
        return None
    if claims["sub"] == ADMINISTRATOR:
        return TokenAdministrator() if claims["ver"] == _admin_version() else None
    return _active_account(claims["sub"], claims["ver"])


def _active_account(
    user_id: str, token_version: int, session_key: str | None = None
) -> User | None:
    """Raises UnavailableError where the database does not answer: None would mean a bad log-in."""
    matching = User.select().where(
        User.id == user_id, User.token_version == token_version, User.is_active
    )
    if session_key is not None:
        matching = matching.where(~fn.EXISTS(accounts.ended_sessions(session_key)))
    with _database_must_answer():
        return matching.first()


@login_manager.unauthorized_handler
def _refuse_anonymous():
    raise UnauthenticatedError("Not authenticated")


def _require_same_origin() -> None:
    if request.method in SAFE_METHODS or is_api():
        return
    site = request.headers.get("Sec-Fetch-Site")
    # Browsers leave it out on plain http outside localhost.
    is_ours = origin_is_ours() if site is None else site in ("same-origin", "none")
    if not is_ours:
        raise ForbiddenError("We couldn’t verify this request. Reload the page and try again.")


def origin_is_ours() -> bool:
    return request.headers.get("Origin", "").lower() == request.host_url.rstrip("/").lower()


@contextlib.contextmanager
def count_failures(account_key: str, user_id: str | None) -> Iterator[None]:
    """A UserError in this block is a failed log-in: count and log it. `user_id` is None for an
    unknown name."""
    network = login_limits.network_of(request.remote_addr)
    limiter: MovingWindowRateLimiter = current_app.extensions["failed_log_ins"]
    with login_limits.count_attempt(limiter, account_key, network):
        try:
            yield
        except UnavailableError:
            raise
        except UserError:
            log.warning("login.refused", **({"user": user_id} if user_id else {}), network=network)
            raise


def _encode(subject: str, version: int | str, seconds: int) -> str:
    claims = {"sub": subject, "ver": version, "exp": int(clock.now()) + seconds}
    return jwt.encode(claims, current_app.config["SECRET_KEY"], algorithm="HS256")


def _admin_version() -> str:
    """Changes with ADMIN_TOKEN, and when the whole server is restored, so that tokens issued before
    end. Raises UnavailableError where the database does not answer."""
    with _database_must_answer():
        epoch = models.epoch()
    key = current_app.config["SECRET_KEY"].encode()
    text = f"{config.current.admin_token} {epoch!r}" if epoch else config.current.admin_token
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@contextlib.contextmanager
def _database_must_answer() -> Iterator[None]:
    """Without an answer nobody is logged in, but no log-in is bad either: UnavailableError."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        # So that the error page does not ask the database once more.
        ask_nobody()
        raise server_errors.no_answer(error) from error

"""Accounts: creating and removing them, their passwords, and ending their sessions."""

import contextlib
import functools
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from peewee import ModelSelect, fn
from werkzeug.security import check_password_hash, generate_password_hash

from mm import caches, clock, config, log, models, starting
from mm.database import db, fold, waiting_at_most
from mm.errors import ConflictError, InvalidError, NotFoundError, TakenError, UserError
from mm.models import AccountLink, EndedSession, User
from mm.schemas import Problem

PASSWORD_MIN = 8
PASSWORD_MAX = 500
NAME_MAX = 100
# How long a session's cookie and a token are valid.
LOG_IN_SECONDS = 30 * clock.DAY
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
EMAIL_MAX = 254
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What werkzeug's hashes may cost at most: of scrypt four times the usual and 128 MB, of pbkdf2 half
# as much again. Few are checked at a time, and a costly one would make others wait.
SCRYPT = re.compile(
    r"scrypt(:(?P<n>\d{1,7}):(?P<r>\d{1,2}):(?P<p>\d{1,2}))?\$[^$\s]{1,100}\$[0-9a-f]{128}",
    re.ASCII,
)
SCRYPT_MAX = 2**20
# With a smaller or larger n, OpenSSL refuses some values of the other two.
SCRYPT_N = tuple(2**bits for bits in range(10, 18))
PBKDF2 = re.compile(
    r"pbkdf2(:sha(1|256|512)(:(?P<rounds>\d{1,7}))?)?\$[^$\s]{1,100}\$[0-9a-f]{40,128}", re.ASCII
)
PBKDF2_MAX = 1_500_000
# What the original Movie Manager kept: the salt, as text, and the hash.
ORIGINAL = re.compile(r"(?P<salt>[0-9a-f]{64})\$(?P<hash>[0-9a-f]{64})", re.ASCII)
ORIGINAL_LENGTH = 129
ORIGINAL_ROUNDS = 100_000
# Well below what the column holds.
FIRST_VERSIONS = 2**30
# Stands for a password that nobody has.
NO_PASSWORD = ""
# How long a log-in waits for others to write before it leaves the hash as it is.
REHASH_SECONDS = 1
_ORIGINAL_DECOY = f"{'0' * 64}${'0' * 64}"
SET_UP_MEANWHILE = "Somebody has just set up this server, so nothing was added. Log in."
# The database of which this process knows that it has an account.
_inhabited: object = None


def exist() -> bool:
    """Whether there is an account. Once there is one this is remembered: the last administrator
    cannot go, and a restore of the server clears it."""
    global _inhabited
    if _inhabited is not None and _inhabited is db.obj:
        return True
    found = User.select().exists()
    if found:
        _inhabited = db.obj
    return found


def has_administrator() -> bool:
    """Whether an account that can be used is one."""
    return User.select().where(User.is_admin & User.is_active).exists()


def _forget_that_any_exist() -> None:
    global _inhabited
    _inhabited = None


caches.register(_forget_that_any_exist)


def create_first(email: str, username: str, password: str, user_id: str | None = None) -> User:
    """The administrator of a server that has no account. Raises ConflictError where there is one by
    now, and what `create` raises."""
    with db.atomic():
        if User.select().exists():
            raise ConflictError(SET_UP_MEANWHILE)
        return create(email, username, password, is_admin=True, user_id=user_id)


def create(
    email: str,
    username: str,
    password: str,
    is_admin: bool = False,
    user_id: str | None = None,
    first: Callable[[], None] | None = None,
) -> User:
    """A new account with the four quick recommenders. Automatic backups are off, as clients of the
    original expect, unless BACKUP_BY_DEFAULT says otherwise. `first` is called at the beginning of
    the transaction that creates it. Raises InvalidError, or TakenError for an email address or
    username in use."""
    email, username = email.strip(), username.strip()
    _check_email(email)
    _check_username(username)
    check_new_password(password)
    password_hash = generate_password_hash(password)
    # Sessions and tokens of a lost account with this id are worth nothing.
    lost = {"id": user_id, "token_version": secrets.randbelow(FIRST_VERSIONS)} if user_id else {}
    with db.atomic():
        if first:
            first()
        if User.select().where(User.email_key == fold(email)).exists():
            reason = "There is an account with this email address already."
            raise TakenError("Email already registered", [Problem("email", reason)])
        if User.select().where(User.username_key == fold(username)).exists():
            raise _name_taken()
        return _insert(
            **lost,
            email=email,
            username=username,
            password_hash=password_hash,
            is_admin=is_admin,
            backup_enabled=config.current.backup_by_default,
            created_at=clock.now(),
        )


def add(
    user_id: str,
    email: str,
    username: str,
    password_hash: str,
    created_at: float,
    is_active: bool = True,
    is_admin: bool = False,
    backup_enabled: bool = False,
) -> User:
    """An account of another server, as it was there, with the four quick recommenders: a library
    that is imported into it brings its own values for them. One whose hash is not usable_hash
    cannot log in before a new password is set. Call inside the transaction that brings the library.

    Raises InvalidError for an account that cannot be one here, and ConflictError where its id,
    email address or username is taken; both name it."""
    email, username = email.strip(), username.strip()
    check_added(user_id, email, username, created_at)
    with naming(username):
        if User.select().where(User.id == user_id).exists():
            raise ConflictError("Its id is already in use.")
        if User.select().where(User.email_key == fold(email)).exists():
            raise ConflictError(f"The email address {email} is already in use.")
        if User.select().where(User.username_key == fold(username)).exists():
            raise ConflictError("The username is already in use.")
    return _insert(
        id=user_id,
        email=email,
        username=username,
        password_hash=password_hash if usable_hash(password_hash) else NO_PASSWORD,
        created_at=created_at,
        is_active=is_active,
        is_admin=is_admin,
        backup_enabled=backup_enabled,
        # Sessions and tokens of the other server are worth nothing, also where it had our key.
        token_version=secrets.randbelow(FIRST_VERSIONS),
    )


def check_added(user_id: str, email: str, username: str, created_at: float) -> None:
    """What `add` checks without looking at the accounts that are here. Raises InvalidError."""
    with naming(username or email or user_id):
        if not USER_ID.fullmatch(user_id):
            raise _invalid("id", "Its id is not one that Movie Manager gives.")
        _check_email(email.strip())
        _check_username(username.strip())
        # Also refuses what is not a number.
        if not 0 <= created_at <= clock.now() + clock.DAY:
            raise _invalid("created_at", "The time when it was created cannot be right.")


@contextlib.contextmanager
def naming(account: str | int) -> Iterator[None]:
    """For accounts of another server: says which account it is that an InvalidError or a
    ConflictError is about. `account`: its name, or its place in a file."""
    name = f"number {account}" if isinstance(account, int) else repr(account[:NAME_MAX])
    try:
        yield
    except InvalidError as error:
        raise InvalidError(f"The account {name}: {error.message}", error.errors) from error
    except ConflictError as error:
        raise ConflictError(f"The account {name}: {error.message}") from error


def usable_hash(text: str) -> bool:
    """Whether log_in can check a password with it: one of werkzeug's that costs no more than a
    log-in should, or one of the original Movie Manager."""
    if match := SCRYPT.fullmatch(text):
        n, r, p = (int(match[name] or usual) for name, usual in (("n", 2**15), ("r", 8), ("p", 1)))
        return n in SCRYPT_N and 0 < n * r * p <= SCRYPT_MAX and n < 2 ** (16 * r)
    if match := PBKDF2.fullmatch(text):
        return 0 < int(match["rounds"] or 1) <= PBKDF2_MAX
    return ORIGINAL.fullmatch(text) is not None


def log_in(name: str, password: str) -> User | None:
    """The active account with this email address or username, and password, or None. Takes as long
    for an unknown name. A hash of the original Movie Manager is replaced by one of ours."""
    user = models.user_by_name(name)
    matches = _is_password(user.password_hash if user else NO_PASSWORD, password[:PASSWORD_MAX])
    if not user or not matches or not user.is_active or len(password) > PASSWORD_MAX:
        return None
    if ORIGINAL.fullmatch(user.password_hash):
        _hash_anew(user, password)
    return user


def find(text: str) -> User:
    """By email address or username. Raises NotFoundError."""
    user = models.user_by_name(text)
    if user is None:
        raise NotFoundError(f"No account has the name or email address {text!r}.")
    return user


def get(user_id: str) -> User:
    """Raises NotFoundError."""
    user = User.get_or_none(User.id == user_id)
    if user is None:
        raise NotFoundError("No account has this id.")
    return user


def listing() -> list[User]:
    """Oldest first."""
    return list(User.select().order_by(User.created_at, User.id))


def change(
    user: User,
    is_active: bool | None = None,
    is_admin: bool | None = None,
    password: str | None = None,
) -> User:
    """Change what is not None. A new password and a deactivation end the account's sessions, tokens
    and links for a new password; see also _end_links_of_power. Raises ConflictError where no active
    administrator would be left."""
    flags = {"is_active": is_active, "is_admin": is_admin}
    values: dict = {name: value for name, value in flags.items() if value is not None}
    if password is not None:
        check_new_password(password)
        values["password_hash"] = generate_password_hash(password)
    ends_all = password is not None or is_active is False
    if ends_all:
        values["token_version"] = User.token_version + 1
    with db.atomic():
        if is_active is False or is_admin is False:
            _require_another_administrator(user)
            _end_links_of_power(user)
        if ends_all:
            _forget_links(user)
        if values:
            User.update(**values).where(User.id == user.id).execute()
    return get(user.id)


def rename(user: User, username: str) -> User:
    """Raises InvalidError, or TakenError for a name in use."""
    username = username.strip()
    _check_username(username)
    with db.atomic():
        others = User.select().where(User.id != user.id)
        if others.where(User.username_key == fold(username)).exists():
            raise _name_taken()
        update = User.update(username=username, username_key=fold(username))
        update.where(User.id == user.id).execute()
    return get(user.id)


def change_email(user: User, email: str) -> User:
    """Sessions and tokens go on. Raises InvalidError, or UserError for an address in use."""
    email = email.strip()
    _check_email(email)
    if email == user.email:
        raise _invalid("email", "This is your email address already.")
    with db.atomic():
        others = User.select().where(User.id != user.id)
        if others.where(User.email_key == fold(email)).exists():
            raise UserError("Email already registered")
        update = User.update(email=email, email_key=fold(email))
        update.where(User.id == user.id).execute()
    return get(user.id)


def remove(user: User) -> Path | None:
    """Remove the account and its library for good. Its backups stay: returns their folder, None if
    there are none. Raises ConflictError for the last active administrator."""
    with db.atomic():
        _require_another_administrator(user)
        _end_links_of_power(user)
        User.delete().where(User.id == user.id).execute()
    log.info("account.deleted", user=user.id)
    folder = config.current.backups_dir / user.id
    return folder if folder.is_dir() else None


def set_password(user: User, password: str, first: Callable[[], None] | None = None) -> None:
    """Also ends every session, token and link for a new password of the account. `first` is called
    at the beginning of the transaction."""
    check_new_password(password)
    # Before the transaction: hashing takes a while, and nobody else could write meanwhile.
    password_hash = generate_password_hash(password)
    with db.atomic():
        if first:
            first()
        User.update(password_hash=password_hash).where(User.id == user.id).execute()
        end_sessions(user)
        _forget_links(user)


def end_sessions(user: User) -> None:
    """End every session and token of the account."""
    with db.atomic():
        update = User.update(token_version=User.token_version + 1)
        update.where(User.id == user.id).execute()


def end_session(key: str) -> None:
    """End the session of one browser, whose cookie holds `key`."""
    EndedSession.insert(key=key, ended_at=clock.now()).on_conflict_ignore().execute()


def ended_sessions(key: str) -> ModelSelect:
    """For EXISTS in the query that loads an account: whether the session of this key was ended."""
    return EndedSession.select(EndedSession.key).where(EndedSession.key == key)


def sweep() -> None:
    """Forget ended sessions whose cookies have expired by themselves."""
    expired = EndedSession.ended_at < clock.now() - LOG_IN_SECONDS
    EndedSession.delete().where(expired).execute()


def _forget_links(user: User) -> None:
    AccountLink.delete().where(AccountLink.user == user.id).execute()


def _end_links_of_power(user: User) -> None:
    """An administrator who is none any more may still hold links that open somebody's account or
    make an administrator."""
    if User.select().where(User.id == user.id, User.is_admin).exists():
        powerful = AccountLink.user.is_null(False) | AccountLink.is_admin
        AccountLink.delete().where(powerful).execute()


def _require_another_administrator(user: User) -> None:
    """Or nobody could make an administrator again from the pages. Call inside the transaction of
    the write."""
    administrators = [row.id for row in User.select(User.id).where(User.is_admin & User.is_active)]
    if administrators == [user.id]:
        raise ConflictError(
            "This is the last active administrator. Make another account an administrator first."
        )


def check_new_password(password: str, key: str = "password") -> None:
    """Raises InvalidError, with `key` as the field's path."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise _invalid(key, f"A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters.")


def is_email(text: str) -> bool:
    is_one = EMAIL.fullmatch(text) is not None and text.isprintable()
    return is_one and len(text) <= EMAIL_MAX


def is_username(text: str) -> bool:
    return 0 < len(text) <= NAME_MAX and "@" not in text and text.isprintable()


def _is_password(stored: str, password: str) -> bool:
    """While an account has a hash of the original, every log-in does the work for both kinds: the
    time that it takes must not tell who has an account."""
    original = ORIGINAL.fullmatch(stored)
    is_ours = original is None and usable_hash(stored)
    # Asked for in either case, because the first time takes as long as a log-in.
    decoy = _decoy()
    matches = check_password_hash(stored if is_ours else decoy, password) and is_ours
    any_original = User.select().where(fn.LENGTH(User.password_hash) == ORIGINAL_LENGTH)
    if original or any_original.exists():
        matches_original = _is_original_password(stored if original else _ORIGINAL_DECOY, password)
        return matches_original if original else matches
    return matches


@functools.cache
def _decoy() -> str:
    """A hash to compare for an unknown name, so that it takes as long as a wrong password. Not
    made at the start, which would be a twelfth of a second later in every command."""
    return generate_password_hash(uuid.uuid4().hex)


def _is_original_password(stored: str, password: str) -> bool:
    salt, _, expected = stored.partition("$")
    found = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), ORIGINAL_ROUNDS)
    return hmac.compare_digest(found.hex(), expected)


def _hash_anew(user: User, password: str) -> None:
    """One write, which ends no session. Where it cannot be made, the next log-in tries again."""
    password_hash = generate_password_hash(password)
    # Not if it was changed meanwhile.
    same = (User.id == user.id) & (User.password_hash == user.password_hash)
    try:
        with waiting_at_most(db.obj, REHASH_SECONDS), db.atomic():
            User.update(password_hash=password_hash).where(same).execute()
    except (UserError, *starting.DATABASE_ERRORS) as error:
        log.warning("password.not_rehashed", user=user.id, reason=starting.reason(error))


def _insert(email: str, username: str, **values: object) -> User:
    user = User.create(
        email=email,
        email_key=fold(email),
        username=username,
        username_key=fold(username),
        **values,
    )
    updated_at = models.next_update(db.obj)
    models.add_quick_recommenders(db.obj, user.id, user.created_at, updated_at)
    return user


def _check_email(email: str) -> None:
    if not is_email(email):
        raise _invalid("email", f"{email[:EMAIL_MAX]!r} is not an email address.")


def _check_username(username: str) -> None:
    if not is_username(username):
        raise _invalid("username", f"A username has 1 to {NAME_MAX} printable characters and no @.")


def _name_taken() -> TakenError:
    reason = "This name is already taken. Choose another one."
    return TakenError("Username already taken", [Problem("username", reason)])


def _invalid(field: str, reason: str) -> InvalidError:
    return InvalidError(reason, [Problem(field, reason)])

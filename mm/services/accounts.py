"""Accounts: creating and removing them, their passwords, and ending their sessions."""

import re
import uuid
from collections.abc import Callable
from pathlib import Path

from peewee import ModelSelect
from werkzeug.security import check_password_hash, generate_password_hash

from mm import clock, config, log, models
from mm.database import db, fold
from mm.errors import ConflictError, InvalidError, NotFoundError, UserError
from mm.models import AccountLink, EndedSession, User
from mm.schemas import Problem

PASSWORD_MIN = 8
PASSWORD_MAX = 500
NAME_MAX = 100
# How long a session's cookie and a token are valid.
LOG_IN_SECONDS = 30 * clock.DAY
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
# Compared for an unknown name, so that it takes as long as a wrong password.
_DECOY = generate_password_hash(uuid.uuid4().hex)


def create(
    email: str,
    username: str,
    password: str,
    is_admin: bool = False,
    first: Callable[[], None] | None = None,
) -> User:
    """A new account with the four quick recommenders. Automatic backups are off, as clients of the
    original expect, unless BACKUP_BY_DEFAULT says otherwise. `first` is called at the beginning of
    the transaction that creates it. Raises InvalidError, or UserError for an email address or
    username in use."""
    email, username = email.strip(), username.strip()
    if not EMAIL.fullmatch(email) or len(email) > 254:
        raise _invalid("email", f"{email!r} is not an email address.")
    _check_username(username)
    check_new_password(password)
    password_hash = generate_password_hash(password)
    with db.atomic():
        if first:
            first()
        if User.select().where(User.email_key == fold(email)).exists():
            raise UserError("Email already registered")
        if User.select().where(User.username_key == fold(username)).exists():
            raise UserError("Username already taken")
        user = User.create(
            email=email,
            email_key=fold(email),
            username=username,
            username_key=fold(username),
            password_hash=password_hash,
            is_admin=is_admin,
            backup_enabled=config.current.backup_by_default,
            created_at=clock.now(),
        )
        updated_at = models.next_update(db.obj)
        models.add_quick_recommenders(db.obj, user.id, user.created_at, updated_at)
    return user


def log_in(name: str, password: str) -> User | None:
    """The active account with this email address or username, and password, or None. Takes as long
    for an unknown name."""
    user = models.user_by_name(name)
    matches = check_password_hash(user.password_hash if user else _DECOY, password[:PASSWORD_MAX])
    return user if user and matches and user.is_active and len(password) <= PASSWORD_MAX else None


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
    and links for a new password. Raises ConflictError where no active administrator would be
    left."""
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
        if ends_all:
            _forget_links(user)
        if values:
            User.update(**values).where(User.id == user.id).execute()
    return get(user.id)


def rename(user: User, username: str) -> User:
    """Raises InvalidError, or UserError for a name in use."""
    username = username.strip()
    _check_username(username)
    with db.atomic():
        others = User.select().where(User.id != user.id)
        if others.where(User.username_key == fold(username)).exists():
            raise UserError("Username already taken")
        update = User.update(username=username, username_key=fold(username))
        update.where(User.id == user.id).execute()
    return get(user.id)


def remove(user: User) -> Path | None:
    """Remove the account and its library for good. Its backups stay: returns their folder, None if
    there are none. Raises ConflictError for the last active administrator."""
    with db.atomic():
        _require_another_administrator(user)
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


def _check_username(username: str) -> None:
    if not username or len(username) > NAME_MAX or "@" in username or not username.isprintable():
        raise _invalid("username", f"A username has 1 to {NAME_MAX} printable characters and no @.")


def _invalid(field: str, reason: str) -> InvalidError:
    return InvalidError(reason, [Problem(field, reason)])

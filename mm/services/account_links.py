"""Links that let their holder create an account or set a new password, once.

Only the SHA-256 of a link's token is kept: whoever reads the database, or a copy of it, cannot use
the link."""

import hashlib
import secrets

from mm import clock
from mm.database import db
from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.models import AccountLink, User
from mm.schemas import Problem
from mm.services import accounts

INVITE, RESET = "invite", "reset"
INVITE_SECONDS = 7 * clock.DAY
RESET_SECONDS = clock.DAY
NOTE_MAX = 100
NOT_VALID = "This link is no longer valid. Ask whoever sent it for a new one."


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def invite(note: str = "", is_admin: bool = False) -> str:
    """Returns the token. `note`: whom it is for. Raises InvalidError."""
    note = note.strip()
    if len(note) > NOTE_MAX or not note.isprintable():
        reason = f"A note has at most {NOTE_MAX} printable characters."
        raise InvalidError(reason, [Problem("note", reason)])
    return _create(INVITE, INVITE_SECONDS, note=note, is_admin=is_admin)


def reset(user: User) -> str:
    """The token of a link that replaces any older one of this account. Raises ConflictError for a
    deactivated account."""
    with db.atomic():
        if not accounts.get(user.id).is_active:
            raise ConflictError("This account is deactivated. Activate it first.")
        AccountLink.delete().where(AccountLink.user == user.id).execute()
        return _create(RESET, RESET_SECONDS, user=user.id)


def open_invites() -> list[AccountLink]:
    """Those that still can be used, the newest first."""
    rows = AccountLink.select().where(
        AccountLink.kind == INVITE, AccountLink.expires_at > clock.now()
    )
    return list(rows.order_by(AccountLink.created_at.desc(), AccountLink.digest))


def revoke(digest: str) -> None:
    """Raises NotFoundError for an invitation that was used or revoked already."""
    this = (AccountLink.digest == digest) & (AccountLink.kind == INVITE)
    if not AccountLink.delete().where(this).execute():
        raise NotFoundError("This invitation was used or revoked already.")


def find(token: str, kind: str) -> AccountLink:
    """With its user, where it is for one. Raises NotFoundError for a link that is not valid."""
    link = AccountLink.get_or_none(
        AccountLink.digest == digest_of(token),
        AccountLink.kind == kind,
        AccountLink.expires_at > clock.now(),
    )
    if link is None or (kind == RESET and not link.user.is_active):
        raise NotFoundError(NOT_VALID)
    return link


def accept(token: str, email: str, username: str, password: str) -> User:
    """The account that an invitation is for. Where it cannot be created, the link can be used
    again. Raises NotFoundError, and as accounts.create does."""
    is_admin = find(token, INVITE).is_admin
    return accounts.create(
        email, username, password, is_admin, first=lambda: _use_up(token, INVITE)
    )


def use_reset(token: str, password: str) -> User:
    """Set a new password, which ends all sessions of the account. Returns the account as it is
    then. Raises NotFoundError, and InvalidError for the password."""
    user = find(token, RESET).user
    accounts.set_password(user, password, first=lambda: _use_up(token, RESET))
    return accounts.get(user.id)


def sweep() -> None:
    """Forget links that were not used in time."""
    AccountLink.delete().where(AccountLink.expires_at <= clock.now()).execute()


def _create(kind: str, seconds: int, **values: object) -> str:
    token, now = secrets.token_urlsafe(32), clock.now()
    AccountLink.create(
        digest=digest_of(token), kind=kind, created_at=now, expires_at=now + seconds, **values
    )
    return token


def _use_up(token: str, kind: str) -> None:
    """Call inside the transaction of what the link is for. Of two at once, the second finds it
    gone."""
    find(token, kind).delete_instance()

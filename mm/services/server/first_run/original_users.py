"""The accounts of the original's database, as they can be here.

Nobody is left behind: a name, address or id that cannot be one here, or that somebody else has in
other capitals, is made one that can, and told.
"""

import re
import uuid
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from mm import clock
from mm.database import fold
from mm.errors import InvalidError
from mm.schemas import Problem
from mm.services import accounts, validation
from mm.services.validation import FieldError

# So that the same account gets the same id each time.
IDS = uuid.UUID("6f1f7a52-8b0b-4b43-9d0c-2f7e37a5c0de")
# Room for what makes a name or an address one of its own.
MARK_MAX = 10
UNPRINTABLE = re.compile(r"[^\w.+-]+")


class OriginalUser(Struct):
    """`key` is the id in its tables. `wanted`: the name and the address as they are there."""

    key: Any
    id: str
    email: str
    username: str
    password_hash: str
    created_at: float
    is_active: bool
    backup_enabled: bool
    wanted: tuple[str, str]
    warnings: list[str]


def known(rows: list[dict[str, Any]]) -> tuple[list[OriginalUser], list[str]]:
    """The oldest first, each with a name and an address of their own; and what changed."""
    users = made_unique([_user(row) for row in rows], set(), set())
    return users, [warning for user in users for warning in user.warnings]


def named(users: list[OriginalUser], text: str) -> OriginalUser:
    """By id, email address or name, as they are here or were there; in this order, because somebody
    may be called what another one's id or address is. Raises InvalidError."""
    kinds: tuple[Callable[[OriginalUser], tuple], ...] = (
        lambda user: (user.id,),
        lambda user: (str(user.key),),
        lambda user: (user.email,),
        lambda user: (user.username,),
        lambda user: user.wanted,
    )
    for form in (str, fold):
        for names in kinds:
            for user in users:
                if form(text) in map(form, names(user)):
                    return user
    reason = f"Nobody who comes has the name or email address {text!r}."
    raise InvalidError(reason, [Problem("admin", reason)])


def made_unique(
    users: list[OriginalUser], names: set[str], addresses: set[str]
) -> list[OriginalUser]:
    """The oldest first. `names` and `addresses` are folded and taken already."""
    ordered = sorted(users, key=lambda user: user.created_at)
    # What somebody has is not given to somebody else who needs another.
    wanted_names = {fold(user.username) for user in users}
    wanted_addresses = {fold(user.email) for user in users}
    for user in ordered:
        own_name, own_address = user.username, user.email
        if fold(own_name) in names:
            shortened = own_name[: accounts.NAME_MAX - MARK_MAX]
            user.username = _free(shortened, "{}-{}", names | wanted_names)
            user.warnings.append(
                f"The name {own_name} is somebody else’s too, written another way. This account is "
                f"now called {user.username}."
            )
        if fold(own_address) in addresses:
            before, _, domain = own_address.rpartition("@")
            shortened = before[: accounts.EMAIL_MAX - MARK_MAX - len(domain)]
            taken = addresses | wanted_addresses
            user.email = _free(shortened, f"{{}}+{{}}@{domain}", taken)
            user.warnings.append(
                f"The email address {own_address} of {user.username} is somebody else’s too, "
                f"written another way. {user.username} logs in with the name or with {user.email}."
            )
        names.add(fold(user.username))
        addresses.add(fold(user.email))
    return ordered


def _free(text: str, pattern: str, taken: set[str]) -> str:
    number = 2
    while fold(pattern.format(text, number)) in taken:
        number += 1
    return pattern.format(text, number)


def _user(row: dict[str, Any]) -> OriginalUser:
    warnings: list[str] = []
    place = f"users row {row['rowid']}"
    key = row["id"]
    own_id = key if isinstance(key, str) and accounts.USER_ID.fullmatch(key) else None
    user_id = own_id or str(uuid.uuid5(IDS, repr(key)))
    email, username = _text(row["email"]), _text(row["username"])
    wanted = (username, email)
    if not accounts.is_username(username):
        username = UNPRINTABLE.sub("-", username).strip("-")[: accounts.NAME_MAX - MARK_MAX]
        username = username or f"user-{row['rowid']}"
        told = wanted[0][: accounts.NAME_MAX]
        warnings.append(f"{place}: the name {told!r} can’t be used here; it is now {username}.")
    if not accounts.is_email(email):
        email = f"user-{user_id[:8]}@example.invalid"
        told = wanted[1][: accounts.EMAIL_MAX]
        why = f"{told!r} isn’t an email address; it is now {email}."
        warnings.append(f"{place} ({username}): {why}")
    if own_id is None:
        warnings.append(f"{place} ({username}): has a new id, {user_id}.")
    password_hash = _text(row["hashed_password"])
    if not accounts.usable_hash(password_hash):
        why = "has no password that can be checked. An administrator has to set a new one."
        warnings.append(f"{place} ({username}): {why}")

    def value(key: str, convert: Callable, instead: Any, said: str) -> Any:
        """`instead` where there is none that can be used."""
        try:
            found = convert(row[key], key)
        except FieldError as error:
            warnings.append(f"{place} ({username}): {key}: {error.reason}; {said}.")
            return instead
        if found is None and key != "created_at":
            warnings.append(f"{place} ({username}): {key}: is missing; {said}.")
        return instead if found is None else found

    now = clock.now()
    return OriginalUser(
        key=key,
        id=user_id,
        email=email,
        username=username,
        password_hash=password_hash,
        created_at=value("created_at", _past, now, "it is now"),
        is_active=value("is_active", validation.flag, False, "the account is deactivated"),
        backup_enabled=value("backup_enabled", validation.flag, False, "automatic backups are off"),
        wanted=wanted,
        warnings=warnings,
    )


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _past(value: object, key: str) -> float | None:
    moment = validation.moment(value, key)
    if moment is not None and not 0 <= moment <= clock.now() + clock.DAY:
        raise FieldError(key, "can’t be when it was created")
    return moment

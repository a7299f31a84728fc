"""A household of the original Movie Manager moves in: its accounts with their passwords, libraries
and backups.

Backups come first, then all accounts and libraries in one transaction. Whoever is killed before its
end leaves a server without them, and the next attempt finds those backups that are there already.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mm import clock, log
from mm.database import db, fold
from mm.errors import InvalidError, TooLargeError, UnusableFileError
from mm.models import User
from mm.schemas import Problem
from mm.schemas.first_run import TakenOver, TakenUser
from mm.services import accounts, portable
from mm.services.server.first_run import (
    original,
    original_backups,
    original_rows,
    original_users,
    phones,
)
from mm.services.server.first_run.original import Rows
from mm.services.server.first_run.original_backups import Copied
from mm.services.server.first_run.original_rows import Library
from mm.services.server.first_run.original_users import OriginalUser

WHICH = (
    "The original has no administrator. Choose which of its accounts becomes one; it must not be "
    "deactivated."
)
HERE_ALREADY = "{} is here already. Nothing of the library was changed; {} of the backups are here."
TAKEN = "{} <{}> was left out: another account here has the same {}."


class _RehearsedError(Exception):
    """Takes back what a dry run has written."""


class _Coming(NamedTuple):
    """`here`: who is on this server already."""

    users: list[OriginalUser]
    here: list[OriginalUser]
    left_out: list[str]


def adopt(
    path: Path,
    admin: str | None = None,
    backups: Path | None = None,
    dry_run: bool = False,
    last: Callable[[TakenOver], None] | None = None,
) -> TakenOver:
    """Take over everybody in the app.db at `path`, or nobody where anything goes wrong. `admin`:
    the id, name or email address of who becomes an administrator; `backups`: the original's folder
    of that name, if it is there. `dry_run`: do the same and take it back, without an administrator
    if none is named. `last` is called at the end of the transaction.

    Raises UnusableFileError for a file that cannot be read, InvalidError where no account would be
    an administrator, ConflictError where another account takes a name meanwhile, and NoRoomError.
    """
    rows = original.read(path)
    coming = _coming(original_users.known(rows.users)[0])
    administrator = _administrator(coming, admin, dry_run)
    libraries = [original_rows.library(rows.of[user.key], clock.now()) for user in coming.users]
    everybody = [*coming.users, *coming.here]
    copied = {
        user.id: original_backups.copy(backups, user.key, user.id, dry_run) for user in everybody
    }
    try:
        with db.atomic():
            if not User.select().exists():
                phones.begin_anew()
            taken = TakenOver(
                users=[
                    _bring(user, library, copied[user.id], user is administrator)
                    for user, library in zip(coming.users, libraries, strict=True)
                ],
                left_out=[
                    *coming.left_out,
                    *(_of_here(user, copied[user.id]) for user in coming.here),
                    *rows.nobodys,
                    *original_backups.strangers(backups, _keys(rows)),
                ],
                warnings=rows.warnings,
            )
            if dry_run:
                raise _RehearsedError
            if last:
                last(taken)
    except _RehearsedError:
        pass
    else:
        films = sum(user.films for user in taken.users)
        log.info("original.adopted", users=len(taken.users), films=films)
    return taken


def _keys(rows: Rows) -> list:
    return [user["id"] for user in rows.users]


def _coming(users: Sequence[OriginalUser]) -> _Coming:
    """Who can come: an account of this server keeps its id, name and address."""
    found = list(User.select(User.id, User.username_key, User.email_key))
    ids = {user.id for user in found}
    names = {user.username_key for user in found}
    addresses = {user.email_key for user in found}
    coming, here, left_out = [], [], []
    for user in users:
        name, address = map(fold, user.wanted)
        if user.id in ids:
            here.append(user)
        elif name in names or address in addresses:
            what = "name" if name in names else "email address"
            left_out.append(TAKEN.format(user.wanted[0], user.wanted[1], what))
        else:
            coming.append(user)
    return _Coming(original_users.made_unique(coming, names, addresses), here, left_out)


def _administrator(coming: _Coming, admin: str | None, dry_run: bool) -> OriginalUser | None:
    """None where the server has one and nobody new is named, and where nobody comes."""
    active = [user for user in coming.users if user.is_active]
    has_one = User.select().where(User.is_admin & User.is_active).exists()
    if not coming.users:
        return None
    if admin:
        chosen = original_users.named([*coming.users, *coming.here], admin)
        if chosen in active:
            return chosen
        # The same command, given again.
        if chosen in coming.here and has_one:
            return None
    elif dry_run or has_one:
        return None
    elif len(active) == 1:
        return active[0]
    raise InvalidError(WHICH, [Problem("admin", WHICH)])


def _bring(user: OriginalUser, library: Library, copied: Copied, is_admin: bool) -> TakenUser:
    accounts.add(
        user_id=user.id,
        email=user.email,
        username=user.username,
        password_hash=user.password_hash,
        created_at=user.created_at,
        is_active=user.is_active,
        is_admin=is_admin,
        backup_enabled=user.backup_enabled,
    )
    try:
        incoming = portable.read(library.document)
        plan = portable.plan(user.id, incoming)
    except (UnusableFileError, TooLargeError) as error:
        message = f"The library of {user.username}: {library.in_words(error.message)}"
        raise UnusableFileError(message) from error
    portable.apply(plan)
    return TakenUser(
        username=user.username,
        email=user.email,
        films=sum(film.values.status != "deleted" for film in plan.films),
        people=len(plan.people),
        lists=len(plan.lists),
        rankings=len(plan.ranked),
        problems=[*library.problems, *map(library.told, plan.errors)],
        warnings=[*user.warnings, *map(library.in_words, plan.warnings), *copied.said],
        backups=copied.total,
    )


def _of_here(user: OriginalUser, copied: Copied) -> str:
    return " ".join([HERE_ALREADY.format(user.wanted[0], copied.total), *copied.said])

"""Bringing everybody back from an export of all libraries, to a server without an account."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mm import clock, files, log, starting
from mm.database import db, fold
from mm.errors import ConflictError, InvalidError, UnusableFileError, UserError
from mm.models import User
from mm.schemas.first_run import Found, FoundUser, TakenOver, TakenUser
from mm.services import accounts, portable
from mm.services.backup import policies
from mm.services.portable import guards
from mm.services.server import effective, startup_copies
from mm.services.server.first_run import all_users_file, phones
from mm.services.server.first_run.all_users_file import Account, Head

HAS_ACCOUNTS = (
    "This server has accounts already. All libraries can only be brought to an empty one."
)
NO_ACCOUNTS = "This file holds no accounts."
NOBODY = "No account of this file can be used. {}"
# A name that no export has, so that it is never deleted.
LEFT_OUT_FILE = "left-out-{}.json"
LACKS = "{}: the server could not export this library, so it is not in the file."


class _Film(Struct, gc=False):
    status: Any = ""


class _Films(Struct):
    movies: list[_Film] = []


def is_all_users(head: bytes) -> bool:
    """`head`: the first bytes of a file, best some ten thousand of them."""
    return all_users_file.looks_like_one(head)


def inspect(path: Path, name: str) -> Found:
    """What the file holds, which was called `name`. Raises UnusableFileError for one that cannot be
    taken over at all."""
    head, rows = all_users_file.read(path)
    found = Found(
        kind="all-users",
        source=name,
        made_at=head.exported_at,
        made_by=head.made_by,
        users_count=0,
        films=0,
        warnings=[LACKS.format(each) for each in head.lacks],
    )
    trusted, seen = all_users_file.is_trusted(path), set[str]()
    for place, row in rows:
        try:
            account = all_users_file.account(row, place, trusted)
            _require_new(account, seen)
        except InvalidError as error:
            found.warnings.append(error.message)
            continue
        found.users.append(_found_user(account))
        found.warnings += (f"{account.username}: {text}" for text in account.warnings)
    if not found.users:
        raise UnusableFileError(_nobody(found.warnings))
    found.users_count = len(found.users)
    found.films = sum(user.films for user in found.users)
    return found


def take_over(
    path: Path, settings: bool = True, last: Callable[[TakenOver], None] | None = None
) -> TakenOver:
    """Everybody in the file, in one transaction: all of them, but those who cannot be used and are
    named, or nobody. `settings`: fill in the server's settings of the file too, after that. `last`
    is called at the end of the transaction.

    Raises ConflictError where this server has an account, InvalidError where nobody can be taken
    over."""
    head, rows = all_users_file.read(path)
    trusted = all_users_file.is_trusted(path)
    taken = TakenOver(left_out=[LACKS.format(name) for name in head.lacks])
    with db.atomic():
        if User.select().exists():
            raise ConflictError(HAS_ACCOUNTS)
        phones.begin_anew()
        for place, row in rows:
            _take(taken, row, place, trusted)
        if not taken.users:
            raise InvalidError(_nobody(taken.left_out))
        if sentence := _make_administrator():
            taken.warnings.append(sentence)
        if last:
            last(taken)
    if settings:
        _fill_in_settings(taken, head)
    if trusted and (taken.left_out or any(user.problems for user in taken.users)):
        _keep(path, taken)
    return taken


def _take(taken: TakenOver, row: bytes, place: int, trusted: bool) -> None:
    """One account, or a sentence that says why not."""
    foreseen = (UserError, OSError, *starting.DATABASE_ERRORS)
    try:
        with log.isolated("all_users.not_taken", besides=foreseen, place=place) as attempt:
            account = all_users_file.account(row, place, trusted)
            with db.atomic():
                taken.users.append(_create(account, trusted))
    except (InvalidError, ConflictError) as error:
        taken.left_out.append(error.message)
        return
    if attempt.code:
        taken.left_out.append(f"The account number {place}: {log.pointer(attempt.code)}")


def _create(account: Account, trusted: bool) -> TakenUser:
    with accounts.naming(account.username):
        if not trusted and len(account.library) > portable.FILE_MAX:
            raise InvalidError(f"Its library is larger than {portable.FILE_MAX >> 20} MB.")
        incoming = portable.read(account.library, trusted)
    user = accounts.add(
        account.user_id,
        account.email,
        account.username,
        account.password_hash,
        account.created_at,
        is_active=account.is_active,
        is_admin=account.is_admin,
        backup_enabled=account.backup_enabled,
    )
    policies.save(user, account.retention)
    with accounts.naming(account.username):
        plan = portable.plan(user.id, incoming)
    portable.apply(plan)
    return TakenUser(
        username=user.username,
        email=user.email,
        films=sum(film.values.status != "deleted" for film in plan.films),
        problems=plan.errors,
        warnings=[*account.warnings, *plan.warnings],
    )


def _make_administrator() -> str | None:
    """A sentence where somebody becomes one, or where no administrator can log in."""
    users = accounts.listing()
    administrators = [user for user in users if user.is_admin and user.is_active]
    if any(accounts.usable_hash(user.password_hash) for user in administrators):
        return None
    if administrators:
        name = administrators[0].username
        return (
            f"No administrator has a password that can be used. On the server, give {name} a new "
            f"one: flask --app mm user password {name}"
        )
    user = min(
        users,
        key=lambda user: (
            not user.is_active,
            not accounts.usable_hash(user.password_hash),
            user.created_at,
        ),
    )
    User.update(is_admin=True, is_active=True).where(User.id == user.id).execute()
    again = "" if user.is_active else " and is active again"
    return f"The file names no active administrator: {user.username} is one now{again}."


def _fill_in_settings(taken: TakenOver, head: Head) -> None:
    """Everybody is here by then: what happens to the settings changes nothing about that."""
    file, warnings = effective.checked(head.settings)
    taken.warnings += warnings
    with log.isolated("all_users.settings") as attempt:
        effective.put(file)
        taken.differences = effective.differences(file)
    if attempt.code:
        pointer = log.pointer(attempt.code)
        taken.warnings.append(f"The settings of the file could not be filled in. {pointer}")


def _keep(path: Path, taken: TakenOver) -> None:
    """The next exports push the old ones out of their folder, and this one may be the last that has
    what was left out."""
    with log.isolated("all_users.not_kept") as attempt, startup_copies.holding() as folder:
        kept = startup_copies.free_path(folder, LEFT_OUT_FILE, clock.now())
        files.link_or_copy(path, kept)
        files.sync_folder(folder)
    if attempt.code:
        taken.warnings.append(f"Keep a copy of {path.name}: the next exports replace it.")
    else:
        taken.warnings.append(f"The file stays, for what was left out of it: {kept}")


def _require_new(account: Account, seen: set[str]) -> None:
    """`seen`: what the accounts before it have taken."""
    accounts.check_added(account.user_id, account.email, account.username, account.created_at)
    names = {account.user_id, fold(account.email), fold(account.username)}
    if names & seen:
        with accounts.naming(account.username):
            raise InvalidError("Its id, email address or username is that of one before it.")
    seen |= names


def _found_user(account: Account) -> FoundUser:
    return FoundUser(
        id=account.user_id,
        username=account.username,
        email=account.email,
        films=_count_films(account.library),
        is_admin=account.is_admin,
    )


def _count_films(library: bytes) -> int:
    """Without deleted ones; 0 where rows cannot be read, of which the import tells more. Much
    faster than reading them as the import does."""
    try:
        films = msgspec.json.decode(library, type=_Films).movies
    except guards.NOT_JSON:
        return 0
    return sum(film.status != "deleted" for film in films)


def _nobody(reasons: list[str]) -> str:
    return NOBODY.format(reasons[0]) if reasons else NO_ACCOUNTS

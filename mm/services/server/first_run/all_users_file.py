"""Reading an export of all libraries, as all_users.py writes it or any JSON of that form.

Ours has one account a line, and is read line by line: one library is in memory at a time. Another
one, such as a file that somebody has formatted, is read whole.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Raw, Struct

from mm import clock, config
from mm.errors import InvalidError, UnusableFileError
from mm.schemas.all_users import KIND
from mm.schemas.portable import VERSION
from mm.services import accounts, portable, validation
from mm.services.backup import other_files, policies
from mm.services.backup.retention import Policy
from mm.services.portable import guards
from mm.services.server import all_users, effective
from mm.services.validation import FieldError

# Read whole, a file takes its own size in memory and half of that again.
WHOLE_MAX = 128 * 2**20
HEAD_MAX = 2 * 2**20
# Of an account, beside its library.
ROW_MAX = portable.FILE_MAX + 2**20
PIECE = 2**20
# Far more than one server has, and few enough to name each that cannot be used.
ACCOUNTS_MAX = 10_000
NAMES_MAX = 100
APP_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")
SIGN = re.compile(rb'(?<!\\)"(kind"\s*:\s*"server"|users"\s*:\s*\[)')
SPACE = b" \t\r\n"
OTHER_KIND = "This file is not an export of all libraries of a server."
INCOMPLETE = "This file ends too early, so part of it is missing. Take another copy of it."
TOO_LARGE = (
    f"This file is larger than {WHOLE_MAX >> 20} MB and is not laid out one account a line. Use "
    "the file exactly as the server wrote it."
)
TOO_MANY_PARTS = "This file has more brackets or commas than accounts with libraries have."


class Head(Struct):
    """What the file says beside its accounts. `made_by`: the program and its version, in words.
    `lacks`: the names of accounts that its server could not export."""

    made_by: str
    exported_at: float | None
    settings: dict[str, Any]
    lacks: list[str]


class Account(Struct):
    """`library`: the bytes of a v2 document. `warnings`: what of the account could not be kept."""

    user_id: str
    email: str
    username: str
    password_hash: str
    created_at: float
    is_active: bool
    is_admin: bool
    backup_enabled: bool
    retention: Policy
    library: bytes
    warnings: list[str]


def looks_like_one(start: bytes) -> bool:
    """`start`: the beginning of a file."""
    text = start.removeprefix(guards.BOM).lstrip(SPACE)
    return text.startswith(b"{") and SIGN.search(text) is not None


def read(path: Path) -> tuple[Head, Iterator[tuple[int, bytes]]]:
    """The head, and each account as its place, from 1, and its JSON. Raises UnusableFileError for
    what is no such file, or is of a newer version, and for one that is incomplete; later on for one
    of too many accounts."""
    ends = _ends_of_lines(path)
    if ends:
        document, rows = guards.members(b"".join(ends), Counter(), False), _rows(path)
    else:
        document, rows = _whole(path)
    return _head(document), _counted(rows)


def account(row: bytes, place: int, trusted: bool) -> Account:
    """`place`: which of the file's accounts it is, from 1. Raises InvalidError, which names it."""
    with accounts.naming(place):
        if not trusted and len(row) > ROW_MAX:
            raise InvalidError(f"It is larger than {ROW_MAX >> 20} MB.")
        members = guards.members(row, Counter(), trusted)
        if members is None:
            raise InvalidError("It is not an object.")
        username = _text(members, "username")
    with accounts.naming(username):
        return _account(username, members)


def is_trusted(path: Path) -> bool:
    """Whether this server wrote it."""
    is_ours = path.name == all_users.LATEST or all_users.DATED.fullmatch(path.name)
    return bool(is_ours) and path.parent == config.current.startup_dir


# The file.


def _counted(rows: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    for place, row in enumerate(rows, start=1):
        if place > ACCOUNTS_MAX:
            raise UnusableFileError(f"This file has more than {ACCOUNTS_MAX:,} accounts.")
        yield place, row


def _ends_of_lines(path: Path) -> tuple[bytes, bytes] | None:
    """The first and the last line of a file with one account a line; None for any other."""
    with path.open("rb") as file:
        head = file.readline(HEAD_MAX).removeprefix(guards.BOM).rstrip(SPACE)
        if not head.startswith(b"{") or not head.endswith(b"["):
            return None
        for line in _lines(file, is_trusted(path)):
            if line.startswith(b"]"):
                return None if file.read(PIECE).strip(SPACE) else (head, line)
            if line and not line.startswith(b"{"):
                return None
    raise UnusableFileError(INCOMPLETE)


def _rows(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.readline(HEAD_MAX)
        for line in _lines(file, is_trusted(path)):
            if line.startswith(b"]"):
                return
            if line:
                yield line.removesuffix(b",")


def _lines(file: IO[bytes], trusted: bool) -> Iterator[bytes]:
    """Of one that is too long, only the beginning; it is too long then too."""
    while line := file.readline(-1 if trusted else ROW_MAX + 2):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(PIECE)
        yield line.strip(SPACE)


def _whole(path: Path) -> tuple[dict[str, list[Raw]] | None, Iterator[bytes]]:
    if path.stat().st_size > WHOLE_MAX:
        raise UnusableFileError(TOO_LARGE)
    data = path.read_bytes()
    if not data.removeprefix(guards.BOM).lstrip(SPACE).startswith((b"{", b"[")):
        raise UnusableFileError(other_files.recognised(data) or OTHER_KIND)
    if guards.has_too_many_parts(data, guards.BRACKETS_MAX, guards.COMMAS_MAX):
        raise UnusableFileError(TOO_MANY_PARTS)
    document = guards.members(data, Counter(), False)
    users = (document or {}).get("users")
    if not users or not guards.is_list(users[-1]):
        return None, iter(())
    return document, map(bytes, guards.rows(users[-1], "users", Counter()))


def _head(document: dict[str, list[Raw]] | None) -> Head:
    values = {
        key: _value(document, key)
        for key in ("kind", "version", "app_version", "exported_at", "settings", "left_out")
    }
    if document is None or values["kind"] != KIND:
        raise UnusableFileError(OTHER_KIND)
    version = values["version"]
    if isinstance(version, bool) or not isinstance(version, int | float):
        raise UnusableFileError("This file does not say which version of the format it has.")
    if version > VERSION:
        newer = f"This file was made by a newer version: {version:g}."
        raise UnusableFileError(f"{newer} This server reads up to {VERSION}.")
    if version != VERSION:
        raise UnusableFileError(f"This file's version is {version:g}; this server reads {VERSION}.")
    try:
        exported_at = validation.moment(values["exported_at"], "exported_at")
    except FieldError:
        exported_at = None
    settings, lacks = values["settings"], values["left_out"]
    names = [name for name in lacks if isinstance(name, str)] if isinstance(lacks, list) else []
    return Head(
        made_by=_made_by(values["app_version"]),
        exported_at=exported_at,
        settings=settings if isinstance(settings, dict) else {},
        lacks=names[:NAMES_MAX],
    )


def _made_by(app_version: object) -> str:
    """The first versions did not say theirs."""
    if isinstance(app_version, str) and APP_VERSION.fullmatch(app_version):
        return f"Movie Manager {app_version}"
    return "Movie Manager"


def _value(document: dict[str, list[Raw]] | None, key: str) -> Any:
    """None for one that is missing, too long or cannot be read."""
    values = (document or {}).get(key)
    if not values or memoryview(values[-1]).nbytes > effective.FILE_MAX:
        return None
    try:
        return msgspec.json.decode(values[-1])
    except guards.NOT_JSON:
        return None


# One account.


def _account(username: str, members: dict[str, list[Raw]]) -> Account:
    if "library" not in members:
        raise InvalidError("It has no library.")
    warnings: list[str] = []
    password_hash = _value(members, "password_hash")
    if not isinstance(password_hash, str) or not accounts.usable_hash(password_hash):
        password_hash = accounts.NO_PASSWORD
        warnings.append(
            "Its password cannot be used here. Make a new one: an administrator can send a link."
        )
    return Account(
        user_id=_text(members, "id"),
        email=_text(members, "email"),
        username=username,
        password_hash=password_hash,
        created_at=_created_at(members, warnings),
        is_active=_flag(members, "is_active", True, warnings),
        is_admin=_flag(members, "is_admin", False, warnings),
        backup_enabled=_flag(members, "backup_enabled", True, warnings),
        retention=_retention(members, warnings),
        library=bytes(members["library"][-1]),
        warnings=warnings,
    )


def _text(members: dict[str, list[Raw]], key: str) -> str:
    """Raises InvalidError where it is missing."""
    value = validation.text(_value(members, key), key)
    if value is None:
        raise InvalidError(f"Its {key} is missing.")
    return value


def _flag(members: dict[str, list[Raw]], key: str, default: bool, warnings: list[str]) -> bool:
    value = _value(members, key)
    if isinstance(value, bool):
        return value
    words = "true" if default else "false"
    warnings.append(f"The file does not say whether {key} is true or false; it is {words} now.")
    return default


def _created_at(members: dict[str, list[Raw]], warnings: list[str]) -> float:
    now = clock.now()
    try:
        found = validation.moment(_value(members, "created_at"), "created_at")
    except FieldError:
        found = None
    if found is None or not 0 <= found <= now:
        warnings.append("The file doesn’t say when the account was created; it is dated today.")
        return now
    return found


def _retention(members: dict[str, list[Raw]], warnings: list[str]) -> Policy:
    found = _value(members, "retention")
    try:
        counts = msgspec.convert(found, dict[str, int])
        if counts.keys() == set(policies.UNITS):
            return policies.changed(Policy(), **counts)
    except (msgspec.ValidationError, FieldError):
        pass
    usual = policies.words(Policy())
    warnings.append(f"How many backups to keep can’t be read; {usual} are kept now.")
    return Policy()

"""Reading one value of a file, with a reason that its owner understands when it cannot be used."""

import re
from datetime import date, datetime, time

from mm import config

FILE_MAX = 64 * 2**20
TEXT_MAX = 500
TEXTS_MAX = 30
NUMBER_MAX = 2**31 - 1
MILLISECONDS_FROM = 1e10
# Larger ones cannot be reckoned with, and mean nothing anywhere in a library.
READABLE_MAX = 1e15
EARLIEST = datetime.fromisoformat("1870-01-01T00:00:00+00:00").timestamp()
LATEST = datetime.fromisoformat("2200-01-01T00:00:00+00:00").timestamp()
IMDB_ID = re.compile(r"tt[0-9]{7,}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
VOTES = {True: True, "true": True, "upvote": True, "1": True,
         False: False, "false": False, "downvote": False, "0": False}  # fmt: skip
NAMES_OF_TYPES = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list",
                  dict: "an object", type(None): "nothing"}  # fmt: skip


class Bad(Exception):
    """`path` is the field's, below its row; `reason` completes "path: reason"."""

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


def text(row: dict, key: str) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Bad(key, _wrong_type("text", value))
    if len(value) > TEXT_MAX:
        raise Bad(key, f"longer than {TEXT_MAX} characters")
    if "\0" in value:
        raise Bad(key, "holds a NUL character")
    return value


def texts(row: dict, key: str) -> dict[str, str]:
    """A few named texts, sorted by name, so that an export is the same whatever their order was."""
    value = row.get(key) or {}
    if not isinstance(value, dict):
        raise Bad(key, _wrong_type("an object", value))
    if len(value) > TEXTS_MAX:
        raise Bad(key, f"more than {TEXTS_MAX} entries")
    return {inner: text(value, inner) or "" for inner in sorted(value)}


def name(row: dict, key: str = "name") -> str:
    value = (text(row, key) or "").strip()
    if not value:
        raise Bad(key, "is missing or empty")
    if value in (".", ".."):
        raise Bad(key, f"{value!r} cannot be a name")
    if CONTROL.search(value):
        raise Bad(key, "holds a line end or another control character")
    return value


def identifier(row: dict, key: str = "id") -> str:
    """A list's id: printable, so that it can stand in an address."""
    value = (text(row, key) or "").strip()
    if not value:
        raise Bad(key, "is missing or empty")
    if not value.isprintable() or "/" in value or value in (".", ".."):
        raise Bad(key, f"{value!r} cannot be an id")
    return value


def imdb_id(row: dict) -> str:
    value = (text(row, "imdb_id") or "").strip().lower()
    if not value:
        raise Bad("imdb_id", "is missing or empty")
    if not IMDB_ID.fullmatch(value):
        raise Bad("imdb_id", f"{_short(value)} is not tt and 7 or more digits")
    return value


def color(row: dict) -> str | None:
    value = text(row, "color")
    if value is not None and not COLOR.fullmatch(value):
        raise Bad("color", f"{_short(value)} is not a colour like #0a84ff")
    return value


def one_of(row: dict, key: str, allowed: tuple[str, ...]) -> str | None:
    value = text(row, key)
    if value is not None and value not in allowed:
        raise Bad(key, f"{_short(value)} is none of {', '.join(allowed)}")
    return value


def flag(row: dict, key: str) -> bool | None:
    value = row.get(key)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise Bad(key, _wrong_type("true or false", value))


def whole_number(row: dict, key: str) -> int | None:
    value = number(row, key, "a whole number")
    if value is None:
        return None
    if value != int(value):
        raise Bad(key, f"{value:g} is not a whole number")
    if abs(value) > NUMBER_MAX:
        raise Bad(key, f"{value:g} is too large")
    return int(value)


def rating(row: dict) -> float | None:
    value = number(row, "my_rating", "a number")
    if value is None:
        return None
    if value > 10:
        raise Bad("my_rating", f"{value:g} is above 10")
    if value < 1:
        raise Bad("my_rating", f"{value:g} is below 1")
    return float(value)


def number(row: dict, key: str, expected: str) -> float | int | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Bad(key, _wrong_type(expected, value))
    if not abs(value) <= READABLE_MAX:
        raise Bad(key, "is not a number that can be meant")
    return value


def vote(row: dict) -> bool:
    value = row.get("vote_type")
    if value is None:
        return True
    key = value.strip().lower() if isinstance(value, str) else value
    if isinstance(key, str | bool | int) and key in VOTES:
        return VOTES[key]
    raise Bad("vote_type", f"{_short(str(value))} is neither upvote nor downvote")


def moment(row: dict, key: str) -> float | None:
    """Unix seconds from seconds, milliseconds, or an ISO date; a date without a time of day is noon in the server's
    time zone."""
    if isinstance(row.get(key), str):
        seconds = _iso_moment(key, row[key])
    else:
        value = number(row, key, "a time in Unix seconds")
        if value is None:
            return None
        seconds = value / 1000 if abs(value) > MILLISECONDS_FROM else float(value)
    if not EARLIEST <= seconds <= LATEST:
        raise Bad(key, f"{_short(str(row[key]))} is not a time between 1870 and 2200")
    return seconds


def _iso_moment(key: str, value: str) -> float:
    try:
        if len(value) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(value), time(12), config.current.zone).timestamp()
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=config.current.zone)).timestamp()
    except (ValueError, OverflowError) as error:
        raise Bad(key, f"{_short(value)} is not a time") from error


def required(value, key: str):
    if value is None:
        raise Bad(key, "is missing")
    return value


def _wrong_type(expected: str, value) -> str:
    return f"expected {expected}, found {NAMES_OF_TYPES.get(type(value), 'something else')}"


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")

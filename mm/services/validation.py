"""The rules for what users enter and files contain: names, colours, dates, ratings, votes, ids.

Each function takes a value as it came (from a form, a JSON body or a file's row) and the name of
its field, and returns it in the form that is stored, or raises FieldError.
"""

import re
from datetime import UTC, date, datetime, time

from mm import config
from mm.errors import InvalidError, NotFoundError
from mm.models import STATUSES
from mm.schemas import Problem
from mm.schemas.types import (
    COLOR_PATTERN,
    FIRST_YEAR,
    IMDB_ID_DIGITS,
    LAST_YEAR,
    MILLISECONDS_FROM,
    NOTE_MAX,
    NUMBER_MAX,
    RATING_MAX,
    RATING_MIN,
    TEXT_MAX,
)

# In bytes; a library of 150,000 films takes about 40 MB.
FILE_MAX = 64 * 2**20
TOO_LARGE = f"This file is larger than the {FILE_MAX >> 20} MB limit. Nothing was changed."
# Films, people, lists or views of one library, and recommendations of one film: a library with more
# could not be backed up.
FILMS_MAX = 200_000
# Films on all lists of one library together, each counted once for each list.
LIST_FILMS_MAX = 500_000
VOTES_MAX = 10_000
# Filters of a view, and values of one filter.
FILTERS_MAX = 30
# No number of a library is larger, and floats up to here are exact.
READABLE_MAX = 1e15
EARLIEST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(LAST_YEAR, 1, 1, tzinfo=UTC).timestamp()
IMDB_ID = re.compile(rf"tt[0-9]{{{IMDB_ID_DIGITS},}}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
COLOR = re.compile(COLOR_PATTERN)
VOTES = {
    True: True,
    "true": True,
    "upvote": True,
    "1": True,
    False: False,
    "false": False,
    "downvote": False,
    "0": False,
}
TYPE_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "nothing",
}


class FieldError(InvalidError):
    """A value that cannot be used. `path` is the field's, below its row; `reason` completes
    "path: reason"."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path}: {reason}", [Problem(path, reason)])
        self.path = path
        self.reason = reason


def text(value: object, key: str, longest: int = TEXT_MAX) -> str | None:
    """Unchanged, spaces included, so that an export has what the imported file had."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise FieldError(key, _wrong_type("text", value))
    if len(value) > longest:
        raise FieldError(key, f"longer than {longest:,} characters")
    if "\0" in value:
        raise FieldError(key, "holds a NUL character")
    return value


def trimmed_text(value: object, key: str) -> str | None:
    """Without spaces around it; what is empty then is None."""
    return (text(value, key) or "").strip() or None


def note(value: object, key: str = "note") -> str | None:
    """Up to NOTE_MAX characters, unchanged; None for a blank one."""
    kept = text(value, key, NOTE_MAX)
    return kept if kept and not kept.isspace() else None


def typed_note(value: object, key: str = "note") -> str | None:
    """As `note`, of what was typed into a form: without spaces around it, and with one character
    for a line end, where browsers send two."""
    typed = note(value.replace("\r\n", "\n") if isinstance(value, str) else value, key)
    return typed.strip() if typed else None


def hint_title(value: object) -> str | None:
    """The title of a film as somebody else knows it. None for one that cannot be used: a hint is
    never a reason to keep its film out."""
    if not isinstance(value, str) or len(value) > TEXT_MAX or CONTROL.search(value):
        return None
    return value.strip() or None


def hint_year(value: object) -> int | None:
    """As `hint_title`. FIRST_YEAR to LAST_YEAR."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if FIRST_YEAR <= value <= LAST_YEAR and value == int(value) else None


def filters(value: object, key: str = "filters") -> dict[str, str | list[str]]:
    """Of a saved view: each value a text, or several texts in order; sorted by name, so that
    exports do not depend on their order."""
    value = value or {}
    if not isinstance(value, dict):
        raise FieldError(key, _wrong_type("an object", value))
    if len(value) > FILTERS_MAX:
        raise FieldError(key, f"more than {FILTERS_MAX} filters")
    return {text(name, key) or "": _filter_value(value[name], name) for name in sorted(value)}


def _filter_value(value: object, key: str) -> str | list[str]:
    if not isinstance(value, list):
        return text(value, key) or ""
    if len(value) > FILTERS_MAX:
        raise FieldError(key, f"more than {FILTERS_MAX} values")
    return one_or_several([text(each, key) or "" for each in value])


def one_or_several(texts: list[str]) -> str | list[str]:
    values = sorted({each for each in texts if each})
    return values if len(values) > 1 else "".join(values)


def name(value: object, key: str = "name") -> str:
    """1 to TEXT_MAX characters without control characters; not `.` or `..`, which mean something
    else in a URL."""
    stripped = trimmed_text(value, key)
    if not stripped:
        raise FieldError(key, "is missing or empty")
    if stripped in (".", ".."):
        raise FieldError(key, f"{stripped!r} cannot be a name")
    if CONTROL.search(stripped):
        raise FieldError(key, "holds a line end or another control character")
    return stripped


def identifier(value: object, key: str = "id") -> str:
    """A list's id: printable and without slashes, so that it can be part of a URL."""
    stripped = trimmed_text(value, key)
    if not stripped:
        raise FieldError(key, "is missing or empty")
    if not stripped.isprintable() or "/" in stripped or stripped in (".", ".."):
        raise FieldError(key, f"{stripped!r} cannot be an id")
    return stripped


def imdb_id(value: object) -> str:
    """In lower case, without spaces around it."""
    stripped = (trimmed_text(value, "imdb_id") or "").lower()
    if not stripped:
        raise FieldError("imdb_id", "is missing or empty")
    if not IMDB_ID.fullmatch(stripped):
        raise FieldError("imdb_id", f"{_short(stripped)} is not an IMDb title ID")
    return stripped


def imdb_id_or_404(value: object) -> str:
    """As imdb_id(), for a part of a URL. Raises NotFoundError instead of FieldError."""
    try:
        return imdb_id(value)
    except FieldError as error:
        raise NotFoundError("Movie not found") from error


def color(value: object) -> str | None:
    """#rrggbb."""
    color = text(value, "color")
    if color is not None and not COLOR.fullmatch(color):
        raise FieldError("color", f"{_short(color)} is not a colour like #0a84ff")
    return color


def one_of(value: object, key: str, allowed: tuple[str, ...]) -> str | None:
    choice = text(value, key)
    if choice is not None and choice not in allowed:
        raise FieldError(key, f"unknown {key.replace('_', ' ')} {_short(choice)}")
    return choice


def status(value: object) -> str:
    return required(one_of(value, "status", STATUSES), "status")


def flag(value: object, key: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise FieldError(key, _wrong_type("true or false", value))


def number(value: object, key: str, expected: str = "a number") -> float | int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(key, _wrong_type(expected, value))
    # Written so that NaN is refused too.
    if not abs(value) <= READABLE_MAX:
        raise FieldError(key, "is not a usable number")
    return value


def whole_number(value: object, key: str) -> int | None:
    """An integer of 32 bits."""
    amount = number(value, key, "a whole number")
    if amount is None:
        return None
    if amount != int(amount):
        raise FieldError(key, f"{amount:g} is not a whole number")
    if abs(amount) > NUMBER_MAX:
        raise FieldError(key, f"{amount:g} is too large")
    return int(amount)


def rating(value: object) -> float | None:
    """1.0 to 10.0, or None for a watch without a rating."""
    stars = number(value, "my_rating")
    if stars is None:
        return None
    if stars > RATING_MAX:
        raise FieldError("my_rating", f"{stars:g} is above {RATING_MAX}")
    if stars < RATING_MIN:
        raise FieldError("my_rating", f"{stars:g} is below {RATING_MIN}")
    return float(stars)


def vote(value: object) -> bool:
    """True for an upvote, which is the default."""
    if value is None:
        return True
    spelling = value.strip().lower() if isinstance(value, str) else value
    if isinstance(spelling, str | bool | int) and spelling in VOTES:
        return VOTES[spelling]
    raise FieldError("vote_type", f"{_short(str(value))} is not a vote (upvote or downvote)")


def moment(value: object, key: str) -> float | None:
    """Unix seconds from seconds, milliseconds, or an ISO date; a date without a time of day is noon
    in the server's time zone."""
    if isinstance(value, str):
        seconds = _iso_moment(key, value)
    else:
        amount = number(value, key, "a time in Unix seconds")
        if amount is None:
            return None
        seconds = amount / 1000 if abs(amount) > MILLISECONDS_FROM else float(amount)
    if not EARLIEST <= seconds <= LATEST:
        expected = f"a time between {FIRST_YEAR} and {LAST_YEAR}"
        raise FieldError(key, f"{_short(str(value))} is not {expected}")
    # Without the sign of a zero, which SQLite does not keep.
    return seconds + 0.0


def required(value, key: str):
    if value is None:
        raise FieldError(key, "is missing")
    return value


def _iso_moment(key: str, value: str) -> float:
    try:
        if len(value) == len("2026-01-31"):
            noon = datetime.combine(date.fromisoformat(value), time(12), config.current.zone)
            return noon.timestamp()
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=config.current.zone)).timestamp()
    except (ValueError, OverflowError) as error:
        raise FieldError(key, f"{_short(value)} is not a time") from error


def _wrong_type(expected: str, value: object) -> str:
    return f"expected {expected}, found {TYPE_NAMES.get(type(value), 'something else')}"


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")

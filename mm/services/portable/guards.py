"""JSON, decoded step by step, so that no file can stop or fill the server.

Decoding holds Python's one lock: 64 MiB of JSON at once would stop every other request for seconds
and take gigabytes. So what has too many parts is refused before it is decoded, and the rest is
decoded row by row.
"""

import re
from collections import Counter, defaultdict
from typing import Any

import msgspec
from msgspec import Raw

from mm.errors import UnusableFileError
from mm.services.validation import FieldError

# A file of 64 MiB that holds a library stays far below: 200,000 films with two votes each have 0.8
# million brackets and 2.6 million commas, and nothing but votes makes 1 million and 2.9 million.
BRACKETS_MAX = 3_000_000
COMMAS_MAX = 4_000_000
# Of one row; a list of 200,000 films has 200,000 brackets and 400,000 commas.
ROW_BRACKETS_MAX = 250_000
ROW_COMMAS_MAX = 450_000
# A shorter row cannot have that many.
LONG_ROW = ROW_BRACKETS_MAX
# Emoji, backslashes and broken characters that are looked through for the last.
ESCAPES_MAX = 1_000_000
# Characters of a value that is neither a list nor an object.
SINGLE_MAX = 10_000
KEYS_MAX = 1_000
BOM = b"\xef\xbb\xbf"
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
NO_JSON = "This file can’t be read: {}. It may be incomplete, or not a Movie Manager export."
# An escaped backslash and a whole pair are matched to be stepped over.
SURROGATES = re.compile(
    rb"""\\\\
    | \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}
    | (?P<half> \\u[dD][89a-fA-F][0-9a-fA-F]{2} )""",
    re.VERBOSE,
)


class _Key:
    """A key of the outermost object. Two of one name stay two, where a dict of texts would keep the
    last."""

    def __init__(self, name: str):
        self.name = name


_MEMBERS = dict[_Key, Raw]
_SAME = _Key("")
_RAW: msgspec.json.Decoder = msgspec.json.Decoder(Raw)
_ROWS: msgspec.json.Decoder = msgspec.json.Decoder(list[Raw])
_ANY: msgspec.json.Decoder = msgspec.json.Decoder()


def has_too_many_parts(data: bytes, brackets: int, commas: int) -> bool:
    """Whether JSON would become more Python objects than any honest body of its size: each byte can
    cost thirty."""
    return data.count(b"[") + data.count(b"{") > brackets or data.count(b",") > commas


# `counted` gathers what the user is warned of, with how often it was met. `path` is where a value
# lies in the file, "" for the whole of it. Each raises UnusableFileError for what is not JSON.


def members(data: bytes, counted: Counter, trusted: bool) -> dict[str, list[Raw]] | None:
    """The values of the outermost object by their keys, not decoded yet; more than one where a key
    is repeated. None for JSON that is no object. `trusted`: have as many parts as it likes."""
    if not trusted and has_too_many_parts(data, BRACKETS_MAX, COMMAS_MAX):
        raise UnusableFileError(
            "This file has more brackets or commas than any library. Is it the right file?"
        )
    data = data.removeprefix(BOM)
    if not data[:LONG_ROW].lstrip(b" \t\r\n").startswith(b"{"):
        _decode(_RAW, data, "", counted)
        return None
    keys: list[str] = []

    def keep(kind: type, name: str) -> _Key:
        keys.append(name)
        if len(keys) > KEYS_MAX:
            raise UnusableFileError(
                f"This file isn’t a Movie Manager export: it has more than {KEYS_MAX:,} keys."
            )
        return _Key(name)

    values: dict[str, list[Raw]] = defaultdict(list)
    decoder = msgspec.json.Decoder(_MEMBERS, dec_hook=keep)
    for key, value in _decode(decoder, data, "", counted).items():
        values[key.name].append(value)
    return values


def document(data: bytes, counted: Counter) -> Any:
    """A small file as a whole: the caller has looked at its size and its parts."""
    return _decode(_ANY, data, "", counted)


def single(value: Raw, path: str, counted: Counter):
    """A value that is neither a list nor an object. Raises FieldError for one that is too long."""
    if memoryview(value).nbytes > SINGLE_MAX:
        raise FieldError(path, f"longer than {SINGLE_MAX:,} characters")
    return _decode(_ANY, value, path, counted)


def is_list(value: Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"["


def rows(value: Raw, path: str, counted: Counter) -> list[Raw]:
    """The entries of a list, not decoded yet."""
    return _decode(_ROWS, value, path, counted)


def row(value: Raw, path: str, counted: Counter, trusted: bool) -> dict:
    """Raises FieldError for what is no object, or holds too much."""
    is_long = memoryview(value).nbytes > LONG_ROW and not trusted
    if is_long and has_too_many_parts(bytes(value), ROW_BRACKETS_MAX, ROW_COMMAS_MAX):
        raise FieldError("", "holds more brackets or commas than any film or list")
    decoded = _decode(_ANY, value, path, counted)
    if not isinstance(decoded, dict):
        raise FieldError("", "expected an object")
    return decoded


def count_entries(value: Raw, path: str, counted: Counter) -> int:
    """How many entries a value of an unknown key holds: it may be anything, so its entries are not
    decoded."""
    start = bytes(memoryview(value)[:1])
    if start == b"[":
        return len(rows(value, path, counted))
    if start == b"{":
        entries = 0

        def count(kind: type, name: str) -> _Key:
            nonlocal entries
            entries += 1
            return _SAME

        _decode(msgspec.json.Decoder(_MEMBERS, dec_hook=count), value, path, counted)
        return entries
    return 0 if bytes(value) in (b"null", b'""') else 1


def _decode(decoder: msgspec.json.Decoder, data: bytes | Raw, path: str, counted: Counter):
    """Half a character, as other programs leave it when they cut a text within an emoji, becomes
    U+FFFD."""
    try:
        return decoder.decode(data)
    except NOT_JSON as error:
        mended, count = _without_halves(bytes(data))
        if not count:
            raise UnusableFileError(NO_JSON.format(_what_is_wrong(error, path))) from error
    counted["Broken characters that became \ufffd"] += count
    try:
        return decoder.decode(mended)
    except NOT_JSON as error:
        raise UnusableFileError(NO_JSON.format(_what_is_wrong(error, path))) from error


def _without_halves(data: bytes) -> tuple[bytes, int]:
    """JSON with each escaped surrogate that has no partner replaced, and how many there were."""
    count = escapes = 0

    def replace(match: re.Match) -> bytes:
        nonlocal count, escapes
        escapes += 1
        if escapes > ESCAPES_MAX:
            raise UnusableFileError(NO_JSON.format("it has too many broken characters"))
        if not match["half"]:
            return match[0]
        count += 1
        return rb"\ufffd"

    return SURROGATES.sub(replace, data), count


def _what_is_wrong(error: Exception, path: str) -> str:
    if path:
        return f"{path} is broken"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    at = re.search(r"\(byte (\d+)\)", str(error))
    return f"byte {int(at[1]):,} is invalid" if at else "it ends too early"

"""From the bytes of a file to rows that can be planned, and the list of what cannot.

Rows are decoded one by one, because a typed decoding of the whole would stop at the first bad one.
The unit kept out is the film, the person, the list or the single vote. It also keeps the server
alive: decoding holds Python's one lock, and 64 MiB of JSON at once would stop every other request
for seconds and take gigabytes.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Raw, Struct

from mm import clock
from mm.clock import DAY
from mm.database import fold
from mm.errors import TooLargeError, UnusableFileError
from mm.models import QUICK_RECOMMENDERS, STATUSES
from mm.schemas import VERSION, Problem, WatchEntry
from mm.services import validation
from mm.services.portable.plans import Warnings
from mm.services.validation import FieldError

# So many bad rows are another kind of file, and their list would fill the memory.
ERRORS_MAX = 100_000
# A file of 64 MiB that holds a library stays far below: 200,000 films with two votes each have 0.8
# million brackets and 2.6 million commas, and nothing but votes makes 1 million and 2.9 million.
BRACKETS_MAX = 3_000_000
COMMAS_MAX = 4_000_000
# Brackets of one row, and commas; a film with 10,000 votes has 10,000 and 30,000.
ROW_PARTS_MAX = 250_000
# A shorter row cannot have that many.
LONG_ROW = ROW_PARTS_MAX
# Emoji, backslashes and broken characters that are looked through for the last.
ESCAPES_MAX = 1_000_000
# Characters of a value that is neither a list nor an object.
SINGLE_MAX = 10_000
KEYS_MAX = 1_000
# Of keys that are not known, so many are named.
UNKNOWN_MAX = 20
BOM = b"\xef\xbb\xbf"
SECTIONS = ("movies", "people", "lists", "views", "rankings")
QUICK_KEYS = {key for key, *_ in QUICK_RECOMMENDERS}
# What version 1 carried besides, and what the API's own rows carry: not part of a library.
IGNORED = {
    "user_id",
    "person_id",
    "id",
    "tmdb_data",
    "omdb_data",
    "imdb_id",
    "person",
    "movie_count",
    "created_at",
}
KNOWN = {
    "": {"version", "exported_at", *SECTIONS},
    "movies": {
        "imdb_id",
        "media_type",
        "status",
        "custom_list_id",
        "date_added",
        "last_modified",
        "recommendations",
        "watch_history",
        "watches",
    },
    "people": {"name", "is_trusted", "color", "emoji", "quick_key", "last_modified"},
    "views": {"name", "filters", "position", "last_modified"},
    "lists": {"id", "name", "color", "icon", "position", "created_at", "last_modified"},
    "rankings": {"imdb_id", "liked", "position", "ranked_at"},
}


class FileVote(Struct):
    key: str
    person_name: str
    date_recommended: float | None
    vote_type: bool


class FileFilm(Struct):
    """None where the file says nothing; `last_modified` is then the file's exported_at."""

    path: str
    imdb_id: str
    media_type: str | None
    status: str | None
    list_id: str | None
    date_added: float | None
    last_modified: float
    votes: list[FileVote]
    watches: dict[float, float | None]


class FilePerson(Struct):
    path: str
    key: str
    name: str
    is_trusted: bool | None
    color: str | None
    emoji: str | None
    quick_key: str | None
    last_modified: float


class FileList(Struct):
    path: str
    id: str
    name: str
    color: str | None
    icon: str | None
    position: int | None
    created_at: float | None
    last_modified: float


class FileView(Struct):
    path: str
    key: str
    name: str
    filters: dict[str, str]
    position: int | None
    last_modified: float


class FileRanking(Struct):
    """`position` is the file's: it may have holes, and two rows may have the same."""

    path: str
    imdb_id: str
    liked: bool
    position: int
    ranked_at: float | None


class Incoming(Struct):
    """What a file holds. Nothing of it has been compared with a library."""

    exported_at: float
    films: list[FileFilm]
    people: list[FilePerson]
    lists: list[FileList]
    views: list[FileView]
    rankings: list[FileRanking]
    errors: list[Problem]
    warnings: list[str]


class _Reader(Struct):
    """What one reading gathers on its way. `own` and the times are as in `read`."""

    own: bool
    latest: float
    exported_at: float = 0.0
    errors: list[Problem] = []
    warnings: Warnings = msgspec.field(default_factory=Warnings)
    counted: Counter = msgspec.field(default_factory=Counter)

    def reject(self, path: str, reason: str) -> None:
        self.errors.append(Problem(path, reason))
        if len(self.errors) > ERRORS_MAX:
            raise UnusableFileError(
                f"More than {ERRORS_MAX:,} rows cannot be used, such as {path}: {reason}. Is it the right file?"
            )


def read(data: bytes, own: bool = False) -> Incoming:
    """`own`: a backup of this server, whose times are taken as they are; on a machine whose clock
    was set back they lie in the future. Its size is not limited either. Raises TooLargeError, or
    UnusableFileError for what is no library at all: not JSON, not an object, a newer version, or nothing
    usable in it."""
    if len(data) > validation.FILE_MAX and not own:
        raise TooLargeError(validation.TOO_LARGE)
    reader = _Reader(own, validation.LATEST if own else clock.now() + DAY)
    document = _parse(reader, data)
    _check_version(reader, document)
    reader.exported_at = _exported_at(reader, document)
    sections = _sections(reader, document)
    incoming = Incoming(
        exported_at=reader.exported_at,
        lists=list(_rows(reader, "lists", sections["lists"], _list, lambda row: row.id)),
        people=list(_rows(reader, "people", sections["people"], _person, lambda row: row.key)),
        views=list(_rows(reader, "views", sections["views"], _view, lambda row: row.key)),
        rankings=list(_rankings(reader, sections["rankings"])),
        films=list(_rows(reader, "movies", sections["movies"], _film, lambda row: row.imdb_id)),
        errors=reader.errors,
        warnings=[],
    )
    _refuse_unusable(incoming)
    counted = [f"{count:,} {text}." for text, count in sorted(reader.counted.items())]
    incoming.warnings = [*reader.warnings.lines(), *counted]
    return incoming


def has_too_many_parts(data: bytes, brackets: int, commas: int) -> bool:
    """Whether JSON would become more Python objects than any honest body of its size: each byte can
    cost thirty."""
    return data.count(b"[") + data.count(b"{") > brackets or data.count(b",") > commas


# JSON, decoded step by step.


class _Key:
    """A key of the outermost object. Two of one name stay two, where a dict of texts would keep the
    last."""

    def __init__(self, name: str):
        self.name = name


_MEMBERS = dict[_Key, Raw]
SAME = _Key("")
_ROWS: msgspec.json.Decoder = msgspec.json.Decoder(list[Raw])
_ANY: msgspec.json.Decoder = msgspec.json.Decoder()
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
NO_JSON = "The file is not valid JSON: {}. Is it cut off, or another kind of file?"
# An escaped backslash and a whole pair are matched to be stepped over.
SURROGATES = re.compile(
    rb"""\\\\
    | \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}
    | (?P<half> \\u[dD][89a-fA-F][0-9a-fA-F]{2} )""",
    re.VERBOSE,
)


def _parse(reader: _Reader, data: bytes) -> dict[str, list[Raw]]:
    """The values of the outermost object by their keys, not decoded yet; more than one where a key
    is repeated."""
    if not reader.own and has_too_many_parts(data, BRACKETS_MAX, COMMAS_MAX):
        raise UnusableFileError(
            "The file has more brackets or commas than any library. Is it another file?"
        )
    data = data.removeprefix(BOM)
    if not data[:LONG_ROW].lstrip(b" \t\r\n").startswith(b"{"):
        _decode(reader, msgspec.json.Decoder(Raw), data, "")
        raise UnusableFileError(
            "The file is JSON, but no Movie Manager export: "
            f"that is an object with {', '.join(SECTIONS[:-1])} and {SECTIONS[-1]}."
        )
    keys: list[str] = []

    def keep(kind: type, name: str) -> _Key:
        keys.append(name)
        if len(keys) > KEYS_MAX:
            raise UnusableFileError(
                f"The outermost object has more than {KEYS_MAX:,} keys: no library has."
            )
        return _Key(name)

    found: dict[str, list[Raw]] = defaultdict(list)
    decoder = msgspec.json.Decoder(_MEMBERS, dec_hook=keep)
    for key, value in _decode(reader, decoder, data, "").items():
        found[key.name].append(value)
    return found


def _decode(reader: _Reader, decoder: msgspec.json.Decoder, data: bytes | Raw, path: str):
    """Raises UnusableFileError for what is not JSON. Half a character, as other programs leave it when they
    cut a text within an emoji, becomes U+FFFD."""
    try:
        return decoder.decode(data)
    except NOT_JSON as error:
        mended, count = _without_halves(bytes(data))
        if not count:
            raise UnusableFileError(NO_JSON.format(_what_is_wrong(error, path))) from error
    reader.counted["characters were only half there, and became \ufffd"] += count
    try:
        return decoder.decode(mended)
    except NOT_JSON as error:
        raise UnusableFileError(NO_JSON.format(_what_is_wrong(error, path))) from error


def _without_halves(data: bytes) -> tuple[bytes, int]:
    """JSON with each escaped surrogate that has no partner replaced, and how many there were."""
    count = escapes = 0

    def replace(found: re.Match) -> bytes:
        nonlocal count, escapes
        escapes += 1
        if escapes > ESCAPES_MAX:
            raise UnusableFileError(NO_JSON.format("it has too many broken characters"))
        if not found["half"]:
            return found[0]
        count += 1
        return rb"\ufffd"

    return SURROGATES.sub(replace, data), count


def _what_is_wrong(error: Exception, path: str) -> str:
    if path:
        return f"{path} cannot be read"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    at = re.search(r"\(byte (\d+)\)", str(error))
    return f"byte {int(at[1]):,} cannot be read" if at else "it ends too early"


def _check_version(reader: _Reader, document: dict[str, list[Raw]]) -> None:
    try:
        version = validation.number(_single(reader, document, "version"), "version")
    except FieldError as error:
        raise UnusableFileError(f"The file's version: {error.reason}.") from error
    version = 1 if version is None else version
    if version > VERSION:
        newer = f"The file was made by a newer version: {version:g}."
        raise UnusableFileError(f"{newer} This server reads up to {VERSION}.")
    if version not in (1, 2):
        raise UnusableFileError(f"The file's version is {version:g}; this server reads 1 and 2.")


def _exported_at(reader: _Reader, document: dict[str, list[Raw]]) -> float:
    try:
        exported_at = validation.moment(_single(reader, document, "exported_at"), "exported_at")
    except FieldError as error:
        raise UnusableFileError(f"{error.path}: {error.reason}") from error
    return clock.now() if exported_at is None or exported_at > reader.latest else exported_at


def _single(reader: _Reader, document: dict[str, list[Raw]], key: str):
    """The value of a key that holds no list; the last, where it is repeated."""
    if not document.get(key):
        return None
    value = document[key][-1]
    if len(bytes(value)) > SINGLE_MAX:
        raise FieldError(key, f"longer than {SINGLE_MAX:,} characters")
    return _decode(reader, _ANY, value, key)


def _sections(reader: _Reader, document: dict[str, list[Raw]]) -> dict[str, list[Raw]]:
    """The rows of each section, not decoded yet. A section that is there twice is read as one."""
    found: dict[str, list[Raw]] = {}
    for name in SECTIONS:
        lists = document.get(name, [])
        for value in lists:
            if bytes(memoryview(value)[:1]) == b"[":
                found.setdefault(name, []).extend(_decode(reader, _ROWS, value, name))
            elif memoryview(value).nbytes > SINGLE_MAX or _decode(reader, _ANY, value, name):
                reader.reject(name, "expected a list")
        if len(lists) > 1:
            again = f"The file holds {name!r} {len(lists)} times: all of them were read as one."
            reader.warnings.add("twice", again)
        if len(found.get(name, [])) > validation.FILMS_MAX:
            count = len(found[name])
            raise UnusableFileError(
                f"The file holds {count:,} {name}; the limit is {validation.FILMS_MAX:,}."
            )
    if not found:
        raise UnusableFileError(
            f"The file is JSON, but has none of the lists {', '.join(SECTIONS[:-1])} and "
            f"{SECTIONS[-1]}: nothing in it can be imported."
        )
    for name in sorted(document.keys() - KNOWN[""] - IGNORED):
        if count := sum(_count_entries(reader, value, name) for value in document[name]):
            _count_as_unknown(reader, name, count)
    return {name: found.get(name, []) for name in SECTIONS}


def _count_entries(reader: _Reader, value: Raw, path: str) -> int:
    """How many entries a value holds that is not read: without decoding it, for it may be
    anything."""
    start = bytes(memoryview(value)[:1])
    if start == b"[":
        return len(_decode(reader, _ROWS, value, path))
    if start == b"{":
        names: Counter[str] = Counter()

        def count(kind: type, name: str) -> _Key:
            names["all"] += 1
            return SAME

        _decode(reader, msgspec.json.Decoder(_MEMBERS, dec_hook=count), value, path)
        return names["all"]
    return 0 if bytes(value) in (b"null", b'""') else 1


def _rows(
    reader: _Reader,
    section: str,
    rows: list[Raw],
    read_row: Callable,
    key_of: Callable,
) -> Iterator:
    """Decoded rows; of rows with one key the first stands."""
    first: dict[str, str] = {}
    for index, raw in enumerate(rows):
        path = f"{section}[{index}]"
        try:
            row = _row(reader, path, raw)
            _count_unknown(reader, section, row)
            decoded = read_row(reader, path, row)
        except FieldError as error:
            reader.reject(_join(path, error.path), error.reason)
            continue
        key = key_of(decoded)
        if key not in first:
            first[key] = path
            yield decoded
        elif section == "people":
            reader.warnings.add("joined", f"{path} and {first[key]} are one person: joined.")
        else:
            reader.reject(path, f"the same as {first[key]}, which stands")


def _row(reader: _Reader, path: str, raw: Raw) -> dict:
    if memoryview(raw).nbytes > LONG_ROW and not reader.own:
        half = ROW_PARTS_MAX
        if has_too_many_parts(bytes(raw), half, half):
            raise FieldError("", f"holds more than {half:,} brackets or commas")
    row = _decode(reader, _ANY, raw, path)
    if not isinstance(row, dict):
        raise FieldError("", "expected an object")
    return row


def _film(reader: _Reader, path: str, row: dict) -> FileFilm:
    film = FileFilm(
        path=path,
        imdb_id=validation.imdb_id(row.get("imdb_id")),
        media_type=validation.text(row.get("media_type"), "media_type"),
        status=validation.one_of(row.get("status"), "status", STATUSES),
        list_id=(validation.text(row.get("custom_list_id"), "custom_list_id") or "").strip()
        or None,
        date_added=validation.moment(row.get("date_added"), "date_added"),
        last_modified=_last_modified(reader, row),
        watches=_watches(row),
        votes=[],
    )
    _settle_list(reader, film)
    # Last: a vote that is kept out is reported, and must not be for a film that is kept out itself.
    film.votes = list(_votes(reader, path, row))
    return film


def _settle_list(reader: _Reader, film: FileFilm) -> None:
    """A film is on a list when its status says so, or when nothing but the list is given."""
    if film.status is None and film.list_id:
        film.status = "custom"
    if film.status == "custom" and not film.list_id:
        raise FieldError("custom_list_id", "is missing, and the status is custom")
    if film.status != "custom" and film.list_id:
        reader.counted[
            "films name a list, but their status is not custom: the list was ignored"
        ] += 1
        film.list_id = None


def _watches(row: dict) -> dict[float, float | None]:
    """Ratings by date; `watch_history` is the latest and repeats the last of `watches`."""
    entries = [(f"watches[{index}]", entry) for index, entry in enumerate(_list_of(row, "watches"))]
    if row.get("watch_history") is not None:
        entries.append(("watch_history", row["watch_history"]))
    found: dict[float, float | None] = {}
    for path, entry in entries:
        watch = _watch(path, entry)
        if watch.my_rating is not None or watch.date_watched not in found:
            found[watch.date_watched] = watch.my_rating
    return found


def _watch(path: str, entry) -> WatchEntry:
    if not isinstance(entry, dict):
        raise FieldError(path, "expected an object")
    try:
        date_watched = validation.required(
            validation.moment(entry.get("date_watched"), "date_watched"), "date_watched"
        )
        return WatchEntry(date_watched, validation.rating(entry.get("my_rating")))
    except FieldError as error:
        raise FieldError(_join(path, error.path), error.reason) from error


def _votes(reader: _Reader, film_path: str, row: dict) -> Iterator[FileVote]:
    first: dict[str, str] = {}
    entries = _list_of(row, "recommendations")
    if len(entries) > validation.VOTES_MAX:
        raise FieldError(
            "recommendations", f"{len(entries):,} votes; the limit is {validation.VOTES_MAX:,}"
        )
    for index, entry in enumerate(entries):
        path = f"{film_path}.recommendations[{index}]"
        try:
            vote = _vote(entry)
        except FieldError as error:
            reader.reject(_join(path, error.path), error.reason)
            continue
        if vote.key in first:
            reader.reject(path, f"the same person as {first[vote.key]}, which stands")
            continue
        first[vote.key] = path
        yield vote


def _vote(entry) -> FileVote:
    if not isinstance(entry, dict):
        raise FieldError("", "expected an object")
    person_name = validation.name(entry.get("person_name"), "person_name")
    return FileVote(
        fold(person_name),
        person_name,
        validation.moment(entry.get("date_recommended"), "date_recommended"),
        validation.vote(entry.get("vote_type")),
    )


def _person(reader: _Reader, path: str, row: dict) -> FilePerson:
    name = validation.name(row.get("name"))
    quick_key = validation.text(row.get("quick_key"), "quick_key")
    if quick_key is not None and quick_key not in QUICK_KEYS:
        reader.counted["people have an unknown quick_key: it was ignored"] += 1
        quick_key = None
    return FilePerson(
        path=path,
        key=fold(name),
        name=name,
        is_trusted=validation.flag(row.get("is_trusted"), "is_trusted"),
        color=validation.color(row.get("color")),
        emoji=validation.text(row.get("emoji"), "emoji"),
        quick_key=quick_key,
        last_modified=_last_modified(reader, row),
    )


def _list(reader: _Reader, path: str, row: dict) -> FileList:
    return FileList(
        path=path,
        id=validation.identifier(row.get("id")),
        name=validation.name(row.get("name")),
        color=validation.color(row.get("color")),
        icon=validation.text(row.get("icon"), "icon"),
        position=validation.whole_number(row.get("position"), "position"),
        created_at=validation.moment(row.get("created_at"), "created_at"),
        last_modified=_last_modified(reader, row),
    )


def _view(reader: _Reader, path: str, row: dict) -> FileView:
    name = validation.name(row.get("name"))
    return FileView(
        path=path,
        key=fold(name),
        name=name,
        filters=validation.texts(row.get("filters"), "filters"),
        position=validation.whole_number(row.get("position"), "position"),
        last_modified=_last_modified(reader, row),
    )


def _rankings(reader: _Reader, rows: list) -> Iterator[FileRanking]:
    return _rows(reader, "rankings", rows, _ranking, lambda row: row.imdb_id)


def _ranking(reader: _Reader, path: str, row: dict) -> FileRanking:
    """Without a position it comes last."""
    position = validation.whole_number(row.get("position"), "position")
    return FileRanking(
        path=path,
        imdb_id=validation.imdb_id(row.get("imdb_id")),
        liked=validation.required(validation.flag(row.get("liked"), "liked"), "liked"),
        position=validation.NUMBER_MAX if position is None else position,
        ranked_at=validation.moment(row.get("ranked_at"), "ranked_at"),
    )


def _last_modified(reader: _Reader, row: dict) -> float:
    value = validation.moment(row.get("last_modified"), "last_modified")
    if value is None:
        return reader.exported_at
    if value > reader.latest:
        reader.counted["rows had a last_modified in the future: it was taken as now"] += 1
        return clock.now()
    return value


def _list_of(row: dict, key: str) -> list:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise FieldError(key, "expected a list")
    return value


def _count_unknown(reader: _Reader, section: str, row: dict) -> None:
    """Data under keys that this version does not know must not be lost in silence."""
    if row.keys() <= KNOWN[section]:
        return
    for key in sorted(row.keys() - KNOWN[section] - IGNORED):
        if row[key] not in (None, "", [], {}):
            _count_as_unknown(reader, f"{section}[].{key}", 1)


def _count_as_unknown(reader: _Reader, label: str, count: int) -> None:
    text = f"entries under {label[:80]!r} are not known to this version: left out"
    if text not in reader.counted and len(reader.counted) >= UNKNOWN_MAX:
        text = "entries under further keys are not known to this version: left out"
    reader.counted[text] += count


def _refuse_unusable(incoming: Incoming) -> None:
    usable = (incoming.films, incoming.people, incoming.lists, incoming.views, incoming.rankings)
    if incoming.errors and not any(usable):
        first = f"{incoming.errors[0].path}: {incoming.errors[0].reason}"
        count = len(incoming.errors)
        raise UnusableFileError(
            f"No row of the file can be used. First of {count:,} problems: {first}"
        )


def _join(path: str, below: str) -> str:
    return f"{path}.{below}" if below else path

"""From the bytes of a file to rows that can be planned, and the list of what cannot.

Rows are decoded one by one, because a typed decoding of the whole would stop at the first bad one. The unit kept out
is the film, the person, the list or the single vote.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from mm import clock
from mm.documents import VERSION, Problem, WatchEntry
from mm.errors import Invalid, TooLarge
from mm.models import QUICK_RECOMMENDERS, STATUSES, fold
from mm.services.portable import fields
from mm.services.portable.fields import FILE_MAX, Bad

DAY = 86400
FILMS_MAX = 200_000
VOTES_MAX = 10_000
# So many bad rows are another kind of file, and their list would fill the memory.
ERRORS_MAX = 100_000
BOM = b"\xef\xbb\xbf"
SECTIONS = ("movies", "people", "lists", "views")
QUICK_KEYS = {key for key, *_ in QUICK_RECOMMENDERS}
# What version 1 carried besides, and what the API's own rows carry: not part of a library.
IGNORED = {"user_id", "person_id", "id", "tmdb_data", "omdb_data", "imdb_id", "person", "movie_count", "created_at"}
KNOWN = {
    "": {"version", "exported_at", *SECTIONS},
    "movies": {"imdb_id", "media_type", "status", "custom_list_id", "date_added", "last_modified", "recommendations",
               "watch_history", "watches"},
    "people": {"name", "is_trusted", "color", "emoji", "quick_key", "last_modified"},
    "views": {"name", "filters", "position", "last_modified"},
    "lists": {"id", "name", "color", "icon", "position", "created_at", "last_modified"},
}  # fmt: skip


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


class Incoming(Struct):
    """What a file holds. Nothing of it has been compared with a library."""

    exported_at: float
    films: list[FileFilm]
    people: list[FilePerson]
    lists: list[FileList]
    views: list[FileView]
    errors: list[Problem]
    warnings: list[str]


class _Reader(Struct):
    """What one reading gathers on its way."""

    exported_at: float
    latest: float
    errors: list[Problem]
    warnings: list[str]
    counted: Counter

    def reject(self, path: str, reason: str) -> None:
        self.errors.append(Problem(path, reason))
        if len(self.errors) > ERRORS_MAX:
            raise Invalid(
                f"More than {ERRORS_MAX:,} rows cannot be used, such as {path}: {reason}. Is it the right file?"
            )


def read(data: bytes, own: bool = False) -> Incoming:
    """`own`: a backup of this server, whose times are taken as they are; on a machine whose clock was set back they
    lie in the future. Raises TooLarge, or Invalid for what is no library at all: not JSON, not an object, a newer
    version, or nothing usable in it."""
    document = _parse(data, own)
    _check_version(document)
    latest = fields.LATEST if own else clock.now() + DAY
    reader = _Reader(_exported_at(document, latest), latest, [], [], Counter())
    sections = _sections(document, reader)
    incoming = Incoming(
        exported_at=reader.exported_at,
        lists=list(_rows(reader, "lists", sections["lists"], _list, lambda row: row.id)),
        people=list(_rows(reader, "people", sections["people"], _person, lambda row: row.key)),
        views=list(_rows(reader, "views", sections["views"], _view, lambda row: row.key)),
        films=list(_rows(reader, "movies", sections["movies"], _film, lambda row: row.imdb_id)),
        errors=reader.errors,
        warnings=reader.warnings,
    )
    _refuse_unusable(incoming)
    _warn_of_counted(reader)
    return incoming


def _parse(data: bytes, own: bool) -> dict:
    if len(data) > FILE_MAX and not own:
        raise TooLarge(f"The file is larger than {FILE_MAX >> 20} MiB.")
    try:
        document = msgspec.json.decode(data.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The file is not valid JSON: {error}. Is it cut off, or another kind of file?") from error
    if not isinstance(document, dict):
        raise Invalid("The file is JSON, but no Movie Manager export: that is an object with movies, people and lists.")
    return document


def _check_version(document: dict) -> None:
    try:
        version = fields.number({"version": 1, **document}, "version", "a number")
    except Bad as bad:
        raise Invalid(f"The file's version: {bad.reason}.") from bad
    version = 1 if version is None else version
    if version > VERSION:
        raise Invalid(f"The file was made by a newer version: {version:g}. This server reads up to {VERSION}.")
    if version not in (1, 2):
        raise Invalid(f"The file's version is {version:g}; this server reads 1 and 2.")


def _exported_at(document: dict, latest: float) -> float:
    try:
        exported_at = fields.moment(document, "exported_at")
    except Bad as bad:
        raise Invalid(f"{bad.path}: {bad.reason}") from bad
    return clock.now() if exported_at is None or exported_at > latest else exported_at


def _sections(document: dict, reader: _Reader) -> dict[str, list]:
    if not any(isinstance(document.get(name), list) for name in SECTIONS):
        raise Invalid(
            "The file is JSON, but has no list of movies, people, lists or views: nothing in it can be imported."
        )
    for name in SECTIONS:
        if not isinstance(document.get(name) or [], list):
            reader.reject(name, "expected a list")
    _count_unknown(reader, "", document)
    found = {name: document[name] if isinstance(document.get(name), list) else [] for name in SECTIONS}
    for name, rows in found.items():
        if len(rows) > FILMS_MAX:
            raise Invalid(f"The file holds {len(rows):,} {name}; the limit is {FILMS_MAX:,}.")
    return found


def _rows(reader: _Reader, section: str, rows: list, decode: Callable, key_of: Callable) -> Iterator:
    """Decoded rows; of rows with one key the first stands."""
    first: dict[str, str] = {}
    for index, row in enumerate(rows):
        path = f"{section}[{index}]"
        try:
            if not isinstance(row, dict):
                raise Bad("", "expected an object")
            _count_unknown(reader, section, row)
            decoded = decode(reader, path, row)
        except Bad as bad:
            reader.reject(_join(path, bad.path), bad.reason)
            continue
        key = key_of(decoded)
        if key not in first:
            first[key] = path
            yield decoded
        elif section == "people":
            reader.warnings.append(f"{path} and {first[key]} are one person: joined.")
        else:
            reader.reject(path, f"the same as {first[key]}, which stands")


def _film(reader: _Reader, path: str, row: dict) -> FileFilm:
    film = FileFilm(
        path=path,
        imdb_id=fields.imdb_id(row),
        media_type=fields.text(row, "media_type"),
        status=fields.one_of(row, "status", STATUSES),
        list_id=(fields.text(row, "custom_list_id") or "").strip() or None,
        date_added=fields.moment(row, "date_added"),
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
        raise Bad("custom_list_id", "is missing, and the status is custom")
    if film.status != "custom" and film.list_id:
        reader.counted["films name a list, but their status is not custom: the list was ignored"] += 1
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
        raise Bad(path, "expected an object")
    try:
        date_watched = fields.required(fields.moment(entry, "date_watched"), "date_watched")
        return WatchEntry(date_watched, fields.rating(entry))
    except Bad as bad:
        raise Bad(_join(path, bad.path), bad.reason) from bad


def _votes(reader: _Reader, film_path: str, row: dict) -> Iterator[FileVote]:
    first: dict[str, str] = {}
    entries = _list_of(row, "recommendations")
    if len(entries) > VOTES_MAX:
        raise Bad("recommendations", f"{len(entries):,} votes; the limit is {VOTES_MAX:,}")
    for index, entry in enumerate(entries):
        path = f"{film_path}.recommendations[{index}]"
        try:
            vote = _vote(entry)
        except Bad as bad:
            reader.reject(_join(path, bad.path), bad.reason)
            continue
        if vote.key in first:
            reader.reject(path, f"the same person as {first[vote.key]}, which stands")
            continue
        first[vote.key] = path
        yield vote


def _vote(entry) -> FileVote:
    if not isinstance(entry, dict):
        raise Bad("", "expected an object")
    person_name = fields.name(entry, "person_name")
    return FileVote(fold(person_name), person_name, fields.moment(entry, "date_recommended"), fields.vote(entry))


def _person(reader: _Reader, path: str, row: dict) -> FilePerson:
    name = fields.name(row)
    quick_key = fields.text(row, "quick_key")
    if quick_key is not None and quick_key not in QUICK_KEYS:
        reader.counted["people have an unknown quick_key: it was ignored"] += 1
        quick_key = None
    return FilePerson(
        path=path,
        key=fold(name),
        name=name,
        is_trusted=fields.flag(row, "is_trusted"),
        color=fields.color(row),
        emoji=fields.text(row, "emoji"),
        quick_key=quick_key,
        last_modified=_last_modified(reader, row),
    )


def _list(reader: _Reader, path: str, row: dict) -> FileList:
    return FileList(
        path=path,
        id=fields.identifier(row),
        name=fields.name(row),
        color=fields.color(row),
        icon=fields.text(row, "icon"),
        position=fields.whole_number(row, "position"),
        created_at=fields.moment(row, "created_at"),
        last_modified=_last_modified(reader, row),
    )


def _view(reader: _Reader, path: str, row: dict) -> FileView:
    name = fields.name(row)
    return FileView(
        path=path,
        key=fold(name),
        name=name,
        filters=fields.texts(row, "filters"),
        position=fields.whole_number(row, "position"),
        last_modified=_last_modified(reader, row),
    )


def _last_modified(reader: _Reader, row: dict) -> float:
    value = fields.moment(row, "last_modified")
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
        raise Bad(key, "expected a list")
    return value


def _count_unknown(reader: _Reader, section: str, row: dict) -> None:
    """Data under keys that this version does not know must not be lost in silence."""
    if row.keys() <= KNOWN[section]:
        return
    for key in sorted(row.keys() - KNOWN[section] - IGNORED):
        value = row[key]
        if value not in (None, "", [], {}):
            label = f"{section}[].{key}" if section else key
            reader.counted[f"entries under {label[:80]!r} are not known to this version: left out"] += (
                len(value) if not section and isinstance(value, list | dict) else 1
            )


def _refuse_unusable(incoming: Incoming) -> None:
    if incoming.errors and not (incoming.films or incoming.people or incoming.lists or incoming.views):
        first = incoming.errors[0]
        raise Invalid(
            f"No row of the file can be used. First of {len(incoming.errors):,} problems: {first.path}: {first.reason}",
            incoming.errors,
        )


def _warn_of_counted(reader: _Reader) -> None:
    reader.warnings.extend(f"{count:,} {text}." for text, count in sorted(reader.counted.items()))


def _join(path: str, below: str) -> str:
    return f"{path}.{below}" if below else path

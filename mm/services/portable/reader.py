"""From the bytes of a file to rows that can be planned, and a list of the rest.

Rows are read one by one: the unit kept out is the film, the person, the list or the
single vote.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from mm import clock
from mm.clock import DAY
from mm.database import fold
from mm.errors import TooLargeError, UnusableFileError
from mm.models import QUICK_RECOMMENDERS, STATUSES
from mm.schemas import (
    VERSION,
    Document,
    Kind,
    ListEntry,
    MovieEntry,
    PersonEntry,
    Problem,
    RankingEntry,
    ViewEntry,
)
from mm.services import validation
from mm.services.portable import fixing, guards
from mm.services.portable.plans import Warnings
from mm.services.portable.values import (
    ListValues,
    MovieValues,
    PersonValues,
    ViewValues,
    VoteValues,
    WatchValues,
    from_file,
    merged,
)
from mm.services.validation import FieldError

# So many bad rows are another kind of file, and their list would fill the memory.
ERRORS_MAX = 100_000
# Characters of a row's name that are kept to show which row has an error.
LABEL_MAX = 100
# How many unknown keys are named.
UNKNOWN_MAX = 20
NO_EXPORT = "This JSON file isn’t a Movie Manager export."
ALL_LIBRARIES = (
    "This file holds all libraries of a server. The server’s README, under “From a terminal”, says "
    "how to take one out of it."
)
QUICK_KEYS = {key for key, *_ in QUICK_RECOMMENDERS}
# What version 1 carried besides, and what the API's own rows carry: not part of a
# library.
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
# section of the file -> what its rows are
KINDS: dict[str, Kind] = {
    "movies": "movie",
    "people": "person",
    "lists": "list",
    "views": "view",
    "rankings": "ranking",
}
SECTIONS = tuple(KINDS)
KNOWN = {
    "": set(Document.__struct_fields__),
    "movies": set(MovieEntry.__struct_fields__),
    "people": set(PersonEntry.__struct_fields__),
    "lists": set(ListEntry.__struct_fields__),
    "views": set(ViewEntry.__struct_fields__),
    "rankings": set(RankingEntry.__struct_fields__),
}

# In each row, `path` is its place in the file, and `values` is a struct of `values`
# with the columns that a user owns. `last_modified` is always given: where the row has
# none, it is the file's exported_at. What lies below a row (votes, watches, a list's
# films) is None where the file does not name it.
#
# gc=False: rows are never part of a reference cycle, and there are hundreds of
# thousands of them.


class FileVote(Struct, gc=False):
    """`key` is the folded name."""

    key: str
    person_name: str
    values: Any


class FileFilm(Struct, gc=False):
    """`list_id` is set only where the status is custom. `title` and `year` are the
    film's hint: None where the file says null, UNSET where it gives none that can be
    used. Each watch has a date of its own."""

    path: str
    imdb_id: str
    list_id: str | None
    title: str | UnsetType | None
    year: int | UnsetType | None
    values: Any
    votes: tuple[FileVote, ...] | None
    watches: tuple[Any, ...] | None


class FilePerson(Struct, gc=False):
    path: str
    key: str
    quick_key: str | None
    values: Any


class FileListFilm(Struct, gc=False):
    """`index`: its place among the films of its list in the file."""

    index: int
    imdb_id: str
    note: str | UnsetType | None


class FileList(Struct, gc=False):
    """`films` in the file's order."""

    path: str
    id: str
    values: Any
    films: tuple[FileListFilm, ...] | None


class FileView(Struct, gc=False):
    path: str
    key: str
    values: Any


class FileRanking(Struct, gc=False):
    """`position` is the file's: it may have gaps, and two rows may share one."""

    path: str
    imdb_id: str
    liked: bool
    position: int
    ranked_at: float | None


class Unread(Struct):
    """A row that could not be read, or one below it, and what it names: people by their folded
    `keys` and by `quick_key`, a vote by the folded name of who voted, others by imdb_id, list id or
    folded name. `path` is the row's, `below` the film of a vote or the list of a film."""

    kind: Kind
    path: str
    reason: str
    keys: tuple[str, ...]
    quick_key: str | None = None
    below: str | None = None

    def names_something(self) -> bool:
        return bool(self.keys or self.quick_key or self.below)


class Incoming(Struct):
    """What a file holds. Nothing of it has been compared with a library. `sections`
    are those that the file has, empty ones too. `labels` name the rows that have errors, by their
    paths; `undated` are the paths of rows without a last_modified."""

    exported_at: float
    sections: frozenset[str]
    films: list[FileFilm]
    people: list[FilePerson]
    lists: list[FileList]
    views: list[FileView]
    rankings: list[FileRanking]
    errors: list[Problem]
    warnings: list[str]
    unread: list[Unread] = []
    labels: dict[str, str] = {}
    undated: set[str] = set()


class _Reader(Struct):
    """What one reading gathers on its way. `trusted` is as in `read`, and a
    last_modified after `latest` lies in the future."""

    trusted: bool
    latest: float
    exported_at: float = 0.0
    errors: list[Problem] = []
    warnings: Warnings = msgspec.field(default_factory=Warnings)
    counted: Counter = msgspec.field(default_factory=Counter)
    # Each name that votes repeat, checked and folded once.
    voters: dict[str, tuple[str, str]] = {}
    fixes: fixing.Fixes = {}
    unread: list[Unread] = []
    labels: dict[str, str] = {}
    undated: set[str] = set()
    texts: dict[str, str] = {}

    def voter(self, value: object) -> tuple[str, str]:
        """The folded name and the name."""
        if isinstance(value, str) and value in self.voters:
            return self.voters[value]
        name = validation.name(value, "person_name")
        return self.voters.setdefault(name, (fold(name), name))

    def once(self, text: str | None) -> str | None:
        """The same text, in memory once for all rows that have it."""
        return None if text is None else self.texts.setdefault(text, text)

    def reject(self, path: str, reason: str) -> None:
        self.errors.append(Problem(path, reason))
        if len(self.errors) > ERRORS_MAX:
            raise UnusableFileError(
                f"More than {ERRORS_MAX:,} rows can’t be used, such as {path}: {reason}. "
                "Is it the right file?"
            )


def read(data: bytes, trusted: bool = False, fixes: dict[str, Any] | None = None) -> Incoming:
    """`trusted`: a backup written by this server. Its size is not limited, and its
    times are taken as they are: on a machine whose clock was set back they lie in
    the future. `fixes`: values to read instead of the file's, by their paths.

    Raises TooLargeError, or UnusableFileError for what is no library at all: not
    JSON, not an object, a newer version, or nothing usable in it.
    """
    if len(data) > validation.FILE_MAX and not trusted:
        raise TooLargeError(validation.TOO_LARGE)
    latest = validation.LATEST if trusted else clock.now() + DAY
    reader = _Reader(trusted, latest, fixes=fixing.by_row(fixes))
    document = guards.members(data, reader.counted, trusted)
    if document is None:
        raise UnusableFileError(NO_EXPORT)
    _read_header(reader, document)
    sections = _sections(reader, document)
    incoming = Incoming(
        exported_at=reader.exported_at,
        sections=frozenset(document.keys() & set(SECTIONS)) - {row.path for row in reader.unread},
        lists=list(_rows(reader, "lists", sections["lists"], _list, lambda row: row.id)),
        people=list(_rows(reader, "people", sections["people"], _person, lambda row: row.key)),
        views=list(_rows(reader, "views", sections["views"], _view, lambda row: row.key)),
        rankings=list(
            _rows(reader, "rankings", sections["rankings"], _ranking, lambda row: row.imdb_id)
        ),
        films=list(_rows(reader, "movies", sections["movies"], _film, lambda row: row.imdb_id)),
        errors=reader.errors,
        warnings=[],
        unread=reader.unread,
        labels=reader.labels,
        undated=reader.undated,
    )
    usable = (incoming.films, incoming.people, incoming.lists, incoming.views, incoming.rankings)
    if incoming.errors and not any(usable):
        first = f"{incoming.errors[0].path}: {incoming.errors[0].reason}"
        count = len(incoming.errors)
        which = "The problem" if count == 1 else f"First of {count:,} problems"
        raise UnusableFileError(f"No row of this file can be used. {which}: {first}")
    counted = [f"{text}: {count:,}." for text, count in sorted(reader.counted.items())]
    incoming.warnings = [*reader.warnings.lines(), *counted]
    return incoming


# The document, down to its sections.


def _read_header(reader: _Reader, document: dict[str, list[Raw]]) -> None:
    """Checks the version, then sets `exported_at`: now, where the file has none or
    one in the future."""
    try:
        version = validation.number(_single(reader, document, "version"), "version")
    except FieldError as error:
        raise UnusableFileError(f"The file's version: {error.reason}.") from error
    version = 1 if version is None else version
    if version > VERSION:
        newer = f"This file was made by a newer version: {version:g}."
        raise UnusableFileError(f"{newer} This server reads up to {VERSION}.")
    if version not in (1, 2):
        raise UnusableFileError(f"This file’s version is {version:g}; this server reads 1 and 2.")
    try:
        exported_at = validation.moment(_single(reader, document, "exported_at"), "exported_at")
    except FieldError as error:
        raise UnusableFileError(f"{error.path}: {error.reason}") from error
    if exported_at is None or exported_at > reader.latest:
        exported_at = clock.now()
    reader.exported_at = exported_at


def _single(reader: _Reader, document: dict[str, list[Raw]], key: str):
    """The value of a key that holds no list; the last, where it is repeated."""
    values = document.get(key)
    return guards.single(values[-1], key, reader.counted) if values else None


def _sections(reader: _Reader, document: dict[str, list[Raw]]) -> dict[str, list[Raw]]:
    """The rows of each section, not decoded yet. A section that is there twice is
    read as one."""
    sections: dict[str, list[Raw]] = {}
    for name in SECTIONS:
        values = document.get(name, [])
        for value in values:
            if guards.is_list(value):
                sections.setdefault(name, []).extend(guards.rows(value, name, reader.counted))
                continue
            try:
                is_empty = not guards.single(value, name, reader.counted)
            except FieldError:
                is_empty = False
            if not is_empty:
                reader.reject(name, "expected a list")
                reader.unread.append(Unread(KINDS[name], name, "expected a list", ()))
        if len(values) > 1:
            again = f"The file has {name!r} {len(values)} times; they were combined."
            reader.warnings.add("twice", again)
        if (count := len(sections.get(name, []))) > validation.FILMS_MAX:
            limit = f"the limit is {validation.FILMS_MAX:,}"
            raise UnusableFileError(f"This file has {count:,} {name}; {limit}.")
    if not sections:
        raise UnusableFileError(ALL_LIBRARIES if "users" in document else NO_EXPORT)
    for name in sorted(document.keys() - KNOWN[""] - IGNORED):
        values = document[name]
        if count := sum(guards.count_entries(value, name, reader.counted) for value in values):
            _count_unknown(reader, name, count)
    return {name: sections.get(name, []) for name in SECTIONS}


def _count_unknown(reader: _Reader, label: str, count: int) -> None:
    """Data under keys this version does not know must not be lost in silence."""
    text = f"Entries left out because this version does not know {label[:80]!r}"
    if text not in reader.counted and len(reader.counted) >= UNKNOWN_MAX:
        text = "Entries left out because this version does not know other keys"
    reader.counted[text] += count


# Rows.


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
        errors, row = len(reader.errors), {}
        try:
            row = _row(reader, path, raw)
            if not row.keys() <= KNOWN[section]:
                for key in sorted(row.keys() - KNOWN[section] - IGNORED):
                    if row[key] not in (None, "", [], {}):
                        _count_unknown(reader, f"{section}[].{key}", 1)
            decoded = read_row(reader, path, row)
        except FieldError as error:
            reader.reject(_join(path, error.path), error.reason)
            reader.labels[path] = _label(row)
            reader.unread.append(_unread(section, path, error.reason, row))
            continue
        if len(reader.errors) > errors:
            reader.labels[path] = _label(row)
        if row.get("last_modified") is None:
            reader.undated.add(path)
        key = key_of(decoded)
        if key not in first:
            first[key] = path
            yield decoded
        elif section == "people":
            reader.warnings.add(
                "joined", f"{path} and {first[key]} are the same person and were combined."
            )
        else:
            reader.reject(path, f"the same as {first[key]}, which is used")
            reader.labels[path] = _label(row)


def _row(reader: _Reader, path: str, raw: Raw) -> dict:
    if path not in reader.fixes:
        return guards.row(raw, path, reader.counted, reader.trusted)
    try:
        row: Any = guards.row(raw, path, reader.counted, reader.trusted)
    except FieldError:
        row = None
    row = fixing.mended(row, reader.fixes[path])
    if not isinstance(row, dict):
        raise FieldError("", "expected an object")
    return row


def _label(row: dict) -> str:
    """What the row is called, as far as that can be read."""
    texts = (row.get(name) for name in ("title", "name", "imdb_id", "id"))
    return next((text[:LABEL_MAX] for text in texts if isinstance(text, str) and text), "")


def _unread(section: str, path: str, reason: str, row: dict) -> Unread:
    if section in ("movies", "rankings"):
        keys = _readable(validation.imdb_id, row.get("imdb_id"))
    elif section == "lists":
        keys = _readable(validation.identifier, row.get("id"))
    else:
        keys = tuple(fold(name) for name in _readable(validation.name, row.get("name")))
    quick_key = row.get("quick_key") if section == "people" else None
    known = quick_key if isinstance(quick_key, str) and quick_key in QUICK_KEYS else None
    return Unread(KINDS[section], path, reason, keys, known)


def _readable(usable: Callable[[object], str], value: object) -> tuple[str, ...]:
    try:
        return (usable(value),)
    except FieldError:
        return ()


def _film(reader: _Reader, path: str, row: dict) -> FileFilm:
    imdb_id = validation.imdb_id(row.get("imdb_id"))
    media_type = validation.text(row.get("media_type"), "media_type")
    status = validation.one_of(row.get("status"), "status", STATUSES)
    list_id = validation.trimmed_text(row.get("custom_list_id"), "custom_list_id")
    date_added = validation.moment(row.get("date_added"), "date_added")
    last_modified = _last_modified(reader, row)
    note = validation.note(row.get("note"))
    watches = _watches(row)
    # A film is on a list when its status says so, or when only the list is given.
    if status is None and list_id:
        status = "custom"
    if status == "custom" and not list_id:
        raise FieldError("custom_list_id", "is missing, and the status is custom")
    if status != "custom" and list_id:
        ignored = "Films whose list was ignored, because their status is not custom"
        reader.counted[ignored] += 1
        list_id = None
    values = from_file(
        MovieValues,
        row,
        media_type=reader.once(media_type),
        status=reader.once(status),
        date_added=date_added,
        last_modified=last_modified,
        note=note,
    )
    title = _hint(row, "title", validation.hint_title)
    year = _hint(row, "year", validation.hint_year)
    # Last: a vote that is kept out is reported, and must not be for a film that is
    # kept out itself.
    votes = _votes(reader, path, imdb_id, row)
    return FileFilm(path, imdb_id, reader.once(list_id), title, year, values, votes, watches)


def _hint(row: dict, key: str, usable: Callable):
    if key not in row:
        return UNSET
    value = usable(row[key])
    return UNSET if value is None and row[key] is not None else value


def _watches(row: dict) -> tuple | None:
    """`watch_history` is the latest watch, and repeats the last of `watches`."""
    if "watches" not in row and "watch_history" not in row:
        return None
    entries = [(f"watches[{index}]", entry) for index, entry in enumerate(_list_of(row, "watches"))]
    if row.get("watch_history") is not None:
        entries.append(("watch_history", row["watch_history"]))
    watches: dict[float, Any] = {}
    for place, entry in entries:
        try:
            watch = _watch(entry)
        except FieldError as error:
            raise FieldError(_join(place, error.path), error.reason) from error
        date = watch.date_watched
        watches[date] = merged(watches[date], watch) if date in watches else watch
    return tuple(watches.values())


def _watch(entry: object) -> Any:
    if not isinstance(entry, dict):
        raise FieldError("", "expected an object")
    date_watched = validation.moment(entry.get("date_watched"), "date_watched")
    return from_file(
        WatchValues,
        entry,
        date_watched=validation.required(date_watched, "date_watched"),
        my_rating=validation.rating(entry.get("my_rating")),
        note=validation.note(entry.get("note")),
        day_known=validation.flag(entry.get("day_known"), "day_known"),
    )


def _votes(reader: _Reader, film_path: str, imdb_id: str, row: dict) -> tuple[FileVote, ...] | None:
    if "recommendations" not in row:
        return None
    entries = _list_of(row, "recommendations")
    if len(entries) > validation.VOTES_MAX:
        raise FieldError(
            "recommendations", f"{len(entries):,} votes; the limit is {validation.VOTES_MAX:,}"
        )
    path = f"{film_path}.recommendations[{{}}]"
    votes: dict[str, FileVote] = {}
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        try:
            vote = _vote(reader, entry)
        except FieldError as error:
            reader.reject(_join(path.format(index), error.path), error.reason)
            name = entry.get("person_name") if isinstance(entry, dict) else None
            keys = tuple(fold(text) for text in _readable(validation.name, name))
            unread = Unread("vote", path.format(index), error.reason, keys, below=imdb_id)
            reader.unread.append(unread)
            continue
        if vote.key in votes:
            used = path.format(first[vote.key])
            reader.reject(path.format(index), f"the same person as {used}, which is used")
        else:
            votes[vote.key], first[vote.key] = vote, index
    return tuple(votes.values())


def _vote(reader: _Reader, entry: object) -> FileVote:
    if not isinstance(entry, dict):
        raise FieldError("", "expected an object")
    key, name = reader.voter(entry.get("person_name"))
    vote_type = entry.get("vote_type")
    values = from_file(
        VoteValues,
        entry,
        date_recommended=validation.moment(entry.get("date_recommended"), "date_recommended"),
        vote_type=None if vote_type is None else validation.vote(vote_type),
    )
    return FileVote(key, name, values)


def _person(reader: _Reader, path: str, row: dict) -> FilePerson:
    name = validation.name(row.get("name"))
    quick_key = validation.text(row.get("quick_key"), "quick_key")
    if quick_key is not None and quick_key not in QUICK_KEYS:
        reader.counted["People whose unknown quick_key was ignored"] += 1
        quick_key = None
    values = from_file(
        PersonValues,
        row,
        name=name,
        is_trusted=validation.flag(row.get("is_trusted"), "is_trusted"),
        color=validation.color(row.get("color")),
        emoji=validation.text(row.get("emoji"), "emoji"),
        last_modified=_last_modified(reader, row),
    )
    return FilePerson(path, fold(name), quick_key, values)


def _list(reader: _Reader, path: str, row: dict) -> FileList:
    list_id = validation.identifier(row.get("id"))
    values = from_file(
        ListValues,
        row,
        name=validation.name(row.get("name")),
        color=validation.color(row.get("color")),
        icon=validation.text(row.get("icon"), "icon"),
        position=validation.whole_number(row.get("position"), "position"),
        created_at=validation.moment(row.get("created_at"), "created_at"),
        last_modified=_last_modified(reader, row),
        description=validation.note(row.get("description"), "description"),
    )
    # Last, as a film's votes.
    return FileList(path, list_id, values, _list_films(reader, path, list_id, row))


def _list_films(
    reader: _Reader, list_path: str, list_id: str, row: dict
) -> tuple[FileListFilm, ...] | None:
    if "films" not in row:
        return None
    path = f"{list_path}.films[{{}}]"
    films: dict[str, FileListFilm] = {}
    for index, entry in enumerate(_list_of(row, "films")):
        try:
            if not isinstance(entry, dict):
                raise FieldError("", "expected an object")
            note = validation.note(entry.get("note"))
            film = FileListFilm(
                index, validation.imdb_id(entry.get("imdb_id")), note if "note" in entry else UNSET
            )
        except FieldError as error:
            reader.reject(_join(path.format(index), error.path), error.reason)
            named = entry.get("imdb_id") if isinstance(entry, dict) else None
            keys = _readable(validation.imdb_id, named)
            unread = Unread("list_film", path.format(index), error.reason, keys, below=list_id)
            reader.unread.append(unread)
            continue
        if film.imdb_id in films:
            used = path.format(films[film.imdb_id].index)
            reader.reject(path.format(index), f"the same film as {used}, which is used")
        else:
            films[film.imdb_id] = film
    return tuple(films.values())


def _view(reader: _Reader, path: str, row: dict) -> FileView:
    name = validation.name(row.get("name"))
    values = from_file(
        ViewValues,
        row,
        name=name,
        filters=None if row.get("filters") is None else validation.filters(row["filters"]),
        position=validation.whole_number(row.get("position"), "position"),
        last_modified=_last_modified(reader, row),
    )
    return FileView(path, fold(name), values)


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
        reader.counted["Rows with a change date in the future, which became the current time"] += 1
        return clock.now()
    return value


def _list_of(row: dict, key: str) -> list:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise FieldError(key, "expected a list")
    return value


def _join(path: str, below: str) -> str:
    return f"{path}.{below}" if below else path

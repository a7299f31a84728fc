"""The envelope that every collection travels in: who wrote it, when, of which kind it is, and its
items.

    {"metadata": {"version": "1.0.0", "mm_version", "export_type", "exported_at", "item_count"},
     "items": [...]}
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Struct

from mm import __version__, clock, config
from mm.errors import InvalidError, TooLargeError, UnusableFileError
from mm.schemas import COLLECTION_VERSION, Collection, CollectionKind, CollectionMetadata
from mm.services import portable
from mm.services.validation import TYPE_NAMES

# In bytes; a list of 100,000 films with titles takes about 9 MB.
FILE_MAX = 16 * 2**20
TOO_LARGE = f"This file is larger than the {FILE_MAX >> 20} MB limit. Nothing was changed."
ITEMS_MAX = 10_000
# A list of 100,000 films has as many brackets, and four times as many commas.
BRACKETS_MAX = 250_000
COMMAS_MAX = 1_200_000
TOO_MUCH = "One file can’t hold all of this. Choose fewer, and export the others as another file."
EMPTY = "This file is empty. Choose a file that was exported from Movie Manager."
NO_COLLECTION = "This isn’t a Movie Manager file of {}: it has no {}."
BOM = "\ufeff"
# Characters of a value that a message repeats.
SHOWN_MAX = 40
# What to say of the program's other files.
WHOLE_LIBRARY = "This file holds a whole library. Import it on Data & Backup."


class OtherKindError(UnusableFileError):
    """`found`: of which kind the file is instead; None for a whole library."""

    def __init__(self, message: str, found: CollectionKind | None):
        super().__init__(message)
        self.found = found


class Received(NamedTuple):
    """A file that could be used. `items` are as they came: each is checked by its kind. `size`: of
    the items, in bytes."""

    kind: CollectionKind
    items: list[Any]
    version_warning: str | None
    warnings: list[str]
    size: int


def written(kind: CollectionKind, items: Sequence[Struct]) -> Collection:
    """The file of these items, as of now."""
    moment = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds")
    metadata = CollectionMetadata(
        version=COLLECTION_VERSION,
        mm_version=__version__,
        export_type=kind,
        exported_at=moment.replace("+00:00", "Z"),
        item_count=len(items),
    )
    return Collection(metadata, msgspec.to_builtins(list(items)))


def encode(collection: Collection) -> bytes:
    """Indented, for people who open it, unless it could not be imported then. Raises InvalidError
    for what no import would take."""
    data = msgspec.json.encode(collection)
    if (
        len(data) > FILE_MAX
        or len(collection.items) > ITEMS_MAX
        or portable.has_too_many_parts(data, BRACKETS_MAX, COMMAS_MAX)
    ):
        raise InvalidError(TOO_MUCH)
    pretty = msgspec.json.format(data, indent=2) + b"\n"
    return data if len(pretty) > FILE_MAX else pretty


def file_name(kind: CollectionKind) -> str:
    """With today's date in the server's time zone."""
    today = clock.local(clock.now(), config.current.zone).date()
    return f"{kind}-export-{today}.json"


def read(kind: CollectionKind, data: bytes) -> Received:
    """Raises TooLargeError, or UnusableFileError with one sentence for what is no file of this
    kind."""
    if len(data) > FILE_MAX:
        raise TooLargeError(TOO_LARGE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableFileError(NO_COLLECTION.format(kind, "JSON")) from error
    if not text.strip(f" \t\r\n\0{BOM}"):
        raise UnusableFileError(EMPTY)
    if portable.has_too_many_parts(data, BRACKETS_MAX, COMMAS_MAX):
        raise UnusableFileError(
            "This file has more brackets or commas than any collection. Is it the right file?"
        )
    mended: Counter[str] = Counter()
    return opened(kind, portable.document(text.encode(), mended), mended)


def opened(
    kind: CollectionKind, document: Any, mended: Mapping[str, int] | None = None
) -> Received:
    """As `read`, of JSON that was decoded already. `mended`: what was wrong with its characters,
    and how often."""
    if not isinstance(document, dict):
        raise UnusableFileError(NO_COLLECTION.format(kind, "`metadata` and `items`"))
    metadata, items = document.get("metadata"), document.get("items")
    if "movies" in document and metadata is None:
        raise OtherKindError(WHOLE_LIBRARY, None)
    if not isinstance(metadata, dict):
        raise UnusableFileError(NO_COLLECTION.format(kind, "`metadata`"))
    found = metadata.get("export_type")
    if found != kind:
        mismatch = f"export type mismatch: {shown(found)} (expected {kind})"
        for known in get_args(CollectionKind):
            if found == known:
                raise OtherKindError(mismatch, known)
        raise UnusableFileError(mismatch)
    version = metadata.get("version")
    if version != COLLECTION_VERSION:
        raise UnusableFileError(
            f"unsupported export version: {shown(version)} (expected {COLLECTION_VERSION})"
        )
    if not isinstance(items, list):
        raise UnusableFileError(NO_COLLECTION.format(kind, "list of `items`"))
    if len(items) > ITEMS_MAX:
        raise UnusableFileError(
            f"This file has {len(items):,} {kind}; the limit is {ITEMS_MAX:,} at once."
        )
    warnings = [f"{what}: {count:,}" for what, count in (mended or {}).items()]
    warnings += _warnings(metadata, items)
    return Received(kind, items, _version_warning(metadata), warnings, _size(items))


def shown(value: object) -> str:
    """What a file or a request says, short and on one line."""
    if value is None:
        return "none"
    if isinstance(value, list | dict):
        return TYPE_NAMES[type(value)]
    return "".join(filter(str.isprintable, str(value)[:SHOWN_MAX])) or "nothing"


def _version_warning(metadata: dict) -> str | None:
    theirs = metadata.get("mm_version")
    if theirs == __version__:
        return None
    wrote = f"Movie Manager {shown(theirs)}" if theirs else "an unknown version of Movie Manager"
    return (
        f"This file was written by {wrote}, and this is {__version__}. Check the preview before "
        "you import it."
    )


def _warnings(metadata: dict, items: list) -> list[str]:
    warnings = []
    said = metadata.get("item_count")
    if said is None:
        warnings.append("The file does not say how many items it has. It may be incomplete.")
    elif said != len(items) or isinstance(said, bool):
        warnings.append(
            f"The file says that it has {shown(said)} items, and it has {len(items):,}. It may "
            "be incomplete."
        )
    return warnings


def _size(items: list) -> int:
    try:
        return len(msgspec.json.encode(items))
    except RecursionError as error:
        raise UnusableFileError(
            "This file can’t be read: it is nested too deeply. Is it the right file?"
        ) from error

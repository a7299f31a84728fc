"""What a user chose, as a file for another household."""

from collections.abc import Sequence
from typing import NamedTuple

from mm.errors import InvalidError
from mm.schemas import CollectionKind
from mm.services.collections import envelope, plans

NOTHING_CHOSEN = "Please select at least one item to export"


class Exported(NamedTuple):
    """What goes out, ready to be written."""

    filename: str
    data: bytes
    item_count: int


def export(
    user_id: str, kind: CollectionKind, ids: Sequence[int | str], export_all: bool = False
) -> Exported:
    """With `export_all` the ids do not count. Raises InvalidError where nothing was chosen, or more
    than a file can hold, and NotFoundError for an unknown id."""
    if not ids and not export_all:
        raise InvalidError(NOTHING_CHOSEN)
    items = plans.KINDS[kind].export(user_id, None if export_all else ids)
    data = envelope.encode(envelope.written(kind, items))
    return Exported(envelope.file_name(kind), data, len(items))

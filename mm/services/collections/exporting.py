"""What a user chose, as a file for another household."""

from collections.abc import Sequence

from mm.errors import InvalidError
from mm.schemas import CollectionKind
from mm.services.collections import envelope, plans

NOTHING_CHOSEN = "Please select at least one item to export"


def export(
    user_id: str, kind: CollectionKind, ids: Sequence[int | str], export_all: bool = False
) -> tuple[str, bytes]:
    """The file's name and its bytes. `export_all` counts before `ids`. Raises InvalidError where
    nothing was chosen, and NotFoundError for an unknown id."""
    if not ids and not export_all:
        raise InvalidError(NOTHING_CHOSEN)
    items = plans.KINDS[kind].export(user_id, None if export_all else ids)
    return envelope.file_name(kind), envelope.encode(envelope.written(kind, items))

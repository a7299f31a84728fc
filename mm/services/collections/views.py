"""Views as items of a file."""

from collections.abc import Sequence

from msgspec import Struct

from mm.services.collections.items import Choice, Entry, Here
from mm.services.library.changes import Write

NOUN, NOUNS = "view", "views"
NAMES_REPEAT = False
CAN_RENAME = True
IN_LIBRARY = True


def choices(user_id: str) -> list[Choice]:
    raise NotImplementedError


def export(user_id: str, ids: Sequence[int | str] | None) -> Sequence[Struct]:
    raise NotImplementedError


def read(item: dict) -> Entry:
    raise NotImplementedError


def here(user_id: str) -> list[Here]:
    raise NotImplementedError


def look_at(user_id: str, entries: Sequence[Entry]) -> None:
    raise NotImplementedError


def differences(entry: Entry, here: Here) -> list[str]:
    raise NotImplementedError


def create(change: Write, entries: Sequence[Entry]) -> list[int | str]:
    raise NotImplementedError


def overwrite(change: Write, pairs: Sequence[tuple[Entry, Here]]) -> None:
    raise NotImplementedError

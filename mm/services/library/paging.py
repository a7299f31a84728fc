"""Where a page of a long list ends, as a word in the address of the next one.

The next page begins after the last row's sort key and id, not after a number of rows: rows that
come or go in between then neither hide others nor bring them twice.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, NamedTuple

import msgspec

# Of a text that is sorted by, so that addresses stay short.
TEXT_MAX = 100
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Key = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)] | float


class Position(NamedTuple):
    """`sort` names the order, in which the last row has `key` and, among equal keys, `id`."""

    sort: str
    key: Key
    id: Id

    @property
    def token(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def parse(token: str, sort: str, of: type = float) -> Position | None:
    """None for what is no position in the order `sort`, whose keys are of the type `of`."""
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = msgspec.json.decode(data, type=Position)
    except ValueError:  # not base64, not UTF-8, not JSON, or of another shape
        return None
    is_usable = isinstance(found.key, of) and "\0" not in str(found.key)
    return found if found.sort == sort and is_usable else None

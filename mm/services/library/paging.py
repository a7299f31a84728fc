"""Where a page of a long list ends, as a token in the address of the next page.

The next page begins after the last row's sort key and id, not after a number of
rows: so rows that come or go in between neither hide others nor bring them twice.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, NamedTuple

import msgspec

# The most of a text sort key, so that addresses stay short.
TEXT_MAX = 100
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Key = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)] | float


class Position(NamedTuple):
    """Of a row in the order that `sort` names: its sort key, and its
    id among equal keys."""

    sort: str
    key: Key
    id: Id

    @property
    def token(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def parse(token: str, sort: str, key_type: type = float) -> Position | None:
    """None for what is not a position in the order `sort`, whose keys
    are of `key_type`."""
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        position = msgspec.json.decode(data, type=Position)
    except ValueError:  # not base64, not UTF-8, not JSON, or of another shape
        return None
    is_usable = isinstance(position.key, key_type) and "\0" not in str(position.key)
    return position if position.sort == sort and is_usable else None

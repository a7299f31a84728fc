"""A user's own lists of films."""

from msgspec import Struct

from mm.schemas.types import Color, Name, Position, Text


class ListView(Struct):
    """`icon` is a name from the clients' own sets."""

    id: str
    user_id: str
    name: str
    color: str
    icon: str
    position: int
    created_at: float
    last_modified: float


class NewList(Struct):
    """Without a position it becomes the last of the lists."""

    name: Name
    color: Color | None = None
    icon: Text | None = None
    position: Position | None = None


class ListChange(Struct):
    """Fields that are left out or null stay as they are."""

    name: Name | None = None
    color: Color | None = None
    icon: Text | None = None
    position: Position | None = None

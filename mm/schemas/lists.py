"""A user's own lists of films, as the API shows and takes them."""

from typing import Annotated

from msgspec import Meta, Struct

from mm.schemas.types import Color, Name, Text

Position = Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)]


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
    """The last of the lists where no position is given."""

    name: Name
    color: Color | None = None
    icon: Text | None = None
    position: Position | None = None


class ListChange(Struct):
    """What is left out or null stays."""

    name: Name | None = None
    color: Color | None = None
    icon: Text | None = None
    position: Position | None = None

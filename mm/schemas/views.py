"""Saved views of the library."""

from msgspec import Struct

from mm.schemas.portable import FilterValue
from mm.schemas.types import Name, Position


class LibraryView(Struct):
    """`filters` are the parameters of the library's address. A value is one text, or several: a
    film passes with any of them, and passes `not_genre` and its like with none of them."""

    id: str
    user_id: str
    name: str
    filters: dict[str, FilterValue]
    position: int
    last_modified: float


class NewView(Struct):
    """Without a position it becomes the last of the views."""

    name: Name
    filters: dict[str, FilterValue] = {}
    position: Position | None = None


class ViewChange(Struct):
    """Fields that are left out or null stay as they are; `filters` are replaced as a whole."""

    name: Name | None = None
    filters: dict[str, FilterValue] | None = None
    position: Position | None = None

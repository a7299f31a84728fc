"""A user's own lists of films."""

from msgspec import UNSET, Struct, UnsetType

from mm.schemas.portable import ListedFilm
from mm.schemas.types import Color, ImdbId, Name, Note, Position, Text


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
    description: str | None


class ListDetails(ListView):
    """`films` in the list's own order, without deleted ones; `note` is the list's own note on the
    film."""

    films: list[ListedFilm]


class NewList(Struct):
    """Without a position it becomes the last of the lists."""

    name: Name
    color: Color | None = None
    icon: Text | None = None
    position: Position | None = None
    description: Note | None = None


class ListChange(Struct):
    """Fields that are left out or null stay as they are; an empty `description` removes it."""

    name: Name | None = None
    color: Color | None = None
    icon: Text | None = None
    position: Position | None = None
    description: Note | None = None


class ListedFilmChange(Struct):
    """`note`: the list's own note on the film; left out it stays, null removes it."""

    note: Note | UnsetType | None = UNSET


class FilmOrder(Struct):
    """Films that are on the list and not named come after those that are."""

    imdb_ids: list[ImdbId]

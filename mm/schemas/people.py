"""People who recommend films."""

from msgspec import UNSET, Struct, UnsetType

from mm.schemas.movies import MovieView
from mm.schemas.types import Color, Name, Text


class PersonView(Struct):
    """`quick_key` names one of the four quick recommenders, which cannot be deleted. `movie_count`
    leaves out deleted films."""

    id: int
    name: str
    user_id: str
    is_trusted: bool
    color: str
    emoji: str | None
    quick_key: str | None
    last_modified: float
    movie_count: int


class PersonStats(Struct):
    """Counts the films with a vote of this person, up or down, that are not deleted.
    `average_rating` is of your own ratings, and null where none of the films is rated."""

    id: int
    name: str
    is_trusted: bool
    total_movies: int
    watched_movies: int
    average_rating: float | None
    movies: list[MovieView]
    color: str
    emoji: str | None
    quick_key: str | None


class NewPerson(Struct):
    name: Name
    is_trusted: bool | None = None
    color: Color | None = None
    emoji: Text | None = None


class PersonChange(Struct):
    """Fields that are left out stay as they are; an emoji of null clears it."""

    name: Name | None = None
    is_trusted: bool | None = None
    color: Color | None = None
    emoji: Text | UnsetType | None = UNSET

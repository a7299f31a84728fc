"""A user's own order of the films they watched."""

from msgspec import Struct

from mm.schemas.types import ImdbId


class RankingView(Struct):
    """`position` counts from 1 within the liked films, and from 1 within the others. `score`: 10.0
    down to above 5 for liked films, 5.0 down to above 1 for the others. `title` is the IMDb id
    while no title is known. `year` is text."""

    imdb_id: str
    position: int
    score: float
    liked: bool
    ranked_at: float
    title: str
    poster_path: str | None
    year: str | None


class UnrankedView(Struct):
    imdb_id: str
    title: str
    poster_path: str | None
    year: str | None


class NewRanking(Struct):
    """A `position` past the end means last, and one before the first means first."""

    imdb_id: ImdbId
    position: int
    liked: bool

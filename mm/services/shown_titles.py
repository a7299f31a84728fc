"""What a film is called and from which year it is: as the server knows it, and until then as the
user's file or the user said. For queries of films that are joined with their titles."""

from collections.abc import Iterable
from typing import NamedTuple

from peewee import Case, fn

from mm.database import chunks, fold
from mm.models import Movie, Title

# Null where nobody knows.
TITLE = fn.COALESCE(Title.title, Movie.hint_title)
YEAR = fn.COALESCE(Title.year, Movie.hint_year)
# To sort by: the folded title, with more behind it; null without a title. Both texts begin with it.
FOLDED = Case(
    None,
    [
        (Title.title.is_null(False), Title.search_text),
        (Movie.hint_title.is_null(False), Movie.search_text),
    ],
)


def search_text(hint_title: str | None, note: str | None) -> str | None:
    """`Movie.search_text`: what a search finds the film by, beside its title's text."""
    return fold("\n".join(filter(None, (hint_title, note)))) or None


class Shown(NamedTuple):
    """`poster_path` as TMDB names it. Each is None where nobody knows."""

    title: str | None
    year: int | None
    poster_path: str | None


def of(user_id: str, imdb_ids: Iterable[str]) -> dict[str, Shown]:
    """What these films are called to this user, by imdb_id; a film that is not in their library, as
    the server knows it. Without those that it does not know."""
    found: dict[str, Shown] = {}
    known = Title.select(Title.imdb_id, Title.title, Title.year, Title.poster_path)
    mine = Movie.select(Movie.title, TITLE, YEAR, Title.poster_path).join(Title)
    for part in chunks(imdb_ids):
        for rows in (
            known.where(Title.imdb_id.in_(part)),
            mine.where((Movie.user == user_id) & Movie.title.in_(part)),
        ):
            found |= {imdb_id: Shown(*shown) for imdb_id, *shown in rows.tuples()}
    return found

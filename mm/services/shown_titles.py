"""What a film is called and from which year it is: as the server knows it, and until then as the
user's file or the user said. For queries of films that are joined with their titles."""

from peewee import Case, fn

from mm.database import fold
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

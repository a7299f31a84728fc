"""What the catalogue answers where TMDB does not, in the shapes of TMDB's answers.

TMDB's id is not known then. The negative number of the IMDb id stands in its place.
"""

from mm.database import chunks
from mm.errors import NotFoundError, UnavailableError
from mm.models import Title
from mm.schemas import SearchResult, TmdbData
from mm.services.catalogue import search as catalogue_search
from mm.services.catalogue import store
from mm.services.catalogue.store import Film
from mm.services.enrichment import mapping


def search(text: str, year: int | None = None) -> list[Film]:
    """Empty without a catalogue."""
    try:
        return catalogue_search.search(text, year)
    except UnavailableError:
        return []


def find(imdb_id: str) -> Film | None:
    return store.films_by_id([imdb_id]).get(imdb_id)


def details(number: int, media_type: str) -> TmdbData:
    """Raises NotFoundError if the catalogue has no such film or series."""
    film = find(imdb_id_of(number))
    if film is None or film.kind != media_type:
        raise NotFoundError("There is no such film or series in the catalogue.")
    return mapping.data_of_film(film, _poster_paths([film]).get(film.imdb_id))


def results(films: list[Film]) -> list[SearchResult]:
    posters = _poster_paths(films)
    return [mapping.result_of_film(film, posters.get(film.imdb_id)) for film in films]


def imdb_id_of(number: int) -> str:
    return store.imdb_id_of(-number)


def _poster_paths(films: list[Film]) -> dict[str, str]:
    """Of the films that somebody on this server already has, with a poster."""
    paths: dict[str, str] = {}
    for part in chunks(film.imdb_id for film in films):
        has_poster = Title.imdb_id.in_(part) & Title.poster_path.is_null(False)
        paths |= dict(Title.select(Title.imdb_id, Title.poster_path).where(has_poster).tuples())
    return paths

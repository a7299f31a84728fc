"""From the providers' bodies to the columns of a title, and to what the API's clients read.

Pure functions. Nothing in a body is relied on: what is missing or of another type
becomes null. The order: TMDB's body to columns, OMDb's body to columns, the catalogue's films to
columns, bodies and columns to API structs, and the readers of single values.
"""

import functools
import re
import sys
from collections.abc import Mapping

import msgspec

from mm import config
from mm.database import fold
from mm.schemas import OmdbData, SearchResult, TmdbData
from mm.services.catalogue import store
from mm.services.catalogue.store import Film

CAST_MAX = 10
TEXT_MAX = 5000
# The largest integer that every database takes.
INTEGER_MAX = 2**31 - 1
FLOAT_MAX = sys.float_info.max
KEPT_DEPARTMENTS = ("Directing", "Writing")
# OMDb's words for what TMDB calls movie and tv; its episodes and games are neither.
OMDB_MEDIA_TYPES = {"movie": "movie", "series": "tv"}
RATING_SOURCES = {"rotten_tomatoes": "Rotten Tomatoes", "metacritic": "Metacritic"}
POSTER_SIZE, SMALL_POSTER_SIZE = "w500", "w185"
RESULT_TYPES = ("movie", "tv", "person")


# TMDB's body to columns.


def from_tmdb(body: dict) -> dict:
    """Every descriptive column, from the details of a film or a series."""
    credits = body.get("credits")
    directors = [row for row in _rows(credits, "crew") if row.get("job") == "Director"]
    episode_runtimes = body.get("episode_run_time")
    columns = {
        "tmdb_id": _positive_int(body.get("id")),
        "media_type": body.get("media_type"),
        "title": _text(body.get("title")) or _text(body.get("name")),
        "original_title": _text(body.get("original_title")) or _text(body.get("original_name")),
        "year": _year(body.get("release_date") or body.get("first_air_date")),
        "runtime": _positive_int(body.get("runtime")),
        "genres": _names(_rows(body, "genres")),
        # A series has creators instead.
        "directors": _names(directors) or _names(_rows(body, "created_by")),
        "cast": _names(_rows(credits, "cast"))[:CAST_MAX],
        "overview": _text(body.get("overview")),
        "poster_path": _text(body.get("poster_path")),
    }
    if columns["runtime"] is None and isinstance(episode_runtimes, list) and episode_runtimes:
        columns["runtime"] = _positive_int(episode_runtimes[0])
    return {**columns, "search_text": search_text(columns)}


def trimmed(body: dict) -> dict:
    """A TMDB body without most of its cast and crew, who are nine tenths of its size
    and are shown nowhere."""
    credits = body.get("credits")
    if not isinstance(credits, dict):
        return body
    cast = credits.get("cast")
    crew = [row for row in _rows(credits, "crew") if row.get("department") in KEPT_DEPARTMENTS]
    kept = {"cast": cast[:CAST_MAX] if isinstance(cast, list) else [], "crew": crew}
    return {**body, "credits": kept}


def imdb_id_of(body: dict) -> str | None:
    """From the details of a film or a series."""
    external_ids = body.get("external_ids")
    from_ids = external_ids.get("imdb_id") if isinstance(external_ids, dict) else None
    return _text(body.get("imdb_id")) or _text(from_ids)


# OMDb's body to columns.


def from_omdb(body: dict, known: Mapping | None = None) -> dict:
    """As `from_tmdb`, for a title that TMDB does not have or was never asked for. `known`: columns
    that stay where OMDb has nothing."""
    columns = {
        "media_type": OMDB_MEDIA_TYPES.get(_omdb_text(body, "Type") or ""),
        "title": _omdb_text(body, "Title"),
        "original_title": None,
        "year": _year(_omdb_text(body, "Year")),
        "runtime": _minutes(_omdb_text(body, "Runtime") or ""),
        "genres": _omdb_list(body, "Genre"),
        "directors": _omdb_list(body, "Director"),
        "cast": _omdb_list(body, "Actors")[:CAST_MAX],
        "overview": _omdb_text(body, "Plot"),
    }
    if known:
        columns = {name: value or known.get(name) or value for name, value in columns.items()}
    return {**columns, "search_text": search_text(columns)}


def ratings(body: dict) -> dict:
    """The rating columns from OMDb's strings ("8.3", "100%", "96/100"): IMDb from 0.0
    to 10.0, Rotten Tomatoes and Metacritic in percent."""
    by_source = {str(row.get("Source")): row.get("Value") for row in _rows(body, "Ratings")}
    columns: dict = {
        name: _percent(by_source.get(source)) for name, source in RATING_SOURCES.items()
    }
    if columns["metacritic"] is None:
        columns["metacritic"] = _percent(_omdb_text(body, "Metascore"))
    return {
        "imdb_rating": _out_of_ten(_omdb_text(body, "imdbRating")),
        "imdb_votes": _votes(_omdb_text(body, "imdbVotes")),
        **columns,
    }


def search_text(columns: dict) -> str:
    """The column that a search looks through: title, original title, cast,
    directors and genres, folded."""
    texts = [
        columns["title"],
        columns["original_title"],
        *columns["cast"],
        *columns["directors"],
        *columns["genres"],
    ]
    return fold(" ".join(dict.fromkeys(filter(None, texts))))


# The catalogue's films to columns.


def from_catalogue(film: Film) -> dict:
    """Every descriptive column that the catalogue has."""
    columns = {
        "media_type": film.kind,
        "title": film.title,
        "original_title": film.original_title,
        "year": film.year,
        "runtime": film.runtime,
        "genres": film.genres,
        "directors": film.directors,
    }
    return {**columns, "search_text": search_text({**columns, "cast": []})}


def catalogue_ratings(film: Film) -> dict:
    return {"imdb_rating": film.rating, "imdb_votes": film.votes}


# Bodies and columns to API structs.


def tmdb_data(body: dict, imdb_id: str | None = None) -> TmdbData:
    """From the details of a film or a series. `imdb_id` goes before the one in the body."""
    columns = from_tmdb(body)
    data = TmdbData(
        tmdbId=columns["tmdb_id"],
        imdbId=imdb_id or imdb_id_of(body),
        title=columns["title"],
        year=columns["year"],
        mediaType=columns["media_type"],
        poster=poster_url(columns["poster_path"]),
        posterSmall=poster_url(columns["poster_path"], SMALL_POSTER_SIZE),
        plot=columns["overview"],
        genres=columns["genres"],
        cast=columns["cast"],
        director=", ".join(columns["directors"]) or None,
        runtime=columns["runtime"],
        voteAverage=_float(body.get("vote_average")),
        voteCount=_count(body.get("vote_count")),
    )
    if columns["media_type"] == "tv":
        data.numberOfSeasons = _count(body.get("number_of_seasons"))
        data.numberOfEpisodes = _count(body.get("number_of_episodes"))
    return data


def omdb_data(body: dict) -> OmdbData:
    columns, scores = from_omdb(body), ratings(body)
    return OmdbData(
        imdbId=_omdb_text(body, "imdbID"),
        title=columns["title"],
        year=columns["year"],
        rated=_omdb_text(body, "Rated"),
        released=_omdb_text(body, "Released"),
        runtime=_omdb_text(body, "Runtime"),
        genres=columns["genres"],
        director=_omdb_text(body, "Director"),
        writer=_omdb_text(body, "Writer"),
        actors=columns["cast"],
        plot=columns["overview"],
        language=_omdb_text(body, "Language"),
        country=_omdb_text(body, "Country"),
        awards=_omdb_text(body, "Awards"),
        poster=_omdb_text(body, "Poster"),
        imdbRating=scores["imdb_rating"],
        imdbVotes=_omdb_text(body, "imdbVotes"),
        rtRating=scores["rotten_tomatoes"],
        metascore=scores["metacritic"],
        boxOffice=_omdb_text(body, "BoxOffice"),
        production=_omdb_text(body, "Production"),
        website=_omdb_text(body, "Website"),
    )


def bare_tmdb_data(imdb_id: str, **known) -> TmdbData:
    """For a film that TMDB has not described: every field is there, and empty unless `known`."""
    nothing: dict = {
        "tmdbId": None,
        "title": None,
        "year": None,
        "mediaType": None,
        "poster": None,
        "posterSmall": None,
        "plot": None,
        "genres": [],
        "cast": [],
        "director": None,
        "runtime": None,
        "voteAverage": None,
        "voteCount": None,
    }
    if known.get("mediaType") == "tv":
        nothing |= {"numberOfSeasons": None, "numberOfEpisodes": None}
    return TmdbData(imdbId=imdb_id, **(nothing | known))


def bare_omdb_data(imdb_id: str, imdb_rating: float) -> OmdbData:
    """For a film that OMDb has not described, with the catalogue's rating."""
    return msgspec.structs.replace(_empty_omdb_data(), imdbId=imdb_id, imdbRating=imdb_rating)


@functools.cache
def _empty_omdb_data() -> OmdbData:
    return omdb_data({})


def search_results(body: dict, media_type: str | None = None) -> list[SearchResult]:
    """The rows of a page of TMDB's results that can be used. `media_type`: of rows
    that do not say it themselves."""
    results = []
    for row in _rows(body, "results"):
        row_type = row.get("media_type") or media_type
        columns = from_tmdb({**row, "media_type": row_type})
        if columns["tmdb_id"] is None or columns["title"] is None or row_type not in RESULT_TYPES:
            continue
        poster_path = columns["poster_path"] or _text(row.get("profile_path"))
        result = SearchResult(
            id=columns["tmdb_id"],
            title=columns["title"],
            year=columns["year"],
            mediaType=row_type,  # type: ignore[arg-type]
            poster=poster_url(poster_path),
            posterSmall=poster_url(poster_path, SMALL_POSTER_SIZE),
            overview=columns["overview"],
            voteAverage=_float(row.get("vote_average")),
            voteCount=_count(row.get("vote_count")),
        )
        if row_type == "person":
            known_for = search_results({"results": row.get("known_for")}, "movie")
            result.name = result.title
            result.knownFor = [film.title for film in known_for]
        results.append(result)
    return results


def result_of_film(film: Film, poster_path: str | None) -> SearchResult:
    """From the catalogue, which has no posters: `poster_path` is that of the title, if any."""
    return SearchResult(
        # TMDB's is not known.
        id=-(store.tconst_of(film.imdb_id) or 0),
        imdb_id=film.imdb_id,
        title=film.title,
        year=film.year,
        mediaType=film.kind,  # type: ignore[arg-type]
        poster=poster_url(poster_path),
        posterSmall=poster_url(poster_path, SMALL_POSTER_SIZE),
        overview=None,
        voteAverage=film.rating,
        voteCount=film.votes,
    )


def data_of_film(film: Film, poster_path: str | None) -> TmdbData:
    """As `result_of_film`."""
    return bare_tmdb_data(
        film.imdb_id,
        title=film.title,
        year=film.year,
        mediaType=film.kind,
        poster=poster_url(poster_path),
        posterSmall=poster_url(poster_path, SMALL_POSTER_SIZE),
        genres=film.genres,
        director=", ".join(film.directors) or None,
        runtime=film.runtime,
        voteAverage=film.rating,
        voteCount=film.votes,
    )


def directed_films(credits: dict) -> list[dict]:
    """From a person's film credits the films they directed, each once, the most popular first."""
    directed = [row for row in _rows(credits, "crew") if row.get("job") == "Director"]
    films = {str(row.get("id")): row for row in directed}
    return sorted(films.values(), key=lambda row: -(_float(row.get("popularity")) or 0))


def by_release_date(body: dict) -> dict:
    """A page of TMDB's results in the order of release; those without a date come last."""
    rows = _rows(body, "results")
    return {"results": sorted(rows, key=lambda row: _text(row.get("release_date")) or "~")}


def poster_url(path: str | None, size: str = POSTER_SIZE) -> str | None:
    """The full address of a poster, in the size that clients show."""
    return None if path is None else f"{config.current.tmdb_image_url.rstrip('/')}/{size}{path}"


# Single values. None for anything that is not what is read.


def _rows(body: object, key: str) -> list[dict]:
    """The objects of the list `key`, which may be missing or something else."""
    rows = body.get(key) if isinstance(body, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _names(rows: list[dict]) -> list[str]:
    """The `name` of each row, each name once."""
    names = (_text(row.get("name")) for row in rows)
    return list(dict.fromkeys(filter(None, names)))


def _text(value: object) -> str | None:
    text = value.replace("\0", "").strip()[:TEXT_MAX] if isinstance(value, str) else ""
    return text or None


def _float(value: object) -> float | None:
    """None for an integer too, where no float can hold it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > FLOAT_MAX:
        return None
    return float(value)


def _count(value: object) -> int | None:
    """Zero counts, unlike in `_positive_int`."""
    return 0 if value == 0 and isinstance(value, int) else _positive_int(value)


def _positive_int(value: object) -> int | None:
    """TMDB writes 0 for a runtime that it does not have."""
    return value if isinstance(value, int) and 0 < value <= INTEGER_MAX else None


def _year(value: object) -> int | None:
    """From "1995-10-30", "1995" or "2021–2023"."""
    match = re.match(r"(1[89]|2[01])[0-9]{2}", value) if isinstance(value, str) else None
    return int(match[0]) if match else None


def _omdb_text(body: dict, key: str) -> str | None:
    """OMDb writes N/A for what it does not have."""
    value = _text(body.get(key))
    return None if value == "N/A" else value


def _omdb_list(body: dict, key: str) -> list[str]:
    names = (name.strip() for name in (_omdb_text(body, key) or "").split(","))
    return list(dict.fromkeys(filter(None, names)))


def _votes(text: str | None) -> int | None:
    """From "1,234,567"."""
    digits = (text or "").replace(",", "")
    return _positive_int(int(digits)) if re.fullmatch("[0-9]{1,10}", digits) else None


def _minutes(text: str) -> int | None:
    """From "81 min", "1 h 15 min" or "1,440 min"."""
    match = re.fullmatch(r"(?:([0-9]{1,3}) h)? ?(?:([0-9,]{1,6}) min)?", text)
    if not match:
        return None
    hours, minutes = (int((part or "0").replace(",", "") or 0) for part in match.groups())
    return hours * 60 + minutes or None


def _percent(value: object) -> int | None:
    """From "81%", "81/100" or "81"."""
    match = re.fullmatch(r"([0-9]{1,3})(?:%|/100)?", value) if isinstance(value, str) else None
    return int(match[1]) if match and int(match[1]) <= 100 else None


def _out_of_ten(value: str | None) -> float | None:
    match = re.fullmatch(r"[0-9]{1,2}(\.[0-9]+)?", value or "")
    return float(match[0]) if match and float(match[0]) <= 10 else None

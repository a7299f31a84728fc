"""From the providers' bodies to the columns of a title. Pure functions; nothing in a body is relied
on."""

import re
import sys

from mm import config
from mm.database import fold
from mm.schemas import OmdbData, SearchResult, TmdbData

CAST_NAMES = 10
TEXT_MAX = 5000
# The largest integer that every database takes.
INTEGER_MAX = 2**31 - 1
FLOAT_MAX = sys.float_info.max
KEPT_JOBS = ("Directing", "Writing")
# OMDb's own words for what TMDB calls movie and tv; of an episode or a game it says neither.
OMDB_KINDS = {"movie": "movie", "series": "tv"}
RATING_SOURCES = {"rotten_tomatoes": "Rotten Tomatoes", "metacritic": "Metacritic"}
POSTER, POSTER_SMALL = "w500", "w185"
KINDS = ("movie", "tv", "person")


def from_tmdb(body: dict) -> dict:
    """Every descriptive column, from the details of a film or a series; what TMDB leaves empty is
    null."""
    columns = {
        "tmdb_id": _whole(body.get("id")),
        "media_type": body.get("media_type"),
        "title": text(body.get("title")) or text(body.get("name")),
        "original_title": text(body.get("original_title")) or text(body.get("original_name")),
        "year": _year(body.get("release_date") or body.get("first_air_date")),
        "runtime": _whole(body.get("runtime"))
        or _whole(next(iter(_rows(body, "episode_run_time")), None)),
        "genres": _names(_rows(body, "genres")),
        "directors": _directors(body),
        "cast": _names(_rows(body.get("credits"), "cast"))[:CAST_NAMES],
        "overview": text(body.get("overview")),
        "poster_path": text(body.get("poster_path")),
    }
    return {**columns, "search_text": search_text(columns)}


def from_omdb(body: dict) -> dict:
    """As `from_tmdb`, for a title that TMDB does not know or was never asked for."""
    columns = {
        "media_type": OMDB_KINDS.get(given(body, "Type") or ""),
        "title": given(body, "Title"),
        "original_title": None,
        "year": _year(given(body, "Year")),
        "runtime": _minutes(given(body, "Runtime") or ""),
        "genres": _listed(body, "Genre"),
        "directors": _listed(body, "Director"),
        "cast": _listed(body, "Actors")[:CAST_NAMES],
        "overview": given(body, "Plot"),
    }
    return {**columns, "search_text": search_text(columns)}


def ratings(body: dict) -> dict:
    """IMDb 0.0-10.0, Rotten Tomatoes and Metacritic in percent, from OMDb's strings ("8.3", "100%",
    "96/100")."""
    rows = [row for row in _rows(body, "Ratings") if isinstance(row, dict)]
    by_source = {str(row.get("Source")): row.get("Value") for row in rows}
    columns: dict = {
        name: _percent(by_source.get(source)) for name, source in RATING_SOURCES.items()
    }
    if columns["metacritic"] is None:
        columns["metacritic"] = _percent(given(body, "Metascore"))
    return {"imdb_rating": _out_of_ten(given(body, "imdbRating")), **columns}


def search_text(columns: dict) -> str:
    """What a search looks through: title, original title, cast, directors and genres, folded."""
    texts = [
        columns["title"],
        columns["original_title"],
        *columns["cast"],
        *columns["directors"],
        *columns["genres"],
    ]
    return fold(" ".join(dict.fromkeys(filter(None, texts))))


def trimmed(body: dict) -> dict:
    """A TMDB body without the hundreds of people whom no page shows; they are nine tenths of its
    size."""
    credits = body.get("credits")
    if not isinstance(credits, dict):
        return body
    crew = [
        row
        for row in _rows(credits, "crew")
        if isinstance(row, dict) and row.get("department") in KEPT_JOBS
    ]
    return {**body, "credits": {"cast": _rows(credits, "cast")[:CAST_NAMES], "crew": crew}}


def directed(credits: dict) -> list[dict]:
    """Of a person's film credits the films they directed, each once, the most popular first."""
    rows = (row for row in _rows(credits, "crew") if isinstance(row, dict))
    films = {str(row.get("id")): row for row in rows if row.get("job") == "Director"}
    return sorted(films.values(), key=lambda row: -(number(row.get("popularity")) or 0))


def by_release_date(body: dict) -> dict:
    """A page of results with the first release first; those without a date come last."""
    rows = [row for row in _rows(body, "results") if isinstance(row, dict)]
    return {"results": sorted(rows, key=lambda row: text(row.get("release_date")) or "~")}


def _directors(body: dict) -> list[str]:
    """A series has creators instead."""
    crew = _rows(body.get("credits"), "crew")
    directing = [row for row in crew if isinstance(row, dict) and row.get("job") == "Director"]
    return _names(directing) or _names(_rows(body, "created_by"))


def _rows(body: object, key: str) -> list:
    rows = body.get(key) if isinstance(body, dict) else None
    return rows if isinstance(rows, list) else []


def _names(rows: list) -> list[str]:
    """Each name once, in the order given."""
    names = (text(row.get("name")) for row in rows if isinstance(row, dict))
    return list(dict.fromkeys(filter(None, names)))


def imdb_id_of(body: dict) -> str | None:
    """Of the details of a film or a series."""
    ids = body.get("external_ids")
    return text(body.get("imdb_id")) or (
        text(ids.get("imdb_id")) if isinstance(ids, dict) else None
    )


def text(value: object) -> str | None:
    words = value.replace("\0", "").strip()[:TEXT_MAX] if isinstance(value, str) else ""
    return words or None


def number(value: object) -> float | None:
    """None for what is no number, and for a whole one that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > FLOAT_MAX:
        return None
    return float(value)


def count(value: object) -> int | None:
    """Zero is a count, unlike for `_whole`."""
    return 0 if value == 0 and isinstance(value, int) else _whole(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value <= INTEGER_MAX else None


def _year(value: object) -> int | None:
    """Of "1995-10-30", "1995" or "2021–2023"."""
    match = re.match(r"(1[89]|2[01])[0-9]{2}", value) if isinstance(value, str) else None
    return int(match[0]) if match else None


def given(body: dict, key: str) -> str | None:
    """OMDb writes N/A for what it does not have."""
    value = text(body.get(key))
    return None if value == "N/A" else value


def _listed(body: dict, key: str) -> list[str]:
    names = (name.strip() for name in (given(body, key) or "").split(","))
    return list(dict.fromkeys(filter(None, names)))


def _minutes(text: str) -> int | None:
    """Of "81 min", "1 h 15 min" or "1,440 min"."""
    match = re.fullmatch(r"(?:([0-9]{1,3}) h)? ?(?:([0-9,]{1,6}) min)?", text)
    if not match:
        return None
    hours, minutes = (int((part or "0").replace(",", "") or 0) for part in match.groups())
    return hours * 60 + minutes or None


def _percent(value: object) -> int | None:
    match = re.fullmatch(r"([0-9]{1,3})(?:%|/100)?", value) if isinstance(value, str) else None
    return int(match[1]) if match and int(match[1]) <= 100 else None


def _out_of_ten(value: str | None) -> float | None:
    match = re.fullmatch(r"[0-9]{1,2}(\.[0-9]+)?", value or "")
    return float(match[0]) if match and float(match[0]) <= 10 else None


def tmdb_data(body: dict, imdb_id: str | None = None) -> TmdbData:
    """From the details of a film or a series; `imdb_id` where it is known better than TMDB knows
    it."""
    columns = from_tmdb(body)
    poster, poster_small = _posters(columns["poster_path"])
    data = TmdbData(
        tmdbId=columns["tmdb_id"],
        imdbId=imdb_id or imdb_id_of(body),
        title=columns["title"],
        year=columns["year"],
        mediaType=columns["media_type"],
        poster=poster,
        posterSmall=poster_small,
        plot=columns["overview"],
        genres=columns["genres"],
        cast=columns["cast"],
        director=", ".join(columns["directors"]) or None,
        runtime=columns["runtime"],
        voteAverage=number(body.get("vote_average")),
        voteCount=count(body.get("vote_count")),
    )
    if columns["media_type"] == "tv":
        data.numberOfSeasons = count(body.get("number_of_seasons"))
        data.numberOfEpisodes = count(body.get("number_of_episodes"))
    return data


def omdb_data(body: dict) -> OmdbData:
    columns, scores = from_omdb(body), ratings(body)

    def stated(key: str) -> str | None:
        return given(body, key)

    return OmdbData(
        imdbId=stated("imdbID"),
        title=columns["title"],
        year=columns["year"],
        rated=stated("Rated"),
        released=stated("Released"),
        runtime=stated("Runtime"),
        genres=columns["genres"],
        director=stated("Director"),
        writer=stated("Writer"),
        actors=columns["cast"],
        plot=columns["overview"],
        language=stated("Language"),
        country=stated("Country"),
        awards=stated("Awards"),
        poster=stated("Poster"),
        imdbRating=scores["imdb_rating"],
        imdbVotes=stated("imdbVotes"),
        rtRating=scores["rotten_tomatoes"],
        metascore=scores["metacritic"],
        boxOffice=stated("BoxOffice"),
        production=stated("Production"),
        website=stated("Website"),
    )


def results(body: dict, kind: str | None = None) -> list[SearchResult]:
    """The rows of a page of TMDB's results. `kind`: of all of them, where TMDB does not say it of
    each."""
    rows = body.get("results")
    found = (
        (_result(row, kind) for row in rows if isinstance(row, dict))
        if isinstance(rows, list)
        else ()
    )
    return [result for result in found if result]


def _result(row: dict, kind: str | None) -> SearchResult | None:
    media_type = row.get("media_type") or kind
    columns = from_tmdb({**row, "media_type": media_type})
    if columns["tmdb_id"] is None or columns["title"] is None or media_type not in KINDS:
        return None
    poster, poster_small = _posters(columns["poster_path"] or text(row.get("profile_path")))
    result = SearchResult(
        id=columns["tmdb_id"],
        title=columns["title"],
        year=columns["year"],
        mediaType=media_type,  # type: ignore[arg-type]
        poster=poster,
        posterSmall=poster_small,
        overview=columns["overview"],
        voteAverage=number(row.get("vote_average")),
        voteCount=count(row.get("vote_count")),
    )
    if media_type == "person":
        result.name = result.title
        result.knownFor = [
            known.title for known in results({"results": row.get("known_for")}, "movie")
        ]
    return result


def poster(path: str | None) -> str | None:
    """The full address of a poster, in the size that clients show."""
    return _posters(path)[0]


def _posters(path: str | None) -> tuple[str | None, str | None]:
    if path is None:
        return None, None
    base = config.current.tmdb_image_url.rstrip("/")
    return f"{base}/{POSTER}{path}", f"{base}/{POSTER_SMALL}{path}"

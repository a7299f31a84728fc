"""From the providers' bodies to what the API shows of them. Pure functions; nothing in a body is relied on."""

from mm import config
from mm.documents import OmdbData, SearchResult, TmdbData
from mm.services import titles

POSTER, POSTER_SMALL = "w500", "w185"
KINDS = ("movie", "tv", "person")


def tmdb_data(body: dict, imdb_id: str | None = None) -> TmdbData:
    """From the details of a film or a series; `imdb_id` where it is known better than TMDB knows it."""
    columns = titles.from_tmdb(body)
    poster, poster_small = _posters(columns["poster_path"])
    data = TmdbData(
        tmdbId=columns["tmdb_id"], imdbId=imdb_id or titles.imdb_id_of(body), title=columns["title"],
        year=columns["year"], mediaType=columns["media_type"], poster=poster, posterSmall=poster_small,
        plot=columns["overview"], genres=columns["genres"], cast=columns["cast"],
        director=", ".join(columns["directors"]) or None, runtime=columns["runtime"],
        voteAverage=titles.number(body.get("vote_average")), voteCount=titles.count(body.get("vote_count")),
    )  # fmt: skip
    if columns["media_type"] == "tv":
        data.numberOfSeasons = titles.count(body.get("number_of_seasons"))
        data.numberOfEpisodes = titles.count(body.get("number_of_episodes"))
    return data


def omdb_data(body: dict) -> OmdbData:
    columns, ratings = titles.from_omdb(body), titles.ratings(body)

    def given(key: str) -> str | None:
        return titles.given(body, key)

    return OmdbData(
        imdbId=given("imdbID"), title=columns["title"], year=columns["year"], rated=given("Rated"),
        released=given("Released"), runtime=given("Runtime"), genres=columns["genres"], director=given("Director"),
        writer=given("Writer"), actors=columns["cast"], plot=columns["overview"], language=given("Language"),
        country=given("Country"), awards=given("Awards"), poster=given("Poster"),
        imdbRating=ratings["imdb_rating"], imdbVotes=given("imdbVotes"), rtRating=ratings["rotten_tomatoes"],
        metascore=ratings["metacritic"], boxOffice=given("BoxOffice"), production=given("Production"),
        website=given("Website"),
    )  # fmt: skip


def results(body: dict, kind: str | None = None) -> list[SearchResult]:
    """The rows of a page of TMDB's results. `kind`: of all of them, where TMDB does not say it of each."""
    rows = body.get("results")
    found = (_result(row, kind) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return [result for result in found if result]


def _result(row: dict, kind: str | None) -> SearchResult | None:
    media_type = row.get("media_type") or kind
    columns = titles.from_tmdb({**row, "media_type": media_type})
    if columns["tmdb_id"] is None or columns["title"] is None or media_type not in KINDS:
        return None
    poster, poster_small = _posters(columns["poster_path"] or titles.text(row.get("profile_path")))
    result = SearchResult(
        id=columns["tmdb_id"], title=columns["title"], year=columns["year"], mediaType=media_type, poster=poster,  # type: ignore[arg-type]
        posterSmall=poster_small, overview=columns["overview"], voteAverage=titles.number(row.get("vote_average")),
        voteCount=titles.count(row.get("vote_count")),
    )  # fmt: skip
    if media_type == "person":
        result.name = result.title
        result.knownFor = [known.title for known in results({"results": row.get("known_for")}, "movie")]
    return result


def poster(path: str | None) -> str | None:
    """The full address of a poster, in the size that clients show."""
    return _posters(path)[0]


def _posters(path: str | None) -> tuple[str | None, str | None]:
    if path is None:
        return None, None
    base = config.current.tmdb_image_url.rstrip("/")
    return f"{base}/{POSTER}{path}", f"{base}/{POSTER_SMALL}{path}"

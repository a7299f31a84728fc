"""What TMDB and OMDb have on titles, under the names that the API's clients read."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class SearchResult(Struct):
    """`id` is TMDB's. One from the server's catalogue has an `imdb_id`, and its number below zero
    as `id`; its votes are IMDb's. Only a person has `name`, which repeats `title`, and `knownFor`,
    titles of films."""

    id: int
    title: str
    year: int | None
    mediaType: Literal["movie", "tv", "person"]
    poster: str | None
    posterSmall: str | None
    overview: str | None
    voteAverage: float | None
    voteCount: int | None
    knownFor: list[str] | UnsetType = UNSET
    name: str | UnsetType = UNSET
    imdb_id: str | UnsetType = UNSET


class TmdbData(Struct):
    """A film or a series as TMDB describes it; `runtime` in minutes. A series has seasons and
    episodes. From the server's catalogue: without `tmdbId`, plot and cast, with IMDb's votes."""

    tmdbId: int | None
    imdbId: str | None
    title: str | None
    year: int | None
    mediaType: str | None
    poster: str | None
    posterSmall: str | None
    plot: str | None
    genres: list[str]
    cast: list[str]
    director: str | None
    runtime: int | None
    voteAverage: float | None
    voteCount: int | None
    numberOfSeasons: int | UnsetType | None = UNSET
    numberOfEpisodes: int | UnsetType | None = UNSET


class OmdbData(Struct):
    """A film as OMDb describes it. `imdbRating` of 10; `rtRating` (Rotten Tomatoes) and `metascore`
    in percent; what OMDb does not have is null. Of a film that OMDb was not asked for, IMDb's
    catalogue may have the `imdbRating`."""

    imdbId: str | None
    title: str | None
    year: int | None
    rated: str | None
    released: str | None
    runtime: str | None
    genres: list[str]
    director: str | None
    writer: str | None
    actors: list[str]
    plot: str | None
    language: str | None
    country: str | None
    awards: str | None
    poster: str | None
    imdbRating: float | None
    imdbVotes: str | None
    rtRating: int | None
    metascore: int | None
    boxOffice: str | None
    production: str | None
    website: str | None


class CacheInfo(Struct):
    """`ttl` in seconds."""

    current_size: int
    max_size: int
    ttl: int


class Updated(Struct):
    """Whether a title now has the provider's data, fetched within the last hour."""

    tmdb: bool
    omdb: bool


class Refreshed(Struct):
    """`last_modified` is when the user changed the film, which a refresh does not touch."""

    success: bool
    updated: Updated
    last_modified: float

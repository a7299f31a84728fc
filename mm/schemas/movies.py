"""Films, their recommendations and watches."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from mm.schemas.external import OmdbData, TmdbData
from mm.schemas.portable import Status
from mm.schemas.types import (
    NAMES_MAX,
    NUMBER_MAX,
    TEXT_MAX,
    ImdbId,
    Moment,
    Name,
    Names,
    Note,
    Rating,
    RowId,
    Text,
    TmdbId,
)

# Older clients also send "1", "true" or 1.
VoteType = Annotated[
    bool | int | str,
    Meta(
        description=(
            'true or "upvote", false or "downvote"; '
            "left out, a vote that is there stays and a new one is up"
        ),
        examples=[True],
    ),
]
# Only documented here; the services refuse too many of them, with a message in plain words.
PersonIds = Annotated[list[RowId], Meta(extra_json_schema={"maxItems": NAMES_MAX})]
Sort = Literal["added", "modified", "watched", "my_rating", "imdb_rating", "year", "title"]


# gc=False for the rows of answers of any length: they are never part of a reference cycle, and the
# garbage collector need not look through tens of thousands of them.


class RecommendationView(Struct, gc=False):
    """`person` repeats `person_name`, for older clients. `vote_type`: true is up."""

    id: int
    imdb_id: str
    user_id: str
    person_id: int
    person_name: str
    person: str
    date_recommended: float
    vote_type: bool


class WatchView(Struct, gc=False):
    """`my_rating` from 1 to 10, null for watched and not rated. Where `day_known` is false,
    `date_watched` is when it was noted down."""

    imdb_id: str
    user_id: str
    date_watched: float
    my_rating: float | None
    note: str | None
    day_known: bool


class MovieView(Struct, gc=False):
    """`tmdb_data` and `omdb_data` are what the server itself looked up, null until it has; where
    the user's file or the user gave a title meanwhile, `tmdb_data` holds that and no `tmdbId`.
    `watch_history` is the latest watch. `list_ids` are all lists that the film is on, in no
    meaningful order; `custom_list_id` is one of them, only with the status custom."""

    imdb_id: str
    user_id: str
    tmdb_data: TmdbData | None
    omdb_data: OmdbData | None
    media_type: str | None
    status: Status
    custom_list_id: str | None
    date_added: float
    last_modified: float
    recommendations: list[RecommendationView]
    watch_history: WatchView | None
    list_ids: list[str]
    note: str | None


class UnratedMovieView(MovieView, gc=False):
    """A watched film without a rating, for clients that cannot read a `my_rating` of null: they
    take these fields instead. `id` is the IMDb id's number, `poster_path` a full address,
    `release_date` the year, `date_watched` ISO 8601 in UTC."""

    id: int
    title: str
    tmdb_id: int | None
    poster_path: str | None
    overview: str | None
    release_date: str | None
    vote_average: float | None
    imdb_rating: float | None
    rotten_tomatoes_rating: int | None
    metacritic_score: int | None
    actors: list[str]
    date_watched: str


class MovieFilters(Struct):
    """`list`: the id of a list that the film is on, and not deleted. `q`: words that the title,
    cast, directors, genres or the user's own note hold, or an IMDb id. Without `limit`, all that is
    left."""

    status: Status | None = None
    list: str | None = None
    q: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    sort: Sort = "added"
    limit: Annotated[int, Meta(ge=1, le=NUMBER_MAX)] | None = None
    offset: Annotated[int, Meta(ge=0, le=NUMBER_MAX)] = 0


class NewMovie(Struct):
    """`imdb_id` or `tmdb_id`, which is not looked at beside the other and may be the `id` of any
    search result; `recommender` is one more of the `recommenders`."""

    imdb_id: ImdbId | None = None
    tmdb_id: TmdbId | None = None
    media_type: Text | None = None
    status: Status | None = None
    custom_list_id: str | None = None
    recommenders: Names | None = None
    recommender: Name | None = None


class NewRecommendation(Struct):
    """By `person_id`, `person_name` or `person`, in that order; a name that is new makes the
    person."""

    person_id: RowId | None = None
    person_name: Name | None = None
    person: Name | None = None
    date_recommended: Moment | None = None
    vote_type: VoteType | None = None
    media_type: Text | None = None


class NewRecommendations(Struct):
    """Of several people at once: `person_ids`, and names as `people` or `recommenders`; at most
    100 in all."""

    person_ids: PersonIds | None = None
    people: Names | None = None
    recommenders: Names | None = None
    date_recommended: Moment | None = None
    vote_type: VoteType | None = None
    media_type: Text | None = None


class WatchChange(Struct):
    """For a film that is watched: fields that are left out stay as they are, a `my_rating` of null
    clears the rating (and a `note` of null the note), and `again` adds a watch. Any other film gets
    one more watch: now and not rated, unless given. `day_known` false: nobody knows when it was."""

    date_watched: Moment | None = None
    my_rating: Rating | UnsetType | None = UNSET
    again: bool = False
    note: Note | UnsetType | None = UNSET
    day_known: bool | None = None


class StatusChange(Struct):
    """`custom` goes with the id of a list."""

    status: Status
    custom_list_id: str | None = None


class NoteChange(Struct):
    """Null or an empty text removes the note."""

    note: Note | None


class StatusView(Struct):
    imdb_id: str
    status: Status
    custom_list_id: str | None
    last_modified: float

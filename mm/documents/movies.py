"""Films, their votes and watches, as the API shows and takes them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from mm.documents.external import OmdbData, TmdbData
from mm.documents.portable import Status
from mm.documents.texts import ImdbId, Moment, Name, Text

Rating = Annotated[float, Meta(ge=1, le=10)]
# Older clients also send "1", "true" or 1.
VoteType = Annotated[
    bool | int | str,
    Meta(
        description='true or "upvote", false or "downvote"; left out, a vote that is there stays and a new one is up',
        examples=[True],
    ),
]
PersonId = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Sort = Literal["added", "modified", "watched", "my_rating", "imdb_rating", "year", "title"]


class RecommendationView(Struct):
    """`person` repeats `person_name`, for older clients. `vote_type`: true is up."""

    id: int
    imdb_id: str
    user_id: str
    person_id: int
    person_name: str
    person: str
    date_recommended: float
    vote_type: bool


class WatchView(Struct):
    """`my_rating` from 1 to 10, null for watched and not rated."""

    imdb_id: str
    user_id: str
    date_watched: float
    my_rating: float | None


class MovieView(Struct):
    """`tmdb_data` and `omdb_data` are what the server itself looked up, null until it has. `watch_history` is the
    latest watch. `custom_list_id` only with the status custom."""

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


class MovieFilters(Struct):
    """`q`: words that the title, cast, directors or genres hold, or an IMDb id. Without `limit`, all that is left."""

    status: Status | None = None
    list: str | None = None
    q: Annotated[str, Meta(max_length=500)] | None = None
    sort: Sort = "added"
    limit: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    offset: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


class NewMovie(Struct):
    """`imdb_id` or `tmdb_id`; `recommender` is one more of the `recommenders`."""

    imdb_id: ImdbId | None = None
    tmdb_id: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    media_type: Text | None = None
    status: Status | None = None
    custom_list_id: str | None = None
    recommenders: list[Name] | None = None
    recommender: Name | None = None


class NewRecommendation(Struct):
    """By `person_id`, `person_name` or `person`, in that order; a name that is new makes the person."""

    person_id: PersonId | None = None
    person_name: Name | None = None
    person: Name | None = None
    date_recommended: Moment | None = None
    vote_type: VoteType | None = None
    media_type: Text | None = None


class NewRecommendations(Struct):
    """Several people's at once: `person_ids`, and names as `people` or `recommenders`."""

    person_ids: list[PersonId] | None = None
    people: list[Name] | None = None
    recommenders: list[Name] | None = None
    date_recommended: Moment | None = None
    vote_type: VoteType | None = None
    media_type: Text | None = None


class WatchChange(Struct):
    """What is left out stays, or is now and not rated; `my_rating` null clears the rating. `again` adds a watch."""

    date_watched: Moment | None = None
    my_rating: Rating | UnsetType | None = UNSET
    again: bool = False


class StatusChange(Struct):
    """`custom` goes with the id of a list."""

    status: Status
    custom_list_id: str | None = None


class StatusView(Struct):
    imdb_id: str
    status: Status
    custom_list_id: str | None
    last_modified: float

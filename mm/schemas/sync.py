"""The change feed, and the actions that clients queue while they are offline."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from mm.schemas.lists import ListView
from mm.schemas.movies import MovieView
from mm.schemas.people import PersonView
from mm.schemas.views import LibraryView

# msgspec takes no union of several Structs.
_STATES = [
    {"$ref": f"#/components/schemas/{view.__name__}"} for view in (MovieView, PersonView, ListView)
]
ServerState = Annotated[Any, Meta(extra_json_schema={"anyOf": [*_STATES, {"type": "null"}]})]
# Actions that one batch may bring.
ACTIONS_MAX = 1000
SentAction = Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/SyncAction"})]
ActionId = Annotated[str, Meta(max_length=200)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

Action = Literal[
    "addMovie",
    "addRecommendation",
    "removeRecommendation",
    "updateRecommendationVote",
    "watchMovie",
    "markWatched",
    "updateRating",
    "updateMovieStatus",
    "updateStatus",
    "addPerson",
    "updatePerson",
    "updatePersonTrust",
    "deletePerson",
    "addList",
    "updateList",
    "deleteList",
    "addToList",
    "removeFromList",
    "reorderList",
    "updateNote",
]


class SinceQuery(Struct):
    """`since`: the server_timestamp of an earlier answer; 0 for everything."""

    since: float = 0.0


class ChangesQuery(Struct):
    """`offset`: the next_offset of the page before."""

    since: float = 0.0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    offset: str | None = None


class Feed(Struct):
    """What changed, in the order in which it did. `deleted_movie_ids` are IMDb ids, of soft-deleted
    films too; `deleted_people` people's ids, `deleted_lists` lists' and `deleted_views` views'.
    `reset`: the whole server was restored since `since`, or deletions since then have been
    forgotten, so this is the beginning of everything, and what is not in it is gone. `next_offset`
    leads to the next page. `server_timestamp` is the `since` of the next time; `timestamp` repeats
    it."""

    movies: list[MovieView]
    people: list[PersonView]
    lists: list[ListView]
    views: list[LibraryView]
    deleted_movie_ids: list[str]
    deleted_people: list[int]
    deleted_lists: list[str]
    deleted_views: list[str]
    reset: bool
    has_more: bool
    next_offset: str | None
    server_timestamp: float
    timestamp: float


class SyncAction(Struct):
    """`timestamp`: when the user did it, in seconds or milliseconds. `id`: the client's own. A
    replay has the same id, action, data and timestamp; the same id with other content is another
    action."""

    action: Action
    data: dict[str, Any]
    timestamp: float
    id: ActionId | None = None


class SyncBatch(Struct):
    """`actions` in the order in which they were done, 1,000 at most."""

    actions: Annotated[list[SentAction], Meta(extra_json_schema={"maxItems": ACTIONS_MAX})]


class SyncAnswer(Struct):
    """`conflict`: nothing was done, because the server has a newer version of the film, person or
    list, which is `server_state` (null where it is deleted). `error`: why nothing was done."""

    success: bool
    last_modified: float | None = None
    error: str | None = None
    conflict: bool = False
    server_state: ServerState = None


class SyncAnswers(Struct):
    """An answer for each action, in their order. Do not use this `server_timestamp` as `since`: it
    would skip what others changed meanwhile. Ask the feed from its own last `server_timestamp`."""

    results: list[SyncAnswer]
    server_timestamp: float

"""The limits of what a user may enter, each written once, and the types that tell readers of the
API's document about them. services/validation enforces them, with messages in plain words."""

from typing import Annotated

from msgspec import Meta

TEXT_MAX = 500
# Notes and descriptions.
NOTE_MAX = 10_000
# Names that one request may bring.
NAMES_MAX = 100
# Positions, counts and ids: what an integer column holds in every database.
NUMBER_MAX = 2**31 - 1
FIRST_YEAR, LAST_YEAR = 1870, 2200
# Times above this are milliseconds: as seconds they would lie beyond the year 2286.
MILLISECONDS_FROM = 1e10
RATING_MIN, RATING_MAX = 1, 10
IMDB_ID_DIGITS = 7
# Of each kind of backup, how many can be kept.
KEEP_MAX = {"daily": 366, "weekly": 260, "monthly": 240, "yearly": 100}
COLOR_PATTERN = "^#[0-9a-fA-F]{6}$"


def _documented(description: str, **schema) -> Meta:
    """In the document only: msgspec itself does not check it."""
    return Meta(description=description, extra_json_schema=schema)


Name = Annotated[
    str,
    _documented(
        f"1 to {TEXT_MAX} characters, no control characters, and neither . nor ..",
        minLength=1,
        maxLength=TEXT_MAX,
        examples=["Eve"],
    ),
]
Color = Annotated[str, _documented("#rrggbb", pattern=COLOR_PATTERN, examples=["#0a84ff"])]
Text = Annotated[
    str,
    _documented(
        f"Up to {TEXT_MAX} characters; spaces around it are not kept.",
        maxLength=TEXT_MAX,
    ),
]
Note = Annotated[
    str,
    _documented(
        f"Up to {NOTE_MAX:,} characters, line ends included; spaces around it are not kept, and an "
        "empty one is none.",
        maxLength=NOTE_MAX,
    ),
]
ImdbId = Annotated[
    str,
    _documented(
        f"tt and {IMDB_ID_DIGITS} or more digits; case and spaces are forgiven",
        examples=["tt0111161"],
    ),
]
Names = Annotated[
    list[Name],
    _documented(f"{NAMES_MAX} names a request at most", maxItems=NAMES_MAX),
]
Moment = Annotated[
    float,
    _documented(
        f"Unix seconds, {FIRST_YEAR} to {LAST_YEAR}; above 1e10 they are milliseconds",
        examples=[1771000000.0],
    ),
]
# These msgspec checks.
Rating = Annotated[float, Meta(ge=RATING_MIN, le=RATING_MAX)]
RowId = Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
# Below zero it is that of a search result from the catalogue.
TmdbId = Annotated[int, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
Position = Annotated[int, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
Year = Annotated[int, Meta(ge=FIRST_YEAR, le=LAST_YEAR)]
KeepDaily = Annotated[int, Meta(ge=0, le=KEEP_MAX["daily"])]
KeepWeekly = Annotated[int, Meta(ge=0, le=KEEP_MAX["weekly"])]
KeepMonthly = Annotated[int, Meta(ge=0, le=KEEP_MAX["monthly"])]
KeepYearly = Annotated[int, Meta(ge=0, le=KEEP_MAX["yearly"])]

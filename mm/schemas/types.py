"""What texts and times may be, for readers of the API's document. The services hold everybody to
it, in words."""

from typing import Annotated

from msgspec import Meta


def _documented(description: str, **schema) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


Name = Annotated[
    str,
    _documented(
        "1 to 500 characters, no control characters, and neither . nor ..",
        minLength=1,
        maxLength=500,
        examples=["Eve"],
    ),
]
Color = Annotated[str, _documented("#rrggbb", pattern="^#[0-9a-fA-F]{6}$", examples=["#0a84ff"])]
Text = Annotated[
    str, _documented("Up to 500 characters; spaces around it are not kept.", maxLength=500)
]
ImdbId = Annotated[
    str,
    _documented("tt and 7 or more digits; case and spaces are forgiven", examples=["tt0111161"]),
]
# The most names that one request may bring.
NAMES_MAX = 100
Names = Annotated[
    list[Name], _documented(f"{NAMES_MAX} names a request at most", maxItems=NAMES_MAX)
]
Moment = Annotated[
    float,
    _documented(
        "Unix seconds, 1870 to 2200; above 1e10 they are milliseconds", examples=[1771000000.0]
    ),
]

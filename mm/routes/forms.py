"""What the forms of the pages share: what was typed, and what is wrong with it, field by field."""

import uuid

from flask import Flask, request

from mm import auth
from mm.errors import InvalidError, TakenError, UserError
from mm.services.backup import nightly
from mm.services.library import lists

# Each can be chosen for a list; a list from elsewhere may have another one, and shows a star.
LIST_ICONS = (
    "star",
    "heart",
    "bookmark",
    "clock",
    "film",
    "moon",
    "home",
    "bolt",
    "gift",
    "ghost",
    "music",
    "globe",
)
EMOJI = (
    "🎬",
    "🍿",
    "🎭",
    "📚",
    "🎸",
    "🎨",
    "🌟",
    "🐱",
    "🐶",
    "🦊",
    "🦉",
    "👩",
    "👨",
    "🧑",
    "👵",
    "👴",
    "👧",
    "👦",
)


def init_app(app: Flask) -> None:
    app.jinja_env.globals.update(
        list_icons=LIST_ICONS, swatches=lists.COLORS, emoji=EMOJI, new_id=lambda: str(uuid.uuid4())
    )


def problems_of(error: UserError, field: str = "name") -> dict[str, str]:
    """{field: what is wrong}; of what is about no field of its own, at `field`."""
    if isinstance(error, (InvalidError, TakenError)) and error.errors:
        return {problem.path: problem.reason for problem in error.errors}
    return {field: error.message}


def typed(*fields: str) -> dict[str, str]:
    return {field: request.form.get(field, "") for field in fields}


def take_offer(in_seconds: float = 0) -> None:
    """What `backups/_offer.html` sends: switch automatic backups on, or note that they are not
    wanted."""
    if "nightly_offered" in request.form:
        nightly.decide(auth.account(), "nightly" in request.form, in_seconds)

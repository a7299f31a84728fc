"""What the forms of the pages share: what was typed, and what is wrong with it, field by field."""

import uuid

from flask import Flask, request

from mm.errors import Conflict, Invalid, UserError

# Each can be chosen for a list; a list from elsewhere may have another one, and shows a star.
LIST_ICONS = ("star", "heart", "bookmark", "clock", "film", "moon", "home", "bolt", "gift", "ghost", "music", "globe")
COLORS = (
    "#d9480f", "#b97a10", "#5c7a29", "#1b7048", "#0b7285", "#1864ab", "#5f3dc4", "#9c36b5", "#c2255c", "#6b5b4b",
)  # fmt: skip
EMOJI = ("🎬", "🍿", "🎭", "📚", "🎸", "🎨", "🌟", "🐱", "🐶", "🦊", "🦉", "👩", "👨", "🧑", "👵", "👴", "👧", "👦")


def init_app(app: Flask) -> None:
    app.jinja_env.globals.update(list_icons=LIST_ICONS, swatches=COLORS, emoji=EMOJI, new_id=lambda: str(uuid.uuid4()))


def problems_of(error: UserError, field: str = "name") -> dict[str, str]:
    """{field: what is wrong}. A Conflict is about the `field` that has to be unique."""
    if isinstance(error, Invalid) and error.errors:
        return {problem.path: problem.reason for problem in error.errors}
    words = "there is one of this name already" if isinstance(error, Conflict) else error.message
    return {field: words}


def typed(*fields: str) -> dict[str, str]:
    return {field: request.form.get(field, "") for field in fields}

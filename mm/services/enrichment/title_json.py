"""Titles as the API's clients get them: JSON made once, when a title is filled, and spliced into
each answer as it is. Decoding the providers' bodies anew took most of the time of every answer."""

import hashlib

import msgspec
from msgspec import Raw
from peewee import JOIN, Case, Field, ModelSelect

from mm import config, models
from mm.database import chunks, db, insert_rows
from mm.models import Title, TitleJson
from mm.services.enrichment import mapping

# To be raised whenever `described` makes something else of the same body.
REVISION = 1
# Titles that one run makes anew.
BATCH = 500
# The setting that says for which version every title has its JSON.
ALL_MADE = "title_json.all_made"
MADE = (TitleJson.tmdb, TitleJson.omdb)


def version() -> str:
    """Of the JSON that this server makes now: addresses of posters are a part of it."""
    images = hashlib.sha256(config.current.tmdb_image_url.encode()).hexdigest()[:12]
    return f"{REVISION}-{images}"


def make(imdb_id: str) -> None:
    """From the title's bodies as they are now. Call inside the transaction that changes them."""
    bodies = Title.select(*_bodies()).where(Title.imdb_id == imdb_id).tuples().get()
    _put([(imdb_id, *described_texts(imdb_id, *bodies))])


def make_missing() -> int:
    """Make what an older version made, or nobody yet; returns how many, at most BATCH.

    Asked every minute. Once all are there it looks no further: whatever is filled is made at once.
    """
    if models.setting(ALL_MADE) == version():
        return 0
    has_body = Title.tmdb_body.is_null(False) | Title.omdb_body.is_null(False)
    missing = joined(Title.select(Title.imdb_id, *_bodies()))
    rows = list(missing.where(has_body & TitleJson.title.is_null()).limit(BATCH).tuples())
    with db.atomic():
        _put([(imdb_id, *described_texts(imdb_id, *bodies)) for imdb_id, *bodies in rows])
        if not rows:
            models.put_setting(ALL_MADE, version())
    return len(rows)


def joined(query: ModelSelect) -> ModelSelect:
    """With the JSON of this version where there is one; the query has joined Title."""
    is_current = (TitleJson.title == Title.imdb_id) & (TitleJson.version == version())
    return query.join_from(Title, TitleJson, JOIN.LEFT_OUTER, on=is_current)


def columns() -> tuple:
    """tmdb and omdb, then both bodies of a title whose JSON is not made yet: for `raw`."""
    unmade = TitleJson.title.is_null()
    return (*MADE, *(Case(None, [(unmade, body)]) for body in _bodies()))


def raw(
    imdb_id: str, tmdb: str | None, omdb: str | None, tmdb_body: str | None, omdb_body: str | None
) -> tuple[Raw | None, Raw | None]:
    """The JSON of both providers from a row of `columns`."""
    if tmdb_body or omdb_body:
        tmdb, omdb = described_texts(imdb_id, tmdb_body, omdb_body)
    return tmdb and Raw(tmdb), omdb and Raw(omdb)  # type: ignore[return-value]


def described_texts(
    imdb_id: str, tmdb_body: str | None, omdb_body: str | None
) -> tuple[str | None, str | None]:
    """The clients' JSON of both bodies, each None without one."""
    tmdb = tmdb_body and mapping.tmdb_data(msgspec.json.decode(tmdb_body), imdb_id)
    omdb = omdb_body and mapping.omdb_data(msgspec.json.decode(omdb_body))
    return _text(tmdb), _text(omdb)


def _bodies() -> tuple[Field, Field]:
    """As text: Peewee would decode them."""
    return Title.tmdb_body.cast("TEXT"), Title.omdb_body.cast("TEXT")


def _text(data: object) -> str | None:
    return msgspec.json.encode(data).decode() if data else None


def _put(rows: list[tuple]) -> None:
    now = version()
    for some in chunks(row[0] for row in rows):
        TitleJson.delete().where(TitleJson.title.in_(some)).execute()
    fields = [TitleJson.title, TitleJson.version, *MADE]
    values = ((imdb_id, now, tmdb, omdb) for imdb_id, tmdb, omdb in rows)
    insert_rows(db.obj, fields, values)

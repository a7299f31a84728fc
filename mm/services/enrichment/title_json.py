"""Titles as the API's clients get them: JSON that is built once, when a title is
filled, and copied into each answer as it is. Decoding the providers' bodies for each
answer took most of its time."""

import hashlib

import msgspec
from msgspec import Raw
from peewee import JOIN, Case, Field, ModelSelect

from mm import config, models
from mm.database import chunks, db, insert_rows
from mm.models import Title, TitleJson
from mm.schemas import TmdbData
from mm.services.enrichment import mapping

# Raise it whenever `mapping` makes something else of the same body.
REVISION = 1
# Titles that one run rebuilds.
BATCH = 500
# The setting that holds the version in which every title has its JSON.
ALL_BUILT = "title_json.all_made"


def version() -> str:
    """Of the JSON that this server builds now; posters' addresses are a part of the JSON."""
    images = hashlib.sha256(config.current.tmdb_image_url.encode()).hexdigest()[:12]
    return f"{REVISION}-{images}"


def rebuild(imdb_id: str) -> None:
    """From the title's bodies as they are now. Call inside the transaction that changes them."""
    bodies = Title.select(*_bodies()).where(Title.imdb_id == imdb_id).tuples().get()
    _store([(imdb_id, *bodies)])


def build_missing() -> int:
    """Build what is missing or of an older version; returns how many titles, at most BATCH.

    Called every minute. Once every title has its JSON it looks no further, because
    filling a title builds its JSON too.
    """
    if models.setting(ALL_BUILT) == version():
        return 0
    has_body = Title.tmdb_body.is_null(False) | Title.omdb_body.is_null(False)
    missing = join_current(Title.select(Title.imdb_id, *_bodies()))
    rows = list(missing.where(has_body & TitleJson.title.is_null()).limit(BATCH).tuples())
    with db.atomic():
        _store(rows)
        if not rows:
            models.put_setting(ALL_BUILT, version())
    return len(rows)


def join_current(query: ModelSelect) -> ModelSelect:
    """Join the JSON of this version, where there is one. The query has joined Title."""
    is_current = (TitleJson.title == Title.imdb_id) & (TitleJson.version == version())
    return query.join_from(Title, TitleJson, JOIN.LEFT_OUTER, on=is_current)


def columns() -> tuple:
    """For `from_row`: the JSON of TMDB and of OMDb, and both bodies where that is not built yet."""
    is_missing = TitleJson.title.is_null()
    return (
        TitleJson.tmdb,
        TitleJson.omdb,
        *(Case(None, [(is_missing, body)]) for body in _bodies()),
    )


def from_row(
    imdb_id: str, tmdb: str | None, omdb: str | None, tmdb_body: str | None, omdb_body: str | None
) -> tuple[Raw | None, Raw | None]:
    """The JSON of TMDB and of OMDb, from a row of `columns`."""
    if tmdb_body or omdb_body:
        tmdb, omdb = _build(imdb_id, tmdb_body, omdb_body)
    return tmdb and Raw(tmdb), omdb and Raw(omdb)  # type: ignore[return-value]


def with_hint(
    tmdb: Raw | None, imdb_id: str, media_type: str | None, title: str, year: int | None
) -> Raw:
    """The JSON of TMDB with the title and the year that a film's hint gives it. Where TMDB has
    nothing on the film, all the rest is empty, but none of it is missing."""
    if tmdb is None:
        data = TmdbData(
            tmdbId=None,
            imdbId=imdb_id,
            title=title,
            year=year,
            mediaType=media_type,
            poster=None,
            posterSmall=None,
            plot=None,
            genres=[],
            cast=[],
            director=None,
            runtime=None,
            voteAverage=None,
            voteCount=None,
        )
    else:
        known = msgspec.json.decode(tmdb, type=TmdbData)
        data = msgspec.structs.replace(known, title=title, year=year)
    return Raw(msgspec.json.encode(data))


def _bodies() -> tuple[Field, Field]:
    """As text: Peewee would decode them."""
    return Title.tmdb_body.cast("TEXT"), Title.omdb_body.cast("TEXT")


def _build(
    imdb_id: str, tmdb_body: str | None, omdb_body: str | None
) -> tuple[str | None, str | None]:
    """The clients' JSON of each body, None without one."""
    tmdb = omdb = None
    if tmdb_body:
        tmdb_data = mapping.tmdb_data(msgspec.json.decode(tmdb_body), imdb_id)
        tmdb = msgspec.json.encode(tmdb_data).decode()
    if omdb_body:
        omdb_data = mapping.omdb_data(msgspec.json.decode(omdb_body))
        omdb = msgspec.json.encode(omdb_data).decode()
    return tmdb, omdb


def _store(rows: list[tuple[str, str | None, str | None]]) -> None:
    """Build and replace the JSON of titles. `rows`: (imdb_id, TMDB's body, OMDb's body)."""
    current = version()
    for imdb_ids in chunks(row[0] for row in rows):
        TitleJson.delete().where(TitleJson.title.in_(imdb_ids)).execute()
    fields = [TitleJson.title, TitleJson.version, TitleJson.tmdb, TitleJson.omdb]
    values = ((imdb_id, current, *_build(imdb_id, *bodies)) for imdb_id, *bodies in rows)
    insert_rows(db.obj, fields, values)

"""Titles as the API's clients get them: JSON that is built once, when a title is
filled, and copied into each answer as it is. Decoding the providers' bodies for each
answer took most of its time."""

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec import Raw
from peewee import JOIN, Case, ModelSelect, Node

from mm import config, models
from mm.database import chunks, db, delete_rows, insert_rows
from mm.models import Title, TitleJson
from mm.schemas import OmdbData, TmdbData
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


def rebuild(imdb_ids: Iterable[str]) -> None:
    """From these titles as they are now. Call inside the transaction that changes them."""
    for part in chunks(imdb_ids):
        made_of = Title.select(Title.imdb_id, *_made_of()).where(Title.imdb_id.in_(part))
        _store(list(db.execute(made_of)))


def build_missing() -> int:
    """Build what is missing or of an older version; returns how many titles, at most BATCH.

    Called every minute. Once every title has its JSON it looks no further, because
    filling a title builds its JSON too.
    """
    if models.setting(ALL_BUILT) == version():
        return 0
    has_body = Title.tmdb_body.is_null(False) | Title.omdb_body.is_null(False)
    is_described = has_body | Title.source.is_null(False)
    missing = join_current(Title.select(Title.imdb_id, *_made_of()))
    rows = list(missing.where(is_described & TitleJson.title.is_null()).limit(BATCH).tuples())
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
    """For `from_row`: the JSON of TMDB and of OMDb, and what it is made of where that is not built
    yet."""
    is_missing = TitleJson.title.is_null()
    return (
        TitleJson.tmdb,
        TitleJson.omdb,
        *(Case(None, [(is_missing, column)]) for column in _made_of()),
    )


def from_row(
    imdb_id: str, tmdb: str | None, omdb: str | None, *made_of
) -> tuple[Raw | None, Raw | None]:
    """The JSON of TMDB and of OMDb, from a row of `columns`."""
    if not tmdb and not omdb:
        tmdb, omdb = _build(imdb_id, *made_of)
    return tmdb and Raw(tmdb), omdb and Raw(omdb)  # type: ignore[return-value]


def with_hint(
    tmdb: Raw | None, imdb_id: str, media_type: str | None, title: str, year: int | None
) -> Raw:
    """The JSON of TMDB with the title and the year that a film's hint gives it. Where TMDB has
    nothing on the film, all the rest is empty, but none of it is missing."""
    if tmdb is None:
        data = mapping.bare_tmdb_data(imdb_id, title=title, year=year, mediaType=media_type)
    else:
        known = msgspec.json.decode(tmdb, type=TmdbData)
        data = msgspec.structs.replace(known, title=title, year=year)
    return Raw(msgspec.json.encode(data))


def names(text: str | None) -> list[str]:
    """Of a column of a title, which may hold anything in a database that was restored: without any,
    where they cannot be read."""
    try:
        return msgspec.json.decode(text or "[]", type=list[str])
    except msgspec.MsgspecError:
        return []


def _made_of() -> tuple[Node, ...]:
    """What `_build` takes; JSON as text, which Peewee would decode."""
    is_from_catalogue, is_described = Title.source == "imdb", Title.source.is_null(False)
    return (
        Title.tmdb_body.cast("TEXT"),
        Title.omdb_body.cast("TEXT"),
        Case(None, [(is_from_catalogue, Title.title)]),
        Case(None, [(is_described, Title.imdb_rating)]),
        Title.year,
        Title.media_type,
        Title.genres.cast("TEXT"),
        Title.directors.cast("TEXT"),
        Title.runtime,
    )


def _build(
    imdb_id: str,
    tmdb_body: str | None,
    omdb_body: str | None,
    title: str | None,
    imdb_rating: float | None,
    *description,
) -> tuple[str | None, str | None]:
    """The clients' JSON of TMDB and of OMDb, None without anything of it. What the catalogue knows
    stands where they read it: they know no other place."""
    tmdb: TmdbData | None = None
    omdb: OmdbData | None = None
    if tmdb_body:
        tmdb = mapping.tmdb_data(msgspec.json.decode(tmdb_body), imdb_id)
    elif title:
        tmdb = _from_catalogue(imdb_id, title, *description)
    if omdb_body:
        omdb = mapping.omdb_data(msgspec.json.decode(omdb_body))
    elif imdb_rating is not None:
        omdb = mapping.bare_omdb_data(imdb_id, imdb_rating)
    return _text(tmdb), _text(omdb)


def _from_catalogue(
    imdb_id: str,
    title: str,
    year: int | None,
    media_type: str | None,
    genres: str,
    directors: str,
    runtime: int | None,
) -> TmdbData:
    return mapping.bare_tmdb_data(
        imdb_id,
        title=title,
        year=year,
        mediaType=media_type,
        genres=names(genres),
        director=", ".join(names(directors)) or None,
        runtime=runtime,
    )


def _text(data: TmdbData | OmdbData | None) -> str | None:
    return msgspec.json.encode(data).decode() if data else None


def _store(rows: list[tuple]) -> None:
    """Build and replace the JSON of titles. `rows`: imdb_id and `_made_of`."""
    current = version()
    delete_rows(db.obj, [TitleJson.title], ((row[0],) for row in rows))
    fields = [TitleJson.title, TitleJson.version, TitleJson.tmdb, TitleJson.omdb]
    values = ((imdb_id, current, *_build(imdb_id, *made_of)) for imdb_id, *made_of in rows)
    insert_rows(db.obj, fields, values)

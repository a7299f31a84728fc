"""Titles from the catalogue: describes films that neither TMDB nor OMDb has described, thousands
of them at once.

The states of TMDB and OMDb stay as they are: with a key these titles are looked up like any other,
and the answers replace what the catalogue says.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from peewee import ModelSelect, fn

from mm import log, models
from mm.database import chunks, db, update_rows
from mm.models import Job, Movie, Title, User
from mm.services import jobs
from mm.services.catalogue import store, updates
from mm.services.catalogue.store import Film
from mm.services.enrichment import mapping, runner, title_json
from mm.services.enrichment.queue import CATALOGUE_DESCRIBES

# How many titles one transaction of `renew` reads.
BATCH = 2000
LISTS = ("genres", "directors")
RATED = (Title.imdb_rating, Title.imdb_votes)
DESCRIBED = (*CATALOGUE_DESCRIBES, Title.search_text, *RATED)


def fill(imdb_ids: Iterable[str]) -> list[str]:
    """Describe those of these titles that have no description yet; returns the ones that were
    filled. Call inside a transaction."""
    if not store.is_there():
        return []
    new = Title.source.is_null() & Title.imdb_id.in_(list(imdb_ids))
    return _describe(store.films_by_id(_ids(Title.select(Title.imdb_id).where(new))))


def fill_new() -> int:
    """Describe all titles that have no description yet; returns how many were filled."""
    if not store.is_there():
        return 0
    # Before the transaction, so that writers do not wait for it.
    films = store.films_by_id(_new())
    count = 0
    for part in chunks(films):
        with db.atomic():
            still_new = _new().intersection(part)
            count += len(_describe({imdb_id: films[imdb_id] for imdb_id in sorted(still_new)}))
    if count:
        log.info("titles.from_catalogue", count=count)
    return count


def renew() -> int:
    """Call this when a new catalogue has replaced the old one: runs `fill_new`, then updates the
    titles that an older catalogue described, and the ratings that are not from OMDb. Returns how
    many of these changed. Titles that the new catalogue lacks stay as they are.

    Raises jobs.StoppedError once `runner.must_stop`; the next run starts over, and writes only what
    still differs.
    """
    fill_new()
    count, last = 0, ""
    while store.is_there() and (imdb_ids := _renewable(last)):
        if runner.must_stop():
            raise jobs.StoppedError
        films, last = store.films_by_id(imdb_ids), imdb_ids[-1]
        if films:
            with db.atomic():
                count += _renew(films)
    log.info("titles.renewed", count=count)
    return count


def update(job: Job) -> dict:
    """Update the catalogue, then the titles from it. Raises what `updates.run` and `renew` do."""
    result = updates.run(job, runner.must_stop)
    renew()
    return result


def _new() -> set[str]:
    """The titles without a description."""
    return set(_ids(Title.select(Title.imdb_id).where(Title.source.is_null())))


def _ids(titles: ModelSelect) -> list[str]:
    return [imdb_id for (imdb_id,) in db.execute(titles)]


def _describe(films: Mapping[str, Film]) -> list[str]:
    """Give these titles the catalogue's description."""
    imdb_ids = list(films)
    if imdb_ids:
        rows = (("imdb", *_written(_columns(film)), film.imdb_id) for film in films.values())
        update_rows(db.obj, [Title.source, *DESCRIBED], [Title.imdb_id], rows)
        _show(imdb_ids)
    return imdb_ids


def _renewable(after: str) -> list[str]:
    """The next BATCH of titles that show something of the catalogue, or might, by imdb_id."""
    # The time of OMDb's answer tells that there is one; reading its body takes long.
    is_shown = Title.source.is_null(False) & Title.omdb_fetched_at.is_null()
    rows = Title.select(Title.imdb_id).where(is_shown & (Title.imdb_id > after))
    return _ids(rows.order_by(Title.imdb_id).limit(BATCH))


def _renew(films: Mapping[str, Film]) -> int:
    described, rated, seen = [], [], []
    for imdb_id, source, before in _as_they_are(films):
        new = _columns(films[imdb_id])
        fields = DESCRIBED if source == "imdb" else RATED
        changed = {field.name for field in fields if new[field.name] != before[field.name]}
        if changed and source == "imdb":
            described.append((*_written(new), imdb_id))
        elif changed:
            rated.append((*(new[field.name] for field in RATED), imdb_id))
        # Clients see no votes.
        if changed - {"imdb_votes"}:
            seen.append(imdb_id)
    update_rows(db.obj, DESCRIBED, [Title.imdb_id], described)
    update_rows(db.obj, RATED, [Title.imdb_id], rated)
    _show(seen)
    return len(described) + len(rated)


def _as_they_are(imdb_ids: Iterable[str]) -> Iterator[tuple[str, str | None, dict]]:
    """(imdb_id, source, columns) of those that OMDb has not rated."""
    # As text: Peewee would decode it, and raise if it is not JSON.
    columns = [field.cast("TEXT") if field.name in LISTS else field for field in DESCRIBED]
    titles = Title.select(Title.imdb_id, Title.source, *columns)
    titles = titles.where(Title.imdb_id.in_(list(imdb_ids)) & Title.omdb_fetched_at.is_null())
    for imdb_id, source, *values in db.execute(titles):
        before = dict(zip((field.name for field in DESCRIBED), values, strict=True))
        lists = {name: title_json.names(before[name]) for name in LISTS}
        yield imdb_id, source, before | lists


def _columns(film: Film) -> dict:
    return mapping.from_catalogue(film) | mapping.catalogue_ratings(film)


def _written(columns: dict) -> tuple:
    """The values of DESCRIBED as the driver takes them."""
    values = (columns[field.name] for field in DESCRIBED)
    return tuple(json.dumps(value) if isinstance(value, list) else value for value in values)


def _show(imdb_ids: list[str]) -> None:
    """Rebuild the clients' JSON of these titles, and have phones fetch their films again."""
    if not imdb_ids:
        return
    title_json.rebuild(imdb_ids)
    updated_at = models.next_update(db.obj)
    rows = ((updated_at, imdb_id) for imdb_id in imdb_ids)
    update_rows(db.obj, [Movie.updated_at], [Movie.title], rows)
    if len(imdb_ids) > 1:
        theirs = Movie.select().where((Movie.user == User.id) & (Movie.updated_at == updated_at))
        for (user_id,) in User.select(User.id).where(fn.EXISTS(theirs)).tuples():
            models.spread_updates(db.obj, user_id, updated_at)

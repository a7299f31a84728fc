"""The enrichment queue, which is the titles table: what is due at a provider, and what an outcome makes of a title.

A title is due that some library holds, and that was never looked up (`stub`) or whose retry_at has come.
"""

from collections.abc import Container
from typing import NamedTuple

from peewee import Expression, ModelSelect, fn

from mm import clock
from mm.models import Movie, Title
from mm.services import titles

HOUR, DAY = 3600, 86400
# After the first, second, third and every later failure.
FAILED_AGAIN = (HOUR, 4 * HOUR, DAY, 7 * DAY)
MISSING_AGAIN = 30 * DAY
# TMDB allows what it sent to be kept for six months.
READY_AGAIN = 150 * DAY


class Due(NamedTuple):
    """`state` and `attempts` at the provider in question."""

    imdb_id: str
    state: str
    attempts: int


def all_due(provider: str) -> ModelSelect:
    """The ids, in no order."""
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    return Title.select(Title.imdb_id).where(_is_due(provider)).where(fn.EXISTS(holders))


def first(provider: str, limit: int, taken: Container[str], wanted: bool = False) -> list[Due]:
    """The head of the queue without those `taken`: just added or opened titles, the newest first, then the next title
    of each user in turn, so that nobody's import of thousands keeps the others waiting. `wanted`: of the former only.
    """
    state, attempts, _ = _columns(provider)
    turn = fn.ROW_NUMBER().over(partition_by=[Movie.user], order_by=[Movie.id]).alias("turn")
    held = Movie.select(Movie.title.alias("imdb_id"), turn).join(Title).where(_is_due(provider))
    if wanted:
        held = held.where(Title.wanted_at.is_null(False))
    rows = (
        Title.select(Title.imdb_id, state, attempts)
        .join(held, on=(Title.imdb_id == held.c.imdb_id))
        .group_by(Title.imdb_id, state, attempts, Title.wanted_at)
        .order_by(Title.wanted_at.desc(nulls="LAST"), fn.MIN(held.c.turn), Title.imdb_id)
        .limit(limit)
        .tuples()
    )
    return [title for title in map(Due._make, rows) if title.imdb_id not in taken]


def one(provider: str, imdb_id: str) -> Due:
    """Whether it is due or not."""
    state, attempts, _ = _columns(provider)
    return Due(*Title.select(Title.imdb_id, state, attempts).where(Title.imdb_id == imdb_id).tuples().get())


def missing_lately(provider: str, imdb_id: str, seconds: float) -> str | None:
    """The reason, where the provider said within so many seconds that it does not know the title."""
    state, _, retry_at = _columns(provider)
    said = (state == "missing") & (retry_at > clock.now() + MISSING_AGAIN - seconds)
    return Title.select(Title._meta.fields[f"{provider}_reason"]).where((Title.imdb_id == imdb_id) & said).scalar()


def fill(provider: str, imdb_id: str, body: dict) -> None:
    """Store a provider's body and the columns that come from it. Call inside a transaction, as the verbs below."""
    title = Title.imdb_id == imdb_id
    if provider == "tmdb":
        columns = {**titles.from_tmdb(body), "tmdb_body": titles.trimmed(body)}
    else:
        columns = {**titles.ratings(body), "omdb_body": body}
        Title.update(**titles.from_omdb(body)).where(title & Title.tmdb_body.is_null()).execute()
    Title.update(**columns, **{f"{provider}_fetched_at": clock.now()}).where(title).execute()
    _mark(provider, imdb_id, "ready", None, READY_AGAIN)


def mark_missing(provider: str, imdb_id: str, reason: str) -> None:
    _mark(provider, imdb_id, "missing", reason, MISSING_AGAIN)


def mark_failed(provider: str, title: Due, reason: str) -> None:
    """A title that was filled before stays so, and is asked for again all the same."""
    state = "ready" if title.state == "ready" else "failed"
    wait = FAILED_AGAIN[min(title.attempts, len(FAILED_AGAIN) - 1)]
    _mark(provider, title.imdb_id, state, reason, wait, title.attempts + 1)


def retry_failed(provider: str) -> None:
    state, _, retry_at = _columns(provider)
    Title.update({retry_at: clock.now()}).where(state == "failed").execute()


def _mark(provider: str, imdb_id: str, state: str, reason: str | None, wait: float, attempts: int = 0) -> None:
    values = {"state": state, "reason": reason, "retry_at": clock.now() + wait, "attempts": attempts}
    columns = {f"{provider}_{name}": value for name, value in values.items()}
    Title.update(**columns).where(Title.imdb_id == imdb_id).execute()


def _is_due(provider: str) -> Expression:
    """Put so that both halves use the index of state and retry_at."""
    state, _, retry_at = _columns(provider)
    return (state == "stub") | (state.in_(("ready", "missing", "failed")) & (retry_at <= clock.now()))


def _columns(provider: str) -> tuple:
    return tuple(Title._meta.fields[f"{provider}_{name}"] for name in ("state", "attempts", "retry_at"))

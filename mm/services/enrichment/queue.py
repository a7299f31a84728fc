"""The enrichment queue, which is the titles table: what is due at a provider, and what an outcome
makes of a title.

A title is due that some library holds, and that was never looked up (`stub`) or whose retry_at has
come.
"""

from collections.abc import Container
from typing import NamedTuple

from peewee import Case, Expression, InterfaceError, ModelSelect, OperationalError, fn

from mm import clock, config, log, models
from mm.database import chunks, db
from mm.models import Movie, Title, Tombstone
from mm.services.enrichment import mapping, title_json

HOUR, DAY = 3600, 86400
# After the first, second, third and every later failure.
FAILED_AGAIN = (HOUR, 4 * HOUR, DAY, 7 * DAY)
MISSING_AGAIN = 30 * DAY
# TMDB allows what it sent to be kept for six months.
READY_AGAIN = 150 * DAY
# A retry_at beyond it was written while the clock was ahead.
LONGEST_WAITS = {"failed": FAILED_AGAIN[-1], "missing": MISSING_AGAIN, "ready": READY_AGAIN}
# {language, before}: TMDB's language in force, and the moment before which what was filled is to be
# looked up again, or null.
RENEWAL = "tmdb.renewal"
# A title stays for so long after the last library let go of it, and after it was last looked up.
KEPT_UNHELD = 30 * DAY
SWEPT_AT_MOST = 20_000
SWEEP_BATCH = 500
# The reason of a title whose look-up met something unforeseen; the code leads to the log.
UNEXPECTED = "Something went wrong (details in the log, code {})."


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
    """The head of the queue without those `taken`.

    Just added or opened titles, the newest first; then the next title of each user in turn, so
    that nobody's import of thousands keeps the others waiting; then those that are filled and only
    looked up again. `wanted`: of the first kind only.
    """
    state, attempts, _ = _columns(provider)
    # A filled title was wanted when it was added. That is served, unless it was opened just now.
    is_again = state == "ready"
    is_wanted = Title.wanted_at.is_null(False)
    is_wanted &= ~is_again | (Title.wanted_at > clock.now() - HOUR)
    wanted_at = Case(None, [(is_wanted, Title.wanted_at)])
    turn = fn.ROW_NUMBER().over(partition_by=[Movie.user], order_by=[Movie.id]).alias("turn")
    held = Movie.select(Movie.title.alias("imdb_id"), turn).join(Title).where(_is_due(provider))
    if wanted:
        held = held.where(is_wanted)
    rows = (
        Title.select(Title.imdb_id, state, attempts)
        .join(held, on=(Title.imdb_id == held.c.imdb_id))
        .group_by(Title.imdb_id, state, attempts, Title.wanted_at)
        .order_by(wanted_at.desc(nulls="LAST"), is_again, fn.MIN(held.c.turn), Title.imdb_id)
        .limit(limit)
        .tuples()
    )
    return [title for title in map(Due._make, rows) if title.imdb_id not in taken]


def one(provider: str, imdb_id: str) -> Due:
    """Whether it is due or not."""
    state, attempts, _ = _columns(provider)
    return Due(
        *Title.select(Title.imdb_id, state, attempts).where(Title.imdb_id == imdb_id).tuples().get()
    )


def missing_lately(provider: str, imdb_id: str, seconds: float) -> str | None:
    """The reason, where the provider said within so many seconds that it does not know the title."""
    state, _, retry_at = _columns(provider)
    latest = clock.now() + MISSING_AGAIN
    lately = (retry_at > latest - seconds) & (retry_at <= latest + DAY)
    said = (state == "missing") & lately
    return (
        Title.select(Title._meta.fields[f"{provider}_reason"])
        .where((Title.imdb_id == imdb_id) & said)
        .scalar()
    )


def fill(provider: str, imdb_id: str, body: dict) -> None:
    """Store a provider's body and the columns that come from it. Call inside a transaction, as the
    verbs below."""
    title = Title.imdb_id == imdb_id
    if provider == "tmdb":
        columns = {**mapping.from_tmdb(body), "tmdb_body": mapping.trimmed(body)}
    else:
        columns = {**mapping.ratings(body), "omdb_body": body}
        Title.update(**mapping.from_omdb(body)).where(title & Title.tmdb_body.is_null()).execute()
    Title.update(**columns, **{f"{provider}_fetched_at": clock.now()}).where(title).execute()
    title_json.make(imdb_id)
    _mark(provider, imdb_id, "ready", None, READY_AGAIN)


def fill_apart(provider: str, title: Due, body: dict) -> str | None:
    """As `fill`. A body that cannot be stored is the failure of its title alone: returns the code
    under which the log has it. A database that does not work is no title's fault, and raised."""
    broken = (OperationalError, InterfaceError)
    with (
        log.isolated("title.not_stored", besides=broken, provider=provider) as filling,
        db.atomic(),
    ):
        fill(provider, title.imdb_id, body)
    if filling.code:
        mark_failed(provider, title, UNEXPECTED.format(filling.code))
    return filling.code


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


def notice_language() -> None:
    """Where TMDB_LANGUAGE was changed, titles in the old language become due again. A
    renewal of the future was asked for while the clock was ahead: it is one of now."""
    language = config.current.tmdb_language
    known = models.setting(RENEWAL)
    if known is None or known["language"] != language or (known["before"] or 0) > clock.now():
        with db.atomic():
            before = None if known is None else clock.now()
            models.put_setting(RENEWAL, {"language": language, "before": before})


def renew_all() -> int:
    """Make every title that TMDB has filled due again; returns how many."""
    with db.atomic():
        renewal = {"language": config.current.tmdb_language, "before": clock.now()}
        models.put_setting(RENEWAL, renewal)
    return all_due("tmdb").where(Title.tmdb_state == "ready").count()


def sweep() -> int:
    """Delete titles that no library has held for 30 days; returns how many, at most 20,000.

    In small transactions, so that nobody waits. A library that is restored makes its titles anew.
    """
    gone = 0
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    for some in chunks(_long_unheld(), SWEEP_BATCH):
        with db.atomic():
            still = Title.imdb_id.in_(some) & ~fn.EXISTS(holders)
            gone += Title.delete().where(still).execute()
    if gone:
        log.info("titles.swept", count=gone)
    return gone


def _long_unheld() -> list[str]:
    """A deleted film leaves a tombstone. A removed account leaves none: then the time of the last
    look-up decides."""
    since = clock.now() - KEPT_UNHELD
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    is_movie = Tombstone.kind == "movie"
    let_go = Tombstone.select(Tombstone.key).where(is_movie & (Tombstone.deleted_at > since))
    rows = Title.select(Title.imdb_id).where(~fn.EXISTS(holders) & Title.imdb_id.not_in(let_go))
    for moment in (Title.wanted_at, Title.tmdb_fetched_at, Title.omdb_fetched_at):
        rows = rows.where(moment.is_null() | (moment < since))
    return [imdb_id for (imdb_id,) in rows.limit(SWEPT_AT_MOST).tuples()]


def _mark(
    provider: str, imdb_id: str, state: str, reason: str | None, wait: float, attempts: int = 0
) -> None:
    values = {
        "state": state,
        "reason": reason,
        "retry_at": clock.now() + wait,
        "attempts": attempts,
    }
    columns = {f"{provider}_{name}": value for name, value in values.items()}
    Title.update(**columns).where(Title.imdb_id == imdb_id).execute()


def _is_due(provider: str) -> Expression:
    """Put so that each part uses an index: of state and retry_at, or of fetched_at."""
    state, _, retry_at = _columns(provider)
    is_settled = state.in_(("ready", "missing", "failed"))
    now = clock.now()
    due = (state == "stub") | (is_settled & (retry_at <= now))
    for settled, wait in LONGEST_WAITS.items():
        due |= (state == settled) & (retry_at > now + wait + DAY)
    before = (models.setting(RENEWAL) or {}).get("before") if provider == "tmdb" else None
    # One of the future would never be served: `notice_language` makes it one of now.
    if before is None or before > now:
        return due
    # One whose renewal failed waits for its retry_at. COALESCE keeps SQLite from reading all filled
    # titles by the index of states, at every look.
    is_old = (Title.tmdb_fetched_at < before) & (fn.COALESCE(state, "") == "ready")
    return due | (is_old & (Title.tmdb_attempts == 0))


def _columns(provider: str) -> tuple:
    return tuple(
        Title._meta.fields[f"{provider}_{name}"] for name in ("state", "attempts", "retry_at")
    )

"""The enrichment queue, which is the title table: which titles are due at a provider,
and what an answer changes in a title's row.

A title is due when some library holds it and it was never looked up (state `stub`),
or when its retry_at has passed.
"""

from collections.abc import Container
from typing import NamedTuple

from peewee import JOIN, Case, Expression, InterfaceError, ModelSelect, OperationalError, fn

from mm import clock, config, log, models, stored_settings
from mm.clock import DAY, HOUR
from mm.database import chunks, db
from mm.models import Movie, Title, TmdbLink, Tombstone
from mm.providers import tmdb
from mm.services.catalogue import store
from mm.services.enrichment import mapping, title_json

# After the first, second, third and every later failure.
RETRY_FAILED_AFTER = (HOUR, 4 * HOUR, DAY, 7 * DAY)
RETRY_MISSING_AFTER = 30 * DAY
# TMDB allows what it sent to be kept for six months.
REFRESH_AFTER = 150 * DAY
# A retry_at further ahead than this was written while the clock was wrong.
LONGEST_WAITS = {
    "failed": RETRY_FAILED_AFTER[-1],
    "missing": RETRY_MISSING_AFTER,
    "ready": REFRESH_AFTER,
}
# {language, before, kept}: TMDB's language in force, the time before which filled titles
# are to be looked up again, or null, and the language that begins without that, if one does.
RENEWAL = "tmdb.renewal"
# How long a title stays after the last library removed it and after its last look-up.
KEEP_UNHELD = 30 * DAY
SWEEP_MAX = 20_000
SWEEP_BATCH = 500
LINK = (TmdbLink.media_type, TmdbLink.tmdb_id)
# What the catalogue says of a title, and OMDb where TMDB does not describe it.
CATALOGUE_DESCRIBES = (
    Title.media_type,
    Title.title,
    Title.original_title,
    Title.year,
    Title.runtime,
    Title.genres,
    Title.directors,
)
OMDB_DESCRIBES = (*CATALOGUE_DESCRIBES, Title.cast, Title.overview)
# The reason of a title whose look-up met something unforeseen; the code leads to the log.
UNEXPECTED = "Something went wrong (details in the log, code {})."


class QueuedTitle(NamedTuple):
    """`state` and `attempts` are those at the provider in question. `link`: what TMDB is asked for
    in place of the IMDb id, where an administrator chose it."""

    imdb_id: str
    state: str
    attempts: int
    link: tmdb.Link | None = None


def all_due(provider: str) -> ModelSelect:
    """The imdb_ids of all titles that are due, unordered."""
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    return Title.select(Title.imdb_id).where(_is_due(provider)).where(fn.EXISTS(holders))


def first(
    provider: str, limit: int, exclude: Container[str], prioritized_only: bool = False
) -> list[QueuedTitle]:
    """The head of the queue: at most `limit` titles, less those in `exclude`.

    Titles that were just added or opened come first, the newest before the others;
    then the next title of each user in turn, so that an import of thousands does not
    keep other users waiting; then filled titles whose refresh is due.
    `prioritized_only`: only the first kind.
    """
    state, attempts, _ = _columns(provider)
    # wanted_at stays when a title is filled. After that only a recent one counts.
    is_refresh = state == "ready"
    is_prioritized = Title.wanted_at.is_null(False)
    is_prioritized &= ~is_refresh | (Title.wanted_at > clock.now() - HOUR)
    priority = Case(None, [(is_prioritized, Title.wanted_at)])
    turn = fn.ROW_NUMBER().over(partition_by=[Movie.user], order_by=[Movie.id]).alias("turn")
    held = Movie.select(Movie.title.alias("imdb_id"), turn).join(Title).where(_is_due(provider))
    if prioritized_only:
        held = held.where(is_prioritized)
    rows = (
        Title.select(Title.imdb_id, state, attempts, *LINK)
        .join(held, on=(Title.imdb_id == held.c.imdb_id))
        .join_from(Title, TmdbLink, JOIN.LEFT_OUTER, on=TmdbLink.title == Title.imdb_id)
        .group_by(Title.imdb_id, state, attempts, Title.wanted_at, *LINK)
        .order_by(priority.desc(nulls="LAST"), is_refresh, fn.MIN(held.c.turn), Title.imdb_id)
        .limit(limit)
        .tuples()
    )
    return [_queued(row) for row in rows if row[0] not in exclude]


def get(provider: str, imdb_id: str) -> QueuedTitle:
    """One title, whether it is due or not."""
    state, attempts, _ = _columns(provider)
    query = Title.select(Title.imdb_id, state, attempts, *LINK).where(Title.imdb_id == imdb_id)
    linked = query.join(TmdbLink, JOIN.LEFT_OUTER, on=TmdbLink.title == Title.imdb_id)
    return _queued(linked.tuples().get())


def link_of(imdb_id: str) -> tmdb.Link | None:
    row = TmdbLink.select(*LINK).where(TmdbLink.title == imdb_id).tuples().first()
    return tmdb.Link(*row) if row else None


def is_current(provider: str, title: QueuedTitle) -> bool:
    """Whether an answer about `title` still counts: something else may have been chosen for it
    while TMDB was asked. Call inside the transaction that stores the answer."""
    return provider != "tmdb" or link_of(title.imdb_id) == title.link


def recent_missing_reason(provider: str, imdb_id: str, seconds: float) -> str | None:
    """Why the provider has no such title, where it said so within the last `seconds`."""
    state, _, retry_at = _columns(provider)
    latest = clock.now() + RETRY_MISSING_AFTER
    is_recent = (retry_at > latest - seconds) & (retry_at <= latest + DAY)
    reason = Title._meta.fields[f"{provider}_reason"]
    is_missing = (Title.imdb_id == imdb_id) & (state == "missing") & is_recent
    return Title.select(reason).where(is_missing).scalar()


def prioritize(imdb_id: str) -> None:
    """Move a title to the head of the queue. Call inside a transaction."""
    Title.update(wanted_at=clock.now()).where(Title.imdb_id == imdb_id).execute()


def fill(provider: str, imdb_id: str, body: dict) -> None:
    """Store a provider's body and the columns made from it. Call inside a transaction."""
    is_title, has_no_tmdb = Title.imdb_id == imdb_id, Title.tmdb_body.is_null()
    if provider == "tmdb":
        columns = {
            **mapping.from_tmdb(body),
            "tmdb_body": mapping.trimmed(body),
            "source": "tmdb",
        }
    else:
        columns = {**mapping.ratings(body), "omdb_body": body}
        # TMDB's description goes before OMDb's.
        if before := Title.select(*OMDB_DESCRIBES).where(is_title & has_no_tmdb).dicts().first():
            columns |= {**mapping.from_omdb(body, before), "source": "omdb"}
    Title.update(**columns, **{f"{provider}_fetched_at": clock.now()}).where(is_title).execute()
    title_json.rebuild([imdb_id])
    _mark(provider, imdb_id, "ready", reason=None, wait=REFRESH_AFTER)


def fill_or_mark_failed(provider: str, title: QueuedTitle, body: dict) -> str | None:
    """As `fill`, but a body that cannot be stored makes only this title fail: returns the code
    of the log entry, or None when all went well. Errors of the database itself are raised."""
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
    """The provider has no such title. Call inside a transaction."""
    _mark(provider, imdb_id, "missing", reason, RETRY_MISSING_AFTER)


def mark_failed(provider: str, title: QueuedTitle, reason: str) -> None:
    """The look-up failed. A title that was filled before stays `ready` and is retried
    as well. Call inside a transaction."""
    state = "ready" if title.state == "ready" else "failed"
    attempts = title.attempts + 1
    _mark(provider, title.imdb_id, state, reason, wait_after("failed", attempts), attempts)


def wait_after(state: str, attempts: int) -> float:
    """How long a missing title, or one whose look-up failed so many times, waits for the next
    try."""
    if state == "missing":
        return RETRY_MISSING_AFTER
    return RETRY_FAILED_AFTER[min(max(attempts, 1), len(RETRY_FAILED_AFTER)) - 1]


def retry_failed(provider: str) -> None:
    """Make all failed titles due now."""
    state, _, retry_at = _columns(provider)
    Title.update({retry_at: clock.now()}).where(state == "failed").execute()


def retry_now(provider: str, titles: Expression) -> None:
    """Make those of `titles` due that were looked up before. Call inside a transaction."""
    state, _, retry_at = _columns(provider)
    Title.update({retry_at: clock.now()}).where(titles & (state != "stub")).execute()


def forget_tmdb(imdb_id: str) -> None:
    """Take out what TMDB sent, as if the title had never been looked up there; what OMDb sent, or
    the catalogue, describes it again. Call inside a transaction."""
    columns = {**mapping.from_tmdb({}), "tmdb_body": None, "tmdb_fetched_at": None, "source": None}
    if film := store.films_by_id([imdb_id]).get(imdb_id):
        columns |= {**mapping.from_catalogue(film), "source": "imdb"}
    if omdb_body := Title.get_by_id(imdb_id).omdb_body:
        columns |= {**mapping.from_omdb(omdb_body, columns), "source": "omdb"}
    Title.update(columns).where(Title.imdb_id == imdb_id).execute()
    _mark("tmdb", imdb_id, "stub", reason=None, wait=0)
    title_json.rebuild([imdb_id])
    Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title == imdb_id).execute()


def check_language() -> None:
    """Make all titles due again when TMDB_LANGUAGE was changed, unless they were to be kept.

    A renewal that was asked for while the clock was ahead counts as asked for now. While
    settings.json cannot be read, nobody knows the language: that is no change.
    """
    if stored_settings.fault():
        return
    language, now = config.current.tmdb_language, clock.now()
    renewal = models.setting(RENEWAL)
    if renewal and renewal["language"] == language and (renewal["before"] or 0) <= now:
        return
    is_kept = renewal is None or renewal.get("kept") == language
    before = (renewal or {}).get("before") if is_kept else now
    kept = {"kept": language} if renewal and is_kept else {}
    with db.atomic():
        value = {"language": language, "before": before and min(before, now), **kept}
        models.put_setting(RENEWAL, value)


def keep_titles(language: str) -> None:
    """Call before TMDB_LANGUAGE becomes `language`: only titles that are new or due get it."""
    renewal = {"language": config.current.tmdb_language, "before": None}
    with db.atomic():
        renewal |= models.setting(RENEWAL) or {}
        models.put_setting(RENEWAL, renewal | {"kept": language})


def renew_what_was_stored_meanwhile() -> None:
    """For a run that has just noticed another language: its last answers were still in the old
    one, and may be younger than the change."""
    if stored_settings.fault():
        return
    check_language()
    with db.atomic():
        renewal = models.setting(RENEWAL)
        if renewal["before"] and renewal.get("kept") != renewal["language"]:
            models.put_setting(RENEWAL, renewal | {"before": clock.now()})


def renew_all() -> int:
    """Make every title that TMDB has filled due again; returns how many."""
    with db.atomic():
        renewal = {"language": config.current.tmdb_language, "before": clock.now()}
        models.put_setting(RENEWAL, renewal)
    return all_due("tmdb").where(Title.tmdb_state == "ready").count()


def filled() -> int:
    """How many titles that some library holds have been filled by TMDB."""
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    return Title.select().where((Title.tmdb_state == "ready") & fn.EXISTS(holders)).count()


def sweep() -> int:
    """Delete titles that no library has held for 30 days; returns how many, at most SWEEP_MAX.

    Works in small transactions, so that other writers need not wait. Restoring a
    library adds the titles that it needs again.
    """
    count = 0
    holders = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
    since = clock.now() - KEEP_UNHELD
    # A deleted film leaves a tombstone. The films of a removed account leave none:
    # there the time of the last look-up decides.
    recently_deleted = Tombstone.select(Tombstone.key).where(
        (Tombstone.kind == "movie") & (Tombstone.deleted_at > since)
    )
    unheld = (
        Title.select(Title.imdb_id)
        .where(~fn.EXISTS(holders) & Title.imdb_id.not_in(recently_deleted))
        .limit(SWEEP_MAX)
        .tuples()
    )
    for last_used in (Title.wanted_at, Title.tmdb_fetched_at, Title.omdb_fetched_at):
        unheld = unheld.where(last_used.is_null() | (last_used < since))
    for batch in chunks([imdb_id for (imdb_id,) in unheld], SWEEP_BATCH):
        with db.atomic():
            # Films may have been added since the query.
            still_unheld = Title.imdb_id.in_(batch) & ~fn.EXISTS(holders)
            count += Title.delete().where(still_unheld).execute()
    if count:
        log.info("titles.swept", count=count)
    return count


def _mark(
    provider: str, imdb_id: str, state: str, reason: str | None, wait: float, attempts: int = 0
) -> None:
    columns = {
        f"{provider}_state": state,
        f"{provider}_reason": reason,
        f"{provider}_retry_at": clock.now() + wait,
        f"{provider}_attempts": attempts,
    }
    Title.update(**columns).where(Title.imdb_id == imdb_id).execute()


def _is_due(provider: str) -> Expression:
    """Written so that each part uses an index: of state and retry_at, or of fetched_at."""
    state, _, retry_at = _columns(provider)
    has_retry_at = state.in_(("ready", "missing", "failed"))
    now = clock.now()
    due = (state == "stub") | (has_retry_at & (retry_at <= now))
    for waiting_state, longest in LONGEST_WAITS.items():
        due |= (state == waiting_state) & (retry_at > now + longest + DAY)
    before = (models.setting(RENEWAL) or {}).get("before") if provider == "tmdb" else None
    # One in the future would never end; `check_language` corrects it.
    if before is None or before > now:
        return due
    # A title whose renewal failed (attempts > 0) waits for its retry_at. COALESCE keeps
    # SQLite from reading all filled titles through the index of states each time.
    is_old = (Title.tmdb_fetched_at < before) & (fn.COALESCE(state, "") == "ready")
    return due | (is_old & (Title.tmdb_attempts == 0))


def _queued(row: tuple) -> QueuedTitle:
    imdb_id, state, attempts, media_type, tmdb_id = row
    link = tmdb.Link(media_type, tmdb_id) if tmdb_id else None
    return QueuedTitle(imdb_id, state, attempts, link)


def _columns(provider: str) -> tuple:
    names = ("state", "attempts", "retry_at")
    return tuple(Title._meta.fields[f"{provider}_{name}"] for name in names)

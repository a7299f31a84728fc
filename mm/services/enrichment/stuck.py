"""Titles that TMDB or OMDb does not have or failed to send, for administrators: why, another try,
and the film or series at TMDB that is asked for in place of an IMDb id.

Only what the title table knows is told: neither whose film it is, nor what its users call it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from peewee import JOIN, Case, Expression, ModelSelect, fn

from mm import clock
from mm.database import db
from mm.dates import PLAIN, Style
from mm.errors import InvalidError, NotFoundError, ProviderError, UnavailableError
from mm.models import Movie, Title, TmdbLink
from mm.providers import client
from mm.providers.tmdb import KINDS, Link
from mm.schemas import Problem
from mm.services.enrichment import lookups, mapping, pauses, posters
from mm.services.enrichment import queue as enrichment_queue

PAGE_SIZE = 50
STUCK = ("missing", "failed")
FIELD = "tmdb"
ADDRESS = re.compile(
    r"(?:(?:https?://)?(?:www\.)?themoviedb\.org)?/?(?P<kind>[a-z]+)/(?P<id>[0-9]+)\b.*",
    re.IGNORECASE,
)
IMDB_ID = re.compile(r"(?:.*imdb\.com/.*|tt[0-9]+)", re.IGNORECASE)
NOT_AN_ADDRESS = (
    "This is neither a number nor the address of a film or series at TMDB, such as "
    "https://www.themoviedb.org/movie/550."
)
GONE = "This title is no longer stuck, or no library holds it."


class Trouble(NamedTuple):
    """What is wrong with a title at one provider. `state`: missing or failed. `asked_at`: when it
    was asked last, None where another try is due now; else that comes at `next_try`."""

    provider: str
    state: str
    reason: str
    attempts: int
    asked_at: float | None
    next_try: float


class Entry(NamedTuple):
    """`title` and `year` are those of the title table, which has none of most."""

    imdb_id: str
    title: str | None
    year: int | None
    troubles: list[Trouble]
    link: Link | None


class Page(NamedTuple):
    """`show`: which of `counts` is listed. `waiting`: how many titles wait for each provider that
    may not be asked now, and `notices` why."""

    entries: list[Entry]
    show: str
    counts: dict[str, int]
    number: int
    pages: int
    waiting: dict[str, int]
    notices: list[str]


class Found(NamedTuple):
    """What TMDB has at a link. `imdb_id`: the one that TMDB knows for it."""

    link: Link
    title: str | None
    year: int | None
    poster: str | None
    overview: str | None
    imdb_id: str | None


def _is(provider: str, *states: str) -> Expression:
    return Title._meta.fields[f"{provider}_state"].in_(states)


HOLDERS = Movie.select(Movie.id).where(Movie.title == Title.imdb_id)
# What can be listed alone.
SHOWN = {
    "all": _is("tmdb", *STUCK) | _is("omdb", *STUCK),
    "tmdb-missing": _is("tmdb", "missing"),
    "tmdb-failed": _is("tmdb", "failed"),
    "omdb-missing": _is("omdb", "missing"),
    "omdb-failed": _is("omdb", "failed"),
    "chosen": Title.imdb_id.in_(TmdbLink.select(TmdbLink.title)),
}


def listing(show: str = "all", number: int = 1, style: Style = PLAIN) -> Page:
    """PAGE_SIZE at a time, those without details from TMDB first; the nearest page that there
    is. `style`: of the dates in its notices."""
    show = show if show in SHOWN else "all"
    counts = _counts()
    pages = max(1, -(-counts[show] // PAGE_SIZE))
    number = min(max(number, 1), pages)
    has_details = Case(None, [(_is("tmdb", *STUCK), 0)], 1)
    rows = _held(SHOWN[show]).order_by(has_details, Title.imdb_id).paginate(number, PAGE_SIZE)
    askable = pauses.askable()
    waiting = {
        provider: enrichment_queue.all_due(provider).count()
        for provider in pauses.PROVIDERS
        if provider not in askable
    }
    entries = [_entry(row) for row in rows]
    return Page(entries, show, counts, number, pages, waiting, pauses.notices(style))


def get(imdb_id: str) -> Entry:
    """Raises NotFoundError for a title that is neither stuck nor linked, or that nobody holds."""
    listed = (SHOWN["all"] | SHOWN["chosen"]) & (Title.imdb_id == imdb_id)
    title = _held(listed).first()
    if title is None:
        raise NotFoundError(GONE)
    return _entry(title)


def retry(imdb_id: str) -> None:
    """Make the title due now, before all others, at each provider where it is stuck. Raises
    NotFoundError as `get`."""
    with db.atomic():
        entry = get(imdb_id)
        pauses.lift_stops()
        for trouble in entry.troubles:
            enrichment_queue.retry_now(trouble.provider, Title.imdb_id == imdb_id)
        enrichment_queue.prioritize(imdb_id)


def retry_all(show: str = "all") -> int:
    """Make due now all that `listing` lists, at the providers where they are stuck; returns how
    many titles."""
    listed = SHOWN.get(show, SHOWN["all"])
    with db.atomic():
        pauses.lift_stops()
        count = _counts()[show if show in SHOWN else "all"]
        for provider in pauses.PROVIDERS:
            # Those of one provider only there: the calls of the other one are not spent.
            if not show.startswith(tuple(pauses.PROVIDERS)) or show.startswith(provider):
                enrichment_queue.retry_now(provider, listed & _is(provider, *STUCK))
    return count


def find(text: str, user_id: str = "") -> Found:
    """What TMDB has at a number (of a film) or an address. Raises InvalidError for another text,
    NotFoundError where TMDB has nothing there, and as `lookups`."""
    link = _link(text)
    if not pauses.key("tmdb"):
        raise UnavailableError("TMDB can’t be asked without a key. Add one under Providers.")
    try:
        body = lookups.details(link.tmdb_id, link.media_type, user_id)
    except ProviderError as problem:
        error = problem.__cause__
        if isinstance(error, client.NotFoundError) and error.status == 404:
            raise NotFoundError(_nothing_at(link, text)) from problem
        raise
    columns = mapping.from_tmdb(body)
    if columns["poster_path"]:
        posters.allow({columns["poster_path"].removeprefix("/"): columns["title"]})
    return Found(
        link=link,
        title=columns["title"],
        year=columns["year"],
        poster=columns["poster_path"],
        overview=columns["overview"],
        imdb_id=mapping.imdb_id_of(body),
    )


def link(imdb_id: str, text: str, user_id: str = "") -> Found:
    """Have TMDB asked for what `find` finds in place of the IMDb id, from now on. Raises as `find`
    and `get`."""
    found = find(text, user_id)
    with db.atomic():
        get(imdb_id)
        if enrichment_queue.link_of(imdb_id) != found.link:
            _remove(imdb_id)
            media_type, tmdb_id = found.link
            TmdbLink.create(title=imdb_id, tmdb_id=tmdb_id, media_type=media_type)
        _ask_tmdb_next(imdb_id)
    return found


def unlink(imdb_id: str) -> None:
    """Have TMDB asked for the IMDb id again. Raises NotFoundError as `get`."""
    with db.atomic():
        get(imdb_id)
        _remove(imdb_id)
        _ask_tmdb_next(imdb_id)


def _counts() -> dict[str, int]:
    """How many titles each of SHOWN lists, in one pass."""
    sums = [fn.SUM(Case(None, [(shown, 1)], 0)) for shown in SHOWN.values()]
    listed = (SHOWN["all"] | SHOWN["chosen"]) & fn.EXISTS(HOLDERS)
    row = Title.select(*sums).where(listed).tuples().get()
    return {name: count or 0 for name, count in zip(SHOWN, row, strict=True)}


def _held(titles: Expression) -> ModelSelect:
    """Those of `titles` that some library holds, with what `_entry` reads."""
    columns = [Title.imdb_id, Title.title, Title.year, *enrichment_queue.LINK]
    for provider in pauses.PROVIDERS:
        for name in ("state", "reason", "attempts", "retry_at"):
            columns.append(Title._meta.fields[f"{provider}_{name}"])
    return (
        Title.select(*columns)
        .join(TmdbLink, JOIN.LEFT_OUTER, on=TmdbLink.title == Title.imdb_id)
        .where(titles & fn.EXISTS(HOLDERS))
        .objects()
    )


def _entry(row: Title) -> Entry:
    """`row` has the columns of its link too, as `_held` selects them."""
    link = Link(row.media_type, row.tmdb_id) if row.tmdb_id else None
    return Entry(row.imdb_id, row.title, row.year, list(_troubles(row)), link)


def _troubles(title: Title) -> Iterator[Trouble]:
    now = clock.now()
    for provider in pauses.PROVIDERS:
        state = getattr(title, f"{provider}_state")
        if state not in STUCK:
            continue
        attempts = getattr(title, f"{provider}_attempts")
        retry_at = getattr(title, f"{provider}_retry_at") or now
        waits = enrichment_queue.wait_after(state, attempts)
        # Later than any wait: written while the clock was ahead, so it is due.
        is_due = not now < retry_at <= now + waits + clock.DAY
        yield Trouble(
            provider=provider,
            state=state,
            reason=getattr(title, f"{provider}_reason") or "",
            attempts=attempts,
            asked_at=None if is_due else retry_at - waits,
            next_try=retry_at,
        )


def _link(text: str) -> Link:
    typed = text.strip()
    if typed.isascii() and typed.isdecimal():
        kind, number = "movie", typed
    elif match := ADDRESS.fullmatch(typed):
        kind, number = match["kind"].lower(), match["id"]
    else:
        raise _wrong(_why_no_address(typed))
    if kind == "person":
        raise _wrong("This is the page of a person. Use the page of a film or series.")
    if kind not in KINDS:
        raise _wrong(NOT_AN_ADDRESS)
    # Of thousands of digits Python makes no number.
    if len(number) > 20 or not 0 < int(number) <= mapping.INTEGER_MAX:
        raise _wrong(f"TMDB has no number {number[:20]}.")
    return Link(kind, int(number))


def _why_no_address(typed: str) -> str:
    if not typed:
        return "Type the number of the film at TMDB, or paste the address of its page there."
    if IMDB_ID.fullmatch(typed):
        return "This is an IMDb ID. TMDB has numbers of its own: paste the address of its page."
    return NOT_AN_ADDRESS


def _nothing_at(link: Link, text: str) -> str:
    nothing = f"TMDB has no {KINDS[link.media_type]} with the number {link.tmdb_id}."
    if text.strip().isdecimal():
        nothing += " For a series, paste the address of its page."
    return nothing


def _wrong(reason: str) -> InvalidError:
    return InvalidError(reason, [Problem(FIELD, reason)])


def _remove(imdb_id: str) -> None:
    """What TMDB sent because of the link goes with it."""
    link = enrichment_queue.link_of(imdb_id)
    if link is None:
        return
    TmdbLink.delete().where(TmdbLink.title == imdb_id).execute()
    title = Title.get_by_id(imdb_id)
    if (title.media_type, title.tmdb_id) == link:
        enrichment_queue.forget_tmdb(imdb_id)


def _ask_tmdb_next(imdb_id: str) -> None:
    enrichment_queue.retry_now("tmdb", Title.imdb_id == imdb_id)
    enrichment_queue.prioritize(imdb_id)

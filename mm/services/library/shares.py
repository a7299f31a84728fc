"""Links that show one list to whoever has them, without an account.

A list has at most one. Its address is kept as it is, so that the owner can copy it again. A link is
no part of the library: making one changes no library_version, and no backup or export holds it."""

import contextlib
import re
import secrets
import threading
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from peewee import Expression, ModelSelect, Value, fn

from mm import clock, config
from mm.database import db
from mm.errors import InvalidError, NotFoundError, UnavailableError
from mm.models import CustomList, ListFilm, ListShare, Movie, Title, User
from mm.schemas import Problem
from mm.schemas.types import LAST_YEAR
from mm.services import shown_titles
from mm.services.enrichment import posters
from mm.services.library import list_films, lists

TOKEN_BYTES = 24
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")
PAGE_SIZE = 120
# Of a page that is printed.
PRINT_SIZE = 10_000
# All the films of a long list are put on a page or into a file for one visitor at a time, and so
# many may wait so long: see gunicorn.conf.py.
WAITING = 2
TURN_SECONDS = 5
BUSY = "Others are opening a long list right now. Try again in a minute."
# The same for a link that has ended, was revoked, or never was.
NOT_SHARED = "This list isn’t shared here any more. Ask whoever sent the link for a new one."
NO_POSTER = "There is no such poster."
NO_DATE = "is not a date: enter it as YYYY-MM-DD"
PAST = "is in the past: choose today or a later day"
TOO_LATE = f"is too far away: choose a day before {LAST_YEAR}, or none"

turn = threading.BoundedSemaphore()
_admitted = threading.BoundedSemaphore(1 + WAITING)


class SharedFilm(NamedTuple):
    """All that whoever has the link learns of a film. `poster_path` as TMDB names it; `runtime` in
    minutes; `note`: the list's, null where the link does not show notes."""

    imdb_id: str
    title: str | None
    year: int | None
    media_type: str | None
    poster_path: str | None
    runtime: int | None
    imdb_rating: float | None
    note: str | None


def of_list(row: CustomList) -> ListShare | None:
    """The link of this list, if it still works."""
    return ListShare.get_or_none((ListShare.custom_list == row.pk) & _works())


def share(user_id: str, list_id: str, until: str = "", shows_notes: bool = False) -> ListShare:
    """Make the link of a list, or change the one that works; the address of one stays. `until`: the
    last day on which it works, as YYYY-MM-DD; without one it works until it is revoked. Raises
    NotFoundError, or InvalidError for the day."""
    values = {"expires_at": _end_of(until), "shows_notes": shows_notes}
    with db.atomic():
        row = lists.find(user_id, list_id)
        if found := of_list(row):
            ListShare.update(values).where(ListShare.token == found.token).execute()
            return ListShare.get_by_id(found.token)
        # One that has run out gives way to a new address.
        ListShare.delete().where(ListShare.custom_list == row.pk).execute()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        return ListShare.create(token=token, custom_list=row, created_at=clock.now(), **values)


def revoke(user_id: str, list_id: str) -> None:
    """The link works no more, for good. Raises NotFoundError for a list without one."""
    row = lists.find(user_id, list_id)
    if not ListShare.delete().where(ListShare.custom_list == row.pk).execute():
        raise NotFoundError("This list has no link: it was revoked already, or has run out.")


def last_day(shared: ListShare) -> date | None:
    """On which the link works, in the server's time zone."""
    if shared.expires_at is None:
        return None
    return clock.local(shared.expires_at - 1, config.current.zone).date()


def find(token: str) -> ListShare:
    """With its list and the list's owner. Raises NotFoundError where no list is shown by it, or its
    owner's account is deactivated."""
    rows = ListShare.select(ListShare, CustomList, User).join(CustomList).join(User)
    this = (ListShare.token == token) & User.is_active & _works()
    found = rows.where(this).first() if TOKEN.fullmatch(token) else None
    if found is None:
        raise NotFoundError(NOT_SHARED)
    return found


def count_films(shared: ListShare) -> int:
    return list_films.of_list(shared.custom_list.pk).count()


@contextlib.contextmanager
def in_turn(shared: ListShare) -> Iterator[None]:
    """For an answer that may hold all films of a list. Raises UnavailableError for a long list
    where too many such answers are being made."""
    if count_films(shared) <= PAGE_SIZE:
        yield
        return
    if not _admitted.acquire(blocking=False):
        raise UnavailableError(BUSY)
    try:
        if not turn.acquire(timeout=TURN_SECONDS):
            raise UnavailableError(BUSY)
        try:
            yield
        finally:
            turn.release()
    finally:
        _admitted.release()


def films(shared: ListShare, page: int = 1, size: int | None = None) -> list[SharedFilm]:
    """Those of a page, counted from 1, in the order of the list."""
    note = ListFilm.note if shared.shows_notes else Value(None)
    rows = _films_of(shared).select(
        Movie.title,
        shown_titles.TITLE,
        shown_titles.YEAR,
        fn.COALESCE(Movie.media_type, Title.media_type),
        Title.poster_path,
        Title.runtime,
        Title.imdb_rating,
        note,
    )
    return [SharedFilm(*row) for row in db.execute(rows.paginate(page, size or PAGE_SIZE))]


def require_poster(shared: ListShare, size: str, file: str) -> None:
    """Raises NotFoundError for what is not the poster of a film that the link shows, in the size of
    its page: whoever has the link can make the server fetch no others."""
    if size != posters.GRID or not posters.NAME.fullmatch(file):
        raise NotFoundError(NO_POSTER)
    if not _films_of(shared).where(Title.poster_path == f"/{file}").exists():
        raise NotFoundError(NO_POSTER)


def sweep() -> None:
    """Forget links that have run out."""
    ListShare.delete().where(ListShare.expires_at <= clock.now()).execute()


def _works() -> Expression:
    return ListShare.expires_at.is_null() | (ListShare.expires_at > clock.now())


def _films_of(shared: ListShare) -> ModelSelect:
    return list_films.of_list(shared.custom_list.pk).switch(Movie).join(Title)


def _end_of(until: str) -> float | None:
    """The moment at which the day is over in the server's time zone."""
    if not until.strip():
        return None
    zone = config.current.zone
    try:
        day = date.fromisoformat(until.strip())
    except ValueError as error:
        raise _wrong(NO_DATE) from error
    if day < clock.today(zone):
        raise _wrong(PAST)
    if day.year >= LAST_YEAR:
        raise _wrong(TOO_LATE)
    return datetime.combine(day + timedelta(days=1), time.min, zone).timestamp()


def _wrong(reason: str) -> InvalidError:
    return InvalidError(f"The last day {reason}.", [Problem("until", reason)])

"""Filling one title at once: from the cache when a film is added, or by asking both
providers because a user wants it refreshed."""

import time
from contextlib import ExitStack

from peewee import fn

from mm import clock, models
from mm.database import db
from mm.errors import ProviderError, UnavailableError
from mm.models import Job, Movie, Title
from mm.providers import client
from mm.providers.cache import KeyedLock
from mm.schemas import Updated
from mm.services import heartbeat
from mm.services.enrichment import interactive, pauses
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment.interactive import cache, cache_key, title_key
from mm.services.enrichment.lookup_slots import LookUp

# How long to wait for a running worker that has the title at the head of its queue.
WORKER_SECONDS = 3
POLL_SECONDS = 0.1
# Left for OMDb when TMDB does not answer.
OMDB_SECONDS = 2
CHOSEN_MEANWHILE = "An administrator just changed what this is at TMDB. Try again."

_key_locks = KeyedLock()


def fill_from_cache(imdb_id: str) -> bool:
    """Fill a title that was never looked up with what the cache has, for example from
    the search in which it was just found; whether there was anything. Call inside the
    transaction that adds the film."""
    bodies = {
        "tmdb": cache.get(title_key(imdb_id, enrichment_queue.link_of(imdb_id))),
        "omdb": cache.get(cache_key("omdb", imdb_id)),
    }
    title = Title.get_by_id(imdb_id)
    is_filled = False
    for provider, body in bodies.items():
        if body and getattr(title, f"{provider}_state") == "stub":
            is_filled |= _fill(provider, imdb_id, body) is None
    return is_filled


def refresh_title(imdb_id: str, user_id: str = "") -> Updated:
    """Ask both providers about a title that some library holds.

    What was fetched, or found missing, within the last hour is not asked for again. A
    title that the worker is about to look up moves to the head of its queue and is waited
    for. Raises ProviderError or UnavailableError when neither provider has the title.
    """
    providers = [provider for provider in pauses.PROVIDERS if pauses.key(provider)]
    if not providers:
        raise UnavailableError("TMDB API key not configured")

    def is_settled() -> bool:
        return all(
            _is_fresh(imdb_id, provider) or _missing_reason(imdb_id, provider)
            for provider in providers
        )

    with LookUp(user_id) as look_up, ExitStack() as stack:
        if not is_settled():
            look_up.acquire_slot(pauses.NAMES[providers[0]])
        try:
            # One refresh of a title at a time: the second finds what the first one fetched.
            stack.enter_context(_key_locks.hold(imdb_id, look_up.seconds_left()))
        except TimeoutError:
            message = "This film is already being looked up. Try again in a minute."
            raise UnavailableError(message) from None
        if not is_settled():
            _leave_to_worker(imdb_id, look_up)
        problems = [_refresh_from(look_up, provider, imdb_id) for provider in providers]
    updated = Updated(tmdb=_is_fresh(imdb_id, "tmdb"), omdb=_is_fresh(imdb_id, "omdb"))
    if not (updated.tmdb or updated.omdb):
        raise next(problem for problem in problems if problem)
    return updated


def _is_fresh(imdb_id: str, provider: str) -> bool:
    fields = Title._meta.fields
    columns = (fields[f"{provider}_state"], fields[f"{provider}_fetched_at"])
    state, fetched_at = Title.select(*columns).where(Title.imdb_id == imdb_id).tuples().get()
    # Fetched in the future: while the clock was ahead.
    is_recent = fetched_at is not None and abs(clock.now() - fetched_at) < cache.seconds
    return state == "ready" and is_recent


def _missing_reason(imdb_id: str, provider: str) -> str | None:
    return enrichment_queue.recent_missing_reason(provider, imdb_id, cache.seconds)


def _leave_to_worker(imdb_id: str, look_up: LookUp) -> None:
    """Prioritize the title, and wait a little where a running worker will look it up."""
    with db.atomic():
        enrichment_queue.prioritize(imdb_id)
    if heartbeat.worker_is_late() or "tmdb" not in pauses.askable():
        return
    deadline = min(look_up.deadline, time.monotonic() + WORKER_SECONDS)
    running = Job.select(Job.id).where((Job.kind == "enrich") & (Job.state == "running"))
    awaited = enrichment_queue.all_due("tmdb").where(
        (Title.imdb_id == imdb_id) & fn.EXISTS(running)
    )
    while time.monotonic() < deadline and awaited.exists():
        time.sleep(POLL_SECONDS)


def _refresh_from(
    look_up: LookUp, provider: str, imdb_id: str
) -> ProviderError | UnavailableError | None:
    """Ask one provider and store its answer as the worker would. Returns the problem, if any."""
    if _is_fresh(imdb_id, provider):
        return None
    if reason := _missing_reason(imdb_id, provider):
        return ProviderError(reason)
    title = enrichment_queue.get(provider, imdb_id)
    try:
        if provider == "omdb":
            body = interactive.omdb_title(look_up, imdb_id)
        else:
            deadline = look_up.deadline - OMDB_SECONDS
            body = interactive.tmdb_title(look_up, imdb_id, deadline, title.link)
    except (ProviderError, UnavailableError) as problem:
        error = problem.__cause__
        with db.atomic():
            if not enrichment_queue.is_current(provider, title):
                return UnavailableError(CHOSEN_MEANWHILE)
            # A title that was filled before stays so.
            if isinstance(error, client.NotFoundError) and title.state != "ready":
                enrichment_queue.mark_missing(provider, imdb_id, str(error))
            # A provider that did not answer is left to the worker, which waits for longer.
            elif isinstance(error, client.TemporaryError) and not error.silent:
                enrichment_queue.mark_failed(provider, title, str(error))
        return problem
    with db.atomic():
        if not enrichment_queue.is_current(provider, title):
            return UnavailableError(CHOSEN_MEANWHILE)
        if unusable := _fill(provider, imdb_id, body):
            return unusable
        Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title == imdb_id).execute()
    return None


def _fill(provider: str, imdb_id: str, body: dict) -> ProviderError | None:
    """Returns the problem when the body cannot be stored; the title then counts as
    failed. Call inside a transaction."""
    title = enrichment_queue.get(provider, imdb_id)
    code = enrichment_queue.fill_or_mark_failed(provider, title, body)
    if code is None:
        return None
    name = pauses.NAMES[provider]
    return ProviderError(f"{name}'s answer cannot be stored (details in the log, code {code}).")

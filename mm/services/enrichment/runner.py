"""Looks titles up at TMDB and OMDb: one runner at a time works through the enrichment queue.

Its threads only make requests; the runner alone writes, some ten titles in one
transaction, so that neither the network nor the disk holds up the other.
"""

import functools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple

from peewee import fn

from mm import clock, config, locks, log, maintenance, models
from mm.database import db
from mm.models import Job, Movie, Title
from mm.providers import client, limits, omdb, tmdb
from mm.schemas import EnrichmentProgress
from mm.services import jobs
from mm.services.enrichment import pauses
from mm.services.enrichment import queue as enrichment_queue

# This many failures in a row mean an outage rather than bad titles.
OUTAGE_AFTER = 20
OUTAGE_SECONDS = 600
# Together the 20 connections that TMDB allows one address.
THREADS = {"tmdb": limits.CONNECTIONS - 4, "omdb": 4}
BATCH_SECONDS = 0.5
# Titles handed to the threads: a few seconds' work, which is how long a title that
# somebody just opened may have to wait.
DISPATCHED = 40
READ_AHEAD = 360

# Set by whoever runs the worker when it shuts down; a run then stores what it has and
# raises jobs.StoppedError.
stopping = threading.Event()


class Result(NamedTuple):
    """`answer`: the provider's body or its error; None when the provider was paused
    before the title was asked for."""

    title: enrichment_queue.QueuedTitle
    answer: dict | client.Error | None


@dataclass
class ProviderRun:
    """What one run does at one provider.

    `upcoming` was read from the queue, `in_flight` was handed to the threads. `paused`
    tells the threads to ask no more.
    """

    provider: str
    look_up: Callable[[enrichment_queue.QueuedTitle], dict]
    limiter: limits.RateLimiter
    todo: SimpleQueue = field(default_factory=SimpleQueue)
    results: SimpleQueue = field(default_factory=SimpleQueue)
    threads: list[threading.Thread] = field(default_factory=list)
    upcoming: deque[enrichment_queue.QueuedTitle] = field(default_factory=deque)
    in_flight: set[str] = field(default_factory=set)
    paused: bool = False
    failures: int = 0
    done: int = 0
    waiting: int = 0
    calls_counted: int = 0


def progress(user_id: str) -> EnrichmentProgress:
    """Counts this user's films by their TMDB state; `notices` are sentences for the page."""
    rows = (
        Movie.select(Title.tmdb_state, fn.COUNT(Movie.id), fn.MIN(Title.tmdb_retry_at))
        .join(Title)
        .where(Movie.user == user_id)
        .group_by(Title.tmdb_state)
        .tuples()
    )
    by_state = {state: (count, retry_at) for state, count, retry_at in rows}
    counts = {state: by_state.get(state, (0, None))[0] for state in models.PROVIDER_STATES}
    notices = pauses.notices()
    if "missing" in by_state:
        notices.append(_retry_notice("{} not found on TMDB; next try {}.", *by_state["missing"]))
    if "failed" in by_state:
        notices.append(_retry_notice("The look-up of {} failed; next try {}.", *by_state["failed"]))
    return EnrichmentProgress(
        total=sum(counts.values()),
        ready=counts["ready"],
        waiting=counts["stub"],
        missing=counts["missing"],
        failed=counts["failed"],
        notices=notices,
    )


def anything_due() -> bool:
    """Whether a title is due at a provider that may be asked now."""
    return any(enrichment_queue.all_due(provider).exists() for provider in sorted(pauses.askable()))


def start_if_due() -> Job | None:
    """A queued job for the caller to enqueue; None when one is active or nothing is due."""
    if jobs.active("enrich"):
        return None
    if pauses.key("tmdb"):
        enrichment_queue.check_language()
    if not anything_due():
        return None
    return jobs.create_unless_active("enrich")


def retry_failed() -> int:
    """Make failed titles due now, and let a provider that refused its key be asked
    again; returns how many titles."""
    failed = (Title.tmdb_state == "failed") | (Title.omdb_state == "failed")
    with db.atomic():
        count = Title.select().where(failed).count()
        pauses.lift_stops()
        for provider in pauses.PROVIDERS:
            enrichment_queue.retry_failed(provider)
    return count


def must_stop() -> bool:
    """The worker ends, or the whole server is restored."""
    return stopping.is_set() or maintenance.is_on()


def run(job: Job) -> dict:
    """Work until nothing is due; returns counts such as {"tmdb_ready": 12, "tmdb_missing": 1}.

    Raises locks.BusyError while another run is going on, and jobs.StoppedError once it
    `must_stop`.
    """
    with locks.hold("enrich", "Titles are already being looked up."):
        runs = [_start(provider) for provider in pauses.PROVIDERS if pauses.key(provider)]
        counts: Counter = Counter()
        shown_at = 0.0
        try:
            while not must_stop() and _dispatch(runs):
                deadline = time.monotonic() + BATCH_SECONDS
                while time.monotonic() < deadline and not stopping.wait(0.02):
                    if all(each.results.qsize() >= len(each.in_flight) for each in runs):
                        break
                with db.atomic():
                    for each in runs:
                        _store(each, counts)
                    if time.monotonic() - shown_at >= 1:
                        shown_at = time.monotonic()
                        _show(job, runs)
            if must_stop():
                raise jobs.StoppedError
            _show(job, runs)
        finally:
            for each in runs:
                each.paused = True
                for _ in each.threads:
                    each.todo.put(None)
    return dict(counts)


def _start(provider: str) -> ProviderRun:
    """With its threads running and waiting for titles."""
    now = config.current
    account: tmdb.Account | omdb.Account
    if provider == "tmdb":
        account = tmdb.Account(
            key=now.tmdb_api_key,
            base_url=now.tmdb_base_url,
            language=now.tmdb_language,
            limiter=limits.tmdb_worker,
        )
        look_up = functools.partial(_ask_tmdb, account)
    else:
        account = omdb.Account(
            key=now.omdb_api_key,
            base_url=now.omdb_base_url,
            limiter=limits.omdb_worker,
        )
        look_up = functools.partial(_ask_omdb, account)
    run = ProviderRun(provider, look_up, account.limiter, calls_counted=account.limiter.started)
    for number in range(THREADS[provider]):
        # Daemons: a request that hangs must not hold up the end of the process.
        name = f"{provider}-{number}"
        thread = threading.Thread(target=_look_up_all, args=(run,), name=name, daemon=True)
        thread.start()
        run.threads.append(thread)
    return run


def _ask_tmdb(account: tmdb.Account, title: enrichment_queue.QueuedTitle) -> dict:
    return tmdb.look_up(account, title.imdb_id, title.link)


def _ask_omdb(account: omdb.Account, title: enrichment_queue.QueuedTitle) -> dict:
    return omdb.look_up(account, title.imdb_id)


def _look_up_all(run: ProviderRun) -> None:
    """The work of each thread, until it reads None."""
    while (title := run.todo.get()) is not None:
        answer: dict | client.Error | None = None
        if not run.paused:
            # What is unexpected is the failure of this title alone.
            with log.isolated("title.look_up_failed", provider=run.provider) as asking:
                try:
                    answer = run.look_up(title)
                except client.Error as error:
                    answer = error
            if asking.code:
                answer = client.TemporaryError(enrichment_queue.UNEXPECTED.format(asking.code))
        # Before the runner reads the answer, so that the other threads stop asking at once.
        if isinstance(answer, client.WrongKeyError | client.OverLimitError):
            run.paused = True
        run.results.put(Result(title, answer))


def _dispatch(runs: list[ProviderRun]) -> bool:
    """Hand due titles to the threads; False when no answer is awaited any more."""
    askable = pauses.askable()
    for run in runs:
        if run.provider not in askable:
            run.upcoming.clear()
            run.waiting = 0
        elif not run.paused or not run.in_flight:
            run.paused = False
            room = DISPATCHED - run.todo.qsize()
            if run.provider == "omdb":
                left = pauses.omdb_calls_left()
                if left <= 0 and not run.in_flight:
                    limit = config.current.omdb_daily_limit
                    reason = f"its {limit:,} calls for today are used up except for a small reserve"
                    pauses.pause_until_next_day("omdb", reason, reserve=True)
                    run.waiting = 0
                room = min(room, left - len(run.in_flight))
            if room > 0:
                _read_ahead(run)
            while run.upcoming and room > 0:
                title = run.upcoming.popleft()
                run.in_flight.add(title.imdb_id)
                run.todo.put(title)
                room -= 1
    return any(run.in_flight for run in runs)


def _read_ahead(run: ProviderRun) -> None:
    """Fill `upcoming` when it is empty, or put what was prioritized since at its front."""
    if run.upcoming:
        newest = enrichment_queue.first(
            run.provider, DISPATCHED, run.in_flight, prioritized_only=True
        )
        ids = {title.imdb_id for title in newest}
        others = (title for title in run.upcoming if title.imdb_id not in ids)
        run.upcoming = deque([*newest, *others])
        return
    run.upcoming.extend(enrichment_queue.first(run.provider, READ_AHEAD, run.in_flight))
    if run.upcoming:
        run.waiting = enrichment_queue.all_due(run.provider).count()
        if run.provider == "omdb":
            # This run will not get further than today's calls.
            run.waiting = min(run.waiting, pauses.omdb_calls_left())


def _store(run: ProviderRun, counts: Counter) -> None:
    """Write the answers that have arrived. Call inside the transaction of a batch."""
    if run.provider == "omdb" and (calls := run.limiter.started - run.calls_counted):
        run.calls_counted += calls
        pauses.count_omdb_calls(calls)
    filled = []
    while not run.results.empty():
        title, answer = run.results.get()
        run.in_flight.discard(title.imdb_id)
        state = _store_answer(run, title, answer)
        if state is None:
            continue
        counts[f"{run.provider}_{state}"] += 1
        run.done += 1
        run.waiting = max(0, run.waiting - 1)
        if state == "ready":
            filled.append(title.imdb_id)
    if filled:
        Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title.in_(filled)).execute()


def _store_answer(
    run: ProviderRun, title: enrichment_queue.QueuedTitle, answer: dict | client.Error | None
) -> str | None:
    """The state for the counts: ready, missing or failed; None when the title is still due."""
    match answer:
        case dict() | client.NotFoundError() | client.TemporaryError() if (
            not enrichment_queue.is_current(run.provider, title)
        ):
            return None
        case dict():
            run.failures = 0
            code = enrichment_queue.fill_or_mark_failed(run.provider, title, answer)
            return "failed" if code else "ready"
        case client.NotFoundError():
            run.failures = 0
            enrichment_queue.mark_missing(run.provider, title.imdb_id, str(answer))
            return "missing"
        case client.TemporaryError():
            enrichment_queue.mark_failed(run.provider, title, str(answer))
            run.failures += 1
            if run.failures >= OUTAGE_AFTER and run.provider in pauses.askable():
                run.paused = True
                run.failures = 0
                pauses.pause(run.provider, str(answer), OUTAGE_SECONDS)
            return "failed"
        case client.WrongKeyError() | client.OverLimitError() if run.provider in pauses.askable():
            # Once: the other threads that were asking at that moment bring the same answer.
            if isinstance(answer, client.WrongKeyError):
                pauses.stop(run.provider, str(answer))
            elif answer.retry_after is None:
                pauses.pause_until_next_day(run.provider, str(answer))
            else:
                pauses.pause(run.provider, str(answer), answer.retry_after)
    return None


def _show(job: Job, runs: list[ProviderRun]) -> None:
    done = sum(run.done for run in runs)
    parts = [f"{run.done:,} from {pauses.NAMES[run.provider]}" for run in runs if run.done]
    jobs.progress(job, done, done + sum(run.waiting for run in runs), ", ".join(parts))


def _retry_notice(text: str, count: int, retry_at: float | None) -> str:
    films = "1 film" if count == 1 else f"{count:,} films"
    if retry_at is None or retry_at <= clock.now():
        return text.format(films, "now")
    return text.format(films, f"on {pauses.moment(retry_at)}")

"""Looks titles up at TMDB and OMDb: one runner at a time works through the enrichment queue.

Its threads only make requests; the runner alone writes, some ten titles in one
transaction, so that neither the network nor the disk holds up the other.
"""

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple

from peewee import fn

from mm import clock, config, locks, log, maintenance, models, stored_settings
from mm.database import db
from mm.dates import PLAIN, Style
from mm.models import Job, Movie, Title
from mm.providers import client, limits, omdb, tmdb
from mm.schemas import EnrichmentProgress
from mm.services import jobs
from mm.services.catalogue import store
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
    account: tmdb.Account | omdb.Account
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

    def look_up(self, title: enrichment_queue.QueuedTitle) -> dict:
        if isinstance(self.account, tmdb.Account):
            return tmdb.look_up(self.account, title.imdb_id, title.link)
        return omdb.look_up(self.account, title.imdb_id)


def progress(user_id: str, style: Style = PLAIN) -> EnrichmentProgress:
    """Counts this user's films by their TMDB state; `notices` are sentences for the page.
    `style`: of the dates in them. With a catalogue but no TMDB key, films with a title are
    `ready`, and those that the catalogue lacks are `missing`."""
    if not pauses.key("tmdb") and store.is_there():
        return _progress_of_catalogue(user_id)
    rows = (
        Movie.select(Title.tmdb_state, fn.COUNT(Movie.id), fn.MIN(Title.tmdb_retry_at))
        .join(Title)
        .where(Movie.user == user_id)
        .group_by(Title.tmdb_state)
        .tuples()
    )
    by_state = {state: (count, retry_at) for state, count, retry_at in rows}
    counts = {state: by_state.get(state, (0, None))[0] for state in models.PROVIDER_STATES}
    notices = pauses.notices(style)
    if "missing" in by_state:
        text = "{} not found on TMDB; next try {}."
        notices.append(_retry_notice(text, *by_state["missing"], style))
    if "failed" in by_state:
        text = "The look-up of {} failed; next try {}."
        notices.append(_retry_notice(text, *by_state["failed"], style))
    return EnrichmentProgress(
        total=sum(counts.values()),
        ready=counts["ready"],
        waiting=counts["stub"],
        missing=counts["missing"],
        failed=counts["failed"],
        notices=notices,
    )


def _progress_of_catalogue(user_id: str) -> EnrichmentProgress:
    counts = fn.COUNT(Movie.id), fn.COUNT(Title.title)
    films = Movie.select(*counts).join(Title).where(Movie.user == user_id)
    total, ready = films.tuples().get()
    return EnrichmentProgress(
        total=total,
        ready=ready,
        waiting=0,
        missing=total - ready,
        failed=0,
        notices=[f"{pauses.WITH_CATALOGUE} {pauses.WHERE}"],
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
        runs: list[ProviderRun] = []
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
                _end_threads(each)
    return dict(counts)


def _follow_settings(runs: list[ProviderRun]) -> None:
    """Let each provider be asked as the settings say now: with another key, address or language by
    new threads. What the old ones are still asked for is due as before, and asked for anew."""
    stored_settings.refresh()
    limits.tmdb_worker.set_pace(config.current.tmdb_pace)
    limits.omdb_worker.set_pace(config.current.omdb_pace)
    accounts = {provider: _account(provider) for provider in pauses.PROVIDERS}
    for run in [run for run in runs if run.account != accounts[run.provider]]:
        log.info("enrichment.account_changed", provider=run.provider)
        _end_threads(run)
        with db.atomic():
            _count_calls(run)
        runs.remove(run)
        language = getattr(run.account, "language", config.current.tmdb_language)
        if language != config.current.tmdb_language:
            enrichment_queue.renew_what_was_stored_meanwhile()
    asked = {run.provider for run in runs}
    for provider, account in accounts.items():
        if account.key and provider not in asked:
            runs.append(_start(provider, account))


def _account(provider: str) -> tmdb.Account | omdb.Account:
    now = config.current
    if provider == "tmdb":
        return tmdb.Account(
            key=now.tmdb_api_key,
            base_url=now.tmdb_base_url,
            language=now.tmdb_language,
            limiter=limits.tmdb_worker,
        )
    return omdb.Account(
        key=now.omdb_api_key,
        base_url=now.omdb_base_url,
        limiter=limits.omdb_worker,
    )


def _start(provider: str, account: tmdb.Account | omdb.Account) -> ProviderRun:
    """With its threads running and waiting for titles."""
    run = ProviderRun(provider, account, calls_counted=account.limiter.started)
    for number in range(THREADS[provider]):
        # Daemons: a request that hangs must not hold up the end of the process.
        name = f"{provider}-{number}"
        thread = threading.Thread(target=_look_up_all, args=(run,), name=name, daemon=True)
        thread.start()
        run.threads.append(thread)
    return run


def _end_threads(run: ProviderRun) -> None:
    """Once each has its answer; what waits for them is not asked for."""
    run.paused = True
    run.account.limiter.send_away()
    for _ in run.threads:
        run.todo.put(None)


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
    _follow_settings(runs)
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
    _count_calls(run)
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


def _count_calls(run: ProviderRun) -> None:
    if run.provider == "omdb" and (calls := run.account.limiter.started - run.calls_counted):
        run.calls_counted += calls
        pauses.count_omdb_calls(calls, run.account.key)


def _store_answer(
    run: ProviderRun, title: enrichment_queue.QueuedTitle, answer: dict | client.Error | None
) -> str | None:
    """The state for the counts: ready, missing or failed; None when the title is still due."""
    key = run.account.key
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
                pauses.pause(run.provider, str(answer), OUTAGE_SECONDS, key)
            return "failed"
        case client.WrongKeyError() | client.OverLimitError() if run.provider in pauses.askable():
            # Once: the other threads that were asking at that moment bring the same answer.
            if isinstance(answer, client.WrongKeyError):
                pauses.stop(run.provider, str(answer), key)
            elif answer.retry_after is None:
                pauses.pause_until_next_day(run.provider, str(answer), key)
            else:
                pauses.pause(run.provider, str(answer), answer.retry_after, key)
    return None


def _show(job: Job, runs: list[ProviderRun]) -> None:
    done = sum(run.done for run in runs)
    parts = [f"{run.done:,} from {pauses.NAMES[run.provider]}" for run in runs if run.done]
    jobs.progress(job, done, done + sum(run.waiting for run in runs), ", ".join(parts))


def _retry_notice(text: str, count: int, retry_at: float | None, style: Style) -> str:
    films = "1 film" if count == 1 else f"{count:,} films"
    if retry_at is None or retry_at <= clock.now():
        return text.format(films, "now")
    return text.format(films, f"on {pauses.moment(retry_at, style)}")

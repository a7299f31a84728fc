"""Filling titles from TMDB and OMDb: the queue (`due`) worked off by one runner at a time.

Its threads only speak HTTP; the runner alone writes, some ten titles in one transaction, so that
neither the network nor the disk holds up the other.
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

from mm import clock, config, locks, log, models
from mm.database import db
from mm.models import Job, Movie, Title
from mm.providers import client, limits, omdb, tmdb
from mm.schemas import EnrichmentProgress
from mm.services import jobs
from mm.services.enrichment import pauses
from mm.services.enrichment import queue as enrichment_queue

# So many failures in a row are an outage and not so many bad titles.
OUTAGE_AFTER = 20
OUTAGE_SECONDS = 600
# Together the 20 connections that TMDB allows one address.
THREADS = {"tmdb": limits.CONNECTIONS - 4, "omdb": 4}
BATCH_SECONDS = 0.5
# Titles waiting for a thread: a few seconds' work. One that somebody just opened goes before all
# that are not yet here.
QUEUED = 40
LOOK_AHEAD = 360

# Set by whoever runs the worker when it shuts down; a run then stores what it has and raises
# jobs.StoppedError.
stopping = threading.Event()


class Outcome(NamedTuple):
    """`found`: the provider's body, or why there is none; None when the provider was not asked
    after all."""

    title: enrichment_queue.Due
    found: dict | client.Error | None


@dataclass
class Line:
    """The work at one provider during one run. `ahead` was read from the queue, `out` is handed to
    the threads; `paused` tells the threads to ask no more."""

    provider: str
    look_up: Callable[[str], dict]
    limiter: limits.RateLimiter
    todo: SimpleQueue = field(default_factory=SimpleQueue)
    results: SimpleQueue = field(default_factory=SimpleQueue)
    threads: list[threading.Thread] = field(default_factory=list)
    ahead: deque[enrichment_queue.Due] = field(default_factory=deque)
    out: set[str] = field(default_factory=set)
    paused: bool = False
    failures: int = 0
    done: int = 0
    waiting: int = 0
    calls_seen: int = 0


def progress(user_id: str) -> EnrichmentProgress:
    """Of this user's films by their TMDB state; `notices` are sentences for the page."""
    rows = (
        Movie.select(Title.tmdb_state, fn.COUNT(Movie.id), fn.MIN(Title.tmdb_retry_at))
        .join(Title)
        .where(Movie.user == user_id)
        .group_by(Title.tmdb_state)
        .tuples()
    )
    found = {state: (count, retry_at) for state, count, retry_at in rows}
    counts = {state: found.get(state, (0, None))[0] for state in models.PROVIDER_STATES}
    return EnrichmentProgress(
        total=sum(counts.values()),
        ready=counts["ready"],
        waiting=counts["stub"],
        missing=counts["missing"],
        failed=counts["failed"],
        notices=pauses.notices() + _later_notices(found),
    )


def anything_due() -> bool:
    """Of what the providers may be asked now."""
    return any(enrichment_queue.all_due(provider).exists() for provider in sorted(pauses.askable()))


def start_if_due() -> Job | None:
    """A queued job for the caller to enqueue; None when one is active already, or nothing is due."""
    if jobs.active("enrich"):
        return None
    if pauses.key("tmdb"):
        enrichment_queue.notice_language()
    if not anything_due():
        return None
    return jobs.create_unless_active("enrich")


def retry_failed() -> int:
    """Make failed titles due now and let a provider with a refused key be asked once more; returns
    how many titles."""
    failed = (Title.tmdb_state == "failed") | (Title.omdb_state == "failed")
    with db.atomic():
        count = Title.select().where(failed).count()
        pauses.lift_stops()
        for provider in pauses.PROVIDERS:
            enrichment_queue.retry_failed(provider)
    return count


def run(job: Job) -> dict:
    """Work until nothing is due; returns counts such as {"tmdb_ready": 12, "tmdb_missing": 1}.

    Raises locks.BusyError while another run is going on, and jobs.StoppedError once `stopping` is set.
    """
    with locks.hold("enrich", "Titles are already being looked up."):
        lines = [_open(provider) for provider in pauses.PROVIDERS if pauses.key(provider)]
        try:
            return _work_off(lines, job)
        finally:
            _close(lines)


def _work_off(lines: list[Line], job: Job) -> dict:
    counts: Counter = Counter()
    shown_at = 0.0
    while not stopping.is_set() and _feed(lines):
        _collect(lines)
        with db.atomic():
            for line in lines:
                _store(line, counts)
            if time.monotonic() - shown_at >= 1:
                shown_at = time.monotonic()
                _show(job, lines)
    if stopping.is_set():
        raise jobs.StoppedError
    _show(job, lines)
    return dict(counts)


# The threads.


def _open(provider: str) -> Line:
    line = Line(provider, *_look_up(provider))
    line.calls_seen = line.limiter.started
    for number in range(THREADS[provider]):
        # Daemons: a request that hangs must not hold up the end of the process.
        name = f"{provider}-{number}"
        thread = threading.Thread(target=_answer_all, args=(line,), name=name, daemon=True)
        thread.start()
        line.threads.append(thread)
    return line


def _look_up(provider: str) -> tuple[Callable[[str], dict], limits.RateLimiter]:
    now = config.current
    if provider == "tmdb":
        tmdb_account = tmdb.Account(
            now.tmdb_api_key, now.tmdb_base_url, now.tmdb_language, limits.tmdb_worker
        )
        return functools.partial(tmdb.look_up, tmdb_account), tmdb_account.limiter
    omdb_account = omdb.Account(now.omdb_api_key, now.omdb_base_url, limits.omdb_worker)
    return functools.partial(omdb.look_up, omdb_account), omdb_account.limiter


def _answer_all(line: Line) -> None:
    """What each thread does."""
    while (title := line.todo.get()) is not None:
        found = None if line.paused else _answer(line, title)
        # Before the runner hears of it: the other threads need not ask as well.
        if isinstance(found, client.WrongKeyError | client.OverLimitError):
            line.paused = True
        line.results.put(Outcome(title, found))


def _answer(line: Line, title: enrichment_queue.Due) -> dict | client.Error:
    """The provider's body or its error. Anything unexpected is the failure of this title alone."""
    with log.isolated("title.look_up_failed", provider=line.provider) as asking:
        try:
            return line.look_up(title.imdb_id)
        except client.Error as error:
            return error
    return client.TemporaryError(enrichment_queue.UNEXPECTED.format(asking.code))


def _close(lines: list[Line]) -> None:
    for line in lines:
        line.paused = True
        for _ in line.threads:
            line.todo.put(None)


# What goes out.


def _feed(lines: list[Line]) -> bool:
    """Hand due titles to the threads; False when nothing is left to wait for."""
    askable = pauses.askable()
    for line in lines:
        if line.provider not in askable:
            line.ahead.clear()
            line.waiting = 0
        elif not line.paused or not line.out:
            line.paused = False
            _hand_out(line)
    return any(line.out for line in lines)


def _hand_out(line: Line) -> None:
    room = _room(line)
    if room <= 0:
        return
    _look_further(line)
    while line.ahead and room > 0:
        title = line.ahead.popleft()
        line.out.add(title.imdb_id)
        line.todo.put(title)
        room -= 1


def _room(line: Line) -> int:
    room = QUEUED - line.todo.qsize()
    if line.provider != "omdb":
        return room
    left = pauses.omdb_calls_left()
    if left <= 0 and not line.out:
        limit = config.current.omdb_daily_limit
        reason = f"its {limit:,} calls for today are used up, except a small reserve"
        pauses.pause_until_next_day("omdb", reason, reserve=True)
        line.waiting = 0
    return min(room, left - len(line.out))


def _look_further(line: Line) -> None:
    if line.ahead:
        wanted = enrichment_queue.first(line.provider, QUEUED, line.out, wanted=True)
        ids = {title.imdb_id for title in wanted}
        line.ahead = deque([*wanted, *(title for title in line.ahead if title.imdb_id not in ids)])
        return
    line.ahead.extend(enrichment_queue.first(line.provider, LOOK_AHEAD, line.out))
    if line.ahead:
        waiting = enrichment_queue.all_due(line.provider).count()
        # What today's calls do not reach is nothing that this run will do.
        line.waiting = (
            min(waiting, pauses.omdb_calls_left()) if line.provider == "omdb" else waiting
        )


def _collect(lines: list[Line]) -> None:
    """Wait for as long as one batch takes, or until all answers are there."""
    deadline = time.monotonic() + BATCH_SECONDS
    while time.monotonic() < deadline and not stopping.wait(0.02):
        if all(line.results.qsize() >= len(line.out) for line in lines):
            return


def _show(job: Job, lines: list[Line]) -> None:
    done = sum(line.done for line in lines)
    parts = [f"{line.done:,} from {pauses.NAMES[line.provider]}" for line in lines if line.done]
    jobs.progress(job, done, done + sum(line.waiting for line in lines), ", ".join(parts))


# What comes back. All of these run inside the transaction of one batch.


def _store(line: Line, counts: Counter) -> None:
    if line.provider == "omdb" and (calls := line.limiter.started - line.calls_seen):
        line.calls_seen += calls
        pauses.count_omdb_calls(calls)
    filled = []
    while not line.results.empty():
        title, found = line.results.get()
        line.out.discard(title.imdb_id)
        if not (state := _store_one(line, title, found)):
            continue
        counts[f"{line.provider}_{state}"] += 1
        line.done += 1
        line.waiting = max(0, line.waiting - 1)
        if state == "ready":
            filled.append(title.imdb_id)
    if filled:
        Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title.in_(filled)).execute()


def _store_one(
    line: Line, title: enrichment_queue.Due, found: dict | client.Error | None
) -> str | None:
    """The outcome for the counts: ready, missing, failed, or None when the title is as due as
    before."""
    match found:
        case dict():
            line.failures = 0
            return "failed" if enrichment_queue.fill_apart(line.provider, title, found) else "ready"
        case client.NotFoundError():
            line.failures = 0
            enrichment_queue.mark_missing(line.provider, title.imdb_id, str(found))
            return "missing"
        case client.TemporaryError():
            enrichment_queue.mark_failed(line.provider, title, str(found))
            _count_failure(line, found)
            return "failed"
        case client.WrongKeyError() | client.OverLimitError():
            _pause(line, found)
    return None


def _count_failure(line: Line, error: client.Error) -> None:
    line.failures += 1
    if line.failures >= OUTAGE_AFTER and line.provider in pauses.askable():
        line.paused = True
        line.failures = 0
        pauses.pause(line.provider, str(error), OUTAGE_SECONDS)


def _pause(line: Line, error: client.WrongKeyError | client.OverLimitError) -> None:
    """Once: the threads that were asking at that moment bring the same answer."""
    if line.provider not in pauses.askable():
        return
    if isinstance(error, client.WrongKeyError):
        pauses.stop(line.provider, str(error))
    elif error.retry_after is None:
        pauses.pause_until_next_day(line.provider, str(error))
    else:
        pauses.pause(line.provider, str(error), error.retry_after)


# Words.


def _later_notices(found: dict[str, tuple[int, float | None]]) -> list[str]:
    texts = []
    if "missing" in found:
        texts.append(_later("TMDB does not know {}; asked again {}.", *found["missing"]))
    if "failed" in found:
        texts.append(_later("The look-up of {} failed; tried again {}.", *found["failed"]))
    return texts


def _later(text: str, count: int, moment: float | None) -> str:
    films = "1 film" if count == 1 else f"{count:,} films"
    when = "now" if moment is None or moment <= clock.now() else f"from {pauses.moment(moment)} on"
    return text.format(films, when)

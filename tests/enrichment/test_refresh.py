"""Filling one title at once: from the cache, or by asking the providers again."""

import itertools
import re
import threading
import time

import pytest
from playhouse.test_utils import count_queries

from mm import clock, locks, log, models
from mm.database import db
from mm.errors import ProviderError, UnavailableError
from mm.models import Movie, Title
from mm.providers import client, limits
from mm.schemas import Updated
from mm.services import heartbeat, jobs
from mm.services.enrichment import lookup_slots, lookups, refresh
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import runner as enrichment_runner
from mm.services.enrichment.refresh import refresh_title
from mm.services.library import movies
from tests.support import standin as stand
from tests.support.enriching import (  # noqa: F401
    DAY,
    FILM,
    HOUR,
    brisk,
    brisk_lookups,
    change,
    hold,
    run,
    settings,
    states,
)

pytestmark = pytest.mark.usefixtures("brisk_lookups")
TITLE = stand.FILMS[0][0]


def test_refreshing_a_stub_fills_it_and_marks_its_films_as_updated(alice):
    hold(alice, FILM)
    before = Movie.get().updated_at

    assert refresh_title(FILM) == Updated(tmdb=True, omdb=True)
    assert Title.get_by_id(FILM).title == TITLE
    assert Movie.get().updated_at > before
    assert Movie.get().last_modified == clock.now()


def test_a_refresh_within_the_hour_does_not_ask_the_providers_again(alice, standin, frozen_clock):
    hold(alice, FILM)
    refresh_title(FILM)
    asked = len(standin.tmdb.asked), len(standin.omdb.asked)
    frozen_clock.move(HOUR - 1)
    assert refresh_title(FILM).tmdb
    assert (len(standin.tmdb.asked), len(standin.omdb.asked)) == asked

    frozen_clock.move(1)
    refresh_title(FILM)
    assert len(standin.tmdb.asked) > asked[0]


def test_simultaneous_refreshes_of_a_film_share_one_look_up(app, alice, standin):
    hold(alice, FILM)
    answers = []

    def refresh_in_thread():
        with db.connection_context():
            answers.append(refresh_title(FILM))

    threads = [threading.Thread(target=refresh_in_thread) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [Updated(tmdb=True, omdb=True)] * 6
    assert standin.asked_twice() == []


def test_a_refresh_moves_a_queued_film_up_and_uses_the_workers_look_up(app, alice, standin):
    hold(alice, FILM)
    beat()
    job = jobs.create("enrich")
    begun = threading.Event()

    def work():
        with db.connection_context(), locks.hold(f"job-{job.id}"):
            models.Job.update(state="running").execute()
            begun.set()
            while not Title.select().where(Title.wanted_at == clock.now()).exists():
                pass
            enrichment_runner.run(job)

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(20)
    updated = refresh_title(FILM)
    worker.join()
    assert updated.tmdb
    assert standin.asked_twice() == []


def beat():
    """The worker was seen just now."""
    models.put_setting(heartbeat.WORKER_HEARTBEAT, clock.now())


def test_a_refresh_does_not_wait_for_a_dead_worker(alice, monkeypatch, frozen_clock):
    hold(alice, FILM)
    jobs.create("enrich", state="running")
    beat()
    frozen_clock.move(heartbeat.WORKER_LATE_AFTER + 1)
    monkeypatch.setattr(refresh.time, "sleep", lambda _: pytest.fail("waited"))
    assert refresh_title(FILM).tmdb


def test_polling_for_the_workers_answer_takes_one_query_and_no_lock(alice, monkeypatch):
    hold(alice, FILM)
    job = jobs.create("enrich", state="running")
    beat()
    counts = []

    def look(seconds):
        if seconds == refresh.POLL_SECONDS:
            counts.append(len(counter.get_queries()))

    monkeypatch.setattr(locks, "hold", lambda *_: pytest.fail("took a lock"))
    with count_queries() as counter:
        monkeypatch.setattr(refresh.time, "sleep", look)
        monkeypatch.setattr(refresh, "WORKER_SECONDS", 0.05)
        assert refresh_title(FILM).tmdb
    assert len(counts) > 2
    assert {after - before for before, after in itertools.pairwise(counts)} == {1}
    assert models.Job.get_by_id(job.id).state == "running"


def test_a_film_missing_at_tmdb_is_filled_from_omdb_where_that_has_it(alice):
    hold(alice, stand.OMDB_ONLY_ID, stand.UNKNOWN_ID)
    assert refresh_title(stand.OMDB_ONLY_ID) == Updated(tmdb=False, omdb=True)
    assert Title.get_by_id(stand.OMDB_ONLY_ID).title == "Somewhere a Kettle"

    with pytest.raises(ProviderError, match="TMDB has no film"):
        refresh_title(stand.UNKNOWN_ID)
    assert states(stand.UNKNOWN_ID) == ("missing", "missing")


def test_a_film_found_missing_within_the_hour_is_not_asked_for_again(alice, standin, frozen_clock):
    hold(alice, stand.OMDB_ONLY_ID, stand.UNKNOWN_ID)
    refresh_title(stand.OMDB_ONLY_ID)
    with pytest.raises(ProviderError) as first:
        refresh_title(stand.UNKNOWN_ID)
    asked = len(standin.tmdb.asked), len(standin.omdb.asked)

    frozen_clock.move(HOUR - 1)
    assert refresh_title(stand.OMDB_ONLY_ID) == Updated(tmdb=False, omdb=True)
    with pytest.raises(ProviderError, match=f"^{re.escape(first.value.message)}$"):
        refresh_title(stand.UNKNOWN_ID)
    assert (len(standin.tmdb.asked), len(standin.omdb.asked)) == asked

    frozen_clock.move(1)
    with pytest.raises(ProviderError):
        refresh_title(stand.UNKNOWN_ID)
    assert len(standin.tmdb.asked) > asked[0]


def test_a_failed_refresh_leaves_a_filled_title_unchanged(alice, standin, frozen_clock):
    hold(alice, FILM)
    refresh_title(FILM)
    frozen_clock.move(DAY)
    standin.tmdb.fault = standin.omdb.fault = "error"
    with pytest.raises(ProviderError, match="TMDB API error: 500"):
        refresh_title(FILM)
    assert states() == ("ready", "ready")
    assert Title.get_by_id(FILM).title == TITLE


def test_a_film_in_the_cache_is_filled_when_it_is_added(alice, standin):
    lookups.movie(5000)
    lookups.ratings(FILM)
    hold(alice, FILM, stand.FILM_IDS[1])
    asked = len(standin.tmdb.asked)

    with db.atomic():
        assert refresh.fill_from_cache(FILM)
        assert not refresh.fill_from_cache(stand.FILM_IDS[1])
    assert states() == ("ready", "ready")
    assert Title.get_by_id(FILM).title == TITLE
    assert len(standin.tmdb.asked) == asked


def test_an_answer_that_cannot_be_stored_is_reported_with_a_code(alice, monkeypatch):
    monkeypatch.setattr(log, "unexpected", lambda *_, **__: "AB234")
    monkeypatch.setattr(enrichment_queue, "fill", lambda *_: 1 / 0)
    lookups.movie(5000)
    movies.add(alice.id, FILM)
    assert states() == ("failed", "stub")

    words = r"TMDB's answer cannot be stored \(details in the log, code AB234\)"
    with pytest.raises(ProviderError, match=words):
        refresh_title(FILM)
    assert states() == ("failed", "failed")


def test_a_refresh_ends_at_its_deadline_and_still_asks_omdb(alice, standin, monkeypatch):
    monkeypatch.setattr(lookup_slots, "DEADLINE_SECONDS", 3.4)
    monkeypatch.setattr(refresh, "OMDB_SECONDS", 3)
    monkeypatch.setattr(client, "DEADLINE_MARGIN_SECONDS", 0)
    hold(alice, FILM)
    standin.tmdb.fault = "hang"
    began = time.monotonic()
    assert refresh_title(FILM) == Updated(tmdb=False, omdb=True)
    assert time.monotonic() - began < 4
    # For the worker, which waits for longer.
    assert states() == ("stub", "ready")


def test_a_refresh_that_gets_no_turn_fails_no_title(alice, monkeypatch):
    hold(alice, FILM)
    for name in ("tmdb_interactive", "omdb_interactive"):
        limiter = limits.RateLimiter(1, ceiling=1)
        limiter._held_until = time.monotonic() + 60
        monkeypatch.setattr(limits, name, limiter)
    with pytest.raises(UnavailableError, match="TMDB is slow right now"):
        refresh_title(FILM)
    assert states() == ("stub", "stub")
